//! Replication from a domain of the lab.

use std::collections::HashMap;

use md4::{Digest, Md4};
use rollcall_directory::{
    Credential, Error, Guid, Kdc, Mechanism, ReplicatedAttribute, ReplicatedObject, Replication,
    ReplicationCursor, ReplicationOptions, SecurityOptions,
};
use rollcall_kit::secret::SecretString;
use rollcall_lab::samba::Dc;

pub const ATTRIBUTES: [ReplicatedAttribute; 3] = [
    ReplicatedAttribute::UnicodePwd,
    ReplicatedAttribute::PwdLastSet,
    ReplicatedAttribute::UserAccountControl,
];

pub fn options_for(
    dc: &Dc,
    mechanism: Mechanism,
    user: &str,
    password: &str,
) -> ReplicationOptions {
    let credential = Credential::Password {
        domain: match mechanism.is_kerberos() {
            true => dc.realm().to_owned(),
            false => "CORP".to_owned(),
        },
        user: user.to_owned(),
        password: SecretString::new(password.to_owned()),
    };
    let mut security = SecurityOptions::new(mechanism, credential, dc.host_name());
    security.kdcs = vec![Kdc::parse(&dc.ip().to_string()).unwrap()];
    ReplicationOptions::new(dc.ip().to_string(), security, dc.base_dn())
}

pub fn options(dc: &Dc, mechanism: Mechanism) -> ReplicationOptions {
    options_for(dc, mechanism, "svc-sync", dc.sync_password())
}

pub async fn open(options: &ReplicationOptions) -> Result<Replication, Error> {
    Replication::open(options).await
}

/// Everything after the cursor, and the next cursor.
pub async fn changes(
    replication: &mut Replication,
    mut cursor: ReplicationCursor,
) -> (HashMap<Guid, ReplicatedObject>, ReplicationCursor) {
    let mut all = HashMap::new();
    loop {
        let page = replication.next_page(&cursor, &ATTRIBUTES).await.unwrap();
        all.extend(page.objects.into_iter().map(|object| (object.guid, object)));
        cursor = page.cursor;
        if !page.more {
            return (all, cursor);
        }
    }
}

pub async fn sweep(
    replication: &mut Replication,
) -> (HashMap<Guid, ReplicatedObject>, ReplicationCursor) {
    changes(replication, ReplicationCursor::default()).await
}

pub fn md4_of(password: &str) -> [u8; 16] {
    let bytes: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Md4::digest(bytes).into()
}
