//! The section `sign_in` of `hub.yaml`: how long sessions and their tokens live, and how guessing is
//! slowed down.
//!
//! Invariant: a value out of range is refused at the start, naming its key. Deliberately absent: the
//! guard of a single user, which is a policy of the pool.

use std::time::Duration;

use anyhow::bail;
use rollcall_domain::password_policy::BruteforcePolicy;
use rollcall_domain::sign_in_guard::FAILURES_MAX;
use rollcall_domain::sign_in_session::SessionLifetimes;
use rollcall_kit::timestamp::Span;
use serde::{Deserialize, Serialize};

/// Span in which the failures of an address are counted.
const ADDRESS_WINDOW: Span = Span::minutes(10);
/// How long an address is refused.
const ADDRESS_BLOCK: Span = Span::minutes(10);

/// The section `sign_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignInConfig {
    /// A token for calls lives so many seconds.
    pub token_seconds: u32,
    /// A session that nobody renews ends after so many seconds.
    pub session_idle_seconds: u32,
    /// A session ends after so many seconds, however often it is renewed.
    pub session_seconds_max: u32,
    /// Sign-ins that may fail in ten minutes for one address, whoever they are for; further ones of
    /// that address are refused for ten minutes. 0 = any number.
    pub address_failures: u32,
    /// No sign-in fails faster than that, in milliseconds, so that the time does not tell why.
    pub failure_milliseconds: u32,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self {
            token_seconds: 30 * 60,
            session_idle_seconds: 12 * 60 * 60,
            session_seconds_max: 30 * 24 * 60 * 60,
            address_failures: 100,
            failure_milliseconds: 250,
        }
    }
}

impl SignInConfig {
    /// Whether nothing was set, so that `init` writes nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the key that is out of range.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let failures_max = u32::try_from(FAILURES_MAX).unwrap_or(u32::MAX);
        let ranges = [
            ("token_seconds", self.token_seconds, 60, 3_600),
            (
                "session_idle_seconds",
                self.session_idle_seconds,
                300,
                2_592_000,
            ),
            (
                "session_seconds_max",
                self.session_seconds_max,
                300,
                31_536_000,
            ),
            ("address_failures", self.address_failures, 0, failures_max),
            ("failure_milliseconds", self.failure_milliseconds, 0, 900),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                bail!("key sign_in.{key}: {value} is outside {min} to {max}");
            }
        }
        if self.session_seconds_max < self.session_idle_seconds {
            bail!(
                "key sign_in.session_seconds_max: {} is less than session_idle_seconds ({})",
                self.session_seconds_max,
                self.session_idle_seconds
            );
        }
        Ok(())
    }

    /// How long tokens and sessions live.
    #[must_use]
    pub fn lifetimes(&self) -> SessionLifetimes {
        let seconds = |seconds: u32| Span::seconds(seconds.into());
        SessionLifetimes {
            token: seconds(self.token_seconds),
            idle: seconds(self.session_idle_seconds),
            longest: seconds(self.session_seconds_max),
        }
    }

    /// The guard of an address.
    #[must_use]
    pub fn address_policy(&self) -> BruteforcePolicy {
        BruteforcePolicy {
            window: ADDRESS_WINDOW,
            block: ADDRESS_BLOCK,
            attempts: self.address_failures.into(),
        }
    }

    /// No sign-in fails faster.
    #[must_use]
    pub fn failure_min(&self) -> Duration {
        Duration::from_millis(self.failure_milliseconds.into())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn each_value_is_read_and_checked() {
        let read = |text: &str| Config::parse(&format!("address: a:1\nsign_in: {{{text}}}\n"));
        let config = read("token_seconds: 60, address_failures: 0").unwrap();
        assert_eq!(config.sign_in.token_seconds, 60);
        assert!(!config.sign_in.address_policy().is_on());
        assert_eq!(config.sign_in.session_idle_seconds, 43_200);
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
        for (text, part) in [
            ("token_seconds: 59", "60 to 3600"),
            ("token_seconds: 3601", "sign_in.token_seconds"),
            ("session_idle_seconds: 299", "sign_in.session_idle_seconds"),
            ("session_seconds_max: 300", "less than session_idle_seconds"),
            (
                "session_seconds_max: 31536001",
                "sign_in.session_seconds_max",
            ),
            ("address_failures: 1001", "0 to 1000"),
            ("failure_milliseconds: 901", "sign_in.failure_milliseconds"),
            ("tokens: 1", "tokens"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(part), "{error} lacks {part}");
        }
        let yaml = Config::for_address("a:1").to_yaml().unwrap();
        assert!(!yaml.contains("sign_in"), "{yaml}");
    }
}
