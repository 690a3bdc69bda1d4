//! A body in chunks, and its trailers (RFC 9112, section 7.1), read as the grammar has it: lines end with CR LF, a size is
//! hexadecimal digits, extensions end here. What the RFC lets a recipient forgive is not forgiven where the next reader
//! might see another end of the body.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use memchr::memchr_iter;

use super::{Error, MAX_FIELDS};

/// What all extensions of a body, and what its trailers may take, in bytes.
const MAX_EXTENSIONS: usize = 16 << 10;
const MAX_TRAILERS: usize = 16 << 10;

/// No trailers: they say how a message is framed or routed, who sends it or what its body is (RFC 9110, section 6.5.1), or are for
/// two neighbours only.
static NEVER: [HeaderName; 16] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    HeaderName::from_static("keep-alive"),
    MAX_FORWARDS,
    HeaderName::from_static("proxy-connection"),
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// How far a body is.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    at: At,
    /// What is left of the chunk, or its size as far as it has been read.
    left: u64,
    /// Bytes of extensions so far.
    extensions: usize,
    /// The trailer section as far as it has been read.
    trailers: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    #[default]
    Size,
    MoreSize,
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Over,
}

impl Chunks {
    /// Reads on, and adds data to what is there. Gives how many bytes it has used: all, unless the body is over.
    pub(super) fn read(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, Error> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            match self.at {
                At::Over => break,
                At::Data => {
                    let here = bytes.len() - used;
                    let here = usize::try_from(self.left).map_or(here, |left| left.min(here));
                    data.extend_from_slice(&bytes[used..used + here]);
                    self.left -= here as u64;
                    used += here;
                    if self.left == 0 {
                        self.at = At::DataCr;
                    }
                    continue;
                }
                At::Trailers => self.trailer(byte)?,
                _ => self.framing(byte)?,
            }
            used += 1;
        }
        Ok(used)
    }

    /// One byte between data and data.
    fn framing(&mut self, byte: u8) -> Result<(), Error> {
        self.at = match (self.at, byte) {
            (At::Size | At::MoreSize, digit) if digit.is_ascii_hexdigit() => {
                let digit = u64::from(char::from(digit).to_digit(16).unwrap_or_default());
                let size = self.left.checked_mul(16);
                let size = size.ok_or(Error::Chunks("a chunk is larger than 64 bits say"))?;
                self.left = size | digit;
                At::MoreSize
            }
            (At::Size, _) => return Err(Error::Chunks("a chunk does not begin with its size")),
            (At::MoreSize | At::Space, b' ' | b'\t') => At::Space,
            (At::MoreSize | At::Space, b';') => At::Extension,
            (At::MoreSize | At::Space | At::Extension, b'\r') => At::SizeLf,
            (At::MoreSize | At::Space, _) => return Err(Error::Chunks("a size is not a hexadecimal number")),
            (At::Extension, b'\n') => return Err(Error::Chunks("a line ends without CR")),
            (At::Extension, _) => {
                self.extensions += 1;
                if self.extensions > MAX_EXTENSIONS {
                    return Err(Error::Chunks("the extensions have more than 16 KiB"));
                }
                At::Extension
            }
            (At::SizeLf, b'\n') if self.left == 0 => At::Trailers,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::DataCr | At::DataLf, _) => return Err(Error::Chunks("a chunk is longer than its size")),
            _ => return Err(Error::Chunks("a CR does not end a line")),
        };
        Ok(())
    }

    fn trailer(&mut self, byte: u8) -> Result<(), Error> {
        self.trailers.push(byte);
        match &self.trailers[..] {
            b"\r\n" => self.at = At::Over,
            [b'\r', _, ..] => return Err(Error::Chunks("a CR does not end a line")),
            [.., b'\r', b'\n', b'\r', b'\n'] => self.at = At::Over,
            more if more.len() > MAX_TRAILERS => {
                return Err(Error::Chunks("the trailers have more than 16 KiB"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether all of it has been read.
    pub(super) fn are_over(&self) -> bool {
        self.at == At::Over
    }

    /// The trailers that may be passed on, once it is over; `None` if there are none.
    pub(super) fn trailers(&mut self) -> Result<Option<HeaderMap>, Error> {
        let text = std::mem::take(&mut self.trailers);
        if text.len() <= 2 {
            return Ok(None);
        }
        // A line that ends with LF alone could be the last one to another reader.
        if memchr_iter(b'\n', &text).any(|at| at == 0 || text[at - 1] != b'\r') {
            return Err(Error::Chunks("a line ends without CR"));
        }
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let fields = match httparse::parse_headers(&text, &mut room) {
            Ok(httparse::Status::Complete((length, fields))) if length == text.len() => fields,
            _ => return Err(Error::Chunks("the trailers are no fields")),
        };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value))
                && !NEVER.contains(&name)
            {
                trailers.append(name, value);
            }
        }
        Ok((!trailers.is_empty()).then_some(trailers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data, the trailers and what was not used, read in pieces.
    fn read(body: &[u8], piece: usize) -> Result<(Vec<u8>, usize, usize), Error> {
        let (mut chunks, mut data, mut used) = (Chunks::default(), Vec::new(), 0);
        for bytes in body.chunks(piece) {
            used += chunks.read(bytes, &mut data)?;
        }
        let trailers = match chunks.are_over() {
            true => chunks.trailers()?.map_or(0, |trailers| trailers.len()),
            false => usize::MAX,
        };
        Ok((data, trailers, used))
    }

    #[test]
    fn bodies() {
        for (body, data, trailers, left) in [
            ("0\r\n\r\nrest", "", 0, 4),
            ("2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", "hi!", 0, 0),
            ("0002 \t;a=\"b\"\r\nhi\r\n00;c\r\n\r\n", "hi", 0, 0),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0, 0),
            ("0\r\nx-sum: 1\r\nHost: b\r\nx-end: 2\r\n\r\nGET", "", 2, 3),
        ] {
            for piece in [1, 3, body.len()] {
                let found = read(body.as_bytes(), piece).unwrap();
                assert_eq!(
                    found,
                    (data.as_bytes().to_vec(), trailers, body.len() - left),
                    "{body:?} in {piece}"
                );
            }
            for end in 0..body.len() - left {
                assert_eq!(
                    read(&body.as_bytes()[..end], 8).unwrap().1,
                    usize::MAX,
                    "{body:?} {end}"
                );
            }
        }
    }

    #[test]
    fn what_is_refused() {
        let extensions = format!("1;{}\r\na\r\n1;{}\r\n", "x".repeat(9_000), "x".repeat(9_000));
        let trailers = format!("0\r\na: {}\r\n\r\n", "x".repeat(MAX_TRAILERS));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        for body in [
            "\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 1\r\n",
            "g\r\n",
            "1\n",
            "1\ra",
            "1;\n",
            "10000000000000000\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rb",
            "0\r\n\ra",
            "0\r\n a: b\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\na: b\rc\r\n\r\n",
            "0\r\n\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
            "0\r\na: b\nc: d\r\n\r\n",
            &extensions,
            &trailers,
            &many,
        ] {
            for piece in [1, body.len()] {
                assert!(
                    read(body.as_bytes(), piece).is_err(),
                    "{:?}",
                    &body[..body.len().min(40)]
                );
            }
        }
        assert!(read(b"FFFFFFFFFFFFFFFF\r\na", 1).is_ok());
    }

    proptest! {
        #[test]
        fn what_was_put_in_chunks_is_what_is_read(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            piece in 1_usize..64,
        ) {
            let mut body = Vec::new();
            for data in &pieces {
                body.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                body.extend_from_slice(data);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let (data, trailers, used) = read(&body, piece).unwrap();
            prop_assert_eq!((data, trailers, used), (pieces.concat(), 0, body.len()));
        }

        #[test]
        fn however_it_comes_it_is_the_same(body in "[0-2a;\\r\\n: ]{0,40}", piece in 1_usize..8) {
            let (whole, pieces) = (read(body.as_bytes(), 64), read(body.as_bytes(), piece));
            prop_assert_eq!(whole.is_ok(), pieces.is_ok());
            if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
                prop_assert_eq!(whole, pieces);
            }
        }
    }
}
