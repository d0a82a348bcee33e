//! One object: found by a name a person gives, with its surroundings and its history.
//!
//! Invariant: a name means exactly one object or it is an error. Nothing is read that a person could
//! not read in the directory with the same account.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_directory::{
    Base, Deleted, Dn, Entry, Error, Filter, Links, Member, Origin, SearchRequest, Sid,
};

use super::{Reader, Source, failure, guid, guid_of, wire};
use crate::engine::Guid;
use crate::engine::mapping::Mapping;
use crate::engine::object::{Change, DirectoryObject};
use crate::failure::Failure;

/// Groups above an object that are followed.
const GROUPS_MAX: usize = 5_000;
/// Levels of containers that are followed.
const DEPTH_MAX: usize = 512;
/// From the description of a directory service up to all sites: server, servers, site, sites.
const LEVELS_TO_SITES: usize = 4;
const HISTORY: [&str; 7] = [
    "whenCreated",
    "whenChanged",
    "uSNChanged",
    "replPropertyMetaData",
    "pwdLastSet",
    "lastKnownParent",
    "objectSid",
];

/// An object, as far as a person is interested in its history.
#[derive(Debug, Clone)]
pub struct History {
    /// objectGUID.
    pub guid: Guid,
    /// Its present name.
    pub dn: String,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Where it lay before it was deleted.
    pub last_parent: Option<String>,
    /// whenCreated, RFC 3339 as far as it can be read.
    pub when_created: Option<String>,
    /// whenChanged, likewise.
    pub when_changed: Option<String>,
    /// uSNChanged of the controller that was asked.
    pub usn_changed: Option<i64>,
    /// Whether the password has to be changed at the next sign-in (pwdLastSet is 0).
    pub must_change: bool,
    /// The newest write of an attribute, if the account may read the metadata.
    pub origin: Option<Origin>,
    sid: Option<Sid>,
}

/// What an object lies in and belongs to.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The object itself unless it was deleted, the containers above it and the groups above it.
    pub objects: BTreeMap<Guid, DirectoryObject>,
    /// Groups with the members among `objects`.
    pub members: BTreeMap<Guid, BTreeSet<Guid>>,
    /// The primary group, which `members` does not show.
    pub primary_group: Option<Guid>,
}

/// The controller that was asked.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its DNS name.
    pub host: String,
    /// Its database.
    pub invocation_id: Option<String>,
}

impl Reader {
    /// The object a person means: an objectGUID, a DN, a userPrincipalName or a sAMAccountName.
    ///
    /// # Errors
    /// [`Failure::Run`] when it means nothing or several objects.
    pub async fn find_one(&mut self, name: &str) -> Result<Guid, Failure> {
        let mut found = self
            .find_named(name)
            .await
            .map_err(|error| failure(&error))?;
        found.sort_unstable_by_key(|(guid, _)| *guid);
        found.dedup_by_key(|(guid, _)| *guid);
        match found.as_slice() {
            [(guid, _)] => Ok(*guid),
            [] => Err(Failure::Run(format!(
                "{name} is not in the directory, or the account may not see it; give a DN, an objectGUID, a userPrincipalName or a sAMAccountName"
            ))),
            several => {
                let names: Vec<&str> = several.iter().map(|(_, dn)| dn.as_str()).collect();
                Err(Failure::Run(format!(
                    "{name} means several objects: {}; give a DN or an objectGUID",
                    names.join("; ")
                )))
            }
        }
    }

    async fn find_named(&mut self, name: &str) -> Result<Vec<(Guid, String)>, Error> {
        let one = |entry: &Entry| (guid_of(entry), entry.dn.as_str().to_owned());
        if let Some(guid) = Guid::parse(name.trim()) {
            let found = self.read_any(guid, &["name"]).await?;
            return Ok(found.iter().map(one).collect());
        }
        if let Ok(dn) = name.parse::<Dn>()
            && (dn == self.base || dn.is_under(&self.base))
        {
            let found = self.connection.resolve_dn(&dn, &["name"]).await?;
            return Ok(found.iter().map(one).collect());
        }
        let filter = Filter::Or(vec![
            Filter::equal("userPrincipalName", name),
            Filter::equal("sAMAccountName", name),
        ]);
        for deleted in [Deleted::Hidden, Deleted::Shown] {
            let base = Base::Dn(self.base.clone());
            let search = SearchRequest {
                deleted,
                ..SearchRequest::subtree(base, filter.clone(), &["name"])
            };
            let entries = self.connection.search(search).await?.collect().await?;
            if !entries.is_empty() {
                return Ok(entries.iter().map(one).collect());
            }
        }
        Ok(Vec::new())
    }

