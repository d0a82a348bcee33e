//! Keytabs of MIT and Heimdal: the keys of an account in a file (format 0x0502).
//!
//! Invariant: reading never panics and every length is checked against what is there; no key is
//! shown. Deliberately absent: writing, the old format 0x0501, and keys of other kinds than AES256,
//! of which only their presence is told.

use std::fmt;
use std::path::{Path, PathBuf};

use rollcall_kit::secret::SecretBytes;

const VERSION: [u8; 2] = [5, 2];
const FILE_BYTES_MAX: u64 = 1 << 20;
const ENTRIES_MAX: usize = 10_000;
const COMPONENTS_MAX: u16 = 16;
/// aes256-cts-hmac-sha1-96, RFC 3962.
const AES256: u16 = 18;
const AES256_KEY_BYTES: usize = 32;

/// A key that signs an account in.
#[derive(Clone)]
pub struct KeytabKey {
    /// Name without the realm, such as `svc-rollcall`.
    pub principal: String,
    /// Realm, such as `CORP.EXAMPLE.COM`.
    pub realm: String,
    /// Version of the key.
    pub version: u32,
    /// The AES256 key.
    pub key: SecretBytes,
}

impl fmt::Debug for KeytabKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{} (version {}, ***)",
            self.principal, self.realm, self.version
        )
    }
}

/// One entry of a keytab.
#[derive(Clone)]
pub struct KeytabEntry {
    /// Name without the realm.
    pub principal: String,
    /// Realm.
    pub realm: String,
    /// Kind of key, RFC 3961 8.
    pub kind: u16,
    /// Version of the key.
    pub version: u32,
    key: SecretBytes,
}

/// The entries of a keytab.
#[derive(Clone)]
pub struct Keytab {
    path: PathBuf,
    entries: Vec<KeytabEntry>,
}

/// Why a keytab cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeytabProblem {
    /// It cannot be read.
    #[error("the keytab {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is no keytab.
    #[error("the keytab {} cannot be used: {why}; make a new one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// It belongs to somebody else.
    #[error(
        "the keytab {} holds no key of {principal}, only of: {found}; correct the principal or make \
         a keytab for it", path.display()
    )]
    OtherPrincipal {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        principal: String,
        /// What is there.
        found: String,
    },
    /// It holds keys of other kinds only.
    #[error(
        "the keytab {} holds no AES256 key of {principal} (etype 18, only {kinds}); allow AES256 for \
         the account, set its password once again and make the keytab with AES256", path.display()
    )]
    NoAes256 {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        principal: String,
        /// What is there.
        kinds: String,
    },
    /// The principal is not `name@REALM`.
    #[error("the principal {0:?} is not written as name@REALM")]
    InvalidPrincipal(String),
}

impl Keytab {
    /// Reads a keytab.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn open(path: &Path) -> Result<Self, KeytabProblem> {
        let unreadable = |why: String| KeytabProblem::Unreadable {
            path: path.to_owned(),
            why,
        };
        let size = std::fs::metadata(path)
            .map_err(|error| unreadable(error.to_string()))?
            .len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!(
                "it has more than {FILE_BYTES_MAX} bytes"
            )));
        }
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        // Wiped when it is no longer needed.
        let bytes = SecretBytes::new(bytes);
        let entries = parse(bytes.expose()).map_err(|why| KeytabProblem::Malformed {
            path: path.to_owned(),
            why,
        })?;
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// What is in it.
    #[must_use]
    pub fn entries(&self) -> &[KeytabEntry] {
        &self.entries
    }

    /// The newest AES256 key of `name@REALM`.
    ///
    /// # Errors
    /// When there is none, saying what there is.
    pub fn key(&self, principal: &str) -> Result<KeytabKey, KeytabProblem> {
        let (name, realm) = principal
            .rsplit_once('@')
            .filter(|(name, realm)| !name.is_empty() && !realm.is_empty())
            .ok_or_else(|| KeytabProblem::InvalidPrincipal(principal.to_owned()))?;
        // Active Directory does not distinguish upper and lower case, neither in the name.
        let ours: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.principal.eq_ignore_ascii_case(name))
            .filter(|entry| entry.realm.eq_ignore_ascii_case(realm))
            .collect();
        if ours.is_empty() {
            return Err(KeytabProblem::OtherPrincipal {
                path: self.path.clone(),
                principal: principal.to_owned(),
                found: listed(
                    self.entries
                        .iter()
                        .map(|e| format!("{}@{}", e.principal, e.realm)),
                ),
            });
        }
        let newest = ours
            .iter()
            .filter(|entry| entry.kind == AES256 && entry.key.expose().len() == AES256_KEY_BYTES)
            .max_by_key(|entry| entry.version);
        let Some(newest) = newest else {
            return Err(KeytabProblem::NoAes256 {
                path: self.path.clone(),
                principal: principal.to_owned(),
                kinds: listed(ours.iter().map(|entry| format!("etype {}", entry.kind))),
            });
        };
        Ok(KeytabKey {
            principal: newest.principal.clone(),
            realm: newest.realm.clone(),
            version: newest.version,
            key: newest.key.clone(),
        })
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: std::collections::BTreeSet<_> = names.collect();
    match names.is_empty() {
        true => "nobody".to_owned(),
        false => names.into_iter().collect::<Vec<_>>().join(", "),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<KeytabEntry>, &'static str> {
    let rest = bytes
        .strip_prefix(&VERSION)
        .ok_or("it does not begin with the version 0x0502 of a keytab")?;
    let mut reader = Bytes(rest);
    let mut entries = Vec::new();
    for _ in 0..ENTRIES_MAX {
        let Some(size) = reader.array::<4>().map(i32::from_be_bytes) else {
            return match reader.0.is_empty() {
                true => Ok(entries),
                false => Err("it is cut off"),
            };
        };
        let length = usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX);
        let record = reader.take(length).ok_or("it is cut off")?;
        match size {
            // The end in a file that was made larger than its content.
            0 => return Ok(entries),
            // A hole: an entry that was removed.
            i32::MIN..0 => {}
            _ => entries.push(entry(record).ok_or("an entry is malformed")?),
        }
    }
    Err("it has too many entries")
}

