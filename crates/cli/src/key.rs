//! `rollcall key`: authorized keys of service accounts.
//!
//! Invariant: the private half goes into a new file that only its owner can read, or to standard
//! output when asked for by `-`, and nowhere else; the hub does not keep it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rollcall_client::{CallContext, render_key_file};
use rollcall_kit::secret::SecretString;
use rollcall_proto::admin::{
    CreateKeyRequest, CreateKeyResponse, DeleteKeyRequest, DisableKeyRequest, EnableKeyRequest,
    GetKeyRequest, Key, ListKeysRequest, key,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::output::{Column, choice, moment};
use crate::page::ListArguments;
use crate::service_account;

/// Readable by its owner alone.
const MODE: u32 = 0o600;
/// Stands for standard output.
const STANDARD_OUTPUT: &str = "-";

const COLUMNS: [Column<Key>; 5] = [
    ("ID", |key| key.id.clone()),
    ("STATUS", |key| choice(status(key).as_str_name())),
    ("CREATED", |key| moment(key.created_at.as_ref())),
    ("LAST USED", |key| moment(key.last_used_at.as_ref())),
    ("DESCRIPTION", |key| key.description.clone()),
];

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a key and writes its file, this once: the hub does not keep the private half.
    #[command(
        after_help = "Examples:\n  rollcall key create sync-agent --file agent-key.json\n  \
                            rollcall key create sync-agent --file - | vault kv put secret/agent \
                            key=-"
    )]
    Create {
        /// Name or identifier of the service account.
        service_account: String,
        /// Where the key goes: a file that does not exist yet, or - for standard output.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Free text, such as where the key is used.
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// Shows the public part of a key.
    Get {
        /// Identifier of the key.
        id: String,
    },
    /// Lists the keys of a service account.
    List {
        /// Name or identifier of the service account.
        service_account: String,
        #[command(flatten)]
        list: ListArguments,
    },
    /// Refuses a key from now on; tokens given for it live to their end.
    Disable {
        /// Identifier of the key.
        id: String,
    },
    /// Accepts a disabled key again.
    Enable {
        /// Identifier of the key.
        id: String,
    },
    /// Deletes a key; tokens given for it live to their end.
    Delete {
        /// Identifier of the key.
        id: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Create {
            service_account,
            file,
            description,
        } => create(session, &service_account, &file, description).await,
        Command::Get { id } => {
            let request = GetKeyRequest { key_id: id };
            let key = session
                .ask(request, |hub, request| async move {
                    hub.service_accounts().get_key(request).await
                })
                .await?;
            session.output.one(&key)
        }
        Command::List {
            service_account,
            list,
        } => list_keys(session, &service_account, &list).await,
        Command::Disable { id } => {
            let request = DisableKeyRequest { key_id: id };
            let key: Key = session
                .change(request, |hub, request| async move {
                    hub.service_accounts().disable_key(request).await
                })
                .await?;
            session.output.one(&key)
        }
        Command::Enable { id } => {
            let request = EnableKeyRequest { key_id: id };
            let key: Key = session
                .change(request, |hub, request| async move {
                    hub.service_accounts().enable_key(request).await
                })
                .await?;
            session.output.one(&key)
        }
        Command::Delete { id, confirmation } => delete(session, id, &confirmation).await,
    }
}

