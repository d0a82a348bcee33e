//! Seconds of a sweep over all password hashes of a domain, beside Samba's own client.
//!
//! Run with `cargo xtask bench drsuapi`. `ROLLCALL_BENCH_USERS`, `ROLLCALL_BENCH_GROUPS` and
//! `ROLLCALL_BENCH_MEMBERSHIPS` set another size.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rollcall_directory::{
    Credential, HashValue, Kdc, Mechanism, ReplicatedAttribute, Replication, ReplicationCursor,
    ReplicationOptions, SecurityOptions,
};
use rollcall_kit::secret::SecretString;
use rollcall_lab::samba::{Dc, DcOptions, Fill};

/// Each client reads so often, one after the other.
const ROUNDS: usize = 3;
/// Increments without a change that are timed together.
const EMPTY_INCREMENTS: u32 = 20;
const ATTRIBUTES: [ReplicatedAttribute; 3] = [
    ReplicatedAttribute::UnicodePwd,
    ReplicatedAttribute::PwdLastSet,
    ReplicatedAttribute::UserAccountControl,
];

struct Sweep {
    took: Duration,
    objects: usize,
    hashes: usize,
    links: u64,
    pages: usize,
    cursor: ReplicationCursor,
}

#[tokio::main]
async fn main() -> Result<()> {
    let fill = Fill {
        users: number("ROLLCALL_BENCH_USERS", 10_000)?,
        groups: number("ROLLCALL_BENCH_GROUPS", 500)?,
        memberships: number("ROLLCALL_BENCH_MEMBERSHIPS", 100_000)?,
        difficulties: false,
        ..Fill::default()
    };
    println!("sweep of {fill:?}");
    let dc = Dc::start(&DcOptions { fill: Some(fill) })?;
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let samba = dc.replicate_with_samba()?;
        let seconds = samba["seconds"].as_f64().context("seconds")?;
        println!("  Samba's client, NTLM   {seconds:8.2} s   {samba}");
        theirs = theirs.min(seconds);
        let swept = sweep(&dc, Mechanism::Ntlm).await?;
        print("NTLM", &swept);
        ours = ours.min(swept.took.as_secs_f64());
        ensure!(samba["hashes"].as_u64() == Some(swept.hashes as u64));
        ensure!(samba["links"].as_u64() == Some(swept.links));
    }
    let swept = sweep(&dc, Mechanism::SpnegoKerberos).await?;
    print("Kerberos", &swept);
    println!("  ratio, best of {ROUNDS}       {:8.2}", ours / theirs);
    empty_increments(&dc, &swept.cursor).await
}

fn number(name: &str, default: u32) -> Result<u32> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| name.to_owned()),
        Err(_) => Ok(default),
    }
}

fn print(mechanism: &str, swept: &Sweep) {
    println!(
        "  ours, {mechanism:8}         {:8.2} s   {} objects, {} hashes, {} links, {} pages",
        swept.took.as_secs_f64(),
        swept.objects,
        swept.hashes,
        swept.links,
        swept.pages
    );
}

fn options(dc: &Dc, mechanism: Mechanism) -> Result<ReplicationOptions> {
    let credential = Credential::Password {
        domain: if mechanism.is_kerberos() {
            dc.realm().to_owned()
        } else {
            "CORP".to_owned()
        },
        user: "svc-sync".to_owned(),
        password: SecretString::new(dc.sync_password().to_owned()),
    };
    let mut security = SecurityOptions::new(mechanism, credential, dc.host_name());
    security.kdcs = vec![Kdc::parse(&dc.ip().to_string())?];
    let host = dc.ip().to_string();
    Ok(ReplicationOptions::new(host, security, dc.base_dn()))
}

async fn sweep(dc: &Dc, mechanism: Mechanism) -> Result<Sweep> {
    let before = Instant::now();
    let mut replication = Replication::open(&options(dc, mechanism)?).await?;
    let mut swept = Sweep {
        took: Duration::ZERO,
        objects: 0,
        hashes: 0,
        links: 0,
        pages: 0,
        cursor: ReplicationCursor::default(),
    };
    loop {
        let page = replication.next_page(&swept.cursor, &ATTRIBUTES).await?;
        swept.pages += 1;
        swept.objects += page.objects.len();
        swept.links += page.link_values_skipped;
        let hashes = page.objects.iter();
        let hashes = hashes.filter(|object| matches!(object.nt_hash, HashValue::Hash(_)));
        swept.hashes += hashes.count();
        swept.cursor = page.cursor;
        if !page.more {
            break;
        }
    }
    replication.close().await;
    swept.took = before.elapsed();
    Ok(swept)
}

/// What following a quiet domain costs.
async fn empty_increments(dc: &Dc, cursor: &ReplicationCursor) -> Result<()> {
    let mut replication = Replication::open(&options(dc, Mechanism::Ntlm)?).await?;
    let before = Instant::now();
    for _ in 0..EMPTY_INCREMENTS {
        let page = replication.next_page(cursor, &ATTRIBUTES).await?;
        ensure!(page.objects.is_empty() && !page.more, "something changed");
    }
    let each = before.elapsed() / EMPTY_INCREMENTS;
    println!(
        "  increment of nothing   {:8.1} ms",
        each.as_secs_f64() * 1e3
    );
    Ok(())
}
