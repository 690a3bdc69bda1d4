//! The report, as text for people. The end of `check`.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::verdict::{Level, Verdict};
use crate::audit::{Code, Finding};
use crate::inject::Owner;

/// All that was found; as JSON it is this.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Verdict>,
    pub(super) pods: Vec<Pod>,
}

/// A running pod of which something was found.
#[derive(Debug, Serialize)]
pub(super) struct Pod {
    namespace: String,
    name: String,
    owner: Owner,
    finding: Code,
    reason: String,
    remedy: String,
}

impl Pod {
    pub(super) fn new(namespace: String, name: &str, owner: Owner, finding: Finding) -> Self {
        let remedy = owner.remedy(&namespace, name);
        Self {
            namespace,
            name: name.to_owned(),
            owner,
            finding: finding.code,
            reason: finding.why,
            remedy,
        }
    }
}

impl Report {
    /// What is wrong in one sentence, or `None` if all is well. A warning is not wrong.
    pub(super) fn problems(&self) -> Option<String> {
        let failed = self
            .checks
            .iter()
            .filter(|verdict| verdict.level == Level::Fail)
            .count();
        let some = |count, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {more}")),
        };
        let checks = some(failed, "check failed", "checks failed");
        let pods = some(
            self.pods.len(),
            "pod is not as the rules say",
            "pods are not as the rules say",
        );
        let parts: Vec<_> = checks.into_iter().chain(pods).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// One line for each check with what to do below it, then the pods, then what to do about these: each owner once.
    pub(super) fn text(&self, coloured: bool) -> String {
        let mut text = String::new();
        let width = self
            .checks
            .iter()
            .map(|verdict| verdict.check.len())
            .max()
            .unwrap_or(0);
        for verdict in &self.checks {
            let (word, colour) = match verdict.level {
                Level::Ok => ("ok  ", "32"),
                Level::Warn => ("warn", "33"),
                Level::Fail => ("fail", "31"),
            };
            let word = paint(word, colour, coloured);
            let _ = writeln!(text, "{word}  {:width$}  {}", verdict.check, verdict.reason);
            if let Some(remedy) = &verdict.remedy {
                let _ = writeln!(
                    text,
                    "      {:width$}  {}",
                    "",
                    paint(&format!("-> {remedy}"), "1", coloured)
                );
            }
        }
        if !self.pods.is_empty() {
            text.push_str(&self.pods(coloured));
        }
        text
    }

    fn pods(&self, coloured: bool) -> String {
        let row = |pod: &Pod| {
            [
                format!("{}/{}", pod.namespace, pod.name),
                pod.owner.to_string(),
                pod.finding.as_str().to_owned(),
            ]
        };
        let heading = ["POD", "OWNER", "FINDING"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(heading)
            .chain(self.pods.iter().map(row))
            .collect();
        let widths: [usize; 3] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
        let mut text = String::new();
        let reasons = std::iter::once("WHY").chain(self.pods.iter().map(|pod| pod.reason.as_str()));
        for ([pod, owner, finding], why) in rows.iter().zip(reasons) {
            let [a, b, c] = widths;
            let finding = paint(&format!("{finding:c$}"), "31", coloured && why != "WHY");
            let _ = writeln!(text, "{pod:a$}  {owner:b$}  {finding}  {why}");
        }
        let remedies: BTreeSet<_> = self.pods.iter().map(|pod| pod.remedy.as_str()).collect();
        let _ = writeln!(text, "\nTo have them made anew:");
        for remedy in remedies {
            let _ = writeln!(text, "  {}", paint(remedy, "1", coloured));
        }
        format!("\n{text}")
    }
}

/// `colour` is the parameter of SGR (ECMA-48).
fn paint(text: &str, colour: &str, coloured: bool) -> String {
    match coloured {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, kind: &str, owner: &str, finding: Code) -> Pod {
        let owner = Owner {
            kind: kind.to_owned(),
            name: owner.to_owned(),
        };
        let why = "it has no proxy".to_owned();
        Pod::new(namespace.to_owned(), name, owner, Finding { code: finding, why })
    }

    fn report(checks: Vec<Verdict>) -> Report {
        Report { checks, pods: vec![] }
    }

    #[test]
    fn a_report_is_read_from_top_to_bottom() {
        let mut report = report(vec![
            Verdict::ok("settings", "can be read"),
            Verdict::warn("failure_policy", "Ignore", "set Fail"),
            Verdict::fail("ca_bundle", "is empty", "see the log"),
        ]);
        report.pods = vec![
            pod("shop", "web-1-a", "Deployment", "web", Code::Missing),
            pod("shop", "web-1-bcd", "Deployment", "web", Code::Missing),
            pod("bank", "db-0", "StatefulSet", "db", Code::Outdated),
        ];
        let expected = "\
ok    settings        can be read
warn  failure_policy  Ignore
                      -> set Fail
fail  ca_bundle       is empty
                      -> see the log

POD             OWNER           FINDING   WHY
shop/web-1-a    deployment/web  missing   it has no proxy
shop/web-1-bcd  deployment/web  missing   it has no proxy
bank/db-0       statefulset/db  outdated  it has no proxy

To have them made anew:
  kubectl -n bank rollout restart statefulset/db
  kubectl -n shop rollout restart deployment/web
";
        assert_eq!(report.text(false), expected);
        assert_eq!(
            report.problems().as_deref(),
            Some("1 check failed, 3 pods are not as the rules say")
        );
        let coloured = report.text(true);
        assert!(
            coloured.contains("\x1b[31mfail\x1b[0m") && coloured.contains("\x1b[31mmissing \x1b[0m"),
            "{coloured}"
        );
        let plain = coloured.replace("\x1b[0m", "");
        let plain = ["31", "32", "33", "1"]
            .iter()
            .fold(plain, |text, code| text.replace(&format!("\x1b[{code}m"), ""));
        assert_eq!(plain, expected, "colour is all that differs");
    }

    #[test]
    fn only_failures_and_pods_are_problems() {
        let fine = report(vec![Verdict::ok("a", "b"), Verdict::warn("c", "d", "e")]);
        assert_eq!(fine.problems(), None);
        let failed = report(vec![Verdict::fail("a", "b", "c"), Verdict::fail("a", "b", "c")]);
        assert_eq!(failed.problems().as_deref(), Some("2 checks failed"));
    }

    #[test]
    fn scripts_get_stable_words() {
        let mut report = report(vec![Verdict::warn("a", "b", "c"), Verdict::ok("d", "e")]);
        report.pods = vec![pod("shop", "p", "Pod", "p", Code::Unwanted)];
        let expected = serde_json::json!({
            "checks": [
                {"check": "a", "level": "warn", "reason": "b", "remedy": "c"},
                {"check": "d", "level": "ok", "reason": "e"},
            ],
            "pods": [{
                "namespace": "shop", "name": "p", "owner": {"kind": "Pod", "name": "p"}, "finding": "unwanted",
                "reason": "it has no proxy", "remedy": "delete pod/p in shop and create it again",
            }],
        });
        assert_eq!(serde_json::to_value(&report).expect("JSON"), expected);
    }
}
