//! One certificate authority: a self-signed ECDSA P-256 certificate, its private key, and the certificates that it issues.
//! The keyring holds up to two of them; what they issue goes to `serving`.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long before the moment of its creation a certificate is valid, so that a machine whose clock is behind accepts it, but
/// never more than a tenth of its time. The value is that of Kubernetes' own certificate signers.
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// Why a certificate or a private key was refused.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text is not PEM, or a section of it is not what its label says.
    #[error("is not PEM with a {expected}: {reason}")]
    Pem {
        /// The kind of section that belongs here.
        expected: &'static str,
        /// What the parser said; never a part of the content.
        reason: String,
    },
    /// There is another number of certificates than the one that belongs here.
    #[error("has {0} certificates where one belongs")]
    Count(usize),
    /// A certificate's DER cannot be read.
    #[error("has a certificate that cannot be parsed: {0}")]
    Parse(String),
    /// The certificate may not sign others (RFC 5280, 4.2.1.3 and 4.2.1.9).
    #[error(
        "is not a CA's certificate: basicConstraints must say CA:TRUE, and keyUsage, if it is there, keyCertSign"
    )]
    NotAnAuthority,
    /// The private key belongs to another certificate.
    #[error("does not belong to the certificate: the public keys differ")]
    KeyMismatch,
    /// The authority's own time is over, so that nothing it signs could be valid.
    #[error(
        "expired: a certificate issued at {now} (Unix time) would outlive its authority, which ends at {not_after}"
    )]
    Expired {
        /// The moment of the request, in seconds since 1970.
        now: u64,
        /// The end of the authority's validity, in seconds since 1970.
        not_after: u64,
    },
    /// A name cannot be in a certificate.
    #[error("cannot name {0:?}: a DNS name is ASCII")]
    Name(String),
    /// The cryptographic library failed.
    #[error("could not be generated or signed: {0}")]
    Sign(#[from] rcgen::Error),
}

/// From when to when a certificate is valid, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: SystemTime,
    /// The last second.
    pub not_after: SystemTime,
}

impl Validity {
    /// Whether `now` is after the last second.
    pub fn is_over(&self, now: SystemTime) -> bool {
        now > self.not_after
    }

    /// The moment at which half of it has passed: the time to replace what is replaced before it ends.
    pub fn half(&self) -> SystemTime {
        self.not_before + self.not_after.duration_since(self.not_before).unwrap_or_default() / 2
    }

    /// Of any certificate.
    ///
    /// # Errors
    /// When it is no X.509 certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|e| CertificateError::Parse(e.to_string()))?;
        let time = |t: x509_parser::time::ASN1Time| from_unix(t.timestamp().max(0).unsigned_abs());
        Ok(Self {
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
        })
    }
}

/// What a serving certificate is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The DNS names by which clients will verify it.
    pub dns_names: Vec<String>,
    /// The IP addresses by which clients will verify it.
    pub ips: Vec<IpAddr>,
}

/// An issued certificate and its private key. `Debug` shows everything but the key.
pub struct Identity {
    /// The certificate, then those between it and the authority (none, when an [`Authority`] issued it).
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// When it is valid.
    pub validity: Validity,
    /// The certificate of the authority that signed it.
    pub issuer: CertificateDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// A certificate authority with its private key. `Debug` shows everything but the key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
    validity: Validity,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority with the common name `name`, valid for `lifetime` from `now`. It may sign end entities only.
    ///
    /// # Errors
    /// When the random source or the signature fails.
    pub fn generate(name: &str, lifetime: Duration, now: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = dated(now, now + lifetime);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key)?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// The authority with this certificate (PEM, exactly one) and this private key (PEM, PKCS #8).
    ///
    /// # Errors
    /// When either cannot be read, when the certificate is not a CA's, or when the two do not belong together. That the
    /// certificate has expired is no error here: only who knows the time can tell.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let mut found = certificates(certificate_pem)?;
        let count = found.len();
        let Some(certificate) = found.pop().filter(|_| count == 1) else {
            return Err(CertificateError::Count(count));
        };
        let key = KeyPair::from_pem(key_pem).map_err(|e| CertificateError::Pem {
            expected: "PRIVATE KEY",
            reason: e.to_string(),
        })?;

        let (_, parsed) =
            X509Certificate::from_der(&certificate).map_err(|e| CertificateError::Parse(e.to_string()))?;
        let signs = parsed
            .key_usage()
            .ok()
            .flatten()
            .is_none_or(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !signs {
            return Err(CertificateError::NotAnAuthority);
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(CertificateError::KeyMismatch);
        }
        Ok(Self {
            validity: Validity::of(&certificate)?,
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
            certificate_pem: to_pem(&certificate),
            key_pem: key_pem.to_owned(),
            certificate,
        })
    }

    /// A certificate for a TLS server with a new key, valid for `ttl` from `now` but never longer than the authority.
    ///
    /// # Errors
    /// When a name is not a DNS name, when the authority has expired, or when the signature fails.
    pub fn issue(
        &self,
        request: &Request,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Identity, CertificateError> {
        if self.validity.is_over(now) {
            return Err(CertificateError::Expired {
                now: unix(now),
                not_after: unix(self.validity.not_after),
            });
        }
        let key = KeyPair::generate()?;
        let mut params = dated(now, (now + ttl).min(self.validity.not_after));
        for name in &request.dns_names {
            let name = name
                .as_str()
                .try_into()
                .map_err(|_| CertificateError::Name(name.clone()))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params
            .subject_alt_names
            .extend(request.ips.iter().copied().map(SanType::IpAddress));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = CertificateDer::from(params.signed_by(&key, &self.issuer)?);
        Ok(Identity {
            validity: Validity::of(&certificate)?,
            chain: vec![certificate],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            issuer: self.certificate.clone(),
        })
    }

    /// The certificate, as clients need it to trust what the authority signs.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate as PEM, with a newline at its end.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// When the authority is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The private key as PEM, for the one place in which it is stored.
    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

/// The certificates in a PEM text, in their order; other sections are passed over.
///
/// # Errors
/// When a section is broken.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| CertificateError::Pem {
            expected: "CERTIFICATE",
            reason: e.to_string(),
        })
}

/// The PEM text of a certificate. It is written anew from the DER, because what surrounds a certificate in the text it came
/// from (a private key, say) must not be published with it.
pub(crate) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let section = pem::Pem::new("CERTIFICATE", certificate.to_vec());
    pem::encode_config(
        &section,
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

/// Seconds since 1970; a time before that is 0.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The opposite of [`unix`].
pub(crate) fn from_unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn dated(now: SystemTime, not_after: SystemTime) -> CertificateParams {
    let backdate = BACKDATE.min(not_after.duration_since(now).unwrap_or_default() / 10);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = now.checked_sub(backdate).unwrap_or(SystemTime::UNIX_EPOCH).into();
    params.not_after = not_after.into();
    params
}

#[cfg(test)]
mod tests;
