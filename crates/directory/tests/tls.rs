//! What is wrong with a certificate is told apart and explained.
//!
//! A Samba domain controller of the lab has a right certificate; here a TLS server of the test shows
//! wrong ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rollcall_directory::{Bind, CertificateProblem, Connection, Error, Options};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// An authority, and where its certificate lies.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    ca_path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca_path = directory.path().join("ca.pem");
        std::fs::write(&ca_path, issuer.pem()).unwrap();
        Self {
            issuer,
            ca_path,
            _directory: directory,
        }
    }

    /// Serves TLS with a certificate of this shape and reads what comes; returns its port.
    async fn serve(&self, params: CertificateParams) -> u16 {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(tcp).await {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.ok();
                }
            }
        });
        port
    }

    async fn connect(&self, port: u16) -> Result<Connection, Error> {
        Connection::open(&Options {
            ca_path: Some(self.ca_path.clone()),
            ..Options::new(format!("ldaps://127.0.0.1:{port}"), Bind::Anonymous)
        })
        .await
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

async fn problem(authority: &Authority, params: CertificateParams) -> CertificateProblem {
    let port = authority.serve(params).await;
    match authority.connect(port).await.unwrap_err() {
        Error::Certificate { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn wrong_certificates_are_told_apart() {
    let authority = Authority::new();
    let mut right = params("127.0.0.1");
    right.not_after = date_time_ymd(2199, 1, 1);
    let port = authority.serve(right).await;
    let connection = authority.connect(port).await.unwrap();
    let expires = connection.certificate_expires().unwrap();
    assert!(expires.to_string().starts_with("2199-01-01"), "{expires}");

    let mut expired = params("127.0.0.1");
    expired.not_after = date_time_ymd(2020, 1, 1);
    assert_eq!(
        problem(&authority, expired).await,
        CertificateProblem::Expired
    );

    let mut future = params("127.0.0.1");
    future.not_before = date_time_ymd(2190, 1, 1);
    future.not_after = date_time_ymd(2199, 1, 1);
    assert_eq!(
        problem(&authority, future).await,
        CertificateProblem::NotYetValid
    );

    let other = problem(&authority, params("dc1.corp.example.com")).await;
    let valid_for = vec!["dc1.corp.example.com".to_owned()];
    assert_eq!(other, CertificateProblem::NameMismatch { valid_for });
    assert!(
        other.to_string().contains("dc1.corp.example.com only"),
        "{other}"
    );

    let stranger = Authority::new();
    let port = stranger.serve(params("127.0.0.1")).await;
    match authority.connect(port).await.unwrap_err() {
        Error::Certificate { problem, .. } => {
            assert_eq!(problem, CertificateProblem::UnknownIssuer);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_port_without_tls_is_explained() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut tcp, answer)
            .await
            .unwrap();
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.ok();
    });
    let error = authority.connect(port).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    assert!(error.to_string().contains("LDAPS"), "{error}");
}
