//! The part of `krb5.conf` we need: the default realm, where tickets are asked for, and which host
//! belongs to which realm.
//!
//! Invariant: what we do not need is skipped, what we need and cannot read is an error with its
//! line. Deliberately absent: `include` (refused by name: what it brings would be overlooked),
//! lookups in DNS, and every other setting.

use std::path::{Path, PathBuf};

use super::kdc::{InvalidKdc, KDCS_MAX, Kdc};

const FILE_BYTES_MAX: u64 = 1 << 20;

/// What `krb5.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Krb5Config {
    /// `[libdefaults] default_realm`.
    pub default_realm: Option<String>,
    realms: Vec<(String, Vec<Kdc>)>,
    domains: Vec<(String, String)>,
}

/// Why a `krb5.conf` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Krb5ConfigProblem {
    /// It cannot be read.
    #[error("the Kerberos configuration {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A line cannot be understood.
    #[error("the Kerberos configuration {}, line {line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

impl Krb5Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn open(path: &Path) -> Result<Self, Krb5ConfigProblem> {
        let unreadable = |why: String| Krb5ConfigProblem::Unreadable {
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
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|(line, why)| {
            Krb5ConfigProblem::Line {
                path: path.to_owned(),
                line,
                why,
            }
        })
    }

    /// Where tickets of this realm are asked for, in the order of the file.
    #[must_use]
    pub fn kdcs(&self, realm: &str) -> Vec<Kdc> {
        self.realms
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(realm))
            .flat_map(|(_, kdcs)| kdcs.clone())
            .take(KDCS_MAX)
            .collect()
    }

    /// The realm of this host: its own entry, else that of the nearest domain above it.
    #[must_use]
    pub fn realm_of(&self, host: &str) -> Option<&str> {
        let host = host.to_ascii_lowercase();
        let find = |name: &str| {
            let found = self.domains.iter().find(|(domain, _)| domain == name);
            found.map(|(_, realm)| realm.as_str())
        };
        let parents = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
        find(&host).or_else(|| parents.into_iter().find_map(find))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut parser = Parser::default();
        for (index, line) in text.lines().enumerate() {
            parser.line(line).map_err(|why| (index + 1, why))?;
        }
        Ok(parser.config)
    }
}

#[derive(Default)]
struct Parser {
    config: Krb5Config,
    section: String,
    /// Open braces; the realm is what stands before the first.
    depth: usize,
    realm: Option<usize>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return Ok(());
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        if self.depth == 0 && matches!(first, "include" | "includedir" | "module") {
            return Err(format!(
                "\"{first}\" is not followed here; write [realms] and [libdefaults] default_realm \
                 into a file of its own and name it (kerberos.krb5_config_path)"
            ));
        }
        if self.depth == 0
            && let Some(rest) = line.strip_prefix('[')
        {
            let (name, _) = rest.split_once(']').ok_or("a bracket is missing")?;
            self.section = name.trim().to_ascii_lowercase();
            return Ok(());
        }
        if line.starts_with('}') {
            self.depth = self
                .depth
                .checked_sub(1)
                .ok_or("a brace is closed that was never opened")?;
            return Ok(());
        }
        let (key, value) = line
            .split_once('=')
            .ok_or("it is neither \"name = value\" nor [section]")?;
        let (key, value) = (key.trim(), value.trim());
        match value.strip_prefix('{') {
            Some(rest) => self.open(key, rest.trim()),
            None => self.value(key, value),
        }
    }

    /// `name = {`, perhaps with all of it on one line.
    fn open(&mut self, key: &str, rest: &str) -> Result<(), String> {
        if self.depth == 0 && self.section == "realms" {
            self.realm = Some(self.config.realms.len());
            self.config.realms.push((key.to_owned(), Vec::new()));
        }
        self.depth += 1;
        if let Some(inner) = rest.strip_suffix('}') {
            if let Some((key, value)) = inner.split_once('=') {
                self.value(key.trim(), value.trim())?;
            }
            self.depth -= 1;
        }
        Ok(())
    }

    fn value(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (self.section.as_str(), self.depth) {
            ("libdefaults", 0) if key == "default_realm" => {
                self.config.default_realm = Some(value.to_owned());
            }
            ("domain_realm", 0) => {
                let domain = key.to_ascii_lowercase();
                self.config.domains.push((domain, value.to_owned()));
            }
            ("realms", 1) if key == "kdc" => {
                // A proxy or another transport is no reason to refuse the others.
                let foreign = value.contains("://") || value.starts_with("udp/");
                if !foreign
                    && let Some((_, kdcs)) =
                        self.realm.and_then(|at| self.config.realms.get_mut(at))
                {
                    let kdc = Kdc::parse(value).map_err(|error: InvalidKdc| error.to_string())?;
                    kdcs.push(kdc);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = r"
# comment
[libdefaults]
    default_realm = CORP.EXAMPLE.COM
    dns_lookup_kdc = false
    permitted = { a = b }
[realms]
    CORP.EXAMPLE.COM = {
        kdc = dc1.corp.example.com
        kdc = tcp/10.0.0.1:1088
        kdc = https://proxy.example.com/KdcProxy
        admin_server = dc1
        auth_to_local = {
            kdc = inner
        }
    }
    OTHER = { kdc = [::1]:99 }
; comment
[domain_realm]
    .corp.example.com = CORP.EXAMPLE.COM
    special.corp.example.com = OTHER
[capaths]
    whatever = x
";

    #[test]
    fn what_is_needed_is_read() {
        let config = Krb5Config::parse(FILE).unwrap();
        assert_eq!(config.default_realm.as_deref(), Some("CORP.EXAMPLE.COM"));
        let kdcs = |realm| {
            let kdcs = config.kdcs(realm).into_iter();
            kdcs.map(|kdc| kdc.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            kdcs("corp.example.com"),
            ["dc1.corp.example.com:88", "10.0.0.1:1088"]
        );
        assert_eq!(kdcs("OTHER"), ["[::1]:99"]);
        assert!(kdcs("NOBODY").is_empty());
        assert_eq!(
            config.realm_of("DC1.corp.example.com"),
            Some("CORP.EXAMPLE.COM")
        );
        assert_eq!(config.realm_of("special.corp.example.com"), Some("OTHER"));
        assert_eq!(config.realm_of("corp.example.com"), None);
    }

    #[test]
    fn what_cannot_be_understood_is_told_with_its_line() {
        let problem = |text| Krb5Config::parse(text).unwrap_err();
        let (line, why) = problem("\nincludedir /etc/krb5.conf.d/");
        assert!(line == 2 && why.contains("includedir"), "{why}");
        assert_eq!(problem("[realms").0, 1);
        assert_eq!(problem("[realms]\nword").0, 2);
        assert_eq!(problem("}").0, 1);
        assert_eq!(problem("[realms]\nA = {\nkdc = a b\n}").0, 3);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}=\n a-z.:]{0,200}") {
            if let Ok(config) = Krb5Config::parse(&text) {
                let _ = config.realm_of(&text);
                let _ = config.kdcs(&text);
            }
        }
    }
}
