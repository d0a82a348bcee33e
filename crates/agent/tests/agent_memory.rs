//! Promise P8 and AT-19: how much memory the agent's program needs at most.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

#[path = "support/crowd.rs"]
mod crowd;

use crowd::Crowd;

/// People of the run of the whole program, and what its process may need with them. Without anybody
/// it needs about 30 MB.
const PEOPLE: u64 = 5_000;
const PEAK_BYTES_MAX: u64 = 64 << 20;

/// The whole program, and that nothing is left to do after the first run.
#[tokio::test(flavor = "multi_thread")]
async fn at_19_the_program_stays_small() {
    let crowd = Crowd::start(PEOPLE).await.unwrap();
    let program = env!("CARGO_BIN_EXE_rollcall-agent").as_ref();
    for (mode, created) in [("full", PEOPLE), ("delta", 0), ("full", 0)] {
        if mode == "full" {
            crowd.hub.forget_token();
        }
        let measured = crowd.run(program).await.unwrap();
        println!(
            "{mode}: {} MB at most in {:.1} s",
            measured.peak_bytes >> 20,
            measured.seconds
        );
        let summary = &measured.summary;
        assert_eq!(summary["mode"], mode, "{summary:#}");
        assert_eq!(summary["users"]["created"], created, "{summary:#}");
        assert_eq!(
            summary["memberships"]["created"],
            created / 2,
            "{summary:#}"
        );
        assert!(
            measured.peak_bytes <= PEAK_BYTES_MAX,
            "{} bytes",
            measured.peak_bytes
        );
    }
}
