//! Requests to bring single objects up to date, left as files for the agent that holds the session
//! (decision 18).
//!
//! Invariant: a request is taken up once and answered once, in a file of its own; files that nobody
//! asks for any more go away. The directory is the agent's own: who may write there may anyway.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rollcall_kit::timestamp::{Span, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::item_error::ItemError;
use crate::summary::{Changes, RunSummary};

const DIRECTORY: &str = "resync.d";
const REQUEST: &str = "request";
const ANSWER: &str = "answer";
/// Objects of one request.
pub const OBJECTS_MAX: usize = 500;
/// Requests that are taken up at a time.
const REQUESTS_MAX: usize = 20;
/// Files that are looked at.
const FILES_MAX: usize = 10_000;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A request or an answer of this age is nobody's any more.
const AGE_MAX: Span = Span::minutes(15);

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Name of its files.
    pub id: String,
    /// DNs, objectGUIDs, userPrincipalNames or sAMAccountNames.
    pub objects: Vec<String>,
    /// RFC 3339.
    pub asked_at: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Name of its files.
    pub id: String,
    /// RFC 3339.
    pub answered_at: String,
    /// Why nothing was done, if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each object that was asked for.
    #[serde(default)]
    pub objects: Vec<Brought>,
    /// What changed in the hub.
    #[serde(default)]
    pub users: Changes,
    /// Likewise.
    #[serde(default)]
    pub groups: Changes,
    /// Likewise.
    #[serde(default)]
    pub memberships: Changes,
    /// What failed of these objects.
    #[serde(default)]
    pub failed_items: Vec<ItemError>,
}

/// One object that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// What it was asked for by.
    pub asked: String,
    /// objectGUID as text, if it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What was found of it.
    pub result: Found,
    /// More about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was found of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It was read on both sides and compared.
    Compared,
    /// The directory says that it was deleted; that was compared.
    Deleted,
    /// The directory does not show it and did not say that it was deleted: nothing was changed.
    NotVisible,
}

impl Answer {
    /// Whether everything asked for is in the hub as in the directory now.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let seen = |object: &Brought| object.result != Found::NotVisible;
        self.reason.is_none() && self.failed_items.is_empty() && self.objects.iter().all(seen)
    }

    /// Takes over what the session did between two moments.
    pub fn count(&mut self, before: &RunSummary, after: &RunSummary) {
        self.users = after.users.since(&before.users);
        self.groups = after.groups.since(&before.groups);
        self.memberships = after.memberships.since(&before.memberships);
    }

    /// Lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for object in &self.objects {
            let what = match object.result {
                Found::Compared => "compared",
                Found::Deleted => "deleted in the directory",
                Found::NotVisible => "NOT VISIBLE; nothing was changed",
            };
            let more = object.reason.iter().map(|reason| format!(": {reason}"));
            let more: String = more.collect();
            lines.push(format!("{}: {what}{more}", object.asked));
        }
        for (name, changes) in [
            ("users", &self.users),
            ("groups", &self.groups),
            ("memberships", &self.memberships),
        ] {
            if *changes != Changes::default() {
                lines.push(format!("{name}: {}", changes.text()));
            }
        }
        let quiet = [self.users, self.groups, self.memberships];
        if quiet.iter().all(|changes| *changes == Changes::default()) {
            lines.push("nothing had to be changed in the hub".into());
        }
        lines.extend(self.failed_items.iter().map(ItemError::text));
        lines.join("\n")
    }
}

/// The files.
#[derive(Debug, Clone)]
pub struct Mailbox {
    directory: PathBuf,
}

