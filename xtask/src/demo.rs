//! The main job from end to end: a real domain synchronised into a hub, and the proof.
//!
//! Invariant: the demo does only what an administrator could type, and the comparison at the end
//! shares no code with the agent. It fails when hub and directory differ, or when somebody cannot sign in.

mod hub_state;
mod programs;
mod report;
mod sign_in;
pub mod stage;

use anyhow::bail;
use rollcall_lab::packages::{self, Consent, Need};
use stage::{Size, Stage};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of people in the domain
    #[arg(long, default_value_t = 2_000)]
    users: u32,
    /// Number of groups in the domain
    #[arg(long, default_value_t = 50)]
    groups: u32,
    /// Number of memberships over all groups [default: five for each person]
    #[arg(long)]
    memberships: Option<u32>,
    /// End after the comparison; fails when hub and directory differ
    #[arg(long)]
    once: bool,
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,
    /// Cargo profile of the programs: `release`, or `dev` for a shorter build
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Runs the demonstration.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let consent = if arguments.yes {
        Consent::Given
    } else {
        Consent::Ask
    };
    packages::install(&[Need::Samba, Need::LdapUtils], consent)?;
    let size = Size {
        users: arguments.users,
        groups: arguments.groups,
        memberships: arguments
            .memberships
            .unwrap_or(arguments.users.saturating_mul(5)),
    };
    let stage = Stage::set(&arguments.profile, &size)?;
    step("turning passwords on, in both directions");
    stage.turn_passwords_on()?;
    step("running the agent once");
    let summary = stage.run_agent_once()?;
    step("comparing hub and directory, object by object");
    let (expected, found) = stage.both_sides()?;
    let differences = expected.differences(&found);
    step("signing people in with their passwords of the directory");
    let (tried, refused) = sign_in::try_all(&stage, &found)?;
    report::print(&report::Outcome {
        expected: &expected,
        found: &found,
        summary: &summary,
        differences: &differences,
        sign_ins: tried,
        refused: &refused,
    });
    if arguments.once {
        if !differences.is_empty() {
            bail!("hub and directory differ");
        }
        if !refused.is_empty() {
            bail!("people cannot sign in with their passwords");
        }
        return Ok(());
    }
    step("following the directory until Ctrl-C");
    report::print_what_to_try(&stage);
    stage.follow()
}

/// Says what happens next.
fn step(text: &str) {
    println!("==> {text}");
}
