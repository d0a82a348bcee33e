//! Deleted objects of the domain controller: restoring them, keeping them longer, and their end.
//!
//! Invariant: everything happens as an administrator of a real domain would do it. Deliberately
//! absent: restoring an object with all its attributes from the recycle bin; Samba 4.17 keeps
//! them, but refuses the modification of MS-ADTS 3.1.1.5.3.7.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Dc, template};
use crate::program::{run, run_with_input};

const RECYCLE_BIN: &str = include_str!("../../recycle_bin.py");
/// Makes deleted objects reachable (MS-ADTS 3.1.1.3.4.1.14).
const SHOW_DELETED: &str = "!1.2.840.113556.1.4.417";

impl Dc {
    /// Brings a deleted account or group back under the name `dn`, which keeps its identifiers
    /// and loses most of its other attributes (MS-ADTS 3.1.1.5.3.7, tombstone reanimation).
    ///
    /// # Errors
    /// When there is no deleted object with this `sAMAccountName`, or the directory refuses.
    pub fn admin_restore(&self, account: &str, dn: &str) -> Result<()> {
        let filter = format!("(&(isDeleted=TRUE)(sAMAccountName={account}))");
        let found = self.admin_ldapsearch(&["-E", "!showDeleted", &filter, "dn"])?;
        let tombstone = found
            .lines()
            .find(|line| line.starts_with("dn:"))
            .with_context(|| format!("there is no deleted object with the account {account}"))?;
        let change = format!(
            "{tombstone}\nchangetype: modify\ndelete: isDeleted\n-\n\
             replace: distinguishedName\ndistinguishedName: {dn}\n\n"
        );
        let mut tool = self.ldap_tool("ldapmodify");
        run_with_input(tool.args(["-e", SHOW_DELETED]), &change).map(drop)
    }

    /// Switches the recycle bin on, which cannot be undone (MS-ADTS 3.1.1.9.1).
    ///
    /// # Errors
    /// When it cannot be switched on.
    pub fn enable_recycle_bin(&self) -> Result<()> {
        run(&mut template::script(RECYCLE_BIN, &self.path(""))).map(drop)
    }

    /// Removes every tombstone for good, as if the tombstone lifetime had passed. With the recycle
    /// bin Samba 4.17 only recycles them.
    ///
    /// # Errors
    /// When it fails; with its output.
    pub fn expunge_tombstones(&self) -> Result<()> {
        // The lifetime is counted in days up to midnight.
        let later = run(Command::new("date").args(["-u", "-d", "2 days", "+%F"]))?;
        let time = format!("--current-time={}", later.trim());
        let args = ["domain", "tombstones", "expunge", "--tombstone-lifetime=0"];
        self.samba_tool(&[&args[..], &[&time]].concat()).map(drop)
    }
}
