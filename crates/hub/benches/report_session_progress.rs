//! Calls per second of a durable ReportSessionProgress beside a bare tonic no-op of the same shape.
//!
//! Both servers run in this process, on TLS, with the same messages, the same client and as many
//! streams; the rounds alternate, so a neighbour on the machine hurts both. Only the ratio means
//! anything. Run with `cargo xtask bench progress`.

#![allow(clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rollcall_client::{
    AuthorizedChannel, Client, ClientOptions, Credentials, ServiceAccountKey, operation_metadata,
    operation_response,
};
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init::{self, Made};
use rollcall_hub::server;
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;
use rollcall_proto::idp;
use rollcall_proto::idp::synchronization_session_service_client::SynchronizationSessionServiceClient;
use rollcall_proto::idp::synchronization_session_service_server::{
    SynchronizationSessionService, SynchronizationSessionServiceServer,
};
use rollcall_proto::operation::Operation;
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
use tonic::{Request, Response, Status};

const STREAMS: usize = 64;
/// Connections that share the streams, so that one HTTP/2 task is not what is measured.
const CONNECTIONS: usize = 4;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);

/// A server that answers and does nothing else.
struct Bare;

type Answer = Result<Response<Operation>, Status>;

#[tonic::async_trait]
impl SynchronizationSessionService for Bare {
    async fn open_session(&self, _: Request<idp::OpenSessionRequest>) -> Answer {
        Ok(Response::new(Operation::default()))
    }

    async fn close_session(&self, _: Request<idp::CloseSessionRequest>) -> Answer {
        Ok(Response::new(Operation::default()))
    }

    async fn report_session_progress(
        &self,
        _: Request<idp::ReportSessionProgressRequest>,
    ) -> Answer {
        Ok(Response::new(Operation::default()))
    }

    async fn heartbeat(&self, _: Request<idp::HeartbeatRequest>) -> Answer {
        Ok(Response::new(Operation::default()))
    }

    async fn get_session(
        &self,
        _: Request<idp::GetSessionRequest>,
    ) -> Result<Response<idp::GetSessionResponse>, Status> {
        Ok(Response::new(idp::GetSessionResponse::default()))
    }

    async fn list_sessions(
        &self,
        _: Request<idp::ListSessionsRequest>,
    ) -> Result<Response<idp::ListSessionsResponse>, Status> {
        Ok(Response::new(idp::ListSessionsResponse::default()))
    }
}

/// What one round saw.
struct Measured {
    calls_per_second: f64,
    p50: Duration,
    p99: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("hub");
    let request = init::Request {
        data: data.clone(),
        organization: "bench".into(),
        address: "localhost:0".into(),
        database: None,
    };
    let made = init::init(request, &SystemClock, &SystemEntropy).await?;
    // The default rate would be what is measured.
    let mut yaml = std::fs::OpenOptions::new()
        .append(true)
        .open(DataDirectory::at(&data).config())?;
    writeln!(yaml, "limits: {{requests_per_second: 0}}")?;
    let mut options = server::Options::new(DataDirectory::at(&data));
    options.listen = Some("127.0.0.1:0".into());
    let hub = server::start(options).await?;
    let bare = start_bare(&DataDirectory::at(&data)).await?;

    let session = make_session(&connect(&made, hub.port).await?, &made.organization_id).await?;
    let durable = durable_clients(&made, hub.port).await?;
    let no_op = bare_clients(&made.ca, bare).await?;
    println!("{STREAMS} streams over {CONNECTIONS} TLS connections, rounds of {ROUND:?}");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let baseline = measure(&no_op, &session).await?;
        let ours = measure(&durable, &session).await?;
        let ratio = ours.calls_per_second / baseline.calls_per_second;
        ratios.push(ratio);
        print_round(round, "bare no-op", &baseline);
        print_round(round, "durable ReportSessionProgress", &ours);
        println!("round {round}: ratio {ratio:.2}");
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio of {ROUNDS} rounds: {:.2}", ratios[ROUNDS / 2]);
    hub.stop().await;
    Ok(())
}

fn print_round(round: usize, what: &str, measured: &Measured) {
    println!(
        "round {round}: {what:30} {:8.0} calls/s, p50 {:?}, p99 {:?}",
        measured.calls_per_second, measured.p50, measured.p99
    );
}

