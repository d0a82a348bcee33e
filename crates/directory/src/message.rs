//! LDAP messages (RFC 4511): requests as bytes, answers from bytes.
//!
//! Invariant: an answer that is not completely well-formed is refused as a whole; nothing is left
//! out of it. Values are taken as they are. Deliberately absent: requests we never make and answers
//! to them.

use zeroize::Zeroizing;

use crate::attributes::Attributes;
use crate::ber::{self, Malformed, Reader, Result, Writer};
use crate::filter::Filter;

const VERSION: i64 = 3;

const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const MODIFY_REQUEST: u8 = 0x66;
const MODIFY_RESPONSE: u8 = 0x67;
const ABANDON_REQUEST: u8 = 0x50;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE_RESPONSE: u8 = 0x79;

const SIMPLE_PASSWORD: u8 = 0x80;
const SASL: u8 = 0xa3;
const SERVER_CREDENTIALS: u8 = 0x87;
const CONTROLS: u8 = 0xa0;
const REFERRALS: u8 = 0xa3;
const EXTENDED_REQUEST_NAME: u8 = 0x80;
const EXTENDED_RESPONSE_NAME: u8 = 0x8a;
const EXTENDED_RESPONSE_VALUE: u8 = 0x8b;

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
pub(crate) struct Control {
    pub oid: String,
    pub critical: bool,
    pub value: Option<Vec<u8>>,
}

/// What is asked in a search.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub base: &'a str,
    pub scope: Scope,
    pub filter: &'a Filter,
    pub attributes: &'a [String],
}

/// What to do with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Add the values.
    Add,
    /// Take the values away; all of them when none is named.
    Delete,
    /// Put the values in the place of all present ones.
    Replace,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub code: u32,
    pub text: String,
    pub referrals: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Bind {
        outcome: Outcome,
        /// Token of a SASL mechanism.
        credentials: Option<Vec<u8>>,
    },
    Entry {
        name: String,
        attributes: Attributes,
    },
    /// The rest lies on another server; a search of a domain always names some.
    Reference,
    Done(Outcome),
    Modify(Outcome),
    Extended {
        outcome: Outcome,
        name: Option<String>,
        value: Option<Vec<u8>>,
    },
    Intermediate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub id: i64,
    pub answer: Answer,
    pub controls: Vec<Control>,
}

fn message(id: i64, controls: &[Control], operation: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.nested(ber::SEQUENCE, |out| {
        out.integer(ber::INTEGER, id);
        operation(out);
        if !controls.is_empty() {
            out.nested(CONTROLS, |out| {
                controls.iter().for_each(|control| control.write(out))
            });
        }
    });
    out.into_bytes()
}

impl Control {
    fn write(&self, out: &mut Writer) {
        out.nested(ber::SEQUENCE, |out| {
            out.text(&self.oid);
            if self.critical {
                out.boolean(ber::BOOLEAN, true);
            }
            if let Some(value) = &self.value {
                out.element(ber::OCTET_STRING, value);
            }
        });
    }

    fn parse(mut reader: Reader<'_>) -> Result<Self> {
        let oid = reader.text(ber::OCTET_STRING)?.to_owned();
        let critical = reader
            .optional(ber::BOOLEAN)?
            .is_some_and(|value| value != [0]);
        let value = reader.optional(ber::OCTET_STRING)?.map(<[u8]>::to_vec);
        end(reader)?;
        Ok(Self {
            oid,
            critical,
            value,
        })
    }
}

/// Writes a message that holds a secret: a [`Writer`] would leave copies of it behind in its inner
/// buffers, so lengths are worked out first and everything is written once, into one buffer that
/// is as large as the message from the start and wiped when it is dropped.
struct Flat(Zeroizing<Vec<u8>>);

impl Flat {
    fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    /// Bytes of an element with this many bytes of content.
    fn element_bytes(content: usize) -> usize {
        1 + ber::length(content).len() + content
    }

    /// Tag and length of an element whose content comes next.
    fn head(&mut self, tag: u8, content: usize) {
        self.0.push(tag);
        self.0.extend(ber::length(content));
    }

    fn element(&mut self, tag: u8, content: &[u8]) {
        self.head(tag, content.len());
        self.0.extend_from_slice(content);
    }
}

/// An element that is no secret.
fn open_element(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    write(&mut out);
    out.into_bytes()
}

pub(crate) fn bind(id: i64, account: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let password = password.as_bytes();
    let head = open_element(|out| {
        out.integer(ber::INTEGER, VERSION);
        out.text(account);
    });
    let id = open_element(|out| out.integer(ber::INTEGER, id));
    let operation = head.len() + Flat::element_bytes(password.len());
    let total = id.len() + Flat::element_bytes(operation);
    let mut out = Flat::with_capacity(Flat::element_bytes(total));
    out.head(ber::SEQUENCE, total);
    out.0.extend(id);
    out.head(BIND_REQUEST, operation);
    out.0.extend(head);
    out.element(SIMPLE_PASSWORD, password);
    out.0
}

