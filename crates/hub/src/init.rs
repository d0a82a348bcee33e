//! `rollcall-hub init`: makes a data directory with a new organization in it.
//!
//! Invariant: the directory is complete or not there: everything is made in a directory beside it
//! that takes its name at the end. Deliberately absent: starting the hub.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rollcall_domain::access::{AccessBinding, ResourceRef, Role, Subject};
use rollcall_domain::filter::Filter;
use rollcall_domain::id::{KeyId, OrganizationId, ServiceAccountId};
use rollcall_domain::organization::{Organization, OrganizationInput};
use rollcall_domain::page::PageRequest;
use rollcall_domain::service_account::{ServiceAccount, ServiceAccountKey};
use rollcall_kit::clock::Clock;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::id::new_id;
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::Tx;
use serde::Serialize;

use crate::config::{Config, DatabaseUrl, split_address};
use crate::data_directory::DataDirectory;
use crate::sealing::SealingKey;
use crate::service_account_key::{self, KeyPairPem};
use crate::{certificate, server};

const ADMINISTRATOR: &str = "administrator";
const ADMINISTRATOR_DESCRIPTION: &str = "Made at init; owns the organization";
const KEY_DESCRIPTION: &str = "Made at init; administrator.json of the data directory";
const UNFINISHED_SUFFIX: &str = ".unfinished";
const NAME_CHARACTERS_MAX: usize = 63;

/// What `init` is told.
#[derive(Debug)]
pub struct Request {
    /// The directory to make.
    pub data: PathBuf,
    /// Display name of the organization.
    pub organization: String,
    /// Public address `host:port`.
    pub address: String,
    /// A PostgreSQL database instead of embedded SQLite.
    pub database: Option<String>,
}

/// What `init` made.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The organization.
    pub organization_id: String,
    /// Public address `host:port`.
    pub address: String,
    /// Path of the certificate that clients must trust.
    pub ca: PathBuf,
    /// Path of the authorized key of the administrator's service account.
    pub key: PathBuf,
}

/// Makes a data directory.
///
/// # Errors
/// When the directory or the database holds a hub already, or any part cannot be made; nothing is left then.
pub async fn init(
    request: Request,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> anyhow::Result<Made> {
    let target = absolute(&request.data)?;
    let host = split_address(&request.address).context("--address")?.0;
    let occupied = DataDirectory::at(&target);
    if target.exists() {
        occupied.create()?;
    }
    let unfinished = beside(&target)?;
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).with_context(|| {
            format!(
                "{} of an earlier try cannot be removed",
                unfinished.display()
            )
        })?;
    }
    let data = DataDirectory::at(&unfinished);
    data.create()?;
    let made = fill(&data, &request, &host, clock.now(), entropy).await;
    let organization_id = match made {
        Ok(id) => id,
        Err(error) => {
            remove(&unfinished);
            return Err(error);
        }
    };
    // An empty directory in the way is replaced; anything else makes this fail.
    if let Err(error) = std::fs::rename(&unfinished, &target) {
        remove(&unfinished);
        return Err(error).with_context(|| format!("{} cannot be made", target.display()));
    }
    let data = DataDirectory::at(&target);
    Ok(Made {
        organization_id: organization_id.into_string(),
        address: request.address,
        ca: data.ca_certificate(),
        key: data.administrator_key(),
    })
}

