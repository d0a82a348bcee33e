//! A fixed set of worlds of passwords, and the proof that the judgement notices mistakes.

use rollcall_sim::password_coverage::PasswordCoverage;
use rollcall_sim::password_oracle::Clause;
use rollcall_sim::password_world::{PasswordFlaw, simulate};

/// Worlds of a normal test run.
const SEEDS: u64 = 400;
/// Worlds in which a mistake must be found.
const SEEDS_TO_FIND_A_FLAW: u64 = 2_000;

#[test]
fn every_world_keeps_its_passwords() {
    if let Ok(seed) = std::env::var("ROLLCALL_SIM_SEED") {
        let seed = seed.parse().expect("ROLLCALL_SIM_SEED is a number");
        println!(
            "{:#?}",
            simulate(seed, PasswordFlaw::None).unwrap_or_else(|failure| panic!("{failure}"))
        );
        return;
    }
    let seeds = match std::env::var("ROLLCALL_SIM_SEEDS") {
        Ok(seeds) => seeds.parse().expect("ROLLCALL_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    };
    let mut failures = Vec::new();
    let mut total = PasswordCoverage::default();
    for seed in 0..seeds {
        match simulate(seed, PasswordFlaw::None) {
            Ok(coverage) => total.add(&coverage),
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
            simulate(seed, PasswordFlaw::None),
            simulate(seed, PasswordFlaw::None),
            "seed {seed}"
        );
    }
}

/// The first world in which a mistake shows, and the clause that it breaks.
#[track_caller]
fn check_found(flaw: PasswordFlaw, clause: Clause) {
    let found = (0..SEEDS_TO_FIND_A_FLAW).find_map(|seed| simulate(seed, flaw).err());
    let failure = found.expect("some world notices the flaw");
    println!("{flaw:?} shows in the world of seed {}", failure.seed);
    assert_eq!(failure.breach.clause, clause, "{failure}");
    assert!(
        failure
            .to_string()
            .contains(&format!("ROLLCALL_SIM_SEED={}", failure.seed))
    );
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
    let found = (0..SEEDS_TO_FIND_A_FLAW).find_map(|seed| {
        let failure = simulate(seed, PasswordFlaw::DatesByTheOwnClock).err()?;
        let what = &failure.breach.what;
        what.starts_with("when all hashes had been read")
            .then_some(failure)
    });
    let failure = found.expect("some world has it in the end");
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
