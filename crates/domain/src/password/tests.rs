use super::*;

const NOW: Timestamp = Timestamp::from_seconds(10_000);

#[track_caller]
fn check_hash(hash_type: HashType, text: &str, fits: bool) {
    let parsed = hash_type.parse_hash(&SecretString::new(text.into()));
    assert_eq!(parsed.is_ok(), fits, "{hash_type} {text}");
    let secret = text.rsplit('}').next().unwrap_or_default();
    if let Err(refusal) = parsed {
        assert!(
            secret.is_empty() || !refusal.to_string().contains(secret),
            "the hash leaks"
        );
    }
}

#[test]
fn texts_of_hashes() {
    check_hash(HashType::AdMd4, "8846F7EAEE8FB117AD06BDD830B7586C", true);
    check_hash(HashType::AdMd4, "8846f7eaee8fb117ad06bdd830b7586c", true);
    check_hash(HashType::AdMd4, "8846f7eaee8fb117ad06bdd830b7586", false);
    check_hash(HashType::AdMd4, "8846f7eaee8fb117ad06bdd830b7586cff", false);
    check_hash(HashType::AdMd4, "zz46f7eaee8fb117ad06bdd830b7586c", false);
    check_hash(HashType::AdMd4, "", false);
    check_hash(HashType::LdapPbkdf2Sha256, "{PBKDF2_SHA256}AAAIAB", true);
    check_hash(
        HashType::LdapPbkdf2Sha256,
        "{PBKDF2-SHA256}10000$a$b",
        false,
    );
    check_hash(
        HashType::LdapPbkdf2Sha256Openldap,
        "{PBKDF2-SHA256}10000$a$b",
        true,
    );
    check_hash(HashType::LdapPbkdf2Sha512, "{pbkdf2-sha512}10000$a$b", true);
    check_hash(HashType::LdapPkcs5s2, "{PKCS5S2}abc=", true);
    check_hash(HashType::LdapPkcs5s2, "{PKCS5S2}", false);
    check_hash(HashType::LdapPkcs5s2, "{PKCS5S2}a b", false);
    check_hash(
        HashType::LdapPkcs5s2,
        &format!("{{PKCS5S2}}{}", "a".repeat(504)),
        false,
    );
}

#[test]
fn an_nt_hash_is_decoded() {
    let text = SecretString::new("00ff10".repeat(5) + "ab");
    let ImportedHash::Nt(bytes) = HashType::AdMd4.parse_hash(&text).unwrap() else {
        panic!("an NT hash is expected")
    };
    assert_eq!(bytes.expose()[..3], [0x00, 0xff, 0x10]);
    assert_eq!(bytes.expose()[15], 0xab);
}

fn import_at(created_at: Option<i64>, kind: PasswordKind) -> NewImport {
    NewImport {
        id: "aje9".into(),
        user_id: "aje1".into(),
        form: StoredForm::SealedNtHash(SecretBytes::new(vec![1])),
        created_at: created_at.map(Timestamp::from_seconds),
        kind,
        session_id: Some("sys1".into()),
    }
}

fn stored_at(created_at: Option<i64>) -> Password {
    let new = NewImport {
        id: "aje5".into(),
        ..import_at(created_at, PasswordKind::Permanent)
    };
    match import(None, new, Sameness::Different, NOW) {
        ImportOutcome::Replaced(password) => password,
        other => panic!("a first import is stored, got {other:?}"),
    }
}

#[track_caller]
fn check(stored: Option<i64>, new: Option<i64>, sameness: Sameness, expected: &str) {
    let outcome = import(
        Some(&stored_at(stored)),
        import_at(new, PasswordKind::Temporary),
        sameness,
        NOW,
    );
    let found = match &outcome {
        ImportOutcome::Older => "older",
        ImportOutcome::Kept(password) => {
            assert_eq!(password.id.as_str(), "aje5");
            assert_eq!(password.kind, PasswordKind::Temporary);
            assert_eq!(password.created_at, stored.map(Timestamp::from_seconds));
            "kept"
        }
        ImportOutcome::Replaced(password) => {
            assert_eq!(password.id.as_str(), "aje9");
            assert_eq!(password.created_at, new.map(Timestamp::from_seconds));
            "replaced"
        }
    };
    assert_eq!(found, expected, "{stored:?} {new:?} {sameness:?}");
}

#[test]
fn the_newest_password_wins() {
    use Sameness::{Different, Same};
    check(Some(5), Some(4), Different, "older");
    check(Some(5), Some(4), Same, "older");
    check(Some(5), Some(5), Different, "replaced");
    check(Some(5), Some(6), Different, "replaced");
    check(Some(5), Some(6), Same, "kept");
    check(None, Some(1), Different, "replaced");
    check(Some(5), None, Different, "replaced");
    check(None, None, Same, "kept");
}

