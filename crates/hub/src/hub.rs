//! The hub: what every call and job works with.
//!
//! Invariant: clock and randomness come from here and nowhere else. Deliberately absent: the
//! network, which is `listener` and `front`.

use std::net::IpAddr;
use std::sync::Arc;

use rollcall_domain::quota::Quotas;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session::Lease;
use rollcall_kit::clock::Clock;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::id::new_id;
use rollcall_kit::secret::SecretBytes;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::AuditTrail;
use crate::config::{Config, LimitsConfig, PasswordWritebackConfig, SignInConfig};
use crate::dns::Dns;
use crate::generated_password::PasswordMaker;
use crate::limits;
use crate::page_token::PageTokens;
use crate::password_hash::HashingPool;
use crate::password_writeback::PasswordChanges;
use crate::rate_limit::RateLimiter;
use crate::sealing::SealingKey;
use crate::service_account_key::KeyMaker;
use crate::session_token::ChangeTokens;
use crate::token::TokenCache;

const UUID_BYTES: usize = 16;

/// A hub without its port.
pub struct Hub {
    /// Where everything is.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where keys, tokens and ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// Public address `host:port`.
    pub address: String,
    /// Accepted audiences of a JWT (decision U127).
    pub audiences: Vec<String>,
    /// Suffix of the built-in domain of each pool.
    pub domain_suffix: String,
    /// Lease of a session.
    pub lease: Lease,
    /// How many things of a kind another thing may hold.
    pub quotas: Quotas,
    /// Seals what must not lie in the clear.
    pub sealing_key: SealingKey,
    /// Key of the digests of repeated requests.
    pub digest_key: SecretBytes,
    /// Makes and checks page tokens.
    pub page_tokens: PageTokens,
    /// Makes up passwords.
    pub password_maker: PasswordMaker,
    /// Makes and checks tokens that allow to replace a password.
    pub change_tokens: ChangeTokens,
    /// How sign-ins are answered and how long they last.
    pub sign_in: SignInConfig,
    /// How long a directory may take for a new password.
    pub password_writeback: PasswordWritebackConfig,
    /// Tells of password changes that wait for a directory.
    pub password_changes: PasswordChanges,
    /// Workers for password hashes.
    pub hashing: HashingPool,
    /// Makes keys of service accounts.
    pub keys: KeyMaker,
    /// Tokens seen lately.
    pub tokens: TokenCache,
    /// What callers may ask.
    pub limits: LimitsConfig,
    /// How often each subject calls, by its id.
    pub subject_rates: RateLimiter<String>,
    /// How often each address calls without a valid token.
    pub address_rates: RateLimiter<IpAddr>,
    /// Asks for the proofs of domains.
    pub dns: Dns,
    /// Wakes the strengthening job.
    pub sealed_hash_arrived: Notify,
    /// Wakes the validation job.
    pub domain_validation_due: Notify,
    /// The audit trail.
    pub audit: AuditTrail,
    /// Changes and events that go on when their caller is gone; the hub ends after them.
    pub calls: TaskTracker,
    /// Places for changes.
    pub changes: Arc<Semaphore>,
    /// Places for sign-ins.
    pub sign_ins: Arc<Semaphore>,
    /// Cancelled when the hub stops.
    pub stopping: CancellationToken,
}

/// What a hub is made of.
pub struct Parts {
    /// Where everything is.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where keys, tokens and ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// Seals what must not lie in the clear.
    pub sealing_key: SealingKey,
}

impl Hub {
    /// A hub with `config`, reached at `address`.
    ///
    /// # Errors
    /// When a value of the configuration is out of range.
    pub fn new(parts: Parts, config: &Config, address: String) -> anyhow::Result<Self> {
        let mut audiences = vec![
            format!("https://iam.{address}/iam/v1/tokens"),
            "https://iam.api.cloud.yandex.net/iam/v1/tokens".to_owned(),
        ];
        audiences.extend(config.token_audiences.iter().cloned());
        Ok(Self {
            lease: lease(config)?,
            digest_key: parts.sealing_key.derive("request digests"),
            page_tokens: PageTokens::new(&parts.sealing_key),
            password_maker: PasswordMaker::new(&parts.sealing_key),
            change_tokens: ChangeTokens::new(&parts.sealing_key),
            sign_in: config.sign_in,
            password_writeback: config.password_writeback,
            password_changes: PasswordChanges::default(),
            store: parts.store,
            clock: parts.clock,
            entropy: parts.entropy,
            address,
            audiences,
            domain_suffix: config.default_domain_suffix.clone(),
            quotas: config.quotas.to_quotas(),
            sealing_key: parts.sealing_key,
            hashing: HashingPool::new(),
            keys: KeyMaker::new(),
            tokens: TokenCache::default(),
            subject_rates: RateLimiter::new(config.limits.requests_per_second, config.limits.burst),
            address_rates: RateLimiter::new(
                config.limits.anonymous_requests_per_second,
                config.limits.anonymous_burst,
            ),
            limits: config.limits,
            dns: Dns::new(&config.dns)?,
            sealed_hash_arrived: Notify::new(),
            domain_validation_due: Notify::new(),
            audit: AuditTrail::new(config.audit.retention_days),
            calls: TaskTracker::new(),
            changes: Arc::new(Semaphore::new(limits::CHANGES_AT_ONCE_MAX)),
            sign_ins: Arc::new(Semaphore::new(limits::SIGN_INS_AT_ONCE_MAX)),
            stopping: CancellationToken::new(),
        })
    }

    /// A new id of a noun.
    #[must_use]
    pub fn new_id(&self, prefix: &str, now: Timestamp) -> String {
        new_id(prefix, now, self.entropy.as_ref())
    }

    /// A new name for a call.
    #[must_use]
    pub fn new_request_id(&self) -> String {
        let mut bytes = [0; UUID_BYTES];
        self.entropy.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

fn lease(config: &Config) -> Result<Lease, Refusal> {
    let sessions = &config.sessions;
    let longest = i64::from(sessions.max_session_duration_seconds);
    let lease = Lease::from_seconds(i64::from(sessions.lease_seconds))?;
    Ok(lease.with_session_max((longest > 0).then(|| Span::seconds(longest))))
}
