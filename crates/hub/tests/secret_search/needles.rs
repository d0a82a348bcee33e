//! Secrets in every form in which they could lie about, and the search for them.
//!
//! Invariant: half of a secret is enough to be found, so neither a cut text nor a half overwritten
//! buffer hides it. Deliberately absent: where to look.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rollcall_hub::password_hash::nt_hash;
use rollcall_kit::entropy::{Entropy as _, SystemEntropy};
use rollcall_kit::secret::SecretString;

/// Random characters on each side of the middle of a password.
const HALF_CHARACTERS: usize = 12;
/// Makes a password of all classes of characters; the same in all, so no part of what is searched.
const MIDDLE: &str = "Aq~7";
/// Shorter parts would be found where no secret is.
const PART_BYTES_MIN: usize = 8;
/// What is shown before and after a find.
const AROUND_BYTES: usize = 64;
const PAGE_BYTES: usize = 4_096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKMNPQRSTVWXYZabcdeghkmp";

/// What kind of secret it is: what may be left of it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A password or the hash of one that another directory takes.
    Password,
    /// A password in a header, where none belongs: a connection knows its headers until it ends.
    Misplaced,
    /// A token or a key.
    Token,
}

/// A form of a part of a secret.
#[derive(Debug)]
struct Pattern {
    secret: usize,
    form: String,
    bytes: Vec<u8>,
}

/// A secret that lies where it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name of the secret.
    pub secret: String,
    pub kind: Kind,
    /// Which part in which form.
    pub form: String,
    pub place: String,
    pub offset: usize,
    /// The bytes there, with what lies before and after.
    pub around: String,
}

/// Everything that must not be found.
#[derive(Debug, Default)]
pub struct Needles {
    secrets: Vec<(String, Kind)>,
    patterns: Vec<Pattern>,
    /// Patterns by their first two bytes.
    starts: HashMap<[u8; 2], Vec<usize>>,
}

impl Needles {
    /// Makes a password that was never anywhere before.
    pub fn new_password(&mut self, name: &str) -> String {
        self.new_secret(name, Kind::Password)
    }

    /// Makes a password of this kind.
    pub fn new_secret(&mut self, name: &str, kind: Kind) -> String {
        let half = || -> String {
            let mut random = [0; HALF_CHARACTERS];
            SystemEntropy.fill(&mut random);
            let letters = random.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
            letters.iter().collect()
        };
        let (first, second) = (half(), half());
        let secret = self.add(&format!("password {name}"), kind);
        self.add_text(secret, "first half", &first);
        self.add_text(secret, "second half", &second);
        let password = format!("{first}{MIDDLE}{second}");
        let hash = nt_hash(&SecretString::new(password.clone()));
        self.add_hash(name, hash.expose());
        password
    }

    /// Searches for an NT hash.
    pub fn add_hash(&mut self, name: &str, hash: &[u8]) {
        let secret = self.add(&format!("NT hash of {name}"), Kind::Password);
        let (first, second) = hash.split_at(hash.len() / 2);
        self.add_bytes(secret, "first half", first);
        self.add_bytes(secret, "second half", second);
    }

    /// Searches for a text that somebody else made.
    pub fn add_secret(&mut self, name: &str, kind: Kind, text: &str) {
        let secret = self.add(name, kind);
        let (first, second) = text.split_at(text.len() / 2);
        self.add_text(secret, "first half", first);
        self.add_text(secret, "second half", second);
    }

    /// How many secrets there are.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    fn add(&mut self, name: &str, kind: Kind) -> usize {
        self.secrets.push((name.to_owned(), kind));
        self.secrets.len() - 1
    }

    fn add_text(&mut self, secret: usize, part: &str, text: &str) {
        self.add_bytes(secret, &format!("{part}, UTF-8"), text.as_bytes());
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.add_bytes(secret, &format!("{part}, UTF-16LE"), &wide);
    }

    fn add_bytes(&mut self, secret: usize, part: &str, bytes: &[u8]) {
        assert!(bytes.len() >= PART_BYTES_MIN, "{part} is too short");
        for (form, bytes) in forms(bytes) {
            let form = format!("{part} {form}");
            let first = [bytes[0], bytes[1]];
            self.starts
                .entry(first)
                .or_default()
                .push(self.patterns.len());
            self.patterns.push(Pattern {
                secret,
                form,
                bytes,
            });
        }
    }

    /// Searches all of `hay`, which is at `place`.
    pub fn search(&self, place: &str, hay: &[u8]) -> Vec<Found> {
        let mut is_start = vec![false; 1 << 16];
        for first in self.starts.keys() {
            is_start[usize::from(u16::from_le_bytes(*first))] = true;
        }
        let mut found = Vec::new();
        // Most of a memory is empty.
        let pages = hay.chunks(PAGE_BYTES).enumerate();
        for (number, _) in pages.filter(|(_, page)| *page != &ZEROS[..page.len()]) {
            let from = number * PAGE_BYTES;
            let end = hay.len().min(from + PAGE_BYTES + 1);
            for (at, pair) in hay[from..end].windows(2).enumerate() {
                let first = [pair[0], pair[1]];
                if is_start[usize::from(u16::from_le_bytes(first))] {
                    self.compare(place, hay, from + at, first, &mut found);
                }
            }
        }
        found
    }

    fn compare(
        &self,
        place: &str,
        hay: &[u8],
        offset: usize,
        first: [u8; 2],
        found: &mut Vec<Found>,
    ) {
        for number in &self.starts[&first] {
            let pattern = &self.patterns[*number];
            if hay[offset..].starts_with(&pattern.bytes) {
                let (secret, kind) = self.secrets[pattern.secret].clone();
                found.push(Found {
                    secret,
                    kind,
                    form: pattern.form.clone(),
                    place: place.to_owned(),
                    offset,
                    around: around(hay, offset, pattern.bytes.len()),
                });
            }
        }
    }
}

