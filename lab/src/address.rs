//! Loopback addresses, one per server, so that servers with fixed ports can run side by side.
//!
//! Invariant: an address is leased to one owner on the whole machine at a time, across processes
//! and checkouts; the lease ends with its owner, however that ends, because it is a file lock.
//! Deliberately absent: IPv6, which has a single loopback address.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Addresses 127.77.0.1 to 127.77.3.250 are ours.
const NETWORKS: u8 = 4;
const HOSTS: u8 = 250;

/// A loopback address that nobody else uses while this value lives.
#[derive(Debug)]
pub struct Address {
    address: Ipv4Addr,
    lock_path: PathBuf,
    _lock: File,
}

impl Address {
    /// Leases a free address.
    ///
    /// # Errors
    /// When the lock directory cannot be used or all 1,000 addresses are taken.
    pub fn lease() -> Result<Self> {
        let directory = std::env::temp_dir().join("rollcall-lab-addresses");
        fs::create_dir_all(&directory)
            .with_context(|| format!("create the lock directory {}", directory.display()))?;
        // Shared by all users of the machine; only the creator may change it, others need not.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).ok();

        let count = u32::from(NETWORKS) * u32::from(HOSTS);
        // Processes start looking at different places, so they rarely meet.
        let start = std::process::id().wrapping_mul(7919) % count;
        for step in 0..count {
            let index = (start + step) % count;
            let network = u8::try_from(index / u32::from(HOSTS))?;
            let host = u8::try_from(index % u32::from(HOSTS) + 1)?;
            let address = Ipv4Addr::new(127, 77, network, host);
            let lock_path = directory.join(address.to_string());
            if let Some(lock) = take(&lock_path)? {
                return Ok(Self {
                    address,
                    lock_path,
                    _lock: lock,
                });
            }
        }
        bail!("all {count} loopback addresses of the lab are in use")
    }

    /// The address itself.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.address
    }

    /// A port of it. Nobody else uses the address, so a port that is free now stays free.
    pub(crate) fn free_port(&self) -> Result<u16> {
        let listener = TcpListener::bind((self.address, 0)).context("find a free port")?;
        Ok(listener.local_addr()?.port())
    }

    /// The file whose shared lock keeps the address taken; a keeper process locks it too.
    #[must_use]
    pub fn lock_path(&self) -> &Path {
        &self.lock_path
    }
}

/// An exclusive lock proves that nobody has the address; the shared one then holds it, so that the
/// keeper of the server can hold it as well.
fn take(path: &Path) -> Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("open the lock file {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).ok();
    if file.try_lock().is_err() {
        return Ok(None);
    }
    // The conversion is not atomic: another process may get in between, then the address is its.
    Ok(file.try_lock_shared().is_ok().then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_share_an_address_and_come_back() {
        let first = Address::lease().unwrap();
        let second = Address::lease().unwrap();
        assert_ne!(first.ip(), second.ip());
        assert!(take(first.lock_path()).unwrap().is_none());
        let path = first.lock_path().to_path_buf();
        drop(first);
        assert!(take(&path).unwrap().is_some());
    }
}
