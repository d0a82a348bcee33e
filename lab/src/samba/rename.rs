//! Renaming and moving units with thousands of objects below them, which Samba cannot do over LDAP.
//!
//! Invariant: afterwards the controller runs, whether it was renamed or not.

use anyhow::{Context as _, Result};

use super::{Dc, template};
use crate::program::run;

const RENAME: &str = include_str!("../../rename.py");

impl Dc {
    /// Gives an object another DN, and with it everything below. The controller is stopped for it.
    ///
    /// # Errors
    /// When it cannot be renamed, or the controller does not start again.
    pub fn rename_offline(&mut self, old: &str, new: &str) -> Result<()> {
        self.stop();
        let renamed = run(template::script(RENAME, &self.path("")).args([old, new]));
        self.restart()?;
        renamed
            .map(drop)
            .with_context(|| format!("rename {old} to {new}"))
    }
}
