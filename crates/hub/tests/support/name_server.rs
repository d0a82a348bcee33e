//! A name server on loopback whose answers the test changes while it runs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, TXT};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_RESPONSES_MAX: usize = 16;
const TTL_SECONDS: u32 = 3_600;
/// Attempts at finding a port.
const BINDS_MAX: usize = 100;

/// A name server that runs until it is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    zone: watch::Sender<Zone>,
    questions: Arc<AtomicUsize>,
    _server: Server<Handler>,
}

/// How the name server takes questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// It answers from its records.
    #[default]
    Answers,
    /// It answers SERVFAIL.
    Fails,
    /// It never answers.
    IsSilent,
    /// It answers when its mood changes.
    Waits,
}

#[derive(Clone, Default)]
struct Zone {
    mood: Mood,
    records: BTreeMap<Name, Vec<RData>>,
}

struct Handler {
    zone: watch::Receiver<Zone>,
    questions: Arc<AtomicUsize>,
}

impl NameServer {
    pub async fn start() -> Self {
        let (udp, tcp, address) = bind_both().await;
        let (zone, receiver) = watch::channel(Zone::default());
        let questions = Arc::new(AtomicUsize::new(0));
        let mut server = Server::new(Handler {
            zone: receiver,
            questions: Arc::clone(&questions),
        });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_RESPONSES_MAX);
        Self {
            address,
            zone,
            questions,
            _server: server,
        }
    }

    /// Replaces the TXT records at `name`; each is a list of character strings.
    pub fn publish(&self, name: &str, texts: &[&[&str]]) {
        let records = texts
            .iter()
            .map(|strings| {
                let strings = strings.iter().map(|text| (*text).to_owned());
                RData::TXT(TXT::new(strings.collect()))
            })
            .collect();
        let name = parse(name);
        self.zone.send_modify(|zone| {
            zone.records.insert(name, records);
        });
    }

    /// Makes `name` an alias of `target`.
    pub fn publish_alias(&self, name: &str, target: &str) {
        let record = RData::CNAME(CNAME(parse(target)));
        let name = parse(name);
        self.zone.send_modify(|zone| {
            zone.records.insert(name, vec![record]);
        });
    }

    pub fn set_mood(&self, mood: Mood) {
        self.zone.send_modify(|zone| zone.mood = mood);
    }

    /// How many questions came.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let mut receiver = self.zone.clone();
        let zone = receiver.wait_for(|zone| zone.mood != Mood::Waits).await;
        let zone = zone.unwrap().clone();
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let silence = ResponseInfo::from(Header {
            metadata,
            counts: HeaderCounts::default(),
        });
        let asked: Name = request.request_info().unwrap().query.name().into();
        let answers = match zone.mood {
            Mood::IsSilent | Mood::Waits => return silence,
            Mood::Fails => {
                metadata.response_code = ResponseCode::ServFail;
                Vec::new()
            }
            Mood::Answers => {
                let answers = zone.find(asked);
                if answers.is_empty() {
                    metadata.response_code = ResponseCode::NXDomain;
                }
                answers
            }
        };
        let message = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            answers.iter(),
            [],
            [],
            [],
        );
        response.send_response(message).await.unwrap_or(silence)
    }
}

impl Zone {
    /// The records at a name, and those at the name that it is an alias of.
    fn find(&self, name: Name) -> Vec<Record> {
        let mut found = Vec::new();
        for data in self.records.get(&name).into_iter().flatten() {
            found.push(Record::from_rdata(name.clone(), TTL_SECONDS, data.clone()));
            if let RData::CNAME(CNAME(target)) = data {
                found.extend(self.find(target.clone()));
            }
        }
        found
    }
}

/// A port that is free for UDP and TCP alike: the system gives one out per
/// transport, and the other half of it may be taken by a test beside this one.
async fn bind_both() -> (UdpSocket, TcpListener, SocketAddr) {
    for _ in 0..BINDS_MAX {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp, address);
        }
    }
    panic!("no port is free for UDP and TCP alike in {BINDS_MAX} attempts");
}

fn parse(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap().to_lowercase();
    name.set_fqdn(true);
    name
}
