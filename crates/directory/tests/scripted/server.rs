//! A scripted LDAP server on a real socket, for what a Samba domain controller cannot be made to
//! do: pages of DirSync, ranges of members, answers that break off at a chosen place, refusals.
//!
//! It speaks through `ldap3_proto`, an independent codec, so that a misunderstanding of the standard
//! in ours shows. Deliberately absent: any directory behind it; each test says what is answered.
#![allow(dead_code, reason = "no test needs every kind of answer")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapMsg, LdapOp, LdapPartialAttribute, LdapResult, LdapResultCode, LdapSearchResultEntry,
};
use rollcall_directory::{Bind, Connection, Options, PlainText};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::codec::Framed;

/// What the server does next.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answers.
    Say(LdapOp, Vec<LdapControl>),
    /// Sends bytes as they are.
    Bytes(Vec<u8>),
    /// Closes the connection.
    Close,
}

pub struct Server {
    url: String,
    /// Every request in the order of arrival.
    pub requests: Arc<Mutex<Vec<LdapMsg>>>,
}

impl Server {
    /// Serves one connection after the other; `respond` says what to do at each request.
    pub async fn start(mut respond: impl FnMut(&LdapMsg) -> Vec<Action> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut framed = Framed::new(stream, LdapCodec::default());
                'connection: while let Some(Ok(request)) = framed.next().await {
                    seen.lock().unwrap().push(request.clone());
                    for action in respond(&request) {
                        match action {
                            Action::Say(op, ctrl) => {
                                let msgid = request.msgid;
                                framed.send(LdapMsg { msgid, op, ctrl }).await.ok();
                            }
                            Action::Bytes(bytes) => {
                                framed.get_mut().write_all(&bytes).await.ok();
                            }
                            Action::Close => break 'connection,
                        }
                    }
                }
            }
        });
        Self { url, requests }
    }

    pub fn options(&self) -> Options {
        Options {
            plain_text: PlainText::WithPassword,
            answer_timeout: Duration::from_secs(20),
            ..Options::new(self.url.clone(), Bind::Anonymous)
        }
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(&self.options()).await.unwrap()
    }
}

pub fn result(code: LdapResultCode, message: &str) -> LdapResult {
    LdapResult {
        code,
        matcheddn: String::new(),
        message: message.to_owned(),
        referral: vec![],
    }
}

pub fn success() -> LdapResult {
    result(LdapResultCode::Success, "")
}

pub fn done(result: LdapResult) -> Action {
    Action::Say(LdapOp::SearchResultDone(result), vec![])
}

/// The end of a DirSync page.
pub fn dirsync_done(more: i64, cookie: &[u8]) -> Action {
    let control = LdapControl::AdDirsync {
        flags: more,
        max_bytes: 0,
        cookie: Some(cookie.to_vec()),
    };
    Action::Say(LdapOp::SearchResultDone(success()), vec![control])
}

/// The end of a page of a search.
pub fn page_done(cookie: &[u8]) -> Action {
    let control = LdapControl::SimplePagedResults {
        size: 0,
        cookie: cookie.to_vec(),
    };
    Action::Say(LdapOp::SearchResultDone(success()), vec![control])
}

/// A person whose identifier is made of its number.
pub fn person(number: u8) -> Action {
    entry(number, &[("objectClass", &[b"user"]), ("name", &[b"x"])])
}

pub fn entry(number: u8, attributes: &[(&str, &[&[u8]])]) -> Action {
    let mut list = vec![LdapPartialAttribute {
        atype: "objectGUID".to_owned(),
        vals: vec![vec![number; 16]],
    }];
    list.extend(
        attributes
            .iter()
            .map(|(name, values)| LdapPartialAttribute {
                atype: (*name).to_owned(),
                vals: values.iter().map(|value| value.to_vec()).collect(),
            }),
    );
    let op = LdapOp::SearchResultEntry(LdapSearchResultEntry {
        dn: format!("CN=person {number},DC=corp"),
        attributes: list,
    });
    Action::Say(op, vec![])
}
