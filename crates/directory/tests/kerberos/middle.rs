//! Somebody on the way between client and domain controller, and a key distribution centre whose clock
//! is wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rollcall_directory::Kdc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What is done to the sealed answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interference {
    /// A bit of the content is turned over.
    Change,
    /// The flag that says "sealed" is taken away.
    Unseal,
    /// Each answer is shown twice.
    Repeat,
    /// Only the beginning of one is shown, as if that were all.
    Shorten,
}

impl Interference {
    pub const ALL: [Self; 4] = [Self::Change, Self::Unseal, Self::Repeat, Self::Shorten];

    /// What becomes of a sealed buffer, without its length.
    fn apply(self, buffer: &[u8]) -> Vec<Vec<u8>> {
        let mut changed = buffer.to_vec();
        match self {
            Self::Change => {
                if let Some(last) = changed.last_mut() {
                    *last ^= 1;
                }
                vec![changed]
            }
            // Of NTLM this byte is part of the version.
            Self::Unseal => {
                changed[2] ^= 2;
                vec![changed]
            }
            Self::Repeat => vec![changed.clone(), changed],
            Self::Shorten => vec![changed[..12].to_vec()],
        }
    }
}

pub struct Middle {
    address: SocketAddr,
    interference: Arc<Mutex<Option<Interference>>>,
}

impl Middle {
    /// Passes everything on, both ways, until it is told otherwise.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let interference = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&interference);
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) =
                TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(async move {
                tokio::io::copy(&mut from_client, &mut to_server).await.ok();
            });
            answers(from_server, to_client, &shared).await;
        });
        Self {
            address,
            interference,
        }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn interfere(&self, interference: Interference) {
        *self.interference.lock().unwrap() = Some(interference);
    }
}

async fn answers(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    interference: &Mutex<Option<Interference>>,
) {
    loop {
        // LDAP begins with 0x30, a sealed buffer with the high byte of its length.
        let Ok(begin) = from_server.read_u8().await else {
            return;
        };
        if begin == 0x30 {
            let mut message = vec![begin];
            message.extend(rest_of_message(&mut from_server).await);
            to_client.write_all(&message).await.unwrap();
            continue;
        }
        let mut length = [begin, 0, 0, 0];
        from_server.read_exact(&mut length[1..]).await.unwrap();
        let mut buffer = vec![0; u32::from_be_bytes(length) as usize];
        from_server.read_exact(&mut buffer).await.unwrap();
        let now = *interference.lock().unwrap();
        let shown = match now {
            None => vec![buffer],
            Some(now) => now.apply(&buffer),
        };
        for buffer in shown {
            let length = u32::try_from(buffer.len()).unwrap();
            let whole = [&length.to_be_bytes()[..], &buffer].concat();
            // The client may have given up already.
            to_client.write_all(&whole).await.ok();
        }
    }
}

/// Length and content of a BER element whose tag was read.
async fn rest_of_message(from: &mut OwnedReadHalf) -> Vec<u8> {
    let first = from.read_u8().await.unwrap();
    let mut head = vec![first];
    let mut length = usize::from(first);
    if first >= 0x80 {
        let mut more = vec![0; usize::from(first & 0x7f)];
        from.read_exact(&mut more).await.unwrap();
        length = more
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        head.extend(more);
    }
    let mut content = vec![0; length];
    from.read_exact(&mut content).await.unwrap();
    head.extend(content);
    head
}

/// Refuses everybody because of the time, which it takes for the year 2000.
pub async fn kdc_with_another_clock() -> Kdc {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut length = [0; 4];
            stream.read_exact(&mut length).await.unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).await.unwrap();
            let error = skew();
            let length = u32::try_from(error.len()).unwrap();
            let answer = [&length.to_be_bytes()[..], &error].concat();
            stream.write_all(&answer).await.unwrap();
        }
    });
    Kdc {
        host: "127.0.0.1".into(),
        port,
    }
}

/// KRB-ERROR with KRB_AP_ERR_SKEW (RFC 4120 5.9.1).
fn skew() -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        let mut out = vec![tag];
        if length >= 0x80 {
            out.push(0x81);
        }
        out.push(length);
        out.extend(content);
        out
    };
    let text = |text: &str| element(0x1b, text.as_bytes());
    let names = element(0x30, &[text("krbtgt"), text("CORP.EXAMPLE.COM")].concat());
    let name_type = element(0xa0, &element(2, &[2]));
    let server = element(0x30, &[name_type, element(0xa1, &names)].concat());
    let fields = [
        element(0xa0, &element(2, &[5])),
        element(0xa1, &element(2, &[30])),
        element(0xa4, &element(0x18, b"20000101000000Z")),
        element(0xa5, &element(2, &[1])),
        element(0xa6, &element(2, &[37])),
        element(0xa9, &text("CORP.EXAMPLE.COM")),
        element(0xaa, &server),
    ];
    element(0x7e, &element(0x30, &fields.concat()))
}
