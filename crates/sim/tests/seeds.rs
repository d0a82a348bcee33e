//! A fixed set of worlds, and the proof that the judgement notices mistakes.

use rollcall_sim::world::{Coverage, Flaw, simulate};

/// Worlds of a normal test run.
const SEEDS: u64 = 400;

#[test]
fn every_world_keeps_its_promises() {
    if let Ok(seed) = std::env::var("ROLLCALL_SIM_SEED") {
        let seed = seed.parse().expect("ROLLCALL_SIM_SEED is a number");
        println!("{:#?}", simulate(seed, Flaw::None).unwrap_or_else(|failure| panic!("{failure}")));
        return;
    }
    let failures: Vec<String> = (0..SEEDS)
        .filter_map(|seed| simulate(seed, Flaw::None).err())
        .map(|failure| failure.to_string())
        .collect();
    assert!(failures.is_empty(), "{} of {SEEDS}:\n{}", failures.len(), failures.join("\n\n"));
}
