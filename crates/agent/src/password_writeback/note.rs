//! What was begun, on disk: the only memory of an agent that is killed between the directory and
//! the hub.
//!
//! Invariant: before a password is sent to the directory it is noted, on the disk and not only in a
//! buffer; the note goes when the hub has been told. No password, and nothing a password could be
//! found with, is in it: of the operation and its password there is a keyed digest so short that
//! many thousand passwords have the same one, which still tells another password apart. The files are
//! readable for the agent's user only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::change::PasswordChange;
use super::refusal::Refusal;
use crate::engine::password_writeback::Traces;
use crate::failure::Failure;
use crate::refused_plan::private_file;

const FILE: &str = "password_writeback.json";
const KEY_FILE: &str = "password_writeback.key";
const KEY_BYTES: usize = 32;
/// What is kept of a digest.
const DIGEST_BYTES: usize = 2;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Notes that are kept; the oldest give way.
const NOTES_MAX: usize = 1_000;
/// Longer than any operation lives.
const NOTE_LIFE: Span = Span::hours(1);

/// How far a change has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// It is being written; the account was like this before.
    Writing(Traces),
    /// The directory took it.
    Written,
    /// The directory refused it.
    Refused(Refusal),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    /// RFC 3339.
    at: String,
    digest: String,
    begun: Begun,
}

/// The notes of one working directory.
pub struct Notes {
    path: PathBuf,
    key: Zeroizing<[u8; KEY_BYTES]>,
    /// By operation.
    notes: Mutex<BTreeMap<String, Note>>,
}

impl Notes {
    /// Opens the notes in `directory`, which is ours, without those that are too old to matter.
    ///
    /// # Errors
    /// [`Failure::Run`] when a file cannot be read or written.
    pub fn open(directory: &Path, now: Timestamp, entropy: &dyn Entropy) -> Result<Self, Failure> {
        let path = directory.join(FILE);
        let key_path = directory.join(KEY_FILE);
        let key = key(&key_path, entropy).map_err(|error| broken(&key_path, &error))?;
        let mut notes = read(&path).map_err(|error| broken(&path, &error))?;
        notes.retain(|_, note| {
            let at = Timestamp::parse_rfc3339(&note.at);
            at.is_some_and(|at| now.since(at) < NOTE_LIFE)
        });
        let notes = Self {
            path,
            key,
            notes: Mutex::new(notes),
        };
        notes.save(&notes.lock())?;
        Ok(notes)
    }

    /// How far this change has come, as far as it is the same one.
    #[must_use]
    pub fn find(&self, change: &PasswordChange) -> Option<Begun> {
        let notes = self.lock();
        let note = notes.get(&change.operation_id)?;
        (note.digest == self.digest(change)).then(|| note.begun.clone())
    }

    /// Notes how far it has come; on the disk when this returns.
    ///
    /// # Errors
    /// [`Failure::Run`] when it cannot be written; the directory must not be written to then.
    pub fn note(
        &self,
        change: &PasswordChange,
        begun: Begun,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let note = Note {
            at: now.to_string(),
            digest: self.digest(change),
            begun,
        };
        let mut notes = self.lock();
        notes.insert(change.operation_id.clone(), note);
        while notes.len() > NOTES_MAX {
            let oldest = notes.iter().min_by(|a, b| a.1.at.cmp(&b.1.at));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            notes.remove(&oldest);
        }
        self.save(&notes)
    }

    /// The hub was told, or will not be.
    ///
    /// # Errors
    /// [`Failure::Run`] when the file cannot be written.
    pub fn forget(&self, change: &PasswordChange) -> Result<(), Failure> {
        let mut notes = self.lock();
        match notes.remove(&change.operation_id) {
            Some(_) => self.save(&notes),
            None => Ok(()),
        }
    }

    fn digest(&self, change: &PasswordChange) -> String {
        // Keys of any length are taken (RFC 2104).
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else {
            return String::new();
        };
        mac.update(change.operation_id.as_bytes());
        mac.update(&[0]);
        mac.update(change.password.expose().as_bytes());
        let whole = mac.finalize().into_bytes();
        hex::encode(whole.get(..DIGEST_BYTES).unwrap_or_default())
    }

    /// Beside the old file first, so that one of both is whole at any moment.
    fn save(&self, notes: &BTreeMap<String, Note>) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let new = self.path.with_extension("new");
            let mut file = private_file(&new)?;
            file.write_all(&serde_json::to_vec(notes)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            sync_directory(&self.path)
        };
        write().map_err(|error| broken(&self.path, &error))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn broken(path: &Path, error: &io::Error) -> Failure {
    Failure::Run(format!(
        "cannot use {}: {error}; without it no password is set in the directory",
        path.display()
    ))
}

/// A new name is on the disk when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

/// A file that is not there holds nothing; one that cannot be understood is an error, because it may
/// tell of a password that was written.
fn read(path: &Path) -> io::Result<BTreeMap<String, Note>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::other(format!("it is damaged ({error}); delete it")))
}

