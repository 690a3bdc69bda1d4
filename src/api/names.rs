//! The words that rules are written with: hosts, header names, labels, namespaces, ports, regular expressions, and
//! what is wrong with one that cannot be meant. The limits are those of Istio's own validation.

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

/// The longest DNS name and the longest label of one (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;

/// A name of Kubernetes that is a DNS label (RFC 1123): a namespace, a subset, a part of a host.
///
/// # Errors
/// What is wrong with it.
pub fn dns_label(text: &str) -> Result<(), String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if text.len() <= LONGEST_LABEL && inner && edge(text.chars().next()) && edge(text.chars().last()) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a DNS label: letters, digits and dashes, {LONGEST_LABEL} at most, with a letter or a digit at both ends"
    ))
}

/// A host, short or full, or a wildcard whose star begins it.
///
/// # Errors
/// What is wrong with it.
pub fn host(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a host is needed".to_owned());
    }
    if text.len() > LONGEST_NAME {
        return Err(format!("{text:?} is longer than {LONGEST_NAME} characters"));
    }
    if text == "*" {
        return Ok(());
    }
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let rest = rest.strip_prefix("*-").or(rest.strip_prefix('*')).unwrap_or(rest);
    rest.split('.').try_for_each(dns_label).map_err(|_| {
        format!("{text:?} is not a host: DNS labels with dots between them, of which the first may begin with a star")
    })
}

/// A header's name.
///
/// # Errors
/// What is wrong with it.
pub fn header_name(text: &str) -> Result<(), String> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not the name of a header")),
    }
}

/// Whether a header's name means the authority, which is no header in HTTP/2.
pub fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

/// A header's value in Envoy's notation, in which `%%` is a percent sign and `%NAME%` a variable.
///
/// # Errors
/// What is wrong with it.
pub fn header_value(text: &str) -> Result<(), String> {
    if !text.matches('%').count().is_multiple_of(2) {
        return Err(format!("{text:?} has a single %; write %% for a percent sign"));
    }
    match HeaderValue::from_str(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} has characters that a header cannot carry")),
    }
}

/// A label and its value, as Kubernetes has them.
///
/// # Errors
/// What is wrong with them.
pub fn label(name: &str, value: &str) -> Result<(), String> {
    let word = |text: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        text.len() <= LONGEST_LABEL
            && edge(text.chars().next())
            && edge(text.chars().last())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let (prefix, key) = name
        .split_once('/')
        .map_or((None, name), |(prefix, key)| (Some(prefix), key));
    if !word(key) || prefix.is_some_and(|prefix| host(prefix).is_err() || prefix.starts_with('*')) {
        return Err(format!("{name:?} is not the name of a label"));
    }
    if !value.is_empty() && !word(value) {
        return Err(format!("{value:?} is not the value of a label"));
    }
    Ok(())
}

/// An address or a CIDR.
///
/// # Errors
/// What is wrong with it.
pub fn subnet(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()))
        .map_err(|_| format!("{text:?} is neither an address nor a CIDR"))
}

/// A gateway: `mesh`, a name, or `NAMESPACE/NAME`.
///
/// # Errors
/// What is wrong with it.
pub fn gateway(text: &str) -> Result<(), String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    // A dot is Istio's older way of naming the namespace.
    if (namespace == "." || dns_label(namespace).is_ok()) && !name.starts_with('*') && host(name).is_ok() {
        return Ok(());
    }
    Err(format!("{text:?} is neither mesh nor NAME nor NAMESPACE/NAME"))
}

/// exportTo: `*` alone, or `.` and namespaces, each once. Gives what is wrong by index.
pub fn export_to(namespaces: &[String]) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (index, namespace) in namespaces.iter().enumerate() {
        let fault = if namespace == "*" && namespaces.len() > 1 {
            "* stands for all namespaces, so that nothing can be beside it".to_owned()
        } else if namespaces[..index].contains(namespace) {
            format!("{namespace:?} is there twice")
        } else if namespace == "*" || namespace == "." || dns_label(namespace).is_ok() {
            continue;
        } else {
            format!("{namespace:?} is neither * nor . nor the name of a namespace")
        };
        wrong.push((index, fault));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, good) in [
            ("reviews", true),
            ("Reviews.prod.svc.cluster.local", true),
            ("*", true),
            ("*.example.com", true),
            ("*-api.example.com", true),
            ("", false),
            ("a b", false),
            ("a..b", false),
            ("a.*.b", false),
            ("a.", false),
            ("http://a", false),
            ("a:80", false),
        ] {
            assert_eq!(host(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn labels_gateways_and_subnets() {
        for (name, value, good) in [
            ("app", "curl", true),
            ("app.kubernetes.io/name", "a_b.c", true),
            ("app", "", true),
            ("a b", "", false),
            ("a/b/c", "", false),
            ("app", "a b", false),
            ("app", "-a", false),
        ] {
            assert_eq!(label(name, value).is_ok(), good, "{name}={value}");
        }
        for (text, good) in [
            ("mesh", true),
            ("a/b", true),
            ("a.b.svc.cluster.local", true),
            ("", false),
            ("a/b/c", false),
        ] {
            assert_eq!(gateway(text).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("10.0.0.1", true),
            ("10.0.0.0/8", true),
            ("fd00::/8", true),
            ("10.0.0.0/33", false),
            ("a", false),
        ] {
            assert_eq!(subnet(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn header_values_have_envoys_percent_signs() {
        for (text, good) in [
            ("plain", true),
            ("100%%", true),
            ("%%%%", true),
            ("50%", false),
            ("%HOSTNAME%", true),
            ("a\nb", false),
        ] {
            assert_eq!(header_value(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn export_to_is_all_or_a_list() {
        let wrong = |all: &[&str]| {
            let all: Vec<_> = all.iter().map(|one| (*one).to_owned()).collect();
            export_to(&all)
                .into_iter()
                .map(|(index, _)| index)
                .collect::<Vec<_>>()
        };
        assert_eq!(wrong(&["*"]), Vec::<usize>::new());
        assert_eq!(wrong(&[".", "prod"]), Vec::<usize>::new());
        assert_eq!(wrong(&["*", "prod"]), [0]);
        assert_eq!(wrong(&["prod", "prod", "~", "a b"]), [1, 2, 3]);
    }
}
