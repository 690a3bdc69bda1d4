//! The succession of authorities: the one that signs, the one that will, and those that no longer do but are still trusted.
//! `authority` makes them; the control plane keeps the keyring in a Secret and hands its signer to `serving`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use crate::authority::{Authority, CertificateError, Validity, certificates, from_unix, to_pem, unix};

const CERTIFICATE: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const NEXT_CERTIFICATE: &str = "next-cert.pem";
const NEXT_KEY: &str = "next-key.pem";
const NEXT_SINCE: &str = "next-since";
const RETIRED: &str = "retired.pem";

/// The last second of the year 9999, the end of what X.509 can express.
const END_OF_TIME: u64 = 253_402_300_799;

/// How authorities follow one another.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The common name of the authorities.
    pub name: String,
    /// How long an authority is valid. At half of it its successor is created and published.
    pub lifetime: Duration,
    /// How long a successor is published before it signs: the time in which everybody learns the bundle.
    pub overlap: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            name: "outrigger-ca".to_owned(),
            lifetime: 365 * day,
            overlap: day,
        }
    }
}

/// Why the data of a Secret is no keyring. Each variant names the key of the Secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A key that belongs to another one is not there.
    #[error("data[{key:?}] is missing; it belongs to data[{with:?}]")]
    Missing {
        /// The missing key.
        key: &'static str,
        /// The key that is there and needs it.
        with: &'static str,
    },
    /// A value is not text.
    #[error("data[{key:?}] is not UTF-8")]
    NotText {
        /// The key of the value.
        key: &'static str,
    },
    /// A value is no certificate or no private key, or does not fit.
    #[error("data[{key:?}] {source}")]
    Certificate {
        /// The key of the value.
        key: &'static str,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The moment of publication is no moment.
    #[error("data[{key:?}] is {value:?}; it must be a number of seconds since 1970")]
    Since {
        /// The key of the value.
        key: &'static str,
        /// The value.
        value: String,
    },
}

/// A successor: published, but not signing yet.
#[derive(Debug, Clone)]
struct Next {
    authority: Arc<Authority>,
    /// When it was published; unknown for one that somebody put into the Secret by hand.
    since: Option<SystemTime>,
}

/// An authority that signs no more. Its private key is gone.
#[derive(Debug, Clone)]
struct Retired {
    certificate: CertificateDer<'static>,
    validity: Validity,
}

/// Every authority of an installation, and which of them signs.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: Arc<Authority>,
    next: Option<Next>,
    retired: Vec<Retired>,
}

impl Keyring {
    /// The keyring of a new installation: one authority, which may sign at once because nobody trusts another one yet.
    ///
    /// # Errors
    /// When the random source or the signature fails.
    pub fn generate(policy: &Policy, now: SystemTime) -> Result<Self, CertificateError> {
        let current = Arc::new(Authority::generate(&policy.name, policy.lifetime, now)?);
        Ok(Self {
            current,
            next: None,
            retired: Vec::new(),
        })
    }

    /// What the keyring becomes as time passes, or `None` if it stays as it is. In this order: certificates that expired
    /// are dropped; a successor is created when half of the signer's time has passed; it becomes the signer when it has been
    /// published for the overlap, or at once when the signer has expired, since then there is nobody left to protect.
    ///
    /// # Errors
    /// When a successor is due and cannot be generated.
    pub fn advance(&self, now: SystemTime, policy: &Policy) -> Result<Option<Self>, CertificateError> {
        let mut after = self.clone();
        after.retired.retain(|retired| !retired.validity.is_over(now));
        after.next = after.next.filter(|next| !next.authority.validity().is_over(now));
        let mut changed =
            after.retired.len() != self.retired.len() || after.next.is_some() != self.next.is_some();

        if after.next.is_none() && now >= self.current.validity().half() {
            let authority = Arc::new(Authority::generate(&policy.name, policy.lifetime, now)?);
            after.next = Some(Next {
                authority,
                since: Some(now),
            });
            changed = true;
        }
        if let Some(next) = &mut after.next
            && next.since.is_none()
        {
            next.since = Some(now);
            changed = true;
        }

        let expired = self.current.validity().is_over(now);
        let learnt = |since: SystemTime| {
            now.duration_since(since)
                .is_ok_and(|passed| passed >= policy.overlap)
        };
        if let Some(next) = after
            .next
            .take_if(|next| expired || next.since.is_some_and(learnt))
        {
            if !expired {
                let certificate = after.current.certificate().clone();
                after.retired.push(Retired {
                    certificate,
                    validity: after.current.validity(),
                });
            }
            after.current = next.authority;
            changed = true;
        }
        Ok(changed.then_some(after))
    }

    /// The authority that signs.
    pub fn signer(&self) -> &Arc<Authority> {
        &self.current
    }