/// The key of this directory, made once.
fn key(path: &Path, entropy: &dyn Entropy) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    match File::open(path) {
        Ok(mut file) => {
            file.read_exact(&mut *key)
                .map_err(|_| io::Error::other("it is damaged; delete it"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            entropy.fill(&mut *key);
            let new = path.with_extension("new");
            let mut file = private_file(&new)?;
            file.write_all(&*key)?;
            file.sync_all()?;
            std::fs::rename(&new, path)?;
            sync_directory(path)?;
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use rollcall_kit::entropy::SeededEntropy;
    use rollcall_proto::idp::GetPasswordChangesResponse;

    use super::*;
    use crate::password_writeback::change::Delivery;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const BEFORE: Traces = Traces {
        last_set: Some(5),
        bad_at: None,
    };

    fn change(operation: &str, password: &str) -> PasswordChange {
        let message = GetPasswordChangesResponse {
            modifying_operation_id: operation.into(),
            password: password.into(),
            ..GetPasswordChangesResponse::default()
        };
        PasswordChange::new(message, Delivery::First, NOW, None)
    }

    fn open(directory: &Path, now: Timestamp) -> Result<Notes, Failure> {
        Notes::open(directory, now, &SeededEntropy::new(4))
    }

    #[test]
    fn a_note_outlives_the_process_and_belongs_to_one_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let anna = change("op1", "Geheimes-Wort-1");
        let notes = open(path, NOW).unwrap();
        assert_eq!(notes.find(&anna), None);
        notes.note(&anna, Begun::Writing(BEFORE), NOW).unwrap();
        // Killed.
        let notes = open(path, NOW.plus(Span::minutes(2))).unwrap();
        assert_eq!(notes.find(&anna), Some(Begun::Writing(BEFORE)));
        assert_eq!(notes.find(&change("op2", "Geheimes-Wort-1")), None);
        assert_eq!(notes.find(&change("op1", "another")), None);
        let refused = Begun::Refused(Refusal::other("x"));
        for begun in [Begun::Written, refused] {
            notes.note(&anna, begun.clone(), NOW).unwrap();
            assert_eq!(open(path, NOW).unwrap().find(&anna), Some(begun));
        }
        notes.forget(&anna).unwrap();
        assert_eq!(open(path, NOW).unwrap().find(&anna), None);
        // One that was forgotten by everybody goes by itself.
        notes.note(&anna, Begun::Written, NOW).unwrap();
        let later = NOW.plus(NOTE_LIFE);
        assert_eq!(open(path, later).unwrap().find(&anna), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_files_are_private_and_hold_no_password() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let notes = open(directory.path(), NOW).unwrap();
        let anna = change("op1", "Geheimes-Wort-1");
        notes.note(&anna, Begun::Writing(BEFORE), NOW).unwrap();
        for name in [FILE, KEY_FILE] {
            let path = directory.path().join(name);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(8).any(|part| part == b"Geheimes");
            assert!(!found, "{name}");
        }
        let other = tempfile::tempdir().unwrap();
        let stranger = Notes::open(other.path(), NOW, &SeededEntropy::new(5)).unwrap();
        assert_ne!(stranger.digest(&anna), notes.digest(&anna));
        assert_eq!(notes.digest(&anna).len(), 2 * DIGEST_BYTES);
    }

    #[test]
    fn the_number_of_notes_is_bounded_and_damage_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let notes = open(directory.path(), NOW).unwrap();
        let mut full = BTreeMap::new();
        for number in 0..NOTES_MAX {
            let note = Note {
                at: NOW.plus(Span::seconds(1 + number as i64)).to_string(),
                digest: String::new(),
                begun: Begun::Written,
            };
            full.insert(format!("op{number}"), note);
        }
        *notes.lock() = full;
        let newest = change("new", "x");
        notes
            .note(&newest, Begun::Written, NOW.plus(Span::minutes(59)))
            .unwrap();
        assert_eq!(notes.lock().len(), NOTES_MAX);
        assert!(!notes.lock().contains_key("op0"), "the oldest went");
        assert_eq!(notes.find(&newest), Some(Begun::Written));
        std::fs::write(directory.path().join(FILE), "{").unwrap();
        let error = open(directory.path(), NOW).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains(FILE), "{error}");
        std::fs::remove_file(directory.path().join(FILE)).unwrap();
        std::fs::write(directory.path().join(KEY_FILE), "short").unwrap();
        let error = open(directory.path(), NOW).unwrap_err().to_string();
        assert!(error.contains(KEY_FILE), "{error}");
    }
}
