//! The way to the key distribution centres: one request, one answer, over TCP (RFC 4120 7.2.2).
//!
//! Invariant: bounded in time and bytes, whoever answers. Deliberately absent: UDP, DNS SRV, and
//! what the messages mean, except for the refusals (see `refusal`).

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::error::SecurityError;

/// Key distribution centres that are tried for one request.
pub(crate) const KDCS_MAX: usize = 8;
/// Addresses of one of them that are tried.
const ADDRESSES_MAX: usize = 4;
/// The largest tickets, of accounts in a thousand groups, have some ten thousand bytes.
const ANSWER_BYTES_MAX: u32 = 1 << 20;
const LENGTH_BYTES: usize = 4;
const PORT: u16 = 88;

/// Where a key distribution centre is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kdc {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The text does not name a key distribution centre.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the address of a key distribution centre; write HOST, HOST:PORT or [ADDRESS]:PORT"
)]
pub struct InvalidKdc {
    /// The text.
    pub text: String,
}

impl Kdc {
    /// Reads `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, each perhaps after `tcp/`; the port is 88
    /// when none is named.
    ///
    /// # Errors
    /// Anything else, such as the address of a proxy (`https://…`).
    pub fn parse(text: &str) -> Result<Self, InvalidKdc> {
        let invalid = || InvalidKdc {
            text: text.to_owned(),
        };
        let rest = text.trim();
        let rest = rest.strip_prefix("tcp/").unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or_else(invalid)?;
                match after {
                    "" => (host, None),
                    _ => (host, Some(after.strip_prefix(':').ok_or_else(invalid)?)),
                }
            }
            // Several colons without brackets: an IPv6 address by itself.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            None => PORT,
            Some(digits) => digits.parse().map_err(|_| invalid())?,
        };
        let wrong = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '{' | '}' | '=');
        if host.is_empty() || port == 0 || host.contains(wrong) {
            return Err(invalid());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Kdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Sends a request, which begins with its length, and returns the first answer with its length.
pub(crate) async fn ask(
    kdcs: &[Kdc],
    limit: Duration,
    request: &[u8],
) -> Result<Vec<u8>, SecurityError> {
    let mut tried = Vec::new();
    for kdc in kdcs.iter().take(KDCS_MAX) {
        let why = match timeout(limit, ask_one(kdc, request)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {} s", limit.as_secs()),
        };
        tried.push(format!("{kdc}: {why}"));
    }
    Err(SecurityError::KdcUnreachable {
        tried: tried.join("; "),
    })
}

async fn ask_one(kdc: &Kdc, request: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = connect(kdc).await?;
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(request).await.map_err(failed)?;
    let mut answer = Vec::new();
    read_up_to(&mut stream, LENGTH_BYTES, &mut answer).await?;
    let length = answer
        .first_chunk::<LENGTH_BYTES>()
        .map(|bytes| u32::from_be_bytes(*bytes))
        .unwrap_or_default();
    if length == 0 || length > ANSWER_BYTES_MAX {
        return Err(format!("its answer claims to have {length} bytes"));
    }
    let length = usize::try_from(length).unwrap_or_default();
    read_up_to(&mut stream, LENGTH_BYTES + length, &mut answer).await?;
    Ok(answer)
}

async fn connect(kdc: &Kdc) -> Result<TcpStream, String> {
    let addresses = lookup_host((kdc.host.as_str(), kdc.port))
        .await
        .map_err(|error| format!("the name cannot be resolved: {error}"))?;
    let mut why = "the name has no address".to_owned();
    for address in addresses.take(ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Reads until `into` has `total` bytes; memory grows with what arrives, not with what is claimed.
async fn read_up_to(
    stream: &mut TcpStream,
    total: usize,
    into: &mut Vec<u8>,
) -> Result<(), String> {
    let missing = total.saturating_sub(into.len());
    let missing = u64::try_from(missing).unwrap_or_default();
    stream
        .take(missing)
        .read_to_end(into)
        .await
        .map_err(|error| error.to_string())?;
    match into.len() == total {
        true => Ok(()),
        false => Err("it closed the connection within its answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn addresses() {
        let kdc = |host: &str, port| {
            Ok(Kdc {
                host: host.into(),
                port,
            })
        };
        assert_eq!(Kdc::parse("dc1.corp"), kdc("dc1.corp", 88));
        assert_eq!(Kdc::parse(" tcp/dc1:1088 "), kdc("dc1", 1088));
        assert_eq!(Kdc::parse("[::1]:99"), kdc("::1", 99));
        assert_eq!(Kdc::parse("[::1]"), kdc("::1", 88));
        assert_eq!(Kdc::parse("fd00::1"), kdc("fd00::1", 88));
        for wrong in [
            "",
            "https://proxy/KdcProxy",
            "a:b",
            "a:0",
            "[::1",
            "[::1]9",
            "udp/a",
        ] {
            assert!(Kdc::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Answers every connection with these bytes and closes it.
    async fn answering(bytes: &'static [u8]) -> Kdc {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 5];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(bytes).await.unwrap();
            }
        });
        Kdc {
            host: "127.0.0.1".into(),
            port,
        }
    }

    #[tokio::test]
    async fn the_first_sound_answer_counts_and_keeps_its_length() {
        let cut = answering(&[0, 0, 0, 9, 1]).await;
        let huge = answering(&[0xff, 0xff, 0xff, 0xff]).await;
        let sound = answering(&[0, 0, 0, 2, 7, 8]).await;
        let answer = ask(&[cut, huge, sound], LIMIT, &[0, 0, 0, 1, 5]).await;
        assert_eq!(answer, Ok(vec![0, 0, 0, 2, 7, 8]));
    }

    #[tokio::test]
    async fn each_failure_is_told() {
        let cut = answering(&[0, 0, 0, 9, 1]).await;
        let empty = answering(&[0, 0, 0, 0]).await;
        let error = ask(&[cut, empty], LIMIT, &[0, 0, 0, 1, 5])
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("within its answer") && text.contains("0 bytes"),
            "{text}"
        );
        assert!(error.is_transient());
    }
}
