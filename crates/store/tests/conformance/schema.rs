//! The schema: made once, refused when unknown, equal on both engines.

use std::collections::BTreeSet;

use rollcall_store::Error;

use crate::world::{Unopened, World, organization, organization_id, read, server};

crate::on_both_engines!(
    opening_again_changes_nothing,
    a_newer_schema_is_refused,
    an_altered_migration_is_refused
);

async fn opening_again_changes_nothing(world: &World) {
    let again = world.reopened().await.unwrap();
    let found = read(&again, async |tx| {
        tx.find_organization(&organization_id()).await
    })
    .await;
    assert_eq!(found, Some(organization()));
    let applied = world
        .query_sql("select name from schema_migrations order by number")
        .await;
    assert_eq!(
        applied,
        [
            "0001_first",
            "0002_whole_contract",
            "0003_session_changes",
            "0004_passwords",
            "0005_sign_in",
            "0006_password_writeback"
        ]
    );
}

async fn a_newer_schema_is_refused(world: &World) {
    world
        .run_sql("insert into schema_migrations values (9999, '9999_later', 1)")
        .await;
    let Err(Error::Corrupt { what }) = world.reopened().await else {
        panic!("a newer schema is taken for ours")
    };
    assert!(what.contains("9999_later"), "{what}");
}

async fn an_altered_migration_is_refused(world: &World) {
    world
        .run_sql("update schema_migrations set checksum = checksum + 1 where number = 1")
        .await;
    assert!(matches!(world.reopened().await, Err(Error::Corrupt { .. })));
}

const SQLITE_COLUMNS: &str = "select m.name || '.' || c.name || ' ' || lower(c.type) || ' ' || \
     case when c.\"notnull\" = 1 then 'required' else 'optional' end \
     from sqlite_schema m, pragma_table_info(m.name) c where m.type = 'table'";
const POSTGRES_COLUMNS: &str = "select table_name || '.' || column_name || ' ' || data_type || ' ' || \
     case is_nullable when 'NO' then 'required' else 'optional' end \
     from information_schema.columns where table_schema = 'public'";
const SQLITE_INDEXES: &str = "select m.name || ' ' || \
     case when l.\"unique\" = 1 then 'unique ' else '' end || \
     case when l.partial = 1 then 'partial ' else '' end || \
     (select group_concat(name, ',') from (select i.name from pragma_index_info(l.name) i \
     order by i.seqno)) || case when l.origin = 'pk' then '' else ' ' || l.name end \
     from sqlite_schema m, pragma_index_list(m.name) l where m.type = 'table'";
const POSTGRES_INDEXES: &str = "select t.relname || ' ' || \
     case when x.indisunique then 'unique ' else '' end || \
     case when x.indpred is not null then 'partial ' else '' end || \
     (select string_agg(a.attname, ',' order by k.n) from unnest(x.indkey) with ordinality \
     as k(attnum, n) join pg_attribute a on a.attrelid = t.oid and a.attnum = k.attnum) || \
     case when x.indisprimary then '' else ' ' || i.relname end \
     from pg_index x join pg_class t on t.oid = x.indrelid join pg_class i on i.oid = x.indexrelid \
     join pg_namespace s on s.oid = t.relnamespace where s.nspname = 'public'";

/// Columns and indexes are the same, but for the names of the types that must differ.
#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_schema() {
    let server = server().await;
    let (sqlite, postgres) = (World::sqlite().await, World::postgres(&server).await);
    assert!(postgres.is_postgres());
    let columns = |lines: Vec<String>| -> BTreeSet<String> {
        lines
            .into_iter()
            .map(|line| line.replace(" blob ", " bytea "))
            .collect()
    };
    let ours = columns(sqlite.query_sql(SQLITE_COLUMNS).await);
    assert!(ours.len() > 100, "the query finds our columns");
    assert_eq!(ours, columns(postgres.query_sql(POSTGRES_COLUMNS).await));

    let indexes = |lines: Vec<String>| -> BTreeSet<String> {
        // SQLite has no index for the primary key of an integer column.
        lines
            .into_iter()
            .filter(|line| !line.starts_with("schema_migrations "))
            .collect()
    };
    let ours = indexes(sqlite.query_sql(SQLITE_INDEXES).await);
    assert!(ours.contains("users unique partial userpool_id,external_id users_external_id"));
    assert_eq!(ours, indexes(postgres.query_sql(POSTGRES_INDEXES).await));
}

