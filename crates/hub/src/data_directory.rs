//! The data directory of a hub: which file is where, and who may use it.
//!
//! Invariant: the directory has mode 0700 and every file 0600; one running hub holds the lock.
//! Deliberately absent: the content of the files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDirectory(PathBuf);

/// The right to run on a data directory; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataDirectory {
    /// The directory at `path`, which need not exist.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Creates the directory with mode 0700. An existing directory must be empty.
    ///
    /// # Errors
    /// When it holds anything, or cannot be made.
    pub fn create(&self) -> anyhow::Result<()> {
        if self.config().exists() {
            bail!(
                "{} already holds a hub: start it with `rollcall-hub serve`, or choose another \
                 directory",
                self.0.display()
            );
        }
        if self.0.exists() {
            let mut entries = std::fs::read_dir(&self.0)
                .with_context(|| format!("{} cannot be read", self.0.display()))?;
            if entries.next().is_some() {
                bail!("{} is not empty: choose a new directory", self.0.display());
            }
            std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(DIRECTORY_MODE))?;
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(&self.0)
            .with_context(|| format!("{} cannot be made", self.0.display()))
    }

    /// Takes the lock of the directory.
    ///
    /// # Errors
    /// When the directory holds no hub, or another hub runs on it.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        if !self.config().exists() {
            bail!(
                "{} holds no hub: make one with `rollcall-hub init --data {}`",
                self.0.display(),
                self.0.display()
            );
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.0.join("lock"))
            .with_context(|| format!("the lock of {} cannot be opened", self.0.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another rollcall-hub already runs on {}: stop it first",
                self.0.display()
            );
        }
        Ok(Lock { _file: file })
    }

    /// Writes a new file with mode 0600 and syncs it.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("hub.yaml")
    }

    /// The SQLite database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("hub.db")
    }

    /// The SQLite database, made with mode 0600 if it is missing; SQLite gives its companion files
    /// the same mode.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_database(&self) -> anyhow::Result<PathBuf> {
        let path = self.database();
        if !path.exists() {
            Self::write_new(&path, b"")?;
        }
        Ok(path)
    }

    /// How far the audit trail is exported.
    #[must_use]
    pub fn audit_position(&self) -> PathBuf {
        self.0.join("audit.position")
    }

    /// The key that seals imported password hashes and signs page tokens.
    #[must_use]
    pub fn sealing_key(&self) -> PathBuf {
        self.0.join("sealing.key")
    }

    /// Certificate of the hub's own certification authority.
    #[must_use]
    pub fn ca_certificate(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Key of the hub's own certification authority.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.0.join("ca.key")
    }

    /// Certificate of the server.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    /// Key of the server certificate.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    /// Authorized key of the administrator's service account.
    #[must_use]
    pub fn administrator_key(&self) -> PathBuf {
        self.0.join("administrator.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_hub_runs_on_a_directory() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDirectory::at(&temp.path().join("hub"));
        assert!(data.lock().unwrap_err().to_string().contains("init"));
        data.create().unwrap();
        DataDirectory::write_new(&data.config(), b"x").unwrap();
        let first = data.lock().unwrap();
        assert!(
            data.lock()
                .unwrap_err()
                .to_string()
                .contains("already runs")
        );
        drop(first);
        data.lock().unwrap();
    }

    #[test]
    fn nobody_else_may_read() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDirectory::at(&temp.path().join("hub"));
        data.create().unwrap();
        DataDirectory::write_new(&data.sealing_key(), b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&data.sealing_key()), 0o600);
        assert!(data.create().unwrap_err().to_string().contains("not empty"));
    }
}