impl Mailbox {
    /// The files in the working directory `directory`.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.join(DIRECTORY),
        }
    }

    /// Leaves a request.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn ask(&self, request: &Request) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        self.write(&request.id, REQUEST, request)
    }

    /// Takes a request back.
    pub fn withdraw(&self, id: &str) {
        let _ = std::fs::remove_file(self.path(id, REQUEST));
    }

    /// The answer to a request, once there is one; it is handed out once.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn take_answer(&self, id: &str) -> std::io::Result<Option<Answer>> {
        let path = self.path(id, ANSWER);
        match read(&path) {
            Ok(answer) => {
                let _ = std::fs::remove_file(path);
                Ok(Some(answer))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The requests that wait, the oldest first; clears away what is too old.
    #[must_use]
    pub fn requests(&self, now: Timestamp) -> Vec<Request> {
        let Ok(files) = std::fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut requests = Vec::new();
        for file in files.flatten().take(FILES_MAX) {
            let path = file.path();
            let Ok(request) = read::<Request>(&path) else {
                self.clear(&path, now);
                continue;
            };
            let is_named = path == self.path(&request.id, REQUEST);
            let asked = Timestamp::parse_rfc3339(&request.asked_at);
            if !is_named || asked.is_none_or(|at| now.since(at) > AGE_MAX) {
                let _ = std::fs::remove_file(path);
            } else {
                requests.push(request);
            }
        }
        requests.sort_by(|a, b| (&a.asked_at, &a.id).cmp(&(&b.asked_at, &b.id)));
        requests.truncate(REQUESTS_MAX);
        requests
    }

    /// Answers a request, which is done then.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn answer(&self, answer: &Answer) -> std::io::Result<()> {
        self.write(&answer.id, ANSWER, answer)?;
        self.withdraw(&answer.id);
        Ok(())
    }

    /// Removes an answer that nobody took in time.
    fn clear(&self, path: &Path, now: Timestamp) {
        if let Ok(answer) = read::<Answer>(path) {
            let at = Timestamp::parse_rfc3339(&answer.answered_at);
            if at.is_none_or(|at| now.since(at) > AGE_MAX) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn path(&self, id: &str, kind: &str) -> PathBuf {
        // Ids are ours; anything else names no file outside of the directory.
        let fits = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let id: String = id.chars().filter(fits).collect();
        self.directory.join(format!("{id}.{kind}.json"))
    }

    fn write<T: Serialize>(&self, id: &str, kind: &str, value: &T) -> std::io::Result<()> {
        let path = self.path(id, kind);
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(value)?)?;
        std::fs::rename(new, path)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> std::io::Result<T> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other("the file is too large"));
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn request(id: &str, at: Timestamp) -> Request {
        Request {
            id: id.into(),
            objects: vec!["anna".into()],
            asked_at: at.to_string(),
        }
    }

    #[test]
    fn a_request_is_answered_once() {
        let directory = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(directory.path());
        assert!(mailbox.requests(NOW).is_empty());
        mailbox
            .ask(&request("b", NOW.plus(Span::seconds(1))))
            .unwrap();
        mailbox.ask(&request("a", NOW)).unwrap();
        let waiting = mailbox.requests(NOW);
        assert_eq!(waiting.len(), 2);
        assert_eq!(waiting[0].id, "a", "the oldest first");
        assert_eq!(mailbox.take_answer("a").unwrap(), None);
        let answer = Answer {
            id: "a".into(),
            answered_at: NOW.to_string(),
            ..Answer::default()
        };
        mailbox.answer(&answer).unwrap();
        assert_eq!(mailbox.requests(NOW).len(), 1);
        assert_eq!(mailbox.take_answer("a").unwrap(), Some(answer));
        assert_eq!(mailbox.take_answer("a").unwrap(), None);
        mailbox.withdraw("b");
        assert!(mailbox.requests(NOW).is_empty());
    }

    #[test]
    fn what_is_old_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(directory.path());
        mailbox.ask(&request("a", NOW)).unwrap();
        let answer = Answer {
            id: "b".into(),
            answered_at: NOW.to_string(),
            ..Answer::default()
        };
        mailbox.answer(&answer).unwrap();
        let later = NOW.plus(AGE_MAX).plus(Span::seconds(1));
        assert!(mailbox.requests(later).is_empty());
        assert_eq!(mailbox.take_answer("b").unwrap(), None);
        let left = std::fs::read_dir(directory.path().join(DIRECTORY)).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn an_id_names_no_file_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(directory.path());
        mailbox.ask(&request("../x", NOW)).unwrap();
        assert!(
            directory
                .path()
                .join(DIRECTORY)
                .join("x.request.json")
                .exists()
        );
    }
}
