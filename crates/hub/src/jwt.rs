//! The signed JWT by which a service account asks for a token.
//!
//! Invariant: only PS256 is accepted; issuer, key, audience and a validity of at most an hour are
//! all checked, against a time that comes in as a parameter. Deliberately absent: looking up keys,
//! and the token that is handed out.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rollcall_kit::timestamp::{Span, Timestamp};
use serde::Deserialize;

use crate::limits;

/// Why a JWT was refused. The text may be shown to the caller: it names no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JwtError {
    /// Not three base64url parts with a JSON header.
    #[error("this is no JWT: send the signed form `header.claims.signature`")]
    Malformed,
    /// Another algorithm than PS256.
    #[error("the JWT must be signed with PS256")]
    Algorithm,
    /// The header names no key, or something that cannot be the id of one.
    #[error("the JWT header must name the key in `kid`")]
    NoKeyId,
    /// The signature does not fit the key, or key and account do not belong together.
    #[error("the JWT is not signed by a valid key of this service account")]
    NotAuthentic,
    /// `aud` is none of the accepted ones.
    #[error("the JWT audience must be one of: {0}")]
    Audience(String),
    /// `exp` has passed.
    #[error("the JWT has expired: sign a new one, and check the clock")]
    Expired,
    /// `iat` lies in the future.
    #[error("the JWT is issued in the future: check the clock")]
    NotYetValid,
    /// `exp` minus `iat` is out of range.
    #[error(
        "the JWT must be valid for at most {} seconds",
        limits::JWT_SECONDS_MAX
    )]
    TooLong,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// NumericDate may have a fraction (RFC 7519 section 2), and some clients send one.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: f64,
    exp: f64,
}

/// The key id a JWT names, before anything is proven.
///
/// # Errors
/// When the text is no JWT, is signed otherwise than by PS256, or names no possible key.
pub fn key_id(jwt: &str) -> Result<String, JwtError> {
    let header = jsonwebtoken::decode_header(jwt).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::Json(_) => JwtError::Algorithm,
        _ => JwtError::Malformed,
    })?;
    if header.alg != Algorithm::PS256 {
        return Err(JwtError::Algorithm);
    }
    header
        .kid
        .filter(|id| is_key_id(id))
        .ok_or(JwtError::NoKeyId)
}

/// Whether `id` can be looked up: a header is not checked by the contract.
fn is_key_id(id: &str) -> bool {
    id.chars().count() <= limits::JWT_KEY_ID_CHARACTERS_MAX && !id.contains(char::is_control)
}

