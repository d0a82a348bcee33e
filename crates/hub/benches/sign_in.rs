//! Times of a sign-in beside the bare argon2 crate, and the rate of strengthening beside it.
//!
//! Both run in this process with the same parameters, and the rounds alternate, so a neighbour on the
//! machine hurts both. Only ratios mean anything. Run with `cargo xtask bench sign-in` or `cargo
//! xtask bench strengthening`.

#![allow(clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use rollcall_client::{Client, ClientOptions, Credentials, ServiceAccountKey, operation_response};
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init::{self, Made};
use rollcall_hub::server::{self, RunningHub};
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;
use rollcall_proto::idp::create_user_request::Credentials as NewPassword;
use rollcall_proto::{idp, signin};
use rollcall_store::Tx;
use tokio::sync::Semaphore;

const CALLERS: [usize; 3] = [1, 8, 32];
const ROUND: Duration = Duration::from_secs(5);
/// Imported hashes of a round of strengthening.
const HASHES: usize = 400;
/// Longest wait for them.
const LOOKS_MAX: usize = 12_000;
const LOOK_PAUSE: Duration = Duration::from_millis(10);
const PASSWORD: &str = "Correct horse 7";
const LOGIN: &str = "ann@bench.idp.rollcall.internal";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Cargo adds flags of its own.
    let word = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |name: &str| word.as_deref().is_none_or(|word| name.contains(word));
    let folder = tempfile::tempdir()?;
    let data = DataDirectory::at(&folder.path().join("hub"));
    let request = init::Request {
        data: data.path().to_owned(),
        organization: "bench".into(),
        address: "localhost:0".into(),
        database: None,
    };
    let made = init::init(request, &SystemClock, &SystemEntropy).await?;
    let mut yaml = std::fs::OpenOptions::new()
        .append(true)
        .open(data.config())?;
    // The default rates would be what is measured.
    writeln!(
        yaml,
        "limits: {{requests_per_second: 0, anonymous_requests_per_second: 0}}"
    )?;
    let mut options = server::Options::new(data);
    options.listen = Some("127.0.0.1:0".into());
    let hub = server::start(options).await?;
    let client = connect(&made, hub.port).await?;
    let pool = make_pool(&client, &made.organization_id).await?;
    if wanted("sign-in") {
        sign_in(&client, &pool).await?;
    }
    if wanted("strengthening") {
        strengthening(&hub, &client, &pool).await?;
    }
    hub.stop().await;
    Ok(())
}

async fn sign_in(client: &Client, pool: &str) -> anyhow::Result<()> {
    let spec = idp::PasswordSpec {
        password: PASSWORD.into(),
        ..Default::default()
    };
    create(client, pool, LOGIN, NewPassword::PasswordSpec(spec)).await?;
    let workers = std::thread::available_parallelism()?.get();
    for callers in CALLERS {
        let bare = measure(callers, || bare_hash(workers)).await?;
        let ours = measure(callers, || {
            let client = client.clone();
            move || {
                let client = client.clone();
                async move { sign_in_once(&client).await }
            }
        })
        .await?;
        println!(
            "{callers:2} callers: bare argon2 p50 {:?} p99 {:?}; sign-in p50 {:?} p99 {:?}, \
             {:.0}/s; ratio of p99 {:.2}",
            bare.p50,
            bare.p99,
            ours.p50,
            ours.p99,
            ours.per_second,
            ours.p99.as_secs_f64() / bare.p99.as_secs_f64()
        );
    }
    Ok(())
}

async fn sign_in_once(client: &Client) -> anyhow::Result<()> {
    let request = signin::SignInRequest {
        username: LOGIN.into(),
        password: PASSWORD.into(),
    };
    let answer = client.sign_ins().sign_in(request).await?.into_inner();
    answer.result.context("an answer without tokens").map(drop)
}

