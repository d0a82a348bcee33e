//! Marks of unfinished work and names of one machine.

use super::{Findings, SourceFile};

/// Marks that stand for work nobody did.
const UNFINISHED: &[&str] = &["TO\x44O", "FIX\x4dE", "X\x58X", "#[ign\x6fre"];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/ho\x6de/", "/ro\x6ft/", "/wo\x72k/"];

/// Refuses both in every text file.
pub fn check(files: &[SourceFile], findings: &mut Findings) {
    for file in files
        .iter()
        .filter(|file| file.path != "Cargo.lock" && file.path != "LICENSE")
    {
        for (index, line) in file.text.lines().enumerate() {
            for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
                findings.error(format!(
                    "{}:{}: {mark}: finish it or say it",
                    file.path,
                    index + 1
                ));
            }
            for start in MACHINE_PATHS.iter().filter(|start| line.contains(**start)) {
                findings.error(format!("{}:{}: a path below {start}", file.path, index + 1));
            }
        }
    }
}
