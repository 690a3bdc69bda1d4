//! What becomes of the Secret, from what it is.

use std::time::Duration;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn policy() -> Policy {
    Policy {
        name: "test-ca".to_owned(),
        lifetime: 100 * DAY,
        overlap: DAY,
    }
}

fn secret(keyring: &Keyring) -> Secret {
    with_keyring(Secret::default(), "outrigger-system", keyring)
}

#[test]
fn a_missing_secret_is_created_from_what_is_known() {
    let now = SystemTime::UNIX_EPOCH;
    let Step::Create(first) = step(None, None, None, &policy(), now).unwrap() else {
        panic!("a new keyring")
    };
    let Step::Create(again) = step(None, Some(&first), None, &policy(), now).unwrap() else {
        panic!("the same")
    };
    assert_eq!(again.to_data(), first.to_data());
    // One that a chart or a person created empty is filled.
    let empty = Secret::default();
    let Step::Replace(filled) = step(Some(&empty), Some(&first), None, &policy(), now).unwrap() else {
        panic!("the same, in place")
    };
    assert_eq!(filled.to_data(), first.to_data());
    assert!(matches!(
        step(Some(&secret(&first)), None, None, &policy(), now),
        Ok(Step::Keep)
    ));
}

#[test]
fn a_successor_signs_only_when_every_namespace_has_it() {
    let now = SystemTime::UNIX_EPOCH;
    let first = Keyring::generate(&policy(), now).unwrap();
    let Ok(Step::Replace(second)) = step(Some(&secret(&first)), None, None, &policy(), now + 50 * DAY) else {
        panic!("a successor is published, whoever has what")
    };
    let due = now + 51 * DAY;
    let (before, after) = (first.bundle(), second.bundle());
    for (distributed, at, expected) in [
        (None, due, false),
        (Some(&before), due, false),
        (Some(&after), due, true),
        (Some(&after), due - DAY / 2, false),
        // Nobody can use the expired one, so that waiting would help nobody.
        (None, now + 101 * DAY, true),
    ] {
        let step = step(
            Some(&secret(&second)),
            None,
            distributed.map(String::as_str),
            &policy(),
            at,
        )
        .unwrap();
        assert_eq!(
            matches!(step, Step::Replace(_)),
            expected,
            "{distributed:?} {at:?}"
        );
    }
}

#[test]
fn a_write_is_refused_by_the_api_server_if_the_secret_has_changed() {
    let keyring = Keyring::generate(&policy(), SystemTime::UNIX_EPOCH).unwrap();
    let mut found = secret(&keyring);
    found.metadata.resource_version = Some("7".to_owned());
    found.metadata.annotations = Some([("theirs".to_owned(), "kept".to_owned())].into());
    let written = with_keyring(found.clone(), "outrigger-system", &keyring);
    assert_eq!(written.metadata, found.metadata);
    assert_eq!(secret(&keyring).metadata.resource_version, None);
}

#[test]
fn a_malformed_secret_is_named() {
    let mut found = secret(&Keyring::generate(&policy(), SystemTime::UNIX_EPOCH).unwrap());
    found.data.as_mut().unwrap().remove("ca-key.pem");
    let error = format!(
        "{:#}",
        step(Some(&found), None, None, &policy(), SystemTime::UNIX_EPOCH).unwrap_err()
    );
    assert_eq!(
        error,
        r#"Secret outrigger-system/outrigger-ca: data["ca-key.pem"] is missing; it belongs to data["ca-cert.pem"]"#
    );
}
