//! Who may open a session, when, and in which mode.

use super::*;

fn summary(outcome: &OpenOutcome) -> String {
    let end = |ended: &Option<SyncSession>| {
        ended.as_ref().map_or(String::new(), |session| {
            format!(", {} {}", session.id, session.status)
        })
    };
    match outcome {
        OpenOutcome::Success { session, ended } => format!("{}{}", session.sync_mode, end(ended)),
        OpenOutcome::OpenedSessionExists { session } => format!("exists {}", session.id),
        OpenOutcome::TooEarly {
            next_session_at,
            ended,
        } => {
            format!(
                "too early until {}{}",
                next_session_at.since(at(0)).as_seconds(),
                end(ended)
            )
        }
    }
}

#[track_caller]
fn check_open(request: OpenRequest, facts: OpenFacts, now: i64, expected: &str) {
    let outcome = open(request, facts, Lease::default(), at(now)).unwrap();
    assert_eq!(summary(&outcome), expected);
}

#[test]
fn an_open_session_belongs_to_one_agent() {
    let opened = || OpenFacts {
        opened: Some(session()),
        ..facts()
    };
    check_open(request("sys2", "b"), opened(), 59, "exists sys1");
    check_open(request("sys2", "a"), opened(), 59, "DELTA, sys1 FAILED");
    check_open(request("sys2", "b"), opened(), 60, "DELTA, sys1 EXPIRED");
    let stranger = OpenRequest {
        caller: "aje2".into(),
        ..request("sys2", "a")
    };
    check_open(stranger, opened(), 59, "exists sys1");
}

#[test]
fn a_taken_over_session_says_so() {
    let facts = OpenFacts {
        opened: Some(session()),
        ..facts()
    };
    let outcome = open(request("sys2", "a"), facts, Lease::default(), at(5)).unwrap();
    let OpenOutcome::Success {
        session,
        ended: Some(ended),
    } = outcome
    else {
        panic!("a take-over is expected")
    };
    assert_eq!(
        (ended.fail_reason.as_str(), ended.closed_at),
        ("superseded", Some(at(5)))
    );
    assert_eq!((session.created_at, session.expires_at), (at(5), at(65)));
    assert_eq!(session.progress, Progress::default());
}

#[test]
fn the_interval_counts_from_start_to_start() {
    for status in [SessionStatus::Completed, SessionStatus::Pending] {
        let facts = || OpenFacts {
            last_successful: Some(ended(status)),
            ..facts()
        };
        check_open(request("sys2", "a"), facts(), 899, "too early until 900");
        check_open(request("sys2", "b"), facts(), 899, "too early until 900");
        check_open(request("sys2", "a"), facts(), 900, "DELTA");
        let forced = OpenRequest {
            brake: Brake::Off,
            ..request("sys2", "a")
        };
        check_open(forced, facts(), 20, "DELTA");
        let fast = OpenRequest {
            session_type: SessionType::AdPasswordHash,
            ..request("sys2", "a")
        };
        check_open(fast, facts(), 20, "DELTA");
        let main = OpenRequest {
            session_type: SessionType::LdapSync,
            ..request("sys2", "a")
        };
        check_open(main, facts(), 20, "too early until 900");
        let demanded = OpenFacts {
            full_run_demanded_at: Some(at(15)),
            ..facts()
        };
        check_open(request("sys2", "a"), demanded, 20, "FULL_SYNC");
    }
}

#[test]
fn a_failure_brakes_only_its_agent_and_only_for_a_minute() {
    let failed = || OpenFacts {
        last_failed: Some(ended(SessionStatus::Failed)),
        ..facts()
    };
    check_open(request("sys2", "a"), failed(), 69, "too early until 70");
    check_open(request("sys2", "a"), failed(), 70, "DELTA");
    check_open(request("sys2", "b"), failed(), 11, "DELTA");
    let expired = || OpenFacts {
        last_failed: Some(ended(SessionStatus::Expired)),
        ..facts()
    };
    check_open(request("sys2", "a"), expired(), 119, "too early until 120");
    check_open(request("sys2", "b"), expired(), 61, "DELTA");
    // The lease ended just now, and nobody has stored that yet.
    let lapsed = || OpenFacts {
        opened: Some(session()),
        ..facts()
    };
    check_open(
        request("sys2", "a"),
        lapsed(),
        119,
        "too early until 120, sys1 EXPIRED",
    );
    check_open(request("sys2", "a"), lapsed(), 120, "DELTA, sys1 EXPIRED");
}

#[test]
fn a_failure_soon_after_a_success_does_not_wait_for_the_interval() {
    // The success began at 0, so its interval ends at 900; the failure came right after it.
    let since = |status| {
        let start = |session: SyncSession| SyncSession {
            created_at: at(20),
            ..session
        };
        OpenFacts {
            last_successful: Some(ended(SessionStatus::Completed)),
            last_failed: Some(start(ended(status))),
            ..facts()
        }
    };
    let lapsed = || OpenFacts {
        last_successful: Some(SyncSession {
            created_at: at(-20),
            ..ended(SessionStatus::Completed)
        }),
        opened: Some(session()),
        ..facts()
    };
    for (agent, facts, now, expected) in [
        ("a", since(SessionStatus::Failed), 69, "too early until 70"),
        ("a", since(SessionStatus::Failed), 70, "DELTA"),
        ("b", since(SessionStatus::Failed), 20, "DELTA"),
        (
            "a",
            since(SessionStatus::Expired),
            119,
            "too early until 120",
        ),
        ("a", since(SessionStatus::Expired), 120, "DELTA"),
        ("b", since(SessionStatus::Expired), 60, "DELTA"),
        ("a", lapsed(), 119, "too early until 120, sys1 EXPIRED"),
        ("a", lapsed(), 120, "DELTA, sys1 EXPIRED"),
        ("b", lapsed(), 60, "DELTA, sys1 EXPIRED"),
    ] {
        check_open(request("sys2", agent), facts, now, expected);
    }
    // An interval shorter than a minute is the brake itself.
    let short = OpenFacts {
        interval: Span::seconds(30),
        ..since(SessionStatus::Failed)
    };
    check_open(request("sys2", "a"), short, 39, "too early until 40");
}

#[test]
fn an_old_failure_does_not_brake_after_a_success() {
    let success = SyncSession {
        created_at: at(2_000),
        ..ended(SessionStatus::Completed)
    };
    let failure = SyncSession {
        closed_at: Some(at(2_890)),
        ..ended(SessionStatus::Failed)
    };
    let facts = OpenFacts {
        last_successful: Some(success),
        last_failed: Some(failure),
        ..facts()
    };
    check_open(request("sys2", "a"), facts, 2_900, "DELTA");
}

#[test]
fn without_a_token_everything_is_read() {
    check_open(
        request("sys1", "a"),
        OpenFacts {
            has_token: false,
            ..facts()
        },
        0,
        "FULL_SYNC",
    );
    let demanded = OpenFacts {
        full_run_demanded_at: Some(at(-5)),
        ..facts()
    };
    check_open(request("sys1", "a"), demanded, 0, "FULL_SYNC");
}

#[test]
fn agents_must_have_a_name() {
    for name in [String::new(), "x".repeat(51)] {
        assert!(open(request("sys1", &name), facts(), Lease::default(), at(0)).is_err());
    }
}
