//! What names may look like. A part of `kubernetes`.

/// A DNS label (RFC 1123): the names of containers and volumes.
pub(super) fn is_name(name: &str) -> bool {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(right)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A service's name (RFC 6335): the names of ports.
pub(super) fn is_port_name(name: &str) -> bool {
    is_name(name)
        && name.len() <= 15
        && !name.contains("--")
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// `[prefix/]name` of a label or an annotation.
pub(super) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("x", key));
    prefix.len() <= 253 && prefix.split('.').all(is_name) && !name.is_empty() && is_label_value(name)
}

/// Empty, or 63 characters that begin and end with a letter or a digit.
pub(super) fn is_label_value(value: &str) -> bool {
    let middle = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let end = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    let (first, last) = (value.bytes().next(), value.bytes().last());
    value.len() <= 63 && value.bytes().all(middle) && end(first) && end(last)
}
