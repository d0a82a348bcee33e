//! A stop in the middle of storing the index; `cargo xtask bench shutdown` shows how long a stop
//! takes in each phase with a million objects.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/crowd.rs"]
mod crowd;

use std::sync::Arc;

use crowd::Crowd;
use indicatif::MultiProgress;
use rollcall_agent::activity::{Activity, Show};
use rollcall_agent::agent::{Agent, Means};
use rollcall_agent::condition::Board;
use rollcall_agent::config::Config;
use rollcall_agent::failure::Failure;
use rollcall_agent::hub::Patience;
use rollcall_agent::once::once_in;
use rollcall_agent::session::Urgency;
use rollcall_agent::stream::Stream;
use rollcall_agent::summary::Outcome;
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Enough for three batches.
const PEOPLE: u64 = 11_000;
const STORING: &str = "storing the index";

/// On one thread the batches and the one who watches them take turns, so that the stop comes
/// between the first and the last.
#[tokio::test]
async fn a_stop_while_the_index_is_stored_leaves_it_to_the_next_start() {
    let crowd = Crowd::start(PEOPLE).await.unwrap();
    crowd.fill_hub();
    let program = env!("CARGO_BIN_EXE_rollcall-agent").as_ref();
    let first = crowd.run(program).await.unwrap().summary;
    assert_eq!(first["mode"], "full", "{first:#}");
    let token = crowd.hub.forget_token();
    let stop = CancellationToken::new();
    let activity = Activity::new(Show::Log, &MultiProgress::new());
    let means = Means {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        activity: activity.clone(),
        board: Board::default(),
        stop: stop.clone(),
    };
    let config = Config::load(&crowd.config).unwrap();
    let agent = Agent::new(config, &crowd.config, means, Patience::GiveUp);
    let agent = agent.await.unwrap();

    let watched = activity.clone();
    let watching = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let now = watched.now();
            if now.what == STORING && now.done > 0 {
                stop.cancel();
                return;
            }
            tokio::task::yield_now().await;
        }
    }));
    let (summary, result) = once_in(&agent, Stream::Objects, Urgency::Now).await;
    assert!(matches!(result, Err(Failure::Stopped)), "{summary:?}");
    assert_eq!(summary.outcome, Outcome::Stopped);
    assert_eq!(crowd.hub.last_fail_reason().as_deref(), Some("stopped"));
    let left = activity.now();
    assert_eq!(left.what, STORING);
    assert!(left.done > 0 && left.done < left.total, "{left:?}");
    watching.await.unwrap();
    drop(agent);

    // The hub's token is the one the file had before: half of an index must not pass for that.
    crowd.hub.remember_token(token);
    for mode in ["full", "delta"] {
        let summary = crowd.run(program).await.unwrap().summary;
        assert_eq!(summary["mode"], mode, "{summary:#}");
        assert_eq!(summary["users"]["created"], 0, "{summary:#}");
        assert_eq!(crowd.hub.last_fail_reason(), None);
    }
}
