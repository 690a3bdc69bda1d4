//! The one form of a path in which rules see it, whatever the client wrote. Belongs to `matcher`; what is forwarded
//! is what came, byte for byte.

use std::borrow::Cow;

/// Dot segments resolved, percent-encoded unreserved characters decoded (RFC 3986, section 6.2.2), and `\` read as `/`:
/// what Istio's mesh does by default, so that `/public/%2e%2e/admin` meets the rule for `/admin`. Slashes in a row are
/// kept, and so is `%2F`. It is its own canonical form. What does not begin with a slash (`*`, nothing for CONNECT) has no other form.
pub fn canonical(path: &str) -> Cow<'_, str> {
    let plain = !path.contains(['%', '\\']) && !path.contains("/.");
    if plain || !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    let decoded = decoded(path);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = decoded[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // A path that ends in a dot segment is that of a directory.
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

fn decoded(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['%', '\\']) {
        decoded.push_str(&rest[..at]);
        let escape = rest.get(at + 1..at + 3).filter(|_| rest.as_bytes()[at] == b'%');
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let unreserved = byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        // What is decoded behind a percent sign that stands for itself would make an escape that nobody has written.
        let unreserved = unreserved.filter(|byte| !(byte.is_ascii_hexdigit() && ends_in_escape(&decoded)));
        match unreserved {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None if byte.is_some() => {
                decoded.push_str(&rest[at..at + 3]);
                rest = &rest[at + 3..];
            }
            None => {
                decoded.push(if rest.as_bytes()[at] == b'\\' { '/' } else { '%' });
                rest = &rest[at + 1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// Whether a digit or two are missing to an escape at its end.
fn ends_in_escape(text: &str) -> bool {
    match text.as_bytes() {
        [.., b'%'] => true,
        [.., b'%', digit] => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn forms() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a//b/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/../../a", "/a"),
            ("/a//../b", "/a/b"),
            ("/...", "/..."),
            ("/.a", "/.a"),
            ("/public/%2e%2E/admin", "/admin"),
            ("/%61%7e%2D", "/a~-"),
            ("/a%2Fb%5cc", "/a%2Fb%5cc"),
            ("/a%2", "/a%2"),
            ("/a%", "/a%"),
            ("/a%zz%+1", "/a%zz%+1"),
            ("/%ü", "/%ü"),
            ("/a\\..\\b", "/b"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/%%32e%%32e/a", "/%%32e%%32e/a"),
            ("/%2%65%2%7a", "/%2%65%2z"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(canonical(path), expected, "{path}");
            assert_eq!(canonical(&canonical(path)), canonical(path), "twice: {path}");
        }
    }
}
