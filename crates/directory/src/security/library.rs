//! How the library `sspi` is set up and called.
//!
//! Invariant: a panic of the library is an error of the context that called it. Deliberately absent:
//! when it is called, and what about; that is the context's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use picky_krb::crypto::CipherSuite;
use sspi::builders::{AcquireCredentialsHandle, WithoutCredentialUse};
use sspi::credssp::SspiContext;
use sspi::ntlm::NtlmConfig;
use sspi::{
    AuthIdentity, ClientRequestFlags, CredentialUse, Credentials, CredentialsBuffers, Kerberos,
    KerberosConfig, KeytabIdentity, Negotiate, NegotiateConfig, Ntlm, SecurityBufferFlags,
    SecurityBufferRef, Username,
};

use super::error::SecurityError;
use super::{Credential, Mechanism, Purpose, SecurityOptions};

/// Of what the library says; some of it comes from the other side.
const REASON_CHARACTERS_MAX: usize = 200;
/// What the library is told instead of an address, so that a referral to another realm shows.
pub(super) const KDC_MARK: &str = "kdc.invalid";
/// When an exchange fails, for messages.
pub(super) const DURING: &str = "signing in to the domain controller";

/// The library for the configured mechanism.
pub(super) fn start(options: &SecurityOptions) -> sspi::Result<SspiContext> {
    let computer = || options.computer.clone();
    let kerberos = || KerberosConfig::new_with_kdc_url(&format!("tcp://{KDC_MARK}:88"), computer());
    // Named with their opposites: the library must not choose.
    let negotiate = |config, packages: &str| {
        Negotiate::new_client(NegotiateConfig::new(
            config,
            Some(packages.to_owned()),
            computer(),
        ))
    };
    Ok(match options.mechanism {
        Mechanism::Ntlm => SspiContext::Ntlm(Ntlm::with_config(NtlmConfig::new(computer()))),
        Mechanism::Kerberos => SspiContext::Kerberos(Kerberos::new_client_from_config(kerberos())?),
        Mechanism::SpnegoKerberos => {
            SspiContext::Negotiate(negotiate(Box::new(kerberos()), "kerberos,!ntlm,!pku2u")?)
        }
        Mechanism::SpnegoNtlm => SspiContext::Negotiate(negotiate(
            Box::new(NtlmConfig::new(computer())),
            "!kerberos,ntlm,!pku2u",
        )?),
    })
}

/// What the library makes of our credential.
pub(super) fn acquire(
    library: &mut SspiContext,
    options: &SecurityOptions,
) -> sspi::Result<Option<CredentialsBuffers>> {
    let name = |user: &str, domain: &str| {
        Username::new(user, Some(domain))
            .map_err(|error| sspi::Error::new(sspi::ErrorKind::InvalidParameter, error.to_string()))
    };
    let credentials = match &options.credential {
        Credential::Password {
            domain,
            user,
            password,
        } => {
            // Kerberos asks in the realm; NTLM wants the NetBIOS name.
            let domain = match options.mechanism.is_kerberos() {
                true => &options.realm,
                false => domain,
            };
            Credentials::AuthIdentity(AuthIdentity {
                username: name(user, domain)?,
                password: password.expose().to_owned().into(),
            })
        }
        Credential::Keytab(key) => Credentials::Keytab(KeytabIdentity {
            principal: name(&key.principal, &key.realm)?,
            key: key.key.expose().to_vec().into(),
            key_enctype: CipherSuite::Aes256CtsHmacSha196,
        }),
    };
    let acquired = AcquireCredentialsHandle::<'_, _, _, WithoutCredentialUse>::new()
        .with_auth_data(&credentials)
        .with_credential_use(CredentialUse::Outbound)
        .execute(library)?;
    Ok(acquired.credentials_handle)
}

/// What both sides must be able to do.
pub(super) fn requirements(purpose: Purpose) -> ClientRequestFlags {
    let common = ClientRequestFlags::MUTUAL_AUTH
        | ClientRequestFlags::INTEGRITY
        | ClientRequestFlags::CONFIDENTIALITY
        | ClientRequestFlags::SEQUENCE_DETECT
        | ClientRequestFlags::REPLAY_DETECT;
    match purpose {
        Purpose::Rpc => common | ClientRequestFlags::USE_DCE_STYLE,
        Purpose::Ldap => common,
    }
}

/// Head and trailer are signed, the body is sealed, the token is written or read.
pub(super) fn packet<'a>(
    head: &'a mut [u8],
    body: &'a mut [u8],
    trailer: &'a mut [u8],
    token: &'a mut [u8],
) -> [SecurityBufferRef<'a>; 4] {
    let signed = SecurityBufferFlags::SECBUFFER_READONLY_WITH_CHECKSUM;
    [
        SecurityBufferRef::data_buf(head).with_flags(signed),
        SecurityBufferRef::data_buf(body),
        SecurityBufferRef::data_buf(trailer).with_flags(signed),
        SecurityBufferRef::token_buf(token),
    ]
}

/// A call of the library; bytes of the network may make it panic, which must not stop anything else.
pub(super) fn guarded<T>(call: impl FnOnce() -> sspi::Result<T>) -> Result<T, SecurityError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| library_error(&error)),
        Err(_) => Err(SecurityError::Exchange {
            during: DURING,
            why: "the other side sent what cannot be understood".to_owned(),
        }),
    }
}

/// The same for opening: whatever fails there, the message is not authentic.
pub(super) fn forged<T>(call: impl FnOnce() -> sspi::Result<T>) -> Result<T, SecurityError> {
    guarded(call).map_err(|_| SecurityError::Forged("its signature or its number is wrong"))
}

/// What the library says, shortened.
pub(super) fn library_error(error: &sspi::Error) -> SecurityError {
    let reason: String = error
        .description
        .chars()
        .take(REASON_CHARACTERS_MAX)
        .collect();
    SecurityError::Exchange {
        during: DURING,
        why: format!("{:?}: {reason}", error.error_type),
    }
}
