//! Hashes of passwords that are imported: `rollcall user set-password-hash`, and the flags of
//! `rollcall user create`.
//!
//! Invariant: a hash never stands in a process list: it is read from standard input or a file, and
//! no flag takes the hash itself.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use prost_types::Timestamp;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::idp::{PasswordHash, SetPasswordHashRequest};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::{prompt, user, value};

/// Stands for "read it from standard input".
pub const STANDARD_INPUT: &str = "-";

/// The hash and what goes with it.
#[derive(Debug, Args)]
pub struct SetHashArguments {
    /// Login or identifier of the user.
    user: String,
    /// File with the hash; - reads it from standard input.
    #[arg(long, value_name = "FILE", default_value = STANDARD_INPUT)]
    password_hash_file: PathBuf,
    /// Form of the hash.
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = HashType::AdMd4)]
    password_hash_type: HashType,
    /// When the password was set; an older one does not replace a newer one.
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    created_at: Option<Timestamp>,
    /// The password must be changed at the next sign-in.
    #[arg(long)]
    need_change: bool,
}

/// Forms of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HashType {
    /// NT hash of Active Directory: 32 hexadecimal digits.
    AdMd4,
    /// PBKDF2 with SHA-256 of 389 Directory Server.
    LdapPbkdf2Sha256,
    /// PBKDF2 with SHA-256 of OpenLDAP.
    LdapPbkdf2Sha256Openldap,
    /// PBKDF2 with SHA-512.
    LdapPbkdf2Sha512,
    /// PKCS5S2.
    LdapPkcs5s2,
}

impl HashType {
    fn wire(self) -> PasswordHashType {
        match self {
            Self::AdMd4 => PasswordHashType::AdMd4,
            Self::LdapPbkdf2Sha256 => PasswordHashType::LdapPbkdf2Sha256,
            Self::LdapPbkdf2Sha256Openldap => PasswordHashType::LdapPbkdf2Sha256Openldap,
            Self::LdapPbkdf2Sha512 => PasswordHashType::LdapPbkdf2Sha512,
            Self::LdapPkcs5s2 => PasswordHashType::LdapPkcs5s2,
        }
    }
}

/// Imports a hash.
///
/// # Errors
/// Whatever the calls end with.
pub async fn set(session: &Session, arguments: SetHashArguments) -> Result<(), Failure> {
    let hash = wire(
        &arguments.password_hash_file,
        arguments.password_hash_type,
        arguments.created_at,
    )?;
    let request = SetPasswordHashRequest {
        user_id: user::find(session, &arguments.user).await?,
        hash: Some(hash),
        need_change: arguments.need_change,
    };
    let () = session
        .change(request, |hub, request| async move {
            hub.users().set_password_hash(request).await
        })
        .await?;
    session
        .output
        .done(&format!("the hash of user {} is imported", arguments.user))
}

/// The hash in the first line of `file`, or of standard input.
///
/// # Errors
/// `Usage` when there is none.
pub fn wire(
    file: &Path,
    form: HashType,
    created_at: Option<Timestamp>,
) -> Result<PasswordHash, Failure> {
    let hash = if file == Path::new(STANDARD_INPUT) {
        prompt::secret_line()?
    } else {
        prompt::secret_of_file(file)?
    };
    Ok(PasswordHash {
        password_hash: hash.expose().to_owned(),
        password_hash_type: form.wire().into(),
        created_at,
    })
}
