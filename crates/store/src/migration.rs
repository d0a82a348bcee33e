//! Numbered migrations: the schema as a sequence of SQL files.
//!
//! Invariant: a released migration never changes; the database remembers number and checksum of
//! each one. A database with a migration that this program does not know is refused. One text
//! serves both engines, with two words replaced. Deliberately absent: going back.

use crate::db::value::params;
use crate::db::{Engine, Tx};
use crate::error::Error;

struct Migration {
    number: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "0001_first",
        sql: include_str!("../migrations/0001_first.sql"),
    },
    Migration {
        number: 2,
        name: "0002_whole_contract",
        sql: include_str!("../migrations/0002_whole_contract.sql"),
    },
    Migration {
        number: 3,
        name: "0003_session_changes",
        sql: include_str!("../migrations/0003_session_changes.sql"),
    },
    Migration {
        number: 4,
        name: "0004_passwords",
        sql: include_str!("../migrations/0004_passwords.sql"),
    },
    Migration {
        number: 5,
        name: "0005_sign_in",
        sql: include_str!("../migrations/0005_sign_in.sql"),
    },
    Migration {
        number: 6,
        name: "0006_password_writeback",
        sql: include_str!("../migrations/0006_password_writeback.sql"),
    },
];

const MIGRATIONS_TABLE: &str = "create table if not exists schema_migrations (\
     number bigint not null primary key, name text not null, checksum bigint not null)";

/// Brings the schema up to date, in the present transaction.
pub(crate) async fn migrate(tx: &Tx) -> Result<(), Error> {
    tx.script(&in_dialect(MIGRATIONS_TABLE, tx.engine()))
        .await?;
    let applied = tx
        .all(
            "select number, name, checksum from schema_migrations order by number",
            &[],
            |row| Ok((row.int()?, row.text()?, row.int()?)),
        )
        .await?;
    check_known(&applied)?;
    for migration in MIGRATIONS {
        if applied
            .iter()
            .any(|(number, ..)| *number == migration.number)
        {
            continue;
        }
        tx.script(&in_dialect(migration.sql, tx.engine())).await?;
        tx.execute(
            "insert into schema_migrations (number, name, checksum) values ($1, $2, $3)",
            params![migration.number, migration.name, checksum(migration.sql)],
        )
        .await?;
    }
    Ok(())
}

fn check_known(applied: &[(i64, String, i64)]) -> Result<(), Error> {
    for (number, name, sum) in applied {
        let Some(known) = MIGRATIONS.iter().find(|known| known.number == *number) else {
            return Err(Error::corrupt(format!(
                "its schema has migration {name}, which this program does not know: use the program version that wrote it, or a newer one"
            )));
        };
        if checksum(known.sql) != *sum {
            return Err(Error::corrupt(format!(
                "migration {name} was applied with another text than this program has"
            )));
        }
    }
    Ok(())
}

/// The text for one engine. A `bytea` column in SQLite would turn the text '0012' into the
/// number 12; without the C collation PostgreSQL would order ids by the language of its host.
fn in_dialect(sql: &str, engine: Engine) -> String {
    let (word, replacement) = match engine {
        Engine::Sqlite => ("bytea", "blob"),
        Engine::Postgres => ("text", "text collate \"C\""),
    };
    let mut out = String::with_capacity(sql.len() + sql.len() / 4);
    let mut rest = sql;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let (before, tail) = rest.split_at(at);
        let end = tail
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(tail.len());
        let (found, after) = tail.split_at(end);
        out.push_str(before);
        out.push_str(if found == word { replacement } else { found });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// FNV-1a over the text without regard to line ends: tells changes, guards against nobody.
fn checksum(sql: &str) -> i64 {
    let hash = sql
        .bytes()
        .filter(|byte| *byte != b'\r')
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    i64::from_le_bytes(hash.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_replaced() {
        let sql = "create table t (a text not null, context text, b bytea)";
        assert_eq!(
            in_dialect(sql, Engine::Postgres),
            "create table t (a text collate \"C\" not null, context text collate \"C\", b bytea)"
        );
        assert_eq!(
            in_dialect(sql, Engine::Sqlite),
            "create table t (a text not null, context text, b blob)"
        );
    }

    #[test]
    fn numbers_are_in_order_and_match_the_names() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number, i64::try_from(index).unwrap() + 1);
            assert!(
                migration
                    .name
                    .starts_with(&format!("{:04}_", migration.number))
            );
        }
    }

    #[test]
    fn unknown_and_altered_migrations_are_refused() {
        let first = &MIGRATIONS[0];
        let applied = |number, sum| vec![(number, first.name.to_owned(), sum)];
        assert!(check_known(&applied(1, checksum(first.sql))).is_ok());
        assert!(check_known(&applied(1, checksum(first.sql) ^ 1)).is_err());
        assert!(check_known(&applied(99, 0)).is_err());
    }
}
