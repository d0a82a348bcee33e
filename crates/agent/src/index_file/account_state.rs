//! What the account state stream keeps beside the index: its cookie.
//!
//! Invariant: as for the index, the file is never the truth; a cookie that does not fit the hub's
//! token is not used (`crate::replication_token`).

use redb::{TableDefinition, TableError};

use super::{IndexFile, IndexFileError};

const COOKIE: TableDefinition<(), &[u8]> = TableDefinition::new("account_state_cookie");

impl IndexFile {
    /// The cookie of the last stored cursor.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn account_cookie(&self) -> Result<Option<Vec<u8>>, IndexFileError> {
        self.read(|tx| match tx.open_table(COOKIE) {
            Ok(table) => Ok(table.get(())?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Stores a cookie.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub fn set_account_cookie(&self, cookie: &[u8]) -> Result<(), IndexFileError> {
        self.write(|tx| {
            tx.open_table(COOKIE)?.insert((), cookie)?;
            Ok(())
        })
    }
}
