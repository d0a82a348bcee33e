//! The section `password_writeback` of `hub.yaml`: how long a directory may take for a new password.
//!
//! Invariant: a value out of range is refused at the start, naming its key.

use anyhow::bail;
use rollcall_domain::password_writeback::{
    DEADLINE_SECONDS_DEFAULT, DEADLINE_SECONDS_MAX, DEADLINE_SECONDS_MIN,
};
use rollcall_kit::timestamp::Span;
use serde::{Deserialize, Serialize};

/// The section `password_writeback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordWritebackConfig {
    /// The directory has so many seconds to accept a new password, 10 to 300 (decision U89).
    pub deadline_seconds: u32,
}

impl Default for PasswordWritebackConfig {
    fn default() -> Self {
        Self {
            deadline_seconds: DEADLINE_SECONDS_DEFAULT,
        }
    }
}

impl PasswordWritebackConfig {
    /// Whether nothing was set, so that `init` writes nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The time a directory has.
    #[must_use]
    pub fn deadline(&self) -> Span {
        Span::seconds(self.deadline_seconds.into())
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the key that is out of range.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (value, min, max) = (
            self.deadline_seconds,
            DEADLINE_SECONDS_MIN,
            DEADLINE_SECONDS_MAX,
        );
        if !(min..=max).contains(&value) {
            bail!("key password_writeback.deadline_seconds: {value} is outside {min} to {max}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_deadline_is_read_and_checked() {
        let read = |seconds: u32| {
            let text =
                format!("address: a:1\npassword_writeback: {{deadline_seconds: {seconds}}}\n");
            Config::parse(&text)
        };
        let config = read(10).unwrap();
        assert_eq!(config.password_writeback.deadline().as_seconds(), 10);
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
        assert!(read(300).is_ok());
        for wrong in [0, 9, 301] {
            let error = format!("{:#}", read(wrong).unwrap_err());
            assert!(
                error.contains("password_writeback.deadline_seconds"),
                "{error}"
            );
        }
        let default = Config::for_address("a:1");
        assert_eq!(default.password_writeback.deadline().as_seconds(), 60);
        assert!(!default.to_yaml().unwrap().contains("password_writeback"));
    }
}
