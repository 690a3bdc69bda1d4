//! The server name in a TLS ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3), from as many bytes as are here.
//! Nothing is decrypted or changed, and the name of an encrypted ClientHello is that of its outer one. Before it: `detect`.

/// A handshake message that is longer is no ClientHello that a server would take. Post-quantum key shares need about two
/// thousand bytes.
const LONGEST: usize = 16 << 10;
/// Records that a ClientHello may be split into.
const MOST_RECORDS: usize = 64;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hello {
    /// More bytes are needed.
    Partial,
    /// A whole ClientHello, with the name it asks for in lower case, if it asks for one.
    Whole(Option<String>),
    /// Something else.
    Not,
}

/// Pure: reads from the first byte of the connection.
pub(super) fn parse(bytes: &[u8]) -> Hello {
    let message = match handshake(bytes) {
        Ok(message) => message,
        Err(hello) => return hello,
    };
    match server_name(&message) {
        Some(name) => Hello::Whole(name),
        None => Hello::Not,
    }
}

/// The body of the first handshake message, put together from its records.
fn handshake(bytes: &[u8]) -> Result<Vec<u8>, Hello> {
    let (mut rest, mut message) = (bytes, Vec::new());
    for _ in 0..MOST_RECORDS {
        // A record: its type, a version of which only the first byte has ever been the same, and its length.
        match rest {
            [kind, ..] if *kind != HANDSHAKE => return Err(Hello::Not),
            [_, major, ..] if *major != 3 => return Err(Hello::Not),
            _ => {}
        }
        let [_, _, _, high, low, payload @ ..] = rest else {
            return Err(Hello::Partial);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > LONGEST {
            return Err(Hello::Not);
        }
        message.extend_from_slice(&payload[..length.min(payload.len())]);
        match message[..] {
            [kind, ..] if kind != CLIENT_HELLO => return Err(Hello::Not),
            [_, a, b, c, ..] => {
                let needed = u32::from_be_bytes([0, a, b, c]) as usize;
                if needed > LONGEST {
                    return Err(Hello::Not);
                }
                if message.len() - 4 >= needed {
                    return Ok(message[4..4 + needed].to_vec());
                }
            }
            _ => {}
        }
        if payload.len() < length {
            return Err(Hello::Partial);
        }
        rest = &payload[length..];
    }
    Err(Hello::Not)
}

/// The name, or `None` within if there is none; `None` if this is no ClientHello.
fn server_name(message: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(message);
    // legacy_version and random.
    reader.take(2 + 32)?;
    let session = reader.byte()?;
    reader.take(session.into())?;
    let suites = reader.short()?;
    reader.take(suites.into())?;
    let compressions = reader.byte()?;
    reader.take(compressions.into())?;
    if reader.0.is_empty() {
        // TLS 1.2 and older may do without extensions.
        return Some(None);
    }
    let length = reader.short()?;
    let mut extensions = Reader(reader.take(length.into())?);
    let mut name = None;
    while !extensions.0.is_empty() {
        let (kind, length) = (extensions.short()?, extensions.short()?);
        let extension = extensions.take(length.into())?;
        // Unknown ones, GREASE (RFC 8701) and encrypted_client_hello among them, are for the server.
        if kind == SERVER_NAME {
            name = host_name(extension)?;
        }
    }
    Some(name)
}

fn host_name(extension: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(extension);
    let length = reader.short()?;
    let mut names = Reader(reader.take(length.into())?);
    while !names.0.is_empty() {
        let (kind, length) = (names.byte()?, names.short()?);
        let name = names.take(length.into())?;
        if kind == HOST_NAME {
            let text = std::str::from_utf8(name).ok()?;
            let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
            let name = text.trim_end_matches('.').to_ascii_lowercase();
            return (printable && !name.is_empty()).then_some(Some(name));
        }
    }
    Some(None)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests;
