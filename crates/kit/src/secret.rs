//! Text and bytes that must not leak: wiped on drop, silent in logs, compared in constant time.
//!
//! Invariant: neither `Debug` nor any error shows the content. Deliberately absent: `Display`,
//! `Clone` of the bytes without a name for it, and serialisation.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: a password, a token, a PEM key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretString(String);

/// Secret bytes: a key, a password hash.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretString {
    /// Takes over `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The content; name a good reason where it is used.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SecretBytes {
    /// Takes over `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The content; name a good reason where it is used.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes of the stack that [`with_wiped_stack`] wipes: several times what a hash function needs.
const STACK_BYTES: usize = 16 * 1_024;
/// Bytes of the stack that [`with_wiped_deep_stack`] wipes: what reading a nested text needs.
const DEEP_STACK_BYTES: usize = 128 * 1_024;

/// Does `work` and wipes the part of the stack that it used: the state of a hash function holds a part
/// of what is hashed, is moved about there, and would stay until something else is put over it.
#[inline(never)]
pub fn with_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = deeper(work);
    wipe_deeper::<STACK_BYTES>();
    result
}

/// As [`with_wiped_stack`], for work that calls itself: a few microseconds more.
#[inline(never)]
pub fn with_wiped_deep_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = deeper(work);
    wipe_deeper::<DEEP_STACK_BYTES>();
    result
}

#[inline(never)]
fn deeper<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe_deeper<const BYTES: usize>() {
    std::hint::black_box(&mut [0_u8; BYTES]);
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for SecretString {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SecretString {}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let text = SecretString::new("hunter2".into());
        let bytes = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{text:?} {bytes:?}"), "*** ***");
    }

    #[test]
    fn work_on_a_wiped_stack_has_a_result() {
        let text = String::from("x");
        assert_eq!(with_wiped_stack(|| [7; 64]), [7; 64]);
        assert_eq!(with_wiped_deep_stack(move || text), "x");
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(SecretString::new("a".into()), SecretString::new("a".into()));
        assert_ne!(
            SecretString::new("a".into()),
            SecretString::new("ab".into())
        );
        assert_ne!(SecretBytes::new(vec![1]), SecretBytes::new(vec![2]));
    }
}
