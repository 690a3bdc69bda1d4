//! TLS to an endpoint that the application speaks plain HTTP or bytes to: a DestinationRule's `tls` of mode SIMPLE.
//! Belongs to `pool`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fetch::Anyone;
use crate::protocol::mesh;

/// What is spoken inside of TLS, as ALPN names it (RFC 7301); opaque bytes offer nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Http1,
    Http2,
    Bytes,
}

/// How a cluster's connections are encrypted.
#[derive(Debug)]
pub(crate) struct Tls {
    /// In SNI, and in the certificate unless other names are given.
    name: String,
    names: Vec<String>,
    skip_verify: bool,
    /// Of authorities; without it they are the public ones.
    ca_file: Option<PathBuf>,
    made: Mutex<Option<Made>>,
}

/// What is made of a file of authorities as long as it stays the same.
#[derive(Debug)]
struct Made {
    of: Option<SystemTime>,
    configs: [Arc<ClientConfig>; 3],
}

impl Tls {
    /// `None` for mode DISABLE.
    pub(super) fn new(published: &mesh::ClientTls) -> Option<Self> {
        match published.mode() {
            mesh::client_tls::Mode::Disable => None,
            mesh::client_tls::Mode::Simple => Some(Self {
                name: published.sni.clone(),
                names: published.subject_alt_names.clone(),
                skip_verify: published.insecure_skip_verify,
                ca_file: (!published.ca_file.is_empty()).then(|| published.ca_file.clone().into()),
                made: Mutex::new(None),
            }),
        }
    }

    /// The handshake.
    ///
    /// # Errors
    /// What of the settings, of the file of authorities or of the server's certificate is wrong.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        inside: Inside,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.name.clone())
            .map_err(|error| io::Error::other(format!("tls.sni {:?}: {error}", self.name)))?;
        let config = self.config(inside).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }

    fn config(&self, inside: Inside) -> Result<Arc<ClientConfig>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // The authorities may be exchanged while the proxy runs.
        let now = self.ca_file.as_ref().and_then(|file| {
            std::fs::metadata(file)
                .and_then(|metadata| metadata.modified())
                .ok()
        });
        if let Some(made) = made.as_ref().filter(|made| made.of == now) {
            return Ok(made.configs[inside as usize].clone());
        }
        let new = Made {
            of: now,
            configs: self.make()?,
        };
        let config = new.configs[inside as usize].clone();
        *made = Some(new);
        Ok(config)
    }

    fn make(&self) -> Result<[Arc<ClientConfig>; 3], String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.skip_verify {
            Arc::new(Anyone::new(provider.clone()))
        } else {
            Arc::new(Named {
                roots: self.ca_file.as_deref().map_or_else(|| Ok(public()), read)?,
                names: self.names.clone(),
                provider: provider.clone(),
            })
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let mut with = |protocols: &[&[u8]]| {
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config.clone())
        };
        Ok([with(&[b"http/1.1"]), with(&[b"h2"]), with(&[])])
    }
}

fn public() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn read(file: &Path) -> Result<RootCertStore, String> {
    let wrong = |why: String| format!("tls.caCertificates {}: {why}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Takes a certificate that the authorities have signed for one of the names; without names, for the one of SNI.
#[derive(Debug)]
struct Named {
    roots: RootCertStore,
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Named {
    fn has_name(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        sni: &ServerName<'_>,
    ) -> bool {
        if self.names.is_empty() {
            return verify_server_name(parsed, sni).is_ok();
        }
        let uris: Vec<&str> = webpki::EndEntityCert::try_from(certificate)
            .map(|certificate| certificate.valid_uri_names().collect())
            .unwrap_or_default();
        self.names
            .iter()
            .any(|name| match ServerName::try_from(name.as_str()) {
                Ok(name) => verify_server_name(parsed, &name).is_ok(),
                // Not a host: an identity such as spiffe://cluster.local/ns/default/sa/reviews.
                Err(_) => uris.contains(&name.as_str()),
            })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        sni: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        match self.has_name(certificate, &parsed, sni) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
