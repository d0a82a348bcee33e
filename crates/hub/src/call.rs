//! One call: who makes it, when, under which conditions.
//!
//! Invariant: the present is read once, at the edge, and travels with the call. Deliberately
//! absent: the request message.

use std::net::SocketAddr;

use http::HeaderMap;
use rollcall_domain::access::Subject;
use rollcall_domain::id::{SessionId, SignInSessionId, TokenId};
use rollcall_domain::idempotency;
use rollcall_domain::password_writeback::KeptSignIn;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::user::Actor;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::Method;

use crate::audit::AuditMark;
use crate::error::Error;
use crate::limits;
use crate::method_access::{Rule, find_rule};

/// Names the logical call, so that a repetition returns the first answer (decision U73).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Names the session under which an agent writes (decision U121).
pub const SYNC_SESSION_ID: &str = "x-sync-session-id";
/// Set to `1`: open a session before its time (decision U132).
pub const SYNC_FORCE: &str = "x-sync-force";
/// Names the call in logs and errors.
pub const REQUEST_ID: &str = "x-request-id";

/// Services outside the contract that answer anybody: they say what the hub is.
const ANONYMOUS: &[&str] = &[
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Whether a call to `path` needs no token.
#[must_use]
pub fn is_anonymous(path: &str) -> bool {
    find_rule(path) == Some(Rule::Anonymous)
        || ANONYMOUS.iter().any(|service| path.starts_with(service))
}

/// Whether the interval between sessions counts for this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The caller waits its turn.
    Regular,
    /// The caller asks to skip the wait.
    Forced,
}

/// What may be told of the token of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// Public id of the token.
    pub id: TokenId,
    /// The text of the token without its secret part: `t1.<id>.***`.
    pub masked: String,
    /// Who asked for the token in the name of the caller; `None` when the caller did.
    pub impersonator: Option<Subject>,
    /// The session of a user that it belongs to.
    pub sign_in_session_id: Option<SignInSessionId>,
}

impl TokenFacts {
    /// What stays signed in when the caller changes the own password.
    #[must_use]
    pub fn to_kept(&self) -> KeptSignIn {
        KeptSignIn {
            token_id: self.id.clone(),
            session_id: self.sign_in_session_id.clone(),
        }
    }
}

/// The facts of one call.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it arrived.
    pub now: Timestamp,
    /// Name for logs and errors.
    pub request_id: String,
    /// What is called; `None` for services outside the contract (health, reflection).
    pub method: Option<&'static Method>,
    /// Who calls; `None` for the few anonymous methods.
    pub subject: Option<Subject>,
    /// The token that proved it; `None` when nobody is known.
    pub token: Option<TokenFacts>,
    /// Key of the logical call.
    pub idempotency_key: Option<String>,
    /// The session it writes under.
    pub session_id: Option<SessionId>,
    /// Whether the interval counts.
    pub pace: Pace,
    /// Where the client is; `None` for calls inside this process.
    pub remote: Option<SocketAddr>,
    /// What the client says it is.
    pub user_agent: String,
    /// Whether the audit trail has this call.
    pub audit_mark: AuditMark,
}

impl Call {
    /// Reads the conditions from the metadata of a call.
    ///
    /// # Errors
    /// `Invalid` naming the metadata key that is too long or not text.
    pub fn read(
        headers: &HeaderMap,
        method: Option<&'static Method>,
        request_id: String,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        // Official clients send the key with reads, too, where it means nothing (decision U129).
        let makes_operation = method.is_some_and(|method| method.operation.is_some());
        let idempotency_key = if makes_operation {
            text(headers, IDEMPOTENCY_KEY)?
        } else {
            None
        };
        if let Some(key) = &idempotency_key {
            idempotency::check_key(key)?;
        }
        let pace = match text(headers, SYNC_FORCE)?.as_deref() {
            None | Some("0") => Pace::Regular,
            Some("1") => Pace::Forced,
            Some(_) => return Err(Refusal::invalid(SYNC_FORCE, "must be 0 or 1")),
        };
        Ok(Self {
            now,
            request_id,
            method,
            subject: None,
            token: None,
            idempotency_key,
            session_id: text(headers, SYNC_SESSION_ID)?.map(SessionId::new),
            pace,
            remote: None,
            user_agent: user_agent(headers),
            audit_mark: AuditMark::default(),
        })
    }

