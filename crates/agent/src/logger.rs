//! The agent's log: tab-separated columns or JSON, to standard output or a file.
//!
//! Invariant: one event is one line. The plain form has UTC time with milliseconds, level, source
//! and message; JSON lines have ts, level, caller, msg and the fields (decision U119).

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use indicatif::MultiProgress;
use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::timestamp::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, LogFormat, LogLevel};
use crate::failure::Failure;

mod rotation;

pub use rotation::RotatingFile;

const MEGABYTE: u64 = 1024 * 1024;
/// Libraries that write keys and whole messages when they are asked for details. Nothing of the
/// configuration or the environment makes them talk.
const SILENCED: [&str; 4] = ["sspi", "picky", "picky_krb", "picky_asn1_der"];

/// Where lines go when no file is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Standard output.
    Stdout,
    /// Standard error, because standard output carries a result for a program.
    Stderr,
}

/// Starts logging; to be called once. `bars` are kept intact while lines are written.
///
/// # Errors
/// [`Failure::Config`] when the log file cannot be opened.
pub fn start(config: &Config, console: Console, bars: &MultiProgress) -> Result<(), Failure> {
    let sink = match &config.logger.file {
        None => Sink::Console(console, bars.clone()),
        Some(file) => Sink::File(Arc::new(Mutex::new(open(
            &config.resolve(&file.filename),
            file.maxsize.saturating_mul(MEGABYTE),
            file.maxbackups,
        )?))),
    };
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Lines {
            format: config.logger.format,
        })
        .with_writer(sink);
    let targets = targets(config.logger.level);
    // A second start, as in tests, keeps the first one.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(layer)
        .try_init();
    Ok(())
}

fn targets(threshold: LogLevel) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("rollcall", level(threshold))
        .with_targets(SILENCED.map(|name| (name, LevelFilter::WARN)))
}

fn open(path: &Path, bytes_max: u64, backups: u32) -> Result<RotatingFile, Failure> {
    RotatingFile::open(path, bytes_max, backups).map_err(|error| {
        Failure::Config(format!(
            "logger.file.filename: cannot write {}: {error}",
            path.display()
        ))
    })
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Dpanic | LogLevel::Panic | LogLevel::Fatal => {
            LevelFilter::ERROR
        }
    }
}

#[derive(Clone)]
enum Sink {
    Console(Console, MultiProgress),
    File(Arc<Mutex<RotatingFile>>),
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Console(console, bars) => bars.suspend(|| match console {
                Console::Stdout => io::stdout().lock().write_all(line),
                Console::Stderr => io::stderr().lock().write_all(line),
            })?,
            Self::File(file) => file
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Console(Console::Stdout, _) => io::stdout().lock().flush(),
            Self::Console(Console::Stderr, _) => io::stderr().lock().flush(),
            Self::File(_) => Ok(()),
        }
    }
}

struct Lines {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let caller = format!(
            "{}:{}",
            metadata.file().unwrap_or_default(),
            metadata.line().unwrap_or_default()
        );
        let line = match self.format {
            LogFormat::Plain => fields.plain(SystemClock.now(), metadata.level(), &caller),
            LogFormat::Json => fields.json(SystemClock.now(), metadata.level(), &caller),
        };
        writeln!(writer, "{line}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn plain(&self, now: Timestamp, level: &Level, caller: &str) -> String {
        let mut line = format!(
            "{}\t{}\t{caller}\t{}",
            millis(now),
            level_name(level),
            one_line(&self.message)
        );
        for (name, value) in &self.others {
            let text = match value {
                Value::String(text) => one_line(text),
                other => other.to_string(),
            };
            let _ = write!(line, " {name}={text}");
        }
        line
    }

    fn json(&self, now: Timestamp, level: &Level, caller: &str) -> String {
        let mut object = Map::new();
        object.insert("ts".into(), millis(now).into());
        object.insert("level".into(), level_name(level).into());
        object.insert("caller".into(), caller.into());
        object.insert("msg".into(), self.message.clone().into());
        for (name, value) in &self.others {
            object.insert((*name).into(), value.clone());
        }
        Value::Object(object).to_string()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.others.push((name, value.into())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.into()));
    }
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// ISO 8601 with exactly three digits of the second's fraction.
fn millis(now: Timestamp) -> String {
    let whole = Timestamp::from_seconds(now.as_seconds()).to_string();
    let fraction = now.as_millis().rem_euclid(1_000);
    format!("{}.{fraction:03}Z", whole.trim_end_matches('Z'))
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ").replace(['\t', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields {
            message: "a\tb\nc".into(),
            others: vec![("session", "s1".into()), ("count", 3.into())],
        }
    }

    #[test]
    fn every_level_of_the_configuration_has_a_threshold() {
        for (name, threshold) in [
            ("debug", LevelFilter::DEBUG),
            ("info", LevelFilter::INFO),
            ("warn", LevelFilter::WARN),
            ("error", LevelFilter::ERROR),
            ("dpanic", LevelFilter::ERROR),
            ("panic", LevelFilter::ERROR),
            ("fatal", LevelFilter::ERROR),
        ] {
            let parsed: LogLevel = serde_json::from_value(name.into()).unwrap();
            assert_eq!(level(parsed), threshold, "{name}");
        }
        assert!(serde_json::from_value::<LogLevel>("trace".into()).is_err());
    }

    #[test]
    fn libraries_that_know_keys_say_no_details_at_any_level() {
        for threshold in [LogLevel::Debug, LogLevel::Error] {
            let targets = targets(threshold);
            for name in SILENCED {
                for inner in [name.to_owned(), format!("{name}::kerberos::client")] {
                    assert!(!targets.would_enable(&inner, &Level::INFO), "{inner}");
                    assert!(targets.would_enable(&inner, &Level::WARN), "{inner}");
                }
            }
        }
        assert!(targets(LogLevel::Debug).would_enable("rollcall_directory", &Level::DEBUG));
    }

    #[test]
    fn a_plain_line_has_four_columns() {
        let now = Timestamp::from_micros(1_700_000_000_007_999);
        assert_eq!(
            fields().plain(now, &Level::WARN, "run.rs:1"),
            "2023-11-14T22:13:20.007Z\twarn\trun.rs:1\ta b c session=s1 count=3"
        );
    }

    #[test]
    fn a_json_line_has_the_usual_keys() {
        let line = fields().json(Timestamp::EPOCH, &Level::INFO, "run.rs:1");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["ts"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["level"], "info");
        assert_eq!(value["msg"], "a\tb\nc");
        assert_eq!(value["count"], 3);
        assert!(!line.contains('\n'));
    }
}