/// One leg of a SASL bind (RFC 4511 4.2).
pub(crate) fn bind_by_sasl(id: i64, mechanism: &str, token: &[u8]) -> Vec<u8> {
    message(id, &[], |out| {
        out.nested(BIND_REQUEST, |out| {
            out.integer(ber::INTEGER, VERSION);
            out.text("");
            out.nested(SASL, |out| {
                out.text(mechanism);
                out.element(ber::OCTET_STRING, token);
            });
        });
    })
}

pub(crate) fn unbind(id: i64) -> Vec<u8> {
    message(id, &[], |out| out.element(UNBIND_REQUEST, &[]))
}

pub(crate) fn abandon(id: i64, abandoned: i64) -> Vec<u8> {
    message(id, &[], |out| out.integer(ABANDON_REQUEST, abandoned))
}

pub(crate) fn search(id: i64, search: &Search<'_>, controls: &[Control]) -> Vec<u8> {
    let scope = match search.scope {
        Scope::Base => 0,
        Scope::OneLevel => 1,
        Scope::Subtree => 2,
    };
    message(id, controls, |out| {
        out.nested(SEARCH_REQUEST, |out| {
            out.text(search.base);
            out.integer(ber::ENUMERATED, scope);
            // Aliases are never followed; no limits of size and time on our side.
            out.integer(ber::ENUMERATED, 0);
            out.integer(ber::INTEGER, 0);
            out.integer(ber::INTEGER, 0);
            out.boolean(ber::BOOLEAN, false);
            search.filter.write(out);
            out.nested(ber::SEQUENCE, |out| {
                search.attributes.iter().for_each(|name| out.text(name));
            });
        });
    })
}

/// What to do with one attribute, and its values.
pub(crate) type Modification<'a> = (Operation, &'a str, Vec<&'a [u8]>);

/// RFC 4511 4.6. Values may be passwords.
pub(crate) fn modify(id: i64, dn: &str, changes: &[Modification<'_>]) -> Zeroizing<Vec<u8>> {
    let bytes = Flat::element_bytes;
    let set = |values: &[&[u8]]| values.iter().map(|value| bytes(value.len())).sum::<usize>();
    let partial = |(_, name, values): &Modification<'_>| bytes(name.len()) + bytes(set(values));
    // The operation is an enumeration below 128: three bytes.
    let change = |change: &Modification<'_>| bytes(1) + bytes(partial(change));
    let list = changes.iter().map(|one| bytes(change(one))).sum::<usize>();
    let id = open_element(|out| out.integer(ber::INTEGER, id));
    let operation = bytes(dn.len()) + bytes(list);
    let total = id.len() + bytes(operation);

    let mut out = Flat::with_capacity(bytes(total));
    out.head(ber::SEQUENCE, total);
    out.0.extend(id);
    out.head(MODIFY_REQUEST, operation);
    out.element(ber::OCTET_STRING, dn.as_bytes());
    out.head(ber::SEQUENCE, list);
    for one in changes {
        let (operation, name, values) = one;
        out.head(ber::SEQUENCE, change(one));
        let operation = match operation {
            Operation::Add => 0,
            Operation::Delete => 1,
            Operation::Replace => 2,
        };
        out.element(ber::ENUMERATED, &[operation]);
        out.head(ber::SEQUENCE, partial(one));
        out.element(ber::OCTET_STRING, name.as_bytes());
        out.head(ber::SET, set(values));
        for value in values {
            out.element(ber::OCTET_STRING, value);
        }
    }
    out.0
}

pub(crate) fn extended(id: i64, name: &str) -> Vec<u8> {
    message(id, &[], |out| {
        out.nested(EXTENDED_REQUEST, |out| {
            out.element(EXTENDED_REQUEST_NAME, name.as_bytes());
        });
    })
}

/// Reads one whole message.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message> {
    let mut outer = Reader::new(bytes);
    let mut reader = outer.nested(ber::SEQUENCE)?;
    end(outer)?;
    let id = reader.integer(ber::INTEGER)?;
    let (tag, content) = reader.any()?;
    let answer = parse_answer(tag, Reader::new(content))?;
    let mut controls = Vec::new();
    if let Some(content) = reader.optional(CONTROLS)? {
        let mut list = Reader::new(content);
        while !list.is_empty() {
            controls.push(Control::parse(list.nested(ber::SEQUENCE)?)?);
        }
    }
    end(reader)?;
    Ok(Message {
        id,
        answer,
        controls,
    })
}

