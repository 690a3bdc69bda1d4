//! The rules by which an API server and a kubelet refuse a pod, as far as injection can break them, from the API reference of
//! Kubernetes 1.34 (core/v1 Pod). A pod with a sidecar may break none that it did not break before. After it: `properties`.

mod handler;
mod names;
mod volume;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use names::{is_label_key, is_label_value, is_name, is_port_name};

/// The most that the annotations of one object may hold, keys and values together, in bytes.
const ANNOTATIONS: usize = 256 * 1024;

/// The rules that a pod breaks, each with the place by name. Fields of the wrong type count as absent: they are not ours.
pub(super) fn violations(pod: &Value) -> BTreeSet<String> {
    let mut rules = Rules {
        broken: BTreeSet::new(),
    };
    rules.metadata(&pod["metadata"]);
    rules.pod(&pod["spec"]);
    rules.broken
}

/// The rules, collecting what breaks them.
struct Rules {
    broken: BTreeSet<String>,
}

impl Rules {
    fn expect(&mut self, right: bool, at: &str, rule: &str) {
        if !right {
            self.broken.insert(format!("{at}: {rule}"));
        }
    }

    /// Says that the values seen must differ from each other.
    fn unique<'a>(&mut self, values: impl Iterator<Item = &'a str>, at: &str) {
        let mut seen = BTreeSet::new();
        for value in values {
            self.expect(seen.insert(value), at, &format!("{value:?} is there twice"));
        }
    }

    fn metadata(&mut self, metadata: &Value) {
        for (key, value) in map(&metadata["labels"]) {
            let at = format!("metadata.labels[{key}]");
            self.expect(is_label_key(key), &at, "no label key");
            self.expect(value.as_str().is_some_and(is_label_value), &at, "no label value");
        }
        let mut bytes = 0;
        for (key, value) in map(&metadata["annotations"]) {
            self.expect(
                is_label_key(&key.to_lowercase()),
                "metadata.annotations",
                &format!("{key:?} is no key"),
            );
            bytes += key.len() + value.as_str().map_or(0, str::len);
        }
        self.expect(bytes <= ANNOTATIONS, "metadata.annotations", "too large");
    }

    fn pod(&mut self, spec: &Value) {
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        self.unique(
            lists.iter().flat_map(|list| items(&spec[*list])).filter_map(name),
            "spec",
        );
        self.unique(items(&spec["volumes"]).filter_map(name), "spec.volumes");
        for volume in items(&spec["volumes"]) {
            self.volume(volume);
        }
        let volumes: Vec<_> = items(&spec["volumes"]).filter_map(name).collect();
        for list in lists {
            for container in items(&spec[list]) {
                let at = format!("spec.{list}[{}]", name(container).unwrap_or_default());
                self.container(container, &at, list, &volumes);
                self.user(&container["securityContext"], &spec["securityContext"], &at);
            }
        }
        // A port of a pod is looked for by name (a Service's targetPort): what has one name must be one port.
        let ports = items(&spec["containers"]).chain(items(&spec["initContainers"]));
        let ports: Vec<_> = ports.flat_map(|container| items(&container["ports"])).collect();
        for (index, port) in ports.iter().enumerate() {
            let other = ports[..index]
                .iter()
                .find(|other| port["name"].is_string() && other["name"] == port["name"]);
            let same = other.is_none_or(|other| other["containerPort"] == port["containerPort"]);
            self.expect(same, "spec", &format!("two ports are named {}", port["name"]));
        }
    }

    fn container(&mut self, container: &Value, at: &str, list: &str, volumes: &[&str]) {
        self.expect(
            name(container).is_some_and(is_name),
            at,
            "name must be a DNS label",
        );
        let image = container["image"].as_str().unwrap_or_default();
        self.expect(
            !image.is_empty() && image.trim() == image,
            at,
            "image is required",
        );
        let policy = container["imagePullPolicy"].as_str();
        let policies = [None, Some("Always"), Some("IfNotPresent"), Some("Never")];
        self.expect(policies.contains(&policy), at, "imagePullPolicy");
        let restart = container["restartPolicy"].as_str();
        let kept = list == "containers" || (list == "initContainers" && restart == Some("Always"));
        self.expect(
            restart.is_none() || list == "initContainers",
            at,
            "restartPolicy is for init containers",
        );
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            if container[probe].is_object() {
                self.expect(
                    kept,
                    at,
                    &format!("{probe} is only for containers that keep running"),
                );
                self.probe(
                    &container[probe],
                    &format!("{at}.{probe}"),
                    probe == "readinessProbe",
                );
            }
        }
        for (hook, handler) in map(&container["lifecycle"]).filter(|(_, handler)| handler.is_object()) {
            self.expect(kept, at, "lifecycle is only for containers that keep running");
            self.handler(
                handler,
                &format!("{at}.lifecycle.{hook}"),
                &["exec", "httpGet", "sleep", "tcpSocket"],
            );
        }
        self.ports(container, at);
        self.env(container, at);
        self.mounts(container, at, volumes);
        self.security_context(&container["securityContext"], at);
    }

    fn ports(&mut self, container: &Value, at: &str) {
        for port in items(&container["ports"]) {
            let number = port["containerPort"].as_u64().unwrap_or_default();
            self.expect(
                (1..=65535).contains(&number),
                at,
                "containerPort must be 1 to 65535",
            );
            self.expect(
                port["name"].as_str().is_none_or(is_port_name),
                at,
                "port names have 15 characters at most",
            );
        }
        self.unique(
            items(&container["ports"]).filter_map(name),
            &format!("{at}.ports"),
        );
    }

    fn env(&mut self, container: &Value, at: &str) {
        for variable in items(&container["env"]) {
            let at = format!("{at}.env[{}]", name(variable).unwrap_or_default());
            let right = name(variable).is_some_and(|name| !name.is_empty() && !name.contains('='));
            self.expect(right, &at, "an environment variable's name");
            let value = variable["value"].as_str().is_some_and(|value| !value.is_empty());
            self.expect(
                !value || variable["valueFrom"].is_null(),
                &at,
                "value and valueFrom",
            );
            self.expect(
                variable["valueFrom"].is_null() || map(&variable["valueFrom"]).count() == 1,
                &at,
                "one source",
            );
        }
    }

    fn security_context(&mut self, context: &Value, at: &str) {
        let added =
            items(&context["capabilities"]["add"]).any(|it| it == "SYS_ADMIN" || it == "CAP_SYS_ADMIN");
        let escalates = context["privileged"] == true || added;
        let right = context["allowPrivilegeEscalation"] != false || !escalates;
        self.expect(
            right,
            at,
            "allowPrivilegeEscalation is false for a container that is privileged",
        );
    }

    /// The kubelet starts no container as root that must not be.
    fn user(&mut self, container: &Value, pod: &Value, at: &str) {
        let either = |field| {
            [container, pod]
                .into_iter()
                .map(|it| &it[field])
                .find(|value| !value.is_null())
        };
        let root = either("runAsUser").is_some_and(|user| user == 0);
        let must_not = either("runAsNonRoot").is_some_and(|value| value == true);
        self.expect(!root || !must_not, at, "runAsNonRoot is true and runAsUser is 0");
    }
}

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}
