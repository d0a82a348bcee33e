//! Whole LDAP messages over a byte stream, with limits of size and time.
//!
//! Invariant: a message is parsed once, when all of its bytes are there; bytes claimed but not sent
//! cost no memory. Once sealing has begun nothing is sent or taken in the clear. Deliberately
//! absent: matching answers to requests (see `connection`).

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::ber;
use crate::error::Error;
use crate::message::{self, Message};
use crate::sasl::Sasl;
use crate::security::SecContext;
use crate::tls::Stream;

/// A group with 500,000 members and all their names in one answer has about 100 MB.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
const READ_BYTES: usize = 64 << 10;
/// A buffer that a large message has grown is given back.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

pub(crate) struct Transport {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    sasl: Option<Sasl>,
    answer_timeout: Duration,
}

impl Transport {
    pub(crate) fn new(stream: Box<dyn Stream>, answer_timeout: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            sasl: None,
            answer_timeout,
        }
    }

    /// From now on everything is sealed, both ways.
    pub(crate) fn seal(&mut self, context: SecContext) -> Result<(), Error> {
        // Somebody on the way could have put an answer before those that are sealed.
        if !self.buffer.is_empty() {
            return Err(Error::Protocol("an answer that is not sealed"));
        }
        self.sasl = Some(Sasl::new(context));
        Ok(())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8], during: &'static str) -> Result<(), Error> {
        let sealed = match &mut self.sasl {
            Some(sasl) => Some(sasl.seal(bytes)?),
            None => None,
        };
        let bytes = sealed.as_deref().unwrap_or(bytes);
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(self.answer_timeout, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(during, error.to_string())),
            Err(_) => Err(self.silent(during)),
        }
    }

    /// The next message; may be cancelled and called again.
    pub(crate) async fn receive(&mut self, during: &'static str) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            let into = match &mut self.sasl {
                None => &mut self.buffer,
                Some(sasl) => {
                    if let Some(plain) = sasl.open()? {
                        self.buffer.extend_from_slice(&plain);
                        continue;
                    }
                    sasl.received()
                }
            };
            into.reserve(READ_BYTES);
            let reading = self.stream.read_buf(into);
            match timeout(self.answer_timeout, reading).await {
                Ok(Ok(0)) => return Err(lost(during, "the directory closed it".to_owned())),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(lost(during, error.to_string())),
                Err(_) => return Err(self.silent(during)),
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Message>, Error> {
        let malformed = |_| Error::Protocol("bytes that are not an LDAP message");
        let Some(head) = ber::head(&self.buffer).map_err(malformed)? else {
            return Ok(None);
        };
        if head.tag != ber::SEQUENCE {
            return Err(Error::Protocol("bytes that are not an LDAP message"));
        }
        if head.content_bytes > MESSAGE_BYTES_MAX {
            return Err(Error::TooMuch {
                what: "bytes in one message",
                limit: MESSAGE_BYTES_MAX as u64,
            });
        }
        let total = head.head_bytes + head.content_bytes;
        if self.buffer.len() < total {
            return Ok(None);
        }
        let bytes = self.buffer.split_to(total);
        if self.buffer.is_empty() && bytes.len() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::new();
        }
        let malformed = |_| Error::Protocol("a malformed LDAP message");
        message::parse(&bytes).map(Some).map_err(malformed)
    }

    fn silent(&self, during: &'static str) -> Error {
        Error::Silent {
            during,
            waited: self.answer_timeout,
        }
    }
}

fn lost(during: &'static str, why: String) -> Error {
    Error::ConnectionLost { during, why }
}
