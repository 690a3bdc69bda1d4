//! Encryption.

use crate::api::destination_rule::{ClientTlsSettings, TlsMode};
use crate::api::{Findings, names};

pub(super) fn validate(field: &str, tls: &ClientTlsSettings, found: &mut Findings) {
    match tls.mode {
        TlsMode::Mutual => found.error(
            format!("{field}.mode"),
            "MUTUAL is not supported: there are no client certificates",
        ),
        TlsMode::IstioMutual => found.warning(
            format!("{field}.mode"),
            "ISTIO_MUTUAL is as DISABLE for now: pods have no identities yet",
        ),
        TlsMode::Disable | TlsMode::Simple => {}
    }
    for (name, value) in [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("credentialName", &tls.credential_name),
        ("caCrl", &tls.ca_crl),
    ] {
        if value.as_ref().is_some_and(|value| !value.is_empty()) && tls.mode == TlsMode::Simple {
            found.error(format!("{field}.{name}"), "is not supported");
        }
    }
    let trusts = [
        (
            "caCertificates",
            tls.ca_certificates.as_ref().is_some_and(|file| !file.is_empty()),
        ),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
    ];
    for (name, _) in trusts
        .iter()
        .filter(|(_, set)| *set && tls.insecure_skip_verify == Some(true))
    {
        found.error(
            format!("{field}.{name}"),
            "cannot be together with insecureSkipVerify",
        );
    }
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        if name.is_empty() {
            found.error(format!("{field}.subjectAltNames[{index}]"), "is empty");
        }
    }
    if let Some(sni) = tls
        .sni
        .as_ref()
        .filter(|sni| !sni.is_empty() && !sni.starts_with('*'))
    {
        found.check(format!("{field}.sni"), names::host(sni));
    }
}
