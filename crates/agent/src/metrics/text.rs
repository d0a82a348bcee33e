//! The metrics as text, in the exposition format of Prometheus.
//!
//! Invariant: names and labels are ours, so nothing has to be escaped but the texts of label values;
//! no value comes from the directory.

use std::fmt::Write as _;

use rollcall_kit::timestamp::Timestamp;

use crate::certificate::days_left;
use crate::condition::{Condition, Phase, StreamCondition};
use crate::fault_count::Side;
use crate::stream::Stream;
use crate::summary::{Changes, Outcome};

mod writeback;

const PREFIX: &str = "rollcall_agent";
const MICROS_PER_SECOND: f64 = 1_000_000.0;

/// All metrics of `condition` at this moment.
#[must_use]
pub fn render(condition: &Condition, now: Timestamp) -> String {
    let mut text = Text::default();
    text.family("build_info", "gauge", "The version of the agent; always 1.");
    text.sample("build_info", &[("version", &condition.version)], 1.0);
    per_stream(&mut text, condition);
    changes(&mut text, condition);
    drift(&mut text, condition);
    password_hashes(&mut text, condition, now);
    writeback::render(&mut text, condition);
    certificates(&mut text, condition, now);
    text.family(
        "errors_total",
        "counter",
        "Failures of the directory and of the hub since the start.",
    );
    for side in Side::ALL {
        let failures = side.failures() as f64;
        text.sample("errors_total", &[("side", side.name())], failures);
    }
    text.out
}

/// A value of a stream; `None` leaves the sample out.
type Value = fn(&StreamCondition) -> Option<f64>;

fn per_stream(text: &mut Text, condition: &Condition) {
    let families: [(&str, &str, &str, Value); 10] = [
        (
            "last_success_timestamp_seconds",
            "gauge",
            "When everything read from the directory was last written to the hub.",
            |stream| seconds(stream.last_success_at.as_deref()?),
        ),
        (
            "last_run_success",
            "gauge",
            "Whether the last run that ended was completed.",
            |stream| Some(flag(stream.last_outcome? == Outcome::Completed)),
        ),
        (
            "failing",
            "gauge",
            "Whether the last attempt failed and no other agent works; it is tried again.",
            |stream| Some(flag(stream.phase == Phase::Failing)),
        ),
        (
            "working",
            "gauge",
            "Whether this agent holds a session.",
            |stream| Some(flag(stream.phase == Phase::Working)),
        ),
        (
            "consecutive_failures",
            "gauge",
            "Runs that failed since the last success.",
            |stream| Some(f64::from(stream.failures_in_a_row)),
        ),
        (
            "runs_completed_total",
            "counter",
            "Sessions that were completed.",
            |stream| Some(stream.runs_completed as f64),
        ),
        (
            "runs_failed_total",
            "counter",
            "Runs that failed, whether or not a session was open.",
            |stream| Some(stream.runs_failed as f64),
        ),
        (
            "failed_items",
            "gauge",
            "Objects that cannot be synchronized at present.",
            |stream| Some(stream.failed_items_count as f64),
        ),
        (
            "users_in_scope",
            "gauge",
            "Users of the directory in scope.",
            |stream| Some(stream.run.as_ref()?.users_in_scope as f64),
        ),
        (
            "groups_in_scope",
            "gauge",
            "Groups of the directory in scope.",
            |stream| Some(stream.run.as_ref()?.groups_in_scope as f64),
        ),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        for (stream, at) in &condition.streams {
            if let Some(value) = value(at) {
                text.sample(name, &[("stream", stream)], value);
            }
        }
    }
}

fn changes(text: &mut Text, condition: &Condition) {
    let name = "changes_total";
    text.family(name, "counter", "Changes made in the hub.");
    for (stream, at) in &condition.streams {
        let done = at.done_so_far();
        for (object, changes) in [
            ("user", &done.users),
            ("group", &done.groups),
            ("membership", &done.memberships),
        ] {
            for (change, number) in kinds(changes) {
                let labels = [
                    ("stream", stream.as_str()),
                    ("object", object),
                    ("change", change),
                ];
                text.sample(name, &labels, number as f64);
            }
        }
    }
}

