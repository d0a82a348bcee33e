//! Debian packages that the lab needs: which are missing, and their installation.
//!
//! Invariant: nothing is installed without being named first and, unless consent was given before,
//! without asking; and no service of a package starts by itself on the machine (a Samba or
//! PostgreSQL of the system on all addresses would be a surprise). Deliberately absent: other
//! distributions; there the missing packages are named and the rest is the reader's.

use std::fs::{self, Permissions};
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

/// Something that tests or the demo run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The domain controller of [`crate::samba`].
    Samba,
    /// The database server of [`crate::postgres`].
    Postgres,
    /// `ldapsearch` and its relatives, as an independent client.
    LdapUtils,
    /// `slappasswd` with its modules, for hashes of another directory.
    OpenLdap,
    /// 389 Directory Server, for hashes of another directory.
    Directory389,
    /// `python3 -m venv`, for the official SDK.
    PythonVenv,
    /// `node` and `npm`, for the official SDK.
    Node,
}

impl Need {
    /// All but [`Self::Node`], which many machines have from elsewhere.
    pub const ALL: [Self; 6] = [
        Self::Samba,
        Self::Postgres,
        Self::LdapUtils,
        Self::OpenLdap,
        Self::Directory389,
        Self::PythonVenv,
    ];

    /// The packages of Debian 12 that provide it.
    #[must_use]
    pub const fn packages(self) -> &'static [&'static str] {
        match self {
            // samba-ad-provision is only recommended by samba-ad-dc, python3-markdown is needed by
            // samba-tool, openssl makes the certificate and ldap-utils ask whether it is ready.
            Self::Samba => &[
                "samba-ad-dc",
                "samba-ad-provision",
                "python3-samba",
                "python3-markdown",
                "attr",
                "ldb-tools",
                "ldap-utils",
                "openssl",
            ],
            Self::Postgres => &["postgresql", "python3"],
            Self::LdapUtils => &["ldap-utils"],
            Self::OpenLdap => &["slapd", "slapd-contrib"],
            Self::Directory389 => &["389-ds-base", "ldap-utils"],
            Self::PythonVenv => &["python3", "python3-venv"],
            Self::Node => &["nodejs", "npm"],
        }
    }
}

/// Whether the user has agreed to an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Asked on the terminal.
    Ask,
    /// Given already, by `--yes`.
    Given,
}

/// The packages for `needs` that are not installed, each once.
///
/// # Errors
/// When this is no Debian; the message names all packages.
pub fn missing(needs: &[Need]) -> Result<Vec<&'static str>> {
    let mut wanted: Vec<&str> = needs
        .iter()
        .flat_map(|need| need.packages())
        .copied()
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\n"])
        .args(&wanted)
        .stderr(Stdio::null())
        .output()
        .with_context(|| {
            format!(
                "this is no Debian; install what corresponds to: {}",
                wanted.join(" ")
            )
        })?;
    // It fails when a package is unknown, but still lists the others.
    Ok(not_installed(
        &wanted,
        &String::from_utf8_lossy(&output.stdout),
    ))
}

fn not_installed(wanted: &[&'static str], listing: &str) -> Vec<&'static str> {
    let is_installed = |name: &str| {
        listing
            .lines()
            .any(|line| line == format!("{name} installed"))
    };
    wanted
        .iter()
        .copied()
        .filter(|name| !is_installed(name))
        .collect()
}

/// Installs what is missing for `needs`, after saying which packages.
///
/// # Errors
/// When we are not root, the answer is no, or the installation fails.
pub fn install(needs: &[Need], consent: Consent) -> Result<()> {
    let packages = missing(needs)?;
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    println!("These Debian packages are missing: {list}");
    ensure!(
        geteuid().is_root(),
        "only root can install them; run: apt-get install --no-install-recommends {list}"
    );
    if consent == Consent::Ask && !ask("Install them now with apt-get?")? {
        bail!("not installed; run: apt-get install --no-install-recommends {list}");
    }
    let _policy = NoAutostart::set()?;
    if !apt_get(&["install", "--yes", "--no-install-recommends"], &packages)? {
        // The lists of packages of a fresh machine are empty or old.
        apt_get(&["update"], &[])?;
        let done = apt_get(&["install", "--yes", "--no-install-recommends"], &packages)?;
        ensure!(
            done,
            "apt-get could not install {list}; its output is above"
        );
    }
    Ok(())
}

fn apt_get(args: &[&str], packages: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(args)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("start apt-get")?;
    Ok(status.success())
}

fn ask(question: &str) -> Result<bool> {
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Keeps freshly installed services from starting, by Debian's own means, while it lives.
struct NoAutostart {
    created: bool,
}

impl NoAutostart {
    const PATH: &str = "/usr/sbin/policy-rc.d";

    fn set() -> Result<Self> {
        let created = !Path::new(Self::PATH).exists();
        if created {
            // 101: "action forbidden by policy", see invoke-rc.d(8).
            fs::write(Self::PATH, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(Self::PATH, Permissions::from_mode(0o755))?;
        }
        Ok(Self { created })
    }
}

impl Drop for NoAutostart {
    fn drop(&mut self) {
        if self.created {
            // Nothing sensible can be done here when it fails.
            fs::remove_file(Self::PATH).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let listing = "openssl installed\nattr config-files\nldap-utils installed\n";
        let wanted = ["attr", "ldap-utils", "openssl", "samba-ad-dc"];
        assert_eq!(not_installed(&wanted, listing), ["attr", "samba-ad-dc"]);
    }

    #[test]
    fn what_every_debian_has_is_not_missing_and_each_package_is_named_once() {
        let missing = missing(&Need::ALL).unwrap();
        let mut unique = missing.clone();
        unique.dedup();
        assert_eq!(missing, unique);
        // These tests run under it.
        assert!(!missing.contains(&"python3"));
    }
}
