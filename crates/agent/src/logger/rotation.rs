//! A log file that is rotated by size.
//!
//! Invariant: `NAME` is the newest, `NAME.1` the one before, and so on; at most the configured
//! number of old files exists. A file without a size limit is never rotated.

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
        if self.bytes_max > 0 && self.bytes > 0 && self.bytes + more > self.bytes_max {
            self.rotate()?;
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
