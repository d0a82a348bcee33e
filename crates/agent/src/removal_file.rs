//! What was taken away within the last day, on disk, one JSON object per line, so that it counts
//! in the sessions that follow and after a restart (decision 15).
//!
//! Invariant: a removal is on disk before it is tried, so that an agent that is killed has counted
//! it; an object counts once. Both streams count in the same file, which belongs to the process
//! that owns the working directory. No name is in it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_kit::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Guid;
use crate::engine::guard::{Limit, Loss, Removed, What};
use crate::failure::Failure;
use crate::refused_plan::private_file;

const FILE: &str = "removals.jsonl";
/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 4_096;
/// Lines that are read; the rest of a longer file is older than what counts, or not ours.
const LINES_MAX: usize = 4_000_000;
/// Lines that count no more are left in the file up to this number, or up to as many as count.
const SPENT_LINES_MAX: usize = 1_000;

/// The removals of the last day.
#[derive(Debug)]
pub struct RemovalFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    removed: Removed,
    /// In the file.
    lines: usize,
}

/// What is taken away, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Users,
    Groups,
    Suspensions,
    Members,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: String,
    what: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    object: String,
    known: usize,
    /// `safety.max_removals`, unless it was the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_removals: Option<usize>,
}

impl RemovalFile {
    /// The file in `directory`, which is ours.
    ///
    /// # Errors
    /// [`Failure::Run`] when it cannot be read or written.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, Failure> {
        let path = directory.join(FILE);
        let read = read(&path);
        let (mut removed, lines) = read.map_err(|error| broken(&path, &error))?;
        removed.expire(now);
        let file = Self {
            path,
            state: Mutex::new(State { removed, lines }),
        };
        let mut state = file.lock();
        if state.lines > state.removed.len() {
            let rewritten = file.rewrite(&mut state);
            rewritten.map_err(|error| broken(&file.path, &error))?;
        }
        drop(state);
        Ok(file)
    }

    /// What counts now, read beside the process that owns the directory.
    ///
    /// # Errors
    /// [`Failure::Run`] when it cannot be read.
    pub fn look(directory: &Path, now: Timestamp) -> Result<Removed, Failure> {
        let path = directory.join(FILE);
        let (mut removed, _) = read(&path).map_err(|error| broken(&path, &error))?;
        removed.expire(now);
        Ok(removed)
    }

    /// Hands on what counts now.
    pub fn with<T>(&self, now: Timestamp, look: impl FnOnce(&Removed) -> T) -> T {
        let mut state = self.lock();
        state.removed.expire(now);
        look(&state.removed)
    }

    /// Counts what is about to be taken away.
    ///
    /// # Errors
    /// [`Failure::Run`] when it cannot be written; nothing may be taken away then.
    pub fn take(&self, losses: impl Iterator<Item = Loss>) -> Result<(), Failure> {
        let mut state = self.lock();
        let written = self.append(&mut state, losses);
        written.map_err(|error| broken(&self.path, &error))
    }

    fn append(&self, state: &mut State, losses: impl Iterator<Item = Loss>) -> io::Result<()> {
        let mut losses = losses.peekable();
        if losses.peek().is_none() {
            return Ok(());
        }
        let mut options = File::options();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, crate::refused_plan::PRIVATE_MODE);
        let file = options.open(&self.path)?;
        let mut to = BufWriter::new(&file);
        for loss in losses {
            write_line(&mut to, &loss)?;
            state.removed.add(loss);
            state.lines += 1;
        }
        to.flush()?;
        drop(to);
        file.sync_data()?;
        let spent = state.lines.saturating_sub(state.removed.len());
        if spent > SPENT_LINES_MAX.max(state.removed.len()) {
            self.rewrite(state)?;
        }
        Ok(())
    }

    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let file = private_file(&new)?;
        let mut to = BufWriter::new(&file);
        for loss in state.removed.losses() {
            write_line(&mut to, &loss)?;
        }
        to.flush()?;
        drop(to);
        file.sync_all()?;
        std::fs::rename(new, &self.path)?;
        state.lines = state.removed.len();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(path: &Path, error: &io::Error) -> Failure {
    Failure::run(
        &format!(
            "cannot keep count of removals in {}; nothing is removed without it",
            path.display()
        ),
        error,
    )
}

fn write_line(to: &mut impl io::Write, loss: &Loss) -> io::Result<()> {
    let (what, group) = match loss.what {
        What::Users => (Kind::Users, None),
        What::Groups => (Kind::Groups, None),
        What::Suspensions => (Kind::Suspensions, None),
        What::Members(group) => (Kind::Members, Some(group.to_string())),
    };
    let line = Line {
        at: loss.at.to_string(),
        what,
        group,
        object: loss.object.to_string(),
        known: loss.known,
        max_removals: match loss.limit {
            Limit::Default => None,
            Limit::Count(count) => Some(count),
            Limit::Off => Some(0),
        },
    };
    serde_json::to_writer(&mut *to, &line)?;
    to.write_all(b"\n")
}

