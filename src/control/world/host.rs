//! Names of services: short ones made full, wildcards, and the way back to the object.

use super::Key;

/// The fully qualified name of a service: of a Kubernetes Service, or the host that a ServiceEntry has for it.
pub(super) fn of(service: &Key, cluster_domain: &str) -> String {
    match service.name.strip_prefix('/') {
        Some(host) => host.to_owned(),
        None => format!("{}.{}.svc.{cluster_domain}", service.name, service.namespace),
    }
}

/// The key of the service that ServiceEntries of a namespace have for a host. No object of Kubernetes has a slash in its name.
pub(super) fn key(namespace: &str, host: &str) -> Key {
    Key::new(namespace, &format!("/{host}"))
}

/// The service that a fully qualified name means.
pub(super) fn service(host: &str, cluster_domain: &str) -> Option<Key> {
    let (name, namespace) = host
        .strip_suffix(cluster_domain)?
        .strip_suffix(".svc.")?
        .split_once('.')?;
    (!name.is_empty() && !namespace.is_empty() && !namespace.contains('.')).then(|| Key::new(namespace, name))
}

/// A name without a dot belongs to the namespace of the rule that says it; everything else is what it says. Lower case, as in DNS.
pub(super) fn resolve(host: &str, namespace: &str, cluster_domain: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.contains('.') || host.contains(':') || host == "*" {
        host
    } else {
        format!("{host}.{namespace}.svc.{cluster_domain}")
    }
}

pub(super) fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// Whether a host or a wildcard (`*`, `*.default.svc.cluster.local`) means this name.
pub(in crate::control) fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// Whether two hosts or wildcards mean a name in common.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    // Of two wildcards the longer one has to end like the shorter one.
    let wide = |pattern: &str, host: &str| pattern.strip_prefix('*').is_some_and(|end| host.ends_with(end));
    one == other || wide(one, other) || wide(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_as_istio_does() {
        for (host, expected) in [
            ("reviews", "reviews.prod.svc.cluster.local"),
            ("Reviews", "reviews.prod.svc.cluster.local"),
            ("reviews.qa", "reviews.qa"),
            ("reviews.qa.svc.cluster.local", "reviews.qa.svc.cluster.local"),
            ("*", "*"),
            ("*.qa.svc.cluster.local", "*.qa.svc.cluster.local"),
            ("10.0.0.7", "10.0.0.7"),
            ("fd00::7", "fd00::7"),
        ] {
            assert_eq!(resolve(host, "prod", "cluster.local"), expected, "{host}");
        }
    }

    #[test]
    fn a_name_leads_back_to_its_service() {
        for (host, expected) in [
            ("a.b.svc.cluster.local", Some(Key::new("b", "a"))),
            ("a.b.c.svc.cluster.local", None),
            (".b.svc.cluster.local", None),
            ("a.svc.cluster.local", None),
            ("example.com", None),
        ] {
            assert_eq!(service(host, "cluster.local"), expected, "{host}");
        }
    }

    #[test]
    fn wildcards_overlap_with_what_they_mean_and_with_each_other() {
        for (one, other, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "c.b", false),
            ("*", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b", "a.c", false),
            ("*.b", "*.a.b", true),
            ("*.a.b", "*.c.b", false),
            ("*", "*", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn wildcards_mean_what_ends_alike() {
        for (pattern, host, expected) in [
            ("*", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b", "a.a.b", true),
            ("*.b", ".b", false),
            ("*.b", "a.c", false),
            ("a.b", "a.b", true),
            ("a.b", "x.a.b", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
