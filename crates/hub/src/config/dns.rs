//! The section `dns`: whom the hub asks for the proofs of domains.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// Seconds for one look-up when the configuration gives none.
const TIMEOUT_SECONDS_DEFAULT: u32 = 5;
const TIMEOUT_SECONDS_MAX: u32 = 30;
const SERVERS_MAX: usize = 8;
const PORT: u16 = 53;

/// The section `dns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Addresses of name servers, `IP` or `IP:PORT`; none = those of the system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Longest time for one look-up in seconds, 1 to 30.
    pub timeout_seconds: u32,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
        }
    }
}

impl DnsConfig {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let seconds = self.timeout_seconds;
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
            bail!("key dns.timeout_seconds: {seconds} is outside 1 to {TIMEOUT_SECONDS_MAX}");
        }
        if self.servers.len() > SERVERS_MAX {
            bail!("key dns.servers: at most {SERVERS_MAX} servers are asked");
        }
        self.addresses().map(drop)
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The configured name servers; none = those of the system.
    ///
    /// # Errors
    /// For a text that is no address.
    pub fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.servers
            .iter()
            .map(|server| match (server.parse(), server.parse::<IpAddr>()) {
                (Ok(address), _) => Ok(address),
                (_, Ok(ip)) => Ok(SocketAddr::new(ip, PORT)),
                _ => bail!(
                    "key dns.servers: `{server}` is not an address: write IP or IP:PORT, with an \
                     IPv6 address before a port in brackets"
                ),
            })
            .collect()
    }

    /// Longest time for one look-up.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(yaml: &str, expected: Result<&[&str], &str>) {
        let config: DnsConfig = serde_saphyr::from_str(yaml).unwrap();
        let checked = config.check().and_then(|()| config.addresses());
        match (checked, expected) {
            (Ok(addresses), Ok(expected)) => {
                let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                assert_eq!(texts, expected);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (checked, _) => panic!("{yaml}: {checked:?}"),
        }
    }

    #[test]
    fn addresses_have_a_port_or_the_usual_one() {
        check("{}", Ok(&[]));
        check(
            "servers: ['127.0.0.1:5353', 10.0.0.1, '[::1]:54', '::1']",
            Ok(&["127.0.0.1:5353", "10.0.0.1:53", "[::1]:54", "[::1]:53"]),
        );
        check("servers: [dns.example]", Err("dns.example"));
        check("timeout_seconds: 0", Err("1 to 30"));
        check("timeout_seconds: 31", Err("1 to 30"));
        check(
            "servers: [::1, ::1, ::1, ::1, ::1, ::1, ::1, ::1, ::1]",
            Err("at most 8"),
        );
    }
}
