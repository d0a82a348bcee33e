//! What the agent reads from: a domain controller of Samba, or the fake directory.

use std::path::PathBuf;

use rollcall_lab::fake_directory::{self, FakeDirectory};
use rollcall_lab::samba::Dc;

/// What the agent reads: a real domain controller, or what is one in all that matters here.
pub trait Directory {
    fn url(&self) -> String;
    fn ca(&self) -> PathBuf;
    fn account(&self) -> String;
    fn password(&self) -> String;
    /// DNS name of the domain.
    fn realm(&self) -> String;
    fn base(&self) -> String;
    /// All users and groups as LDIF.
    fn dump(&self) -> String;
}

impl Directory for Dc {
    fn url(&self) -> String {
        self.ldaps_url()
    }
    fn ca(&self) -> PathBuf {
        self.ca_path()
    }
    fn account(&self) -> String {
        self.sync_account_dn()
    }
    fn password(&self) -> String {
        self.sync_password().to_owned()
    }
    fn realm(&self) -> String {
        Self::realm(self).to_lowercase()
    }
    fn base(&self) -> String {
        self.base_dn().to_owned()
    }
    fn dump(&self) -> String {
        self.admin_ldapsearch(&["(|(objectClass=user)(objectClass=group))"])
            .unwrap()
    }
}

impl Directory for FakeDirectory {
    fn url(&self) -> String {
        self.ldaps_url()
    }
    fn ca(&self) -> PathBuf {
        self.ca_path()
    }
    fn account(&self) -> String {
        self.sync_account_dn()
    }
    fn password(&self) -> String {
        self.sync_password().to_owned()
    }
    fn realm(&self) -> String {
        fake_directory::DOMAIN.to_owned()
    }
    fn base(&self) -> String {
        fake_directory::BASE_DN.to_owned()
    }
    fn dump(&self) -> String {
        self.edit(|domain| domain.ldif())
    }
}
