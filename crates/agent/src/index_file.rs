//! The index on disk, so that a restart can go on with a delta.
//!
//! Invariant: the file is never the truth. While a batch is being written to the hub the file
//! carries no token, nor after a session of another agent; a file without the hub's token, or made
//! under other settings, is thrown away and rebuilt from both sides.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use redb::{
    ConcurrencyMode, Database, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition,
};
use rollcall_kit::timestamp::Timestamp;

use crate::engine::Guid;

mod account_state;
mod objects;
mod password_hash;
mod record;

pub use objects::Stored;

const FILE: &str = "index.redb";
/// A damaged file, kept for who wants to look into it; there is one at most.
const DAMAGED_FILE: &str = "index.redb.damaged";
/// What the store may keep in memory, in bytes; the index itself is in memory already.
const CACHE_BYTES: usize = 8 << 20;
const OBJECTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("object");
const FACTS: TableDefinition<&str, &[u8]> = TableDefinition::new("fact");
const FILTER: TableDefinition<&str, &[u8]> = TableDefinition::new("filter");
const BINDING: &str = "binding";
const TOKEN: &str = "token";
const COOKIE: &str = "cookie";
const SESSION: &str = "session";
const CONTROLLER: &str = "controller";
const COMPARED_AT: &str = "compared at";
const FOLLOWED_AT: &str = "followed_at";

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexFileError {
    /// Another agent works in the same directory.
    #[error("{0} is in use; another agent runs in the same working directory")]
    InUse(PathBuf),
    /// The file system or the store failed.
    #[error(
        "cannot use the index file {path}; if it is damaged, delete it: the next run rebuilds it"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

/// The open file.
#[derive(Debug)]
pub struct IndexFile {
    store: Store,
    path: PathBuf,
}

enum Store {
    /// Nobody else writes to it.
    Own(Database),
    /// Another process may write to it meanwhile; what is read is one state of it.
    Shared(ReadOnlyDatabase),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own(_) => "Own",
            Self::Shared(_) => "Shared",
        })
    }
}

/// What a batch brought: the cursor that covers it.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    /// The token the hub stores.
    pub token: &'a str,
    /// The directory's cookie.
    pub cookie: &'a [u8],
}

