//! `rollcall audit`: what was done and tried, by whom.
//!
//! Invariant: events are only read. Following them shows each event once, oldest first, also when
//! one comes in late. Deliberately absent: sending events elsewhere, which the hub does itself.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use prost_types::Timestamp;
use rollcall_client::ClientError;
use rollcall_kit::clock::{Clock as _, SystemClock};
use rollcall_proto::admin::{
    AuditEvent, GetAuditEventRequest, ListAuditEventsRequest, audit_event::EventStatus,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::{Column, Format, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::value::{self, When};
use crate::{organization, subject, userpool};

/// How often new events are looked for.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);
/// How late an event may come in behind one with a later time, in seconds.
const LATE_SECONDS: i64 = 60;
/// The most events that are taken at once while following.
const FOLLOW_EVENTS_MAX: usize = 100_000;
/// What types of events begin with; the rest is enough to name one.
const TYPE_PREFIXES: [&str; 4] = [
    "yandex.cloud.audit.organizationmanager.",
    "yandex.cloud.audit.organizationmanager.idp.",
    "yandex.cloud.audit.iam.",
    "rollcall.audit.",
];

const COLUMNS: [Column<AuditEvent>; 6] = [
    ("TIME", |event| moment(event.event_time.as_ref())),
    ("ID", |event| event.event_id.clone()),
    ("STATUS", |event| {
        choice(
            EventStatus::try_from(event.event_status)
                .unwrap_or_default()
                .as_str_name(),
        )
    }),
    ("TYPE", |event| short_type(&event.event_type).to_owned()),
    ("SUBJECT", who),
    ("RESOURCE", on_what),
];

/// Commands about the audit trail.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one event whole.
    Get {
        /// Identifier of the event.
        id: String,
    },
    /// Lists events, newest first.
    #[command(
        after_help = "Examples:\n  rollcall audit list --since 2h --status error\n  rollcall audit \
                            list --pool staff --type DeleteUser --subject anna@corp.example\n  \
                            rollcall audit list --follow -o jsonl >> audit.jsonl"
    )]
    List(Box<ListEvents>),
}

/// Which events.
#[derive(Debug, Args)]
pub struct ListEvents {
    #[command(flatten)]
    list: ListArguments,
    #[command(flatten)]
    filter: FilterArguments,
    /// Only events from then on: 2h for the last two hours, or as in 2027-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = value::when)]
    since: Option<When>,
    /// Only events before then; written as with --since.
    #[arg(long, value_name = "TIME", value_parser = value::when, conflicts_with = "follow")]
    until: Option<When>,
    /// Only events of this type, such as CreateUser; can be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    #[arg(long, value_name = "SUBJECT", help = subject::HELP)]
    subject: Option<String>,
    /// Only events about the resource with this identifier.
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// Only events with this status.
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<StatusChoice>,
    /// Only events of this pool, by name or identifier.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Go on showing events as they happen, oldest first, until Ctrl-C; from now on, or from --since.
    #[arg(long)]
    follow: bool,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusChoice {
    /// Begun.
    Started,
    /// Going on.
    Running,
    /// Done.
    Done,
    /// Refused or failed.
    Error,
    /// Cancelled.
    Cancelled,
}

impl StatusChoice {
    fn wire(self) -> EventStatus {
        match self {
            Self::Started => EventStatus::Started,
            Self::Running => EventStatus::Running,
            Self::Done => EventStatus::Done,
            Self::Error => EventStatus::Error,
            Self::Cancelled => EventStatus::Cancelled,
        }
    }
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { id } => {
            let request = GetAuditEventRequest { event_id: id };
            let event = session
                .ask(request, |hub, request| async move {
                    hub.audit().get(request).await
                })
                .await?;
            session.output.one(&event)
        }
        Command::List(arguments) => {
            let request = request(session, &arguments).await?;
            if arguments.follow {
                return follow(session, request, &arguments.list).await;
            }
            let events = arguments
                .list
                .collect(|page_size, page_token| {
                    fetch(session, request.clone(), page_size, page_token)
                })
                .await?;
            session.output.list(&events, &COLUMNS)
        }
    }
}

