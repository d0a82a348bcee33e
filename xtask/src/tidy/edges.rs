//! Which crate may use which: the doors between the rooms.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::Findings;
use crate::shell;

/// A crate, the crates it may use, and the crates only its tests may use.
const DOORS: &[(&str, &[&str], &[&str])] = &[
    ("rollcall-kit", &[], &[]),
    ("rollcall-proto", &[], &[]),
    ("rollcall-domain", &["rollcall-kit"], &[]),
    (
        "rollcall-store",
        &["rollcall-domain", "rollcall-kit"],
        &["rollcall-lab"],
    ),
    ("rollcall-client", &["rollcall-proto", "rollcall-kit"], &[]),
    (
        "rollcall-hub",
        &[
            "rollcall-proto",
            "rollcall-domain",
            "rollcall-store",
            "rollcall-kit",
        ],
        &["rollcall-client", "rollcall-lab"],
    ),
    ("rollcall-directory", &["rollcall-kit"], &["rollcall-lab"]),
    (
        "rollcall-agent",
        &[
            "rollcall-proto",
            "rollcall-client",
            "rollcall-directory",
            "rollcall-kit",
        ],
        &["rollcall-lab", "rollcall-hub"],
    ),
    (
        "rollcall",
        &["rollcall-proto", "rollcall-client", "rollcall-kit"],
        &["rollcall-hub"],
    ),
    (
        "rollcall-sim",
        &[
            "rollcall-agent",
            "rollcall-directory",
            "rollcall-domain",
            "rollcall-hub",
            "rollcall-kit",
            "rollcall-proto",
            "rollcall-store",
        ],
        &[],
    ),
    ("rollcall-lab", &[], &[]),
    ("xtask", &["rollcall-lab"], &[]),
];

/// Endings of crate names that hide what is inside.
const VAGUE_ENDINGS: &[&str] = &["-types", "-common", "-utils", "-util", "-helpers", "-core"];

/// Compares the dependencies that Cargo sees with the doors above.
pub fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let mut command = shell::cargo();
    command
        .current_dir(root)
        .args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&shell::output_of(&mut command)?)
        .context("cargo metadata is not JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let members: Vec<&str> = packages
        .iter()
        .filter_map(|package| text(package, "name"))
        .collect();
    for package in &packages {
        let Some(name) = text(package, "name") else {
            continue;
        };
        if let Some(ending) = VAGUE_ENDINGS.iter().find(|ending| name.ends_with(**ending)) {
            findings.error(format!(
                "crate {name}: a name ending in {ending} says nothing"
            ));
        }
        let Some((_, uses, tests_use)) = DOORS.iter().find(|(door, ..)| *door == name) else {
            findings.error(format!(
                "crate {name} is new: give it a decision record and a line in tidy/edges.rs"
            ));
            continue;
        };
        for dependency in package
            .get("dependencies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let Some(used) = text(dependency, "name").filter(|used| members.contains(used)) else {
                continue;
            };
            let for_tests = text(dependency, "kind") == Some("dev");
            if !(uses.contains(&used) || for_tests && tests_use.contains(&used)) {
                findings.error(format!(
                    "crate {name} must not use {used}{}",
                    if for_tests { " even in tests" } else { "" }
                ));
            }
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
