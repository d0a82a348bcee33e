//! Files that nothing reads any more.

use std::path::Path;

use super::{Findings, SourceFile};

/// Refuses Rust modules that no file declares, `mod.rs`, and stray snapshots.
pub fn check(files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        let path = Path::new(&file.path);
        let (Some(stem), Some(folder)) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.parent().and_then(Path::to_str),
        ) else {
            continue;
        };
        if stem == "mod" {
            findings.error(format!(
                "{}: name the module's file after the module",
                file.path
            ));
            continue;
        }
        if is_root(folder, stem) {
            continue;
        }
        let declared = files
            .iter()
            .filter(|other| could_declare(other, folder))
            .any(|other| {
                other.text.lines().map(str::trim).any(|line| {
                    line.ends_with(&format!("mod {stem};"))
                        || line.contains(&format!("{stem}.rs\""))
                })
            });
        if !declared {
            findings.error(format!("{}: no file declares `mod {stem};`", file.path));
        }
    }
    for file in files.iter().filter(|file| file.path.ends_with(".snap.new")) {
        findings.error(format!("{}: a snapshot nobody accepted", file.path));
    }
}

/// Files that Cargo itself finds.
fn is_root(folder: &str, stem: &str) -> bool {
    let last = folder.rsplit('/').next().unwrap_or_default();
    matches!(stem, "lib" | "main" | "build")
        || matches!(
            last,
            "tests" | "benches" | "examples" | "bin" | "fuzz_targets"
        )
}

/// Whether `other` is where a module in `folder` would be declared.
fn could_declare(other: &SourceFile, folder: &str) -> bool {
    if !other.has_extension("rs") {
        return false;
    }
    let parent_file = format!("{folder}.rs");
    let same_folder = other
        .path
        .rsplit_once('/')
        .is_some_and(|(there, _)| there == folder);
    let tests_folder = folder.rsplit_once('/').is_some_and(|(above, _)| {
        other
            .path
            .rsplit_once('/')
            .is_some_and(|(there, _)| there == above)
    });
    other.path == parent_file || same_folder || tests_folder
}
