//! The secure way to the hub, made anew for each connection.
//!
//! Invariant: the file of the certificate authority is read for every connection, so that a new
//! one counts without a restart; no byte is sent to a hub whose certificate does not name the
//! configured host. Deliberately absent: a way to switch verification off.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rollcall_kit::timestamp::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::ClientError;

const ALPN_HTTP2: &[u8] = b"h2";
/// A file of authorities; the largest collections have some hundred.
const CA_FILE_BYTES_MAX: u64 = 8 << 20;
/// No certificate was seen yet.
const UNKNOWN: i64 = i64::MIN;

/// When the certificate of the hub expires, as the last connection saw it. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Expiry(Arc<AtomicI64>);

/// Opens connections to one hub.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    ca_path: Option<PathBuf>,
    expiry: Expiry,
}

impl Expiry {
    pub(crate) fn get(&self) -> Option<Timestamp> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds != UNKNOWN).then(|| Timestamp::from_seconds(seconds))
    }

    fn see(&self, stream: &TlsStream<TcpStream>) {
        let certificates = stream.get_ref().1.peer_certificates();
        let first = certificates.and_then(<[CertificateDer<'_>]>::first);
        let parsed = first.and_then(|der| X509Certificate::from_der(der).ok());
        if let Some((_, certificate)) = parsed {
            let end = certificate.validity().not_after.timestamp();
            self.0.store(end, Ordering::Relaxed);
        }
    }
}

impl Connector {
    /// A way with the authorities in the PEM file at `ca_path`, or those of the system.
    ///
    /// # Errors
    /// `Configuration` when the file cannot be used now.
    pub(crate) fn new(ca_path: Option<PathBuf>) -> Result<Self, ClientError> {
        authorities(ca_path.as_deref())
            .map_err(|error| ClientError::configuration(error.to_string()))?;
        Ok(Self {
            ca_path,
            expiry: Expiry(Arc::new(AtomicI64::new(UNKNOWN))),
        })
    }

    pub(crate) fn expiry(&self) -> Expiry {
        self.expiry.clone()
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let host = uri.host().unwrap_or_default();
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let roots = authorities(self.ca_path.as_deref())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or_default())).await?;
        // Requests are small and wait for their answer.
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let stream = stream.await?;
        self.expiry.see(&stream);
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

fn authorities(path: Option<&Path>) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Some(path) = path else {
        // Single unreadable files of the system's store do not matter as long as one fits.
        let (_, _) =
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let unusable = |why: String| {
        io::Error::other(format!(
            "cannot read the certificate authority {}: {why}",
            path.display()
        ))
    };
    let size = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?;
    if size.len() > CA_FILE_BYTES_MAX {
        return Err(unusable(format!(
            "it has more than {CA_FILE_BYTES_MAX} bytes"
        )));
    }
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        let added = store.add(certificate);
        added.map_err(|error| unusable(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(unusable("there is no certificate in PEM form".to_owned()));
    }
    Ok(store)
}

/// What is wrong with a hub's certificate and what to do.
pub(crate) fn explain(address: &str, error: &rustls::Error) -> String {
    let mut text = format!("the hub at {address} does not prove who it is: ");
    let rustls::Error::InvalidCertificate(why) = error else {
        let _ = write!(text, "{error}; check that this is the port of a hub");
        return text;
    };
    let problem = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; give the hub a new one and start it again".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; check the clocks of both machines".to_owned()
        }
        // A wrong signature: an authority of the same name with another key, such as a renewed one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the issuer of its certificate is unknown; check that the certificate authority given \
             is the one of this hub (`ca` in what `rollcall-hub init` printed)"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "{error}; use such a name in the address, or give the hub a certificate that names it"
            )
        }
        other => format!("{other}; give the hub a new certificate"),
    };
    text.push_str(&problem);
    text
}
