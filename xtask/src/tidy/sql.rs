//! SQL lives in the store and uses only what both databases understand alike.

use super::{Findings, SourceFile};

/// Beginnings of statements, as they look inside a string literal.
const STATEMENTS: &[&str] = &[
    "\"select ",
    "\"insert into ",
    "\"update ",
    "\"delete from ",
    "\"create table ",
    "\"alter table ",
    "\"with recursive ",
];

/// Words that one of the two databases does not know or understands differently.
const NOT_COMMON: &[(&str, &str)] = &[
    (" like ", "its case rules differ"),
    (" ilike ", "SQLite does not know it"),
    ("for update", "SQLite does not know it"),
    (" now()", "time comes in as a parameter"),
    ("current_timestamp", "time comes in as a parameter"),
    ("jsonb", "SQLite has no such type"),
    ("autoincrement", "ids are made by the kit"),
    (" serial", "ids are made by the kit"),
    ("insert or ", "PostgreSQL does not know it"),
];

/// Whether a string literal of the line begins like a statement, all in lower or upper case: a
/// sentence such as "Update a group" does not.
fn begins_statement(line: &str) -> bool {
    STATEMENTS
        .iter()
        .any(|start| line.contains(start) || line.contains(&start.to_uppercase()))
}

/// Whether a line is a comment of Rust or SQL.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("--")
}

/// Refuses SQL outside the store and dialects inside it.
pub fn check(files: &[SourceFile], findings: &mut Findings) {
    for file in files {
        let in_store = file.path.starts_with("crates/store/");
        let is_sql = file.has_extension("sql");
        // The lab looks after a PostgreSQL server and makes databases on it.
        let may_speak_sql = in_store || file.path == "lab/src/postgres.rs";
        if !file.has_extension("rs") && !is_sql || file.path.starts_with("xtask/src/tidy/") {
            continue;
        }
        if is_sql && !in_store {
            findings.error(format!("{}: SQL files belong in crates/store", file.path));
        }
        for (index, line) in file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| !is_comment(line))
        {
            let lower = line.to_lowercase();
            let place = format!("{}:{}", file.path, index + 1);
            if !may_speak_sql && begins_statement(line) {
                findings.error(format!("{place}: SQL belongs in crates/store"));
            }
            // The one file that knows both databases, and tests that look at them from outside.
            let knows_both = file.path.starts_with("crates/store/src/db")
                || file.path.starts_with("crates/store/tests/");
            if in_store && !knows_both && (is_sql || lower.contains('"')) {
                for (word, why) in NOT_COMMON.iter().filter(|(word, _)| lower.contains(word)) {
                    findings.error(format!("{place}: `{}` in SQL: {why}", word.trim()));
                }
            }
        }
    }
}
