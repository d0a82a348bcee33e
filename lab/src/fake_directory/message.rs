//! LDAP messages (RFC 4511): requests from bytes, answers to bytes.
//!
//! Invariant: a request that is not well-formed is refused as a whole. Deliberately absent: requests
//! that change anything; tests change the directory from within.

use super::ber::{self, Reader};
use super::filter::Filter;

/// RFC 4511 4.1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the standard")]
pub enum Code {
    Success = 0,
    OperationsError = 1,
    ProtocolError = 2,
    TimeLimitExceeded = 3,
    SizeLimitExceeded = 4,
    Referral = 10,
    UnavailableCriticalExtension = 12,
    NoSuchObject = 32,
    InvalidCredentials = 49,
    InsufficientAccessRights = 50,
    Busy = 51,
    Unavailable = 52,
    UnwillingToPerform = 53,
}

/// How far below the base a search reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// The level below it.
    OneLevel,
    /// Itself and everything below it.
    Subtree,
}

/// An extension of a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Which.
    pub oid: String,
    /// Whether the request fails where it is unknown.
    pub critical: bool,
    /// Its value.
    pub value: Vec<u8>,
}

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search {
    /// A DN, `<GUID=…>` or `<WKGUID=…,DN>`; empty for the root entry.
    pub base: String,
    /// How far.
    pub scope: Scope,
    /// Which objects.
    pub filter: Filter,
    /// Which attributes.
    pub attributes: Vec<String>,
    /// Extensions.
    pub controls: Vec<Control>,
}

/// A request.
#[derive(Debug)]
pub enum Operation {
    /// Signing in with name and password.
    Bind {
        /// A DN or a login.
        name: String,
        /// Its password; `None` for another way to sign in.
        password: Option<Vec<u8>>,
    },
    /// Saying goodbye.
    Unbind,
    /// Giving up an earlier request.
    Abandon,
    /// A search.
    Search(Search),
    /// An extended operation, by OID.
    Extended,
    /// Anything else.
    Other,
}

/// Reads one whole message: its number and what it asks.
pub fn parse(bytes: &[u8]) -> Option<(i64, Operation)> {
    let mut message = Reader(Reader(bytes).expect(ber::SEQUENCE)?);
    let id = message.integer(ber::INTEGER)?;
    let (tag, content) = message.any()?;
    let controls = match message.peek() {
        Some(0xa0) => parse_controls(message.expect(0xa0)?)?,
        _ => Vec::new(),
    };
    let mut reader = Reader(content);
    let operation = match tag {
        0x60 => {
            reader.integer(ber::INTEGER)?;
            let name = reader.text()?;
            let (method, secret) = reader.any()?;
            let password = (method == 0x80).then(|| secret.to_vec());
            Operation::Bind { name, password }
        }
        0x42 => Operation::Unbind,
        0x50 => Operation::Abandon,
        0x63 => Operation::Search(parse_search(reader, controls)?),
        0x77 => Operation::Extended,
        _ => Operation::Other,
    };
    Some((id, operation))
}

fn parse_controls(content: &[u8]) -> Option<Vec<Control>> {
    let mut list = Reader(content);
    let mut controls = Vec::new();
    while list.peek().is_some() {
        let mut control = Reader(list.expect(ber::SEQUENCE)?);
        let oid = control.text()?;
        let critical = match control.peek() {
            Some(ber::BOOLEAN) => control.expect(ber::BOOLEAN)? != [0],
            _ => false,
        };
        let value = match control.peek() {
            Some(_) => control.expect(ber::OCTETS)?.to_vec(),
            None => Vec::new(),
        };
        controls.push(Control {
            oid,
            critical,
            value,
        });
    }
    Some(controls)
}

