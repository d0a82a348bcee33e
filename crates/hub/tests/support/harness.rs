//! A hub in this process, whose clock the test moves.

mod caller;
mod rest_transport;
mod transcript;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_client::ServiceAccountKey;
use rollcall_domain::access::{AccessBinding, ResourceRef, Role, Subject};
use rollcall_domain::iam_token::IamToken;
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init::{self, Made};
use rollcall_hub::server::{self, Options, RunningHub};
use rollcall_kit::clock::{Clock as _, ManualClock, SystemClock};
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use rollcall_kit::timestamp::Span;
use rollcall_proto::{iam, idp};
use rollcall_store::Tx;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub use caller::Caller;
#[allow(unused_imports)] // not every test binary needs it
pub use caller::find_method;
use rest_transport::RestTransport;
use transcript::{Comparison, Transcript};

/// A hub that runs until it is dropped, with one pool in it.
pub struct Harness {
    pub clock: Arc<ManualClock>,
    pub running: RunningHub,
    pub made: Made,
    pub pool_id: String,
    pub administrator: Caller,
    entropy: Arc<OrderedEntropy>,
    transcript: Transcript,
    comparison: Option<Comparison>,
    directory: TempDir,
}

/// Randomness whose numbers grow, so that ids of one moment sort by their creation.
struct OrderedEntropy(AtomicU64);

impl Entropy for OrderedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SystemEntropy.fill(bytes);
    }

    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

impl Harness {
    /// A new hub with an administrator and a pool named `staff`.
    pub async fn start() -> Self {
        Self::start_on(None).await
    }

    /// As [`Harness::start`], on a PostgreSQL database instead of embedded SQLite.
    pub async fn start_on(database: Option<String>) -> Self {
        Self::start_with(database, "").await
    }