/// A bare hash on one of as many workers as the hub has.
fn bare_hash(
    workers: usize,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>
+ Clone
+ Send
+ 'static {
    let workers = Arc::new(Semaphore::new(workers));
    move || {
        let workers = Arc::clone(&workers);
        Box::pin(async move {
            let worker = workers.acquire_owned().await?;
            tokio::task::spawn_blocking(move || {
                let _worker = worker;
                hash()
            })
            .await?
        })
    }
}

fn hash() -> anyhow::Result<()> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|error| anyhow::anyhow!("{error}"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16])
        .map_err(|error| anyhow::anyhow!("{error}"))
        .map(drop)
}

/// What one round saw.
struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// Each caller asks again as soon as it was answered.
async fn measure<W, F>(callers: usize, make: impl FnOnce() -> W) -> anyhow::Result<Measured>
where
    W: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let work = make();
    let before = Instant::now();
    let end = before + ROUND;
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let before = Instant::now();
                    work().await?;
                    latencies.push(before.elapsed());
                }
                Ok::<_, anyhow::Error>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Ok(Measured {
        per_second: latencies.len() as f64 / before.elapsed().as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// Hashes a second that the job strengthens, beside the bare crate on as many workers.
async fn strengthening(hub: &RunningHub, client: &Client, pool: &str) -> anyhow::Result<()> {
    let workers = hub.hub.hashing.background_workers();
    for number in 0..HASHES {
        let hash = idp::PasswordHash {
            password_hash: format!("{number:032x}"),
            password_hash_type: idp::password_hash::PasswordHashType::AdMd4.into(),
            created_at: None,
        };
        let login = format!("user{number}@bench.idp.rollcall.internal");
        create(client, pool, &login, NewPassword::PasswordHash(hash)).await?;
    }
    // Making users takes time of the same cores: what is left now is counted.
    let sealed = count_sealed(hub).await?;
    let before = Instant::now();
    let mut looks = 0;
    while count_sealed(hub).await? > 0 {
        looks += 1;
        anyhow::ensure!(looks < LOOKS_MAX, "the hashes are not strengthened in time");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    let ours = sealed as f64 / before.elapsed().as_secs_f64();
    let before = Instant::now();
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            std::thread::spawn(move || (worker..HASHES).step_by(workers).try_for_each(|_| hash()))
        })
        .collect();
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    let bare = HASHES as f64 / before.elapsed().as_secs_f64();
    println!(
        "{sealed} hashes with {workers} background workers: strengthened {ours:.1}/s, bare argon2 \
         {bare:.1}/s, ratio {:.2}",
        ours / bare
    );
    Ok(())
}

async fn count_sealed(hub: &RunningHub) -> anyhow::Result<u64> {
    let count = hub
        .hub
        .store
        .read(async |tx: &Tx| tx.count_sealed_passwords().await)
        .await;
    Ok(count.map_err(|error: rollcall_store::Error| error)?)
}

async fn connect(made: &Made, port: u16) -> anyhow::Result<Client> {
    let options = ClientOptions::new(format!("localhost:{port}"))
        .with_ca(&made.ca)
        .with_credentials(Credentials::Key(ServiceAccountKey::read(&made.key)?));
    Ok(Client::connect(options).await?)
}

async fn make_pool(client: &Client, organization_id: &str) -> anyhow::Result<String> {
    let pool = idp::CreateUserpoolRequest {
        organization_id: organization_id.to_owned(),
        name: "bench".into(),
        default_subdomain: "bench".into(),
        ..Default::default()
    };
    let pool: idp::Userpool =
        operation_response(client.userpools().create(pool).await?.into_inner())?;
    Ok(pool.id)
}

async fn create(
    client: &Client,
    pool: &str,
    login: &str,
    password: NewPassword,
) -> anyhow::Result<()> {
    let request = idp::CreateUserRequest {
        userpool_id: pool.to_owned(),
        username: login.to_owned(),
        full_name: login.to_owned(),
        credentials: Some(password),
        ..Default::default()
    };
    let _: idp::User = operation_response(client.users().create(request).await?.into_inner())?;
    Ok(())
}
