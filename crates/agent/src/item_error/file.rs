//! The failed items on disk, one JSON object per line, so that `status` can read them while the
//! service runs.
//!
//! Invariant: the file is replaced as a whole, so a reader sees one state; a line that cannot be
//! read is left out, because every failure shows again in the next run.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::{ItemError, ItemErrors};
use crate::failure::Failure;
use crate::stream::Stream;

/// Longest line that is read.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Where the failed items of one stream are.
#[derive(Debug, Clone)]
pub struct ItemErrorFile {
    path: PathBuf,
}

impl ItemErrorFile {
    /// The file of `stream` in `directory`. Each stream has its own, because they work at the same
    /// time.
    #[must_use]
    pub fn of(stream: Stream, directory: &Path) -> Self {
        let name = match stream {
            Stream::Objects => "failed_items.jsonl",
            Stream::AccountState => "failed_accounts.jsonl",
            Stream::PasswordHashes => "failed_hashes.jsonl",
        };
        Self {
            path: directory.join(name),
        }
    }

    /// The stored items of every stream.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn load_all(directory: &Path) -> io::Result<Vec<ItemError>> {
        let mut items = Vec::new();
        for stream in Stream::ALL {
            items.extend(Self::of(stream, directory).load()?);
        }
        Ok(items)
    }

    /// The stored items as a run goes on with them.
    ///
    /// # Errors
    /// [`Failure::Run`] when the file cannot be read.
    pub fn errors(&self) -> Result<ItemErrors, Failure> {
        let stored = self.load();
        let unreadable = |error| Failure::run("the failed items cannot be read", &error);
        Ok(ItemErrors::from_stored(stored.map_err(unreadable)?))
    }

    /// As [`Self::save`], for a run.
    ///
    /// # Errors
    /// [`Failure::Run`] when the file cannot be written.
    pub fn keep(&self, errors: &mut ItemErrors) -> Result<(), Failure> {
        let saved = self.save(errors);
        saved.map_err(|error| Failure::run("the failed items cannot be stored", &error))
    }

    /// The stored items; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(&self) -> io::Result<Vec<ItemError>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut items = Vec::new();
        for line in BufReader::new(file).lines().take(super::ITEMS_MAX) {
            let line = line?;
            if line.len() <= LINE_BYTES_MAX {
                items.extend(serde_json::from_str(&line).ok());
            }
        }
        Ok(items)
    }

    /// Replaces the stored items, if `errors` changed since it was loaded or saved.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, errors: &mut ItemErrors) -> io::Result<()> {
        if !errors.is_changed() {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        let mut out = BufWriter::new(File::create(&new)?);
        for item in errors.iter() {
            serde_json::to_writer(&mut out, item)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        drop(out);
        std::fs::rename(new, &self.path)?;
        errors.saved();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rollcall_kit::timestamp::Timestamp;

    use super::*;
    use crate::engine::Guid;
    use crate::item_error::Problem;
    use crate::progress::{Change, ObjectType};

    #[test]
    fn what_was_saved_comes_back_and_a_bad_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let file = ItemErrorFile::of(Stream::Objects, directory.path());
        assert!(file.load().unwrap().is_empty());
        let mut errors = ItemErrors::default();
        for number in 1..=3 {
            let key = (
                Guid::from_number(number),
                ObjectType::Membership,
                Change::Create,
            );
            let problem = Problem::new("no", "yes");
            errors.fail(key, "CN=a\nb", &problem, Timestamp::EPOCH);
        }
        file.save(&mut errors).unwrap();
        assert!(!errors.is_changed());
        let stored = file.load().unwrap();
        assert_eq!(stored, errors.iter().cloned().collect::<Vec<_>>());
        let text = std::fs::read_to_string(&file.path).unwrap();
        assert_eq!(text.lines().count(), 3);
        std::fs::write(&file.path, format!("{{\n{text}")).unwrap();
        assert_eq!(file.load().unwrap().len(), 3);
    }
}
