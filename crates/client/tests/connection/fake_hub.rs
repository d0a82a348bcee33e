//! A hub of two services over real TLS, which answers as told and remembers what it was asked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use prost_types::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_RSA_SHA256,
    RsaKeySize,
};
use rollcall_client::{Client, ClientError, ClientOptions, Credentials, ServiceAccountKey};
use rollcall_kit::clock::{Clock as _, ManualClock};
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Span;
use rollcall_proto::iam::iam_token_service_server::{IamTokenService, IamTokenServiceServer};
use rollcall_proto::iam::{
    CreateIamTokenForServiceAccountRequest, CreateIamTokenRequest, CreateIamTokenResponse,
    RevokeIamTokenRequest, RevokeIamTokenResponse, create_iam_token_request::Identity,
};
use rollcall_proto::operation::operation_service_server::{
    OperationService, OperationServiceServer,
};
use rollcall_proto::operation::{CancelOperationRequest, GetOperationRequest, Operation};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity as TlsIdentity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// How long tokens of this hub live.
pub const TOKEN_LIFETIME: Span = Span::hours(12);

/// What came with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub authorization: Option<String>,
    pub idempotency_key: Option<String>,
    pub session_id: Option<String>,
    pub force: Option<String>,
}

#[derive(Default)]
pub struct State {
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<VecDeque<Result<Operation, Status>>>,
    exchanges: Mutex<Vec<String>>,
    refuses_exchange: AtomicBool,
}

/// A running hub and what is needed to reach it. Ends with the runtime of its test.
pub struct FakeHub {
    pub address: String,
    pub ca_path: PathBuf,
    pub key_json: String,
    pub clock: Arc<ManualClock>,
    state: Arc<State>,
    _directory: tempfile::TempDir,
}

/// Randomness that is always zero, so that nobody waits between attempts.
pub struct NoWait;

impl Entropy for NoWait {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

impl FakeHub {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca_path = directory.path().join("ca.pem");
        std::fs::write(&ca_path, ca.pem()).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&server_key, &ca)
            .unwrap();
        let account_key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let key_json = serde_json::json!({
            "id": "aje-key",
            "service_account_id": "aje-account",
            "created_at": "2026-01-01T00:00:00Z",
            "key_algorithm": "RSA_2048",
            "public_key": account_key.public_key_pem(),
            "private_key": format!("Keep this secret.\n{}", account_key.serialize_pem()),
        })
        .to_string();

        let clock = Arc::new(ManualClock::at(rollcall_kit::clock::SystemClock.now()));
        let state = Arc::new(State::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tls = ServerTlsConfig::new().identity(TlsIdentity::from_pem(
            server.pem(),
            server_key.serialize_pem(),
        ));
        let tokens = Tokens {
            state: Arc::clone(&state),
            clock: Arc::clone(&clock),
            public_key: account_key.public_key_pem(),
        };
        let serving = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(IamTokenServiceServer::new(tokens))
            .add_service(OperationServiceServer::new(Operations(Arc::clone(&state))))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        Self {
            address,
            ca_path,
            key_json,
            clock,
            state,
            _directory: directory,
        }
    }

    /// Options with the key of this hub, its clock, and no waits.
    pub fn options(&self) -> ClientOptions {
        let key = ServiceAccountKey::parse(&self.key_json).unwrap();
        let mut options = ClientOptions::new(self.address.clone())
            .with_ca(&self.ca_path)
            .with_credentials(Credentials::Key(key));
        options.clock = Arc::clone(&self.clock) as _;
        options.entropy = Arc::new(NoWait);
        options
    }

    pub async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(self.options()).await
    }

    /// The next call of the operation service gets `answer`; without any left, a done operation.
    pub fn will_answer(&self, answer: Result<Operation, Status>) {
        self.state.answers.lock().unwrap().push_back(answer);
    }

    pub fn refuse_exchange(&self) {
        self.state.refuses_exchange.store(true, Ordering::SeqCst);
    }

    /// The calls of the operation service so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// How many tokens were given out.
    pub fn exchanges(&self) -> usize {
        self.state.exchanges.lock().unwrap().len()
    }
}

impl State {
    fn answer(
        &self,
        metadata: &tonic::metadata::MetadataMap,
    ) -> Result<Response<Operation>, Status> {
        let text = |name: &str| {
            metadata
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        self.asked.lock().unwrap().push(Asked {
            authorization: text("authorization"),
            idempotency_key: text("idempotency-key"),
            session_id: text("x-sync-session-id"),
            force: text("x-sync-force"),
        });
        self.answers
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| {
                Ok(Operation {
                    id: "ops-done".into(),
                    done: true,
                    ..Default::default()
                })
            })
            .map(Response::new)
    }
}

struct Operations(Arc<State>);

#[tonic::async_trait]
impl OperationService for Operations {
    async fn get(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.0.answer(request.metadata())
    }

    async fn cancel(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.0.answer(request.metadata())
    }
}

struct Tokens {
    state: Arc<State>,
    clock: Arc<ManualClock>,
    public_key: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Checks the JWT as a hub does.
    fn check(&self, jwt: &str) {
        let header = jsonwebtoken::decode_header(jwt).unwrap();
        assert_eq!(header.kid.as_deref(), Some("aje-key"));
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        let mut validation = Validation::new(Algorithm::PS256);
        validation.set_audience(&["https://iam.api.cloud.yandex.net/iam/v1/tokens"]);
        validation.validate_exp = false;
        let key = DecodingKey::from_rsa_pem(self.public_key.as_bytes()).unwrap();
        let claims = jsonwebtoken::decode::<Claims>(jwt, &key, &validation)
            .unwrap()
            .claims;
        assert_eq!(claims.iss, "aje-account");
        assert_eq!(claims.iat, self.clock.now().as_seconds());
        assert!(claims.exp > claims.iat && claims.exp - claims.iat <= 3_600);
    }
}

#[tonic::async_trait]
impl IamTokenService for Tokens {
    async fn create(
        &self,
        request: Request<CreateIamTokenRequest>,
    ) -> Result<Response<CreateIamTokenResponse>, Status> {
        assert!(request.metadata().get("authorization").is_none());
        if self.state.refuses_exchange.load(Ordering::SeqCst) {
            return Err(Status::unauthenticated("the key was deleted"));
        }
        let Some(Identity::Jwt(jwt)) = request.into_inner().identity else {
            return Err(Status::invalid_argument("no jwt"));
        };
        self.check(&jwt);
        let mut exchanges = self.state.exchanges.lock().unwrap();
        let token = format!("t1.token-{}", exchanges.len() + 1);
        exchanges.push(token.clone());
        let end = self.clock.now().plus(TOKEN_LIFETIME);
        Ok(Response::new(CreateIamTokenResponse {
            iam_token: token,
            expires_at: Some(Timestamp {
                seconds: end.as_seconds(),
                nanos: end.subsecond_nanos(),
            }),
        }))
    }

    async fn create_for_service_account(
        &self,
        _: Request<CreateIamTokenForServiceAccountRequest>,
    ) -> Result<Response<CreateIamTokenResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn revoke(
        &self,
        _: Request<RevokeIamTokenRequest>,
    ) -> Result<Response<RevokeIamTokenResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
