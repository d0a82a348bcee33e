//! A fixed set of worlds, and the proof that the judgement notices mistakes.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::panic)]

#[path = "support/worlds.rs"]
mod worlds;

use rollcall_sim::oracle::Promise;
use rollcall_sim::world::{Coverage, Flaw, simulate};

#[test]
fn every_world_keeps_its_promises() {
    worlds::check_all(
        |seed| simulate(seed, Flaw::None),
        Coverage::add,
        Coverage::never,
    );
}

#[test]
fn a_seed_is_a_whole_run() {
    worlds::check_same(|seed| simulate(seed, Flaw::None));
}

/// Checks that a mistake shows, and by which promise.
#[track_caller]
fn check_found(flaw: Flaw, promise: Promise) {
    let failure = worlds::find(|seed| simulate(seed, flaw).err());
    assert_eq!(failure.violation.promise, promise, "{failure}");
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
