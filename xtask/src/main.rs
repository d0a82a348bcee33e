//! The developer tool: the demo, the tests, the checks and the measurements.
//!
//! Invariant: everything a person has to type for this project is a subcommand here, and each
//! installs what it needs after saying so. Deliberately absent: anything that ships.

mod bench;
mod check;
mod demo;
mod fuzz;
mod lab;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of Rollcall.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Synchronise a real Active Directory domain into a hub and show that both are equal
    Demo(demo::Arguments),
    /// Run every test, with the servers they need
    Test(test::Arguments),
    /// Format, lints, documentation and house rules
    Check(check::Arguments),
    /// House rules: crate edges, file sizes, SQL, dead files, links
    Tidy,
    /// Measure, beside a bare baseline in the same run
    Bench(bench::Arguments),
    /// Feed every decoder with damaged messages
    Fuzz(fuzz::Arguments),
    /// Start a domain controller to play with, and stop it on Ctrl-C
    Lab(lab::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Lab(arguments) => lab::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