async fn request(
    session: &Session,
    arguments: &ListEvents,
) -> Result<ListAuditEventsRequest, Failure> {
    let now = SystemClock.now();
    let userpool_id = match &arguments.pool {
        Some(pool) => userpool::find(session, pool).await?,
        None => String::new(),
    };
    let subject = match &arguments.subject {
        Some(subject) => Some(subject::find_id(session, subject).await?),
        None => None,
    };
    Ok(ListAuditEventsRequest {
        organization_id: organization::meant(session).await?,
        userpool_id,
        since: arguments.since.map(|when| when.seen_from(now)),
        until: arguments.until.map(|when| when.seen_from(now)),
        filter: filter(arguments, subject.as_deref())?,
        ..Default::default()
    })
}

fn filter(arguments: &ListEvents, subject: Option<&str>) -> Result<String, Failure> {
    let mut conditions = Vec::new();
    if !arguments.filter.filter.is_empty() {
        conditions.push(arguments.filter.filter.clone());
    }
    if !arguments.types.is_empty() {
        let mut names = Vec::new();
        for name in arguments.types.iter().flat_map(|name| full_types(name)) {
            names.push(value::quoted(&name)?);
        }
        conditions.push(format!("event_type IN ({})", names.join(", ")));
    }
    if let Some(status) = arguments.status {
        conditions.push(format!(
            "event_status = \"{}\"",
            status.wire().as_str_name()
        ));
    }
    if let Some(subject) = subject {
        conditions.push(format!("subject_id = {}", value::quoted(subject)?));
    }
    if let Some(resource) = &arguments.resource {
        conditions.push(format!("resource_id = {}", value::quoted(resource)?));
    }
    Ok(conditions.join(" AND "))
}

/// The full names that a short or full name of a type may stand for.
fn full_types(name: &str) -> Vec<String> {
    if TYPE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return vec![name.to_owned()];
    }
    let with_prefix = |prefix: &&str| format!("{prefix}{name}");
    TYPE_PREFIXES.iter().map(with_prefix).collect()
}

fn short_type(name: &str) -> &str {
    TYPE_PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// Shows events as they come, until Ctrl-C.
async fn follow(
    session: &Session,
    mut request: ListAuditEventsRequest,
    list: &ListArguments,
) -> Result<(), Failure> {
    if !matches!(session.output.format(), Format::Table | Format::Jsonl) {
        return Err(Failure::usage(
            "--follow shows one event in each line: give -o jsonl, or no -o",
        ));
    }
    let mut tail = Tail::default();
    if request.since.is_none() {
        // The clock of the hub decides what is new, so the newest event marks the beginning.
        let (newest, _) = fetch(session, request.clone(), 1, String::new()).await?;
        tail.begin_after(newest.first());
    }
    let list = list.up_to(FOLLOW_EVENTS_MAX);
    // One for all rounds: an interrupt that comes during a call must not be lost.
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        if let Some(since) = tail.since() {
            request.since = Some(since);
        }
        let events = list
            .collect(|page_size, page_token| fetch(session, request.clone(), page_size, page_token))
            .await?;
        for event in tail.take(events) {
            session.output.one_more(&event, &COLUMNS)?;
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            _ = &mut interrupt => return Ok(()),
        }
    }
}

/// What was shown of a trail that goes on.
#[derive(Debug, Default)]
struct Tail {
    /// Nothing before this is wanted.
    begin: Option<Moment>,
    newest: Option<Moment>,
    /// Events not older than the latest late one can be, by time; they come again.
    shown: BTreeMap<(Moment, String), ()>,
}

/// Seconds and nanoseconds since 1970.
type Moment = (i64, i32);

impl Tail {
    /// Wants events behind `newest`, and not that one.
    fn begin_after(&mut self, newest: Option<&AuditEvent>) {
        if let Some(event) = newest {
            let time = time(event);
            self.begin = Some(time);
            self.newest = Some(time);
            self.shown.insert((time, event.event_id.clone()), ());
        }
    }

    /// From when on events have to be asked for; `None` before the first one.
    fn since(&self) -> Option<Timestamp> {
        let horizon = self.horizon()?;
        let (seconds, nanos) = self.begin.map_or(horizon, |begin| begin.max(horizon));
        Some(Timestamp { seconds, nanos })
    }

