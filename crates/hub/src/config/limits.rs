//! The section `limits` of `hub.yaml`: what one client, one address and all together may ask of
//! the hub.
//!
//! Invariant: a value out of range is refused at the start, naming its key. Deliberately absent:
//! limits that nobody needs to set (`crate::limits`) and how many things may exist (quotas).

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// The section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Largest gRPC message or REST body in bytes. The largest legal request (1,000 external ids
    /// of 256 characters, 4 bytes each) is about 1 MB.
    pub message_bytes: u32,
    /// Calls that one connection may have open at the same time.
    pub concurrent_streams: u32,
    /// Longest time a call may run in seconds, whatever deadline its client gave.
    pub call_seconds_max: u32,
    /// Calls that a signed-in subject may make in the long run, per second; 0 = any number.
    pub requests_per_second: u32,
    /// Calls that it may make at once after a rest.
    pub burst: u32,
    /// Calls without a valid token that may come from one address in the long run, per second;
    /// 0 = any number. This is what makes guessing tokens slow.
    pub anonymous_requests_per_second: u32,
    /// Such calls that may come at once after a rest.
    pub anonymous_burst: u32,
    /// Connections at one time; further clients wait.
    pub connections: u32,
    /// Connections of one address at one time; further ones are closed. 0 = any number.
    pub connections_per_address: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            message_bytes: 4 * 1024 * 1024,
            concurrent_streams: 1_000,
            call_seconds_max: 60,
            requests_per_second: 10_000,
            burst: 20_000,
            anonymous_requests_per_second: 100,
            anonymous_burst: 500,
            connections: 4_096,
            connections_per_address: 1_024,
        }
    }
}

/// The greatest rate or burst: above it there is no limit in practice.
const RATE_MAX: u32 = 1_000_000;

impl LimitsConfig {
    /// Whether nothing was set, so that `init` writes nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How many connections one address may have at one time.
    #[must_use]
    pub fn connections_of_address_max(&self) -> usize {
        match self.connections_per_address {
            0 => usize::MAX,
            max => usize::try_from(max).unwrap_or(usize::MAX),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the key that is out of range.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let ranges = [
            ("message_bytes", self.message_bytes, 65_536, 67_108_864),
            ("concurrent_streams", self.concurrent_streams, 1, 100_000),
            ("call_seconds_max", self.call_seconds_max, 1, 3_600),
            ("requests_per_second", self.requests_per_second, 0, RATE_MAX),
            ("burst", self.burst, 1, RATE_MAX),
            (
                "anonymous_requests_per_second",
                self.anonymous_requests_per_second,
                0,
                RATE_MAX,
            ),
            ("anonymous_burst", self.anonymous_burst, 1, RATE_MAX),
            ("connections", self.connections, 1, 1_000_000),
            (
                "connections_per_address",
                self.connections_per_address,
                0,
                1_000_000,
            ),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                bail!("key limits.{key}: {value} is outside {min} to {max}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn each_limit_is_read_and_checked() {
        let read = |text: &str| Config::parse(&format!("address: a:1\nlimits: {{{text}}}\n"));
        let config = read("message_bytes: 65536, requests_per_second: 0, burst: 7").unwrap();
        assert_eq!(config.limits.message_bytes, 65_536);
        assert_eq!(config.limits.requests_per_second, 0);
        assert_eq!(config.limits.burst, 7);
        assert_eq!(config.limits.call_seconds_max, 60);
        assert_eq!(config.limits.connections_of_address_max(), 1_024);
        let any = read("connections_per_address: 0").unwrap();
        assert_eq!(any.limits.connections_of_address_max(), usize::MAX);
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
        for (text, part) in [
            ("message_bytes: 65535", "limits.message_bytes"),
            ("concurrent_streams: 0", "limits.concurrent_streams"),
            ("call_seconds_max: 3601", "1 to 3600"),
            ("requests_per_second: 1000001", "limits.requests_per_second"),
            ("burst: 0", "limits.burst"),
            (
                "anonymous_requests_per_second: 1000001",
                "limits.anonymous_requests_per_second",
            ),
            ("anonymous_burst: 0", "limits.anonymous_burst"),
            ("connections: 0", "limits.connections"),
            (
                "connections_per_address: 1000001",
                "limits.connections_per_address",
            ),
            ("bursts: 1", "bursts"),
            ("burst: -1", "burst"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }

    #[test]
    fn defaults_are_not_written() {
        let yaml = Config::for_address("a:1").to_yaml().unwrap();
        assert!(!yaml.contains("limits"), "{yaml}");
    }
}
