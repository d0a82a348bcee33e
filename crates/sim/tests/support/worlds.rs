//! Many worlds, one for each seed: that all keep their promises, or that some does not.
//!
//! `ROLLCALL_SIM_SEED` asks for one world and `ROLLCALL_SIM_SEEDS` for another number of them.

use std::fmt::{Debug, Display};

/// Worlds of a normal test run.
const SEEDS: u64 = 400;
/// Worlds in which a mistake must be found.
const SEEDS_TO_FIND_A_FLAW: u64 = 2_000;
/// Worlds that are made twice.
const SEEDS_TO_REPEAT: u64 = 10;

/// Checks that no world fails and that everything worth mentioning happens in some.
#[track_caller]
pub fn check_all<C: Debug + Default, F: Display>(
    simulate: impl Fn(u64) -> Result<C, F>,
    add: impl Fn(&mut C, C),
    never: impl Fn(&C) -> Vec<&'static str>,
) {
    if let Ok(seed) = std::env::var("ROLLCALL_SIM_SEED") {
        let seed = seed.parse().expect("ROLLCALL_SIM_SEED is a number");
        println!(
            "{:#?}",
            simulate(seed).unwrap_or_else(|failure| panic!("{failure}"))
        );
        return;
    }
    let seeds = match std::env::var("ROLLCALL_SIM_SEEDS") {
        Ok(seeds) => seeds.parse().expect("ROLLCALL_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    };
    let mut failures = Vec::new();
    let mut total = C::default();
    for seed in 0..seeds {
        match simulate(seed) {
            Ok(coverage) => add(&mut total, coverage),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {seeds}:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    println!("{total:#?}");
    assert_eq!(never(&total), [""; 0], "these never happened: {total:#?}");
}

/// Checks that a seed decides everything.
#[track_caller]
pub fn check_same<T: Debug + PartialEq>(simulate: impl Fn(u64) -> T) {
    for seed in 0..SEEDS_TO_REPEAT {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}

/// The first world that fails, which says how to see it again.
#[track_caller]
pub fn find<F: Display>(fail: impl Fn(u64) -> Option<F>) -> F {
    let found = (0..SEEDS_TO_FIND_A_FLAW).find_map(|seed| Some((seed, fail(seed)?)));
    let (seed, failure) = found.expect("some world notices the flaw");
    println!("it shows in the world of seed {seed}");
    let again = format!("ROLLCALL_SIM_SEED={seed}");
    assert!(failure.to_string().contains(&again), "{failure}");
    failure
}
