//! A plain HTTP client of the REST interface, with nothing of the contract inside.

use std::path::Path;

use http::{HeaderMap, Method, StatusCode};
use rollcall_client::ServiceAccountKey;
use rollcall_kit::clock::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};

use crate::running_hub::RunningHub;

/// The HTTP version to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Sends requests to one hub.
#[derive(Clone)]
pub struct RestClient {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Received {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Json,
}

impl RestClient {
    /// A client that trusts the certificate of `hub` and has no token yet.
    pub fn anonymous(hub: &RunningHub, version: Version) -> Self {
        // The first test of a process wins; all of them choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pem = std::fs::read(&hub.ca).unwrap();
        let ca = reqwest::Certificate::from_pem(&pem).unwrap();
        let builder = reqwest::Client::builder()
            .tls_certs_only([ca])
            .https_only(true);
        let builder = match version {
            Version::Http1 => builder.http1_only(),
            Version::Http2 => builder,
        };
        Self {
            http: builder.build().unwrap(),
            base: format!("https://{}", hub.address),
            token: None,
        }
    }

    /// A client with the token of the administrator.
    pub async fn administrator(hub: &RunningHub, version: Version) -> Self {
        let mut client = Self::anonymous(hub, version);
        let answer = client
            .send(
                Method::POST,
                "/iam/v1/tokens",
                &json!({"jwt": signed_jwt(&hub.key)}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        client.token = Some(answer.json["iamToken"].as_str().unwrap().to_owned());
        assert!(answer.json["expiresAt"].is_string(), "{}", answer.json);
        client
    }

    /// The same client with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Sends a request with a JSON body; none when `body` is null.
    pub async fn send(&self, method: Method, address: &str, body: &Json) -> Received {
        self.send_with(method, address, &[], body).await
    }

    pub async fn send_with(
        &self,
        method: Method,
        address: &str,
        headers: &[(&str, &str)],
        body: &Json,
    ) -> Received {
        let mut request = self.http.request(method, format!("{}{address}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        assert!(!headers["x-request-id"].is_empty(), "{address}");
        let json = serde_json::from_str(&text).unwrap_or(Json::Null);
        Received {
            status,
            headers,
            json,
        }
    }

    pub async fn get(&self, address: &str) -> Json {
        self.expect_ok(Method::GET, address, &Json::Null).await
    }

    /// Makes a call that must succeed.
    pub async fn expect_ok(&self, method: Method, address: &str, body: &Json) -> Json {
        let answer = self.send(method.clone(), address, body).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{method} {address}: {}",
            answer.json
        );
        answer.json
    }

    /// Makes a call that starts an operation, waits for it, and returns it done.
    pub async fn operation(&self, method: Method, address: &str, body: &Json) -> Json {
        const POLLS_MAX: usize = 600;
        let mut operation = self.expect_ok(method.clone(), address, body).await;
        let id = operation["id"].as_str().unwrap().to_owned();
        for _ in 0..POLLS_MAX {
            if operation["done"] == true {
                assert!(
                    operation.get("error").is_none(),
                    "{method} {address}: {operation}"
                );
                return operation;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            operation = self.get(&format!("/operations/{id}")).await;
        }
        panic!("{method} {address} was not done in time: {operation}");
    }

    /// Makes a call that must be refused with this status and code; returns the error.
    pub async fn refused(
        &self,
        status: u16,
        code: i32,
        method: Method,
        address: &str,
        body: &Json,
    ) -> Json {
        let answer = self.send(method.clone(), address, body).await;
        let error = answer.json;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {address}: {error}"
        );
        assert_eq!(error["code"], code, "{method} {address}: {error}");
        assert_ne!(error["message"].as_str().unwrap_or_default(), "", "{error}");
        let request_id = detail(&error, "RequestInfo")["requestId"].as_str().unwrap();
        assert_eq!(answer.headers["x-request-id"], request_id);
        error
    }
}

/// The first detail of type `google.rpc.{kind}`.
#[track_caller]
pub fn detail<'e>(error: &'e Json, kind: &str) -> &'e Json {
    let type_url = format!("type.googleapis.com/google.rpc.{kind}");
    error["details"]
        .as_array()
        .and_then(|details| {
            details
                .iter()
                .find(|detail| detail["@type"] == type_url.as_str())
        })
        .unwrap_or_else(|| panic!("no {kind} in {error}"))
}

/// The fields a BadRequest names.
pub fn bad_fields(error: &Json) -> Vec<&str> {
    detail(error, "BadRequest")["fieldViolations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["field"].as_str().unwrap_or_default())
        .collect()
}

/// A JWT for the account of the key file.
pub fn signed_jwt(key: &Path) -> String {
    let key = ServiceAccountKey::read(key).unwrap();
    key.sign(SystemClock.now()).unwrap().expose().to_owned()
}
