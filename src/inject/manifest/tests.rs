//! Hard texts through `inject` and `uninject`: nothing but additions, the value that the patch makes, twice is once, and back
//! again byte for byte. Each is tried with LF and CR LF, with and without a last line break, alone and among others.

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
fn pods_in_block_style() {
    let table = [
        "
apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
  - name: a
",
        "
# at the top

apiVersion: v1   # of the core
kind: Pod
# before metadata
metadata: # at metadata
  # before name
  name: a   # at name
  # after name
# before spec

spec: # at spec
  # before containers
  containers: # at containers
  # before the item
  - name: a # at the name
    # after the name
  # after the item

# at the end
",
        "
kind: Pod
apiVersion: v1
spec:
    initContainers:
        # the migration
        - name: migrate   # first
          image: \"migrate\"

        - name: 'seed'
    containers:
        - name: a
          command:
              - sh
              - -c
              - |
                echo a

                echo b
    volumes:
        - name: v
          emptyDir: {}
metadata:
    annotations:
        b: \"1\"
        # between
        a: '2'
    labels:
        app: a
    name: x
",
        "
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: a
    args: [a,   b,
      c]
    env: [{name: A,  value: \"1\"}]
  volumes:
  - name: v
    configMap: {name: v}
",
        "
\"apiVersion\": 'v1'
\"kind\": \"Pod\"
'metadata':
  \"labels\":
    'app': a
  \"annotations\":
    \"a/b~c\": >-
      folded
      text

'spec':
  \"containers\":
  - \"name\": a
",
        "
apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations:
    script: |
      # not a comment

      a: b
      - c


  labels:
    text: >+
      kept


spec:
  containers:
  - name: a
",
        "
apiVersion: v1
kind: Pod
metadata:
  annotations:
    keep: |+
      lines

    last: |2-
        indented
      text
spec:
  containers:
  - name: a
    args:
    - >
      folded
       more

    - plain
      in two lines
    - \"quoted
      in two lines\"
",
        "
apiVersion: v1
kind: Pod
metadata:
  name: a\t# a tab
  labels:\x20\x20
    app: a\x20\x20
spec:
  containers:\t
  - name: a
    image: b\x20
",
        "
apiVersion: v1
kind: Pod
spec:
  containers:
  -
    name: a
  -   name: b
      image: b
  - # the third
    name: c
  initContainers:
  -
    # the first
    name: d
",
        "
apiVersion: v1
kind: Pod
metadata:
  name:
    a
  labels:

    # far away

    app: a
spec:

  containers:

  - name: a


  - name: b


  volumes:

  - name: v
    emptyDir: {}

",
        "
apiVersion: v1
kind: Pod
metadata: !!map
  name: !!str a
  labels: &labels
    app: &app a
  annotations:
    app: *app
spec:
  containers:
  - &first
    name: a
    env: &env
    - name: A
      value: 'it''s'
  - name: b
    env: *env
",
        "
apiVersion: v1
kind: Pod
metadata:
  name: \"\\u00e9\\x41 \\
    b\"
  annotations:
    日本語: 🚣
    é: \"ü\" # ö
spec:
  containers:
  - name: a
  unknown: [1, 2.50, 0x1F, 0o17, 1_000, ~, null, yes, \"no\", 2024-01-01]
",
        "
apiVersion: v1
kind: Pod
metadata:
  annotations:
    a: |
    lit: x
spec:
  containers:
  - name: a
    env:
    - name: EMPTY
      value:
    - name: B
      value: \"\"
",
    ];
    for text in table {
        check_all(text, Lines);
    }
}

#[test]
fn parents_that_are_null_or_empty() {
    let parents = [
        "metadata:\n",
        "metadata: # none\n",
        "metadata: ~   # none\n",
        "metadata: null\n# after\n",
        "metadata:\n  labels:\n  annotations:   # none\n",
        "metadata:\n  annotations:\n    # only a comment\n  labels: null # none\n",
        "metadata:\n  labels: ~\n  name: a\n  annotations: ~\n",
        "metadata:\n  name: a\n  labels: &anchor\n  annotations: !!null\n",
    ];
    for metadata in parents {
        for lists in [
            "",
            "  initContainers:\n  volumes: # none\n",
            "  volumes: null   # none\n  initContainers: ~\n",
        ] {
            let spec = format!("spec:\n  dnsPolicy: Default\n{lists}  containers:\n  - name: a\n");
            check_all(&format!("apiVersion: v1\nkind: Pod\n{metadata}{spec}"), Anew);
            check_all(&format!("apiVersion: v1\nkind: Pod\n{spec}{metadata}"), Anew);
        }
    }
}

#[test]
fn brackets_in_block_style() {
    let table = [
        "apiVersion: v1\nkind: Pod\nmetadata: {}\nspec:\n  containers: [{name: a}]\n",
        "apiVersion: v1\nkind: Pod\nmetadata: { } # none\nspec: {containers: [{name: a}]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {}, annotations: { }}\nspec: {containers: [{name: a}], volumes: [], initContainers: [ ]}\n",
        "apiVersion: v1\nkind: Pod\nspec:\n  volumes: []   # none\n  initContainers: [] # none\n  containers:\n  - name: a\n",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {app:   a, 'b': \"c\"} # two\n  annotations: {a: b,}\nspec:\n  initContainers: [ {name: b} , {name: c} ]\n  containers: [{name: a}, ]\n  volumes: [{name: v, emptyDir: {}},\n    {name: w, emptyDir: {}}]\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {\n  name: a, # the name\n  labels: {\n    app: a # the app\n  },\n  annotations: {\n    a: b,\n  }\n}\nspec: {containers: [\n  {name: a}\n]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {labels: &a {app: a}, annotations: !!map {a: b}}\nspec: {containers: &c [{name: a}]}\n",
        "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a}]}}\n",
        "--- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a}]}}\n",
    ];
    for text in table {
        match text.starts_with("---") {
            true => check(text, Words),
            false => check_all(text, Words),
        }
    }
}

#[test]
fn json_is_added_to_in_its_own_style() {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"}, "annotations": {}},
        "spec": {"volumes": [], "initContainers": [{"name": "x"}], "containers": [{"name": "a", "args": ["\u{e9}\n\"'"]}]},
    });
    let pretty = format!("{pod:#}\n");
    for text in [
        pod.to_string() + "\n",
        pretty.clone(),
        pretty.replace("  ", "\t"),
        pretty.replace("  ", "    "),
    ] {
        check(&text, Words);
        check(text.trim_end(), Words);
        check(&text.replace('\n', "\r\n"), Words);
        let output = inject(&text, &Settings::default(), Format::Yaml)
            .expect("injected")
            .text;
        serde_json::from_str::<Value>(&output).expect("JSON stays JSON");
    }
    let output = inject(&pretty, &Settings::default(), Format::Yaml)
        .expect("injected")
        .text;
    assert!(
        output.contains("\n      {\n        \"name\": \"outrigger-init\",\n        \"image\": "),
        "{output}"
    );
    let tight = inject(&pod.to_string(), &Settings::default(), Format::Yaml)
        .expect("injected")
        .text;
    assert!(
        tight.contains("[{\"name\":\"outrigger-init\",\"image\":"),
        "{tight}"
    );
}

#[test]
fn aliases_and_merge_keys() {
    let table = [
        // The template's labels are an alias of the selector's.
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector:
    matchLabels: &labels
      app: a
      tier: b
  template:
    metadata:
      labels: *labels   # the same
    spec:
      containers:
      - name: a
",
        // The other way round: who refers to what changes keeps its value.
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  template:
    metadata:
      labels: &labels {app: a}
    spec:
      containers:
      - name: a
  selector: {matchLabels: *labels}
",
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  labels: &labels
    app: a
spec:
  selector:
    matchLabels:
      <<: *labels
  template:
    metadata: &metadata
      labels:
        <<: *labels
        tier: b
    spec:
      containers:
      - name: a
  other: *metadata
",
        "
apiVersion: v1
kind: List
shared: &metadata
  name: a
  labels: {app: a}
items:
- apiVersion: v1
  kind: Pod
  metadata:
    <<: *metadata
    namespace: x # of its own
  spec: &spec
    containers:
    - name: a
- apiVersion: v1
  kind: Pod
  metadata: *metadata
  spec: *spec
",
        "
apiVersion: v1
kind: Pod
metadata:
  labels: {<<: {app: a}, tier: b}
  ? annotations
  : a: b
spec:
  ? containers
  : - name: a
  volumes: !!seq
  - name: v
",
    ];
    for text in table {
        check_all(text, Anew);
    }
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
fn what_is_replaced_comes_back_as_it_was() {
    let spec = [
        // Probes, with comments in them and beside them.
        "
  containers:
  - name: a
    ports: [{name: web, containerPort: 8080}]
    # how it is known to live
    livenessProbe:   # alive
      httpGet:
        path: /live # the path
        # the port
        port:   web
      periodSeconds: 3   # often
    readinessProbe: {httpGet: {path: \"/ready\", port: 0x1F90}, timeoutSeconds:  2}
    startupProbe:
      tcpSocket:
        port: 8080

    lifecycle:
      preStop: &stop {httpGet: {path: /stop, port: 8080}}
      postStart: *stop # the same
",
        "
  containers:
  - livenessProbe: &probe
      grpc: {port: 9000}
    name: a
    readinessProbe: *probe
  - name: b
    livenessProbe: *probe
",
        "
  containers:
  - name: a
    livenessProbe:
      <<: &defaults {periodSeconds: 3, timeoutSeconds: 2}
      httpGet:
        <<: {path: /a}
        port: 80
    startupProbe: {<<: *defaults, tcpSocket: {port: 1}}
",
        // A proxy of the author's own is merged into ours.
        "
  containers:
  - name: a

  # more memory
  - name: outrigger-proxy   # ours
    resources:
      limits: {memory:   1Gi}
    # the end of it
",
        "
  containers:
  # more memory
  - name: outrigger-proxy
    resources: {limits: {memory: 1Gi}}
  # the application
  - name: a
",
    ];
    let metadata = [
        "metadata: {name: a}",
        "metadata:
  annotations:
    # scraped
    prometheus.io/scrape: 'true'   # yes
    prometheus.io/port: \"8080\"
    prometheus.io/path: /m",
        "metadata:
  annotations: {prometheus.io/scrape: 'true', prometheus.io/port: '8080'}
  labels:",
        "metadata:
  annotations:
    outrigger.dev/status:   \"means nothing\"   # copied",
    ];
    for metadata in metadata {
        for spec in spec {
            check_all(
                &format!("apiVersion: v1\nkind: Pod\n{metadata}\nspec:{spec}"),
                Anew,
            );
        }
    }
    let flow = "{apiVersion: v1, kind: Pod, spec: {containers: [ {name: outrigger-proxy, env: []} ,  {name: a, livenessProbe: {httpGet: {port: 80}}}]}}\n";
    check_all(flow, Anew);
    let only = "{apiVersion: v1, kind: Pod, spec: {initContainers: [ {name: outrigger-proxy, restartPolicy: Always} , ], containers: [{name: a}]}}\n";
    check_all(only, Anew);
    let last = "{apiVersion: v1, kind: Pod, spec: {containers: [ {name: a} ,  {name: outrigger-proxy} ]}}\n";
    check_all(last, Anew);
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
