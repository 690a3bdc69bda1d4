use proptest::prelude::*;

use super::*;

fn verdict(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Option<u64> {
    let mut heads = Heads::default();
    pieces.into_iter().find_map(|piece| heads.see(piece.as_ref()))
}

#[test]
fn heads_with_both() {
    let padded = format!(
        "POST / HTTP/1.1\r\ncontent-length:{}1\r\ntransfer-encoding: chunked\r\n\r\n",
        " ".repeat(LOOKED_AT)
    );
    for (bytes, expected) in [
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Some(1),
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nhost: a\r\nCONTENT-LENGTH:x\r\n\r\n",
            Some(1),
        ),
        (
            "\r\n\nPOST / HTTP/1.1\ncontent-length: 1\ntransfer-encoding: chunked\n\n",
            Some(1),
        ),
        (&padded, Some(1)),
        // It is not whole yet.
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n",
            None,
        ),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\nx", None),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\nx-transfer-encoding: chunked\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length2: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
        ),
        // After bodies of either kind.
        (
            "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcPOST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            Some(2),
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nx: y\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            Some(2),
        ),
        // What only looks like a head.
        (
            "POST / HTTP/1.1\r\ncontent-length: 70\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n12345",
            None,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n41\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
            None,
        ),
        // HTTP/2, and what hyper refuses.
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
        ),
    ] {
        assert_eq!(verdict([bytes]), expected, "{bytes}");
        assert_eq!(
            verdict(bytes.as_bytes().chunks(1)),
            expected,
            "byte by byte: {bytes}"
        );
    }
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    None,
    Length,
    Chunks,
    Both,
}

fn request(framing: Framing, body: &str, field: &str) -> String {
    let length = format!("Content-Length: {}\r\n", body.len());
    let fields = match framing {
        Framing::None => return format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n"),
        Framing::Length => return format!("POST / HTTP/1.1\r\n{field}\r\n{length}\r\n{body}"),
        Framing::Chunks => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::Both => format!("transfer-encoding: chunked\r\n{length}"),
    };
    let (first, second) = body.split_at(body.len() / 2);
    let chunk = |text: &str| match text {
        "" => String::new(),
        text => format!("{:x}\r\n{text}\r\n", text.len()),
    };
    format!(
        "POST / HTTP/1.1\r\n{fields}{field}\r\n\r\n{}{}0\r\n\r\n",
        chunk(first),
        chunk(second)
    )
}

proptest! {
    /// Bodies are made of what heads are made of.
    #[test]
    fn splits_never_change_the_verdict(
        requests in prop::collection::vec(
            (
                prop_oneof![
                    3 => Just(Framing::None),
                    3 => Just(Framing::Length),
                    3 => Just(Framing::Chunks),
                    1 => Just(Framing::Both),
                ],
                "(\r\n|POST / HTTP/1[.]1\r\n|content-length: 1\r\n|transfer-encoding: chunked\r\n|[ -~]){0,12}",
                "x-[a-z]{0,3}: [ -~]{0,90}",
            ),
            1..6,
        ),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: String = requests.iter().map(|(framing, body, field)| request(*framing, body, field)).collect();
        let both = requests.iter().position(|(framing, ..)| matches!(framing, Framing::Both));
        let expected = both.map(|at| at as u64 + 1);
        let mut at: Vec<usize> = splits.iter().map(|split| split.index(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &bytes.as_bytes()[pair[0]..pair[1]]);
        prop_assert_eq!(verdict(pieces), expected);
    }

    #[test]
    fn any_bytes_in_any_pieces_are_judged_alike(
        bytes in "(\r\n|\n|\r|POST / HTTP/1[.]1\r\n|content-length: [0-9]{1,3}\r\n|transfer-encoding: chunked\r\n|[0-9a-f]{1,3}\r\n|[ -~]){0,30}",
        size in 1_usize..40,
    ) {
        prop_assert_eq!(verdict(bytes.as_bytes().chunks(size)), verdict([&bytes]));
    }
}