    /// The object with this identifier, deleted or not.
    async fn read_any(&mut self, guid: Guid, names: &[&str]) -> Result<Option<Entry>, Error> {
        let search = SearchRequest {
            deleted: Deleted::Shown,
            ..SearchRequest::object(Base::Guid(wire(guid)), names)
        };
        self.connection.read(search).await
    }

    /// Name and history of an object; `None` when it is not there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn history(&mut self, of: Guid) -> Result<Option<History>, Error> {
        let Some(entry) = self.read_any(of, &HISTORY).await? else {
            return Ok(None);
        };
        let found = &entry.attributes;
        let origins = found
            .bytes("replPropertyMetaData")
            .and_then(Origin::parse_all);
        let newest = |origin: &Origin| (origin.at, origin.usn);
        Ok(Some(History {
            guid: guid_of(&entry),
            dn: entry.dn.as_str().to_owned(),
            deleted: entry.deleted,
            last_parent: found.text("lastKnownParent").map(str::to_owned),
            when_created: found.text("whenCreated").map(moment),
            when_changed: found.text("whenChanged").map(moment),
            usn_changed: found.i64("uSNChanged"),
            must_change: found.i64("pwdLastSet") == Some(0),
            origin: origins.and_then(|all| all.into_iter().max_by_key(newest)),
            sid: found.sid("objectSid"),
        }))
    }

    /// What an object lies in and belongs to; it is there itself unless it was deleted.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn surroundings(
        &mut self,
        history: &History,
        also: &BTreeSet<Guid>,
        mapping: &Mapping,
    ) -> Result<Surroundings, Error> {
        let mut around = Surroundings::default();
        let own = (!history.deleted).then_some(history.guid);
        let mut wanted: BTreeSet<Guid> = also.iter().copied().chain(own).collect();
        if own.is_some() {
            self.groups_above(history.guid, &mut around.members).await?;
            let rid = self.primary_rid(history.guid).await?;
            if let (Some(sid), Some(rid)) = (&history.sid, rid) {
                around.primary_group = self.group_with_sid(&sid.sibling(rid)).await?;
            }
            if let Some(group) = around.primary_group {
                self.groups_above(group, &mut around.members).await?;
                wanted.insert(group);
            }
            wanted.extend(around.members.keys());
        }
        for _ in 0..DEPTH_MAX {
            let unknown: Vec<Guid> = wanted
                .iter()
                .filter(|guid| !around.objects.contains_key(guid))
                .copied()
                .collect();
            if unknown.is_empty() {
                break;
            }
            // Only the members that lead to the object matter here, however large a group is.
            let told = unknown.iter().map(|guid| {
                let members = around.members.get(guid).into_iter().flatten();
                (*guid, Source::Known(members.copied().collect()))
            });
            let told = told.collect();
            wanted.clear();
            for change in self.objects(mapping, &unknown, &told).await? {
                if let Change::Seen(object) = change {
                    wanted.extend(object.parent);
                    around.objects.insert(object.guid, *object);
                }
            }
        }
        Ok(around)
    }

    /// The groups that `of` is in, directly and through others, with their members on the way.
    async fn groups_above(
        &mut self,
        of: Guid,
        members: &mut BTreeMap<Guid, BTreeSet<Guid>>,
    ) -> Result<(), Error> {
        let mut open = vec![of];
        while let Some(member) = open.pop() {
            for group in self.groups_of(member).await? {
                if members.len() >= GROUPS_MAX {
                    return Ok(());
                }
                if !members.contains_key(&group) {
                    open.push(group);
                }
                members.entry(group).or_default().insert(member);
            }
        }
        Ok(())
    }

    /// The groups that `of` is in, directly and through others.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn groups_around(&mut self, of: Guid) -> Result<BTreeSet<Guid>, Error> {
        let mut members = BTreeMap::new();
        self.groups_above(of, &mut members).await?;
        Ok(members.into_keys().collect())
    }

    /// The groups that name `of` as a member.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn groups_of(&mut self, of: Guid) -> Result<Vec<Guid>, Error> {
        let request = SearchRequest {
            links: Links::WithIdentifiers,
            ..SearchRequest::object(Base::Guid(wire(of)), &["memberOf"])
        };
        let Some(entry) = self.connection.read(request).await? else {
            return Ok(Vec::new());
        };
        let mut groups = Vec::new();
        for (name, values) in entry.attributes.iter() {
            // Beyond 1,500 groups the name has a range (MS-ADTS 3.1.1.3.1.3.3).
            let plain = name.split(';').next().unwrap_or_default();
            if plain.eq_ignore_ascii_case("memberOf") {
                let found = values.iter().filter_map(|value| Member::parse(value));
                groups.extend(found.map(|group| guid(&group.guid)));
            }
        }
        Ok(groups)
    }

    async fn primary_rid(&mut self, of: Guid) -> Result<Option<u32>, Error> {
        let entry = self.read_any(of, &["primaryGroupID"]).await?;
        let rid = entry.and_then(|entry| entry.attributes.i64("primaryGroupID"));
        Ok(rid.and_then(|rid| u32::try_from(rid).ok()))
    }

    async fn group_with_sid(&mut self, sid: &Sid) -> Result<Option<Guid>, Error> {
        let filter = Filter::equal("objectSid", sid.to_bytes());
        let base = Base::Dn(self.base.clone());
        let search = SearchRequest::subtree(base, filter, &["name"]);
        let entries = self.connection.search(search).await?.collect().await?;
        Ok(entries.first().map(guid_of))
    }

    /// The direct members of a group; `None` when it is not there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn direct_members(&mut self, group: Guid) -> Result<Option<Vec<Guid>>, Error> {
        let members = self.connection.members(wire(group)).await?;
        Ok(members.map(|members| members.iter().map(guid).collect()))
    }

    /// Those of `guids` that changed after the controller had given out `usn`, deleted ones
    /// included.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn changed_after(
        &mut self,
        usn: i64,
        guids: &[Guid],
    ) -> Result<BTreeSet<Guid>, Error> {
        let mut changed = BTreeSet::new();
        for chunk in guids.chunks(super::GUIDS_PER_SEARCH) {
            let filter = Filter::Or(chunk.iter().map(|g| Filter::guid(&wire(*g))).collect());
            let base = Base::Dn(self.base.clone());
            let search = SearchRequest {
                deleted: Deleted::Shown,
                ..SearchRequest::subtree(base, filter, &["uSNChanged"])
            };
            let entries = self.connection.search(search).await?.collect().await?;
            let later = entries.iter().filter(|entry| {
                entry
                    .attributes
                    .i64("uSNChanged")
                    .is_some_and(|at| at > usn)
            });
            changed.extend(later.map(guid_of));
        }
        Ok(changed)
    }

    /// The last update sequence number the controller has given out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn newest_usn(&mut self) -> Result<i64, Error> {
        let root = self.connection.reread_root_dse().await?;
        let newest = root.highest_committed_usn;
        newest.ok_or(Error::Protocol("a root entry without highestCommittedUSN"))
    }

    /// The controller that answers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn server(&mut self) -> Result<Server, Error> {
        let root = self.connection.root_dse().await?;
        Ok(Server {
            host: root.dns_host_name.unwrap_or_default(),
            invocation_id: self.controller.map(|id| id.to_string()),
        })
    }

    /// The name of the controller with this database, if its description can be found.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn controller_name(
        &mut self,
        invocation_id: &rollcall_directory::Guid,
    ) -> Result<Option<String>, Error> {
        let root = self.connection.root_dse().await?;
        let mut sites = root.ds_service_name;
        for _ in 0..LEVELS_TO_SITES {
            sites = sites.and_then(|dn| dn.parent());
        }
        let Some(sites) = sites else { return Ok(None) };
        let filter = Filter::And(vec![
            Filter::equal("objectClass", "nTDSDSA"),
            Filter::equal("invocationId", invocation_id.as_bytes()),
        ]);
        let search = SearchRequest::subtree(Base::Dn(sites), filter, &["name"]);
        let entries = self.connection.search(search).await?.collect().await?;
        let server = entries.first().and_then(|entry| entry.dn.parent());
        Ok(server.map(|server| {
            let name = server.relative();
            name.split_once('=')
                .map_or(name, |(_, name)| name)
                .to_owned()
        }))
    }
}

/// `20261124010203.0Z` (GeneralizedTime, RFC 4517 3.3.13) as RFC 3339; the text itself when it has
/// another form.
fn moment(text: &str) -> String {
    let part = |from, to| {
        text.get(from..to)
            .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))
    };
    let parts = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14)].map(|(a, b)| part(a, b));
    match parts {
        [
            Some(year),
            Some(month),
            Some(day),
            Some(hour),
            Some(minute),
            Some(second),
        ] if text.ends_with('Z') => {
            format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_directory() {
        assert_eq!(moment("20261124010203.0Z"), "2026-11-24T01:02:03Z");
        assert_eq!(moment("yesterday"), "yesterday");
        assert_eq!(moment("20261124010203+0100"), "20261124010203+0100");
    }
}