impl IndexFile {
    /// Opens the file in `directory`, or makes it. A damaged one is moved aside, so that everything is
    /// compared.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn open(directory: &Path) -> Result<Self, IndexFileError> {
        let path = directory.join(FILE);
        let database = match create(&path) {
            Err(error) if is_damaged(&error) => {
                move_aside(&path, &error);
                create(&path)
            }
            other => other,
        };
        let database = match database {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                return Err(IndexFileError::InUse(path));
            }
            Err(error) => {
                return Err(IndexFileError::Broken {
                    path,
                    source: Box::new(error.into()),
                });
            }
        };
        let file = Self {
            store: Store::Own(database),
            path,
        };
        file.write(|tx| {
            tx.open_table(OBJECTS)?;
            tx.open_table(FACTS)?;
            tx.open_table(FILTER)?;
            Ok(())
        })?;
        Ok(file)
    }

    /// Opens the file in `directory` to read it, also while an agent works with it. What is to be
    /// written to it later is dropped: it stays as it is. `None` when there is no file, or it
    /// cannot be read as it is, after a crash for example.
    #[must_use]
    pub fn look(directory: &Path) -> Option<Self> {
        let path = directory.join(FILE);
        let opened = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .open_read_only(&path);
        match opened {
            Ok(database) => Some(Self {
                store: Store::Shared(database),
                path,
            }),
            Err(error) => {
                tracing::debug!(%error, "the index cannot be looked into");
                None
            }
        }
    }

    /// The cookie of the last stored cursor.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn cookie(&self) -> Result<Option<Vec<u8>>, IndexFileError> {
        self.fact(COOKIE)
    }

    /// The controller whose cookie it is, by the identity of its database.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn controller(&self) -> Result<Option<Guid>, IndexFileError> {
        let bytes = self
            .fact(CONTROLLER)?
            .and_then(|bytes| bytes.try_into().ok());
        Ok(bytes.map(Guid::from_wire))
    }

    /// Remembers whose cookie the last stored one is.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_controller(&self, controller: Option<Guid>) -> Result<(), IndexFileError> {
        self.write(|tx| {
            let mut facts = tx.open_table(FACTS)?;
            match controller {
                Some(guid) => facts.insert(CONTROLLER, guid.to_wire().as_slice())?,
                None => facts.remove(CONTROLLER)?,
            };
            Ok(())
        })
    }

    /// When everything was last compared.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn compared_at(&self) -> Result<Option<Timestamp>, IndexFileError> {
        let bytes = self.fact(COMPARED_AT)?;
        let micros = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(micros.map(|micros| Timestamp::from_micros(i64::from_le_bytes(micros))))
    }

    /// Notes that everything was compared with what it was then.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_compared_at(&self, at: Timestamp) -> Result<(), IndexFileError> {
        self.write(|tx| {
            let micros = at.as_micros().to_le_bytes();
            tx.open_table(FACTS)?.insert(COMPARED_AT, &micros[..])?;
            Ok(())
        })
    }

    /// When the directory was last followed up to its present.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn followed_at(&self) -> Result<Option<Timestamp>, IndexFileError> {
        let bytes = self.fact(FOLLOWED_AT)?;
        let micros = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(micros.map(|micros| Timestamp::from_micros(i64::from_le_bytes(micros))))
    }

    /// Notes that the directory was followed up to what it was then.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_followed_at(&self, at: Timestamp) -> Result<(), IndexFileError> {
        self.write(|tx| {
            let bytes = at.as_micros().to_le_bytes();
            tx.open_table(FACTS)?.insert(FOLLOWED_AT, &bytes[..])?;
            Ok(())
        })
    }

    /// From now on the hub may differ from the file: forgets the token until [`Self::save`].
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn begin_writing(&self) -> Result<(), IndexFileError> {
        self.write(|tx| {
            tx.open_table(FACTS)?.remove(TOKEN)?;
            Ok(())
        })
    }

    /// The last session of the objects in which this agent wrote, and nobody else between the
    /// stored index and its end.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn session(&self) -> Result<Option<String>, IndexFileError> {
        let bytes = self.fact(SESSION)?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Begins the session `id`, after `previous`; tells whether the file goes on. Unless `previous`
    /// was one of this file, another agent may have written since, and the file loses its token:
    /// the hub's says only what was covered when a batch was finished, not what an agent wrote
    /// that died before.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn begin_session(&self, id: &str, previous: Option<&str>) -> Result<bool, IndexFileError> {
        let known = self.session()?;
        let goes_on = known.is_some() && known.as_deref() == previous;
        self.write(|tx| {
            let mut facts = tx.open_table(FACTS)?;
            if !goes_on {
                facts.remove(TOKEN)?;
            }
            facts.insert(SESSION, id.as_bytes())?;
            Ok(())
        })?;
        Ok(goes_on)
    }

    /// The objectGUID an entry of the filter had when it was last resolved (decision U122).
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn filter_entry(&self, entry: &str) -> Result<Option<Guid>, IndexFileError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(FILTER)?;
            Ok(table.get(entry)?.map(|value| value.value().to_vec()))
        })?;
        Ok(bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Guid::from_wire))
    }

    /// Remembers the objectGUIDs of the entries of the filter, and forgets former entries: one that
    /// comes back later is resolved by its name.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_filter_entries(
        &self,
        entries: &BTreeMap<String, Guid>,
    ) -> Result<(), IndexFileError> {
        let known: BTreeMap<String, Guid> = self.read(|tx| {
            let table = tx.open_table(FILTER)?;
            let mut known = BTreeMap::new();
            for row in table.iter()? {
                let (key, value) = row?;
                let guid = value.value().try_into().ok().map(Guid::from_wire);
                known.extend(guid.map(|guid| (key.value().to_owned(), guid)));
            }
            Ok(known)
        })?;
        if known == *entries {
            return Ok(());
        }
        self.write(|tx| {
            tx.delete_table(FILTER)?;
            let mut table = tx.open_table(FILTER)?;
            for (entry, guid) in entries {
                table.insert(entry.as_str(), guid.to_wire().as_slice())?;
            }
            Ok(())
        })
    }

    fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, IndexFileError> {
        self.read(|tx| {
            let table = tx.open_table(FACTS)?;
            Ok(table.get(name)?.map(|value| value.value().to_vec()))
        })
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, IndexFileError> {
        let tx = self.begin_read()?;
        work(&tx).map_err(|source| self.broken(source))
    }

    /// One state of the file, as long as it is held.
    fn begin_read(&self) -> Result<redb::ReadTransaction, IndexFileError> {
        let begun = match &self.store {
            Store::Own(database) => database.begin_read(),
            Store::Shared(database) => database.begin_read(),
        };
        begun.map_err(|source| self.broken(source.into()))
    }

    fn write(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), IndexFileError> {
        let Store::Own(database) = &self.store else {
            return Ok(());
        };
        let result = database
            .begin_write()
            .map_err(redb::Error::from)
            .and_then(|tx| {
                work(&tx)?;
                tx.commit().map_err(redb::Error::from)
            });
        result.map_err(|source| self.broken(source))
    }

    fn broken(&self, source: redb::Error) -> IndexFileError {
        IndexFileError::Broken {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }
}

fn create(path: &Path) -> Result<Database, redb::DatabaseError> {
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        // One process writes, others may look (`IndexFile::look`).
        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
        .create(path)
}

/// Whether it is the content of the file that is wrong.
fn is_damaged(error: &redb::DatabaseError) -> bool {
    use redb::{DatabaseError, StorageError};
    match error {
        DatabaseError::RepairAborted
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(StorageError::Io(error)) => matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}

fn move_aside(path: &Path, error: &redb::DatabaseError) {
    let kept = path.with_file_name(DAMAGED_FILE);
    match std::fs::rename(path, &kept) {
        Ok(()) => tracing::warn!(
            %error,
            kept = %kept.display(),
            "the index file is damaged and was moved aside; everything is compared"
        ),
        Err(failed) => tracing::warn!(%error, %failed, "the index file is damaged and stays"),
    }
}

fn set_cursor(tx: &redb::WriteTransaction, cursor: Cursor<'_>) -> Result<(), redb::Error> {
    let mut facts = tx.open_table(FACTS)?;
    facts.insert(TOKEN, cursor.token.as_bytes())?;
    facts.insert(COOKIE, cursor.cookie)?;
    Ok(())
}

#[cfg(test)]
mod tests;
