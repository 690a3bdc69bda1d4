//! The rules for volumes and where they are mounted. A part of `kubernetes`.

use serde_json::Value;

use super::names::is_name;
use super::{Rules, items, map, name};

impl Rules {
    pub(super) fn volume(&mut self, volume: &Value) {
        let at = format!("spec.volumes[{}]", name(volume).unwrap_or_default());
        self.expect(name(volume).is_some_and(is_name), &at, "name must be a DNS label");
        let sources = map(volume).filter(|(key, value)| *key != "name" && !value.is_null());
        self.expect(sources.count() <= 1, &at, "one source");
        for source in items(&volume["projected"]["sources"]) {
            self.expect(map(source).count() == 1, &at, "one projected source");
            let token = &source["serviceAccountToken"];
            let seconds = token["expirationSeconds"].as_u64().unwrap_or(3600);
            self.expect(
                (600..=1 << 32).contains(&seconds),
                &at,
                "expirationSeconds must be at least 600",
            );
            self.expect(
                token.is_null() || is_relative(&token["path"]),
                &at,
                "a relative path",
            );
            for item in items(&source["configMap"]["items"]).chain(items(&source["downwardAPI"]["items"])) {
                self.expect(is_relative(&item["path"]), &at, "a relative path");
            }
        }
    }

    pub(super) fn mounts(&mut self, container: &Value, at: &str, volumes: &[&str]) {
        let mounts = || items(&container["volumeMounts"]);
        for mount in mounts() {
            let path = mount["mountPath"].as_str().unwrap_or_default();
            self.expect(
                !path.is_empty() && !path.contains(':'),
                at,
                "mountPath is required",
            );
            let known = name(mount).is_some_and(|name| volumes.contains(&name));
            self.expect(
                known,
                at,
                &format!("volumeMounts names {}, which is no volume", mount["name"]),
            );
        }
        let paths = mounts().filter_map(|mount| mount["mountPath"].as_str());
        self.unique(paths, &format!("{at}.volumeMounts"));
    }
}

fn is_relative(path: &Value) -> bool {
    let path = path.as_str().unwrap_or_default();
    !path.is_empty() && !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}