fn kinds(changes: &Changes) -> [(&'static str, u64); 6] {
    [
        ("create", changes.created),
        ("update", changes.updated),
        ("delete", changes.removed),
        ("activate", changes.activated),
        ("deactivate", changes.deactivated),
        ("password_hash_update", changes.password_hashes),
    ]
}

fn drift(text: &mut Text, condition: &Condition) {
    let Some(drift) = &condition.drift else {
        return;
    };
    text.family(
        "drift_objects",
        "gauge",
        "Objects that differ between directory and hub, as of the last check.",
    );
    text.sample("drift_objects", &[], drift.differing as f64);
    text.family(
        "drift_check_timestamp_seconds",
        "gauge",
        "When both sides were last compared.",
    );
    if let Some(at) = seconds(&drift.checked_at) {
        text.sample("drift_check_timestamp_seconds", &[], at);
    }
}

/// Whether hashes silently stopped (AT-15): alarms are set on these two.
fn password_hashes(text: &mut Text, condition: &Condition, now: Timestamp) {
    let Some(stream) = condition.streams.get(Stream::PasswordHashes.name()) else {
        return;
    };
    text.family(
        "hash_stream_age_seconds",
        "gauge",
        "Seconds since all password hashes read from the directory were in the hub; +Inf if never.",
    );
    let age = stream.age(now).map_or(f64::INFINITY, |age| {
        age.as_micros() as f64 / MICROS_PER_SECOND
    });
    text.sample("hash_stream_age_seconds", &[], age);
    if let Some(number) = stream.users_without_hash {
        text.family(
            "users_without_hash",
            "gauge",
            "Users of the hub that no password hash has come for, so that they cannot sign in.",
        );
        text.sample("users_without_hash", &[], number as f64);
    }
}

fn certificates(text: &mut Text, condition: &Condition, now: Timestamp) {
    let ends: Vec<(&str, Timestamp)> = condition
        .certificates
        .iter()
        .filter_map(|(whose, at)| Some((whose.as_str(), Timestamp::parse_rfc3339(at)?)))
        .collect();
    if ends.is_empty() {
        return;
    }
    let name = "certificate_days_left";
    let help = "Whole days until the certificate that a side showed last expires.";
    text.family(name, "gauge", help);
    for (side, at) in &ends {
        text.sample(name, &[("side", side)], days_left(*at, now) as f64);
    }
    let name = "certificate_expires_timestamp_seconds";
    let help = "When the certificate that a side showed last expires.";
    text.family(name, "gauge", help);
    for (side, at) in &ends {
        let at = at.as_micros() as f64 / MICROS_PER_SECOND;
        text.sample(name, &[("side", side)], at);
    }
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

fn seconds(at: &str) -> Option<f64> {
    Some(Timestamp::parse_rfc3339(at)?.as_micros() as f64 / MICROS_PER_SECOND)
}

#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {PREFIX}_{name} {help}");
        let _ = writeln!(self.out, "# TYPE {PREFIX}_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let value = if value.is_infinite() {
            "+Inf".to_owned()
        } else {
            value.to_string()
        };
        let _ = writeln!(self.out, "{PREFIX}_{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use rollcall_kit::timestamp::Span;

    use super::*;
    use crate::condition::Board;
    use crate::failure::Failure;
    use crate::summary::RunSummary;

    #[test]
    fn a_failure_shows_and_the_last_success_stays() {
        let board = Board::default();
        let mut run = RunSummary::new(Outcome::Completed);
        run.users.created = 7;
        run.users_in_scope = 3;
        let at = Timestamp::from_seconds(1_800_000_000);
        board.ended("objects", &run, at);
        board.failed("objects", &Failure::Run("secret".into()), at);
        board.certificate("hub", at.plus(Span::hours(47)), at);
        board.certificate("directory", at.plus(Span::days(90)), at);
        let text = render(&board.condition(), at);
        for line in [
            "rollcall_agent_last_success_timestamp_seconds{stream=\"objects\"} 1800000000",
            "rollcall_agent_last_run_success{stream=\"objects\"} 0",
            "rollcall_agent_failing{stream=\"objects\"} 1",
            "rollcall_agent_consecutive_failures{stream=\"objects\"} 1",
            "rollcall_agent_users_in_scope{stream=\"objects\"} 3",
            "rollcall_agent_changes_total{stream=\"objects\",object=\"user\",change=\"create\"} 7",
            "rollcall_agent_certificate_days_left{side=\"hub\"} 1",
            "rollcall_agent_certificate_days_left{side=\"directory\"} 90",
            "rollcall_agent_certificate_expires_timestamp_seconds{side=\"hub\"} 1800169200",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("secret"));
        assert!(!text.contains("hash_stream_age_seconds"), "no such stream");
        let name = "password_hashes";
        board.began(name, "sys1", at);
        let text = render(&board.condition(), at);
        let never = "rollcall_agent_hash_stream_age_seconds +Inf";
        assert!(text.contains(never), "{text}");
        board.quiet(name, at);
        board.without_hash(name, 2, at);
        let text = render(&board.condition(), at.plus(Span::seconds(130)));
        for line in [
            "rollcall_agent_hash_stream_age_seconds 130",
            "rollcall_agent_users_without_hash 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with('\n'));
    }
}
