//! A log file that is rotated by size.
//!
//! Invariant: `NAME` is the newest, `NAME.1` the one before, and so on; at most the configured
//! number of old files exists. A file without a size limit is never rotated. A rotation that fails
//! costs no line: the present file goes on, and the rotation is tried again later.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The open file.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    backups: u32,
    /// Size at which a rotation is tried next.
    rotate_at: u64,
}

impl RotatingFile {
    /// Appends to `path`; `bytes_max` 0 means no limit.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, bytes_max: u64, backups: u32) -> io::Result<Self> {
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            bytes_max,
            backups,
            rotate_at: bytes_max,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let oldest = self.numbered(self.backups);
        if self.backups > 0 {
            let _ = std::fs::remove_file(oldest);
            for number in (1..self.backups).rev() {
                let _ = std::fs::rename(self.numbered(number), self.numbered(number + 1));
            }
            std::fs::rename(&self.path, self.numbered(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        self.file = append(&self.path)?;
        self.bytes = 0;
        self.rotate_at = self.bytes_max;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let more = line.len() as u64;
        let is_full = self.bytes.saturating_add(more) > self.rotate_at;
        if self.bytes_max > 0 && self.bytes > 0 && is_full && self.rotate().is_err() {
            self.rotate_at = self.bytes.saturating_add(self.bytes_max);
        }
        self.file.write_all(line)?;
        self.bytes += more;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_are_numbered_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = RotatingFile::open(&path, 10, 2).unwrap();
        for line in ["first...\n", "second..\n", "third...\n", "fourth..\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).ok();
        assert_eq!(read("log").as_deref(), Some("fourth..\n"));
        assert_eq!(read("log.1").as_deref(), Some("third...\n"));
        assert_eq!(read("log.2").as_deref(), Some("second..\n"));
        assert_eq!(read("log.3"), None);
    }

    #[test]
    fn a_rotation_that_fails_costs_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = RotatingFile::open(&path, 10, 1).unwrap();
        // In the way of the old file.
        let obstacle = directory.path().join("log.1");
        std::fs::create_dir(&obstacle).unwrap();
        for line in ["first...\n", "second..\n", "third...\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let read = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(read(), "first...\nsecond..\nthird...\n");
        std::fs::remove_dir(&obstacle).unwrap();
        log.write_all(b"fourth..\n").unwrap();
        assert_eq!(read(), "fourth..\n");
        assert!(obstacle.is_file());
    }

    #[test]
    fn a_directory_that_is_gone_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub").join("log");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let mut log = RotatingFile::open(&path, 10, 2).unwrap();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        for _ in 0..5 {
            log.write_all(b"a line..\n").unwrap();
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_restart_goes_on_in_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        RotatingFile::open(&path, 0, 2)
            .unwrap()
            .write_all(b"a\n")
            .unwrap();
        RotatingFile::open(&path, 0, 2)
            .unwrap()
            .write_all(b"b\n")
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
    }
}
