//! A fake of the calls the agent makes to a hub, for one pool that belongs to the fake directory.
//!
//! Why a fake: a real hub needs twenty minutes to create a million users, and its memory and speed
//! are not what is measured. It answers over TLS and HTTP/2 as the real one does, takes whatever it
//! is told, and once users were created, or it is filled, lists everybody of the directory with the
//! values they have there. Invariant: a call it does not know is answered as unimplemented. Deliberately absent:
//! rights, leases that end, conflicts; those belong to the tests with the real hub.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, StreamBody};
use prost::{Message, Name};
use prost_types::{Any, Timestamp};
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init;
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;
use rollcall_lab::fake_directory::{FakeDirectory, Object, ObjectId};
use rollcall_proto::iam::CreateIamTokenResponse;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::idp::user::Status as UserStatus;
use rollcall_proto::idp::{
    CloseSessionRequest, CreateUserRequest, ListSessionsResponse, ListUsersRequest,
    ListUsersResponse, OpenSessionResponse, OpenSessionResult, SetReplicationTokenRequest,
    SyncMode, SynchronizationSession, User, Userpool,
};
use rollcall_proto::operation::Operation;
use rollcall_proto::operation::operation::Result as Outcome;
use rollcall_proto::organizationmanager::{
    CreateExternalGroupRequest, Group, GroupMember, ListExternalGroupsResponse,
    ListGroupMembersRequest, ListGroupMembersResponse, UpdateGroupRequest,
};
use tonic::Code;
use tonic::service::Routes;
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// Id of the pool.
pub const POOL: &str = "ajepool0000000000000";
const GROUP: &str = "ajegroup000000000000";
/// Bytes before a message: a flag and its length (gRPC over HTTP/2, Length-Prefixed-Message).
const PREFIX_BYTES: usize = 5;
const LEASE_SECONDS: i64 = 60;
const TOKEN_SECONDS: i64 = 12 * 3_600;

/// The running hub.
pub struct FakeHub {
    /// `host:port`.
    pub address: String,
    /// Certificate of its authority.
    pub ca: PathBuf,
    /// A key of an account.
    pub key: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    directory: Arc<FakeDirectory>,
    people: u64,
    has_users: AtomicBool,
    group: Mutex<Option<Group>>,
    token: Mutex<String>,
    sessions: AtomicU64,
    fail_reason: Mutex<Option<String>>,
}

impl FakeHub {
    /// The next session is a full one. Returns the token it had.
    pub fn forget_token(&self) -> String {
        std::mem::take(&mut *self.shared.token())
    }

    /// It has this token again.
    pub fn remember_token(&self, token: String) {
        *self.shared.token() = token;
    }

    /// Why the last session that was closed had failed, if it had.
    pub fn last_fail_reason(&self) -> Option<String> {
        self.shared.fail_reason().clone()
    }

    /// From now on it has everybody, and `group` with half of them.
    pub fn fill(&self, group: ObjectId, name: &str) {
        self.shared.has_users.store(true, Ordering::Relaxed);
        *self.shared.group() = Some(Group {
            id: GROUP.into(),
            name: name.into(),
            subject_container_id: POOL.into(),
            external_id: group.guid_text(),
            ..Group::default()
        });
    }

    /// From now on it has nothing.
    pub fn empty(&self) {
        self.forget_token();
        self.shared.has_users.store(false, Ordering::Relaxed);
        *self.shared.group() = None;
    }
}

/// Starts it; `people` are those the directory was populated with, half of them in its group.
pub async fn start(
    folder: &Path,
    directory: Arc<FakeDirectory>,
    people: u64,
) -> anyhow::Result<FakeHub> {
    let data = folder.join("hub");
    let request = init::Request {
        data: data.clone(),
        organization: "bench".into(),
        address: "localhost:0".into(),
        database: None,
    };
    let made = init::init(request, &SystemClock, &SystemEntropy).await?;
    let data = DataDirectory::at(&data);
    let identity = Identity::from_pem(
        std::fs::read(data.server_certificate())?,
        std::fs::read(data.server_key())?,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("localhost:{}", listener.local_addr()?.port());
    let shared = Arc::new(Shared {
        directory,
        people,
        has_users: AtomicBool::new(false),
        group: Mutex::default(),
        token: Mutex::default(),
        sessions: AtomicU64::new(0),
        fail_reason: Mutex::default(),
    });
    let routes = axum::Router::new()
        .fallback(serve)
        .with_state(Arc::clone(&shared));
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))?
        .add_routes(Routes::from(routes))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    Ok(FakeHub {
        address,
        ca: made.ca,
        key: made.key,
        shared,
    })
}

