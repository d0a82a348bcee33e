use super::*;
use crate::password_policy::{BlacklistPolicy, Complexity, FixedComplexity, QualityPolicy};
use crate::userpool::UserpoolInput;
use proptest::prelude::*;
use rollcall_kit::timestamp::Timestamp;

const OWNER: Owner<'static> = Owner {
    login: "anna.smith@corp.example",
    names: ["Anna-Maria Smith", "Anna-Maria", "Smith"],
};

/// A pool whose rule of classes lets everything through.
fn pool(change: impl FnOnce(&mut QualityPolicy, &mut BlacklistPolicy)) -> Userpool {
    let mut quality = QualityPolicy {
        complexity: Complexity::Fixed(FixedComplexity::default()),
        ..QualityPolicy::default()
    };
    let mut blacklist = BlacklistPolicy::default();
    change(&mut quality, &mut blacklist);
    let input = UserpoolInput {
        name: "staff".into(),
        quality_policy: Some(quality),
        blacklist_policy: Some(blacklist),
        ..UserpoolInput::default()
    };
    let made = Userpool::create(
        input,
        "staff",
        "idp.example",
        "org1".into(),
        "pool1".into(),
        Timestamp::EPOCH,
    );
    made.unwrap().userpool
}

#[track_caller]
fn check_one(pool: &Userpool, password: &str, old: Option<&str>, rule: Option<&str>) {
    let result = check(pool, OWNER, "password_spec.password", password, old);
    match (result, rule) {
        (Ok(()), None) => {}
        (Err(Refusal::Invalid { field, why }), Some(rule)) => {
            assert_eq!(field, "password_spec.password");
            assert!(why.contains(rule), "{password}: {why}");
            assert!(!why.contains(password), "{why}");
        }
        (result, _) => panic!("{password} after {old:?}: {result:?}, expected {rule:?}"),
    }
}

#[test]
fn weak_sequences_that_make_up_half_are_refused() {
    let pool = pool(|_, blacklist| blacklist.check_common = false);
    let rule = Some("easy to guess");
    for weak in [
        "qwertyuiop",
        "Qwerty!9",
        "abcdX9!k",
        "dcbaX9!k",
        "x12345y.",
        "x98765y.",
        "Anna!1",
        "smith-77",
        "htims-77",
        "anna.smith1",
        "Maria+12",
        "1qaz2wsx!G7r",
        "йцукен",
        "!@#$%^kG",
    ] {
        check_one(&pool, weak, None, rule);
    }
    for fine in [
        // Three of a row, or less than half.
        "abcX9!",
        "qwerty-Horse-77",
        "Smith is not my dog",
        "k9!Tr#aNna0pQ.2",
        "correct horse",
    ] {
        check_one(&pool, fine, None, None);
    }
}

#[test]
fn a_match_length_of_zero_compares_nothing() {
    let lax = pool(|quality, blacklist| {
        quality.match_length = 0;
        blacklist.check_common = false;
    });
    check_one(&lax, "qwertyuiop", None, None);
    let strict = pool(|quality, blacklist| {
        quality.match_length = 3;
        blacklist.check_common = false;
    });
    check_one(&strict, "abcX9!", None, Some("easy to guess"));
    let long = pool(|quality, _| quality.match_length = 1_000);
    check_one(&long, "asdfghjkl;'#", None, None);
}

#[test]
fn common_passwords_are_refused_while_the_pool_says_so() {
    let strict = pool(|quality, _| quality.match_length = 0);
    for common in ["dragon", "Dragon", "trustno1"] {
        check_one(&strict, common, None, Some("everybody tries first"));
    }
    let lax = pool(|quality, blacklist| {
        quality.match_length = 0;
        blacklist.check_common = false;
    });
    check_one(&lax, "dragon", None, None);
}

#[test]
fn a_password_must_not_be_like_the_present_one() {
    let strict = pool(|_, _| {});
    let rule = Some("too much like");
    let old = Some("Brown-Fox-1");
    for alike in [
        "brown-fox-1",
        "Brown-Fox-2",
        "Brown-Fox-123",
        "Brown-Fat-9",
        "my Brown-Fox-1 is grey",
        "BROWN",
    ] {
        check_one(&strict, alike, old, rule);
    }
    for other in ["Grey-Wolf-1", "white wolves run"] {
        check_one(&strict, other, old, None);
    }
    // One letter is in many passwords.
    check_one(&strict, "Grey-Wolf-1", Some("w"), None);
    let lax = pool(|quality, _| quality.allow_similar = true);
    check_one(&lax, "brown-fox-1", old, None);
}

#[test]
fn length_and_classes_come_first() {
    let strict = pool(|quality, _| quality.complexity = QualityPolicy::default().complexity);
    check_one(&strict, "qwertyuiop", None, Some("classes"));
}

fn naive_edits(a: &[char], b: &[char]) -> usize {
    match (a.split_first(), b.split_first()) {
        (None, _) => b.len(),
        (_, None) => a.len(),
        (Some((x, a_rest)), Some((y, b_rest))) if x == y => naive_edits(a_rest, b_rest),
        (Some((_, a_rest)), Some((_, b_rest))) => {
            let least = naive_edits(a_rest, b_rest)
                .min(naive_edits(a, b_rest))
                .min(naive_edits(a_rest, b));
            1 + least
        }
    }
}

proptest! {
    #[test]
    fn edits_are_the_fewest(a in "[abc]{0,6}", b in "[abc]{0,6}") {
        let (a, b) = (fold(&a), fold(&b));
        prop_assert_eq!(edits(&a, &b), naive_edits(&a, &b));
        prop_assert_eq!(edits(&a, &b), edits(&b, &a));
    }

    #[test]
    fn the_longest_run_is_in_both(a in "[abc]{0,12}", b in "[abc]{0,12}") {
        let (x, y) = (fold(&a), fold(&b));
        let run = longest_shared_run(&x, &y);
        let shares = |length: usize| {
            length == 0 || x.windows(length).any(|part| y.windows(length).any(|other| part == other))
        };
        prop_assert!(shares(run));
        prop_assert!(!shares(run + 1));
    }

    #[test]
    fn nothing_panics_and_no_refusal_shows_a_password(new in "\\PC{4,40}", old in "\\PC{0,40}") {
        let strict = pool(|quality, _| quality.match_length = 1);
        if let Err(refusal) = check(&strict, OWNER, "f", &new, Some(&old)) {
            let said = refusal.to_string();
            prop_assert!(new.chars().all(|c| c == ' ' || c.is_ascii()) || !said.contains(&new));
        }
        prop_assert!(check(&strict, OWNER, "f", &new, Some(&new)).is_err());
    }
}
