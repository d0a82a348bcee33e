//! What a scenario was answered, as one text that is the same over gRPC and over REST.
//!
//! Invariant: the text depends on the scenario alone: ids are numbered in the order in which they
//! appear, moments are offsets from the start of the hub's clock, random values have a name.
//! Deliberately absent: requests, which stand in the scenario, and secrets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use prost::Message;
use prost_reflect::DynamicMessage;
use regex::{Captures, Regex};
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::{Method, descriptor_pool};
use serde_json::Value as Json;
use tonic::Status;
use tonic_types::StatusExt as _;

/// Only what runs over both transports is compared.
const RECORDED_MODULE: &str = "scenarios::";

/// Fields whose content is random.
const RANDOM_FIELDS: [&str; 11] = [
    "changeToken",
    "generationProof",
    "iamToken",
    "nextPageToken",
    "password",
    "privateKey",
    "publicKey",
    "refreshToken",
    "remotePort",
    "requestId",
    "subjectTokenHash",
];

/// Addresses that `localhost` may have, as JSON.
const LOOPBACK: [&str; 2] = ["\"127.0.0.1\"", "\"::1\""];

/// Offsets of more days than this are dates that the scenario itself chose.
const OFFSET_DAYS_MAX: i64 = 3 * 366;

static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?<moment>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)",
        r"|(?<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)",
        r"|(?<id>\b[a-z][a-z0-9]{2}0[0-9a-v]{16}\b)",
        r"|(?<proof>[0-9A-Za-z+/]{43}=)",
    ))
    .unwrap()
});

thread_local! {
    /// How many transcripts the test of this thread has begun.
    static BEGUN: RefCell<usize> = const { RefCell::new(0) };
}

/// Where answers are written down.
#[derive(Clone)]
pub struct Transcript(Arc<Mutex<State>>);

struct State {
    /// Name of the snapshot; none when nothing is compared.
    name: Option<String>,
    text: String,
    start: Timestamp,
    /// Texts and the names that stand for them.
    names: HashMap<String, String>,
    /// How many ids of each prefix have a name.
    counts: HashMap<String, usize>,
    is_paused: bool,
}

/// Compares the transcript with its snapshot when the scenario is over.
pub struct Comparison(Transcript);

