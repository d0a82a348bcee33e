//! A fixed set of worlds, and the proof that the judgement notices mistakes.

use rollcall_sim::oracle::Promise;
use rollcall_sim::world::{Coverage, Flaw, simulate};

/// Worlds of a normal test run.
const SEEDS: u64 = 400;
/// Worlds in which a mistake must be found.
const SEEDS_TO_FIND_A_FLAW: u64 = 2_000;

#[test]
fn every_world_keeps_its_promises() {
    if let Ok(seed) = std::env::var("ROLLCALL_SIM_SEED") {
        let seed = seed.parse().expect("ROLLCALL_SIM_SEED is a number");
        println!(
            "{:#?}",
            simulate(seed, Flaw::None).unwrap_or_else(|failure| panic!("{failure}"))
        );
        return;
    }
    let seeds = match std::env::var("ROLLCALL_SIM_SEEDS") {
        Ok(seeds) => seeds.parse().expect("ROLLCALL_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    };
    let mut failures = Vec::new();
    let mut total = Coverage::default();
    for seed in 0..seeds {
        match simulate(seed, Flaw::None) {
            Ok(coverage) => total.add(coverage),
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
    assert_eq!(total.never(), [""; 0], "these never happened: {total:#?}");
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in 0..10 {
        assert_eq!(
            simulate(seed, Flaw::None),
            simulate(seed, Flaw::None),
            "seed {seed}"
        );
    }
}

/// The first world in which a mistake shows, and the promise that it breaks.
#[track_caller]
fn check_found(flaw: Flaw, promise: Promise) {
    let found = (0..SEEDS_TO_FIND_A_FLAW).find_map(|seed| simulate(seed, flaw).err());
    let failure = found.expect("some world notices the flaw");
    println!("{flaw:?} shows in the world of seed {}", failure.seed);
    assert_eq!(failure.violation.promise, promise, "{failure}");
    assert!(
        failure
            .to_string()
            .contains(&format!("ROLLCALL_SIM_SEED={}", failure.seed))
    );
}

#[test]
fn removal_on_absence_is_found() {
    check_found(Flaw::RemovesOnAbsence, Promise::NoUnrequestedRemoval);
}

#[test]
fn writes_without_a_fence_are_found() {
    check_found(Flaw::WritesWithoutFence, Promise::OneWriter);
}

#[test]
fn repetitions_under_a_new_key_are_found() {
    check_found(Flaw::NewKeyPerAttempt, Promise::ExactCounters);
}

#[test]
fn counters_that_die_with_their_agent_are_found() {
    check_found(Flaw::HubDoesNotCount, Promise::ExactCounters);
}

#[test]
fn one_bad_object_that_stops_the_others_is_found() {
    check_found(Flaw::StopsAtRefusedItem, Promise::Convergence);
}

#[test]
fn children_of_moved_units_taken_for_gone_are_found() {
    check_found(
        Flaw::ForgetsChildrenOfMovedUnits,
        Promise::NoUnrequestedRemoval,
    );
}

#[test]
fn trust_in_a_stale_index_is_found() {
    check_found(Flaw::TrustsAnyStoredIndex, Promise::Convergence);
}

#[test]
fn trust_in_a_token_that_another_agent_left_behind_is_found() {
    check_found(Flaw::TrustsTheTokenAlone, Promise::Convergence);
}

#[test]
fn trust_in_stale_activation_is_found() {
    check_found(Flaw::TrustsStaleActivation, Promise::Convergence);
}
