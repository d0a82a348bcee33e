//! A fixed set of worlds of passwords, and the proof that the judgement notices mistakes.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::panic)]

#[path = "support/worlds.rs"]
mod worlds;

use rollcall_sim::password_coverage::PasswordCoverage;
use rollcall_sim::password_oracle::Clause;
use rollcall_sim::password_world::{PasswordFlaw, simulate};

#[test]
fn every_world_keeps_its_passwords() {
    worlds::check_all(
        |seed| simulate(seed, PasswordFlaw::None),
        PasswordCoverage::add,
        PasswordCoverage::never,
    );
}

#[test]
fn a_seed_is_a_whole_run() {
    worlds::check_same(|seed| simulate(seed, PasswordFlaw::None));
}

/// Checks that a mistake shows, and by which clause.
#[track_caller]
fn check_found(flaw: PasswordFlaw, clause: Clause) {
    let failure = worlds::find(|seed| simulate(seed, flaw).err());
    assert_eq!(failure.breach.clause, clause, "{failure}");
}

#[test]
fn a_password_that_counts_before_the_directory_has_it_is_found() {
    check_found(PasswordFlaw::StoresAtOnce, Clause::HadByTheDirectory);
}

#[test]
fn dates_of_two_clocks_are_found() {
    check_found(PasswordFlaw::DatesByTheOwnClock, Clause::Converges);
}

#[test]
fn dates_of_two_clocks_are_not_mended_by_reading_all_hashes() {
    let failure = worlds::find(|seed| {
        let failure = simulate(seed, PasswordFlaw::DatesByTheOwnClock).err()?;
        let what = &failure.breach.what;
        what.starts_with("when all hashes had been read")
            .then_some(failure)
    });
    assert_eq!(failure.breach.clause, Clause::Converges, "{failure}");
}

#[test]
fn an_older_password_in_the_place_of_a_newer_one_is_found() {
    check_found(PasswordFlaw::OverwritesWhatCameMeanwhile, Clause::Converges);
}

#[test]
fn two_changes_at_once_are_found() {
    check_found(PasswordFlaw::BeginsWhileOneIsPending, Clause::OneAtATime);
}

#[test]
fn two_streams_at_once_are_found() {
    check_found(PasswordFlaw::ServesStandBys, Clause::OneStream);
}

#[test]
fn changes_that_wait_for_ever_are_found() {
    check_found(PasswordFlaw::NeverEndsLate, Clause::InTime);
}

#[test]
fn silence_taken_for_success_is_found() {
    check_found(PasswordFlaw::TakesSilenceForSuccess, Clause::TrueEnd);
}

#[test]
fn a_refusal_of_what_another_agent_wrote_is_found() {
    check_found(PasswordFlaw::BelievesThatTheOldOneIsWrong, Clause::TrueEnd);
}

#[test]
fn a_refusal_because_clocks_differ_is_found() {
    check_found(PasswordFlaw::ForgetsThatClocksDiffer, Clause::TrueEnd);
}

#[test]
fn writes_that_are_repeated_blindly_are_found() {
    check_found(PasswordFlaw::ForgetsWhatItBegan, Clause::NoBadLogon);
}
