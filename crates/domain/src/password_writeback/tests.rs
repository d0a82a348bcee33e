use super::*;
use crate::named::Named as _;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn pending(kind: PasswordKind) -> PasswordWriteback {
    PasswordWriteback {
        operation_id: "ops1".into(),
        userpool_id: "ek01".into(),
        user_id: "aje1".into(),
        external_user_id: "guid".into(),
        offset: 1,
        cause: WritebackCause::OwnChange,
        secrets: WritebackSecrets {
            sealed_new: SecretBytes::new(vec![1]),
            sealed_old: None,
            argon2: SecretString::new("phc".into()),
        },
        kind,
        is_generated: false,
        replaces: Some("old".into()),
        kept: None,
        created_at: at(100),
        deadline: at(160),
        delivered_at: None,
    }
}

fn stored(id: &str, kind: PasswordKind) -> Password {
    let argon2 = SecretString::new("x".into());
    Password::set_here(id.into(), "aje1".into(), argon2, kind, at(1))
}

#[test]
fn one_change_at_a_time() {
    let waiting = pending(PasswordKind::Permanent);
    assert_eq!(require_none_pending(None, at(100)), Ok(()));
    let refused = require_none_pending(Some(&waiting), at(159)).unwrap_err();
    assert!(matches!(refused, Refusal::Aborted { .. }));
    assert!(refused.to_string().contains("ops1"));
    assert_eq!(require_none_pending(Some(&waiting), at(160)), Ok(()));
}

