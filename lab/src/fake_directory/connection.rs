//! One client's connection, served by a thread of its own.
//!
//! Invariant: the domain is locked while one answer is made and free while it is sent, so that a
//! test can change it between two pages. Deliberately absent: several requests at once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::ber::{Framed, frame};
use super::fault::Fault;
use super::message::{self, Code, Operation, Outcome, Search};
use super::search::{self, Answer};
use super::{PASSWORD, Shared, accounts};

type Channel = StreamOwned<ServerConnection, TcpStream>;

/// Who the client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    SyncAccount,
}

enum Next {
    GoOn,
    Close,
}

/// Serves until the client goes or a fault ends it.
pub fn serve(stream: TcpStream, tls: &Arc<ServerConfig>, shared: &Shared) {
    let Ok(session) = ServerConnection::new(tls.clone()) else {
        return;
    };
    let mut channel = StreamOwned::new(session, stream);
    let mut who = Who::Nobody;
    let mut received = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        match frame(&received) {
            Framed::TooLong => return,
            Framed::Part => match channel.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => received.extend(chunk.iter().take(count)),
            },
            Framed::Whole(length) => {
                let bytes: Vec<u8> = received.drain(..length).collect();
                match respond(&bytes, &mut channel, &mut who, shared) {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Close) | Err(_) => return,
                }
            }
        }
    }
}

fn respond(
    bytes: &[u8],
    channel: &mut Channel,
    who: &mut Who,
    shared: &Shared,
) -> std::io::Result<Next> {
    let Some((id, operation)) = message::parse(bytes) else {
        return Ok(Next::Close);
    };
    let mut out = Vec::new();
    match operation {
        Operation::Bind { name, password } => {
            let outcome = sign_in(&name, password.as_deref(), who);
            message::bind_done(&mut out, id, &outcome);
        }
        Operation::Unbind => return Ok(Next::Close),
        Operation::Abandon => {}
        Operation::Search(search) => return answer(id, &search, channel, *who, shared),
        // RFC 4511 4.12: an unknown extended operation.
        Operation::Extended => {
            let outcome = Outcome::new(Code::ProtocolError, "not here");
            message::extended_done(&mut out, id, &outcome);
        }
        Operation::Other => return Ok(Next::Close),
    }
    channel.write_all(&out)?;
    channel.flush()?;
    Ok(Next::GoOn)
}

/// MS-ADTS 5.1.1.1.1: a simple bind by DN or login; without either it is anonymous.
fn sign_in(name: &str, password: Option<&[u8]>, who: &mut Who) -> Outcome {
    *who = Who::Nobody;
    let Some(password) = password else {
        return Outcome::new(Code::UnwillingToPerform, "only simple binds");
    };
    if name.is_empty() && password.is_empty() {
        return Outcome::new(Code::Success, "");
    }
    let known = accounts().iter().any(|a| a.eq_ignore_ascii_case(name));
    if !known || password != PASSWORD.as_bytes() {
        let text = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 52e, v4563";
        return Outcome::new(Code::InvalidCredentials, text);
    }
    *who = Who::SyncAccount;
    Outcome::new(Code::Success, "")
}

fn answer(
    id: i64,
    search: &Search,
    channel: &mut Channel,
    who: Who,
    shared: &Shared,
) -> std::io::Result<Next> {
    let fault = shared.note(search);
    let mut answer = {
        let domain = shared.domain();
        if search.base.is_empty() {
            search::root_entry(&domain, id, search)
        } else if who == Who::Nobody {
            let text = "In order to perform this operation a successful bind must be completed";
            Answer::refusal(Code::OperationsError, text)
        } else {
            search::answer(&domain, id, search)
        }
    };
    let mut entries = answer.entries.as_slice();
    match fault {
        Some(Fault::Delay(time)) => std::thread::sleep(time),
        Some(Fault::Cut | Fault::Result(_)) => {
            entries = entries.get(..entries.len() / 2).unwrap_or_default();
        }
        None => {}
    }
    for entry in entries {
        channel.write_all(entry)?;
    }
    match fault {
        Some(Fault::Cut) => {
            channel.flush()?;
            // Without close_notify (RFC 8446 6.1): as when the machine loses its power.
            channel.sock.shutdown(Shutdown::Both)?;
            return Ok(Next::Close);
        }
        Some(Fault::Result(code)) => {
            answer.outcome = Outcome::new(code, "as the test wants it");
            answer.controls.clear();
        }
        Some(Fault::Delay(_)) | None => {}
    }
    let mut end = Vec::new();
    message::search_done(&mut end, id, &answer.outcome, &answer.controls);
    channel.write_all(&end)?;
    channel.flush()?;
    Ok(Next::GoOn)
}
