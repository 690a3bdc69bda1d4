//! `outrigger inject` on files: `testdata/inject/NAME.yaml` must become `NAME.injected.yaml`.
//! `BLESS=1 cargo test` writes the expected files anew; read the difference before it is committed.

use std::path::{Path, PathBuf};

use outrigger::inject::manifest::{Format, Outcome, append, inject, uninject};
use outrigger::settings::Settings;

fn inputs() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/inject");
    let entries = std::fs::read_dir(directory).expect("the test data");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| !path.to_string_lossy().contains(".injected."))
        .collect()
}

fn injected(text: &str) -> Outcome {
    inject(text, &Settings::default(), Format::Yaml).expect("injected")
}

fn uninjected(text: &str) -> Outcome {
    uninject(text, Format::Yaml).expect("uninjected")
}

#[test]
fn files_become_what_is_expected() {
    let inputs = inputs();
    assert!(!inputs.is_empty());
    for path in inputs {
        let text = std::fs::read_to_string(&path).expect("a file");
        let found = injected(&text).text;
        let golden = path.with_extension("injected.yaml");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &found).expect("written");
        }
        let expected = std::fs::read_to_string(&golden).expect("the expected file");
        assert!(
            found == expected,
            "{} differs from {}:\n{found}",
            path.display(),
            golden.display()
        );
        let name = path.display();
        assert_eq!(injected(&found).text, found, "{name}: twice is not once");
        let back = uninjected(&found).text;
        assert_eq!(back, upgraded(&text), "{name}: there and back");
    }
}

/// What `inject` and `uninject` leave of a file: its removed API versions stay upgraded.
fn upgraded(text: &str) -> String {
    let selector = |indent: &str, labels: &[&str]| {
        let labels: String = labels
            .iter()
            .map(|label| format!("{indent}    {label}\n"))
            .collect();
        format!("{indent}selector:\n{indent}  matchLabels:\n{labels}{indent}template:\n")
    };
    let mut text = text.replace("batch/v1beta1", "batch/v1");
    for (version, labels) in [
        ("extensions/v1beta1", &["app: helloworld", "version: v1"][..]),
        ("apps/v1beta1", &["app: curl"]),
    ] {
        if let Some(at) = text.find(&format!("apiVersion: {version}\n")) {
            let rest = text[at..].replacen(version, "apps/v1", 1);
            text = text[..at].to_string() + &rest.replacen("  template:\n", &selector("  ", labels), 1);
        }
    }
    text
}

#[test]
fn files_are_joined_as_documents_of_their_own() {
    let mut text = String::new();
    for file in [
        "a: 1",
        "--- # b\nb: 2\n",
        "\u{feff}# c\nc: 3\n",
        "# d\n%YAML 1.2\n---\nd: 4\n",
    ] {
        append(&mut text, file);
    }
    assert_eq!(
        text,
        "a: 1\n--- # b\nb: 2\n---\n# c\nc: 3\n...\n# d\n%YAML 1.2\n---\nd: 4\n"
    );
}

#[test]
fn what_does_not_change_is_copied() {
    for path in inputs().iter().filter(|path| path.ends_with("untouched.yaml")) {
        let text = std::fs::read_to_string(path).expect("a file");
        assert_eq!(injected(&text).text, text);
        let windows = text.replace('\n', "\r\n");
        assert_eq!(injected(&windows).text, windows);
    }
    let service = "apiVersion: v1\nkind: Service # the helloworld's\nmetadata: {name:   a}\n";
    let text = format!("{service}---\napiVersion: v1\nkind: Pod\nspec: {{containers: [{{name: a}}]}}\n");
    assert!(
        injected(&text)
            .text
            .starts_with(&format!("{service}---\napiVersion: v1\n"))
    );
}

#[test]
fn notes_say_what_was_done() {
    let text = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: s}}
- {apiVersion: v1, kind: Pod, metadata: {name: in}, spec: {containers: [{name: a}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: out, labels: {sidecar.istio.io/inject: 'false'}}, spec: {containers: [{name: a}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: kube-system}, spec: {containers: [{name: a}]}}
- apiVersion: apps/v1beta2
  kind: ReplicaSet
  metadata: {name: old}
  spec: {template: {metadata: {labels: {app: old}}, spec: {containers: [{name: a}]}}}
";
    let expected = [
        "Pod in: injected",
        "Pod out: not injected, because sidecar.istio.io/inject is \"false\" on the pod",
        "Pod kube-system/dns: not injected, because its namespace is in injection.ignoredNamespaces",
        "ReplicaSet old: apps/v1beta2 is no longer served, written as apps/v1 \
         with spec.selector from the labels of its template",
        "ReplicaSet old: injected",
    ];
    assert_eq!(injected(text).notes, expected);
}

#[test]
fn every_error_of_a_file_is_listed() {
    let text = "apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
spec: {containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: fine}
spec: {containers: [{name: a}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b}
spec: {template: {metadata: {labels: {version: 1}}, spec: {containers: [{name: a}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec: {jobTemplate: {spec: {}}}
---
a: [
";
    let errors = inject(text, &Settings::default(), Format::Yaml).expect_err("errors");
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        "line 1, Pod shop/a: spec.containers is an empty list; it must be a list of at least one container",
        "line 10, Deployment b: spec.template.metadata.labels[\"version\"] is the number 1; it must be a string; quote it",
        "line 15, CronJob c: spec.jobTemplate.spec.template is missing; it must be an object",
    ];
    assert_eq!(errors[..3], expected);
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn json_comes_out_as_json() {
    let text = "# comment\n---\nkind: Other\na: 1\n---\n\
                {\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"a\"}]}}\n";
    let output = inject(text, &Settings::default(), Format::Json)
        .expect("injected")
        .text;
    let values: Result<Vec<serde_json::Value>, _> =
        serde_json::Deserializer::from_str(&output).into_iter().collect();
    let values = values.expect("JSON");
    assert_eq!(values.len(), 2);
    assert_eq!(values[0], serde_json::json!({"kind": "Other", "a": 1}));
    assert_eq!(values[1]["spec"]["initContainers"][1]["name"], "outrigger-proxy");
}
