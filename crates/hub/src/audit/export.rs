//! The job that hands the audit trail to a collector: each event as a line of a file or of the
//! standard output.
//!
//! Invariant: every event is written at least once. Transactions may become visible in another
//! order than that of their events, so each look begins some minutes before the newest exported
//! event, and ids that were written are remembered for so long. How far the export is stands in a
//! small file; after a start the last minutes are written again, and collectors drop repetitions
//! by `event_id`. Deliberately absent: rotation, which is the collector's; a file that was moved
//! away is made anew.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use rollcall_domain::audit::AuditEvent;
use rollcall_domain::id::AuditEventId;
use rollcall_kit::id::first_id;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_store::Tx;
use tokio_util::sync::CancellationToken;

use super::line;
use crate::config::AuditSink;
use crate::error::Error;
use crate::hub::Hub;
use crate::limits;

/// Nobody else may read what others did.
const FILE_MODE: u32 = 0o600;
/// A position is a number of microseconds.
const POSITION_BYTES_MAX: u64 = 32;

/// The export, ready to run.
pub struct Export {
    output: Arc<Mutex<Output>>,
    position_path: PathBuf,
    /// Everything before it, less the overlap, is exported.
    position: Option<Timestamp>,
    /// Exported events that a look may meet again.
    written: BTreeSet<AuditEventId>,
}

