//! An association: a TCP connection on which one interface is called, one call at a time.
//!
//! Invariant: after an error, or when a call was given up half way, nothing more is read from it, so
//! no answer can be taken for that of another call. With security every request is sealed with the
//! heads signed, and an answer that is not is refused. Deliberately absent: reconnecting, and calls
//! beside each other.

use std::io;
use std::time::Duration;

use rollcall_kit::secret::SecretBytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pdu::{self, Head, Pdu, RequestHead, Token};
use super::{Interface, mapper};
use crate::drsuapi::ReplicationProblem as Problem;
use crate::error::Error;
use crate::security::SecContext;

/// Bytes of one answer. A page of a thousand objects has half a megabyte, or two with links.
const STUB_BYTES_MAX: usize = 64 << 20;
/// Fragments of one answer; those of [`STUB_BYTES_MAX`] with a kilobyte each.
const FRAGMENTS_MAX: u32 = 1 << 16;
/// Legs of a negotiation; SPNEGO needs three.
const LEGS_MAX: u32 = 8;
/// Memory that the sender's own forecast may reserve.
const RESERVE_BYTES_MAX: usize = 1 << 20;
/// Raw NTLM (MS-RPCE 2.2.1.1.7), whose last leg is not answered.
const AUTH_TYPE_NTLM: u8 = 10;
const DURING_BIND: &str = "signing in for replication";

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Name resolution and connection, each.
    pub connect: Duration,
    /// A whole call, or the whole negotiation.
    pub call: Duration,
}

pub(crate) struct Association {
    stream: TcpStream,
    pub(crate) patience: Patience,
    security: Option<SecContext>,
    last_call: u32,
    /// Longest fragment that the server takes.
    fragment_bytes: usize,
    usable: bool,
}

/// The TCP port at which the server offers the interface.
pub(crate) async fn find_port(
    host: &str,
    mapper_port: u16,
    interface: &Interface,
    patience: Patience,
) -> Result<u16, Error> {
    let mut association = Association::connect(host, mapper_port, patience).await?;
    association.bind(&mapper::MAPPER, None).await?;
    let stub = mapper::request(interface);
    let during = "asking for the port of replication";
    let answer = association.call(mapper::MAP, &stub, during).await?;
    let port = mapper::parse(&answer).map_err(malformed)?;
    port.ok_or(Error::Replication(Problem::NotOffered))
}

impl Association {
    pub(crate) async fn connect(host: &str, port: u16, patience: Patience) -> Result<Self, Error> {
        let looking = tokio::net::lookup_host((host, port));
        let resolution = |source| Error::NameResolution {
            host: host.to_owned(),
            source,
        };
        let addresses: Vec<_> = match timeout(patience.connect, looking).await {
            Ok(found) => found.map_err(resolution)?.collect(),
            Err(_) => return Err(resolution(io::ErrorKind::TimedOut.into())),
        };
        let unreachable = |why: String| Error::Unreachable {
            address: format!("{host}:{port}"),
            why,
        };
        let connecting = TcpStream::connect(addresses.as_slice());
        let stream = match timeout(patience.connect, connecting).await {
            Ok(connected) => connected.map_err(|error| unreachable(error.to_string()))?,
            Err(_) => return Err(unreachable("no answer".to_owned())),
        };
        stream
            .set_nodelay(true)
            .map_err(|error| unreachable(error.to_string()))?;
        Ok(Self {
            stream,
            patience,
            security: None,
            last_call: 0,
            fragment_bytes: usize::from(pdu::FRAGMENT_BYTES),
            usable: true,
        })
    }

    /// Agrees on the interface and, with security, on who we are.
    pub(crate) async fn bind(
        &mut self,
        interface: &Interface,
        security: Option<SecContext>,
    ) -> Result<(), Error> {
        self.security = security;
        let patience = self.patience.call;
        self.usable = false;
        let bound = timeout(patience, self.negotiate(interface)).await;
        bound.map_err(|_| silent(DURING_BIND, patience))??;
        self.usable = true;
        Ok(())
    }

    /// The key that secrets inside answers are encrypted with.
    pub(crate) fn session_key(&self) -> Result<SecretBytes, Error> {
        match &self.security {
            Some(security) => security.session_key().map_err(Into::into),
            None => Ok(SecretBytes::new(Vec::new())),
        }
    }