    /// As [`Harness::start_on`], with this section added to `hub.yaml`, in place of one of that name.
    pub async fn start_with(database: Option<String>, configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let request = init::Request {
            data: directory.path().join("hub"),
            organization: "Test".into(),
            address: "localhost:0".into(),
            database,
        };
        let made = init::init(request, clock.as_ref(), &SystemEntropy)
            .await
            .unwrap();
        let path = directory.path().join("hub/hub.yaml");
        let lines = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, with_section(&lines, configuration)).unwrap();
        let entropy = Arc::new(OrderedEntropy(AtomicU64::new(1)));
        let transcript = Transcript::new(clock.now());
        let (running, administrator) =
            serve(&directory, &clock, &entropy, &made, &transcript).await;
        let mut harness = Self {
            clock,
            running,
            made,
            pool_id: String::new(),
            administrator,
            entropy,
            transcript,
            comparison: None,
            directory,
        };
        harness.pool_id = harness.create_pool("staff").await;
        let organization_id = harness.made.organization_id.as_str();
        harness
            .transcript
            .call_it(organization_id, "<organization>");
        harness.transcript.call_it(&harness.pool_id, "<staff>");
        harness.comparison = Some(harness.transcript.begin());
        harness
    }

    /// Stops the hub and starts it again on the same directory.
    pub async fn restart(self) -> Self {
        self.running.stop().await;
        let (running, administrator) = serve(
            &self.directory,
            &self.clock,
            &self.entropy,
            &self.made,
            &self.transcript,
        )
        .await;
        Self {
            running,
            administrator,
            ..self
        }
    }

    /// Starts a second hub with the same keys on the same PostgreSQL database.
    pub async fn start_replica(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("hub");
        std::fs::create_dir(&data).unwrap();
        for entry in std::fs::read_dir(self.data().path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
        }
        let made = Made {
            organization_id: self.made.organization_id.clone(),
            address: self.made.address.clone(),
            ca: self.made.ca.clone(),
            key: self.made.key.clone(),
        };
        let (running, administrator) = serve(
            &directory,
            &self.clock,
            &self.entropy,
            &made,
            &self.transcript,
        )
        .await;
        Self {
            clock: Arc::clone(&self.clock),
            running,
            made,
            pool_id: self.pool_id.clone(),
            administrator,
            entropy: Arc::clone(&self.entropy),
            transcript: self.transcript.clone(),
            comparison: None,
            directory,
        }
    }

    /// Compares no transcript of this test, because of `reason`.
    pub fn without_transcript(&self, reason: &str) {
        assert!(!reason.is_empty());
        self.transcript.give_up();
    }

    /// Writes `name` into the transcript wherever a random `text` appears.
    pub fn call_it(&self, text: &str, name: &str) {
        self.transcript.call_it(text, name);
    }

    /// Lets time pass.
    pub fn advance(&self, span: Span) {
        self.clock.advance(span);
    }

    /// The data directory.
    pub fn data(&self) -> DataDirectory {
        DataDirectory::at(&self.directory.path().join("hub"))
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Caller {
        self.administrator.without_token()
    }

    /// A service account with these roles, named without their common prefix, on `resource`.
    pub async fn account(&self, roles: &[&str], resource: ResourceRef) -> Caller {
        let now = self.clock.now();
        let subject = Subject::service_account(self.running.hub.new_id("aje", now));
        self.sign_in(subject, roles, resource).await
    }

    /// Somebody with a token, and with these roles on `resource`.
    pub async fn sign_in(&self, subject: Subject, roles: &[&str], resource: ResourceRef) -> Caller {
        use rollcall_domain::named::Named as _;
        let now = self.clock.now();
        let mut random = [0; 16];
        SystemEntropy.fill(&mut random);
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let record = IamToken::issue(
            self.running.hub.new_id("aje", now).into(),
            Sha256::digest(&token).to_vec(),
            subject.clone(),
            now,
        );
        let bindings: Vec<_> = roles
            .iter()
            .map(|role| AccessBinding {
                resource: resource.clone(),
                role: Role::parse(&format!("organization-manager.{role}")).unwrap(),
                subject: subject.clone(),
            })
            .collect();
        let store = &self.running.hub.store;
        store
            .write(async move |tx: &Tx| {
                tx.insert_iam_token(&record).await?;
                for binding in &bindings {
                    tx.insert_access_binding(binding).await?;
                }
                Ok::<_, rollcall_store::Error>(())
            })
            .await
            .unwrap();
        let name = match roles {
            [] => "an account without roles".to_owned(),
            roles => format!("an account with {}", roles.join(", ")),
        };
        self.anonymous()
            .named(&name)
            .with("authorization", &format!("Bearer {token}"))
    }

    /// The whole organization.
    pub fn organization(&self) -> ResourceRef {
        ResourceRef::organization(&self.made.organization_id.as_str().into())
    }

    /// The pool `staff`.
    pub fn pool(&self) -> ResourceRef {
        ResourceRef::userpool(&self.pool_id.as_str().into())
    }

    /// The roles that the documentation asks for an agent.
    pub async fn agent(&self) -> Caller {
        let roles = [
            "userpools.syncAgent",
            "groups.viewer",
            "groups.externalCreator",
            "groups.externalConverter",
        ];
        let agent = self.account(&roles, self.organization()).await;
        agent.named("an agent")
    }

    /// Makes a pool and returns its id.
    pub async fn create_pool(&self, name: &str) -> String {
        let request = idp::CreateUserpoolRequest {
            organization_id: self.made.organization_id.clone(),
            name: name.into(),
            default_subdomain: name.into(),
            ..Default::default()
        };
        let (_, pool): (idp::CreateUserpoolMetadata, idp::Userpool) = self
            .administrator
            .change("UserpoolService/Create", &request)
            .await
            .unwrap();
        pool.id
    }

    /// A request for a user of the pool `staff` with an imported hash.
    pub fn new_user(&self, login: &str) -> idp::CreateUserRequest {
        idp::CreateUserRequest {
            userpool_id: self.pool_id.clone(),
            username: format!("{login}@staff.idp.rollcall.internal"),
            full_name: format!("The {login}"),
            credentials: Some(idp::create_user_request::Credentials::PasswordHash(nt(
                "8846f7eaee8fb117ad06bdd830b7586c",
            ))),
            ..Default::default()
        }
    }

    /// Makes a user of the pool `staff` and returns its id.
    pub async fn create_user(&self, login: &str) -> String {
        let request = self.new_user(login);
        let (metadata, _): (idp::CreateUserMetadata, idp::User) = self
            .administrator
            .change("UserService/Create", &request)
            .await
            .unwrap();
        metadata.user_id
    }

    /// Opens a session and returns the answer.
    pub async fn open(
        &self,
        caller: &Caller,
        agent_id: &str,
        session_type: idp::SessionType,
    ) -> idp::OpenSessionResponse {
        let request = idp::OpenSessionRequest {
            subject_container_id: self.pool_id.clone(),
            agent_id: agent_id.into(),
            session_type: session_type.into(),
        };
        let (_, response): (idp::OpenSessionMetadata, _) = caller
            .change("SynchronizationSessionService/OpenSession", &request)
            .await
            .unwrap();
        response
    }
}

