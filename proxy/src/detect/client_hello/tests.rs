//! ClientHellos made by hand, so that each of their parts can be wrong, and by a real client.

use std::sync::Arc;

use super::*;

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &short(content.len()), content].concat()
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

fn sni(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|(kind, name)| [&[*kind][..], &short(name.len()), *name].concat())
        .collect();
    extension(0, &[&short(list.len())[..], &list].concat())
}

/// The message; `extensions` with their length, or nothing at all.
fn message(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([4, 1, 2, 3, 4]);
    body.extend([0, 4, 0x13, 0x01, 0x0a, 0x0a]);
    body.extend([1, 0]);
    if let Some(extensions) = extensions {
        body.extend(short(extensions.len()));
        body.extend(extensions);
    }
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO][..], &length[1..], &body].concat()
}

/// In records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|chunk| [&[HANDSHAKE, 3, 1][..], &short(chunk.len()), chunk].concat())
        .collect()
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    records(&message(Some(&extensions.concat())), 1 << 14)
}

fn named(name: &str) -> Hello {
    Hello::Whole(Some(name.to_owned()))
}

#[test]
fn hellos() {
    let a = || sni(&[(0, b"a.example.com")]);
    let grease = || extension(0x0a0a, &[]);
    let ech = || extension(0xfe0d, &[0; 300]);
    let key_share = || extension(51, &[9; 1300]);
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = hello(&[a()]);
        change(&mut bytes);
        bytes
    };
    for (why, bytes, expected) in [
        ("a name", hello(&[a()]), named("a.example.com")),
        (
            "among others",
            hello(&[grease(), key_share(), a(), ech(), grease()]),
            named("a.example.com"),
        ),
        (
            "in lower case, without the dot",
            hello(&[sni(&[(0, b"A.Example.COM.")])]),
            named("a.example.com"),
        ),
        (
            "a name of another kind first",
            hello(&[sni(&[(9, b"x"), (0, b"b")])]),
            named("b"),
        ),
        ("no name", hello(&[grease(), ech()]), Hello::Whole(None)),
        ("an empty list of names", hello(&[sni(&[])]), Hello::Whole(None)),
        (
            "no extensions",
            records(&message(Some(&[])), 99),
            Hello::Whole(None),
        ),
        (
            "none at all, as in TLS 1.0",
            records(&message(None), 99),
            Hello::Whole(None),
        ),
        (
            "what comes after it",
            [hello(&[a()]), vec![20, 3, 3, 0, 1, 1]].concat(),
            named("a.example.com"),
        ),
        ("an empty name", hello(&[sni(&[(0, b"")])]), Hello::Not),
        ("a name that is none", hello(&[sni(&[(0, b"a b")])]), Hello::Not),
        (
            "bytes for a name",
            hello(&[sni(&[(0, &[0xff, 0xfe])])]),
            Hello::Not,
        ),
        (
            "a list longer than its extension",
            hello(&[extension(0, &[0, 9, 0, 0, 1, b'a'])]),
            Hello::Not,
        ),
        (
            "an extension longer than all of them",
            hello(&[vec![0, 0, 0, 9, 1]]),
            Hello::Not,
        ),
        ("an alert", vec![21, 3, 1, 0, 2, 1, 0], Hello::Not),
        ("SSL 2", vec![0x80, 0x2e, 1, 0, 2], Hello::Not),
        ("HTTP", b"GET / HTTP/1.1\r\n".to_vec(), Hello::Not),
        ("nothing", vec![], Hello::Partial),
        ("an empty record", vec![22, 3, 1, 0, 0], Hello::Not),
        (
            "a record that is too long",
            vec![22, 3, 1, 0xff, 0xff],
            Hello::Not,
        ),
        ("another version", with(|bytes| bytes[1] = 4), Hello::Not),
        ("a ServerHello", with(|bytes| bytes[5] = 2), Hello::Not),
        (
            "a message that is too long",
            with(|bytes| bytes[6] = 1),
            Hello::Not,
        ),
        (
            "a session that is too long",
            with(|bytes| bytes[43] = 255),
            Hello::Not,
        ),
        (
            "a message longer than its record",
            with(|bytes| bytes[8] += 1),
            Hello::Partial,
        ),
    ] {
        assert_eq!(parse(&bytes), expected, "{why}");
    }
}

#[test]
fn records_of_any_size_are_put_together() {
    let message = message(Some(&[extension(51, &[9; 200]), sni(&[(0, b"a.b")])].concat()));
    let sizes = message.len().div_ceil(MOST_RECORDS)..=message.len();
    for size in sizes {
        assert_eq!(parse(&records(&message, size)), named("a.b"), "{size}");
    }
    assert_eq!(
        parse(&records(&message, 2)),
        Hello::Not,
        "more records than anybody sends"
    );
}

#[test]
fn every_beginning_is_partial() {
    for size in [40, 1 << 14] {
        let message = message(Some(&[extension(0x1a1a, &[1]), sni(&[(0, b"a.b")])].concat()));
        let whole = records(&message, size);
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Hello::Partial, "{end} of {}", whole.len());
        }
        assert_eq!(parse(&whole), named("a.b"));
    }
}

#[test]
fn garbage_is_judged_without_a_panic() {
    let whole = hello(&[extension(51, &[9; 64]), sni(&[(0, b"a.example.com")])]);
    let mut draw = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        // xorshift: the same garbage in every run.
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        usize::try_from(draw % below as u64).unwrap()
    };
    let (mut whole_hellos, mut others) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        bytes.truncate(random(bytes.len() + 1));
        match parse(&bytes) {
            Hello::Whole(Some(name)) => {
                assert!(name.len() < bytes.len() && name.bytes().all(|byte| byte.is_ascii_graphic()));
                whole_hellos += 1;
            }
            _ => others += 1,
        }
    }
    assert!(whole_hellos > 10 && others > 1000, "{whole_hellos} {others}");
}

#[test]
fn a_real_clients_hello() {
    let roots = rustls::RootCertStore::empty();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = "Db.Example.com".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    assert_eq!(parse(&bytes), named("db.example.com"));
}
