//! Files and functions a reader can hold in the head.

use super::{Findings, SourceFile};

const LINES_WARN: usize = 500;
const LINES_MAX: usize = 1_000;

/// Warns of long Rust files and refuses very long ones.
pub fn check(files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            findings.error(format!("{}: {lines} lines, at most {LINES_MAX}", file.path));
        } else if lines > LINES_WARN {
            findings.warn(format!(
                "{}: {lines} lines, better below {LINES_WARN}",
                file.path
            ));
        }
    }
}
