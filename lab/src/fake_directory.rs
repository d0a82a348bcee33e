//! A directory that behaves as MS-ADTS says, for what a Samba domain controller cannot show: changes
//! in pages, member lists in ranges, MaxPageSize, cookies of another or a restored controller, and
//! answers that break off wherever a test wants.
//!
//! It is an LDAP server over TLS on a loopback port, in threads of the test; the domain lives in
//! memory and tests change it with [`FakeDirectory::edit`]. People can be made up when somebody
//! looks, so that a million cost nothing. Invariant: it faithfully follows the cited sections;
//! where Samba shows the same thing, tests use Samba. Deliberately absent: writing over LDAP,
//! access rights on single objects, a schema, a second controller that replicates.

mod ber;
mod connection;
mod deletion;
mod dirsync;
mod domain;
mod dump;
mod fault;
mod filter;
mod message;
mod name;
mod object;
mod policy;
mod population;
mod search;
mod show;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

pub use deletion::RecycleBin;
pub use domain::{BASE_DN, DOMAIN, Domain};
pub use fault::{Door, Fault, Lasting};
pub use message::{Code, Scope};
pub use object::{Guid, Object, ObjectId};
pub use policy::{ForeignCookie, MemberRight, Policy};

const ACCOUNT_DN: &str = "CN=svc-sync,OU=Service,DC=corp,DC=example,DC=com";
const PASSWORD: &str = "Sync-Passw0rd!1";
/// Searches that are remembered.
const REMEMBERED_MAX: usize = 100_000;

fn accounts() -> [String; 2] {
    [ACCOUNT_DN.to_owned(), format!("svc-sync@{DOMAIN}")]
}

/// A search that a client made.
#[derive(Clone, Debug)]
pub struct Searched {
    /// Its base.
    pub base: String,
    /// How far it went.
    pub scope: Scope,
    /// Its filter as text.
    pub filter: String,
    /// The attributes it asked for.
    pub attributes: Vec<String>,
    /// Whether it read changes.
    pub dirsync: bool,
}

/// What happens to the domain just before a certain search is answered.
struct Interlude {
    when: Box<dyn Fn(&Searched) -> bool + Send>,
    change: Box<dyn FnOnce(&mut Domain) + Send>,
}

/// What connections share.
struct Shared {
    domain: Mutex<Domain>,
    plan: Mutex<fault::Plan>,
    searches: Mutex<Vec<Searched>>,
    interlude: Mutex<Option<Interlude>>,
    closing: AtomicBool,
}

impl Shared {
    fn domain(&self) -> MutexGuard<'_, Domain> {
        self.domain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, fault::Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn searches(&self) -> MutexGuard<'_, Vec<Searched>> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a search, lets happen what was to happen before it, and tells what becomes of its
    /// answer.
    fn note(&self, search: &message::Search) -> Option<Fault> {
        let searched = Searched {
            base: search.base.clone(),
            scope: search.scope,
            filter: search.filter.to_string(),
            attributes: search.attributes.clone(),
            dirsync: search.controls.iter().any(|c| c.oid == dirsync::DIRSYNC),
        };
        let due = {
            let mut waiting = self.interlude();
            waiting.take_if(|interlude| (interlude.when)(&searched))
        };
        if let Some(interlude) = due {
            (interlude.change)(&mut self.domain());
        }
        let mut searches = self.searches();
        if searches.len() < REMEMBERED_MAX {
            searches.push(searched);
        }
        self.plan().next()
    }

    fn interlude(&self) -> MutexGuard<'_, Option<Interlude>> {
        self.interlude
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running directory; it ends when dropped.
pub struct FakeDirectory {
    shared: Arc<Shared>,
    address: SocketAddr,
    directory: TempDir,
}

impl FakeDirectory {
    /// Starts it with the units People and Groups and nobody in them.
    ///
    /// # Errors
    /// When no port or certificate can be had.
    pub fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let tls = Arc::new(certificate(&directory)?);
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on a loopback port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            domain: Mutex::new(Domain::new()),
            plan: Mutex::default(),
            searches: Mutex::default(),
            interlude: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        let sharing = shared.clone();
        std::thread::spawn(move || accept(&listener, &tls, &sharing));
        Ok(Self {
            shared,
            address,
            directory,
        })
    }

    /// `ldaps://ADDRESS:PORT`.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}", self.address)
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// DN of the account that may replicate.
    #[must_use]
    pub fn sync_account_dn(&self) -> String {
        ACCOUNT_DN.to_owned()
    }

    /// Its password.
    #[must_use]
    pub fn sync_password(&self) -> &'static str {
        PASSWORD
    }

    /// Looks at the domain or changes it; no answer is made meanwhile.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Domain) -> T) -> T {
        change(&mut self.shared.domain())
    }

    /// From now on the domain is as it was then, on a controller with a database of its own: after a
    /// restore, or on another controller, the invocation id is another one (MS-ADTS 3.1.1.1.9).
    pub fn restore_backup(&self, backup: Domain) {
        let mut domain = self.shared.domain();
        let invocation_id = next_invocation(domain.invocation_id);
        *domain = backup;
        domain.invocation_id = invocation_id;
    }

    /// Plans a fault for answer number `at` (from 1, over all connections), or takes the plan
    /// back. Answers are counted anew.
    pub fn plan(&self, planned: Option<(Fault, usize, Lasting)>) {
        self.shared.plan().set(planned);
    }

    /// Answers to searches since the last plan was made.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.shared.plan().answers
    }

    /// Changes the domain once, just before the first search is answered that `when` describes.
    pub fn interlude(
        &self,
        when: impl Fn(&Searched) -> bool + Send + 'static,
        change: impl FnOnce(&mut Domain) + Send + 'static,
    ) {
        *self.shared.interlude() = Some(Interlude {
            when: Box::new(when),
            change: Box::new(change),
        });
    }

    /// What new connections meet.
    pub fn set_door(&self, door: Door) {
        self.shared.plan().door = door;
    }

    /// The searches since the last call.
    #[must_use]
    pub fn take_searches(&self) -> Vec<Searched> {
        std::mem::take(&mut *self.shared.searches())
    }
}

impl Drop for FakeDirectory {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

fn next_invocation(guid: Guid) -> Guid {
    u128::from_le_bytes(guid).wrapping_add(1).to_le_bytes()
}

fn accept(listener: &TcpListener, tls: &Arc<ServerConfig>, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.plan().door == Door::Closed {
            continue;
        }
        // Answers are small and wait for nobody.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let (tls, shared) = (tls.clone(), shared.clone());
        std::thread::spawn(move || connection::serve(stream, &tls, &shared));
    }
}

/// Makes an authority and a certificate for the loopback address.
fn certificate(directory: &TempDir) -> Result<ServerConfig> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(directory.path().join("ca.pem"), issuer.pem())?;
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .context("use the certificate")
}
