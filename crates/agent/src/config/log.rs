//! Where the agent's log goes, and in which form (`logger` of the file).
//!
//! Deliberately absent: the log itself (`crate::logger`).

use std::path::PathBuf;

use serde::Deserialize;

const LOG_FILE_DEFAULT: &str = "identity_hub.log";
const LOG_FILE_MEGABYTES_DEFAULT: u64 = 30;
const LOG_FILE_BACKUPS_DEFAULT: u32 = 10;

/// `logger`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logger {
    /// Least severe level that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
    /// Log to a file instead of stdout.
    pub file: Option<LogFile>,
    /// Export to a log group.
    pub cloud_logger: CloudLogger,
}

/// `logger.level`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The course of events.
    #[default]
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
    /// As error.
    Dpanic,
    /// As error.
    Panic,
    /// As error.
    Fatal,
}

/// `logger.format`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Tab-separated columns.
    #[default]
    Plain,
    /// One JSON object per line.
    Json,
}

/// `logger.file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// Path, or bare name in the working directory.
    pub filename: PathBuf,
    /// Megabytes of one file.
    pub maxsize: u64,
    /// Old files that are kept.
    pub maxbackups: u32,
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            filename: LOG_FILE_DEFAULT.into(),
            maxsize: LOG_FILE_MEGABYTES_DEFAULT,
            maxbackups: LOG_FILE_BACKUPS_DEFAULT,
        }
    }
}

/// `logger.cloud_logger`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudLogger {
    /// Group to export to.
    pub log_group_id: Option<String>,
}
