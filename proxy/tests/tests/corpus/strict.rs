//! A second opinion on what a proxy has written, as far from hyper's as can be: a parser that takes what RFC 9112 has
//! a sender write, byte for byte, and nothing that it lets a recipient forgive. Belongs to `corpus`.

use super::seen::Seen;

/// The request at the beginning of these bytes and its length; `None` if it is not whole yet.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return match bytes.first() {
            Some(first) if !is_token(*first) => Err("it does not begin with a method".into()),
            _ => Ok(None),
        };
    };
    let mut lines = lines(&bytes[..end])?.into_iter();
    let first = lines.next().unwrap_or_default();
    let parts: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(format!("{first:?} has not three parts"));
    };
    if !method.bytes().all(is_token) || method.is_empty() || target.is_empty() {
        return Err(format!("{first:?} has no method or no target"));
    }
    if !["HTTP/1.0", "HTTP/1.1"].contains(&version) {
        return Err(format!("{version:?} is no version"));
    }
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let all = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str()).collect()
    };
    let hosts = all("host").len();
    if hosts > 1 || hosts == 0 && version == "HTTP/1.1" {
        return Err(format!("there are {hosts} Hosts"));
    }
    let rest = &bytes[end + 4..];
    let framed = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some((Vec::new(), Vec::new(), 0)),
        ([length], []) => {
            let length = digits(length, 10)?;
            (rest.len() >= length).then(|| (rest[..length].to_vec(), Vec::new(), length))
        }
        ([], ["chunked"]) if version == "HTTP/1.1" => chunks(rest)?,
        (lengths, codings) => return Err(format!("it is framed by {lengths:?} and {codings:?}")),
    };
    Ok(framed.map(|(body, trailers, length)| {
        let seen = Seen {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: fields.clone(),
            body,
            trailers,
        };
        (seen, end + 4 + length)
    }))
}

type Fields = Vec<(String, String)>;

/// A chunked body, its trailers and its length on the wire.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, Fields, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + end]).map_err(|error| error.to_string())?;
        let size = digits(size, 16)?;
        at += end + 2;
        if size == 0 {
            break;
        }
        let Some(data) = bytes.get(at..at.saturating_add(size).saturating_add(2)) else {
            return Ok(None);
        };
        let Some(data) = data.strip_suffix(b"\r\n") else {
            return Err("a chunk is longer than its size".into());
        };
        body.extend_from_slice(data);
        at += size + 2;
    }
    if bytes[at..].starts_with(b"\r\n") {
        return Ok(Some((body, Vec::new(), at + 2)));
    }
    let Some(end) = find(&bytes[at..], b"\r\n\r\n") else {
        return Ok(None);
    };
    let trailers = lines(&bytes[at..at + end])?.into_iter().map(field);
    let trailers = trailers.collect::<Result<Vec<_>, _>>()?;
    let framing = [
        "host",
        "content-length",
        "transfer-encoding",
        "authorization",
        "te",
        "trailer",
    ];
    match trailers.iter().find(|(name, _)| framing.contains(&name.as_str())) {
        Some((name, _)) => Err(format!("{name} is among the trailers")),
        None => Ok(Some((body, trailers, at + end + 4))),
    }
}

/// Bytes above 127 are opaque to both sides.
fn lines(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    let control = |line: &&String| {
        line.bytes()
            .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    };
    match lines.iter().find(control) {
        Some(line) => Err(format!("{line:?} has a control character")),
        None => Ok(lines),
    }
}

fn field(line: String) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("{line:?} has no colon"))?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is no name"));
    }
    Ok((
        name.to_ascii_lowercase(),
        value.trim_matches([' ', '\t']).to_owned(),
    ))
}

fn digits(text: &str, radix: u32) -> Result<usize, String> {
    let plain = !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    let number = plain.then(|| usize::from_str_radix(text, radix).ok()).flatten();
    number.ok_or_else(|| format!("{text:?} is no length"))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
