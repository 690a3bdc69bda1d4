//! What a TLS server presents, replaced while it serves: a handshake takes the certificate of that moment, and connections
//! that are already open do not notice. Comes after `keyring`, whose signer issues the identity.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::authority::{CertificateError, Identity, Validity, certificates};

/// The place of a server's certificate. It starts empty, and then every handshake fails.
#[derive(Debug, Default)]
pub struct ServingCertificate {
    served: ArcSwapOption<Served>,
}

/// What is served at a moment.
#[derive(Debug)]
pub struct Served {
    certified: Arc<CertifiedKey>,
    /// When the certificate is valid.
    pub validity: Validity,
    /// The certificate of the authority that signed it.
    pub issuer: CertificateDer<'static>,
}

impl ServingCertificate {
    /// Serves `identity` from the next handshake on.
    ///
    /// # Errors
    /// When the key is of a kind that rustls cannot use, or does not belong to the certificate.
    pub fn replace(&self, identity: Identity) -> Result<(), rustls::Error> {
        let Identity {
            chain,
            key,
            validity,
            issuer,
        } = identity;
        let certified = Arc::new(CertifiedKey::from_der(chain, key, &provider())?);
        self.served.store(Some(Arc::new(Served {
            certified,
            validity,
            issuer,
        })));
        Ok(())
    }

    /// What is served now, or `None` before the first [`replace`](Self::replace).
    pub fn served(&self) -> Option<Arc<Served>> {
        self.served.load_full()
    }

    /// When the certificate that is served expires, for metrics.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.served
            .load()
            .as_ref()
            .map(|served| served.validity.not_after)
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.served
            .load()
            .as_ref()
            .map(|served| Arc::clone(&served.certified))
    }
}

/// A server's TLS settings: TLS 1.2 and later, h2 before HTTP/1.1, and the certificate that `certificate` holds when a
/// client arrives.
///
/// # Errors
/// When the crypto provider and these versions of TLS do not go together.
pub fn server_config(certificate: Arc<ServingCertificate>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The TLS settings of a client that trusts the authorities in `bundle` (PEM) and no others. It offers no protocol (ALPN),
/// which servers take for HTTP/1.1; a client that speaks another says so in `alpn_protocols`.
///
/// # Errors
/// When the bundle has no certificate or a broken one, as text that says so.
pub fn client_config(bundle: &str) -> Result<ClientConfig, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle)? {
        roots
            .add(certificate)
            .map_err(|e| CertificateError::Parse(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(CertificateError::Count(0));
    }
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| CertificateError::Parse(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
