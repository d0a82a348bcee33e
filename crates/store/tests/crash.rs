//! A process killed in the middle of its work: every call it was answered is in the file.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::{Error, Store};

/// Names the database for the child process.
const DATABASE: &str = "ROLLCALL_STORE_TEST_DATABASE";
const CHILD: &str = "writes_until_it_is_killed";
const TASKS: u64 = 16;
/// Answered calls after which the parent kills the child.
const ANSWERS_BEFORE_THE_END: usize = 500;
/// Calls of each task when nobody kills it.
const CALLS_PER_TASK: u64 = 20_000;
const CALLS_PER_TASK_ALONE: u64 = 10;

fn token(number: u64) -> IamToken {
    let now = Timestamp::from_seconds(1);
    IamToken::issue(
        format!("aje{number}").into(),
        number.to_be_bytes().to_vec(),
        Subject::service_account("aje1"),
        now,
    )
}

async fn write_many(path: &Path, calls_per_task: u64) {
    let store = Store::open_sqlite(path).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for call in 0..calls_per_task {
                let number = call * TASKS + task;
                let written: Result<(), Error> = store
                    .write(async move |tx| tx.insert_iam_token(&token(number)).await)
                    .await;
                written.unwrap();
                // Written past the test harness, which would keep it to itself.
                let mut out = std::io::stdout().lock();
                writeln!(out, "\nanswered {number}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

async fn count_missing(path: &Path, answered: Vec<u64>) -> usize {
    let store = Store::open_sqlite(path).await.unwrap();
    store
        .read(async move |tx| {
            let mut missing = 0;
            for number in &answered {
                let found = tx.find_iam_token(&number.to_be_bytes()).await?;
                missing += usize::from(found != Some(token(*number)));
            }
            Ok::<_, Error>(missing)
        })
        .await
        .unwrap()
}

/// The child of the test below; alone it writes a little and checks that.
#[tokio::test(flavor = "multi_thread")]
async fn writes_until_it_is_killed() {
    if let Some(path) = std::env::var_os(DATABASE) {
        write_many(Path::new(&path), CALLS_PER_TASK).await;
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.db");
    write_many(&path, CALLS_PER_TASK_ALONE).await;
    let numbers = (0..TASKS * CALLS_PER_TASK_ALONE).collect();
    assert_eq!(count_missing(&path, numbers).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([CHILD, "--exact", "--nocapture"])
        .env(DATABASE, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut answered: Vec<u64> = Vec::new();
    let mut killed = false;
    for line in output.lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("answered ").and_then(|n| n.parse().ok()) {
            answered.push(number);
        }
        if answered.len() >= ANSWERS_BEFORE_THE_END && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(
        killed && !status.success(),
        "the child was killed in mid-work: {status}"
    );
    assert_eq!(count_missing(&path, answered).await, 0);
}
