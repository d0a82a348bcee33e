//! Somebody on the way: what a changed, repeated or stripped message does. Never a hash, never a
//! panic, always an error.

use rollcall_directory::{Error, Mechanism, Replication, ReplicationCursor, ReplicationProblem};
use rollcall_lab::samba::Dc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::domain::{ATTRIBUTES, options};
use super::of_users;

const RESPONSE: u8 = 2;
const BIND_ACK: u8 = 12;
const LAST: u8 = 2;

/// What happens to the messages of the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tampering {
    Nothing,
    Content,
    Token,
    TokenHead,
    CutToken,
    Call,
    NotLast,
    Level,
    Stripped,
    Replayed,
    Swallowed,
    HeadersUnsigned,
}

const ALL: [Tampering; 11] = [
    Tampering::Content,
    Tampering::Token,
    Tampering::TokenHead,
    Tampering::CutToken,
    Tampering::Call,
    Tampering::NotLast,
    Tampering::Level,
    Tampering::Stripped,
    Tampering::Replayed,
    Tampering::Swallowed,
    Tampering::HeadersUnsigned,
];

/// A port that leads to the controller's, with somebody in between.
async fn between(dc: &Dc, port: u16, tampering: Tampering) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = TcpStream::connect((dc.ip(), port)).await.unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
        let (mut sealed, mut before) = (0, Vec::new());
        while let Some(message) = message(&mut from_server).await {
            let is_sealed = message[2] == RESPONSE && token_bytes(&message) > 0;
            sealed += usize::from(is_sealed);
            let changed = change(tampering, message.clone(), sealed, &before);
            if is_sealed {
                before = message;
            }
            if to_client.write_all(&changed).await.is_err() {
                return;
            }
        }
    });
    address.port()
}

async fn message(stream: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut message = vec![0; 16];
    stream.read_exact(&mut message).await.ok()?;
    message.resize(usize::from(u16::from_le_bytes([message[8], message[9]])), 0);
    stream.read_exact(&mut message[16..]).await.ok()?;
    Some(message)
}

fn token_bytes(message: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([message[10], message[11]]))
}

/// The first sealed answer is that of the binding; the second one begins the first page.
fn change(tampering: Tampering, mut message: Vec<u8>, sealed: usize, before: &[u8]) -> Vec<u8> {
    if tampering == Tampering::HeadersUnsigned && message[2] == BIND_ACK {
        message[3] &= !4;
    }
    if sealed != 2 || message[2] != RESPONSE {
        return message;
    }
    let token = message.len() - token_bytes(&message);
    match tampering {
        Tampering::Nothing | Tampering::HeadersUnsigned => {}
        Tampering::Content => message[24] ^= 1,
        Tampering::Token => *message.last_mut().unwrap() ^= 1,
        Tampering::TokenHead => message[token] ^= 1,
        Tampering::CutToken => {
            message.pop();
            set_length(&mut message, token);
        }
        Tampering::Call => message[12] ^= 1,
        Tampering::NotLast => message[3] ^= LAST,
        Tampering::Level => message[token - 7] = 5,
        Tampering::Stripped => {
            message.truncate(token - 8);
            let end = message.len();
            set_length(&mut message, end);
        }
        Tampering::Replayed => {
            let call = message[12];
            message = before.to_vec();
            message[12] = call;
        }
        Tampering::Swallowed => message.clear(),
    }
    message
}

fn set_length(message: &mut [u8], token: usize) {
    let length = message.len();
    message[8..10].copy_from_slice(&(length as u16).to_le_bytes());
    message[10..12].copy_from_slice(&((length - token) as u16).to_le_bytes());
}

async fn attempt(dc: &Dc, mechanism: Mechanism, tampering: Tampering) -> Result<usize, Error> {
    let mut options = options(dc, mechanism);
    let port = Replication::find_port(&options).await.unwrap();
    options.host = "127.0.0.1".to_owned();
    options.port = Some(between(dc, port, tampering).await);
    let mut replication = Replication::open(&options).await?;
    let start = ReplicationCursor::default();
    let page = replication.next_page(&start, &ATTRIBUTES).await?;
    Ok(page.objects.len())
}

#[tokio::test]
async fn whatever_is_changed_on_the_way_is_noticed() {
    let dc = of_users(20);
    for mechanism in [
        Mechanism::Ntlm,
        Mechanism::Kerberos,
        Mechanism::SpnegoKerberos,
    ] {
        assert!(attempt(&dc, mechanism, Tampering::Nothing).await.unwrap() >= 20);
        for tampering in ALL {
            let result = attempt(&dc, mechanism, tampering).await;
            let error = result.expect_err(&format!("{mechanism:?} {tampering:?}"));
            let noticed = match &error {
                Error::Security(_) => true,
                Error::Replication(problem) => match tampering {
                    Tampering::HeadersUnsigned => *problem == ReplicationProblem::HeadersUnsigned,
                    Tampering::Stripped => *problem == ReplicationProblem::Unprotected,
                    _ => matches!(problem, ReplicationProblem::Malformed(_)),
                },
                _ => false,
            };
            assert!(noticed, "{mechanism:?} {tampering:?}: {error}");
            assert!(!error.is_transient() || matches!(error, Error::Security(_)));
        }
    }
}
