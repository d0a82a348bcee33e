//! Samba's own replication client: the bare baseline for ours.

use anyhow::{Context as _, Result};

use super::{Dc, SYNC_ACCOUNT, SYNC_PASSWORD, template};
use crate::program::run;

const REPLICATE: &str = include_str!("../../replicate.py");

impl Dc {
    /// Reads and decrypts all password hashes with Samba's client; returns what it counted, and
    /// `seconds`.
    ///
    /// # Errors
    /// When it fails; with its output.
    pub fn replicate_with_samba(&self) -> Result<serde_json::Value> {
        let mut command = template::script(REPLICATE, &self.path(""));
        let address = self.ip().to_string();
        let printed = run(command.args([&address, SYNC_ACCOUNT, SYNC_PASSWORD]))?;
        serde_json::from_str(&printed).context("the client of Samba printed no JSON")
    }
}
