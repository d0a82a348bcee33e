//! Seconds of deltas of two sizes, beside the seconds `ldapsearch` needs for an increment in which
//! nothing changed.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::ensure;
use rollcall_lab::samba::Dc;
use serde_json::Value;

use crate::demo::stage::{Size, Stage};

/// Changes of the small delta.
const FEW: usize = 10;
/// Of a hundred people in the large delta.
const DELETED_PERCENT: usize = 1;
const CREATED_PERCENT: usize = 1;
const MODIFIED_PERCENT: usize = 5;
const FILTER: &str = "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))";
/// ADS_UF_NORMAL_ACCOUNT without the need for a password (MS-ADTS 2.2.16).
const WITHOUT_PASSWORD: u32 = 0x0220;

/// Fills a domain, synchronises it once and measures.
#[allow(clippy::disallowed_methods)] // a measurement reads the clock
pub fn run(profile: &str, size: &Size) -> anyhow::Result<()> {
    let stage = Stage::set(profile, size)?;
    let before = Instant::now();
    stage.run_agent_once()?;
    println!("deltas of {size:?}, built as {profile}");
    let seconds = before.elapsed().as_secs_f64();
    println!("  first full run      {seconds:8.2} s");

    let all = people(&stage.dc)?;
    let share = |percent: usize| all.len() * percent / 100;
    let (deleted, created) = (share(DELETED_PERCENT), share(CREATED_PERCENT));
    let modified = share(MODIFIED_PERCENT);
    ensure!(all.len() >= FEW + modified + deleted, "too few people");
    let (few, rest) = all.split_at(FEW);
    let (changing, rest) = rest.split_at(modified);
    let (leaving, _) = rest.split_at(deleted);

    stage.dc.admin_ldapmodify(&modify(few))?;
    measure(&stage, FEW)?;
    let mut ldif = modify(changing);
    for dn in leaving {
        writeln!(ldif, "{dn}\nchangetype: delete\n")?;
    }
    for number in 0..created {
        ldif.push_str(&create(stage.dc.base_dn(), number));
    }
    stage.dc.admin_ldapmodify(&ldif)?;
    measure(&stage, deleted + created + modified)
}

/// The agent after `changes` changes, between two increments without any.
#[allow(clippy::disallowed_methods)] // a measurement reads the clock
fn measure(stage: &Stage, changes: usize) -> anyhow::Result<()> {
    let position = stage.dc.admin_dirsync(FILTER, None)?;
    let empty = || -> anyhow::Result<f64> {
        let before = Instant::now();
        stage.dc.admin_dirsync(FILTER, Some(&position))?;
        Ok(before.elapsed().as_secs_f64())
    };
    let first = empty()?;
    let before = Instant::now();
    let summary = stage.run_agent_once()?;
    let seconds = before.elapsed().as_secs_f64();
    let second = empty()?;
    let of = |part: &str| summary.get(part).unwrap_or(&Value::Null);
    println!("  delta of {changes} changes");
    println!("    empty increment   {first:8.2} s before, {second:.2} s after");
    println!("    agent             {seconds:8.2} s, mode {}", of("mode"));
    println!("    ratio             {:8.1}", seconds / first.min(second));
    println!("    users             {}", of("users"));
    println!("    failed items      {}", of("failed_items_count"));
    Ok(())
}

/// The lines with the names of all people, as LDIF has them.
fn people(dc: &Dc) -> anyhow::Result<Vec<String>> {
    let ldif = dc.admin_ldapsearch(&["(&(objectClass=user)(userPrincipalName=u*))", "1.1"])?;
    let lines = ldif.lines().filter(|line| line.starts_with("dn:"));
    Ok(lines.map(str::to_owned).collect())
}

fn modify(people: &[String]) -> String {
    let lines = people
        .iter()
        .map(|dn| format!("{dn}\nchangetype: modify\nreplace: title\ntitle: Measured\n\n"));
    lines.collect()
}

fn create(base: &str, number: usize) -> String {
    let domain = base.replace("DC=", "").replace(',', ".");
    format!(
        "dn: CN=new{number:06},OU=People,{base}\nchangetype: add\nobjectClass: user\n\
         sAMAccountName: new{number:06}\nuserPrincipalName: new{number:06}@{domain}\n\
         displayName: New Person {number}\nuserAccountControl: {WITHOUT_PASSWORD}\n\n"
    )
}
