//! The OpenAPI document as an HTTP resource: the same bytes for everybody, with an ETag.
//!
//! Invariant: whoever shows the tag of the present bytes gets no bytes.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// Where it is.
pub const PATH: &str = "/openapi.json";

/// Bytes of the digest that the tag has, as hexadecimal digits.
const TAG_DIGITS: usize = 32;

/// The bytes of a document and their tag.
#[derive(Debug, Clone)]
pub struct Document {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Document {
    /// Writes `json` down once.
    #[must_use]
    pub fn new(json: &Json) -> Self {
        let bytes = Bytes::from(json.to_string());
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .take(TAG_DIGITS / 2)
            .collect();
        // Digits and quotes are plain ASCII.
        let tag = HeaderValue::from_str(&format!("\"{digest}\""))
            .unwrap_or(HeaderValue::from_static("\"\""));
        Self { bytes, tag }
    }

    /// Answers a GET or HEAD request; `None` for every other method.
    pub(crate) fn answer(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let is_known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|value| self.is_named_by(value));
        let mut response = Response::new(Body::empty());
        let answer = response.headers_mut();
        answer.insert(header::ETAG, self.tag.clone());
        // Kept by everybody, asked about each time.
        answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(response);
        }
        answer.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        answer.insert(header::CONTENT_LENGTH, HeaderValue::from(self.bytes.len()));
        if *method == Method::GET {
            *response.body_mut() = Body::from(self.bytes.clone());
        }
        Some(response)
    }

    fn is_named_by(&self, value: &HeaderValue) -> bool {
        let tags = value.to_str().unwrap_or_default();
        tags.split(',').map(str::trim).any(|tag| {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || strong.as_bytes() == self.tag.as_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_has_the_bytes_gets_none() {
        let document = Document::new(&json!({"openapi": "3.1.0"}));
        let get = |tag: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(tag) = tag {
                headers.insert(header::IF_NONE_MATCH, tag.parse().unwrap());
            }
            document.answer(&Method::GET, &headers).unwrap()
        };
        let first = get(None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(get(Some(&tag)).status(), StatusCode::NOT_MODIFIED);
        let among = format!("\"a\", W/{tag}");
        assert_eq!(get(Some(&among)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(get(Some("\"other\"")).status(), StatusCode::OK);
        let post = document.answer(&Method::POST, &HeaderMap::new());
        assert!(post.is_none());
    }
}
