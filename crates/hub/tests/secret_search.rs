//! Nobody who reads disks, logs or backups finds a password, and nobody finds one in the memory of
//! the hub a minute later: the real program, everything that can be done with passwords, and a search
//! of every byte.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "secret_search/caller.rs"]
mod caller;
#[path = "secret_search/deeds.rs"]
mod deeds;
#[path = "secret_search/foreign.rs"]
mod foreign;
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

use std::time::{Duration, Instant};

use caller::Wire;
use deeds::Stage;
use needles::{Found, Kind, Needles};
use program::Program;

/// Everything, over both interfaces.
async fn play(program: &Program, needles: &mut Needles) {
    for wire in [Wire::Grpc, Wire::Rest] {
        Stage::open(program, wire, needles).await.play().await;
    }
    junk::send(program, needles).await;
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

/// Secrets of this kind in the memory of the hub.
fn search_memory(program: &Program, needles: &Needles) -> Vec<Found> {
    let image = memory::image(program.pid());
    let found = image
        .iter()
        .flat_map(|mapping| needles.search(&mapping.name, &mapping.bytes));
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_stays_in_memory() {
    let program = Program::start(None);
    let mut needles = Needles::default();
    let mut stage = Stage::open(&program, Wire::Grpc, &mut needles).await;
    stage.play().await;
    let open = stage.caller.clone();
    let mut rest = Stage::open(&program, Wire::Rest, &mut needles).await;
    rest.play().await;
    let open_rest = rest.caller.clone();
    junk::send(&program, &mut needles).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(45) {
        let found = search_memory(&program, &needles);
        let passwords = found.iter().filter(|f| f.kind == Kind::Password).count();
        println!("{:?}: {} found, {passwords} passwords", start.elapsed(), found.len());
        for f in found.iter().filter(|f| f.kind == Kind::Password) {
            println!("   {f:?}");
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    drop((open, open_rest));
}