impl Transcript {
    /// A transcript of the running test, with the moment that its clock starts at. It is silent
    /// until [`Transcript::begin`].
    pub fn new(start: Timestamp) -> Self {
        let name = std::thread::current().name().and_then(snapshot_name);
        Self(Arc::new(Mutex::new(State {
            name,
            text: String::new(),
            start,
            names: HashMap::new(),
            counts: HashMap::new(),
            is_paused: true,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Records from now on; the comparison is made when the answer is dropped.
    pub fn begin(&self) -> Comparison {
        self.state().is_paused = false;
        Comparison(self.clone())
    }

    /// Compares nothing.
    pub fn give_up(&self) {
        self.state().name = None;
    }

    /// Writes `name` for `text` wherever it appears.
    pub fn call_it(&self, text: &str, name: &str) {
        self.state().names.insert(text.to_owned(), name.to_owned());
    }

    /// Writes down a call and its answer.
    pub fn record<A: Message>(&self, method: &Method, caller: &str, answer: Result<&A, &Status>) {
        let mut state = self.state();
        if state.is_paused || state.name.is_none() {
            return;
        }
        let service = method.service.rsplit('.').next().unwrap();
        let mut text = format!("{service}/{} by {caller}\n", method.name);
        match answer {
            Ok(message) => text.push_str(&rendered_answer(method, message)),
            Err(status) => text.push_str(&rendered_refusal(status)),
        }
        let text = state.normalized(&text);
        state.text.push_str(&text);
        state.text.push('\n');
    }
}

impl State {
    fn normalized(&mut self, text: &str) -> String {
        // Which one it is depends on the machine.
        let mut text = text.to_owned();
        for address in LOOPBACK {
            text = text.replace(address, "\"<loopback>\"");
        }
        for (known, name) in &self.names {
            text = text.replace(known, name);
        }
        PATTERN
            .replace_all(&text, |found: &Captures| {
                if let Some(moment) = found.name("moment") {
                    return offset(self.start, moment.as_str());
                }
                if found.name("proof").is_some() {
                    return self.number("proof", &found[0]);
                }
                match found.name("id") {
                    Some(id) => self.number(&id.as_str()[..3], id.as_str()),
                    None => self.number("uuid", &found[0]),
                }
            })
            .into_owned()
    }

    fn number(&mut self, kind: &str, text: &str) -> String {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let count = self.counts.entry(kind.to_owned()).or_insert(0);
        *count += 1;
        let name = format!("{kind}-{count}");
        self.names.insert(text.to_owned(), name.clone());
        name
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (name, text) = {
            let mut state = self.0.state();
            (state.name.take(), std::mem::take(&mut state.text))
        };
        let Some(name) = name.filter(|_| !text.is_empty()) else {
            return;
        };
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new("../snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, text));
    }
}

/// The snapshot of the test `test`; a second hub of one test has a second one.
fn snapshot_name(test: &str) -> Option<String> {
    let test = test.strip_prefix(RECORDED_MODULE)?.replace("::", "__");
    let number = BEGUN.with_borrow_mut(|begun| {
        *begun += 1;
        *begun
    });
    Some(match number {
        1 => test,
        _ => format!("{test}-{number}"),
    })
}

fn rendered_answer(method: &Method, message: &impl Message) -> String {
    let kind = descriptor_pool().get_message_by_name(method.response);
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(kind.unwrap(), bytes.as_slice()).unwrap();
    let mut json = serde_json::to_value(&message).unwrap();
    hide_random(&mut json);
    let mut text = serde_json::to_string_pretty(&json).unwrap();
    text.push('\n');
    text
}

fn rendered_refusal(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map_or("", |info| &info.reason);
    let mut text = format!("{:?} {reason}\n", status.code());
    let violations = details
        .bad_request()
        .map_or(&[][..], |bad| &bad.field_violations);
    for violation in violations {
        writeln!(text, "  {}: {}", violation.field, violation.description).unwrap();
    }
    if violations.is_empty() {
        // What follows is advice: which roles would help changes with the table of roles.
        let (what, _) = status
            .message()
            .split_once("; ")
            .unwrap_or((status.message(), ""));
        writeln!(text, "  {what}").unwrap();
    }
    text
}

fn hide_random(json: &mut Json) {
    match json {
        Json::Object(fields) => {
            // The libraries of the two transports say different things of themselves.
            fields.remove("userAgent");
            for (name, value) in fields {
                if RANDOM_FIELDS.contains(&name.as_str()) && value.is_string() {
                    *value = Json::String(format!("<{name}>"));
                } else {
                    hide_random(value);
                }
            }
        }
        Json::Array(values) => values.iter_mut().for_each(hide_random),
        _ => {}
    }
}

/// `T+60s` for a moment one minute after `start`; a moment far away stays as it is.
fn offset(start: Timestamp, moment: &str) -> String {
    const MICROS_PER_SECOND: i64 = 1_000_000;
    const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
    let Some(parsed) = Timestamp::parse_rfc3339(moment) else {
        return moment.to_owned();
    };
    // Some moments are whole seconds, so they count from the second in which the clock starts.
    let start_micros = start.as_micros();
    let is_whole = parsed.as_micros().rem_euclid(MICROS_PER_SECOND) == 0;
    let from = match is_whole {
        true => start_micros - start_micros.rem_euclid(MICROS_PER_SECOND),
        false => start_micros,
    };
    let micros = parsed.as_micros() - from;
    if micros.abs() > OFFSET_DAYS_MAX * MICROS_PER_DAY {
        return moment.to_owned();
    }
    match micros.rem_euclid(MICROS_PER_SECOND) {
        0 => format!("T{:+}s", micros / MICROS_PER_SECOND),
        _ => format!("T{micros:+}us"),
    }
}