const FIRST: &str = include_str!("../../migrations/0001_first.sql");
const FIRST_ROWS: &str = include_str!("version_1.sql");

/// The database of a hub whose version knew the first migration only.
fn first_version(bytes_type: &str, text_type: &str, bytes: &str, checksum: &str) -> String {
    let words = regex::Regex::new(r"\b(bytea|text)\b").unwrap();
    let schema = words.replace_all(FIRST, |found: &regex::Captures| match &found[1] {
        "bytea" => bytes_type.to_owned(),
        _ => text_type.to_owned(),
    });
    format!(
        "{schema}\n{}\ncreate table schema_migrations (number bigint not null primary key, \
         name {text_type} not null, checksum bigint not null);\n\
         insert into schema_migrations values (1, '0001_first', {checksum});",
        FIRST_ROWS.replace("{bytes}", bytes)
    )
}

/// Every row of the first schema, with the columns that it had then.
async fn dump(database: &Unopened, columns: &[(String, String)]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let tables: BTreeSet<_> = columns.iter().map(|(table, _)| table).collect();
    for table in tables {
        let values: Vec<_> = columns
            .iter()
            .filter(|(of, _)| of == table)
            .map(|(_, column)| match database.is_postgres() {
                true => format!("coalesce(\"{column}\"::text, 'null')"),
                false => format!("quote(\"{column}\")"),
            })
            .collect();
        let sql = format!("select {} from {table}", values.join(" || '|' || "));
        let rows = database.query_sql(&sql).await;
        assert!(!rows.is_empty(), "{table} has rows");
        lines.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    lines
}

async fn upgrade(database: &Unopened) {
    let columns = match database.is_postgres() {
        true => POSTGRES_COLUMNS,
        false => SQLITE_COLUMNS,
    };
    let columns: Vec<_> = database
        .query_sql(columns)
        .await
        .iter()
        .map(|line| {
            let (table, rest) = line.split_once('.').unwrap();
            let (column, _) = rest.split_once(' ').unwrap();
            (table.to_owned(), column.to_owned())
        })
        .filter(|(table, _)| table != "schema_migrations")
        .collect();
    let before = dump(database, &columns).await;
    assert!(before.len() > 20, "{before:?}");
    let store = database.open().await.unwrap();
    assert_eq!(dump(database, &columns).await, before);
    let found = read(&store, async |tx| {
        Ok((
            tx.find_operation(&"ops2".into()).await?,
            tx.find_organization(&"bpf1".into()).await?,
        ))
    })
    .await;
    let kept = found.0.unwrap();
    assert_eq!(kept.resource.id, "aje1");
    assert_eq!(kept.session_work, None);
    assert_eq!(found.1.unwrap().name, "acme");
}

/// What the first version stored is there after an upgrade to the present.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_keeps_every_row() {
    let server = server().await;
    // The checksum of the first migration, as the present program wrote it.
    let present = World::sqlite().await;
    let sql = "select cast(checksum as text) from schema_migrations where number = 1";
    let checksum = present.query_sql(sql).await.remove(0);
    let script = first_version("blob", "text", "x'0aff'", &checksum);
    upgrade(&World::sqlite_script(&script).await).await;
    let collated = "text collate \"C\"";
    let script = first_version("bytea", collated, "'\\x0aff'", &checksum);
    upgrade(&World::postgres_script(&server, &script).await).await;
}