/// One call: the message in, the message out, and the status in the trailers.
async fn serve(State(hub): State<Arc<Shared>>, request: Request) -> Response {
    let method = request
        .uri()
        .path()
        .rsplit_once("v1.")
        .map(|(_, name)| name.to_owned());
    let body = request.into_body().collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    let message = bytes.get(PREFIX_BYTES..).unwrap_or_default();
    let (code, answer) = match hub.answer(&method.unwrap_or_default(), message) {
        Ok(answer) => (Code::Ok, answer),
        Err(code) => (code, Vec::new()),
    };
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + answer.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(answer.len()).unwrap_or_default());
    framed.put_slice(&answer);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", (code as i32).into());
    let frames = [
        Ok::<_, Infallible>(http_body::Frame::<Bytes>::data(framed.freeze())),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
    let mut response = Response::new(body);
    let grpc = http::HeaderValue::from_static("application/grpc");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc);
    response
}

fn read<M: Message + Default>(message: &[u8]) -> Result<M, Code> {
    M::decode(message).map_err(|_| Code::InvalidArgument)
}

fn done<M: Message + Name>(response: &M) -> Result<Vec<u8>, Code> {
    let operation = Operation {
        id: "ajeoperation00000000".into(),
        done: true,
        result: Any::from_msg(response).ok().map(Outcome::Response),
        ..Operation::default()
    };
    Ok(operation.encode_to_vec())
}

/// This many seconds from now.
fn moment(seconds: i64) -> Option<Timestamp> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or(Duration::ZERO).as_secs();
    Some(Timestamp {
        seconds: i64::try_from(now).ok()? + seconds,
        nanos: 0,
    })
}

/// The id the hub gives the object with this external id; as long as a real one.
fn id_of(external_id: &str) -> String {
    let digits = external_id.chars().filter(char::is_ascii_hexdigit);
    format!("aje{}", digits.take(17).collect::<String>())
}

impl Shared {
    fn token(&self) -> std::sync::MutexGuard<'_, String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail_reason(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.fail_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self) -> std::sync::MutexGuard<'_, Option<Group>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions opened so far.
    fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    fn answer(&self, method: &str, message: &[u8]) -> Result<Vec<u8>, Code> {
        match method {
            "IamTokenService/Create" => Ok(CreateIamTokenResponse {
                iam_token: "token".into(),
                expires_at: moment(TOKEN_SECONDS),
            }
            .encode_to_vec()),
            name => self.answer_session(name, message),
        }
    }

    fn answer_session(&self, method: &str, message: &[u8]) -> Result<Vec<u8>, Code> {
        match method {
            "idp.UserpoolService/Get" => Ok(self.pool().encode_to_vec()),
            "idp.SynchronizationSessionService/OpenSession" => done(&self.open()),
            "idp.SynchronizationSessionService/Heartbeat" => done(&()),
            "idp.SynchronizationSessionService/ReportSessionProgress" => {
                done(&session(SyncMode::FullSync, self.sessions()))
            }
            "idp.SynchronizationSessionService/CloseSession" => {
                let asked: CloseSessionRequest = read(message)?;
                *self.fail_reason() = asked.failed.then_some(asked.fail_reason);
                done(&session(SyncMode::FullSync, self.sessions()))
            }
            "idp.SynchronizationSessionService/ListSessions" => Ok(ListSessionsResponse {
                sessions: (1..=self.sessions())
                    .rev()
                    .map(|number| session(SyncMode::FullSync, number))
                    .collect(),
                ..ListSessionsResponse::default()
            }
            .encode_to_vec()),
            "idp.SynchronizationService/SetReplicationToken" => {
                *self.token() = read::<SetReplicationTokenRequest>(message)?.replication_token;
                done(&())
            }
            name => self.answer_objects(name, message),
        }
    }

