//! What `--check` says of the way to the password hashes.
//!
//! Invariant: nothing is sent to the hub, and no hash is shown. The best proof that hashes are read
//! as they should be is the agent's own: its password is known, so its hash must be that of it.

use md4::{Digest as _, Md4};
use rollcall_directory::{HashValue, Page, ReplicationCursor};
use rollcall_kit::secret::SecretString;
use zeroize::Zeroizing;

use super::{Findings, directory_address, reach};
use crate::config::Config;
use crate::engine::Guid;
use crate::failure::Failure;
use crate::reader::Reader;
use crate::replica::{self, Replica};
use crate::settings::Settings;
use crate::stream::Stream;

/// The endpoint mapper.
const MAPPER_PORT: u16 = 135;
const NAME: &str = "password hashes";

/// Tries what the password hash stream does.
pub async fn check(config: &Config, settings: Option<&Settings>, findings: &mut Findings) {
    let Some(drsr) = &config.drsr else {
        return;
    };
    if !config.streams().contains(&Stream::PasswordHashes) {
        return;
    }
    let (key, host) = match &drsr.address {
        Some(address) => ("drsr.address", address),
        None => ("drsr.host", &drsr.host),
    };
    let address = directory_address(host, drsr.port.unwrap_or(MAPPER_PORT));
    let names = ["replication name", "replication port"];
    if !reach(names, key, &address, findings).await {
        return;
    }
    let domain = match settings {
        Some(settings) => &settings.filter.domain,
        None => &config.sync_settings.filter.domain,
    };
    let mut replica = match Replica::connect(config, domain).await {
        Ok(replica) => replica,
        Err(failure) => return findings.bad("replication account", &failure),
    };
    findings.good("replication account", "signed in");
    match replica.next_page(&ReplicationCursor::default()).await {
        Ok(page) => match single(&page, &mut replica).await {
            Ok(()) => match own_hash(config, domain, &mut replica).await {
                Some(Ok(())) => {
                    findings.good(NAME, "can be read; that of the account itself is right");
                }
                Some(Err(failure)) => findings.bad(NAME, &failure),
                None => findings.good(NAME, "can be read"),
            },
            Err(failure) => findings.bad(NAME, &failure),
        },
        Err(error) => findings.bad(NAME, &replica::failure(&error)),
    }
    replica.close().await;
}

/// Whether objects can be read one by one, which is how new users get their hash.
async fn single(page: &Page, replica: &mut Replica<'_>) -> Result<(), Failure> {
    let Some(some) = page.objects.first() else {
        return Ok(());
    };
    let found = replica.one(Guid::from_wire(*some.guid.as_bytes())).await;
    found.map(drop).map_err(|error| replica::failure(&error))
}

/// Whether the hash of the account is that of its password; `None` when that cannot be told.
async fn own_hash(
    config: &Config,
    domain: &str,
    replica: &mut Replica<'_>,
) -> Option<Result<(), Failure>> {
    let drsr = config.drsr.as_ref()?;
    let password = drsr.password.as_ref().filter(|_| !drsr.use_kerberos)?;
    let name = drsr.username.as_deref()?;
    let name = name.rsplit('\\').next()?.split('@').next()?;
    let mut reader = Reader::connect(config, domain).await.ok()?;
    let guid = reader.find_one(name).await.ok()?;
    let own = replica.one(guid).await.ok()??;
    match own.nt_hash {
        HashValue::Hash(hash) if *hash.expose() == *md4_of(password) => Some(Ok(())),
        HashValue::Undecryptable(why) => Some(Err(Failure::Run(why.to_string()))),
        HashValue::Hash(_) | HashValue::Removed | HashValue::NotSent => {
            Some(Err(Failure::Run(format!(
                "the hash of {name} is not that of its password, though it signed in with it; check whether drsr.host and the domain of the filter belong together"
            ))))
        }
    }
}

/// MS-NLMP 3.3.1, NTOWFv1.
fn md4_of(password: &SecretString) -> Zeroizing<[u8; 16]> {
    let wide = password.expose().encode_utf16().flat_map(u16::to_le_bytes);
    let wide: Zeroizing<Vec<u8>> = Zeroizing::new(wide.collect());
    Zeroizing::new(Md4::digest(&*wide).into())
}
