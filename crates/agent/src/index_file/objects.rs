//! The records of the index: read and stored in batches.
//!
//! Invariant: between two batches the runtime gets its turn, so that a stop is noticed there; who
//! drops the future in between leaves a file without a token when it was storing, which the next
//! start takes for no index at all. What is read is one state of the file, however many batches it
//! takes.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::{
    BINDING, Cursor, FACTS, IndexFile, IndexFileError, OBJECTS, TOKEN, record, set_cursor,
};
use crate::engine::Guid;
use crate::engine::index::{Dirty, Index, Record};
use crate::engine::memory::Memory;

/// Records in one transaction: the store holds on to every page that one has touched, and a stop
/// waits for the end of one.
pub(super) const RECORDS_PER_TRANSACTION: usize = 5_000;
/// Records that are read between two looks at whether to stop.
const RECORDS_READ_AT_ONCE: usize = 20_000;

/// The index on disk and what it has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The file.
    pub file: &'a IndexFile,
    /// The settings it has to be made under.
    pub binding: &'a [u8],
    /// The token of the hub.
    pub token: &'a str,
}

impl Stored<'_> {
    /// The index, if it was made under this binding and covers exactly what the token covers.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub async fn load(&self) -> Result<Option<Index>, IndexFileError> {
        if !self.file.covers(self.binding, self.token)? {
            return Ok(None);
        }
        let mut index = Index::default();
        let records = self.file.each(|guid, record| index.load(guid, record));
        let whole = records.await?;
        Ok(whole.then_some(index))
    }

    /// What the stored index knows that the listing in `present` does not tell, under the same
    /// conditions as [`Self::load`], without loading it.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub async fn memory(&self, present: &Index) -> Result<Option<Memory>, IndexFileError> {
        if !self.file.covers(self.binding, self.token)? {
            return Ok(None);
        }
        let mut memory = Memory::default();
        let records = self
            .file
            .each(|guid, record| memory.note(present, guid, &record));
        let whole = records.await?;
        Ok(whole.then_some(memory))
    }
}

impl IndexFile {
    fn covers(&self, binding: &[u8], token: &str) -> Result<bool, IndexFileError> {
        Ok(self.fact(BINDING)?.as_deref() == Some(binding)
            && self.fact(TOKEN)?.as_deref() == Some(token.as_bytes())
            && !token.is_empty())
    }

    /// Stores the changed records; `stored` hears how many more of them are.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub async fn save(
        &self,
        index: &mut Index,
        cursor: Cursor<'_>,
        stored: impl FnMut(usize),
    ) -> Result<(), IndexFileError> {
        match index.take_dirty() {
            Dirty::All => {
                self.put_all(index, stored).await?;
                self.write(|tx| set_cursor(tx, cursor))
            }
            Dirty::Some(changed) if changed.len() <= RECORDS_PER_TRANSACTION => self.write(|tx| {
                put_some(tx, index, &changed)?;
                set_cursor(tx, cursor)
            }),
            Dirty::Some(changed) => {
                self.begin_writing()?;
                self.put_changed(index, changed, stored).await?;
                self.write(|tx| set_cursor(tx, cursor))
            }
        }
    }

    /// Replaces everything by a newly built index; `stored` hears how many more records are stored.
    ///
    /// # Errors
    /// [`IndexFileError`].
    pub async fn replace(
        &self,
        index: &mut Index,
        binding: &[u8],
        cursor: Cursor<'_>,
        stored: impl FnMut(usize),
    ) -> Result<(), IndexFileError> {
        index.take_dirty();
        self.put_all(index, stored).await?;
        self.write(|tx| {
            tx.open_table(FACTS)?.insert(BINDING, binding)?;
            set_cursor(tx, cursor)
        })
    }

    /// Stores every record in place of the former ones. Meanwhile the file has no token.
    async fn put_all(
        &self,
        index: &Index,
        mut stored: impl FnMut(usize),
    ) -> Result<(), IndexFileError> {
        self.begin_writing()?;
        self.write(|tx| {
            tx.delete_table(OBJECTS)?;
            tx.open_table(OBJECTS)?;
            Ok(())
        })?;
        let mut last = None;
        loop {
            let mut number = 0;
            self.write(|tx| {
                let mut objects = tx.open_table(OBJECTS)?;
                for (guid, record) in index.iter_after(last).take(RECORDS_PER_TRANSACTION) {
                    put(&mut objects, guid, record)?;
                    last = Some(guid);
                    number += 1;
                }
                Ok(())
            })?;
            stored(number);
            if number < RECORDS_PER_TRANSACTION {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Stores many records among others. The file has no token yet.
    async fn put_changed(
        &self,
        index: &Index,
        mut left: BTreeSet<Guid>,
        mut stored: impl FnMut(usize),
    ) -> Result<(), IndexFileError> {
        while !left.is_empty() {
            let rest = match left.iter().nth(RECORDS_PER_TRANSACTION).copied() {
                Some(next) => left.split_off(&next),
                None => BTreeSet::new(),
            };
            self.write(|tx| put_some(tx, index, &left))?;
            stored(left.len());
            left = rest;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Hands on the records; tells whether every one of them could be read.
    async fn each(&self, mut sink: impl FnMut(Guid, Record)) -> Result<bool, IndexFileError> {
        let tx = self.begin_read()?;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut number = 0;
            let mut read = || -> Result<bool, redb::Error> {
                let table = tx.open_table(OBJECTS)?;
                let start = last.take();
                let start = start.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let rows = table.range::<&[u8]>((start, Bound::Unbounded))?;
                for row in rows.take(RECORDS_READ_AT_ONCE) {
                    let (key, value) = row?;
                    let guid = key.value().try_into().ok().map(Guid::from_wire);
                    let record = record::decode(value.value());
                    let (Some(guid), Some(record)) = (guid, record) else {
                        tracing::warn!(
                            "a record of the index cannot be read; everything is compared"
                        );
                        return Ok(false);
                    };
                    sink(guid, record);
                    number += 1;
                    if number == RECORDS_READ_AT_ONCE {
                        last = Some(key.value().to_vec());
                    }
                }
                Ok(true)
            };
            if !read().map_err(|source| self.broken(source))? {
                return Ok(false);
            }
            if number < RECORDS_READ_AT_ONCE {
                return Ok(true);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Stores records, or forgets those the index does not have any more.
fn put_some(
    tx: &redb::WriteTransaction,
    index: &Index,
    changed: &BTreeSet<Guid>,
) -> Result<(), redb::Error> {
    let mut objects = tx.open_table(OBJECTS)?;
    for guid in changed {
        match index.get(*guid) {
            Some(record) => put(&mut objects, *guid, record)?,
            None => {
                objects.remove(guid.to_wire().as_slice())?;
            }
        }
    }
    Ok(())
}

fn put(
    objects: &mut redb::Table<'_, &[u8], &[u8]>,
    guid: Guid,
    record: &Record,
) -> Result<(), redb::Error> {
    let bytes = record::encode(record);
    objects.insert(guid.to_wire().as_slice(), bytes.as_slice())?;
    Ok(())
}
