//! What `--check` says of the way back of passwords.
//!
//! Invariant: no password is set and no change is taken from an agent that works. The right to set
//! passwords shows only when one is set; that to have them changed at the next sign-in is asked for.

use rollcall_client::Client;
use rollcall_directory::{Base, Connection, Entry, Filter, SearchRequest};
use rollcall_proto::idp::{CommitPasswordRequest, SynchronizationSettings};
use tonic::Code;

use super::{Findings, explained};
use crate::config::Config;
use crate::failure::Failure;
use crate::password_writeback::settings_of;
use crate::reader::{self, Reader};
use crate::settings::Settings;

const NAME: &str = "password writeback";
const RIGHTS: &str = "password rights";
/// What the account may write of an object.
const WRITABLE: &str = "allowedAttributesEffective";
/// An operation that no hub has.
const NO_OPERATION: &str = "check";

/// The switches, and the right at the hub.
pub(super) async fn check_hub(
    config: &Config,
    client: &Client,
    of_hub: Option<&SynchronizationSettings>,
    findings: &mut Findings,
) {
    if !config.enable_password_writeback {
        return;
    }
    match settings_of(config, of_hub) {
        Ok(_) => findings.good(NAME, "is on in the file and in the pool"),
        Err(why) => findings.bad(NAME, &Failure::Config(why)),
    }
    // Refused for want of a right before it is looked for.
    let request = CommitPasswordRequest {
        external_user_id: NO_OPERATION.to_owned(),
        password: NO_OPERATION.to_owned(),
        modifying_operation_id: NO_OPERATION.to_owned(),
        userpool_id: config.userpool_id.clone(),
        ..CommitPasswordRequest::default()
    };
    match client.users().commit_password(request).await {
        Err(status) if status.code() == Code::NotFound => {
            findings.good("hub permissions", "changes of passwords can be taken");
        }
        Err(status) => {
            let error = client.error(&status);
            let failure = explained(&error, "cloud_credentials_file_path");
            findings.bad("hub permissions", &failure);
        }
        Ok(_) => findings.good("hub permissions", "changes of passwords can be taken"),
    }
}

/// The connection, and what the account may write of one user in the scope.
pub(super) async fn check_directory(
    config: &Config,
    settings: &Settings,
    connection: &mut Connection,
    findings: &mut Findings,
) {
    if !config.enable_password_writeback {
        return;
    }
    if !connection.is_encrypted() {
        let why = "passwords are not sent over this connection, which is not encrypted";
        return findings.bad(RIGHTS, &Failure::Config(why.into()));
    }
    let user = match some_user(config, settings, connection).await {
        Ok(Some(user)) => user,
        Ok(None) => return findings.good(RIGHTS, "nobody is there to look at"),
        Err(failure) => return findings.bad(RIGHTS, &failure),
    };
    let mut writable = user.attributes.texts(WRITABLE);
    if writable.any(|name| name.eq_ignore_ascii_case("pwdLastSet")) {
        let text = format!(
            "pwdLastSet of {} can be written; whether its password can be set shows with the first one",
            user.dn
        );
        return findings.good(RIGHTS, text);
    }
    let why = format!(
        "the account may not write pwdLastSet of {}; grant it \"Reset Password\" and \"Write \
         pwdLastSet\" on the organizational units of the filter",
        user.dn
    );
    findings.bad(RIGHTS, &Failure::Run(why));
}

/// One of the users in the organizational units of the filter.
async fn some_user(
    config: &Config,
    settings: &Settings,
    connection: &mut Connection,
) -> Result<Option<Entry>, Failure> {
    let mut reader = Reader::connect(config, &settings.filter.domain).await?;
    for place in reader.places(&settings.filter).await? {
        let filter = Filter::And(vec![
            Filter::equal("objectClass", "user"),
            Filter::Not(Box::new(Filter::equal("objectClass", "computer"))),
            Filter::Not(Box::new(Filter::equal("isCriticalSystemObject", "TRUE"))),
        ]);
        let request = SearchRequest {
            page_size: 1,
            ..SearchRequest::subtree(Base::Guid(place), filter, &[WRITABLE])
        };
        let first = match connection.search(request).await {
            Ok(mut search) => search.next().await,
            Err(error) => Err(error),
        };
        let first = first.map_err(|error| reader::failure(&error))?;
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}
