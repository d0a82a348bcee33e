//! What changed in the domain, read with `ldapsearch`: the bare baseline of a delta.

use anyhow::{Context as _, Result, bail};

use super::{BASE_DN, Dc};
use crate::program::run;

/// Pages of one read.
const PAGES_MAX: usize = 10_000;
/// No flags, pages of 1 MB (MS-ADTS 3.1.1.3.4.1.3).
const CONTROL: &str = "!dirSync=0/1048576";

impl Dc {
    /// Reads everything of `filter` that changed since a position, as the administrator; `None`
    /// reads all of it. Returns the next position.
    ///
    /// # Errors
    /// When the search fails.
    pub fn admin_dirsync(&self, filter: &str, position: Option<&str>) -> Result<String> {
        let mut position = position.map(str::to_owned);
        for _ in 0..PAGES_MAX {
            let control = match &position {
                Some(position) => format!("{CONTROL}/{position}"),
                None => CONTROL.to_owned(),
            };
            let mut command = self.ldap_tool("ldapsearch");
            command.args(["-L", "-o", "ldif-wrap=no", "-b", BASE_DN]);
            let answer = run(command.args(["-E", &control, filter, "name", "member"]))?;
            let of = |start| answer.lines().rev().find_map(|l| l.strip_prefix(start));
            let next: &str = of("# cookie:: ").context("ldapsearch printed no position")?;
            if of("# DirSync control continueFlag=") == Some("0") {
                return Ok(next.to_owned());
            }
            position = Some(next.to_owned());
        }
        bail!("more than {PAGES_MAX} pages")
    }
}
