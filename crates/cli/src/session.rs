//! `rollcall session`: looking at the sessions of agents. Opening and reporting is their business.

use std::time::Duration;

use clap::Subcommand;
use rollcall_proto::idp::{
    ChangeType, GetSessionRequest, ListSessionsRequest, RelatedObjectType, SessionStatus,
    SessionType, SyncMode, SynchronizationSession,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::{Column, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::userpool;
use crate::value::Stream;

/// How often a watched session is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

const COLUMNS: [Column<SynchronizationSession>; 8] = [
    ("ID", |session| session.session_id.clone()),
    ("TYPE", |session| {
        choice(
            SessionType::try_from(session.session_type)
                .unwrap_or_default()
                .as_str_name(),
        )
    }),
    ("MODE", |session| {
        choice(
            SyncMode::try_from(session.sync_mode)
                .unwrap_or_default()
                .as_str_name(),
        )
    }),
    ("STATUS", |session| choice(status(session).as_str_name())),
    ("CREATED", |session| moment(session.created_at.as_ref())),
    ("CLOSED", |session| moment(session.closed_at.as_ref())),
    ("PROGRESS", progress),
    ("FAIL REASON", |session| session.fail_reason.clone()),
];

/// Commands about sessions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one session with its counters.
    Get {
        /// Identifier of the session.
        id: String,
        /// Go on showing its progress until it ends.
        #[arg(long)]
        watch: bool,
    },
    /// Lists the sessions of a pool, newest first.
    #[command(
        after_help = "Example:\n  rollcall session list --userpool staff --type ad-sync \
                            --limit 5"
    )]
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
        /// Only sessions of this type.
        #[arg(long = "type", value_enum, value_name = "TYPE")]
        session_type: Option<Stream>,
    },
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { id, watch: false } => {
            let found = get(session, &id).await?;
            session.output.one(&found)
        }
        Command::Get { id, watch: true } => watch(session, &id).await,
        Command::List {
            list,
            filter,
            session_type,
        } => {
            let filter = with_type(filter.filter, session_type);
            let pool = userpool::meant(session).await?;
            let sessions = list
                .collect(|page_size, page_token| {
                    let request = ListSessionsRequest {
                        subject_container_id: pool.clone(),
                        page_size,
                        page_token,
                        filter: filter.clone(),
                    };
                    async move {
                        let page = session
                            .ask(request, |hub, request| async move {
                                hub.synchronization_sessions().list_sessions(request).await
                            })
                            .await?;
                        Ok((page.sessions, page.next_page_token))
                    }
                })
                .await?;
            session.output.list(&sessions, &COLUMNS)
        }
    }
}

async fn get(session: &Session, id: &str) -> Result<SynchronizationSession, Failure> {
    let request = GetSessionRequest {
        session_id: id.to_owned(),
    };
    let answer = session
        .ask(request, |hub, request| async move {
            hub.synchronization_sessions().get_session(request).await
        })
        .await?;
    answer
        .session
        .ok_or_else(|| Failure::Other("the hub answered without a session".to_owned()))
}

async fn watch(session: &Session, id: &str) -> Result<(), Failure> {
    let mut shown = String::new();
    loop {
        let found = get(session, id).await?;
        let line = format!(
            "{}  {}",
            choice(status(&found).as_str_name()),
            progress(&found)
        );
        if line != shown {
            eprintln!("{line}");
            shown = line;
        }
        if !matches!(
            status(&found),
            SessionStatus::Opened | SessionStatus::Pending
        ) {
            return session.output.one(&found);
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn with_type(filter: String, session_type: Option<Stream>) -> String {
    let Some(stream) = session_type else {
        return filter;
    };
    let condition = format!("session_type = \"{}\"", stream.session_type().as_str_name());
    if filter.is_empty() {
        condition
    } else {
        format!("{filter} AND {condition}")
    }
}

fn status(session: &SynchronizationSession) -> SessionStatus {
    SessionStatus::try_from(session.status).unwrap_or_default()
}

/// The counters in one line: `USER create 12, update 3 (1 failed); GROUP create 2`.
fn progress(session: &SynchronizationSession) -> String {
    let entries = session.progress_entries.iter().map(|entry| {
        let object = RelatedObjectType::try_from(entry.object_type).unwrap_or_default();
        let changes: Vec<String> = entry
            .change_info
            .iter()
            .map(|info| {
                let change = ChangeType::try_from(info.change_type).unwrap_or_default();
                let name = change.as_str_name().to_lowercase();
                if info.failed == 0 {
                    format!("{name} {}", info.successful)
                } else {
                    format!("{name} {} ({} failed)", info.successful, info.failed)
                }
            })
            .collect();
        format!("{} {}", object.as_str_name(), changes.join(", "))
    });
    entries.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use rollcall_proto::idp::{ChangeInfo, ProgressEntry};

    use super::*;

    #[test]
    fn progress_fits_in_one_line() {
        let info = |change_type: ChangeType, successful, failed| ChangeInfo {
            change_type: change_type.into(),
            successful,
            failed,
        };
        let session = SynchronizationSession {
            progress_entries: vec![
                ProgressEntry {
                    object_type: RelatedObjectType::User.into(),
                    change_info: vec![
                        info(ChangeType::Create, 12, 0),
                        info(ChangeType::Update, 3, 1),
                    ],
                },
                ProgressEntry {
                    object_type: RelatedObjectType::Group.into(),
                    change_info: vec![info(ChangeType::Create, 2, 0)],
                },
            ],
            ..Default::default()
        };
        assert_eq!(
            progress(&session),
            "USER create 12, update 3 (1 failed); GROUP create 2"
        );
    }

    #[test]
    fn the_type_joins_the_filter() {
        assert_eq!(with_type(String::new(), None), "");
        assert_eq!(
            with_type("status = \"FAILED\"".into(), Some(Stream::AdSync)),
            "status = \"FAILED\" AND session_type = \"AD_SYNC\""
        );
    }
}