fn entry(record: &[u8]) -> Option<KeytabEntry> {
    let mut reader = Bytes(record);
    let components = reader.array().map(u16::from_be_bytes)?;
    if components == 0 || components > COMPONENTS_MAX {
        return None;
    }
    let realm = reader.text()?;
    let mut names = Vec::new();
    for _ in 0..components {
        names.push(reader.text()?);
    }
    let _name_type = reader.array::<4>()?;
    let _time = reader.array::<4>()?;
    let [short_version] = reader.array()?;
    let kind = reader.array().map(u16::from_be_bytes)?;
    let key = reader.counted()?;
    // A version above 255 follows; older writers leave it out.
    let version = match reader.array().map(u32::from_be_bytes) {
        Some(version) if version != 0 => version,
        _ => u32::from(short_version),
    };
    Some(KeytabEntry {
        principal: names.join("/"),
        realm,
        kind,
        version,
        key: SecretBytes::new(key.to_vec()),
    })
}

/// Takes from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.array().map(u16::from_be_bytes)?;
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.counted()?).ok().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(name: &[&str], kind: u16, version: u32, key: &[u8]) -> Vec<u8> {
        let counted = |bytes: &[u8]| {
            let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            out.extend(bytes);
            out
        };
        let mut out = u16::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        out.extend(counted(b"CORP.EXAMPLE.COM"));
        name.iter()
            .for_each(|part| out.extend(counted(part.as_bytes())));
        out.extend([0, 0, 0, 1]);
        out.extend([0; 4]);
        out.push(u8::try_from(version & 0xff).unwrap());
        out.extend(kind.to_be_bytes());
        out.extend(counted(key));
        out.extend(version.to_be_bytes());
        out
    }

    fn file(records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = VERSION.to_vec();
        for record in records {
            out.extend(i32::try_from(record.len()).unwrap().to_be_bytes());
            out.extend(record);
        }
        out
    }

    fn keytab(bytes: &[u8]) -> Keytab {
        Keytab {
            path: "t.keytab".into(),
            entries: parse(bytes).unwrap(),
        }
    }

    #[test]
    fn the_newest_aes256_key_of_the_principal_is_found() {
        let mut bytes = file(&[
            record(&["svc"], 18, 2, &[2; 32]),
            record(&["svc"], 18, 300, &[3; 32]),
            record(&["svc"], 17, 400, &[4; 16]),
            record(&["host", "a.corp"], 18, 1, &[5; 32]),
        ]);
        // A hole, and an end before the end of the file.
        bytes.extend((-3i32).to_be_bytes());
        bytes.extend([1, 2, 3]);
        bytes.extend([0, 0, 0, 0, 9, 9]);
        let keytab = keytab(&bytes);
        assert_eq!(keytab.entries().len(), 4);
        let key = keytab.key("SVC@corp.example.com").unwrap();
        assert_eq!((key.principal.as_str(), key.version), ("svc", 300));
        assert_eq!(key.key.expose(), [3; 32]);
        assert!(!format!("{key:?}").contains("3, 3"));
        assert!(keytab.key("host/a.corp@CORP.EXAMPLE.COM").is_ok());
    }

    #[test]
    fn what_is_missing_is_told() {
        let keytab = keytab(&file(&[record(&["svc"], 23, 2, &[2; 16])]));
        let text = |principal| keytab.key(principal).unwrap_err().to_string();
        assert!(text("svc@CORP.EXAMPLE.COM").contains("only etype 23"));
        assert!(text("other@CORP.EXAMPLE.COM").contains("only of: svc@CORP.EXAMPLE.COM"));
        assert!(text("svc").contains("name@REALM"));
        let nowhere = Keytab::open(Path::new("/nowhere/t.keytab"));
        assert!(matches!(nowhere, Err(KeytabProblem::Unreadable { .. })));
    }

    #[test]
    fn what_is_no_keytab_is_refused() {
        assert!(parse(b"").is_err());
        assert!(parse(&[5, 1]).is_err());
        let whole = file(&[record(&["svc"], 18, 2, &[2; 32])]);
        for cut in 3..whole.len() {
            assert!(parse(&whole[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&[&VERSION[..], &bytes].concat());
            let _ = entry(&bytes);
        }

        #[test]
        fn a_damaged_keytab_is_read_or_refused(at in 2usize..100, byte: u8) {
            let mut bytes = file(&[record(&["svc"], 18, 2, &[2; 32])]);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = parse(&bytes);
        }
    }
}