fn parse_answer(tag: u8, mut reader: Reader<'_>) -> Result<Answer> {
    match tag {
        BIND_RESPONSE => Ok(Answer::Bind {
            outcome: parse_outcome(&mut reader)?,
            credentials: reader.optional(SERVER_CREDENTIALS)?.map(<[u8]>::to_vec),
        }),
        SEARCH_ENTRY => parse_entry(reader),
        SEARCH_REFERENCE => Ok(Answer::Reference),
        SEARCH_DONE => parse_outcome(&mut reader).map(Answer::Done),
        MODIFY_RESPONSE => parse_outcome(&mut reader).map(Answer::Modify),
        EXTENDED_RESPONSE => {
            let outcome = parse_outcome(&mut reader)?;
            let name = reader.optional(EXTENDED_RESPONSE_NAME)?;
            let value = reader.optional(EXTENDED_RESPONSE_VALUE)?;
            Ok(Answer::Extended {
                outcome,
                name: name.map(|name| String::from_utf8_lossy(name).into_owned()),
                value: value.map(<[u8]>::to_vec),
            })
        }
        INTERMEDIATE_RESPONSE => Ok(Answer::Intermediate),
        _ => Err(Malformed),
    }
}

/// Diagnostic texts are for people, so wrong UTF-8 in them is no reason to refuse the answer.
fn parse_outcome(reader: &mut Reader<'_>) -> Result<Outcome> {
    let code = reader.integer(ber::ENUMERATED)?;
    reader.expect(ber::OCTET_STRING)?;
    let text = reader.expect(ber::OCTET_STRING)?;
    let mut referrals = Vec::new();
    if let Some(content) = reader.optional(REFERRALS)? {
        let mut list = Reader::new(content);
        while !list.is_empty() {
            referrals.push(list.text(ber::OCTET_STRING)?.to_owned());
        }
    }
    Ok(Outcome {
        code: u32::try_from(code).map_err(|_| Malformed)?,
        text: String::from_utf8_lossy(text)
            .trim_end_matches(['\0', '\n'])
            .to_owned(),
        referrals,
    })
}

fn parse_entry(mut reader: Reader<'_>) -> Result<Answer> {
    let name = reader.text(ber::OCTET_STRING)?.to_owned();
    let mut list = reader.nested(ber::SEQUENCE)?;
    end(reader)?;
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = list.nested(ber::SEQUENCE)?;
        let name = attribute.text(ber::OCTET_STRING)?.to_owned();
        let mut set = attribute.nested(ber::SET)?;
        end(attribute)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(set.expect(ber::OCTET_STRING)?.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(Answer::Entry {
        name,
        attributes: Attributes::new(attributes),
    })
}

fn end(reader: Reader<'_>) -> Result<()> {
    if reader.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by a writer that nests.
    fn nested(id: i64, dn: &str, changes: &[Modification<'_>]) -> Vec<u8> {
        message(id, &[], |out| {
            out.nested(MODIFY_REQUEST, |out| {
                out.text(dn);
                out.nested(ber::SEQUENCE, |out| {
                    for (operation, name, values) in changes {
                        let operation = *operation as i64;
                        out.nested(ber::SEQUENCE, |out| {
                            out.integer(ber::ENUMERATED, operation);
                            out.nested(ber::SEQUENCE, |out| {
                                out.text(name);
                                out.nested(ber::SET, |out| {
                                    values
                                        .iter()
                                        .for_each(|value| out.element(ber::OCTET_STRING, value));
                                });
                            });
                        });
                    }
                });
            });
        })
    }

    proptest! {
        #[test]
        fn a_change_written_flat_is_the_same_and_never_grew(
            id in 0i64..100_000,
            dn in ".{0,200}",
            changes in prop::collection::vec(
                (0usize..3, "[a-zA-Z]{1,20}", prop::collection::vec(
                    prop::collection::vec(any::<u8>(), 0..300), 0..3)),
                0..4,
            ),
        ) {
            let operations = [Operation::Add, Operation::Delete, Operation::Replace];
            let changes: Vec<Modification<'_>> = changes
                .iter()
                .map(|(operation, name, values)| {
                    let values = values.iter().map(Vec::as_slice).collect();
                    (operations[*operation], name.as_str(), values)
                })
                .collect();
            let flat = modify(id, &dn, &changes);
            prop_assert_eq!(&*flat, &nested(id, &dn, &changes));
            prop_assert_eq!(flat.len(), flat.capacity());
        }

        #[test]
        fn a_sign_in_written_flat_never_grew(account in ".{0,200}", password in ".{0,200}") {
            let flat = bind(7, &account, &password);
            let nested = message(7, &[], |out| {
                out.nested(BIND_REQUEST, |out| {
                    out.integer(ber::INTEGER, VERSION);
                    out.text(&account);
                    out.element(SIMPLE_PASSWORD, password.as_bytes());
                });
            });
            prop_assert_eq!(&*flat, &nested);
            prop_assert_eq!(flat.len(), flat.capacity());
        }
    }
}
