//! Damaged messages for every decoder of bytes from elsewhere, as long as one likes.
//!
//! The targets are those of the test `fuzz` of the directory crate; a defect is printed with the
//! seed and the input that show it.

use crate::shell;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Other seeds give other inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this target; a wrong name lists them
    target: Option<String>,
}

/// Runs the targets one after the other.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = shell::cargo();
    command
        .args(["test", "--locked", "--package", "rollcall-directory"])
        .args(["--test", "fuzz", "--", "--nocapture"])
        .arg("damaged_input_never_panics")
        .env("ROLLCALL_FUZZ_SECONDS", arguments.seconds.to_string())
        .env("ROLLCALL_FUZZ_SEED", arguments.seed.to_string());
    if let Some(target) = &arguments.target {
        command.env("ROLLCALL_FUZZ_TARGET", target);
    }
    shell::run(&mut command)
}
