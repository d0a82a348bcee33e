//! The permission check of secret files (`check_config_permissions`).
//!
//! Invariant: on Linux a secret file belongs to the user that runs the agent and is readable and
//! writable for nobody else.

use std::path::Path;

use crate::failure::Failure;

/// Bits of the mode that must be off: everything of group and others, and execution.
#[cfg(unix)]
const FORBIDDEN_MODE: u32 = 0o177;

/// Checks every file.
///
/// # Errors
/// [`Failure::Permission`] with all violations.
#[cfg(unix)]
pub fn check<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    let user = rustix::process::geteuid().as_raw();
    let problems: Vec<String> = files
        .into_iter()
        .filter_map(|file| violation(file, user))
        .collect();
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
pub fn check<'a>(_files: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_mode_600_passes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        for (mode, passes) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let verdict = check([file.as_path()]);
            assert_eq!(verdict.is_ok(), passes, "{mode:o}");
        }
        let error = check([file.as_path()]).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("chmod 600"));
    }
}
