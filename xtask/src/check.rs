//! Everything about the sources that a program can judge without running them.

use crate::{shell, tidy};

/// Options of `cargo xtask check`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rewrite the sources to the house format instead of complaining
    #[arg(long)]
    fix: bool,
}

/// Format, house rules, lints and documentation, the fast ones first.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut format = shell::cargo();
    format.args(["fmt", "--all"]);
    if !arguments.fix {
        format.arg("--check");
    }
    shell::run(&mut format)?;
    tidy::run()?;
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))?;
    shell::run(
        shell::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}