    /// The certificate of the authority that will sign next, if it is published already.
    pub fn successor(&self) -> Option<&CertificateDer<'static>> {
        self.next.as_ref().map(|next| next.authority.certificate())
    }

    /// The PEM text of every certificate to trust, the oldest first: those of the retired, the signer's, its successor's.
    /// In this order the bundle stays the same when the successor becomes the signer.
    pub fn bundle(&self) -> String {
        let retired = self.retired.iter().map(|retired| to_pem(&retired.certificate));
        let mut bundle: String = retired.collect();
        bundle.push_str(self.current.certificate_pem());
        bundle.extend(self.next.iter().map(|next| next.authority.certificate_pem()));
        bundle
    }

    /// The data of the Secret in which the keyring is kept, by key.
    pub fn to_data(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, value: &str| data.insert(key.to_owned(), value.as_bytes().to_vec());
        put(CERTIFICATE, self.current.certificate_pem());
        put(KEY, self.current.key_pem());
        if let Some(next) = &self.next {
            put(NEXT_CERTIFICATE, next.authority.certificate_pem());
            put(NEXT_KEY, next.authority.key_pem());
            if let Some(since) = next.since {
                put(NEXT_SINCE, &unix(since).to_string());
            }
        }
        if !self.retired.is_empty() {
            put(
                RETIRED,
                &self
                    .retired
                    .iter()
                    .map(|retired| to_pem(&retired.certificate))
                    .collect::<String>(),
            );
        }
        data
    }

    /// The keyring in the data of a Secret, or `None` if none of its keys is there. A CA of one's own can be brought by
    /// creating the Secret with `ca-cert.pem` and `ca-key.pem` alone, or by adding `next-cert.pem` and `next-key.pem`.
    ///
    /// # Errors
    /// When a key is missing, or has a value that is not what belongs there.
    pub fn from_data(data: &BTreeMap<String, Vec<u8>>) -> Result<Option<Self>, KeyringError> {
        let next = match authority(data, NEXT_CERTIFICATE, NEXT_KEY)? {
            Some(authority) => Some(Next {
                authority: Arc::new(authority),
                since: since(data)?,
            }),
            None => None,
        };
        let retired = text(data, RETIRED)?
            .map(retired)
            .transpose()
            .map_err(|source| malformed(RETIRED, source))?;
        match authority(data, CERTIFICATE, KEY)? {
            Some(current) => Ok(Some(Self {
                current: Arc::new(current),
                next,
                retired: retired.unwrap_or_default(),
            })),
            None if next.is_some() => Err(KeyringError::Missing {
                key: CERTIFICATE,
                with: NEXT_CERTIFICATE,
            }),
            None if retired.is_some() => Err(KeyringError::Missing {
                key: CERTIFICATE,
                with: RETIRED,
            }),
            None => Ok(None),
        }
    }
}

fn malformed(key: &'static str, source: CertificateError) -> KeyringError {
    KeyringError::Certificate { key, source }
}

fn text<'a>(data: &'a BTreeMap<String, Vec<u8>>, key: &'static str) -> Result<Option<&'a str>, KeyringError> {
    let value = data.get(key).map(|value| std::str::from_utf8(value));
    value.transpose().map_err(|_| KeyringError::NotText { key })
}

fn authority(
    data: &BTreeMap<String, Vec<u8>>,
    certificate: &'static str,
    key: &'static str,
) -> Result<Option<Authority>, KeyringError> {
    match (text(data, certificate)?, text(data, key)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(KeyringError::Missing {
            key,
            with: certificate,
        }),
        (None, Some(_)) => Err(KeyringError::Missing {
            key: certificate,
            with: key,
        }),
        (Some(certificate_pem), Some(key_pem)) => {
            let blame = |source: &CertificateError| match source {
                CertificateError::Pem {
                    expected: "PRIVATE KEY",
                    ..
                }
                | CertificateError::KeyMismatch => key,
                _ => certificate,
            };
            let authority = Authority::from_pem(certificate_pem, key_pem);
            Ok(Some(
                authority.map_err(|source| malformed(blame(&source), source))?,
            ))
        }
    }
}

fn since(data: &BTreeMap<String, Vec<u8>>) -> Result<Option<SystemTime>, KeyringError> {
    let Some(value) = text(data, NEXT_SINCE)? else {
        return Ok(None);
    };
    match value.trim().parse() {
        Ok(seconds) if seconds <= END_OF_TIME => Ok(Some(from_unix(seconds))),
        _ => Err(KeyringError::Since {
            key: NEXT_SINCE,
            value: value.to_owned(),
        }),
    }
}

fn retired(pem: &str) -> Result<Vec<Retired>, CertificateError> {
    let with_validity = |certificate: CertificateDer<'static>| {
        Ok(Retired {
            validity: Validity::of(&certificate)?,
            certificate,
        })
    };
    certificates(pem)?.into_iter().map(with_validity).collect()
}

#[cfg(test)]
mod tests;
