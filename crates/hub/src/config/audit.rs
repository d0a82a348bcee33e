//! The section `audit`: how long events stay, and where they are exported to.

use std::path::PathBuf;

use anyhow::bail;
use rollcall_domain::audit::{RETENTION_DAYS_DEFAULT, RETENTION_DAYS_MAX};
use serde::{Deserialize, Serialize};

/// The section `audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Days that events are kept; 0 = for ever.
    pub retention_days: u32,
    /// A file that events are appended to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<AuditFileConfig>,
    /// Whether events are written to the standard output.
    pub stdout: bool,
}

/// The section `audit.file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditFileConfig {
    /// Its path.
    pub path: PathBuf,
}

/// Where events are exported to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// To a file, which is made when it is missing.
    File(PathBuf),
    /// To the standard output.
    Stdout,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            retention_days: RETENTION_DAYS_DEFAULT,
            file: None,
            stdout: false,
        }
    }
}

impl AuditConfig {
    /// Where events are exported to, if anywhere.
    #[must_use]
    pub fn sink(&self) -> Option<AuditSink> {
        match &self.file {
            Some(file) => Some(AuditSink::File(file.path.clone())),
            None => self.stdout.then_some(AuditSink::Stdout),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let days = self.retention_days;
        if days > RETENTION_DAYS_MAX {
            bail!("key audit.retention_days: {days} is above {RETENTION_DAYS_MAX}; 0 = for ever");
        }
        if self.file.is_some() && self.stdout {
            bail!("key audit: give file or stdout, not both");
        }
        if let Some(file) = &self.file
            && !file.path.is_absolute()
        {
            bail!("key audit.file.path: give an absolute path");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn an_export_goes_to_one_place() {
        let parse = |audit: &str| {
            Config::parse(&format!("address: a:1\naudit: {audit}\n"))
                .map(|config| config.audit.sink())
                .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(parse("{}"), Ok(None));
        assert_eq!(parse("{stdout: true}"), Ok(Some(AuditSink::Stdout)));
        assert_eq!(
            parse("{retention_days: 0, file: {path: /a}}"),
            Ok(Some(AuditSink::File("/a".into())))
        );
        for (audit, part) in [
            ("{file: {path: /a}, stdout: true}", "not both"),
            ("{file: {path: a}}", "absolute"),
            ("{retention_days: 40000}", "36525"),
        ] {
            let error = parse(audit).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