    /// The events of `page`, newest first, that were not shown yet: oldest first.
    fn take(&mut self, page: Vec<AuditEvent>) -> Vec<AuditEvent> {
        let mut new = Vec::new();
        for event in page.into_iter().rev() {
            let time = time(&event);
            let key = (time, event.event_id.clone());
            if self.shown.insert(key, ()).is_none() {
                self.newest = self.newest.max(Some(time));
                new.push(event);
            }
        }
        if let Some(horizon) = self.horizon() {
            self.shown = self.shown.split_off(&(horizon, String::new()));
        }
        new
    }

    /// The time of the oldest event that may still come in.
    fn horizon(&self) -> Option<Moment> {
        self.newest
            .map(|(seconds, nanos)| (seconds.saturating_sub(LATE_SECONDS).max(0), nanos))
    }
}

fn time(event: &AuditEvent) -> Moment {
    event
        .event_time
        .as_ref()
        .map_or((0, 0), |time| (time.seconds, time.nanos))
}

/// Who called: the name if it is known.
fn who(event: &AuditEvent) -> String {
    let Some(who) = &event.authentication else {
        return String::new();
    };
    if who.subject_name.is_empty() {
        who.subject_id.clone()
    } else {
        who.subject_name.clone()
    }
}

/// The innermost resource with its kind: `userpool staff`.
fn on_what(event: &AuditEvent) -> String {
    let metadata = event.resource_metadata.as_ref();
    let Some(resource) = metadata.and_then(|metadata| metadata.path.last()) else {
        return String::new();
    };
    let kind = resource
        .resource_type
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let name = if resource.resource_name.is_empty() {
        &resource.resource_id
    } else {
        &resource.resource_name
    };
    format!("{kind} {name}")
}

async fn fetch(
    session: &Session,
    mut request: ListAuditEventsRequest,
    page_size: i64,
    page_token: String,
) -> Result<(Vec<AuditEvent>, String), ClientError> {
    request.page_size = page_size;
    request.page_token = page_token;
    let page = session
        .ask(request, |hub, request| async move {
            hub.audit().list(request).await
        })
        .await?;
    Ok((page.events, page.next_page_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, seconds: i64) -> AuditEvent {
        AuditEvent {
            event_id: id.into(),
            event_time: Some(Timestamp { seconds, nanos: 5 }),
            ..Default::default()
        }
    }

    fn ids(events: &[AuditEvent]) -> Vec<&str> {
        events.iter().map(|event| event.event_id.as_str()).collect()
    }

    #[test]
    fn each_event_is_shown_once_oldest_first() {
        let mut tail = Tail::default();
        assert_eq!(tail.since(), None);
        tail.begin_after(Some(&event("a", 1_000)));
        assert_eq!(tail.since().map(|since| since.seconds), Some(1_000));

        let page = vec![event("c", 1_002), event("b", 1_001), event("a", 1_000)];
        assert_eq!(ids(&tail.take(page)), ["b", "c"]);
        let with_late = vec![event("d", 1_003), event("late", 1_001), event("b", 1_001)];
        assert_eq!(ids(&tail.take(with_late)), ["late", "d"]);

        assert_eq!(ids(&tail.take(vec![event("e", 2_000)])), ["e"]);
        let since = tail.since().map(|since| since.seconds);
        assert_eq!(since, Some(2_000 - LATE_SECONDS));
        assert_eq!(tail.shown.len(), 1, "what cannot come again is forgotten");
    }

    #[test]
    fn an_empty_trail_begins_with_its_first_event() {
        let mut tail = Tail::default();
        tail.begin_after(None);
        assert_eq!(tail.since(), None);
        assert_eq!(ids(&tail.take(vec![event("a", 1)])), ["a"]);
        assert_eq!(tail.since().map(|since| since.seconds), Some(0));
    }

    #[test]
    fn types_may_be_short() {
        let full = "yandex.cloud.audit.organizationmanager.idp.CreateUser";
        assert_eq!(full_types(full), [full]);
        assert!(full_types("CreateUser").contains(&full.to_owned()));
        assert!(full_types("idp.CreateUser").contains(&full.to_owned()));
        assert_eq!(short_type(full), "idp.CreateUser");
    }
}