#[track_caller]
fn check_answer(found: Option<FoundWriteback>, pool: &str, now: i64, expected: &str) {
    let judged = judge_answer(found, &"ops1".into(), &pool.into(), &[7], at(now));
    let told = match &judged {
        Ok(Answered::Ends(_)) => "ends",
        Ok(Answered::Repeated) => "repeated",
        Err(Refusal::NotFound { .. }) => "not found",
        Err(Refusal::Precondition { reason, .. }) => reason,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(told, expected);
}

#[test]
fn answers_are_taken_once_and_in_time() {
    let waiting = || {
        let pending = pending(PasswordKind::Permanent);
        Some(FoundWriteback::Pending(Box::new(pending)))
    };
    let ended = |digest: Option<Vec<u8>>| {
        Some(FoundWriteback::Ended {
            userpool_id: "ek01".into(),
            answer_digest: digest,
        })
    };
    check_answer(waiting(), "ek01", 159, "ends");
    check_answer(waiting(), "ek01", 160, "WRITEBACK_LATE");
    check_answer(waiting(), "ek02", 159, "not found");
    check_answer(None, "ek01", 159, "not found");
    check_answer(ended(Some(vec![7])), "ek01", 999, "repeated");
    check_answer(ended(Some(vec![8])), "ek01", 159, "WRITEBACK_ENDED");
    check_answer(ended(None), "ek01", 159, "WRITEBACK_ENDED");
    check_answer(ended(Some(vec![7])), "ek02", 159, "not found");
}

#[test]
fn an_answer_is_about_its_change() {
    let waiting = pending(PasswordKind::Permanent);
    assert_eq!(waiting.check_answer("guid", true), Ok(()));
    let field = |user: &str, same: bool| match waiting.check_answer(user, same) {
        Err(Refusal::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field("other", true), "external_user_id");
    assert_eq!(field("guid", false), "password");
}

#[track_caller]
fn check_settled(
    kind: PasswordKind,
    present: Option<Password>,
    same: Option<&str>,
    arrival: Arrival,
    expected: &str,
) {
    let waiting = pending(kind);
    let same = same.map(PasswordId::from);
    let found = waiting.arrival(present.as_ref(), same.as_ref());
    assert_eq!(found, arrival);
    let told = match waiting.settle(present.as_ref(), found, "new".into(), at(150)) {
        Settled::Replaced(password) => {
            assert_eq!(password.id.as_str(), "new");
            assert_eq!(password.created_at, Some(Timestamp::from_micros(1_000_001)));
            assert_eq!(password.stored_at, at(150));
            assert_eq!(password.kind, kind);
            assert_eq!(password.expires_at, waiting.expires_at());
            "replaced"
        }
        Settled::OfKind(password) => {
            assert_eq!(Some(&password.id), present.as_ref().map(|it| &it.id));
            assert_eq!(password.kind, kind);
            "of kind"
        }
        Settled::Unchanged => "unchanged",
    };
    assert_eq!(told, expected);
}

#[test]
fn the_newest_password_of_the_directory_stays() {
    use Arrival::{Awaited, Came, Overtaken};
    use PasswordKind::{Permanent, Temporary};
    let present = |id: &str, kind| Some(stored(id, kind));
    check_settled(
        Permanent,
        present("old", Permanent),
        None,
        Awaited,
        "replaced",
    );
    check_settled(
        Temporary,
        present("old", Permanent),
        None,
        Awaited,
        "replaced",
    );
    check_settled(
        Permanent,
        present("echo", Permanent),
        Some("echo"),
        Came,
        "unchanged",
    );
    check_settled(
        Permanent,
        present("echo", Temporary),
        Some("echo"),
        Came,
        "of kind",
    );
    check_settled(
        Permanent,
        present("other", Permanent),
        None,
        Overtaken,
        "unchanged",
    );
    check_settled(
        Permanent,
        present("other", Permanent),
        Some("echo"),
        Overtaken,
        "unchanged",
    );
    check_settled(Permanent, None, None, Overtaken, "unchanged");
}

#[track_caller]
fn check_date(present: Option<Password>, expected: i64) {
    let waiting = PasswordWriteback {
        created_at: at(1_000),
        ..pending(PasswordKind::Permanent)
    };
    match waiting.settle(present.as_ref(), Arrival::Awaited, "new".into(), at(1_050)) {
        Settled::Replaced(password) => {
            let expected = Timestamp::from_micros(expected);
            assert_eq!(password.created_at, Some(expected));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_whose_clock_is_behind_can_still_set_a_newer_one() {
    let set_at = |seconds| {
        Some(Password {
            created_at: Some(at(seconds)),
            ..stored("old", PasswordKind::Permanent)
        })
    };
    check_date(None, 700_000_000);
    check_date(set_at(1), 700_000_000);
    check_date(set_at(699), 700_000_000);
    // What was there before stays older, also with a clock that is ahead.
    check_date(set_at(700), 700_000_001);
    check_date(set_at(800), 800_000_001);
    check_date(set_at(1_200), 1_200_000_001);
    let undated = Password {
        created_at: None,
        ..stored("old", PasswordKind::Permanent)
    };
    check_date(Some(undated), 700_000_000);
}

#[test]
fn a_user_without_a_password_gets_one() {
    let waiting = PasswordWriteback {
        replaces: None,
        ..pending(PasswordKind::Permanent)
    };
    assert_eq!(waiting.arrival(None, None), Arrival::Awaited);
}

#[test]
fn only_temporary_passwords_end() {
    assert_eq!(pending(PasswordKind::Permanent).expires_at(), None);
    let ends_at = pending(PasswordKind::Temporary).expires_at();
    assert_eq!(ends_at, Some(at(100).plus(TEMPORARY_LIFETIME)));
}

#[test]
fn nobody_took_it_or_nobody_answered() {
    let mut waiting = pending(PasswordKind::Permanent);
    assert_eq!(waiting.late().reason_name(), "NO_AGENT");
    waiting.delivered_at = Some(at(101));
    assert_eq!(waiting.late().reason_name(), "NO_ANSWER");
    assert_eq!(waiting.late().code, WritebackErrorCode::DeadlineExceeded);
}

#[test]
fn an_agent_names_the_reason_before_the_words_of_the_directory() {
    let code = WritebackErrorCode::PasswordPolicyViolation;
    let named = WritebackFailure::reported(code, "PASSWORD_TOO_SHORT: 0000052D: too short");
    assert_eq!(named.reason, Some(DirectoryReason::PasswordTooShort));
    assert_eq!(named.raw, "0000052D: too short");
    for message in ["", "0000052D: too short", "PASSWORD_TOO_LONG: x"] {
        let plain = WritebackFailure::reported(code, message);
        assert_eq!((plain.reason, plain.raw.as_str()), (None, message));
        assert_eq!(plain.reason_name(), "PASSWORD_POLICY_VIOLATION");
    }
}

#[test]
fn each_reason_has_its_own_text() {
    let mut texts: Vec<_> = DirectoryReason::ALL
        .iter()
        .map(|reason| WritebackFailure {
            code: WritebackErrorCode::UnknownError,
            reason: Some(*reason),
            raw: String::new(),
        })
        .map(|failure| failure.in_words())
        .collect();
    texts.sort_unstable();
    let count = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), count);
}
