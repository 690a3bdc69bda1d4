//! Brackets, in YAML and in JSON: every byte stays. A part of the hard texts.

use super::*;

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
