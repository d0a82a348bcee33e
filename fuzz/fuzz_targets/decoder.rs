//! One decoder of `rollcall_directory::fuzz`, named by `ROLLCALL_FUZZ_TARGET`, under libFuzzer.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rollcall_directory::fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

/// # Panics
/// When there is no such target.
fn choose() -> Target {
    let wanted = std::env::var("ROLLCALL_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("no target {wanted:?}")).1
}

fuzz_target!(|bytes: &[u8]| CHOSEN.get_or_init(choose)(bytes));
