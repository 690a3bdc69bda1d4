//! The succession by date, and what is said of a Secret that is no keyring.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn policy() -> Policy {
    Policy {
        name: "test-ca".to_owned(),
        lifetime: 100 * DAY,
        overlap: DAY,
    }
}

fn start() -> SystemTime {
    from_unix(1_800_000_000)
}

/// Gives every authority a letter in the order of its first appearance.
#[derive(Default)]
struct Letters(Vec<CertificateDer<'static>>);

impl Letters {
    fn of(&mut self, certificate: &CertificateDer<'static>) -> char {
        let index = self
            .0
            .iter()
            .position(|known| known == certificate)
            .unwrap_or_else(|| {
                self.0.push(certificate.clone());
                self.0.len() - 1
            });
        char::from(b'A' + u8::try_from(index).unwrap())
    }

    /// The retired in brackets, the signer, its successor after `>`.
    fn show(&mut self, keyring: &Keyring) -> String {
        let mut shown: String = keyring
            .retired
            .iter()
            .map(|retired| format!("({})", self.of(&retired.certificate)))
            .collect();
        shown.push(self.of(keyring.signer().certificate()));
        shown.extend(keyring.successor().map(|next| format!(">{}", self.of(next))));
        shown
    }
}

/// Advances a new keyring at each of the moments (hours since its creation) until nothing changes, through the Secret's data.
fn check(timeline: &[(u32, &str)]) {
    let policy = policy();
    let mut letters = Letters::default();
    let mut keyring = Keyring::generate(&policy, start()).unwrap();
    for (hours, expected) in timeline {
        let now = start() + Duration::from_secs(60 * 60) * *hours;
        while let Some(advanced) = keyring.advance(now, &policy).unwrap() {
            keyring = Keyring::from_data(&advanced.to_data()).unwrap().unwrap();
        }
        assert_eq!(letters.show(&keyring), *expected, "{hours} h after the start");
        let trusted = certificates(&keyring.bundle()).unwrap();
        let shown = expected.chars().filter(char::is_ascii_uppercase);
        assert!(
            trusted.iter().map(|it| letters.of(it)).eq(shown),
            "the bundle of {expected} {hours} h after the start"
        );
    }
}

#[test]
fn authorities_follow_one_another() {
    check(&[
        (0, "A"),
        (49 * 24, "A"),
        (50 * 24, "A>B"),
        (50 * 24 + 23, "A>B"),
        (51 * 24, "(A)B"),
        (99 * 24, "(A)B"),
        (100 * 24, "(A)B>C"),
        (100 * 24 + 1, "B>C"),
        (101 * 24, "(B)C"),
        (150 * 24 + 1, "C>D"),
        (151 * 24 + 1, "(C)D"),
    ]);
}

#[test]
fn nobody_looked_for_long() {
    // The overlap is kept whenever there is a certificate left that it protects.
    check(&[(0, "A"), (99 * 24, "A>B"), (100 * 24, "(A)B")]);
    // The signer expired before a successor was created.
    check(&[(0, "A"), (101 * 24, "B")]);
    // The signer expired while its successor waited, and the successor is past its half by now.
    check(&[(0, "A"), (50 * 24, "A>B"), (120 * 24, "B>C")]);
    // Both expired.
    check(&[(0, "A"), (50 * 24, "A>B"), (200 * 24, "C")]);
}

#[test]
fn a_successor_brought_by_hand_waits_for_the_overlap() {
    let policy = policy();
    let mut data = Keyring::generate(&policy, start()).unwrap().to_data();
    let brought = Authority::generate("my-ca", 1000 * DAY, start() - 300 * DAY).unwrap();
    data.insert(NEXT_CERTIFICATE.to_owned(), brought.certificate_pem().into());
    data.insert(NEXT_KEY.to_owned(), brought.key_pem().into());

    let keyring = Keyring::from_data(&data).unwrap().unwrap();
    let published = keyring.advance(start() + DAY, &policy).unwrap().unwrap();
    assert_eq!(published.successor(), Some(brought.certificate()));
    assert!(
        published
            .advance(start() + DAY + DAY / 2, &policy)
            .unwrap()
            .is_none()
    );
    let promoted = published.advance(start() + 2 * DAY, &policy).unwrap().unwrap();
    assert_eq!(promoted.signer().certificate(), brought.certificate());
}

#[test]
fn a_private_key_beside_the_certificate_is_not_published() {
    let mut data = Keyring::generate(&policy(), start()).unwrap().to_data();
    let key = data[KEY].clone();
    data.get_mut(CERTIFICATE).unwrap().extend(&key);
    let keyring = Keyring::from_data(&data).unwrap().unwrap();
    assert!(!keyring.bundle().contains("PRIVATE"));
}

#[test]
fn no_private_key_in_debug_output() {
    let keyring = Keyring::generate(&policy(), start()).unwrap();
    let identity = keyring
        .signer()
        .issue(&crate::Request::default(), DAY, start())
        .unwrap();
    let shown = format!("{keyring:?} {identity:?}");
    let key = keyring.signer().key_pem();
    assert!(
        key.lines()
            .filter(|line| !line.is_empty())
            .all(|line| !shown.contains(line)),
        "{shown}"
    );
    assert!(
        !shown.contains(&format!("{:?}", identity.key.secret_der())),
        "{shown}"
    );
}

#[test]
fn an_empty_secret_is_no_keyring() {
    assert!(Keyring::from_data(&BTreeMap::new()).unwrap().is_none());
    assert!(
        Keyring::from_data(&[("other".to_owned(), vec![])].into())
            .unwrap()
            .is_none()
    );
}

#[test]
fn malformed_secrets_name_the_key() {
    let other = Authority::generate("other", DAY, start()).unwrap();
    let leaf = other.issue(&crate::Request::default(), DAY, start()).unwrap();
    let twice = other.certificate_pem().repeat(2);
    let (leaf, other_key) = (to_pem(&leaf.chain[0]), other.key_pem());
    let cases: &[(&str, Option<&[u8]>, &str)] = &[
        (
            CERTIFICATE,
            None,
            r#"data["ca-cert.pem"] is missing; it belongs to data["ca-key.pem"]"#,
        ),
        (
            KEY,
            None,
            r#"data["ca-key.pem"] is missing; it belongs to data["ca-cert.pem"]"#,
        ),
        (
            CERTIFICATE,
            Some(b""),
            r#"data["ca-cert.pem"] has 0 certificates where one belongs"#,
        ),
        (
            CERTIFICATE,
            Some(twice.as_bytes()),
            r#"data["ca-cert.pem"] has 2 certificates where one belongs"#,
        ),
        (CERTIFICATE, Some(b"\xff"), r#"data["ca-cert.pem"] is not UTF-8"#),
        (
            CERTIFICATE,
            Some(b"-----BEGIN CERTIFICATE-----\n"),
            r#"data["ca-cert.pem"] is not PEM with a CERTIFICATE"#,
        ),
        (
            CERTIFICATE,
            Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            r#"data["ca-cert.pem"] has a certificate that cannot be parsed"#,
        ),
        (
            CERTIFICATE,
            Some(leaf.as_bytes()),
            r#"data["ca-cert.pem"] is not a CA's certificate"#,
        ),
        (
            KEY,
            Some(b"secret"),
            r#"data["ca-key.pem"] is not PEM with a PRIVATE KEY"#,
        ),
        (
            KEY,
            Some(other_key.as_bytes()),
            r#"data["ca-key.pem"] does not belong to the certificate"#,
        ),
        (
            NEXT_KEY,
            None,
            r#"data["next-key.pem"] is missing; it belongs to data["next-cert.pem"]"#,
        ),
        (
            NEXT_KEY,
            Some(other_key.as_bytes()),
            r#"data["next-key.pem"] does not belong to the certificate"#,
        ),
        (
            NEXT_SINCE,
            Some(b"yesterday"),
            r#"data["next-since"] is "yesterday"; it must be a number"#,
        ),
        (
            NEXT_SINCE,
            Some(b"18446744073709551615"),
            r#"data["next-since"] is "18446744073709551615"; it must be"#,
        ),
        (
            RETIRED,
            Some(b"-----BEGIN CERTIFICATE-----\n"),
            r#"data["retired.pem"] is not PEM with a CERTIFICATE"#,
        ),
    ];
    let keyring = Keyring::generate(&policy(), start()).unwrap();
    let keyring = keyring.advance(start() + 50 * DAY, &policy()).unwrap().unwrap();
    for (key, value, expected) in cases {
        let mut data = keyring.to_data();
        data.remove(*key);
        data.extend(value.map(|value| ((*key).to_owned(), value.to_vec())));
        let error = Keyring::from_data(&data).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains(other_key), "{error}");
    }
}
