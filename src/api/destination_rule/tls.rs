//! How connections to the endpoints are encrypted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How connections to the endpoints are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTlsSettings {
    /// Whether, and with whose certificates.
    pub mode: TlsMode,
    /// Not supported: the file of a certificate, for mode MUTUAL.
    pub client_certificate: Option<String>,
    /// Not supported: the file of its key.
    pub private_key: Option<String>,
    /// A file, in the proxy's container, of the authorities that are trusted; the public ones by default.
    pub ca_certificates: Option<String>,
    /// Not supported: a Secret.
    pub credential_name: Option<String>,
    /// The names of which the server's certificate must have one.
    pub subject_alt_names: Vec<String>,
    /// The name that the server is asked for.
    pub sni: Option<String>,
    /// Trust any certificate.
    pub insecure_skip_verify: Option<bool>,
    /// Not supported: a file of revoked certificates.
    pub ca_crl: Option<String>,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum TlsMode {
    #[default]
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}
