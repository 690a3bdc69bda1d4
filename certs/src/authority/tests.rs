//! What an issued certificate says.

use std::net::Ipv4Addr;

use x509_parser::extensions::GeneralName;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn now() -> SystemTime {
    from_unix(1_800_000_000)
}

#[test]
fn an_issued_certificate_names_what_was_asked_for() {
    let authority = Authority::generate("test-ca", 10 * HOUR, now()).unwrap();
    let request = Request {
        dns_names: vec!["a.b.svc".to_owned()],
        ips: vec![Ipv4Addr::LOCALHOST.into()],
    };
    let identity = authority.issue(&request, HOUR, now()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&identity.chain[0]).unwrap();
    let names = &parsed
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert_eq!(
        names[..],
        [
            GeneralName::DNSName("a.b.svc"),
            GeneralName::IPAddress(&[127, 0, 0, 1])
        ]
    );
    assert!(parsed.extended_key_usage().unwrap().unwrap().value.server_auth && !parsed.is_ca());
    assert_eq!(
        identity.validity,
        Validity {
            not_before: now() - BACKDATE,
            not_after: now() + HOUR
        }
    );
    assert_eq!(&identity.issuer, authority.certificate());
}

#[test]
fn nothing_outlives_its_authority() {
    let authority = Authority::generate("test-ca", 10 * HOUR, now()).unwrap();
    let end = authority.validity().not_after;
    let late = authority
        .issue(&Request::default(), 2 * HOUR, now() + 9 * HOUR)
        .unwrap();
    assert_eq!(late.validity.not_after, end);
    let error = authority
        .issue(&Request::default(), HOUR, end + HOUR)
        .unwrap_err();
    assert!(matches!(error, CertificateError::Expired { .. }), "{error}");
}

#[test]
fn a_name_that_is_not_ascii_is_refused() {
    let authority = Authority::generate("test-ca", HOUR, now()).unwrap();
    let request = Request {
        dns_names: vec!["bücher".to_owned()],
        ips: Vec::new(),
    };
    let error = authority.issue(&request, HOUR, now()).unwrap_err();
    assert_eq!(error.to_string(), r#"cannot name "bücher": a DNS name is ASCII"#);
}
