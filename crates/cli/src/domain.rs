//! `rollcall userpool domains`: the domains people sign in with, and the proof that they are ours.

use clap::Subcommand;
use rollcall_client::{ClientError, operation_response};
use rollcall_proto::idp::domain_challenge::{Challenge, DnsRecord};
use rollcall_proto::idp::{
    AddUserpoolDomainRequest, DeleteUserpoolDomainRequest, Domain, GetUserpoolDomainRequest,
    ListUserpoolDomainsRequest, ValidateUserpoolDomainRequest, domain,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::operation::{self, Patience};
use crate::output::{Column, Format, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::userpool;

/// How long others may keep the record, in seconds. Short, because it is of use once.
const RECORD_TTL_SECONDS: u32 = 300;

const COLUMNS: [Column<Domain>; 4] = [
    ("DOMAIN", |domain| domain.domain.clone()),
    ("STATUS", |domain| choice(status(domain).as_str_name())),
    ("VALIDATED", validated),
    ("CREATED", |domain| moment(domain.created_at.as_ref())),
];

/// Commands about domains.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the domains of a pool.
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Shows one domain with the record that proves it.
    Get {
        /// Name of the domain.
        domain: String,
    },
    /// Ties a domain to a pool and prints the DNS record to publish, as a line of a zone file.
    #[command(
        after_help = "Example:\n  rollcall userpool domains add corp.example --userpool staff >> \
                            corp.example.zone\n  rollcall userpool domains validate corp.example \
                            --userpool staff --wait"
    )]
    Add {
        /// Name of the domain.
        domain: String,
    },
    /// Looks for the record in DNS; the hub goes on looking for some days.
    Validate {
        /// Name of the domain.
        domain: String,
        /// Wait until it is found or given up; Ctrl-C ends the waiting, not the looking.
        #[arg(long)]
        wait: bool,
    },
    /// Unties a domain from a pool.
    Delete {
        /// Name of the domain.
        domain: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    match command {
        Command::List { list, filter } => {
            let domains = list
                .collect(|page_size, page_token| {
                    fetch(
                        session,
                        pool.clone(),
                        page_size,
                        page_token,
                        filter.filter.clone(),
                    )
                })
                .await?;
            session.output.list(&domains, &COLUMNS)
        }
        Command::Get { domain } => {
            let request = GetUserpoolDomainRequest {
                userpool_id: pool,
                domain,
            };
            let domain = session
                .ask(request, |hub, request| async move {
                    hub.userpools().get_domain(request).await
                })
                .await?;
            session.output.one(&domain)
        }
        Command::Add { domain } => add(session, pool, domain).await,
        Command::Validate { domain, wait } => validate(session, pool, domain, wait).await,
        Command::Delete {
            domain,
            confirmation,
        } => delete(session, pool, &domain, &confirmation).await,
    }
}

async fn add(session: &Session, pool: String, name: String) -> Result<(), Failure> {
    let request = AddUserpoolDomainRequest {
        userpool_id: pool,
        domain: name,
    };
    let domain: Domain = session
        .change(request, |hub, request| async move {
            hub.userpools().add_domain(request).await
        })
        .await?;
    let lines: Vec<String> = records(&domain).map(zone_line).collect();
    if session.output.format() != Format::Table || lines.is_empty() {
        return session.output.one(&domain);
    }
    session.output.text(&lines.join("\n"))?;
    eprintln!(
        "rollcall: publish this record, then run `rollcall userpool domains validate {} --wait`",
        domain.domain
    );
    Ok(())
}

async fn validate(
    session: &Session,
    pool: String,
    name: String,
    is_awaited: bool,
) -> Result<(), Failure> {
    let request = ValidateUserpoolDomainRequest {
        userpool_id: pool,
        domain: name.clone(),
    };
    let mut operation = session
        .begin(request, |hub, request| async move {
            hub.userpools().validate_domain(request).await
        })
        .await?;
    if is_awaited {
        operation = operation::finish(session, operation, Patience::Endless).await?;
    }
    if !operation.done {
        eprintln!(
            "rollcall: the hub looks for the record of {name}; see `rollcall operation get {0}`, \
             or wait with `rollcall operation wait {0}`",
            operation.id
        );
        return session.output.one(&operation);
    }
    let domain: Domain =
        operation_response(operation).map_err(|status| session.client.error(&status))?;
    session.output.one(&domain)
}

async fn delete(
    session: &Session,
    pool: String,
    name: &str,
    confirmation: &Confirmation,
) -> Result<(), Failure> {
    let what = format!("Untie domain {name} from pool {pool}");
    session.confirm(confirmation, &what)?;
    let request = DeleteUserpoolDomainRequest {
        userpool_id: pool,
        domain: name.to_owned(),
    };
    let () = session
        .change(request, |hub, request| async move {
            hub.userpools().delete_domain(request).await
        })
        .await?;
    session.output.done(&format!("domain {name} is untied"))
}

fn records(domain: &Domain) -> impl Iterator<Item = &DnsRecord> {
    domain.challenges.iter().filter_map(|challenge| {
        let Challenge::DnsChallenge(record) = challenge.challenge.as_ref()?;
        Some(record)
    })
}

/// The record as a line of a zone file (RFC 1035 5.1).
fn zone_line(record: &DnsRecord) -> String {
    let name = record.name.trim_end_matches('.');
    let value = record.value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{name}. {RECORD_TTL_SECONDS} IN TXT \"{value}\"")
}

fn status(domain: &Domain) -> domain::Status {
    domain::Status::try_from(domain.status).unwrap_or_default()
}

/// When ownership was proven; the interface says 1970 before that.
fn validated(domain: &Domain) -> String {
    moment(domain.validated_at.as_ref().filter(|time| time.seconds > 0))
}

async fn fetch(
    session: &Session,
    userpool_id: String,
    page_size: i64,
    page_token: String,
    filter: String,
) -> Result<(Vec<Domain>, String), ClientError> {
    let request = ListUserpoolDomainsRequest {
        userpool_id,
        page_size,
        page_token,
        filter,
    };
    let page = session
        .ask(request, |hub, request| async move {
            hub.userpools().list_domains(request).await
        })
        .await?;
    Ok((page.domains, page.next_page_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_a_line_of_a_zone_file() {
        let record = DnsRecord {
            name: "_yandexcloud-challenge.corp.example".into(),
            value: "a\"b\\c=".into(),
            ..Default::default()
        };
        assert_eq!(
            zone_line(&record),
            "_yandexcloud-challenge.corp.example. 300 IN TXT \"a\\\"b\\\\c=\""
        );
    }

    #[test]
    fn a_domain_without_proof_has_no_time_of_it() {
        let mut domain = Domain::default();
        assert_eq!(validated(&domain), "");
        domain.validated_at = Some(prost_types::Timestamp::default());
        assert_eq!(validated(&domain), "");
    }
}
