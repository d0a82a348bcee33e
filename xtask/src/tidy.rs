//! The rules of the house, checked by a program.
//!
//! Invariant: `run` is also a test of this crate, so a broken rule fails the test command.
//! Deliberately absent: what `cargo fmt`, `cargo clippy` and Cargo itself already check.

mod dead_files;
mod edges;
mod length;
mod links;
mod sql;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::shell;

/// What a rule found in the tree.
#[derive(Default)]
pub struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    /// Something that must be mended.
    pub fn error(&mut self, text: String) {
        self.errors.push(text);
    }

    /// Something to think about.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

/// One file of the tree that holds text.
pub struct SourceFile {
    /// The path from the root of the workspace, with forward slashes.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl SourceFile {
    /// Whether the name ends in `.extension`.
    pub fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }
}

/// Checks every rule and prints what was found; an error when a rule is broken.
pub fn run() -> anyhow::Result<()> {
    let root = shell::workspace_root();
    let files = source_files(&root)?;
    let mut findings = Findings::default();
    edges::check(&root, &mut findings)?;
    length::check(&files, &mut findings);
    sql::check(&files, &mut findings);
    dead_files::check(&files, &mut findings);
    links::check(&root, &files, &mut findings);
    words::check(&files, &mut findings);
    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    for error in &findings.errors {
        println!("error: {error}");
    }
    println!(
        "tidy: {} files, {} errors, {} warnings",
        files.len(),
        findings.errors.len(),
        findings.warnings.len()
    );
    if !findings.errors.is_empty() {
        bail!("{} house rules are broken", findings.errors.len());
    }
    Ok(())
}

/// Every text file that git knows or would know.
fn source_files(root: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let mut command = std::process::Command::new("git");
    command
        .current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listing = shell::output_of(&mut command)?;
    let mut files = Vec::new();
    for path in listing.lines() {
        let full: PathBuf = root.join(path);
        if !full.is_file() {
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        super::run().unwrap();
    }
}
