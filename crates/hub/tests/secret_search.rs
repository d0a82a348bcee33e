//! Nobody who reads disks, logs or backups finds a password, and nobody finds one in the memory of
//! the hub a minute later: the real program, everything that can be done with passwords, and a search
//! of every byte.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "secret_search/caller.rs"]
mod caller;
#[path = "secret_search/core_file.rs"]
mod core_file;
#[path = "secret_search/deeds.rs"]
mod deeds;
#[path = "secret_search/foreign.rs"]
mod foreign;
#[path = "secret_search/import.rs"]
mod import;
#[path = "secret_search/junk.rs"]
mod junk;
#[path = "secret_search/memory.rs"]
mod memory;
#[path = "secret_search/needles.rs"]
mod needles;
#[path = "secret_search/program.rs"]
mod program;
#[path = "support/rest_transport.rs"]
mod rest_transport;
#[path = "secret_search/writeback.rs"]
mod writeback;

use std::time::{Duration, Instant};

use caller::Wire;
use deeds::Stage;
use http::Version;
use needles::{Found, Kind, Needles};
use program::Program;
use rollcall_lab::postgres::Postgres;

/// What was processed longer ago must be gone.
const MINUTE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Everything, over both interfaces.
async fn play(program: &Program, needles: &mut Needles) {
    for wire in [Wire::Grpc, Wire::Rest] {
        Stage::open(program, wire, needles).await.play().await;
    }
    junk::send(program, &program.http(Version::HTTP_2), needles).await;
    junk::send(program, &program.http(Version::HTTP_11), needles).await;
}

fn assert_none(found: &[Found]) {
    for found in found {
        println!("{found:?}");
    }
    assert!(found.is_empty(), "{} finds", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_lies_on_any_disk() {
    let mut program = Program::start(None);
    let mut needles = Needles::default();
    play(&program, &mut needles).await;
    assert!(needles.len() > 100, "{}", needles.len());
    // What is no secret is there, so what is searched is what was written.
    let login = "eve@grpc.idp.rollcall.internal";
    for end in ["log", "audit.jsonl"] {
        assert!(!program.holds(end, "$argon2id$"), "{end}");
    }
    for end in ["hub.db", "audit.jsonl"] {
        assert!(program.holds(end, login), "{end}");
    }
    assert!(program.holds("log", "signin.v1.SignInService/SignIn"));
    assert!(program.count_bytes("hub.db-wal") > 0);
    assert_none(&program.search_disk(&needles));
    program.kill();
    assert!(program.count_bytes("hub.db-wal") > 0, "a journal is left");
    assert_none(&program.search_disk(&needles));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_lies_in_postgresql_nor_in_its_backup() {
    let server = Postgres::start().unwrap();
    let database = server.fresh_database().unwrap();
    let program = Program::start(Some(&database));
    let mut needles = Needles::default();
    play(&program, &mut needles).await;
    assert!(!program.holds("log", "$argon2id$"));
    let dump = server.dump(&database).unwrap();
    let text = String::from_utf8_lossy(&dump);
    assert!(text.contains("eve@grpc.idp.rollcall.internal"));
    assert_none(&needles.search("the backup", &dump));
    assert_none(&program::search_folder(server.directory(), &needles));
    assert_none(&program.search_disk(&needles));
}

/// What is in the memory of the hub.
fn search_memory(program: &Program, needles: &Needles) -> Vec<Found> {
    let started = Instant::now();
    let image = memory::image(program.pid());
    // The environment lies at the end of the first stack.
    let stack = image
        .iter()
        .find(|mapping| mapping.name.ends_with("[stack]"));
    let stack = stack.unwrap().bytes.escape_ascii().to_string();
    assert!(stack.contains(program::MARKER));
    let found = image
        .iter()
        .flat_map(|mapping| needles.search(&mapping.name, &mapping.bytes));
    let found = found.collect();
    let bytes: usize = image.iter().map(|mapping| mapping.bytes.len()).sum();
    println!("{} MiB searched in {:?}", bytes >> 20, started.elapsed());
    found
}

/// Waits until none of these is left, at most until a minute after they were processed.
async fn wait_wiped(program: &Program, needles: &Needles, kinds: &[Kind], processed: Instant) {
    loop {
        let mut found = search_memory(program, needles);
        let count = found.len();
        found.retain(|found| kinds.contains(&found.kind));
        if found.is_empty() || processed.elapsed() > MINUTE {
            let waited = processed.elapsed();
            println!("{waited:?}: {} of {kinds:?}, {count} in all", found.len());
            return assert_none(&found);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_stays_in_memory_for_a_minute() {
    let program = Program::start(None);
    let mut needles = Needles::default();
    let mut connections = Vec::new();
    for wire in [Wire::Grpc, Wire::Rest] {
        let mut stage = Stage::open(&program, wire, &mut needles).await;
        stage.play().await;
        connections.push(stage.caller.clone());
        // The last answer on its connection.
        let mut stage = Stage::open_again(&program, wire, &mut needles).await;
        stage.generate().await;
        connections.push(stage.caller.clone());
    }
    let clients = [Version::HTTP_2, Version::HTTP_11].map(|version| program.http(version));
    for client in &clients {
        junk::send(&program, client, &mut needles).await;
    }
    let processed = Instant::now();
    // The connections stay open and nothing more comes: then buffers keep what they hold.
    wait_wiped(&program, &needles, &[Kind::Password], processed).await;
    drop((connections, clients));
    let all = [Kind::Password, Kind::Told, Kind::Misplaced];
    wait_wiped(&program, &needles, &all, processed).await;
}

#[test]
fn the_kernel_writes_no_core_file_of_it() {
    core_file::check();
}