/// The lines of a configuration, with a section instead of the one of its name.
fn with_section(lines: &str, section: &str) -> String {
    let name = section.split_inclusive(':').next().unwrap_or_default();
    let mut kept = String::new();
    let mut is_replaced = false;
    for line in lines.lines() {
        if !line.starts_with(' ') {
            is_replaced = !name.is_empty() && line.starts_with(name);
        }
        if !is_replaced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept + section
}

async fn serve(
    directory: &TempDir,
    clock: &Arc<ManualClock>,
    entropy: &Arc<OrderedEntropy>,
    made: &Made,
    transcript: &Transcript,
) -> (RunningHub, Caller) {
    let mut options = Options::new(DataDirectory::at(&directory.path().join("hub")));
    options.clock = Arc::clone(clock) as _;
    options.entropy = Arc::clone(entropy) as _;
    let running = server::start(options).await.unwrap();
    let ca = Certificate::from_pem(std::fs::read(&made.ca).unwrap());
    let channel = Endpoint::from_shared(format!("https://{}", running.address))
        .unwrap()
        .tls_config(ClientTlsConfig::new().ca_certificate(ca))
        .unwrap()
        .connect()
        .await
        .unwrap();
    transcript.call_it(&running.address, "<address>");
    let rest = RestTransport::new(&running.address, &made.ca);
    let anonymous = Caller::anonymous(channel, rest, transcript.clone());
    let key = ServiceAccountKey::read(&made.key).unwrap();
    let jwt = key.sign(clock.now()).unwrap();
    let request = iam::CreateIamTokenRequest {
        identity: Some(iam::create_iam_token_request::Identity::Jwt(
            jwt.expose().to_owned(),
        )),
    };
    let token: iam::CreateIamTokenResponse = anonymous
        .call("IamTokenService/Create", &request)
        .await
        .unwrap();
    let bearer = format!("Bearer {}", token.iam_token);
    let administrator = anonymous
        .named("the administrator")
        .with("authorization", &bearer);
    (running, administrator)
}

/// An NT hash in the form of the interface.
pub fn nt(hex: &str) -> idp::PasswordHash {
    idp::PasswordHash {
        password_hash: hex.into(),
        password_hash_type: idp::password_hash::PasswordHashType::AdMd4.into(),
        created_at: None,
    }
}

/// Checks code and reason of a refusal.
#[track_caller]
pub fn expect(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    let found = details.error_info().map(|info| info.reason.as_str());
    assert_eq!((status.code(), found), (code, Some(reason)), "{status:?}");
    assert!(
        details
            .request_info()
            .is_some_and(|info| !info.request_id.is_empty())
    );
}

/// Whether `address` is one of those that `localhost` may have.
pub fn is_loopback(address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Checks that a request is refused because of one field.
#[track_caller]
pub fn expect_field(status: &Status, field: &str) {
    expect(status, Code::InvalidArgument, "INVALID_FIELD");
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("BadRequest").field_violations;
    let fields: Vec<_> = violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, [field], "{status:?}");
}
