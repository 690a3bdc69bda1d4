//! Hard texts through `inject` and `uninject`: nothing but additions, the value that the patch makes, twice is once, and back
//! again byte for byte. Each is tried with LF and CR LF, with and without a last line break, alone and among others.

mod anew;
mod block;
mod brackets;

use super::*;

/// What may happen to a text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// Lines come, and every line that was there stays as it is.
    Lines,
    /// Words come between brackets; every byte stays.
    Words,
    /// A node is written anew.
    Anew,
    /// Nothing.
    None,
}
use Change::{Anew, Lines, Words};

/// All values of a text, by way of JSON, which is written from values alone.
fn values(json: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(json).into_iter();
    values.collect::<Result<_, _>>().expect("JSON")
}

fn parsed(text: &str) -> Vec<Value> {
    let documents = document::split(text);
    let values = documents
        .iter()
        .map(|document| document.parse().expect(document.text));
    values.flatten().collect()
}

fn is_subsequence<T: PartialEq>(part: impl Iterator<Item = T>, mut whole: impl Iterator<Item = T>) -> bool {
    let mut part = part;
    part.all(|item| whole.any(|other| other == item))
}

fn without_status(mut values: Vec<Value>) -> Vec<Value> {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(text)) = map.get_mut("outrigger.dev/status") {
                    let mut status: Value = serde_json::from_str(text).expect("a status");
                    status.as_object_mut().expect("an object").shift_remove("texts");
                    *text = status.to_string();
                }
                map.values_mut().for_each(clear);
            }
            Value::Array(list) => list.iter_mut().for_each(clear),
            _ => {}
        }
    }
    values.iter_mut().for_each(clear);
    values
}

#[track_caller]
fn check(text: &str, change: Change) {
    let settings = Settings::default();
    let show = |errors: Vec<ManifestError>| panic!("{errors:?} of {text}");
    let output = inject(text, &settings, Format::Yaml).unwrap_or_else(show).text;
    assert_eq!(output == text, change == Change::None, "{output}");
    let json = inject(text, &settings, Format::Json).unwrap_or_else(show).text;
    assert_eq!(
        without_status(parsed(&output)),
        values(&json),
        "the value of {output}"
    );
    let kept = match change {
        Lines => is_subsequence(
            text.split_inclusive('\n').map(str::trim_end),
            output.lines().map(str::trim_end),
        ),
        Words => is_subsequence(text.bytes(), output.bytes()),
        Anew | Change::None => true,
    };
    assert!(kept, "not all of {text} is in {output}");
    let again = inject(&output, &settings, Format::Yaml).unwrap_or_else(show).text;
    assert_eq!(again, output, "twice");
    let back = uninject(&output, Format::Yaml).unwrap_or_else(show).text;
    assert_eq!(back, text, "back from {output}");
    assert_eq!(
        uninject(text, Format::Yaml).unwrap_or_else(show).text,
        text,
        "nothing is in it"
    );
}

#[track_caller]
fn check_all(text: &str, change: Change) {
    let text = text.strip_prefix('\n').unwrap_or(text);
    check(text, change);
    check(&text.replace('\n', "\r\n"), change);
    check(
        &format!("# first\n---\n{text}...\n---\n# nothing\n---  # other\na:   1\n"),
        change,
    );
    check(&format!("%YAML 1.2\n# c\n---\n{text}"), change);
    check(&format!("\u{feff}{text}"), change);
    let ends_in_block = text
        .trim_end()
        .lines()
        .next_back()
        .is_some_and(|line| line.starts_with("    lit"));
    if !ends_in_block {
        check(text.trim_end(), change);
    }
    check(&format!("{text}\n\n# the end\n\n"), change);
}

#[test]
fn lists_of_objects() {
    let table = [
        "
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata:
    name: a
  spec:
    containers:
    - name: a
# between
- kind: ConfigMap
  apiVersion: v1
  data: {a:   b}
-
  apiVersion: v1
  kind: List
  items:
    - spec:
        containers:
          - name: b
      apiVersion: v1
      kind: Pod
    - apiVersion: batch/v1
      kind: CronJob
      metadata:
        name: c
      spec:
        jobTemplate:
          spec:
            template:
              spec:
                containers:
                  - name: c
",
        "
apiVersion: apps/v1
kind: DeploymentList
items:
- metadata: {name: a}
  spec:
    template:
      metadata:
        labels:
          app: a
      spec:
        containers:
        - name: a
- metadata: {name: b}
  spec:
    template:
      metadata:
        labels:
          app: b
      spec:
        containers:
        - name: b
",
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: a
spec:
  strategy: {canary: {steps: [{setWeight:  20}]}}
  template:
    metadata:
      labels:
        app: a
    spec:
      containers:
      - name: a
",
    ];
    for text in table {
        check_all(text, Lines);
    }
}

#[test]
fn what_is_not_ours_is_copied() {
    let table = [
        "",
        "\n",
        "# only\n",
        "null\n",
        "a: 1\n",
        "- a\n-   b\n",
        "just text\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
        "apiVersion: v1\nkind: Pod\nspec: {hostNetwork: true,   containers: [{name: a}]}\n",
    ];
    for text in table {
        check(text, Change::None);
        check(&text.replace('\n', "\r\n"), Change::None);
    }
}

#[test]
fn an_error_names_the_line_and_what_is_in_the_way() {
    let text = "a: 1\n---\n? kind\n: Pod\n? apiVersion\n: v1\nspec: {containers: [{name: a}]}\n";
    let errors = inject(text, &Settings::default(), Format::Yaml).expect_err("no place");
    let message = errors[0].to_string();
    assert!(
        message.starts_with("line 2: the whole document would have to be written anew"),
        "{message}"
    );
    assert!(inject(text, &Settings::default(), Format::Json).is_ok());
}

#[test]
fn a_text_that_no_longer_fits_is_left_out() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: &l {app: a}\n  annotations: *l\nspec:\n  containers:\n  - name: a\n";
    let output = inject(text, &Settings::default(), Format::Yaml)
        .expect("injected")
        .text;
    let edited = output.replace("app: a", "app: b");
    assert_ne!(edited, output);
    let back = uninject(&edited, Format::Yaml).expect("uninjected").text;
    let expected = uninject(&edited, Format::Json).expect("uninjected").text;
    assert_eq!(parsed(&back), values(&expected), "{back}");
}

#[test]
fn many_aliases_are_refused_and_deep_nesting_too() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(inject(&laughs, &Settings::default(), Format::Yaml).is_err());
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert!(inject(&deep, &Settings::default(), Format::Yaml).is_err());
    }
    let comments = "# a comment\n".repeat(1000);
    let text = format!(
        "apiVersion: v1\nkind: Pod\n{comments}spec:\n{comments}  containers:\n{comments}  - name: a\n{comments}"
    );
    check(&text, Lines);
}
