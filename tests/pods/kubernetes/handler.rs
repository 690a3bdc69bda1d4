//! The rules for probes and lifecycle hooks. A part of `kubernetes`.

use serde_json::Value;

use super::names::{is_name, is_port_name};
use super::{Rules, items, map};

impl Rules {
    pub(super) fn probe(&mut self, probe: &Value, at: &str, readiness: bool) {
        self.handler(probe, at, &["exec", "grpc", "httpGet", "tcpSocket"]);
        for field in [
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
            "failureThreshold",
            "successThreshold",
        ] {
            let value = &probe[field];
            let least = if field == "initialDelaySeconds" { 0 } else { 1 };
            let right = value.is_null() || value.as_i64().is_some_and(|value| value >= least);
            self.expect(right, at, &format!("{field} must be at least {least}"));
        }
        let once = readiness || probe["successThreshold"].is_null() || probe["successThreshold"] == 1;
        self.expect(once, at, "successThreshold must be 1");
        let own = probe["terminationGracePeriodSeconds"].is_null() || !readiness;
        self.expect(own, at, "terminationGracePeriodSeconds is not for readiness");
    }

    /// Exactly one of the kinds, and that one complete.
    pub(super) fn handler(&mut self, handler: &Value, at: &str, kinds: &[&str]) {
        let present: Vec<_> = map(handler)
            .filter(|(key, value)| kinds.contains(&key.as_str()) && !value.is_null())
            .collect();
        self.expect(present.len() == 1, at, "exactly one kind of handler");
        for (kind, action) in present {
            let at = format!("{at}.{kind}");
            match kind.as_str() {
                "httpGet" => {
                    self.port(&action["port"], &at);
                    let scheme = &action["scheme"];
                    self.expect(
                        scheme.is_null() || scheme == "HTTP" || scheme == "HTTPS",
                        &at,
                        "scheme",
                    );
                }
                "tcpSocket" => self.port(&action["port"], &at),
                "grpc" => self.expect(is_port(&action["port"]), &at, "port must be a number"),
                "exec" => self.expect(items(&action["command"]).count() > 0, &at, "command is required"),
                _ => {}
            }
        }
    }

    /// A number, or a name, which is not looked for before the kubelet probes.
    fn port(&mut self, port: &Value, at: &str) {
        let named = port
            .as_str()
            .is_some_and(|name| is_name(name) && is_port_name(name));
        self.expect(named || is_port(port), at, "port must be 1 to 65535 or a name");
    }
}

fn is_port(port: &Value) -> bool {
    port.as_u64().is_some_and(|port| (1..=65535).contains(&port))
}
