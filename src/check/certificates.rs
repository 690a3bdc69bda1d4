//! Certificates as they lie in the cluster: the authority in its Secret, and bundles of those that are trusted. Pure.
//! Before it: `cluster`, which read them. After it: `webhooks` and `installation`, which compare them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use outrigger_certs::{Validity, certificates};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::verdict::Verdict;

/// An authority renews itself half a year before it ends; one that has so little left could not.
const LATE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is known of the control plane's authority.
#[derive(Debug)]
pub(super) enum Authorities {
    /// The one that signs.
    Known { signer: CertificateDer<'static> },
    /// The Secret has none, or a broken one.
    Missing(String),
    /// The Secret may not be read.
    Unknown(String),
}

impl Authorities {
    /// From the Secret `outrigger-ca`. Of its keys only the certificate is looked at.
    pub(super) fn of_secret(secret: Option<&Value>) -> Self {
        let Some(secret) = secret else {
            return Self::Missing("is not there".to_owned());
        };
        match Bundle::of_base64(&secret["data"]["ca-cert.pem"]) {
            Ok(Bundle(mut found)) => Self::Known {
                signer: found.swap_remove(0),
            },
            Err(problem) => Self::Missing(format!("is broken: data[\"ca-cert.pem\"] {problem}")),
        }
    }

    /// Whether it is there and will be for a while.
    pub(super) fn judge(&self, now: SystemTime) -> Verdict {
        const CHECK: &str = "certificate_authority";
        let signer = match self {
            Self::Known { signer } => signer,
            Self::Unknown(why) => return Verdict::unknown(CHECK, why),
            Self::Missing(problem) => {
                return Verdict::fail(
                    CHECK,
                    format!("the Secret outrigger-ca {problem}"),
                    "see the control plane's log; deleting the Secret makes a new one, after which all pods with a proxy \
                     have to be restarted",
                );
            }
        };
        let validity = match Validity::of(signer) {
            Ok(validity) => validity,
            Err(error) => {
                return Verdict::fail(
                    CHECK,
                    format!("the certificate of the Secret outrigger-ca is broken: {error}"),
                    "put the right one back",
                );
            }
        };
        let until = day(validity.not_after);
        let left = validity.not_after.duration_since(now).unwrap_or_default();
        if left.is_zero() {
            Verdict::fail(
                CHECK,
                format!("the authority has expired on {until}"),
                "see the control plane's log: it renews the authority itself",
            )
        } else if left < LATE {
            Verdict::warn(
                CHECK,
                format!("the authority expires on {until} and has not been renewed"),
                "see the control plane's log: it renews the authority itself",
            )
        } else {
            Verdict::ok(CHECK, format!("valid until {until}"))
        }
    }
}

/// At least one certificate.
#[derive(Debug)]
pub(super) struct Bundle(Vec<CertificateDer<'static>>);

impl Bundle {
    /// From PEM text.
    pub(super) fn of_pem(pem: &str) -> Result<Self, String> {
        match certificates(pem) {
            Ok(found) if found.is_empty() => Err("holds no certificate".to_owned()),
            Ok(found) => Ok(Self(found)),
            Err(error) => Err(format!("cannot be read: {error}")),
        }
    }

    /// From PEM text in base64, as `caBundle`s and the data of Secrets are.
    pub(super) fn of_base64(value: &Value) -> Result<Self, String> {
        let text = value.as_str().unwrap_or_default();
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("is no base64: {error}"))?;
        if bytes.is_empty() {
            return Err("is empty".to_owned());
        }
        Self::of_pem(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn has(&self, authority: &CertificateDer<'_>) -> bool {
        self.0.iter().any(|certificate| certificate == authority)
    }

    /// What is wrong with the dates of one of them.
    pub(super) fn expired(&self, authority: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
        match Validity::of(authority) {
            Ok(validity) if validity.is_over(now) => Some(format!("expired on {}", day(validity.not_after))),
            Ok(_) => None,
            Err(error) => Some(format!("cannot be read: {error}")),
        }
    }

    /// What is wrong if none of them is valid any more.
    pub(super) fn all_expired(&self, now: SystemTime) -> Option<String> {
        let problems: Option<Vec<_>> = self.0.iter().map(|one| self.expired(one, now)).collect();
        problems.and_then(|mut problems| problems.pop())
    }
}

/// The day, in UTC.
fn day(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(
        |_| "a day out of range".to_owned(),
        |at| at.strftime("%Y-%m-%d").to_string(),
    )
}
