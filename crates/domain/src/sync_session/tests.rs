mod history;
mod opening;

use super::*;
use crate::named::Named;
use crate::progress::{ChangeInfo, ChangeType, Counts, ObjectType};

const INTERVAL: Span = Span::minutes(15);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000).plus(Span::seconds(seconds))
}

fn request(id: &str, agent: &str) -> OpenRequest {
    OpenRequest {
        id: id.into(),
        subject_container_id: "ek01".into(),
        session_type: SessionType::AdSync,
        agent_id: agent.into(),
        caller: "aje1".into(),
        brake: Brake::On,
    }
}

fn facts() -> OpenFacts {
    OpenFacts {
        has_token: true,
        interval: INTERVAL,
        ..Default::default()
    }
}

/// A session opened at second 0 by agent `a`.
fn session() -> SyncSession {
    match open(request("sys1", "a"), facts(), Lease::default(), at(0)) {
        Ok(OpenOutcome::Success {
            session,
            ended: None,
        }) => session,
        other => panic!("a session is expected, got {other:?}"),
    }
}

fn close(session: &SyncSession, verdict: &Verdict, work: HubWork, now: i64) -> SyncSession {
    session
        .close(&"aje1".into(), CloseRight::Own, verdict, work, at(now))
        .unwrap()
        .session
}

fn failed() -> Verdict {
    Verdict::Failed {
        reason: "no route".into(),
    }
}

/// A session of agent `a` that was opened at 0 and ended in `status` at 10.
fn ended(status: SessionStatus) -> SyncSession {
    match status {
        SessionStatus::Opened => session(),
        SessionStatus::Pending => close(&session(), &Verdict::Successful, HubWork::Left, 10),
        SessionStatus::Completed => close(&session(), &Verdict::Successful, HubWork::Done, 10),
        SessionStatus::Failed => close(&session(), &failed(), HubWork::Done, 10),
        SessionStatus::Expired => session().expire(at(60)).unwrap(),
    }
}

#[test]
fn only_a_demand_from_before_the_session_is_fulfilled() {
    let full = SyncSession {
        sync_mode: SyncMode::FullSync,
        ..session()
    };
    let done = close(&full, &Verdict::Successful, HubWork::Left, 10);
    assert!(done.fulfils_full_run(at(-1)) && done.fulfils_full_run(at(0)));
    assert!(
        !done.fulfils_full_run(at(1)),
        "the demand came while the session ran"
    );
    assert!(!close(&full, &failed(), HubWork::Done, 10).fulfils_full_run(at(-1)));
    assert!(
        !ended(SessionStatus::Completed).fulfils_full_run(at(-1)),
        "it was a delta run"
    );
}

