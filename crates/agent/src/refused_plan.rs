//! A plan that was refused, on disk, and a person's approval of it (decision U124). Each stream has
//! its own, because they work at the same time.
//!
//! Invariant: an approval names one plan by its hash and lets that plan pass once: it is used up
//! before the first write, and worth nothing once another plan has passed. Files are readable for
//! the agent's user only, because they hold names of people.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::plan::{PlanHash, PlanHasher, Step};
use crate::stream::Stream;

/// Largest approval that is read.
const APPROVAL_BYTES_MAX: u64 = 4_096;
/// Bytes that are hashed at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// A refused plan, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedPlan {
    /// Its hash: `rollcall-agent approve` takes it.
    pub hash: String,
    /// Where it can be read.
    pub file: PathBuf,
}

/// What a person allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The hash of the plan.
    pub hash: String,
    /// When, RFC 3339.
    pub approved_at: String,
}

/// Where refused plans and approvals are.
#[derive(Debug, Clone)]
pub struct PlanFiles {
    refused: PathBuf,
    approved: PathBuf,
    approval: PathBuf,
}

impl PlanFiles {
    /// Those of a stream in the agent's directory.
    #[must_use]
    pub fn of(stream: Stream, directory: &Path) -> Self {
        let (refused, approved, approval) = match stream {
            Stream::Objects => ("refused_plan.jsonl", "approved_plan.jsonl", "approval.json"),
            Stream::AccountState => (
                "refused_accounts.jsonl",
                "approved_accounts.jsonl",
                "approval_accounts.json",
            ),
            // Hashes take nothing away, so none of these is ever written.
            Stream::PasswordHashes => (
                "refused_hashes.jsonl",
                "approved_hashes.jsonl",
                "approval_hashes.json",
            ),
        };
        Self {
            refused: directory.join(refused),
            approved: directory.join(approved),
            approval: directory.join(approval),
        }
    }

    /// Where the refused plan is.
    #[must_use]
    pub fn refused_path(&self) -> PathBuf {
        self.refused.clone()
    }

    /// Writes a plan down in place of the one that was refused before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep<'a>(&self, steps: impl IntoIterator<Item = Step<'a>>) -> io::Result<PlanHash> {
        let path = &self.refused;
        let new = path.with_extension("new");
        let file = private_file(&new)?;
        let hash = write_plan(steps, BufWriter::new(&file))?;
        file.sync_all()?;
        std::fs::rename(new, path)?;
        Ok(hash)
    }

    /// The hash of the refused plan, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn refused(&self) -> io::Result<Option<PlanHash>> {
        present(hash_file(&self.refused))
    }

    /// The approval that waits for its plan. A damaged one is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn approval(&self) -> io::Result<Option<Approval>> {
        let read = || {
            let mut text = Vec::new();
            let file = File::open(&self.approval)?;
            file.take(APPROVAL_BYTES_MAX).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = present(read())?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Allows the plan with this hash.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn approve(&self, approval: &Approval) -> io::Result<()> {
        let path = &self.approval;
        let new = path.with_extension("new");
        let mut file = private_file(&new)?;
        file.write_all(&serde_json::to_vec(approval)?)?;
        file.sync_all()?;
        std::fs::rename(new, path)
    }

    /// The approved plan is about to be carried out: the approval is used up, the plan is kept
    /// as the record of what was allowed.
    ///
    /// # Errors
    /// When the approval cannot be removed; nothing may be written then.
    pub fn use_up(&self) -> io::Result<()> {
        std::fs::remove_file(&self.approval)?;
        let kept = std::fs::rename(&self.refused, &self.approved);
        present(kept).map(drop)
    }

    /// Another plan has passed: the refused one is history, and so is an approval of it.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> io::Result<()> {
        for path in [&self.approval, &self.refused] {
            present(std::fs::remove_file(path))?;
        }
        Ok(())
    }
}

/// Writes a plan as JSON lines; its hash.
///
/// # Errors
/// Those of `to`.
pub fn write_plan<'a>(
    steps: impl IntoIterator<Item = Step<'a>>,
    mut to: impl io::Write,
) -> io::Result<PlanHash> {
    let mut hasher = PlanHasher::default();
    for step in steps {
        let line = step.line()?;
        hasher.take(line.as_bytes());
        to.write_all(line.as_bytes())?;
    }
    to.flush()?;
    Ok(hasher.finish())
}

/// The hash of a plan in a file.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> io::Result<PlanHash> {
    let mut file = File::open(path)?;
    let mut hasher = PlanHasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some([]) | None => return Ok(hasher.finish()),
            Some(bytes) => hasher.take(bytes),
        }
    }
}

/// A new, empty file that only the agent's user can read.
///
/// # Errors
/// When it cannot be made.
pub fn private_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE_MODE);
    options.open(path)
}

/// Read and write for the owner.
#[cfg(unix)]
pub(crate) const PRIVATE_MODE: u32 = 0o600;

/// A file that is not there is no error.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::Index;
    use crate::engine::plan::{Before, Plan, RemoveUserBehavior, Steps};

    fn keep(files: &PlanFiles, plan: &Plan) -> PlanHash {
        let steps = Steps {
            plan,
            index: &Index::default(),
            behavior: RemoveUserBehavior::Remove,
            before: &Before::default(),
        };
        files.keep(steps.iter()).unwrap()
    }

    fn approve(files: &PlanFiles, hash: PlanHash) {
        let approval = Approval {
            hash: hash.to_string(),
            approved_at: "2026-01-01T00:00:00Z".into(),
        };
        files.approve(&approval).unwrap();
        assert_eq!(files.approval().unwrap(), Some(approval));
    }

    fn creating(number: u128) -> Plan {
        Plan {
            user_creates: vec![crate::engine::Guid::from_number(number)],
            ..Plan::default()
        }
    }

    #[test]
    fn a_plan_is_kept_under_its_hash_until_it_is_used_up() {
        let directory = tempfile::tempdir().unwrap();
        let files = PlanFiles::of(Stream::Objects, directory.path());
        assert_eq!(files.refused().unwrap(), None);
        assert_eq!(files.approval().unwrap(), None);
        let one = keep(&files, &creating(1));
        let two = keep(&files, &creating(2));
        assert_ne!(one, two);
        assert_eq!(files.refused().unwrap(), Some(two));
        approve(&files, two);
        files.use_up().unwrap();
        assert_eq!(files.refused().unwrap(), None);
        assert_eq!(files.approval().unwrap(), None);
        assert!(files.use_up().is_err(), "an approval counts once");
    }

    #[test]
    fn what_passed_otherwise_clears_both() {
        let directory = tempfile::tempdir().unwrap();
        let files = PlanFiles::of(Stream::Objects, directory.path());
        let hash = keep(&files, &creating(1));
        approve(&files, hash);
        files.clear().unwrap();
        assert_eq!(files.refused().unwrap(), None);
        assert_eq!(files.approval().unwrap(), None);
        files.clear().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn others_cannot_read_the_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let files = PlanFiles::of(Stream::Objects, directory.path());
        approve(&files, keep(&files, &creating(1)));
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