async fn fill(
    data: &DataDirectory,
    request: &Request,
    host: &str,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> anyhow::Result<OrganizationId> {
    let mut config = Config::for_address(&request.address);
    config.database = request.database.clone().map(DatabaseUrl::new);
    let text = config.to_yaml()?;
    let config = Config::parse(&text)?;
    SealingKey::create(&data.sealing_key(), entropy)?;
    let certificates = certificate::create(host, &request.organization, now)?;
    let ca = &certificates.ca;
    DataDirectory::write_new(&data.ca_certificate(), ca.certificate.as_bytes())?;
    DataDirectory::write_new(&data.ca_key(), ca.key.expose().as_bytes())?;
    let server = &certificates.server;
    DataDirectory::write_new(&data.server_certificate(), server.certificate.as_bytes())?;
    DataDirectory::write_new(&data.server_key(), server.key.expose().as_bytes())?;

    let pair = tokio::task::spawn_blocking(service_account_key::generate).await??;
    let first = First::new(&request.organization, &pair, now, entropy)?;
    let key_file = service_account_key::render_file(
        first.key.id.as_str(),
        first.account.id.as_str(),
        now,
        &pair,
    )?;
    DataDirectory::write_new(&data.administrator_key(), key_file.expose().as_bytes())?;
    DataDirectory::write_new(&data.config(), text.as_bytes())?;
    let organization_id = first.organization.id.clone();
    // A database outside the directory cannot be taken back, so it comes last.
    let store = server::open_store(data, &config).await?;
    store
        .write(async move |tx: &Tx| {
            let page = PageRequest::first();
            let present = tx.list_organizations(&Filter::default(), &page).await?;
            if !present.items.is_empty() {
                bail!(
                    "the database holds an organization already: give an empty one, or copy the \
                     data directory of its hub to run a replica"
                );
            }
            let saved = first.save(tx).await;
            saved.context("the organization cannot be stored")
        })
        .await?;
    Ok(organization_id)
}

/// The first rows of a hub.
struct First {
    organization: Organization,
    account: ServiceAccount,
    key: ServiceAccountKey,
    binding: AccessBinding,
}

impl First {
    fn new(
        title: &str,
        pair: &KeyPairPem,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Self> {
        let id = OrganizationId::new(new_id(OrganizationId::PREFIX, now, entropy));
        let input = OrganizationInput {
            name: resource_name(title),
            title: title.to_owned(),
            ..OrganizationInput::default()
        };
        let organization = Organization::create(input, id.clone(), now)?;
        let account_id = ServiceAccountId::new(new_id(ServiceAccountId::PREFIX, now, entropy));
        let account = ServiceAccount::create(
            id.clone(),
            ADMINISTRATOR,
            ADMINISTRATOR_DESCRIPTION,
            account_id.clone(),
            now,
        )?;
        Ok(Self {
            organization,
            account,
            key: ServiceAccountKey::create(
                account_id.clone(),
                KEY_DESCRIPTION,
                pair.public_key.clone(),
                KeyId::new(new_id(KeyId::PREFIX, now, entropy)),
                now,
            )?,
            binding: AccessBinding {
                resource: ResourceRef::organization(&id),
                role: Role::Owner,
                subject: Subject::service_account(account_id),
            },
        })
    }

    async fn save(&self, tx: &Tx) -> Result<(), rollcall_store::Error> {
        tx.insert_organization(&self.organization).await?;
        tx.insert_service_account(&self.account).await?;
        tx.insert_service_account_key(&self.key).await?;
        tx.insert_access_binding(&self.binding).await?;
        Ok(())
    }
}

/// A name of the allowed form made from a display name: `Acme & Co.` becomes `acme-co`.
fn resource_name(title: &str) -> String {
    let mut name = String::new();
    for c in title.chars().flat_map(char::to_lowercase) {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        let begins = name.is_empty() && !c.is_ascii_lowercase();
        let repeats = c == '-' && name.ends_with('-');
        if !(begins || repeats) && name.len() < NAME_CHARACTERS_MAX {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "organization".to_owned()
    } else {
        name.to_owned()
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("--data {}", path.display()))
}

fn beside(target: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = target.file_name() else {
        bail!("--data {} names no directory", target.display());
    };
    let mut name: OsString = name.to_owned();
    name.push(UNFINISHED_SUFFIX);
    let parent = target.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)
        .with_context(|| format!("{} cannot be made", parent.display()))?;
    Ok(parent.join(name))
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "an unfinished directory is left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::clock::SystemClock;
    use rollcall_kit::entropy::SystemEntropy;

    fn request(data: &Path, address: &str) -> Request {
        Request {
            data: data.to_owned(),
            organization: "Acme & Co.".into(),
            address: address.into(),
            database: None,
        }
    }

    #[test]
    fn names_fit_the_rule() {
        let check = |title: &str, name: &str| assert_eq!(resource_name(title), name);
        check("Acme & Co.", "acme-co");
        check("2 Fast", "fast");
        check("Рога и копыта", "organization");
        check("", "organization");
        assert_eq!(resource_name(&"x".repeat(100)).len(), NAME_CHARACTERS_MAX);
    }

    #[tokio::test]
    async fn a_directory_is_made_once_and_completely() {
        let temp = tempfile::tempdir().unwrap();
        let target = temp.path().join("a/hub");
        let made = init(
            request(&target, "localhost:8443"),
            &SystemClock,
            &SystemEntropy,
        )
        .await
        .unwrap();
        assert!(made.organization_id.starts_with("bpf"));
        assert!(made.ca.exists() && made.key.exists());
        let again = init(
            request(&target, "localhost:8443"),
            &SystemClock,
            &SystemEntropy,
        )
        .await;
        assert!(
            again
                .unwrap_err()
                .to_string()
                .contains("already holds a hub")
        );
        assert_eq!(std::fs::read_dir(temp.path().join("a")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn nothing_half_made_is_left() {
        let temp = tempfile::tempdir().unwrap();
        for address in ["no-port", "пример:1"] {
            let target = temp.path().join("hub");
            let failed = init(request(&target, address), &SystemClock, &SystemEntropy).await;
            assert!(failed.is_err(), "{address}");
            assert_eq!(
                std::fs::read_dir(temp.path()).unwrap().count(),
                0,
                "{address}"
            );
        }
        let mut unreachable = request(&temp.path().join("hub"), "localhost:1");
        unreachable.database = Some("postgres://nobody@127.0.0.1:1/none".into());
        assert!(
            init(unreachable, &SystemClock, &SystemEntropy)
                .await
                .is_err()
        );
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
