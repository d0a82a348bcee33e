//! A connection to a directory: one request at a time, every answer matched to it.
//!
//! Invariant: after an error of the connection itself nothing more is read from it, so no answer
//! can be taken for that of another request. Deliberately absent: reconnecting; the caller decides,
//! because a read that was interrupted has to start over.

mod sign_in;

use rollcall_kit::timestamp::Timestamp;
use tracing::warn;

use crate::entry::Entry;
use crate::error::{Error, Unsafe};
use crate::message::{self, Answer, Message, Operation, Outcome};
use crate::options::{Bind, Channel, Options, PlainText, Url};
use crate::root_dse::RootDse;
use crate::search::Base;
use crate::tls;
use crate::transport::Transport;

/// Answers to abandoned requests that are skipped before we give up.
const STALE_MAX: u32 = 10_000_000;
const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
/// RFC 4511 4.4.1: the server says that it closes the connection.
const DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// A signed-in connection; close it with [`Connection::close`] or drop it.
pub struct Connection {
    transport: Transport,
    state: State,
    last_id: i64,
    /// A request whose answers have not all been read.
    outstanding: Option<i64>,
    is_encrypted: bool,
    certificate_expires: Option<Timestamp>,
    clock_ahead_seconds: Option<i64>,
    pub(crate) root_dse: Option<RootDse>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Usable,
    /// A request is being written; if that is cancelled, half of it may have gone out.
    Sending,
    Broken,
}

impl Connection {
    /// Connects and signs in.
    ///
    /// # Errors
    /// Any arm of [`Error`] that concerns address, network, certificate or account.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        let url = Url::parse(&options.url).map_err(|why| Error::InvalidUrl {
            url: options.url.clone(),
            why,
        })?;
        refuse_unsafe(options, &url)?;
        let channeled = tls::open(options, &url).await?;
        let mut connection = Self {
            transport: Transport::new(channeled.stream, options.answer_timeout),
            state: State::Usable,
            last_id: 0,
            outstanding: None,
            is_encrypted: url.channel == Channel::Tls,
            certificate_expires: channeled.certificate_expires,
            clock_ahead_seconds: None,
            root_dse: None,
        };
        match &options.bind {
            Bind::Anonymous => {}
            Bind::Simple { account, password } => {
                connection.bind(account, password.expose()).await?;
            }
            Bind::Sealed(security) => {
                connection.bind_sealed(security).await?;
                connection.is_encrypted = true;
            }
        }
        Ok(connection)
    }

    /// When the certificate of the directory expires; `None` without encryption.
    #[must_use]
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        self.certificate_expires
    }

    /// The clock of the key distribution centre minus ours; `None` without Kerberos.
    #[must_use]
    pub fn clock_ahead_seconds(&self) -> Option<i64> {
        self.clock_ahead_seconds
    }

    /// Who the directory thinks we are, such as `u:CORP\svc-sync` (RFC 4532); `None` when it does
    /// not understand the question (Samba 4.17 does not).
    ///
    /// # Errors
    /// When the directory refuses or the connection breaks.
    pub async fn whoami(&mut self) -> Result<Option<String>, Error> {
        let during = "asking who we are";
        let id = self.next_id();
        self.begin(id, &message::extended(id, WHO_AM_I), during)
            .await?;
        let (outcome, value) = match self.answer(id, during).await?.answer {
            Answer::Extended { outcome, value, .. } => (outcome, value),
            _ => return Err(self.unexpected()),
        };
        self.finished();
        // protocolError is the answer to an unknown extended operation, RFC 4511 4.12.
        if outcome.code == 2 {
            return Ok(None);
        }
        outcome.into_result(during, "ask who it is", "the right to sign in")?;
        Ok(Some(
            String::from_utf8_lossy(&value.unwrap_or_default()).into_owned(),
        ))
    }

    /// Changes one object, all changes or none.
    ///
    /// # Errors
    /// When the directory refuses (then nothing has changed) or the connection breaks (then that is
    /// not known).
    pub async fn modify(
        &mut self,
        entry: &Entry,
        changes: &[(Operation, &str, Vec<&[u8]>)],
    ) -> Result<(), Error> {
        let during = "changing an object";
        let id = self.next_id();
        let request = message::modify(id, &Base::Guid(entry.guid).to_text(), changes);
        let outcome = self.modified(id, &request, during).await?;
        outcome.into_result(
            during,
            "change this object",
            "the right to write these attributes",
        )
    }

    /// Sends a request to change something; what the directory said to it.
    pub(crate) async fn modified(
        &mut self,
        id: i64,
        request: &[u8],
        during: &'static str,
    ) -> Result<Outcome, Error> {
        self.begin(id, request, during).await?;
        let outcome = match self.answer(id, during).await?.answer {
            Answer::Modify(outcome) => outcome,
            _ => return Err(self.unexpected()),
        };
        self.finished();
        Ok(outcome)
    }

    /// Whether nobody on the way can read what is sent.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Says goodbye; dropping the connection does the same less politely.
    pub async fn close(mut self) {
        let id = self.next_id();
        // Nothing depends on it any more.
        self.begin(id, &message::unbind(id), "closing").await.ok();
    }

    pub(crate) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends a request; abandons an earlier one whose answers nobody has read to the end.
    pub(crate) async fn begin(
        &mut self,
        id: i64,
        request: &[u8],
        during: &'static str,
    ) -> Result<(), Error> {
        if self.state != State::Usable {
            return Err(Error::ConnectionLost {
                during,
                why: "it was given up after an earlier error".to_owned(),
            });
        }
        self.state = State::Sending;
        if let Some(old) = self.outstanding.take() {
            let abandon = self.next_id();
            self.send(&message::abandon(abandon, old), during).await?;
        }
        self.send(request, during).await?;
        self.state = State::Usable;
        self.outstanding = Some(id);
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8], during: &'static str) -> Result<(), Error> {
        self.transport
            .send(bytes, during)
            .await
            .inspect_err(|_| self.state = State::Broken)
    }

    /// The next answer to this request.
    pub(crate) async fn answer(&mut self, id: i64, during: &'static str) -> Result<Message, Error> {
        if self.state != State::Usable || self.outstanding != Some(id) {
            return Err(Error::ConnectionLost {
                during,
                why: "it was given up after an earlier error".to_owned(),
            });
        }
        for _ in 0..STALE_MAX {
            let received = self.transport.receive(during).await;
            let message = received.inspect_err(|_| self.state = State::Broken)?;
            if message.id == id {
                return Ok(message);
            }
            if message.id == 0 {
                self.state = State::Broken;
                return Err(disconnected(message, during));
            }
            if message.id < 0 || message.id > id {
                return Err(self.unexpected());
            }
        }
        self.state = State::Broken;
        Err(Error::TooMuch {
            what: "answers to an abandoned request",
            limit: u64::from(STALE_MAX),
        })
    }

    /// All answers of the present request have been read.
    pub(crate) fn finished(&mut self) {
        self.outstanding = None;
    }

    /// An answer of a kind that does not belong to the request.
    pub(crate) fn unexpected(&mut self) -> Error {
        self.state = State::Broken;
        Error::Protocol("an answer that does not belong to the request")
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}

