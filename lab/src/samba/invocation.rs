//! The identity under which a domain controller writes: copies of one template share it.

use anyhow::Result;

use super::{Dc, template};
use crate::program::run;

const INVOCATION: &str = include_str!("../../invocation.py");

impl Dc {
    /// Stops it, gives it another invocation, as a proper restore from a backup does, and starts it.
    ///
    /// # Errors
    /// When that fails; with its output.
    pub fn renew_invocation(&mut self) -> Result<()> {
        self.stop();
        run(&mut template::script(INVOCATION, &self.path("")))?;
        self.restart()
    }
}
