//! Links between documents lead somewhere.

use std::path::Path;

use super::{Findings, SourceFile};

/// Refuses relative links in Markdown whose target does not exist.
pub fn check(root: &Path, files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| file.has_extension("md")) {
        let folder = root
            .join(&file.path)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        for (index, line) in file.text.lines().enumerate() {
            for target in targets(line) {
                let path = target.split('#').next().unwrap_or_default();
                if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                    continue;
                }
                if !folder.join(path).exists() {
                    findings.error(format!("{}:{}: no such file: {path}", file.path, index + 1));
                }
            }
        }
    }
    for file in files.iter().filter(|file| is_record(&file.path)) {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let listed = files
            .iter()
            .any(|other| other.path == "docs/decisions/README.md" && other.text.contains(name));
        if !listed {
            findings.error(format!(
                "{}: not listed in docs/decisions/README.md",
                file.path
            ));
        }
    }
}

fn is_record(path: &str) -> bool {
    path.starts_with("docs/decisions/") && path.ends_with(".md") && !path.ends_with("README.md")
}

/// The targets of the Markdown links `[text](target)` of one line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}