/// Checks a JWT that names a key of the service account `issuer` with the PEM `public_key`.
///
/// # Errors
/// Whatever of [`JwtError`] is wrong first.
pub fn check(
    jwt: &str,
    public_key: &str,
    issuer: &str,
    audiences: &[String],
    now: Timestamp,
) -> Result<(), JwtError> {
    let key =
        DecodingKey::from_rsa_pem(public_key.as_bytes()).map_err(|_| JwtError::NotAuthentic)?;
    let mut validation = Validation::new(Algorithm::PS256);
    // Times and audience are checked below, with our own clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Claims>(jwt, &key, &validation)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => JwtError::Malformed,
            jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => JwtError::Algorithm,
            _ => JwtError::NotAuthentic,
        })?
        .claims;
    if claims.iss != issuer {
        return Err(JwtError::NotAuthentic);
    }
    let audience = match &claims.aud {
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Many(many) => many.as_slice(),
    };
    if !audience.iter().any(|one| audiences.contains(one)) {
        return Err(JwtError::Audience(audiences.join(", ")));
    }
    check_times(&claims, now)
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), JwtError> {
    // A float to integer cast saturates and turns NaN into 0, both of which fail below.
    let issued = Timestamp::from_seconds(claims.iat.floor() as i64);
    let expires = Timestamp::from_seconds(claims.exp.floor() as i64);
    let skew = Span::seconds(limits::CLOCK_SKEW_SECONDS_MAX);
    let length = expires.since(issued);
    if length <= Span::ZERO || length > Span::seconds(limits::JWT_SECONDS_MAX) {
        return Err(JwtError::TooLong);
    }
    if issued > now.plus(skew) {
        return Err(JwtError::NotYetValid);
    }
    if expires < now.minus(skew) {
        return Err(JwtError::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_account_key::{self, KeyPairPem};
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};
    use std::sync::LazyLock;

    const NOW: i64 = 1_800_000_000;
    static PAIR: LazyLock<KeyPairPem> = LazyLock::new(|| service_account_key::generate().unwrap());

    fn sign(algorithm: Algorithm, claims: &Value) -> String {
        sign_as(algorithm, "aje-key", claims)
    }

    fn sign_as(algorithm: Algorithm, key_id: &str, claims: &Value) -> String {
        let mut header = Header::new(algorithm);
        header.kid = Some(key_id.into());
        let key = EncodingKey::from_rsa_pem(PAIR.private_key.expose().as_bytes()).unwrap();
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "aje-account", "aud": "https://a", "iat": NOW, "exp": NOW + 3600})
    }

    #[track_caller]
    fn verdict(jwt: &str) -> Result<(), JwtError> {
        let audiences = ["https://a".to_owned(), "https://b".to_owned()];
        check(
            jwt,
            &PAIR.public_key,
            "aje-account",
            &audiences,
            Timestamp::from_seconds(NOW),
        )
    }

    #[track_caller]
    fn refused(change: Value, error: JwtError) {
        let mut claims = claims();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        assert_eq!(verdict(&sign(Algorithm::PS256, &claims)), Err(error));
    }

    #[test]
    fn a_right_jwt_passes() {
        let jwt = sign(Algorithm::PS256, &claims());
        assert_eq!(key_id(&jwt).unwrap(), "aje-key");
        verdict(&jwt).unwrap();
        let mut many = claims();
        many["aud"] = json!(["https://x", "https://b"]);
        many["iat"] = json!(NOW as f64 + 0.5);
        verdict(&sign(Algorithm::PS256, &many)).unwrap();
    }

    #[test]
    fn key_ids_that_cannot_be_are_no_key_ids() {
        let named = |id: &str| key_id(&sign_as(Algorithm::PS256, id, &claims()));
        assert_eq!(named("aje\0key"), Err(JwtError::NoKeyId));
        assert_eq!(named("aje\n"), Err(JwtError::NoKeyId));
        assert_eq!(named(&"a".repeat(65)), Err(JwtError::NoKeyId));
        assert_eq!(named(&"a".repeat(64)), Ok("a".repeat(64)));
    }

    #[test]
    fn wrong_claims_are_refused() {
        refused(json!({"iss": "aje-other"}), JwtError::NotAuthentic);
        let audiences = JwtError::Audience("https://a, https://b".into());
        refused(json!({"aud": "https://c"}), audiences);
        refused(json!({"exp": NOW + 3601}), JwtError::TooLong);
        refused(json!({"exp": NOW - 1}), JwtError::TooLong);
        refused(
            json!({"iat": NOW + 61, "exp": NOW + 100}),
            JwtError::NotYetValid,
        );
        refused(
            json!({"iat": NOW - 3000, "exp": NOW - 61}),
            JwtError::Expired,
        );
        refused(json!({"exp": 1e300}), JwtError::TooLong);
    }

    #[test]
    fn other_algorithms_and_keys_are_refused() {
        let jwt = sign(Algorithm::RS256, &claims());
        assert_eq!(key_id(&jwt), Err(JwtError::Algorithm));
        assert_eq!(verdict(&jwt), Err(JwtError::Algorithm));
        // {"alg":"none","kid":"k"} . {} .
        let none = "eyJhbGciOiJub25lIiwia2lkIjoiayJ9.e30.";
        assert_eq!(key_id(none), Err(JwtError::Algorithm));
        assert_eq!(key_id("hello"), Err(JwtError::Malformed));
        let mut jwt = sign(Algorithm::PS256, &claims());
        jwt.pop();
        assert_eq!(verdict(&jwt), Err(JwtError::NotAuthentic));
        let other = service_account_key::generate().unwrap();
        let jwt = sign(Algorithm::PS256, &claims());
        let now = Timestamp::from_seconds(NOW);
        assert_eq!(
            check(&jwt, &other.public_key, "aje-account", &[], now),
            Err(JwtError::NotAuthentic)
        );
    }
}
