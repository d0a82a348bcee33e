//! The schema: made once, refused when unknown, equal on both engines.

use std::collections::BTreeSet;

use rollcall_store::Error;

use crate::world::{World, organization, organization_id, read, server};

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
    assert_eq!(applied, ["0001_first", "0002_whole_contract"]);
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