fn parse_search(mut reader: Reader<'_>, controls: Vec<Control>) -> Option<Search> {
    let base = reader.text()?;
    let scope = match reader.integer(ber::ENUMERATED)? {
        0 => Scope::Base,
        1 => Scope::OneLevel,
        2 => Scope::Subtree,
        _ => return None,
    };
    reader.integer(ber::ENUMERATED)?;
    reader.integer(ber::INTEGER)?;
    reader.integer(ber::INTEGER)?;
    reader.expect(ber::BOOLEAN)?;
    let filter = Filter::parse(&mut reader)?;
    let mut names = Reader(reader.expect(ber::SEQUENCE)?);
    let mut attributes = Vec::new();
    while names.peek().is_some() {
        attributes.push(names.text()?);
    }
    Some(Search {
        base,
        scope,
        filter,
        attributes,
        controls,
    })
}

/// An attribute with its values; none when it has been emptied.
pub type Shown = (String, Vec<Vec<u8>>);

/// Appends the answer that shows an object.
pub fn entry(out: &mut Vec<u8>, id: i64, dn: &str, attributes: &[Shown]) {
    message(out, id, &[], |out| {
        ber::nested(out, 0x64, |out| {
            ber::element(out, ber::OCTETS, dn.as_bytes());
            ber::nested(out, ber::SEQUENCE, |out| {
                for (name, values) in attributes {
                    ber::nested(out, ber::SEQUENCE, |out| {
                        ber::element(out, ber::OCTETS, name.as_bytes());
                        ber::nested(out, ber::SET, |out| {
                            for value in values {
                                ber::element(out, ber::OCTETS, value);
                            }
                        });
                    });
                }
            });
        });
    });
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The result.
    pub code: Code,
    /// For people.
    pub text: String,
}

impl Outcome {
    /// A result with its text.
    pub fn new(code: Code, text: &str) -> Self {
        Self {
            code,
            text: text.to_owned(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        ber::integer(out, ber::ENUMERATED, self.code as i64);
        ber::element(out, ber::OCTETS, b"");
        ber::element(out, ber::OCTETS, self.text.as_bytes());
        if self.code == Code::Referral {
            // RFC 4511 4.1.10: the addresses of other servers.
            ber::nested(out, 0xa3, |out| {
                ber::element(out, ber::OCTETS, b"ldaps://dc9.elsewhere.example/");
            });
        }
    }
}

/// Appends the end of a search.
pub fn search_done(out: &mut Vec<u8>, id: i64, outcome: &Outcome, controls: &[Control]) {
    message(out, id, controls, |out| {
        ber::nested(out, 0x65, |out| outcome.write(out));
    });
}

/// Appends a continuation reference (RFC 4511 4.5.3) to another partition.
pub fn reference(out: &mut Vec<u8>, id: i64, url: &str) {
    message(out, id, &[], |out| {
        ber::nested(out, 0x73, |out| {
            ber::element(out, ber::OCTETS, url.as_bytes());
        });
    });
}

/// Appends the answer to a sign-in.
pub fn bind_done(out: &mut Vec<u8>, id: i64, outcome: &Outcome) {
    message(out, id, &[], |out| {
        ber::nested(out, 0x61, |out| outcome.write(out));
    });
}

/// Appends the answer to an extended operation.
pub fn extended_done(out: &mut Vec<u8>, id: i64, outcome: &Outcome) {
    message(out, id, &[], |out| {
        ber::nested(out, 0x78, |out| outcome.write(out));
    });
}

fn message(out: &mut Vec<u8>, id: i64, controls: &[Control], operation: impl FnOnce(&mut Vec<u8>)) {
    ber::nested(out, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, id);
        operation(out);
        if !controls.is_empty() {
            ber::nested(out, 0xa0, |out| {
                for control in controls {
                    ber::nested(out, ber::SEQUENCE, |out| {
                        ber::element(out, ber::OCTETS, control.oid.as_bytes());
                        ber::element(out, ber::OCTETS, &control.value);
                    });
                }
            });
        }
    });
}