    fn answer_objects(&self, method: &str, message: &[u8]) -> Result<Vec<u8>, Code> {
        match method {
            "idp.UserService/Create" => {
                self.has_users.store(true, Ordering::Relaxed);
                done(&User {
                    id: id_of(&read::<CreateUserRequest>(message)?.external_id),
                    ..User::default()
                })
            }
            "idp.UserService/Update" => done(&User::default()),
            "idp.UserService/Delete" => done(&()),
            "idp.UserService/List" => Ok(self.users(&read(message)?).encode_to_vec()),
            "GroupService/CreateExternal" => {
                let asked: CreateExternalGroupRequest = read(message)?;
                let group = Group {
                    id: GROUP.into(),
                    name: asked.name,
                    description: asked.description,
                    subject_container_id: asked.subject_container_id,
                    external_id: asked.external_id,
                    ..Group::default()
                };
                *self.group() = Some(group.clone());
                done(&group)
            }
            "GroupService/Update" => {
                let asked: UpdateGroupRequest = read(message)?;
                done(&Group {
                    id: asked.group_id,
                    ..Group::default()
                })
            }
            "GroupService/UpdateMembers" => done(&()),
            "GroupService/ListExternal" => Ok(ListExternalGroupsResponse {
                groups: self.group().clone().into_iter().collect(),
                ..ListExternalGroupsResponse::default()
            }
            .encode_to_vec()),
            "GroupService/ListMembers" => Ok(self.members(&read(message)?).encode_to_vec()),
            _ => Err(Code::Unimplemented),
        }
    }

    fn pool(&self) -> Userpool {
        Userpool {
            id: POOL.into(),
            organization_id: "ajeorg00000000000000".into(),
            name: "people".into(),
            domains: vec![rollcall_lab::fake_directory::DOMAIN.into()],
            ..Userpool::default()
        }
    }

    fn open(&self) -> OpenSessionResponse {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        let token = self.token().clone();
        let mode = match token.is_empty() {
            true => SyncMode::FullSync,
            false => SyncMode::Delta,
        };
        OpenSessionResponse {
            result: OpenSessionResult::Success as i32,
            session_info: Some(SessionInfo::OpenedSession(session(mode, self.sessions()))),
            replication_token: token,
            ..OpenSessionResponse::default()
        }
    }

    fn users(&self, asked: &ListUsersRequest) -> ListUsersResponse {
        if !self.has_users.load(Ordering::Relaxed) {
            return ListUsersResponse::default();
        }
        let (page, next_page_token) = page(&asked.page_token, asked.page_size, self.people);
        let users = self.directory.edit(|domain| {
            page.filter_map(|at| {
                let id = domain.person(at);
                domain.get(id).map(|person| user(id, &person))
            })
            .collect()
        });
        ListUsersResponse {
            users,
            next_page_token,
        }
    }

    fn members(&self, asked: &ListGroupMembersRequest) -> ListGroupMembersResponse {
        let (page, next_page_token) = page(&asked.page_token, asked.page_size, self.people / 2);
        let members = self.directory.edit(|domain| {
            page.map(|at| GroupMember {
                subject_id: id_of(&domain.person(at).guid_text()),
                ..GroupMember::default()
            })
            .collect()
        });
        ListGroupMembersResponse {
            members,
            next_page_token,
        }
    }
}

/// The numbers of a page and the token of the next one.
fn page(token: &str, size: i64, all: u64) -> (std::ops::Range<u64>, String) {
    let first: u64 = token.parse().unwrap_or_default();
    let end = all.min(first.saturating_add(size.unsigned_abs().max(1)));
    let next = if end < all {
        end.to_string()
    } else {
        String::new()
    };
    (first..end, next)
}

fn session(mode: SyncMode, number: u64) -> SynchronizationSession {
    SynchronizationSession {
        session_id: format!("ajesession{number:010}"),
        created_at: moment(0),
        expires_at: moment(LEASE_SECONDS),
        sync_mode: mode as i32,
        ..SynchronizationSession::default()
    }
}

fn user(id: ObjectId, person: &Object) -> User {
    User {
        id: id_of(&id.guid_text()),
        userpool_id: POOL.into(),
        external_id: id.guid_text(),
        status: UserStatus::Active as i32,
        username: person.text("userPrincipalName"),
        full_name: person.text("displayName"),
        given_name: person.text("givenName"),
        family_name: person.text("sn"),
        email: person.text("mail"),
        phone_number: person.text("telephoneNumber"),
        company_name: person.text("company"),
        job_title: person.text("title"),
        department: person.text("department"),
        employee_id: person.text("employeeID"),
        ..User::default()
    }
}