    async fn negotiate(&mut self, interface: &Interface) -> Result<(), Error> {
        let call = self.next_call();
        let (mut token, mut done) = self.leg(&[]).await?;
        let bind = pdu::negotiate(pdu::BIND, call, interface, self.token(&token));
        self.send(&bind.map_err(malformed)?, DURING_BIND).await?;
        let answer = self.receive(call, DURING_BIND).await?;
        self.check_agreement(&answer, pdu::BIND_ACK)?;
        let Some(auth_type) = self.security.as_ref().map(SecContext::auth_type) else {
            return Ok(());
        };
        if answer.head.flags & pdu::HEADER_SIGN == 0 {
            return Err(Error::Replication(Problem::HeadersUnsigned));
        }
        let mut incoming = answer.token().to_vec();
        for _ in 0..LEGS_MAX {
            if done {
                return Ok(());
            }
            (token, done) = self.leg(&incoming).await?;
            if token.is_empty() {
                break;
            }
            if auth_type == AUTH_TYPE_NTLM {
                let last = Token {
                    auth_type,
                    bytes: &token,
                };
                let last = pdu::auth3(call, last).map_err(malformed)?;
                self.send(&last, DURING_BIND).await?;
                break;
            }
            incoming = self.alter(interface, &token).await?;
            if incoming.is_empty() {
                break;
            }
        }
        if done {
            return Ok(());
        }
        Err(Error::Replication(Problem::NegotiationUnfinished))
    }

    /// Sends a further leg and returns the server's, which may be empty.
    async fn alter(&mut self, interface: &Interface, token: &[u8]) -> Result<Vec<u8>, Error> {
        let call = self.next_call();
        let alter = pdu::negotiate(pdu::ALTER_CONTEXT, call, interface, self.token(token));
        self.send(&alter.map_err(malformed)?, DURING_BIND).await?;
        let answer = self.receive(call, DURING_BIND).await?;
        self.check_agreement(&answer, pdu::ALTER_CONTEXT_RESPONSE)?;
        Ok(answer.token().to_vec())
    }

    /// One leg of the security; without it there is nothing to say.
    async fn leg(&mut self, incoming: &[u8]) -> Result<(Vec<u8>, bool), Error> {
        match &mut self.security {
            Some(security) => {
                let step = security.step(incoming).await?;
                Ok((step.token, step.done))
            }
            None => Ok((Vec::new(), true)),
        }
    }