async fn create(
    session: &Session,
    service_account: &str,
    path: &Path,
    description: String,
) -> Result<(), Failure> {
    let request = CreateKeyRequest {
        service_account_id: service_account::find(session, service_account).await?,
        description,
    };
    let file = KeyFile::open(path)?;
    // Not repeated: a repetition would make another key, and an answer that got lost cannot be had
    // again.
    let once = CallContext::mutation().with_attempts_max(1);
    let mut made = session
        .client
        .call_with_retry(&once, request, |hub, request| async move {
            hub.service_accounts().create_key(request).await
        })
        .await?;
    let id = made.key.as_ref().map(|key| key.id.clone());
    let written = render_key_file(&made)
        .map_err(|error| Failure::Other(error.to_string()))
        .and_then(|text| file.write(&text));
    wipe(&mut made);
    written.map_err(|failure| {
        Failure::Other(format!(
            "{failure}; the key cannot be had again: delete it with `rollcall key delete {}`",
            id.unwrap_or_default()
        ))
    })?;
    if path.as_os_str() == STANDARD_OUTPUT {
        return Ok(());
    }
    match &made.key {
        Some(key) => session.output.one(key),
        None => Ok(()),
    }
}

/// Takes the private half out of the answer, and out of memory.
fn wipe(made: &mut CreateKeyResponse) {
    drop(SecretString::new(std::mem::take(&mut made.private_key)));
}

async fn list_keys(
    session: &Session,
    service_account: &str,
    list: &ListArguments,
) -> Result<(), Failure> {
    let id = service_account::find(session, service_account).await?;
    let keys = list
        .collect(|page_size, page_token| {
            let request = ListKeysRequest {
                service_account_id: id.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.service_accounts().list_keys(request).await
                    })
                    .await?;
                Ok((page.keys, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&keys, &COLUMNS)
}

async fn delete(session: &Session, id: String, confirmation: &Confirmation) -> Result<(), Failure> {
    session.confirm(confirmation, &format!("Delete key {id}"))?;
    let request = DeleteKeyRequest { key_id: id.clone() };
    let () = session
        .change(request, |hub, request| async move {
            hub.service_accounts().delete_key(request).await
        })
        .await?;
    session.output.done(&format!("key {id} is deleted"))
}

fn status(key: &Key) -> key::Status {
    key::Status::try_from(key.status).unwrap_or_default()
}

/// Where a new key goes. The file is made before the key, so that a path that cannot be written
/// costs no key; it is removed when nothing came into it.
enum KeyFile<'a> {
    StandardOutput,
    New {
        path: &'a Path,
        file: File,
        is_written: bool,
    },
}

impl<'a> KeyFile<'a> {
    fn open(path: &'a Path) -> Result<Self, Failure> {
        if path.as_os_str() == STANDARD_OUTPUT {
            return Ok(Self::StandardOutput);
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Failure::usage(format!(
                    "{} exists and is not overwritten: name a new file with --file",
                    path.display()
                )),
                _ => Failure::usage(format!("cannot make {}: {error}", path.display())),
            })?;
        Ok(Self::New {
            path,
            file,
            is_written: false,
        })
    }

    fn write(mut self, text: &SecretString) -> Result<(), Failure> {
        match &mut self {
            Self::StandardOutput => {
                let mut out = io::stdout().lock();
                out.write_all(text.expose().as_bytes())
                    .and_then(|()| out.flush())
                    .map_err(Failure::Output)
            }
            Self::New {
                path,
                file,
                is_written,
            } => {
                file.write_all(text.expose().as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(|error| {
                        Failure::Other(format!("cannot write {}: {error}", path.display()))
                    })?;
                *is_written = true;
                Ok(())
            }
        }
    }
}

impl Drop for KeyFile<'_> {
    fn drop(&mut self) {
        if let Self::New {
            path,
            is_written: false,
            ..
        } = self
        {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_new_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        let file = KeyFile::open(&path).unwrap();
        file.write(&SecretString::new("secret".to_owned())).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let Err(Failure::Usage(text)) = KeyFile::open(&path) else {
            panic!("an existing file was opened");
        };
        assert!(text.contains("not overwritten"), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
    }

    #[test]
    fn a_file_without_a_key_does_not_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        drop(KeyFile::open(&path).unwrap());
        assert!(!path.exists());
        let missing = directory.path().join("missing").join("key.json");
        assert!(matches!(KeyFile::open(&missing), Err(Failure::Usage(_))));
    }
}
