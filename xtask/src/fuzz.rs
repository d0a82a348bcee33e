//! Damaged messages for every decoder of bytes from elsewhere, as long as one likes.
//!
//! The targets are those of the directory crate. Without `--guided` its test `fuzz` runs longer than
//! usual; with it the package in `fuzz/` is built with instrumentation, which the stable compiler
//! has, and libFuzzer looks for inputs that reach new code. Either way a defect is printed with the
//! input that shows it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// Recorded messages, one a line in hexadecimal digits, perhaps after a name.
const RECORDED: [&str; 2] = ["dirsync.hex", "replication.hex"];
/// What libFuzzer needs to see which code was reached.
const INSTRUMENTATION: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Other seeds give other inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Guided by coverage, with libFuzzer, which needs a C++ compiler
    #[arg(long, requires = "target")]
    guided: bool,
    /// Only this target; a wrong name lists them
    target: Option<String>,
}

/// Runs the targets one after the other.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let (true, Some(target)) = (arguments.guided, &arguments.target) {
        return guided(arguments, target);
    }
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

/// The corpus grows from run to run below `target/fuzz`.
fn guided(arguments: &Arguments, target: &str) -> Result<()> {
    let root = shell::workspace_root();
    let about = shell::output_of(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not name its host")?;
    let built = root.join("target/fuzz");
    let mut build = shell::cargo();
    build
        .current_dir(root.join("fuzz"))
        // With a target named, build scripts are not instrumented.
        .args(["build", "--locked", "--target", host])
        .env("CARGO_TARGET_DIR", &built)
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "));
    shell::run(&mut build)?;
    let corpus = built.join("corpus").join(target);
    write_corpus(&root.join("crates/directory/golden"), &corpus)?;
    let mut fuzzer = Command::new(built.join(host).join("debug/decoder"));
    fuzzer
        .current_dir(&built)
        .arg(format!("-max_total_time={}", arguments.seconds))
        .arg(format!("-seed={}", arguments.seed))
        .arg(&corpus)
        .env("ROLLCALL_FUZZ_TARGET", target);
    shell::run(&mut fuzzer)
}

/// Every recorded message; libFuzzer finds out by itself which of them reach something.
fn write_corpus(golden: &Path, corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    let mut count = 0;
    for file in RECORDED {
        let text = fs::read_to_string(golden.join(file))?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let digits = line.rsplit(' ').next().unwrap_or_default();
            let bytes =
                bytes_of_hex(digits).with_context(|| format!("{file} is not hexadecimal"))?;
            fs::write(corpus.join(format!("recorded-{count}")), bytes)?;
            count += 1;
        }
    }
    ensure!(count > 0, "nothing was recorded");
    Ok(())
}

fn bytes_of_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    pairs.map(byte).collect()
}