/// The clock of a directory may have been wrong, or somebody may want a hash to stay for ever.
#[test]
fn a_date_that_is_yet_to_come_does_not_last() {
    let ahead = import_at(Some(1_000_000), PasswordKind::Permanent);
    let outcome = import(None, ahead, Sameness::Different, NOW);
    let ImportOutcome::Replaced(stored) = outcome else {
        panic!("{outcome:?}")
    };
    let latest = NOW.plus(DIRECTORY_CLOCK_SKEW_MAX);
    assert_eq!(stored.created_at, Some(latest));
    let now = NOW.plus(Span::minutes(6));
    let new = import_at(Some(now.as_seconds()), PasswordKind::Permanent);
    let outcome = import(Some(&stored), new, Sameness::Different, now);
    assert!(matches!(outcome, ImportOutcome::Replaced(_)), "{outcome:?}");
    // The same hash with the same date comes again.
    let ahead = import_at(Some(1_000_000), PasswordKind::Permanent);
    let outcome = import(Some(&stored), ahead, Sameness::Same, now);
    assert_eq!(outcome, ImportOutcome::Kept(stored));
}

#[test]
fn the_end_of_a_temporary_password_goes_with_its_kind() {
    let ending = Password {
        kind: PasswordKind::Temporary,
        expires_at: Some(NOW.plus(TEMPORARY_LIFETIME)),
        ..stored_at(Some(5))
    };
    let again = |stored: &Password, kind| {
        let new = import_at(Some(6), kind);
        match import(Some(stored), new, Sameness::Same, NOW) {
            ImportOutcome::Kept(password) => password,
            other => panic!("{other:?}"),
        }
    };
    let still = again(&ending, PasswordKind::Temporary);
    assert_eq!(still.expires_at, ending.expires_at);
    let permanent = again(&ending, PasswordKind::Permanent);
    // The directory asks for another one, much later.
    let asked = again(&permanent, PasswordKind::Temporary);
    assert_eq!((permanent.expires_at, asked.expires_at), (None, None));
}

#[test]
fn what_was_written_back_gets_the_date_of_the_directory() {
    let argon2 = SecretString::new("$argon2id$".into());
    let written = Password {
        form: StoredForm::Argon2NtHash(argon2),
        session_id: None,
        ..stored_at(Some(5))
    };
    let again = |at| import_at(Some(at), PasswordKind::Permanent);
    let confirmed = Password {
        created_at: Some(Timestamp::from_seconds(7)),
        session_id: Some("sys1".into()),
        ..written.clone()
    };
    let outcome = import(Some(&written), again(7), Sameness::Same, NOW);
    assert_eq!(outcome, ImportOutcome::Kept(confirmed.clone()));
    let older = import(Some(&confirmed), again(6), Sameness::Different, NOW);
    assert_eq!(older, ImportOutcome::Older);
    // The hash of the password before may come later still, with a date that looks newer.
    let outcome = import(Some(&written), again(7), Sameness::Earlier, NOW);
    assert_eq!(outcome, ImportOutcome::Older);
    let later = NOW.plus(UNDER_WAY_MAX);
    let outcome = import(Some(&written), again(7), Sameness::Earlier, later);
    assert!(matches!(outcome, ImportOutcome::Replaced(_)));
    let outcome = import(Some(&confirmed), again(8), Sameness::Earlier, NOW);
    assert!(matches!(outcome, ImportOutcome::Replaced(_)));
    // Once is enough: another time is no change of its age (decision U58).
    let outcome = import(Some(&confirmed), again(9), Sameness::Same, NOW);
    assert_eq!(outcome, ImportOutcome::Kept(confirmed));
}

#[test]
fn a_superseded_hash_is_never_strengthened() {
    let password = stored_at(Some(5));
    let argon2 = SecretString::new("$argon2id$".into());
    assert_eq!(password.strengthened(&"aje4".into(), argon2.clone()), None);
    let strong = password
        .strengthened(&"aje5".into(), argon2.clone())
        .unwrap();
    assert!(!strong.is_sealed());
    assert_eq!(strong.strengthened(&"aje5".into(), argon2), None);
}

#[test]
fn a_kind_changes_nothing_else_but_the_end() {
    let argon2 = SecretString::new("$argon2id$".into());
    let temporary = PasswordKind::Temporary;
    let password = Password::set_here("aje5".into(), "aje1".into(), argon2, temporary, NOW);
    assert_eq!(password.of_kind(temporary), None);
    let permanent = password.of_kind(PasswordKind::Permanent).unwrap();
    let expected = Password {
        kind: PasswordKind::Permanent,
        expires_at: None,
        ..password
    };
    assert_eq!(permanent, expected);
    let again = permanent.of_kind(temporary).unwrap();
    assert_eq!((again.kind, again.expires_at), (temporary, None));
}

#[test]
fn only_temporary_passwords_set_here_end() {
    let argon2 = SecretString::new("$argon2id$".into());
    let set = |kind| {
        Password::set_here("aje5".into(), "aje1".into(), argon2.clone(), kind, NOW).expires_at
    };
    assert_eq!(set(PasswordKind::Temporary), Some(NOW.plus(Span::days(7))));
    assert_eq!(set(PasswordKind::Permanent), None);
}