impl Export {
    /// An export to `sink` that goes on where the file `position_path` says.
    ///
    /// # Errors
    /// When that file is damaged.
    pub fn open(sink: AuditSink, position_path: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            output: Arc::new(Mutex::new(Output { sink, open: None })),
            position: read_position(&position_path)?,
            position_path,
            written: BTreeSet::new(),
        })
    }

    /// Runs until `stop`.
    pub async fn run(mut self, hub: Arc<Hub>, stop: CancellationToken) {
        // The clock may have been set back since, and other hubs go by it.
        let now = hub.clock.now();
        self.position = self.position.map(|position| position.min(now));
        while !stop.is_cancelled() {
            if let Err(error) = self.look(&hub).await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "audit events wait for their export"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(limits::AUDIT_EXPORT_PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Exports everything that is there and not exported yet.
    async fn look(&mut self, hub: &Hub) -> anyhow::Result<()> {
        let mut after = self.floor(hub);
        loop {
            let from = after.clone();
            let ids = hub
                .store
                .read(async move |tx: &Tx| {
                    let limit = limits::AUDIT_EXPORT_IDS_MAX;
                    Ok::<_, Error>(tx.list_audit_event_ids_after(&from, limit).await?)
                })
                .await?;
            let Some(last) = ids.last() else {
                return Ok(());
            };
            after = last.clone();
            let is_last = ids.len() < limits::AUDIT_EXPORT_IDS_MAX as usize;
            let new: Vec<_> = ids
                .into_iter()
                .filter(|id| !self.written.contains(id))
                .collect();
            for batch in new.chunks(limits::AUDIT_EXPORT_BATCH_MAX) {
                self.export(hub, batch.to_vec()).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn export(&mut self, hub: &Hub, ids: Vec<AuditEventId>) -> anyhow::Result<()> {
        let events = hub
            .store
            .read(async move |tx: &Tx| Ok::<_, Error>(tx.list_audit_events_by_id(&ids).await?))
            .await?;
        let mut text = String::new();
        for event in &events {
            text.push_str(&line::write(event)?);
        }
        let output = Arc::clone(&self.output);
        let append = move || {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.append(text.as_bytes())
        };
        tokio::task::spawn_blocking(append).await??;
        self.written
            .extend(events.iter().map(|event| event.id.clone()));
        // An event of a hub whose clock is ahead must not move the position past the present.
        let newest = events.iter().map(|event: &AuditEvent| event.time).max();
        let newest = newest.map(|newest| newest.min(hub.clock.now()));
        if let Some(newest) = newest.filter(|newest| Some(*newest) > self.position) {
            self.position = Some(newest);
            let path = self.position_path.clone();
            tokio::task::spawn_blocking(move || write_position(&path, newest)).await??;
            let floor = self.floor(hub);
            self.written = self.written.split_off(&floor);
        }
        Ok(())
    }

    /// Where a look begins.
    fn floor(&self, hub: &Hub) -> AuditEventId {
        let overlap = i64::from(hub.limits.call_seconds_max)
            .saturating_add(limits::AUDIT_EXPORT_OVERLAP_SECONDS);
        AuditEventId::new(self.position.map_or_else(String::new, |position| {
            first_id(AuditEventId::PREFIX, position.minus(Span::seconds(overlap)))
        }))
    }
}

/// Where lines go.
struct Output {
    sink: AuditSink,
    open: Option<OpenFile>,
}

/// An open file, with what tells whether its path still leads to it.
struct OpenFile {
    file: File,
    device: u64,
    inode: u64,
}

impl Output {
    /// Appends whole lines and makes them durable.
    fn append(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        match &self.sink {
            AuditSink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout
                    .write_all(lines)
                    .and_then(|()| stdout.flush())
                    .context("the standard output takes no audit events")
            }
            AuditSink::File(path) => {
                let outcome = append_to(path, &mut self.open, lines);
                if outcome.is_err() {
                    // Opening it again ends a line that was cut.
                    self.open = None;
                }
                outcome.with_context(|| format!("{} takes no audit events", path.display()))
            }
        }
    }
}

fn append_to(path: &Path, open: &mut Option<OpenFile>, lines: &[u8]) -> io::Result<()> {
    let present = fs::metadata(path).ok();
    let is_current = matches!((&open, &present), (Some(open), Some(present))
        if (open.device, open.inode) == (present.dev(), present.ino()));
    if !is_current {
        *open = None;
    }
    let target = match open {
        Some(open) => open,
        None => open.insert(OpenFile::open(path)?),
    };
    target.file.write_all(lines)?;
    target.file.sync_data()
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(FILE_MODE)
            .open(path)?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        let metadata = file.metadata()?;
        Ok(Self {
            file,
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

fn read_position(path: &Path) -> anyhow::Result<Option<Timestamp>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let mut text = String::new();
    file.take(POSITION_BYTES_MAX).read_to_string(&mut text)?;
    match text.trim_end().parse() {
        Ok(micros) => Ok(Some(Timestamp::from_micros(micros))),
        Err(_) => bail!(
            "{} is damaged: remove it, and all audit events are exported again",
            path.display()
        ),
    }
}

/// Replaces the file as a whole, so that a crash leaves the old one or the new one.
fn write_position(path: &Path, position: Timestamp) -> anyhow::Result<()> {
    let new = path.with_extension("position.new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&new)?;
        writeln!(file, "{}", position.as_micros())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_moved_file_is_made_anew_and_a_cut_line_is_ended() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("audit.jsonl");
        let mut output = Output {
            sink: AuditSink::File(path.clone()),
            open: None,
        };
        output.append(b"1\n").unwrap();
        output.append(b"2\n").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, FILE_MODE);
        let moved = temp.path().join("audit.1");
        fs::rename(&path, &moved).unwrap();
        output.append(b"3\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "1\n2\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
        fs::write(&path, "cut").unwrap();
        let mut again = Output {
            sink: AuditSink::File(path.clone()),
            open: None,
        };
        again.append(b"4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "cut\n4\n");
    }

    #[test]
    fn a_position_survives_and_a_damaged_one_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("audit.position");
        assert_eq!(read_position(&path).unwrap(), None);
        let position = Timestamp::from_micros(1_700_000_000_000_001);
        write_position(&path, position).unwrap();
        assert_eq!(read_position(&path).unwrap(), Some(position));
        fs::write(&path, "x").unwrap();
        let error = read_position(&path).unwrap_err().to_string();
        assert!(error.contains("audit.position is damaged"), "{error}");
    }
}