fn refuse_unsafe(options: &Options, url: &Url) -> Result<(), Error> {
    if let Bind::Simple { password, .. } = &options.bind
        && password.is_empty()
    {
        return Err(Error::Unsafe(Unsafe::EmptyPassword));
    }
    let with_password = match (url.channel, &options.bind) {
        (Channel::Tls, Bind::Sealed(_)) => return Err(Error::Unsafe(Unsafe::SealedTwice)),
        (Channel::Tls, _) | (Channel::Plain, Bind::Sealed(_)) => return Ok(()),
        (Channel::Plain, Bind::Simple { .. }) => true,
        (Channel::Plain, Bind::Anonymous) => false,
    };
    match options.plain_text {
        PlainText::Refused => Err(Error::Unsafe(Unsafe::PlainText)),
        PlainText::WithoutPassword if with_password => {
            Err(Error::Unsafe(Unsafe::PasswordInPlainText))
        }
        PlainText::WithoutPassword | PlainText::WithPassword => {
            warn!(
                url = options.url,
                "the connection to the directory is NOT encrypted: whoever is on the way can read \
                 and change everything"
            );
            Ok(())
        }
    }
}

/// The notice of disconnection carries the reason as a result code.
fn disconnected(message: Message, during: &'static str) -> Error {
    match message.answer {
        Answer::Extended { outcome, name, .. } if name.as_deref() == Some(DISCONNECTION) => {
            match outcome.code {
                51 | 52 => Error::Busy {
                    code: outcome.code,
                    text: outcome.text,
                },
                code => Error::ConnectionLost {
                    during,
                    why: format!(
                        "the directory closed it with result {code}: {}",
                        outcome.text
                    ),
                },
            }
        }
        _ => Error::Protocol("an unsolicited message"),
    }
}

impl Outcome {
    /// `what` completes "the account may not …", `right` names what has to be granted for it.
    pub(crate) fn into_result(
        self,
        during: &'static str,
        what: &'static str,
        right: &'static str,
    ) -> Result<(), Error> {
        match self.code {
            0 => Ok(()),
            _ => Err(self.into_error(during, what, right)),
        }
    }

    pub(crate) fn into_error(
        self,
        during: &'static str,
        what: &'static str,
        right: &'static str,
    ) -> Error {
        let Self {
            code,
            text,
            referrals,
        } = self;
        match code {
            3 | 4 | 11 | 85 => Error::ServerLimit { code, text },
            9 | 10 => Error::Referral {
                to: match referrals.is_empty() {
                    true => text,
                    false => referrals.join(", "),
                },
            },
            32 => Error::NotFound {
                what: format!("the object of this request ({during})"),
            },
            50 => Error::RightsMissing { what, right, text },
            51 | 52 => Error::Busy { code, text },
            _ => Error::Refused {
                code,
                name: result_name(code),
                text,
            },
        }
    }
}

/// RFC 4511 4.1.9.
fn result_name(code: u32) -> &'static str {
    match code {
        1 => "operationsError",
        2 => "protocolError",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        16 => "noSuchAttribute",
        17 => "undefinedAttributeType",
        18 => "inappropriateMatching",
        19 => "constraintViolation",
        20 => "attributeOrValueExists",
        21 => "invalidAttributeSyntax",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        53 => "unwillingToPerform",
        54 => "loopDetect",
        64 => "namingViolation",
        65 => "objectClassViolation",
        66 => "notAllowedOnNonLeaf",
        67 => "notAllowedOnRDN",
        68 => "entryAlreadyExists",
        71 => "affectsMultipleDSAs",
        80 => "other",
        _ => "unknown result",
    }
}