    /// Who calls.
    ///
    /// # Errors
    /// `Internal` for an anonymous call: the front lets those through to few methods only.
    pub fn subject(&self) -> Result<&Subject, Error> {
        self.subject
            .as_ref()
            .ok_or_else(|| Error::Internal("a method that needs a caller has none".into()))
    }

    /// In which role the caller changes users: as an agent when it writes under a session.
    #[must_use]
    pub fn actor(&self) -> Actor {
        if self.session_id.is_some() {
            Actor::Agent
        } else {
            Actor::Administrator
        }
    }
}

/// The request id a client sent, if it is short and plain.
#[must_use]
pub fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (plain && (1..=limits::REQUEST_ID_CHARACTERS_MAX).contains(&id.len())).then(|| id.to_owned())
}

/// What the client says it is, as far as it is text, cut to a bounded length.
fn user_agent(headers: &HeaderMap) -> String {
    let text = headers
        .get(http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.chars()
        .take(limits::USER_AGENT_CHARACTERS_MAX)
        .collect()
}

fn text(headers: &HeaderMap, key: &'static str) -> Result<Option<String>, Refusal> {
    match headers.get(key) {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Ok("") => Ok(None),
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Refusal::invalid(key, "must be printable ASCII text")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use rollcall_proto::find_method;

    #[track_caller]
    fn read(pairs: &[(&'static str, &[u8])]) -> Result<Call, Refusal> {
        let mut headers = HeaderMap::new();
        for (key, value) in pairs {
            headers.insert(*key, HeaderValue::from_bytes(value).unwrap());
        }
        let method = find_method("/yandex.cloud.organizationmanager.v1.GroupService/Create");
        Call::read(&headers, method, "r".into(), Timestamp::EPOCH)
    }

    #[test]
    fn metadata_is_read_and_checked() {
        let call = read(&[
            (IDEMPOTENCY_KEY, b"key"),
            (SYNC_SESSION_ID, b"sys1"),
            (SYNC_FORCE, b"1"),
        ])
        .unwrap();
        assert_eq!(call.idempotency_key.as_deref(), Some("key"));
        assert_eq!(call.session_id, Some("sys1".into()));
        assert_eq!((call.pace, call.actor()), (Pace::Forced, Actor::Agent));
        let call = read(&[("user-agent", &[b'a'; 300])]).unwrap();
        assert_eq!(call.user_agent.len(), limits::USER_AGENT_CHARACTERS_MAX);
        let call = read(&[(IDEMPOTENCY_KEY, b"")]).unwrap();
        assert_eq!(call.idempotency_key, None);
        assert_eq!(
            (call.pace, call.actor()),
            (Pace::Regular, Actor::Administrator)
        );
        assert!(read(&[(IDEMPOTENCY_KEY, &[b'x'; 129])]).is_err());
        let reading = find_method("/yandex.cloud.organizationmanager.v1.GroupService/Get");
        let mut headers = HeaderMap::new();
        headers.insert(
            IDEMPOTENCY_KEY,
            HeaderValue::from_bytes(&[b'x'; 129]).unwrap(),
        );
        let call = Call::read(&headers, reading, "r".into(), Timestamp::EPOCH).unwrap();
        assert_eq!(call.idempotency_key, None);
        assert!(read(&[(SYNC_SESSION_ID, b"\xff")]).is_err());
        assert!(read(&[(SYNC_FORCE, b"yes")]).is_err());
    }

    #[test]
    fn few_methods_are_anonymous() {
        assert!(is_anonymous("/yandex.cloud.iam.v1.IamTokenService/Create"));
        assert!(!is_anonymous(
            "/yandex.cloud.iam.v1.IamTokenService/CreateForServiceAccount"
        ));
        assert!(is_anonymous(
            "/yandex.cloud.endpoint.ApiEndpointService/List"
        ));
        assert!(!is_anonymous(
            "/yandex.cloud.operation.OperationService/Get"
        ));
        assert!(!is_anonymous("/unknown.Service/Get"));
    }

    #[test]
    fn request_ids_of_clients_are_short_and_plain() {
        let check = |id: &str, taken: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            assert_eq!(client_request_id(&headers).is_some(), taken, "{id}");
        };
        check("0b5b9a3e-1", true);
        check("", false);
        check("a b", false);
        check(&"a".repeat(65), false);
    }
}
