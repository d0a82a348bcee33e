//! Seconds after the unit of everybody was renamed and moved in a real domain, and that it is a
//! non-event there, too (AT-4), beside the seconds `ldapsearch` needs for an increment in which
//! nothing changed.

use std::time::Instant;

use anyhow::ensure;
use serde_json::Value;

use crate::demo::stage::{Size, Stage};

const FILTER: &str = "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))";

/// Fills a domain, synchronises it, and renames and moves the unit of its people.
#[allow(clippy::disallowed_methods)] // a measurement reads the clock
pub fn run(profile: &str, size: &Size) -> anyhow::Result<()> {
    let mut stage = Stage::set(profile, size)?;
    stage.run_agent_once()?;
    println!("the unit of everybody of {size:?}, built as {profile}");
    let base = stage.dc.base_dn();
    let (people, staff) = (format!("OU=People,{base}"), format!("OU=Staff,{base}"));
    let company = format!("OU=Company,{base}");
    let moved = format!("OU=Staff,{company}");
    change(&mut stage, "renamed", &people, &staff)?;
    let unit = format!("dn: {company}\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    stage.dc.admin_ldapmodify(&unit)?;
    change(&mut stage, "moved", &staff, &moved)?;
    // The filter still names the unit as it was called first.
    if let Some(unit) = stage.scope.organizational_units.first_mut() {
        *unit = moved;
    }
    let (expected, found) = stage.both_sides()?;
    let differences = expected.differences(&found);
    ensure!(differences.is_empty(), "{differences:#?}");
    println!("  hub and directory are equal");
    Ok(())
}

/// Another name for the unit, and a run after it.
#[allow(clippy::disallowed_methods)] // a measurement reads the clock
fn change(stage: &mut Stage, what: &str, old: &str, new: &str) -> anyhow::Result<()> {
    let before = Instant::now();
    stage.dc.rename_offline(old, new)?;
    println!("  {what} in {:.1} s", before.elapsed().as_secs_f64());
    let position = stage.dc.admin_dirsync(FILTER, None)?;
    let before = Instant::now();
    stage.dc.admin_dirsync(FILTER, Some(&position))?;
    let empty = before.elapsed().as_secs_f64();
    let before = Instant::now();
    let summary = stage.run_agent_once()?;
    let seconds = before.elapsed().as_secs_f64();
    let of = |part: &str| summary.get(part).unwrap_or(&Value::Null);
    println!("    empty increment   {empty:8.2} s");
    println!("    agent             {seconds:8.2} s, mode {}", of("mode"));
    println!("    objects read      {:>8}", of("objects_read"));
    println!("    users             {}", of("users"));
    println!("    failed items      {}", of("failed_items_count"));
    for part in ["users", "groups", "memberships"] {
        for change in ["created", "removed"] {
            ensure!(of(part).get(change) == Some(&0.into()), "{summary:#}");
        }
    }
    Ok(())
}
