//! Seconds to fill 10,000 groups with a million memberships, and to rename 8,000 of them (AT-10: at
//! most a minute), with a real hub and the fake directory.
//!
//! Run with `cargo xtask bench groups`; `ROLLCALL_BENCH_GROUPS` sets another number of groups.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../tests/support/world.rs"]
mod world;

use std::path::Path;
use std::time::Instant;

use rollcall_lab::fake_directory::{FakeDirectory, ObjectId};
use serde_json::Value;
use world::World;

const GROUPS: usize = 10_000;
const MEMBERS_PER_GROUP: usize = 100;
const PEOPLE: u64 = 5_000;
/// Of a hundred groups that many get another name.
const RENAMED_PERCENT: usize = 80;

#[tokio::main]
async fn main() {
    let groups = match std::env::var("ROLLCALL_BENCH_GROUPS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => GROUPS,
    };
    let world = World::<FakeDirectory>::start_fake().await;
    let made: Vec<ObjectId> = world.dc.edit(|domain| {
        let (people, unit) = (domain.people().unwrap(), domain.groups().unwrap());
        domain.populate(people, PEOPLE).unwrap();
        (0..groups)
            .map(|number| {
                let first = number * MEMBERS_PER_GROUP;
                let members: Vec<ObjectId> = (first..first + MEMBERS_PER_GROUP)
                    .map(|at| domain.person(at as u64 % PEOPLE))
                    .collect();
                domain
                    .add_group(&format!("g{number}"), unit, members)
                    .unwrap()
            })
            .collect()
    });
    let config = world.configure("", "safety: {max_removals: 0}");
    println!("{PEOPLE} people, {groups} groups of {MEMBERS_PER_GROUP}");
    let first = run(&world, &config, "first full run").await;
    assert_eq!(
        first["memberships"]["created"],
        groups * MEMBERS_PER_GROUP,
        "{first:#}"
    );
    let renamed = groups * RENAMED_PERCENT / 100;
    world.dc.edit(|domain| {
        for group in made.iter().take(renamed) {
            let name = format!("{}-renamed", domain.get(*group).unwrap().name());
            domain.rename(*group, &name).unwrap();
        }
    });
    let second = run(&world, &config, "groups renamed").await;
    assert_eq!(second["groups"]["updated"], renamed, "{second:#}");
    assert_eq!(second["memberships"]["created"], 0, "{second:#}");
}

async fn run(world: &World<FakeDirectory>, config: &Path, what: &str) -> Value {
    let before = Instant::now();
    let summary = world.run(config).await;
    let seconds = before.elapsed().as_secs_f64();
    println!(
        "  {what:16} {seconds:8.1} s, mode {}, groups {}, memberships {}",
        summary["mode"], summary["groups"], summary["memberships"]
    );
    summary
}