/// A warm-up, then one round with as many streams as [`STREAMS`].
async fn measure<C: Calls>(clients: &[C], session_id: &str) -> anyhow::Result<Measured> {
    run_streams(clients, session_id, WARM_UP).await?;
    let before = Instant::now();
    let mut latencies = run_streams(clients, session_id, ROUND).await?;
    let seconds = before.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Ok(Measured {
        calls_per_second: latencies.len() as f64 / seconds,
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// Each stream calls again as soon as it was answered; the time of every call comes back.
async fn run_streams<C: Calls>(
    clients: &[C],
    session_id: &str,
    length: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + length;
    let mut streams = Vec::new();
    for stream in 0..STREAMS {
        let mut client = clients[stream % clients.len()].clone();
        let session_id = session_id.to_owned();
        streams.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut done = 0;
            while Instant::now() < end {
                done += 1;
                let before = Instant::now();
                client.report(progress(&session_id, done)).await?;
                latencies.push(before.elapsed());
            }
            Ok::<_, Status>(latencies)
        }));
    }
    let mut all = Vec::new();
    for stream in streams {
        all.extend(stream.await??);
    }
    Ok(all)
}

/// Both clients differ only in the channel below them.
trait Calls: Clone + Send + 'static {
    fn report(
        &mut self,
        request: idp::ReportSessionProgressRequest,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}

impl Calls for SynchronizationSessionServiceClient<AuthorizedChannel> {
    async fn report(&mut self, request: idp::ReportSessionProgressRequest) -> Result<(), Status> {
        self.report_session_progress(request).await.map(drop)
    }
}

impl Calls for SynchronizationSessionServiceClient<Channel> {
    async fn report(&mut self, request: idp::ReportSessionProgressRequest) -> Result<(), Status> {
        self.report_session_progress(request).await.map(drop)
    }
}

fn progress(session_id: &str, done: i64) -> idp::ReportSessionProgressRequest {
    let change = |kind: idp::ChangeType| idp::ChangeInfo {
        change_type: kind.into(),
        successful: done,
        failed: 0,
    };
    let entry = |kind: idp::RelatedObjectType| idp::ProgressEntry {
        object_type: kind.into(),
        change_info: vec![
            change(idp::ChangeType::Create),
            change(idp::ChangeType::Update),
        ],
    };
    idp::ReportSessionProgressRequest {
        session_id: session_id.to_owned(),
        progress_entries: vec![
            entry(idp::RelatedObjectType::User),
            entry(idp::RelatedObjectType::Group),
        ],
    }
}

async fn connect(made: &Made, port: u16) -> anyhow::Result<Client> {
    let options = ClientOptions::new(format!("localhost:{port}"))
        .with_ca(&made.ca)
        .with_credentials(Credentials::Key(ServiceAccountKey::read(&made.key)?));
    Ok(Client::connect(options).await?)
}

async fn durable_clients(
    made: &Made,
    port: u16,
) -> anyhow::Result<Vec<SynchronizationSessionServiceClient<AuthorizedChannel>>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(
            connect(made, port)
                .await?
                .channel()
                .synchronization_sessions(),
        );
    }
    Ok(clients)
}

/// Makes a pool and opens a session for it.
async fn make_session(client: &Client, organization_id: &str) -> anyhow::Result<String> {
    let channel = client.channel();
    let pool = idp::CreateUserpoolRequest {
        organization_id: organization_id.to_owned(),
        name: "bench".into(),
        default_subdomain: "bench".into(),
        ..idp::CreateUserpoolRequest::default()
    };
    let pool: idp::Userpool =
        operation_response(channel.userpools().create(pool).await?.into_inner())?;
    let open = idp::OpenSessionRequest {
        subject_container_id: pool.id,
        agent_id: "bench".into(),
        session_type: idp::SessionType::AdSync.into(),
    };
    let opened = channel
        .synchronization_sessions()
        .open_session(open)
        .await?
        .into_inner();
    let metadata: idp::OpenSessionMetadata = operation_metadata(&opened)?;
    Ok(metadata.session_id)
}

async fn start_bare(data: &DataDirectory) -> anyhow::Result<u16> {
    let identity = Identity::from_pem(
        std::fs::read(data.server_certificate())?,
        std::fs::read(data.server_key())?,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))?
        .add_service(SynchronizationSessionServiceServer::new(Bare))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    Ok(port)
}

async fn bare_clients(
    ca: &Path,
    port: u16,
) -> anyhow::Result<Vec<SynchronizationSessionServiceClient<Channel>>> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read(ca)?));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let channel = Endpoint::from_shared(format!("https://localhost:{port}"))?
            .tls_config(tls.clone())?
            .tcp_nodelay(true)
            .connect()
            .await
            .context("cannot reach the bare server")?;
        clients.push(SynchronizationSessionServiceClient::new(channel));
    }
    Ok(clients)
}
