//! Which headers cross between HTTP and gRPC.
//!
//! Invariant: a list of what may pass, never of what may not: a header nobody thought of stays
//! outside.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::tally::SYNC_SESSION_CHANGES;

/// The header that names a request in answers and logs.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a request id a client may choose.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Request headers that become metadata of the call.
const INWARD: [&str; 9] = [
    "authorization",
    "idempotency-key",
    "user-agent",
    "grpc-timeout",
    "traceparent",
    "tracestate",
    "x-client-request-id",
    "x-client-trace-id",
    "accept-language",
];
/// Prefix of the headers that belong to synchronization (fencing, decision U121).
const INWARD_PREFIX: &str = "x-sync-";

/// Metadata of the answer that becomes headers.
const OUTWARD: [&str; 4] = [
    "x-request-id",
    "retry-after",
    "x-server-trace-id",
    SYNC_SESSION_CHANGES,
];

/// Copies the request headers a call may carry.
pub(super) fn carry_inward(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let text = name.as_str();
        let is_carried =
            INWARD.contains(&text) || (text.starts_with(INWARD_PREFIX) && !text.ends_with("-bin"));
        if is_carried {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Copies the metadata an answer may carry; values already there win.
pub(super) fn carry_outward(from: &HeaderMap, to: &mut HeaderMap) {
    for name in OUTWARD {
        if let (Some(value), false) = (from.get(name), to.contains_key(name)) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// The request id a client chose, when it is short and plain enough to be repeated everywhere.
pub(super) fn chosen_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(&REQUEST_ID)?;
    let text = value.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!text.is_empty() && text.len() <= REQUEST_ID_LENGTH_MAX && text.chars().all(plain))
        .then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_listed_headers_cross() {
        let mut inside = HeaderMap::new();
        let outside = headers(&[
            ("authorization", "Bearer t"),
            ("idempotency-key", "k"),
            ("x-sync-session-id", "s"),
            ("x-sync-secret-bin", "AA"),
            ("cookie", "c"),
            ("x-forwarded-for", "1.2.3.4"),
            ("grpc-status", "0"),
        ]);
        carry_inward(&outside, &mut inside);
        let mut names: Vec<&str> = inside.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["authorization", "idempotency-key", "x-sync-session-id"]
        );
    }

    #[test]
    fn a_request_id_must_be_plain() {
        assert!(chosen_request_id(&headers(&[("x-request-id", "a-1_B.c")])).is_some());
        for bad in [
            "",
            "a b",
            "a\"b",
            "0123456789012345678901234567890123456789012345678901234567890123456",
        ] {
            let mut map = HeaderMap::new();
            map.insert(REQUEST_ID, HeaderValue::from_str(bad).unwrap());
            assert!(chosen_request_id(&map).is_none(), "{bad}");
        }
    }
}
