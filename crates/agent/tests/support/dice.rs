//! Reproducible chance: the seed is printed, and the variable ROLLCALL_SEED repeats a run.

// Each test program uses a part of it.
#![allow(dead_code)]

use rollcall_kit::entropy::{Entropy as _, SystemEntropy};

const VARIABLE: &str = "ROLLCALL_SEED";

/// SplitMix64: small, fast, and the same everywhere.
pub struct Dice {
    pub seed: u64,
    state: u64,
}

impl Dice {
    /// With the seed of the environment, else a new one.
    pub fn of_environment() -> Self {
        let given = std::env::var(VARIABLE).ok();
        let seed = match given {
            Some(text) => text.parse().expect("ROLLCALL_SEED is a number"),
            None => {
                let mut bytes = [0; 4];
                SystemEntropy.fill(&mut bytes);
                u64::from(u32::from_le_bytes(bytes))
            }
        };
        println!("seed {seed}; to repeat this run: {VARIABLE}={seed}");
        Self { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these, if there is any.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        match of.len() {
            0 => None,
            count => of.get(self.below(count)),
        }
    }
}