    fn token<'a>(&self, bytes: &'a [u8]) -> Option<Token<'a>> {
        let auth_type = self.security.as_ref()?.auth_type();
        Some(Token { auth_type, bytes })
    }

    fn check_agreement(&mut self, answer: &Pdu, wanted: u8) -> Result<(), Error> {
        match answer.head.kind {
            kind if kind == wanted => {}
            pdu::BIND_NAK => {
                let reason = pdu::parse_refusal(answer).map_err(malformed)?;
                return Err(Error::Replication(Problem::BindRefused { reason }));
            }
            pdu::FAULT => {
                let status = answer.fault().map_err(malformed)?;
                return Err(Error::Replication(Problem::SignInRefused { status }));
            }
            _ => return Err(malformed(pdu_error("an answer of the wrong kind"))),
        }
        let agreement = pdu::parse_agreement(answer).map_err(malformed)?;
        if agreement.refusal != (0, 0) {
            let (_, reason) = agreement.refusal;
            return Err(Error::Replication(Problem::BindRefused { reason }));
        }
        if wanted == pdu::BIND_ACK {
            self.fragment_bytes = usize::from(agreement.receives.min(pdu::FRAGMENT_BYTES));
        }
        Ok(())
    }

    /// Calls an operation and returns what the answer carries.
    pub(crate) async fn call(
        &mut self,
        operation: u16,
        stub: &[u8],
        during: &'static str,
    ) -> Result<Vec<u8>, Error> {
        if !self.usable {
            return Err(Error::ConnectionLost {
                during,
                why: "it was given up after an earlier error".to_owned(),
            });
        }
        self.usable = false;
        let patience = self.patience.call;
        let called = timeout(patience, self.exchange(operation, stub, during)).await;
        let answer = called.map_err(|_| silent(during, patience))??;
        self.usable = true;
        Ok(answer)
    }

    async fn exchange(
        &mut self,
        operation: u16,
        stub: &[u8],
        during: &'static str,
    ) -> Result<Vec<u8>, Error> {
        let call = self.next_call();
        let room = self.room()?;
        let mut left = stub;
        let mut flags = pdu::FIRST;
        loop {
            let (part, rest) = left.split_at(room.min(left.len()));
            if rest.is_empty() {
                flags |= pdu::LAST;
            }
            let head = RequestHead {
                flags,
                call,
                left: left.len(),
                operation,
            };
            let fragment = self.seal(head, part)?;
            self.send(&fragment, during).await?;
            if rest.is_empty() {
                break;
            }
            (left, flags) = (rest, 0);
        }
        self.collect(call, during).await
    }

    /// Bytes of a stub that fit into one fragment, with room for its protection.
    fn room(&self) -> Result<usize, Error> {
        let protection = match &self.security {
            Some(security) => pdu::TRAILER_BYTES + security.trailer_bytes(),
            None => 0,
        };
        let room = self
            .fragment_bytes
            .saturating_sub(pdu::STUB_OFFSET + protection);
        match room - room % pdu::PADDING {
            0 => Err(malformed(pdu_error("fragments that hold nothing"))),
            room => Ok(room),
        }
    }

    fn seal(&mut self, head: RequestHead, stub: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(security) = &mut self.security else {
            return head.plain(stub).map_err(malformed);
        };
        let token_bytes = security.trailer_bytes();
        let mut bytes = head
            .sealable(stub, security.auth_type(), token_bytes)
            .map_err(malformed)?;
        let parts = pdu::request_parts(&mut bytes, token_bytes).map_err(malformed)?;
        security.seal(parts.head, parts.body, parts.trailer, parts.token)?;
        Ok(bytes)
    }

    async fn collect(&mut self, call: u32, during: &'static str) -> Result<Vec<u8>, Error> {
        let mut answer = Vec::new();
        let mut wanted = pdu::FIRST;
        for _ in 0..FRAGMENTS_MAX {
            let mut fragment = self.receive(call, during).await?;
            match fragment.head.kind {
                pdu::RESPONSE => {}
                pdu::FAULT => {
                    let status = fragment.fault().map_err(malformed)?;
                    return Err(Error::Replication(Problem::Fault { status }));
                }
                _ => return Err(malformed(pdu_error("an answer of the wrong kind"))),
            }
            if fragment.head.flags & pdu::FIRST != wanted {
                return Err(malformed(pdu_error("fragments in the wrong order")));
            }
            if wanted == pdu::FIRST {
                let hint = fragment.allocation_hint().map_err(malformed)?;
                answer.reserve(RESERVE_BYTES_MAX.min(hint as usize));
                wanted = 0;
            }
            let part = self.unseal(&mut fragment)?;
            if answer.len() + part.len() > STUB_BYTES_MAX {
                return Err(Error::TooMuch {
                    what: "bytes in one answer",
                    limit: STUB_BYTES_MAX as u64,
                });
            }
            answer.extend_from_slice(part);
            if fragment.head.flags & pdu::LAST != 0 {
                return Ok(answer);
            }
        }
        Err(Error::TooMuch {
            what: "fragments in one answer",
            limit: u64::from(FRAGMENTS_MAX),
        })
    }

    /// What the fragment carries, after its protection was checked.
    fn unseal<'a>(&mut self, fragment: &'a mut Pdu) -> Result<&'a [u8], Error> {
        let token_bytes = fragment.head.token_bytes;
        let Some(security) = &mut self.security else {
            if token_bytes != 0 {
                return Err(malformed(pdu_error("a protection nobody asked for")));
            }
            return fragment.stub().map_err(malformed);
        };
        if token_bytes == 0 {
            return Err(Error::Replication(Problem::Unprotected));
        }
        let parts = fragment.parts().map_err(malformed)?;
        let padding = pdu::padding(parts.trailer, security.auth_type()).map_err(malformed)?;
        security.unseal(parts.head, parts.body, parts.trailer, parts.token)?;
        let body = &*parts.body;
        let length = body.len().checked_sub(padding);
        length
            .and_then(|length| body.get(..length))
            .ok_or_else(|| malformed(pdu_error("more padding than there is")))
    }

    fn next_call(&mut self) -> u32 {
        self.last_call = self.last_call.wrapping_add(1);
        self.last_call
    }

    async fn send(&mut self, bytes: &[u8], during: &'static str) -> Result<(), Error> {
        let sent = self.stream.write_all(bytes).await;
        sent.map_err(|error| lost(during, &error))
    }

    /// The next unit, which must belong to the call.
    async fn receive(&mut self, call: u32, during: &'static str) -> Result<Pdu, Error> {
        let mut head_bytes = [0; pdu::HEAD_BYTES];
        self.read(&mut head_bytes, during).await?;
        let head = Head::parse(&head_bytes).map_err(malformed)?;
        let mut bytes = vec![0; head.fragment_bytes];
        let (start, rest) = bytes.split_at_mut(pdu::HEAD_BYTES);
        start.copy_from_slice(&head_bytes);
        self.read(rest, during).await?;
        if head.call != call {
            return Err(malformed(pdu_error("an answer to another call")));
        }
        Ok(Pdu { head, bytes })
    }

    async fn read(&mut self, bytes: &mut [u8], during: &'static str) -> Result<(), Error> {
        let read = self.stream.read_exact(bytes).await;
        read.map(drop).map_err(|error| lost(during, &error))
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("last_call", &self.last_call)
            .field("usable", &self.usable)
            .finish_non_exhaustive()
    }
}

fn pdu_error(what: &'static str) -> super::ndr::Malformed {
    super::ndr::Malformed(what)
}

pub(crate) fn malformed(why: super::ndr::Malformed) -> Error {
    Error::Replication(Problem::Malformed(why.0))
}

fn silent(during: &'static str, waited: Duration) -> Error {
    Error::Silent { during, waited }
}

fn lost(during: &'static str, error: &io::Error) -> Error {
    Error::ConnectionLost {
        during,
        why: match error.kind() {
            io::ErrorKind::UnexpectedEof => "the domain controller closed it".to_owned(),
            _ => error.to_string(),
        },
    }
}
