//! What the password hash stream keeps beside the index: its cursor, and who gets a hash later.
//!
//! Invariant: no hash is ever here. As for the index, the file is never the truth; a cursor that
//! does not fit the hub's token is not used (`crate::replication_token`).

use std::collections::BTreeSet;

use redb::{ReadableTable as _, TableDefinition, TableError};

use super::{IndexFile, IndexFileError};
use crate::engine::Guid;

const CURSOR: TableDefinition<(), &[u8]> = TableDefinition::new("password_hash_cursor");
const LATER: TableDefinition<[u8; 16], ()> = TableDefinition::new("password_hash_later");

impl IndexFile {
    /// The last stored cursor.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn hash_cursor(&self) -> Result<Option<Vec<u8>>, IndexFileError> {
        self.read(|tx| match tx.open_table(CURSOR) {
            Ok(table) => Ok(table.get(())?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Stores a cursor.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_hash_cursor(&self, cursor: &[u8]) -> Result<(), IndexFileError> {
        self.write(|tx| {
            tx.open_table(CURSOR)?.insert((), cursor)?;
            Ok(())
        })
    }

    /// Who gets a hash later.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn later_hashes(&self) -> Result<BTreeSet<Guid>, IndexFileError> {
        self.read(|tx| {
            let table = match tx.open_table(LATER) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeSet::new()),
                Err(error) => return Err(error.into()),
            };
            let mut later = BTreeSet::new();
            for entry in table.iter()? {
                later.insert(Guid::from_wire(entry?.0.value()));
            }
            Ok(later)
        })
    }

    /// Stores who gets a hash later, unless that is stored already.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_later_hashes(&self, later: &BTreeSet<Guid>) -> Result<(), IndexFileError> {
        if self.later_hashes()? == *later {
            return Ok(());
        }
        self.write(|tx| {
            tx.delete_table(LATER)?;
            let mut table = tx.open_table(LATER)?;
            for guid in later {
                table.insert(guid.to_wire(), ())?;
            }
            Ok(())
        })
    }
}
