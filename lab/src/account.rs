//! Accounts of the machine, for servers that do not run as root.

use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::{Context, Result};

/// An account.
#[derive(Debug)]
pub(crate) struct Account {
    pub user: u32,
    pub group: u32,
}

impl Account {
    /// The first of these accounts that exists.
    pub fn find(names: &[&str]) -> Result<Self> {
        let accounts = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        names
            .iter()
            .find_map(|name| Self::parse(&accounts, name))
            .with_context(|| format!("none of the accounts {names:?} exists"))
    }

    fn parse(accounts: &str, name: &str) -> Option<Self> {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let user = fields.nth(1)?.parse().ok()?;
            let group = fields.next()?.parse().ok()?;
            Some(Self { user, group })
        })
    }

    /// Gives it everything at `path`.
    pub fn give(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.user), Some(self.group))?;
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                self.give(&entry?.path())?;
            }
        }
        Ok(())
    }
}
