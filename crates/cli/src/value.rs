//! Values of arguments that are more than text: lengths of time, moments, labels.

use std::collections::BTreeMap;

use prost_types::{Duration, FieldMask, Timestamp};
use rollcall_proto::idp::SessionType;

use crate::failure::Failure;

/// Reads `15m`, `1h30m`, `90s`.
///
/// # Errors
/// A text for people when it is something else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time: write for example 15m, 1h30m or 90s");
    let mut seconds: i64 = 0;
    let mut number = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count: i64 = number.parse().map_err(|_| wrong())?;
        seconds = count
            .checked_mul(unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(wrong)?;
        number.clear();
    }
    if !number.is_empty() || text.is_empty() {
        return Err(wrong());
    }
    Ok(Duration { seconds, nanos: 0 })
}

/// Reads an RFC 3339 moment.
///
/// # Errors
/// A text for people when it is something else.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    rollcall_kit::timestamp::Timestamp::parse_rfc3339(text)
        .map(|moment| Timestamp {
            seconds: moment.as_seconds(),
            nanos: moment.subsecond_nanos(),
        })
        .ok_or_else(|| format!("{text:?} is no moment: write for example 2027-01-31T18:00:00Z"))
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// A text for people when it is something else.
pub fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is no label: write key=value"))
}

/// Labels given one by one.
pub fn labels(list: Vec<(String, String)>) -> BTreeMap<String, String> {
    list.into_iter().collect()
}

/// `text` as a value in a filter.
///
/// # Errors
/// `Usage` for a text that has both kinds of quotes, which no filter can hold.
pub fn quoted(text: &str) -> Result<String, Failure> {
    match (text.contains('"'), text.contains('\'')) {
        (false, _) => Ok(format!("\"{text}\"")),
        (true, false) => Ok(format!("'{text}'")),
        (true, true) => Err(Failure::usage(format!("{text} cannot be looked for"))),
    }
}

/// The fields an update changes: those for which something was given.
#[derive(Debug, Default)]
pub struct Changes {
    paths: Vec<String>,
}

impl Changes {
    /// The new value of field `path`, noted as changed when there is one.
    pub fn take<T: Default>(&mut self, path: &str, value: Option<T>) -> T {
        if value.is_some() {
            self.paths.push(path.to_owned());
        }
        value.unwrap_or_default()
    }

    /// Notes that field `path` changes.
    pub fn note(&mut self, path: &str) {
        self.paths.push(path.to_owned());
    }

    /// The mask.
    ///
    /// # Errors
    /// `Usage` when nothing changes: an empty mask would mean that everything does.
    pub fn mask(self) -> Result<FieldMask, Failure> {
        if self.paths.is_empty() {
            return Err(Failure::usage(
                "nothing to change: give at least one option",
            ));
        }
        Ok(FieldMask { paths: self.paths })
    }
}

/// The streams of changes, as arguments spell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stream {
    /// Users, groups and memberships of Active Directory.
    AdSync,
    /// Password hashes of Active Directory.
    AdPasswordHash,
    /// Accounts switched on and off in Active Directory.
    AdUserControl,
    /// Users, groups and memberships of another directory.
    LdapSync,
}

impl Stream {
    /// The session type of the interface.
    pub fn session_type(self) -> SessionType {
        match self {
            Self::AdSync => SessionType::AdSync,
            Self::AdPasswordHash => SessionType::AdPasswordHash,
            Self::AdUserControl => SessionType::AdUserControl,
            Self::LdapSync => SessionType::LdapSync,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let seconds = |text| duration(text).map(|duration| duration.seconds);
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("0s"), Ok(0));
        for wrong in [
            "",
            "15",
            "m",
            "15x",
            "-1m",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_and_labels() {
        assert_eq!(
            moment("1970-01-01T00:01:00Z").map(|moment| moment.seconds),
            Ok(60)
        );
        assert!(moment("tomorrow").is_err());
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(label("a").is_err());
        assert!(label("=b").is_err());
    }

    #[test]
    fn a_mask_names_what_was_given() {
        let mut changes = Changes::default();
        assert_eq!(changes.take("name", Some("x".to_owned())), "x");
        assert_eq!(changes.take::<String>("description", None), "");
        assert_eq!(changes.take("email", Some(String::new())), "");
        assert_eq!(changes.mask().unwrap().paths, ["name", "email"]);
        assert!(Changes::default().mask().is_err());
    }
}