fn around(hay: &[u8], offset: usize, length: usize) -> String {
    let from = offset.saturating_sub(AROUND_BYTES);
    let to = hay.len().min(offset + length + AROUND_BYTES);
    hay[from..to].escape_ascii().to_string()
}

/// The forms in which bytes are written, each once.
fn forms(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![
        ("as it is".to_owned(), bytes.to_vec()),
        ("in hex".to_owned(), hex::encode(bytes).into_bytes()),
        ("in HEX".to_owned(), hex::encode_upper(bytes).into_bytes()),
        ("escaped".to_owned(), bytes.escape_ascii().collect()),
        ("as a list of numbers".to_owned(), numbers(bytes)),
    ];
    // Within a longer text a part begins at any of three places of a group of four characters.
    for shift in 0..3 {
        let shifted = [&[0; 2][..shift], bytes].concat();
        // The characters at both ends depend on the neighbours.
        let (skipped, left) = (shift * 8_usize, (shifted.len() * 8) / 6);
        let from = skipped.div_ceil(6);
        for (name, text) in [
            ("Base64", STANDARD_NO_PAD.encode(&shifted)),
            ("base64url", URL_SAFE_NO_PAD.encode(&shifted)),
        ] {
            let inner = text.as_bytes()[from..left].to_vec();
            forms.push((format!("in {name}, shifted by {shift}"), inner));
        }
    }
    let mut seen = Vec::new();
    forms.retain(|(_, form)| {
        let is_new = !seen.contains(form);
        seen.push(form.clone());
        is_new
    });
    forms
}

fn numbers(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte}, ").unwrap();
    }
    // The first number may end a longer one, and nothing follows the last.
    let text = text.trim_end_matches(", ");
    text.split_once(", ").unwrap().1.as_bytes().to_vec()
}

#[test]
fn a_secret_is_found_in_every_form() {
    use base64::engine::general_purpose::STANDARD;
    let mut needles = Needles::default();
    let password = needles.new_password("x");
    let hash = nt_hash(&SecretString::new(password.clone()));
    let hash = hash.expose();
    let wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut planted: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, bytes) in [
        ("password", password.as_bytes()),
        ("wide password", wide.as_slice()),
        ("hash", hash),
    ] {
        planted.push((name.into(), bytes.to_vec()));
        planted.push((format!("{name}, hex"), hex::encode(bytes).into()));
        planted.push((format!("{name}, HEX"), hex::encode_upper(bytes).into()));
        planted.push((format!("{name}, listed"), format!("{bytes:?}").into()));
        let escaped = bytes.escape_ascii().collect();
        planted.push((format!("{name}, escaped"), escaped));
        for before in ["", "x", "xy", "xyz"] {
            let text = [before.as_bytes(), bytes, b"!"].concat();
            let standard = STANDARD.encode(&text).into_bytes();
            planted.push((format!("{name}, Base64 after {before:?}"), standard));
            let url = URL_SAFE_NO_PAD.encode(&text).into_bytes();
            planted.push((format!("{name}, base64url after {before:?}"), url));
        }
        let half = bytes.len() / 2;
        planted.push((format!("{name}, begun"), bytes[..half].to_vec()));
        planted.push((format!("{name}, ended"), bytes[half..].to_vec()));
    }
    for (name, bytes) in planted {
        let hay = [b"before ", bytes.as_slice(), b" after"].concat();
        assert!(!needles.search("there", &hay).is_empty(), "{name}");
    }
    let mut others = Needles::default();
    let other = others.new_password("y");
    assert_eq!(needles.search("elsewhere", other.as_bytes()), []);
}
