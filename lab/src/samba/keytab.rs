//! Keytabs of accounts, and who may ask for tickets.
//!
//! Invariant: a keytab holds the keys that the account has at that moment. Deliberately absent:
//! making accounts.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;

use super::{Dc, REALM, SYNC_ACCOUNT};

impl Dc {
    /// Principal of [`Self::sync_account_dn`].
    #[must_use]
    pub fn sync_principal(&self) -> String {
        format!("{SYNC_ACCOUNT}@{REALM}")
    }

    /// Writes the keys of the account with this `sAMAccountName` to a new file, mode 0600.
    ///
    /// # Errors
    /// When Samba cannot export them.
    pub fn keytab(&self, account: &str) -> Result<PathBuf> {
        let path = self.path(format!("{account}.keytab"));
        if path.exists() {
            // Exporting adds to what is there.
            fs::remove_file(&path)?;
        }
        let file = path.display().to_string();
        let principal = format!("--principal={account}");
        self.samba_tool(&["domain", "exportkeytab", &file, &principal])?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    }
}
