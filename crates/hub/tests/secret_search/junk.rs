//! Requests that no client of the contract sends, with passwords where none belong.

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::Client;

use crate::needles::{Kind, Needles};
use crate::program::Program;

const SIGN_IN: &str = "/rollcall/signin/v1/sessions:signIn";
const USERS: &str = "/organization-manager/v1/idp/users";
const GRPC_SIGN_IN: &str = "/rollcall.signin.v1.SignInService/SignIn";

/// Sends all of them.
pub async fn send(program: &Program, client: &Client, needles: &mut Needles) {
    let mut password = |deed: &str| needles.new_password(&format!("junk: {deed}"));
    let bodies = [
        format!(
            r#"{{"username": "x@y", "password": {{"x": "{}"}}}}"#,
            password("object")
        ),
        format!(
            r#"{{"username": "x@y", "pasword": "{}"}}"#,
            password("wrong name")
        ),
        format!(r#"{{"username": "x@y", "{}": "x"}}"#, password("as a name")),
        format!(
            r#"{{"username": "x@y", "password": "{}"#,
            password("broken off")
        ),
        format!(r#"["{}"]"#, password("list")),
        format!(
            r#"{{"username": "x@y", "password": ["{}"]}}"#,
            password("in a list")
        ),
        format!(
            r#"{{"username": 7, "password": "{}"}}"#,
            password("beside a number")
        ),
        format!(r#"{{"password": "\u{{}}{}"}}"#, password("bad escape")),
        password("bare"),
    ];
    for body in bodies {
        assert_refused(
            client,
            program,
            Method::POST,
            SIGN_IN,
            "application/json",
            body,
        )
        .await;
    }
    let form = format!("username=x&password={}", password("form"));
    let kind = "application/x-www-form-urlencoded";
    assert_refused(client, program, Method::POST, SIGN_IN, kind, form).await;
    for (method, path, query) in [
        (Method::POST, SIGN_IN, "password"),
        (Method::GET, USERS, "password"),
        (Method::GET, "/no/such/place", "password"),
    ] {
        let typed = needles.new_secret("junk: query", Kind::Misplaced);
        let address = format!("{path}?{query}={typed}");
        let json = "application/json";
        assert_refused(client, program, method, &address, json, String::new()).await;
    }
    let mut password = |deed: &str| needles.new_password(&format!("junk: {deed}"));
    let frame = |text: String| {
        let mut body = vec![0];
        body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.into_bytes());
        body
    };
    // No message, one that is cut, and one that is said to be compressed.
    let mut cut = frame(password("cut frame"));
    cut.truncate(cut.len() - 1);
    let mut compressed = frame(password("compressed frame"));
    compressed[0] = 1;
    for body in [frame(password("no message")), cut, compressed] {
        let sent = client
            .post(format!("https://{}{GRPC_SIGN_IN}", program.address))
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .body(body);
        let answer = sent.send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        let body = answer.bytes().await.unwrap();
        let told = needles.search("an answer", &[headers.as_bytes(), &body].concat());
        assert_eq!(told, [], "{headers}");
    }
    send_headers(client, program, needles).await;
}

async fn send_headers(client: &Client, program: &Program, needles: &mut Needles) {
    let basic = needles.new_secret("junk: basic", Kind::Misplaced);
    let bearer = needles.new_secret("junk: bearer", Kind::Misplaced);
    let force = needles.new_secret("junk: header", Kind::Misplaced);
    let address = format!("https://{}{USERS}", program.address);
    for request in [
        client.get(&address).basic_auth("ann", Some(basic)),
        client.get(&address).bearer_auth(&bearer),
        client.get(&address).header(AUTHORIZATION, &bearer),
        client.get(&address).header("x-sync-force", force),
    ] {
        let answer = request.send().await.unwrap();
        assert!(!answer.status().is_success());
        let body = answer.bytes().await.unwrap();
        assert_eq!(needles.search("an answer", &body), []);
    }
}

async fn assert_refused(
    client: &Client,
    program: &Program,
    method: Method,
    address: &str,
    kind: &str,
    body: String,
) {
    let address = format!("https://{}{address}", program.address);
    let sent = client.request(method, &address).header(CONTENT_TYPE, kind);
    let answer = sent.body(body).send().await.unwrap();
    let status = answer.status();
    assert!(status.is_client_error(), "{address}: {status}");
}
