//! The members of one group, however many there are.
//!
//! Windows delivers a long list in ranges (MS-ADTS 3.1.1.3.1.3.3). Invariant: the list belongs to
//! one version of the group; when the group changes between two ranges, reading starts over.

use crate::connection::Connection;
use crate::dn::Dn;
use crate::entry::{Entry, Member};
use crate::error::Error;
use crate::guid::Guid;
use crate::search::{Base, Links, SearchRequest};

/// Times that a list is read from the start because the group changed meanwhile.
const ATTEMPTS_MAX: u32 = 5;
const MEMBERS_MAX: usize = 10_000_000;

/// What one answer tells about the list.
enum Range {
    /// More follow.
    Part,
    Last,
}

/// The members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMembers {
    /// All of them.
    pub all: Vec<Guid>,
    /// Those that lie outside the place that was asked about.
    pub outside: Vec<Member>,
}

impl Connection {
    /// All members of a group by their identifiers; empty when it has none, `None` when it does not
    /// exist or the account may not see it. Names are left out: there may be a million members.
    ///
    /// # Errors
    /// As [`crate::Search::next`]; also when the group keeps changing while it is read.
    pub async fn members(&mut self, group: Guid) -> Result<Option<Vec<Guid>>, Error> {
        let members = self.members_at(group, None).await?;
        Ok(members.map(|members| members.all))
    }

    /// As [`Self::members`], and those outside `base` with their names.
    ///
    /// # Errors
    /// As [`Self::members`].
    pub async fn members_by_place(
        &mut self,
        group: Guid,
        base: &Dn,
    ) -> Result<Option<GroupMembers>, Error> {
        self.members_at(group, Some(base)).await
    }

    async fn members_at(
        &mut self,
        group: Guid,
        base: Option<&Dn>,
    ) -> Result<Option<GroupMembers>, Error> {
        for _ in 0..ATTEMPTS_MAX {
            match self.members_once(group, base).await? {
                Attempt::Absent => return Ok(None),
                Attempt::Complete(members) => return Ok(Some(members)),
                Attempt::Changed => {}
            }
        }
        Err(Error::Busy {
            code: 51,
            text: format!("the group {group} keeps changing while its members are read"),
        })
    }

    async fn members_once(&mut self, group: Guid, base: Option<&Dn>) -> Result<Attempt, Error> {
        let mut members = GroupMembers::default();
        let mut version = None;
        loop {
            let attribute = format!("member;range={}-*", members.all.len());
            let request = SearchRequest {
                links: Links::WithIdentifiers,
                ..SearchRequest::object(Base::Guid(group), &[&attribute, "uSNChanged"])
            };
            let read = match self.read(request).await {
                // A range that begins behind the end: members left meanwhile.
                Err(Error::Refused { code: 1, .. }) if version.is_some() => {
                    return Ok(Attempt::Changed);
                }
                other => other?,
            };
            let Some(entry) = read else {
                return Ok(if version.is_none() {
                    Attempt::Absent
                } else {
                    Attempt::Changed
                });
            };
            let present = entry.attributes.i64("uSNChanged");
            if *version.get_or_insert(present) != present {
                return Ok(Attempt::Changed);
            }
            if let Range::Last = take_range(&entry, base, &mut members)? {
                return Ok(Attempt::Complete(members));
            }
            if members.all.len() > MEMBERS_MAX {
                return Err(Error::TooMuch {
                    what: "members of one group",
                    limit: MEMBERS_MAX as u64,
                });
            }
        }
    }
}

enum Attempt {
    Absent,
    Complete(GroupMembers),
    Changed,
}

/// Appends the members of an answer.
fn take_range(
    entry: &Entry,
    base: Option<&Dn>,
    members: &mut GroupMembers,
) -> Result<Range, Error> {
    let wrong = Error::Protocol("a range of members that was not asked for");
    let start = members.all.len();
    let mut found = None;
    for (name, values) in entry.attributes.iter() {
        let mut options = name.split(';');
        if !options
            .next()
            .is_some_and(|base| base.eq_ignore_ascii_case("member"))
        {
            continue;
        }
        let range = match options.next() {
            // Windows sends it without values beside the range, other servers with all of them.
            None if values.is_empty() => continue,
            None => Some((0, None)),
            Some(option) => parse_range(option),
        };
        let Some((from, to)) = range else {
            return Err(wrong);
        };
        if from != start || found.is_some() {
            return Err(wrong);
        }
        for value in values {
            let member = Member::parse(value);
            let member = member.ok_or(Error::Protocol("a member without an identifier"))?;
            members.all.push(member.guid);
            if base.is_some_and(|base| member.dn != *base && !member.dn.is_under(base)) {
                members.outside.push(member);
            }
        }
        found = Some(match to {
            None => Range::Last,
            Some(to) if to + 1 == members.all.len() && !values.is_empty() => Range::Part,
            Some(_) => return Err(wrong),
        });
    }
    match found {
        Some(range) => Ok(range),
        None if start == 0 => Ok(Range::Last),
        None => Err(wrong),
    }
}

/// `range=0-1499` or `range=1500-*`.
fn parse_range(option: &str) -> Option<(usize, Option<usize>)> {
    let (name, range) = option.split_once('=')?;
    let (from, to) = range.split_once('-')?;
    if !name.eq_ignore_ascii_case("range") {
        return None;
    }
    let to = match to {
        "*" => None,
        digits => Some(digits.parse().ok().filter(|to| *to < MEMBERS_MAX)?),
    };
    Some((from.parse().ok()?, to))
}
