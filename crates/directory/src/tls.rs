//! The way to the server: name resolution, connection, TLS, and why it failed.
//!
//! Invariant: without [`Verification::DangerouslyOff`] no byte of LDAP is sent to a server whose
//! certificate was not verified for the configured host. Deliberately absent: StartTLS; LDAPS does
//! the same with one round trip less and cannot be stripped.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rollcall_kit::timestamp::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::{CertificateProblem, Error};
use crate::options::{Channel, Options, Url, Verification, parse_host};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// A file of authorities; the largest collections have some hundred.
const CA_FILE_BYTES_MAX: u64 = 8 << 20;

/// A byte stream to the directory.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Channeled {
    pub stream: Box<dyn Stream>,
    /// When the certificate of the server expires; nothing for plain text.
    pub certificate_expires: Option<Timestamp>,
}

/// Connects as the options say.
pub(crate) async fn open(options: &Options, url: &Url) -> Result<Channeled, Error> {
    // Before anything is sent: a wrong file should not look like a wrong network.
    let tls = match url.channel {
        Channel::Tls => Some(Arc::new(configuration(options)?)),
        Channel::Plain => None,
    };
    let (host, port) = match &options.address {
        None => (url.host.clone(), url.port),
        Some(address) => parse_host(address, url.port).map_err(|why| Error::InvalidUrl {
            url: address.clone(),
            why,
        })?,
    };
    let tcp = connect(&host, port, options.connect_timeout).await?;
    // Requests are small and wait for their answer.
    tcp.set_nodelay(true).ok();
    let Some(tls) = tls else {
        return Ok(Channeled {
            stream: Box::new(tcp),
            certificate_expires: None,
        });
    };
    let stream = handshake(tls, tcp, url, options.connect_timeout).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate_expires = certificates.and_then(|list| list.first()).and_then(expiry);
    Ok(Channeled {
        stream: Box::new(stream),
        certificate_expires,
    })
}

async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, Error> {
    let resolved = timeout(limit, lookup_host((host, port))).await;
    let failed = |source| Error::NameResolution {
        host: host.to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = resolved
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
        .map_err(failed)?
        .take(ADDRESSES_MAX)
        .collect();
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("no answer within {} s", limit.as_secs()),
        }
    }
    Err(Error::Unreachable {
        address: format!("{host}:{port}"),
        why,
    })
}

async fn handshake(
    configuration: Arc<ClientConfig>,
    tcp: TcpStream,
    url: &Url,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from(url.host.clone()).map_err(|_| Error::InvalidUrl {
        url: url.host.clone(),
        why: "the host is neither a name nor an address",
    })?;
    let connecting = TlsConnector::from(configuration).connect(name, tcp);
    match timeout(limit, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(explain(&error, &url.host)),
        Err(_) => Err(Error::Tls {
            host: url.host.clone(),
            why: format!("no answer within {} s", limit.as_secs()),
        }),
    }
}

fn explain(error: &io::Error, host: &str) -> Error {
    let host = host.to_owned();
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Error::Certificate {
            host,
            problem: explain_certificate(why),
        },
        Some(other) => Error::Tls {
            host,
            why: other.to_string(),
        },
        None => Error::Tls {
            host,
            why: error.to_string(),
        },
    }
}

fn explain_certificate(why: &CertificateError) -> CertificateProblem {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateProblem::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid
        }
        // A wrong signature: an authority of the same name with another key, such as a renewed one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            CertificateProblem::UnknownIssuer
        }
        CertificateError::Revoked => CertificateProblem::Revoked,
        CertificateError::NotValidForName => CertificateProblem::NameMismatch { valid_for: vec![] },
        CertificateError::NotValidForNameContext { presented, .. } => {
            CertificateProblem::NameMismatch {
                valid_for: presented.iter().map(|name| bare_name(name)).collect(),
            }
        }
        other => CertificateProblem::Other(other.to_string()),
    }
}

/// The TLS library writes names as `DnsName("a.b")`.
fn bare_name(name: &str) -> String {
    let quoted = name
        .split_once('"')
        .and_then(|(_, rest)| rest.rsplit_once('"'));
    quoted.map_or(name, |(inner, _)| inner).to_owned()
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Timestamp::from_seconds(
        parsed.validity().not_after.timestamp(),
    ))
}

fn configuration(options: &Options) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls_failed = |error: rustls::Error| Error::Tls {
        host: options.url.clone(),
        why: error.to_string(),
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(tls_failed)?;
    let builder = match options.verification {
        Verification::Required => builder.with_root_certificates(authorities(options)?),
        Verification::DangerouslyOff => {
            warn!(
                url = options.url,
                "the certificate of the directory is NOT verified: whoever is on the way can read \
                 the password of the account and change what is synchronised"
            );
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(options: &Options) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let Some(path) = &options.ca_path else {
        // Single unreadable files of the system's store do not matter as long as one fits.
        let (_, _) =
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let failed = |why: String| Error::CaFile {
        path: path.clone(),
        why,
    };
    check_size(path).map_err(failed)?;
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    for certificate in certificates {
        store
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(store)
}

fn check_size(path: &Path) -> Result<(), String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > CA_FILE_BYTES_MAX {
        return Err(format!("it has more than {CA_FILE_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Accepts every certificate; only behind [`Verification::DangerouslyOff`].
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
