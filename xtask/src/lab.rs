//! A domain controller to play with, until Ctrl-C.

use anyhow::Context;
use rollcall_lab::packages::{self, Consent, Need};
use rollcall_lab::samba::{Dc, DcOptions, Fill};

/// Options of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of people
    #[arg(long, default_value_t = 200)]
    users: u32,
    /// Number of groups
    #[arg(long, default_value_t = 20)]
    groups: u32,
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,
}

/// Starts a filled domain controller, says how to reach it, and waits for the end of input.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let consent = if arguments.yes {
        Consent::Given
    } else {
        Consent::Ask
    };
    packages::install(&[Need::Samba, Need::LdapUtils], consent)?;
    let fill = Fill {
        users: arguments.users,
        groups: arguments.groups,
        memberships: arguments.users.saturating_mul(5),
        ..Fill::default()
    };
    println!(
        "Starting a domain controller with {} people ...",
        arguments.users
    );
    let dc = Dc::start(&DcOptions { fill: Some(fill) })?;
    println!("url:       {}", dc.ldaps_url());
    println!("ca:        {}", dc.ca_path().display());
    println!("base:      {}", dc.base_dn());
    println!("account:   {}", dc.sync_account_dn());
    println!("password:  {}", dc.sync_password());
    println!("smb.conf:  {}", dc.conf_path().display());
    println!("\nPress Enter or Ctrl-C to stop it.");
    std::io::stdin()
        .read_line(&mut String::new())
        .context("cannot read standard input")?;
    Ok(())
}