/// What a file says, and its number of lines. A line that is damaged, because a machine lost its
/// power, is left out: it was the last one, and nothing had been taken away for it.
fn read(path: &Path) -> io::Result<(Removed, usize)> {
    let mut removed = Removed::default();
    let mut lines = 0;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((removed, lines)),
        Err(error) => return Err(error),
    };
    let mut from = BufReader::new(file);
    let mut bytes = Vec::new();
    while lines < LINES_MAX {
        bytes.clear();
        if from
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)?
            == 0
        {
            break;
        }
        lines += 1;
        match serde_json::from_slice::<Line>(&bytes).ok().and_then(parse) {
            Some(loss) => removed.add(loss),
            None => tracing::warn!(file = %path.display(), line = lines, "a line is damaged"),
        }
    }
    Ok((removed, lines))
}

fn parse(line: Line) -> Option<Loss> {
    let what = match (line.what, line.group) {
        (Kind::Users, None) => What::Users,
        (Kind::Groups, None) => What::Groups,
        (Kind::Suspensions, None) => What::Suspensions,
        (Kind::Members, Some(group)) => What::Members(Guid::parse(&group)?),
        _ => return None,
    };
    Some(Loss {
        what,
        object: Guid::parse(&line.object)?,
        known: line.known,
        limit: Limit::of_setting(line.max_removals),
        at: Timestamp::parse_rfc3339(&line.at)?,
    })
}

#[cfg(test)]
mod tests {
    use rollcall_kit::timestamp::Span;

    use super::*;
    use crate::engine::guard::WINDOW;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn loss(what: What, object: u128, at: Timestamp) -> Loss {
        Loss {
            what,
            object: Guid::from_number(object),
            known: 30,
            limit: Limit::Count(7),
            at,
        }
    }

    fn all(file: &RemovalFile, now: Timestamp) -> Vec<Loss> {
        file.with(now, |removed| removed.losses().collect())
    }

    #[test]
    fn a_restart_goes_on_counting_for_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let file = RemovalFile::open(directory.path(), NOW).unwrap();
        assert_eq!(all(&file, NOW), []);
        let group = What::Members(Guid::from_number(9));
        let later = NOW.plus(Span::hours(1));
        let losses = [
            loss(What::Users, 1, NOW),
            loss(What::Suspensions, 1, later),
            loss(group, 2, later),
        ];
        file.take(losses.into_iter()).unwrap();
        file.take(std::iter::once(loss(What::Groups, 3, later)))
            .unwrap();
        drop(file);
        let file = RemovalFile::open(directory.path(), later).unwrap();
        assert_eq!(all(&file, later).len(), 4);
        assert_eq!(all(&file, later)[0], losses[0]);
        let looked = RemovalFile::look(directory.path(), later).unwrap();
        assert!(looked.losses().eq(all(&file, later)));
        assert_eq!(all(&file, NOW.plus(WINDOW)).len(), 3);
        assert_eq!(all(&file, later.plus(WINDOW)), []);
    }

    #[test]
    fn what_counts_no_more_leaves_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = RemovalFile::open(directory.path(), NOW).unwrap();
        let path = directory.path().join(FILE);
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        for _ in 0..=SPENT_LINES_MAX {
            file.take(std::iter::once(loss(What::Users, 1, NOW)))
                .unwrap();
        }
        assert_eq!(lines(), SPENT_LINES_MAX + 1);
        file.take(std::iter::once(loss(What::Users, 1, NOW)))
            .unwrap();
        assert_eq!(lines(), 1);
        drop(file);
        RemovalFile::open(directory.path(), NOW.plus(WINDOW)).unwrap();
        assert_eq!(lines(), 0);
    }

    #[test]
    fn a_line_cut_short_costs_itself_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = RemovalFile::open(directory.path(), NOW).unwrap();
        file.take([loss(What::Users, 1, NOW), loss(What::Users, 2, NOW)].into_iter())
            .unwrap();
        drop(file);
        let path = directory.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        let file = RemovalFile::open(directory.path(), NOW).unwrap();
        assert_eq!(all(&file, NOW), [loss(What::Users, 1, NOW)]);
        file.take(std::iter::once(loss(What::Users, 3, NOW)))
            .unwrap();
        drop(file);
        let file = RemovalFile::open(directory.path(), NOW).unwrap();
        assert_eq!(all(&file, NOW).len(), 2, "the rest was cut off");
    }

    #[cfg(unix)]
    #[test]
    fn others_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = RemovalFile::open(directory.path(), NOW).unwrap();
        file.take(std::iter::once(loss(What::Users, 1, NOW)))
            .unwrap();
        let metadata = std::fs::metadata(directory.path().join(FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}