fn report(successful: i64) -> Vec<ProgressEntry> {
    vec![ProgressEntry {
        object_type: ObjectType::User,
        changes: vec![ChangeInfo {
            change_type: ChangeType::Create,
            counts: Counts {
                successful,
                failed: 0,
            },
        }],
    }]
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(result: Result<T, Refusal>, reason: &str) {
    match result {
        Err(Refusal::Precondition { reason: found, .. }) => assert_eq!(found, reason),
        Err(Refusal::Denied { .. }) => assert_eq!("denied", reason),
        other => panic!("expected a refusal with {reason}, got {other:?}"),
    }
}

#[test]
fn a_sign_of_life_extends_the_lease_and_never_shortens_it() {
    let me: SubjectId = "aje1".into();
    let session = session();
    let renewed = session.heartbeat(&me, Lease::default(), at(30)).unwrap();
    assert_eq!(
        renewed,
        SyncSession {
            expires_at: at(90),
            ..session.clone()
        }
    );
    let short = Lease::from_seconds(10).unwrap();
    assert_eq!(
        renewed.heartbeat(&me, short, at(31)).unwrap().expires_at,
        at(90)
    );
    let reported = session
        .report_progress(&me, &report(3), Lease::default(), at(30))
        .unwrap();
    assert_eq!(reported.expires_at, at(90));
    let again = reported
        .report_progress(&me, &report(2), Lease::default(), at(31))
        .unwrap();
    assert_eq!(
        again.progress, reported.progress,
        "a late report changes no number"
    );
    check_refused(
        session.heartbeat(&"aje2".into(), Lease::default(), at(1)),
        "denied",
    );
    check_refused(
        session.report_progress(&"aje2".into(), &report(1), Lease::default(), at(1)),
        "denied",
    );
}

#[test]
fn a_session_that_ended_takes_nothing_more() {
    let me: SubjectId = "aje1".into();
    for status in SessionStatus::ALL {
        let session = ended(*status);
        let now = at(20);
        let beat = session.heartbeat(&me, Lease::default(), now);
        let reported = session.report_progress(&me, &report(1), Lease::default(), now);
        match status {
            SessionStatus::Opened => assert!(beat.is_ok() && reported.is_ok()),
            SessionStatus::Pending => {
                assert!(beat.is_ok());
                check_refused(reported, REASON_NOT_OPEN);
            }
            _ => {
                check_refused(beat, REASON_NOT_OPEN);
                check_refused(reported, REASON_NOT_OPEN);
            }
        }
    }
    check_refused(
        session().heartbeat(&me, Lease::default(), at(60)),
        REASON_NOT_OPEN,
    );
}

#[test]
fn closing_twice_is_the_same_as_once() {
    for (status, successful, unsuccessful) in [
        (
            SessionStatus::Opened,
            Some(Change::Made),
            Some(Change::Made),
        ),
        (SessionStatus::Pending, Some(Change::None), None),
        (SessionStatus::Completed, Some(Change::None), None),
        (SessionStatus::Failed, None, Some(Change::None)),
        (SessionStatus::Expired, None, None),
    ] {
        for (verdict, expected) in [(Verdict::Successful, successful), (failed(), unsuccessful)] {
            let before = ended(status);
            let closed = before.close(
                &"aje1".into(),
                CloseRight::Own,
                &verdict,
                HubWork::Done,
                at(20),
            );
            match expected {
                None => check_refused(closed, REASON_ENDED_OTHERWISE),
                Some(change) => {
                    let closed = closed.unwrap();
                    assert_eq!(closed.change, change, "{status} {verdict:?}");
                    assert_eq!(closed.session == before, change == Change::None);
                }
            }
        }
    }
}

#[test]
fn closing_releases_the_lease_and_keeps_the_reason() {
    let done = close(&session(), &failed(), HubWork::Left, 10);
    assert_eq!(
        (done.status, done.fail_reason.as_str()),
        (SessionStatus::Failed, "no route")
    );
    assert_eq!(done.closed_at, Some(at(10)));
    let long = Verdict::Failed {
        reason: "x".repeat(257),
    };
    let me: SubjectId = "aje1".into();
    assert!(
        session()
            .close(&me, CloseRight::Own, &long, HubWork::Done, at(1))
            .is_err()
    );
}

#[test]
fn a_stranger_closes_a_session_only_with_the_right_to() {
    let other: SubjectId = "aje2".into();
    let session = session();
    check_refused(
        session.close(&other, CloseRight::Own, &failed(), HubWork::Done, at(1)),
        "denied",
    );
    assert!(
        session
            .close(&other, CloseRight::Any, &failed(), HubWork::Done, at(1))
            .is_ok()
    );
}

#[test]
fn only_a_pending_session_is_ended_by_the_hub() {
    for status in SessionStatus::ALL {
        let session = ended(*status);
        let pending = *status == SessionStatus::Pending;
        let completed = session.complete_pending().map(|session| session.status);
        assert_eq!(completed, pending.then_some(SessionStatus::Completed));
        let failed = session
            .fail_pending("lost key")
            .map(|session| session.status);
        assert_eq!(failed, pending.then_some(SessionStatus::Failed));
    }
    assert_eq!(
        ended(SessionStatus::Pending).expire(at(1_000_000)),
        None,
        "it has no lease"
    );
}

#[test]
fn a_greatest_length_ends_a_session_that_is_alive() {
    let me: SubjectId = "aje1".into();
    let lease = Lease::default().with_session_max(Some(Span::seconds(100)));
    let session = session();
    let early = session.heartbeat(&me, lease, at(30)).unwrap();
    assert_eq!((early.expires_at, early.fail_reason.as_str()), (at(90), ""));
    let late = early.heartbeat(&me, lease, at(80)).unwrap();
    assert_eq!(late.expires_at, at(100));
    assert!(late.heartbeat(&me, lease, at(99)).is_ok());
    check_refused(late.heartbeat(&me, lease, at(100)), REASON_NOT_OPEN);
    let expired = late.expire(at(100)).unwrap();
    assert_eq!(expired.fail_reason, TOO_LONG);
    let closed = close(&late, &Verdict::Successful, HubWork::Done, 90);
    assert_eq!(closed.fail_reason, "");
}

#[test]
fn leases_have_bounds() {
    assert_eq!(Lease::default().span(), Span::seconds(60));
    for (seconds, fits) in [
        (9, false),
        (10, true),
        (600, true),
        (601, false),
        (-1, false),
    ] {
        assert_eq!(Lease::from_seconds(seconds).is_ok(), fits, "{seconds}");
    }
}

#[test]
fn the_fence_lets_only_a_living_session_of_the_pool_pass() {
    let (named, pool): (SessionId, UserpoolId) = ("sys1".into(), "ek01".into());
    let opener = session().opened_by;
    check_refused(
        check_fence(&named, Some(&session()), &pool, &"aje99".into(), at(1)),
        REASON_NOT_OPEN,
    );
    assert!(check_fence(&named, Some(&session()), &pool, &opener, at(59)).is_ok());
    check_refused(
        check_fence(&named, Some(&session()), &pool, &opener, at(60)),
        REASON_NOT_OPEN,
    );
    check_refused(
        check_fence(&named, Some(&session()), &"ek02".into(), &opener, at(1)),
        REASON_NOT_OPEN,
    );
    check_refused(
        check_fence(&named, None, &pool, &opener, at(1)),
        REASON_NOT_OPEN,
    );
    for status in [
        SessionStatus::Pending,
        SessionStatus::Completed,
        SessionStatus::Failed,
    ] {
        let session = ended(status);
        check_refused(
            check_fence(&named, Some(&session), &pool, &opener, at(20)),
            REASON_NOT_OPEN,
        );
    }
}
