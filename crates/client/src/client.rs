//! The client: options, connection, calls.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use tonic::transport::{Channel, Endpoint};

use crate::channel::AuthorizedChannel;
use crate::error::ClientError;
use crate::key::ServiceAccountKey;
use crate::tls::{Connector, Expiry};
use crate::token::TokenSource;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Decision U130.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for one page of 1,000 rows in flight without waiting for window updates, in bytes.
const STREAM_WINDOW_BYTES: u32 = 2 * 1_024 * 1_024;
/// Room for many such pages at once on the one connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1_024 * 1_024;
const USER_AGENT: &str = concat!("rollcall/", env!("CARGO_PKG_VERSION"));

/// How the caller proves who it is.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all: enough for endpoints, health and reflection.
    #[default]
    None,
    /// A token made elsewhere; it is not renewed.
    IamToken(SecretString),
    /// The key of a service account; tokens are fetched and renewed with it.
    Key(ServiceAccountKey),
}

/// Where the hub is and how to talk to it.
#[derive(Clone)]
pub struct ClientOptions {
    /// `host:port`.
    pub address: String,
    /// PEM file with the certificate authority of the hub; `None` = those the system trusts.
    pub ca_path: Option<PathBuf>,
    /// Who calls.
    pub credentials: Credentials,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where idempotency keys and waiting times come from.
    pub entropy: Arc<dyn Entropy>,
}

impl ClientOptions {
    /// Options for the hub at `address` (`host:port`), with the clock and the randomness of the
    /// machine, no credentials, and the certificate authorities of the system.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            ca_path: None,
            credentials: Credentials::None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }

    /// These options with the certificate authority in the PEM file at `path`.
    #[must_use]
    pub fn with_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_path = Some(path.into());
        self
    }

    /// These options with `credentials`.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("address", &self.address)
            .field("ca_path", &self.ca_path)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// A connection to a hub. Cloning is cheap; the services are reached through
/// [`AuthorizedChannel`], to which a client dereferences.
#[derive(Clone)]
pub struct Client {
    channel: AuthorizedChannel,
    address: Arc<str>,
    certificate: Expiry,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Client {
    /// Opens the connection and, with a key, fetches the first token, so that a wrong address,
    /// certificate or key is known at once.
    ///
    /// # Errors
    /// `Configuration` for unusable options, `Unreachable`, `Certificate`, `Unauthenticated`.
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        let (endpoint, connector) = endpoint(&options)?;
        let certificate = connector.expiry();
        let channel = endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| ClientError::from_transport(&options.address, &error))?;
        let client = Self::over(channel, certificate, options);
        client
            .channel
            .token()
            .await
            .map_err(|status| client.error(&status))?;
        Ok(client)
    }

    /// A client that connects with its first call; a hub that is away is no error yet.
    ///
    /// # Errors
    /// `Configuration` for unusable options.
    pub fn lazy(options: ClientOptions) -> Result<Self, ClientError> {
        let (endpoint, connector) = endpoint(&options)?;
        let certificate = connector.expiry();
        let channel = endpoint.connect_with_connector_lazy(connector);
        Ok(Self::over(channel, certificate, options))
    }

    fn over(channel: Channel, certificate: Expiry, options: ClientOptions) -> Self {
        let tokens = TokenSource::new(options.credentials, channel.clone(), options.clock);
        Self {
            channel: AuthorizedChannel::new(channel, Arc::new(tokens)),
            address: options.address.into(),
            certificate,
            entropy: options.entropy,
        }
    }

    /// The token that calls carry now; `None` for a client without credentials.
    ///
    /// # Errors
    /// What the exchange of the key ends with.
    pub async fn token(&self) -> Result<Option<SecretString>, ClientError> {
        self.channel
            .token()
            .await
            .map_err(|status| self.error(&status))
    }

    /// The channel, for generated clients made by hand.
    #[must_use]
    pub fn channel(&self) -> AuthorizedChannel {
        self.channel.clone()
    }

    /// `host:port` of the hub.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// When the certificate of the hub expires, as the newest connection saw it.
    #[must_use]
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        self.certificate.get()
    }

    /// What `status` means for people.
    #[must_use]
    pub fn error(&self, status: &tonic::Status) -> ClientError {
        ClientError::from_status(&self.address, status)
    }
}

impl Deref for Client {
    type Target = AuthorizedChannel;

    fn deref(&self) -> &AuthorizedChannel {
        &self.channel
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The connector speaks TLS itself, so the endpoint has no scheme that asks for it; calls name the
/// true one.
fn endpoint(options: &ClientOptions) -> Result<(Endpoint, Connector), ClientError> {
    let address = &options.address;
    let authority: Authority = address.parse().map_err(|_| bad_address(address))?;
    if authority.port_u16().is_none() || authority.as_str().contains('@') {
        return Err(bad_address(address));
    }
    let connector = Connector::new(options.ca_path.clone())?;
    let origin = format!("https://{address}").parse();
    let origin = origin.map_err(|_| bad_address(address))?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map_err(|error| {
            ClientError::configuration(format!("cannot set up a connection to {address}: {error}"))
        })?
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    Ok((endpoint, connector))
}

fn bad_address(address: &str) -> ClientError {
    ClientError::configuration(format!(
        "{address:?} is not an address of a hub: write host:port, for example \
         hub.corp.example:443"
    ))
}
