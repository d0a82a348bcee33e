//! The permission check of secret files (`check_config_permissions`).
//!
//! Invariant: on Linux a secret file belongs to the user that runs the agent and is readable and
//! writable for nobody else. The agent's own directory belongs to that user or to root, and nobody
//! else may write there: who can put files there can pose as the agent. Whatever the program makes is
//! closed to everybody else, and the system writes no core file of it.

use std::path::Path;

use crate::failure::Failure;

/// Bits of the mode that must be off: everything of group and others, and execution.
#[cfg(unix)]
const FORBIDDEN_MODE: u32 = 0o177;

/// Bits of the mode of a directory that must be off: writing by group and others.
#[cfg(unix)]
const FORBIDDEN_DIRECTORY_MODE: u32 = 0o022;
#[cfg(unix)]
const ROOT: u32 = 0;

/// What the program makes from now on is its user's alone: the index, the state and the failed items
/// hold names of people and cursors.
#[cfg(unix)]
pub fn keep_private() {
    use rustix::fs::Mode;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// A core file would hold keys and passwords. The limit alone is not enough: a program that takes core
/// files (core(5), `core_pattern` with a pipe) is started whatever the limit is.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn forbid_core_files() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Elsewhere there are none.
#[cfg(not(unix))]
pub fn forbid_core_files() -> std::io::Result<()> {
    Ok(())
}

/// Elsewhere files have the rights of their directory.
#[cfg(not(unix))]
pub fn keep_private() {}

/// Checks every file, and the directory the agent keeps its own files in.
///
/// # Errors
/// [`Failure::Permission`] with all violations.
#[cfg(unix)]
pub fn check<'a>(
    files: impl IntoIterator<Item = &'a Path>,
    directory: &Path,
) -> Result<(), Failure> {
    let user = rustix::process::geteuid().as_raw();
    let files = files.into_iter().filter_map(|file| violation(file, user));
    let problems: Vec<String> = files.chain(open_directory(directory, user)).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::Permission(format!(
        "check_config_permissions: {}",
        problems.join("; ")
    )))
}

/// Elsewhere the check is not available, and says so.
///
/// # Errors
/// Always [`Failure::Permission`].
#[cfg(not(unix))]
pub fn check<'a>(
    _files: impl IntoIterator<Item = &'a Path>,
    _directory: &Path,
) -> Result<(), Failure> {
    Err(Failure::Permission(
        "check_config_permissions: not available on this system in this version".into(),
    ))
}

#[cfg(unix)]
fn violation(file: &Path, user: u32) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let name = file.display();
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    if metadata.uid() != user {
        return Some(format!(
            "{name} belongs to user {}, the agent runs as {user}; chown it",
            metadata.uid()
        ));
    }
    (metadata.mode() & FORBIDDEN_MODE != 0).then(|| {
        format!(
            "{name} has mode {:o}; chmod 600 it",
            metadata.mode() & 0o777
        )
    })
}

#[cfg(unix)]
fn open_directory(directory: &Path, user: u32) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let name = directory.display();
    let metadata = match std::fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) => return Some(format!("working_directory {name}: {error}")),
    };
    if ![user, ROOT].contains(&metadata.uid()) {
        return Some(format!(
            "working_directory {name} belongs to user {}, the agent runs as {user}; chown it",
            metadata.uid()
        ));
    }
    (metadata.mode() & FORBIDDEN_DIRECTORY_MODE != 0).then(|| {
        format!(
            "others may write in working_directory {name} (mode {:o}); chmod 700 it",
            metadata.mode() & 0o777
        )
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set(path: &Path, mode: u32) -> std::io::Result<()> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    }

    #[test]
    fn only_mode_600_passes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        for (mode, passes) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            set(&file, mode).unwrap();
            let verdict = check([file.as_path()], directory.path());
            assert_eq!(verdict.is_ok(), passes, "{mode:o}");
        }
        let error = check([file.as_path()], directory.path()).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("chmod 600"));
        std::fs::remove_file(&file).unwrap();
        let error = check([file.as_path()], directory.path()).unwrap_err();
        assert!(error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn nobody_else_may_write_in_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, passes) in [
            (0o700, true),
            (0o755, true),
            (0o770, false),
            (0o707, false),
            (0o1777, false),
        ] {
            set(directory.path(), mode).unwrap();
            let verdict = check([], directory.path());
            assert_eq!(verdict.is_ok(), passes, "{mode:o}");
        }
        let error = check([], directory.path()).unwrap_err();
        assert!(error.to_string().contains("working_directory"), "{error}");
        let gone = directory.path().join("gone");
        assert_eq!(check([], &gone).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn a_file_of_somebody_else_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        set(&file, 0o600).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let problem = violation(&file, own + 1).unwrap();
        assert!(problem.contains("chown"), "{problem}");
        assert_eq!(violation(&file, own), None);
    }
}
