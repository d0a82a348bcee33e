use super::*;

const PASSWORD: &str = "Correct horse 7";

fn parse(scheme: ForeignScheme, text: &str) -> Option<ForeignHash> {
    ForeignHash::parse(scheme, &SecretString::new(text.into()))
}

#[track_caller]
fn check(scheme: ForeignScheme, text: &str, password: &str) {
    let hash = parse(scheme, text.trim()).expect("a hash");
    let verify = |password: &str| hash.verify(&SecretBytes::new(password.as_bytes().to_vec()));
    assert!(verify(password), "{text}");
    for wrong in ["", "correct horse 7", "Correct horse 77", "Password"] {
        assert!(!verify(wrong), "{wrong:?} {text}");
    }
}

#[test]
fn hashes_of_real_servers() {
    use ForeignScheme::{Pbkdf2Sha256, Pbkdf2Sha256Openldap, Pbkdf2Sha512};
    for (scheme, text) in [
        (
            Pbkdf2Sha256,
            include_str!("../../tests/vectors/389_pbkdf2_sha256.txt"),
        ),
        (
            Pbkdf2Sha256Openldap,
            include_str!("../../tests/vectors/389_pbkdf2-sha256.txt"),
        ),
        (
            Pbkdf2Sha512,
            include_str!("../../tests/vectors/389_pbkdf2-sha512.txt"),
        ),
        (
            Pbkdf2Sha256Openldap,
            include_str!("../../tests/vectors/openldap_pbkdf2_sha256.txt"),
        ),
        (
            Pbkdf2Sha512,
            include_str!("../../tests/vectors/openldap_pbkdf2_sha512.txt"),
        ),
    ] {
        check(scheme, text, PASSWORD);
    }
}

#[test]
fn hashes_of_apache_directory_server() {
    let text = include_str!("../../tests/vectors/pkcs5s2.txt");
    check(ForeignScheme::Pkcs5s2, text, PASSWORD);
    // Published in the documentation of passlib, for a product with the same form.
    let published = "{PKCS5S2}DQIXJU038u4P7FdsuFTY/+35bm41kfjZa57UrdxHp2Mu3qF2uy+ooD+jF5t1tb8J";
    check(ForeignScheme::Pkcs5s2, published, "password");
}

#[test]
fn damaged_texts_are_no_hashes() {
    use ForeignScheme as S;
    let legacy = include_str!("../../tests/vectors/389_pbkdf2_sha256.txt").trim();
    let cut = &legacy[..legacy.len() - 4];
    let key = "aGFzaGhhc2hoYXNoaGFzaA";
    for (scheme, text) in [
        (S::Pbkdf2Sha256, cut),
        (S::Pbkdf2Sha256, "{PBKDF2_SHA256}????"),
        (S::Pbkdf2Sha256, "no scheme"),
        (S::Pbkdf2Sha256Openldap, "{PBKDF2-SHA256}"),
        (S::Pbkdf2Sha256Openldap, "{PBKDF2-SHA256}10$c2FsdA"),
        (S::Pbkdf2Sha256Openldap, "{PBKDF2-SHA256}10$c2FsdA$aGFzaA"),
        (
            S::Pbkdf2Sha256Openldap,
            &format!("{{PBKDF2-SHA256}}0$c2FsdA${key}"),
        ),
        (
            S::Pbkdf2Sha256Openldap,
            &format!("{{PBKDF2-SHA256}}-1$c2FsdA${key}"),
        ),
        (
            S::Pbkdf2Sha256Openldap,
            &format!("{{PBKDF2-SHA256}}1$c2FsdA${key}$x"),
        ),
        (
            S::Pbkdf2Sha512,
            &format!("{{PBKDF2-SHA512}}4000001$c2FsdA${key}"),
        ),
        (S::Pkcs5s2, "{PKCS5S2}AAAA"),
    ] {
        assert!(parse(scheme, text).is_none(), "{text}");
    }
    let most = format!("{{PBKDF2-SHA512}}4000000$c2FsdA${key}");
    assert!(parse(S::Pbkdf2Sha512, &most).is_some());
}
