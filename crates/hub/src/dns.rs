//! Asking DNS for TXT records.
//!
//! Invariant: every look-up asks the name servers anew, because an answer from a cache would hide a
//! record that was published a moment ago, and ends within the configured time. Deliberately
//! absent: what the records mean, which the domain decides.

use anyhow::Context;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData};
use rollcall_domain::userpool_domain::AttemptFailure;

use crate::config::DnsConfig;
use crate::limits;

/// Asks the configured name servers.
pub struct Dns {
    /// `None` when the system has no usable configuration.
    resolver: Option<TokioResolver>,
    config: DnsConfig,
}

impl Dns {
    /// Asks as `config` says. A system without name servers is no error: every look-up fails then.
    ///
    /// # Errors
    /// When an address of the configuration cannot be used.
    pub fn new(config: &DnsConfig) -> anyhow::Result<Self> {
        let addresses = config.addresses()?;
        let builder = if addresses.is_empty() {
            match TokioResolver::builder_tokio() {
                Ok(builder) => builder,
                Err(error) => {
                    tracing::warn!(%error, "the system names no name servers: no domain can be \
                         validated until the key dns.servers names some");
                    return Ok(Self {
                        resolver: None,
                        config: config.clone(),
                    });
                }
            }
        } else {
            let servers = addresses.iter().map(|address| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                NameServerConfig::new(address.ip(), true, connections)
            });
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), servers.collect()),
                TokioRuntimeProvider::default(),
            )
        };
        let mut builder = builder;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.attempts = limits::DNS_TRIES_PER_LOOKUP - 1;
        let tries = u32::try_from(limits::DNS_TRIES_PER_LOOKUP).unwrap_or(1);
        options.timeout = config.timeout() / tries;
        let resolver = builder.build().context("no resolver for DNS can be made")?;
        Ok(Self {
            resolver: Some(resolver),
            config: config.clone(),
        })
    }

    /// The texts of the TXT records at `name`, those behind aliases included. The character strings
    /// of one record are joined.
    ///
    /// # Errors
    /// `ServerFailed` or `NoAnswer`; that there is no record is an empty list.
    pub async fn find_texts(&self, name: &str) -> Result<Vec<Vec<u8>>, AttemptFailure> {
        let resolver = self.resolver.as_ref().ok_or(AttemptFailure::ServerFailed)?;
        let mut fqdn = Name::from_ascii(name).map_err(|_| AttemptFailure::ServerFailed)?;
        // Else the search list of the system would be tried, too.
        fqdn.set_fqdn(true);
        let answer = tokio::time::timeout(self.config.timeout(), resolver.txt_lookup(fqdn)).await;
        match answer {
            Ok(Ok(lookup)) => Ok(lookup
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::TXT(txt) => Some(txt.txt_data.concat()),
                    _ => None,
                })
                .collect()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => Ok(Vec::new()),
            Ok(Err(NetError::Timeout | NetError::NoConnections | NetError::Io(_))) | Err(_) => {
                Err(AttemptFailure::NoAnswer)
            }
            Ok(Err(error)) => {
                tracing::info!(name, %error, "a look-up in DNS failed");
                Err(AttemptFailure::ServerFailed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_gives_no_answer() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let config = DnsConfig {
            servers: vec![address.to_string()],
            timeout_seconds: 1,
        };
        let dns = Dns::new(&config).unwrap();
        let found = dns.find_texts("_yandexcloud-challenge.corp.example").await;
        assert_eq!(found, Err(AttemptFailure::NoAnswer));
    }
}
