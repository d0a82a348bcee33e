//! How objects, their names and their links are written in answers.
//!
//! Invariant: only attributes that were asked for are shown, except those the policy adds; no more
//! values of `member` at once than MaxValRange (MS-ADTS 3.1.1.3.1.3.3).

use super::ber::{self, Reader};
use super::domain::Domain;
use super::message::{Code, Control, Outcome, Shown};
use super::object::{Object, ObjectId};
use super::policy::MemberRight;

/// LDAP_SERVER_EXTENDED_DN_OID, MS-ADTS 3.1.1.3.4.1.5.
pub const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";

/// How names of objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As DNs.
    Plain,
    /// With identifiers in hexadecimal: the control without a value, or with 0.
    Hexadecimal,
    /// With identifiers in their text form: the control with 1.
    Text,
}

impl Names {
    /// From the controls of a request.
    pub fn asked(controls: &[Control]) -> Self {
        let Some(control) = controls.iter().find(|c| c.oid == EXTENDED_DN) else {
            return Self::Plain;
        };
        let form = Reader(&control.value)
            .expect(ber::SEQUENCE)
            .and_then(|content| Reader(content).integer(ber::INTEGER));
        if form == Some(1) {
            Self::Text
        } else {
            Self::Hexadecimal
        }
    }

    /// The name of an object.
    pub fn of(self, domain: &Domain, id: ObjectId) -> String {
        match domain.get(id) {
            Some(object) => self.of_object(domain, &object),
            None => domain.dn(id),
        }
    }

    /// The name of an object that is at hand: people of a population need not be made up again.
    pub fn of_object(self, domain: &Domain, object: &Object) -> String {
        let (dn, id) = (domain.dn_of(object), object.id);
        let has_sid = object.attributes.contains_key("objectsid");
        match self {
            Self::Plain => dn,
            Self::Text if has_sid => {
                format!("<GUID={}>;<SID={}>;{dn}", id.guid_text(), id.sid_text())
            }
            Self::Text => format!("<GUID={}>;{dn}", id.guid_text()),
            Self::Hexadecimal if has_sid => {
                format!("<GUID={}>;<SID={}>;{dn}", hex(&id.guid()), hex(&id.sid()))
            }
            Self::Hexadecimal => format!("<GUID={}>;{dn}", hex(&id.guid())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The attributes of an object that a search shows.
///
/// # Errors
/// The result of a search that asked for something impossible.
pub fn attributes(
    domain: &Domain,
    object: &Object,
    asked: &[String],
    names: Names,
) -> Result<Vec<Shown>, Outcome> {
    let mut shown: Vec<Shown> = Vec::new();
    // RFC 4511 4.5.1.8: none, or an asterisk, asks for all there are.
    if asked.is_empty() || asked.iter().any(|name| name == "*") {
        for attribute in object.attributes.values() {
            shown.push((attribute.name.clone(), attribute.values.clone()));
        }
        shown.push(("objectGUID".into(), object.values("objectguid")));
        shown.extend(members(domain, object, "member", None, names)?);
    }
    for name in asked.iter().filter(|name| *name != "*") {
        let lower = name.to_ascii_lowercase();
        if lower == "member" || lower.starts_with("member;") {
            let range = range_of(&lower);
            shown.extend(members(domain, object, name, range, names)?);
        } else {
            let values = match lower.as_str() {
                "distinguishedname" => vec![domain.dn(object.id).into_bytes()],
                // MS-ADTS 3.1.1.1.6: the back link of member.
                "memberof" => domain
                    .groups_of(object.id)
                    .map(|group| names.of(domain, group).into_bytes())
                    .collect(),
                _ => object.values(&lower),
            };
            shown.push((name.clone(), values));
        }
    }
    let hidden = |name: &str| name.to_ascii_lowercase().starts_with("member");
    shown.retain(|(name, values)| !values.is_empty() || hidden(name));
    shown.extend(unasked(domain));
    Ok(shown)
}

/// What the policy adds to every answer.
pub fn unasked(domain: &Domain) -> impl Iterator<Item = Shown> + '_ {
    let list = domain.policy.unasked.iter();
    list.map(|(name, value)| (name.clone(), vec![value.clone()]))
}

/// `range=LOW-HIGH`, where an asterisk is the end.
fn range_of(name: &str) -> Option<(usize, Option<usize>)> {
    let option = name
        .split(';')
        .find_map(|part| part.strip_prefix("range="))?;
    let (low, high) = option.split_once('-')?;
    Some((low.parse().ok()?, high.parse().ok()))
}

fn members(
    domain: &Domain,
    group: &Object,
    name: &str,
    range: Option<(usize, Option<usize>)>,
    names: Names,
) -> Result<Vec<Shown>, Outcome> {
    if group.members.is_empty() || domain.policy.member_right == MemberRight::Revoked {
        return Ok(Vec::new());
    }
    let count = domain.members(group).count();
    if count == 0 {
        return Ok(Vec::new());
    }
    let (low, high) = range.unwrap_or((0, None));
    if low >= count {
        let text = "00002121: SvcErr: DSID-0, problem 5012 (DIR_ERROR)";
        return Err(Outcome::new(Code::OperationsError, text));
    }
    let most = low + domain.policy.max_val_range;
    let end = high.map_or(count, |high| high + 1).min(count).min(most);
    let list = domain.members(group).skip(low).take(end - low);
    let values = list
        .map(|(member, _)| names.of(domain, member).into_bytes())
        .collect();
    if range.is_none() && end == count {
        return Ok(vec![(name.to_owned(), values)]);
    }
    let last = match end == count {
        true => "*".to_owned(),
        false => (end - 1).to_string(),
    };
    // The attribute that was asked for comes without values beside its first part.
    let mut shown = vec![(format!("member;range={low}-{last}"), values)];
    if range.is_none() {
        shown.insert(0, ("member".into(), Vec::new()));
    }
    Ok(shown)
}
