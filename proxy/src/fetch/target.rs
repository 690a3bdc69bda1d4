//! Where a request goes: paths as people write them in manifests, and redirects, made into URIs that can be sent.

use anyhow::Context;
use http::Uri;
use http::uri::PathAndQuery;

/// Where a redirect leads.
pub(super) struct Redirect {
    pub(super) uri: Uri,
    /// Whether the redirect named the host itself.
    pub(super) absolute: bool,
}

/// A URI of scheme, host (a name or an address), port and a path with query.
///
/// # Errors
/// A host that cannot be one.
pub(crate) fn uri(scheme: &str, host: &str, port: u16, path: &str) -> anyhow::Result<Uri> {
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Uri::builder()
        .scheme(scheme)
        .authority(authority.as_str())
        .path_and_query(path_and_query(path)?)
        .build()
        .with_context(|| format!("{scheme}://{authority}{path}"))
}

/// A path as a manifest has it, as the kubelet sends it: a fragment is left out, a missing slash put in front, what a
/// URI cannot hold is percent-encoded, and a path with a broken percent escape is taken literally, `?` included.
fn path_and_query(path: &str) -> anyhow::Result<PathAndQuery> {
    if let Some(path) = path.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some()) {
        // Of a whole URL only the path counts.
        return Ok(path
            .into_parts()
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/")));
    }
    let literally = broken(path);
    let path = match path.split_once('#') {
        Some((path, _)) if !literally => path,
        _ => path,
    };
    let mut text = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        text.push('/');
    }
    for byte in path.bytes() {
        let kept = match byte {
            b'%' | b'?' | b'#' => !literally,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            _ => byte.is_ascii_graphic(),
        };
        if kept {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(text.parse()?)
}

/// Whether it has a `%` that two hexadecimal digits do not follow, or a control character.
fn broken(path: &str) -> bool {
    let bytes = path.as_bytes();
    let escaped = |at: usize| {
        bytes
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    (0..bytes.len()).any(|at| bytes[at].is_ascii_control() || (bytes[at] == b'%' && !escaped(at)))
}

/// A reference resolved where it was found (RFC 3986, section 5.2).
pub(super) fn resolve(base: &Uri, reference: &str) -> anyhow::Result<Redirect> {
    let scheme = base.scheme_str().unwrap_or("http");
    let whole = match reference.strip_prefix("//") {
        Some(rest) => format!("{scheme}://{rest}"),
        None => reference.to_owned(),
    };
    if let Some((scheme, rest)) = whole.split_once("://")
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(path_and_query(path)?);
        return Ok(Redirect {
            uri: uri.build()?,
            absolute: true,
        });
    }
    let reference = reference.split('#').next().unwrap_or_default();
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (reference, String::new()),
    };
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => dots_resolved(path),
        path => {
            let directory = base
                .path()
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory);
            dots_resolved(&format!("{directory}/{path}"))
        }
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path_and_query(&format!("{path}{query}"))?);
    Ok(Redirect {
        uri: Uri::from_parts(parts)?,
        absolute: false,
    })
}

/// `.` and `..` in an absolute path followed (RFC 3986, section 5.2.4).
fn dots_resolved(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if matches!(path.rsplit('/').next(), Some("." | "..")) {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_manifests() {
        for (path, sent) in [
            ("", "/"),
            ("/", "/"),
            ("live", "/live"),
            ("?full", "/?full"),
            ("/live?full=1&x=a/b", "/live?full=1&x=a/b"),
            ("/live#top", "/live"),
            ("/a b/ü", "/a%20b/%C3%BC"),
            ("/a%20b", "/a%20b"),
            ("/100%?x", "/100%25%3Fx"),
            ("/{id}|\"", "/%7Bid%7D%7C%22"),
            ("/a\r\nHost: x", "/a%0D%0AHost:%20x"),
            ("http://elsewhere/live?x", "/live?x"),
        ] {
            assert_eq!(path_and_query(path).unwrap().as_str(), sent, "{path:?}");
        }
    }

    #[test]
    fn hosts() {
        for (host, expected) in [
            ("10.0.0.1", "http://10.0.0.1:80/"),
            ("fd00::1", "http://[fd00::1]:80/"),
            ("app.example", "http://app.example:80/"),
        ] {
            assert_eq!(uri("http", host, 80, "/").unwrap().to_string(), expected);
        }
        assert!(uri("http", "two words", 80, "/").is_err());
    }

    #[test]
    fn redirects() {
        let base = "http://10.0.0.1:8080/a/b?q".parse().unwrap();
        for (reference, expected, absolute) in [
            ("/c", "http://10.0.0.1:8080/c", false),
            ("c?d", "http://10.0.0.1:8080/a/c?d", false),
            ("../c/./d", "http://10.0.0.1:8080/c/d", false),
            ("../../..", "http://10.0.0.1:8080/", false),
            ("?x=/../y", "http://10.0.0.1:8080/a/b?x=/../y", false),
            ("#top", "http://10.0.0.1:8080/a/b", false),
            ("https://10.0.0.1:8443/c", "https://10.0.0.1:8443/c", true),
            ("https://10.0.0.1?c", "https://10.0.0.1/?c", true),
            ("//other/c d", "http://other/c%20d", true),
            (
                "/login?to=http://other/",
                "http://10.0.0.1:8080/login?to=http://other/",
                false,
            ),
        ] {
            let Redirect { uri, absolute: found } = resolve(&base, reference).unwrap();
            assert_eq!(
                (uri.to_string().as_str(), found),
                (expected, absolute),
                "{reference}"
            );
        }
        assert!(resolve(&base, "http:///c").is_err());
    }
}
