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

/// A moment, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// That moment.
    At(Timestamp),
    /// So many seconds before now.
    SecondsAgo(i64),
}

/// Reads an RFC 3339 moment, or `2h` for two hours ago.
///
/// # Errors
/// A text for people when it is something else.
pub fn when(text: &str) -> Result<When, String> {
    if let Ok(ago) = duration(text) {
        return Ok(When::SecondsAgo(ago.seconds));
    }
    moment(text).map(When::At).map_err(|_| {
        format!(
            "{text:?} is no moment: write for example 2h for two hours ago, or 2027-01-31T18:00:00Z"
        )
    })
}

impl When {
    /// The moment, seen from `now`.
    pub fn seen_from(self, now: rollcall_kit::timestamp::Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::SecondsAgo(seconds) => Timestamp {
                seconds: now.as_seconds().saturating_sub(seconds).max(0),
                nanos: now.subsecond_nanos(),
            },
        }
    }
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

/// Whether `text` has the form of an identifier of a user, service account, group or key. Names
/// have not that length with these letters by chance.
pub fn is_subject_id(text: &str) -> bool {
    const PREFIX: &str = "aje";
    const LENGTH: usize = 20;
    text.len() == LENGTH && text.starts_with(PREFIX)
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

    /// `message` with what was taken for fields below `path`; `None` when that was nothing.
    pub fn below<T>(&self, path: &str, message: T) -> Option<T> {
        let is_below = |taken: &String| {
            taken
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        self.paths.iter().any(is_below).then_some(message)
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
    fn moments_may_be_relative() {
        let now = rollcall_kit::timestamp::Timestamp::from_seconds(10_000);
        let seconds = |text| when(text).map(|when| when.seen_from(now).seconds);
        assert_eq!(seconds("2h"), Ok(2_800));
        assert_eq!(seconds("1d"), Ok(0), "nothing is before 1970");
        assert_eq!(seconds("1970-01-01T00:01:00Z"), Ok(60));
        assert!(when("yesterday").unwrap_err().contains("2h"));
    }

    #[test]
    fn messages_are_sent_only_for_what_was_taken() {
        let mut changes = Changes::default();
        changes.take("policy.smart.one", Some(1));
        assert_eq!(changes.below("policy", ()), Some(()));
        assert_eq!(changes.below("policy.smart", ()), Some(()));
        assert_eq!(changes.below("policy.sm", ()), None);
        assert_eq!(changes.below("policy.smart.one", ()), None);
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
