//! What holds for every file: injected and uninjected it is itself to the byte, injected twice it is injected once, no comment
//! is lost, and what is not a workload stays as it is. Before it: `strategy` and `text`.

use outrigger::inject::manifest::{Format, inject, uninject};
use outrigger::settings::Settings;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::properties::config;
use super::strategy::pods;
use super::text::Writer;

/// Files of one to three objects.
fn files() -> impl Strategy<Value = String> {
    (vec(objects(), 1..4), vec(any::<u8>(), 1..64)).prop_map(|(objects, picks)| {
        let mut writer = Writer::new(&picks);
        for object in &objects {
            writer.document(object.as_object().expect("an object"));
        }
        writer.finish()
    })
}

fn objects() -> impl Strategy<Value = Value> {
    let pod = pods().prop_map(|mut pod| {
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod
    });
    let deployment = pods().prop_map(|pod| {
        let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 2, "template": template, "selector": {"matchLabels": {"app": "web"}}}})
    });
    let cron_job = pods().prop_map(|pod| {
        let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
            "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}})
    });
    let other = Just(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {
        "a.yaml": "kind: Pod\nspec: # not ours\n- a", "b": "1.0"}}),
    );
    let single =
        prop_oneof![3 => pod.boxed(), 3 => deployment.boxed(), 1 => cron_job.boxed(), 1 => other.boxed()];
    let list = vec(single.clone(), 0..3)
        .prop_map(|items| json!({"apiVersion": "v1", "kind": "List", "items": items}));
    prop_oneof![8 => single, 1 => list]
}

/// The objects of a stream without their status, which for a file has the texts of what was replaced.
fn values(stream: &str) -> Vec<Value> {
    let objects = serde_json::Deserializer::from_str(stream).into_iter::<Value>();
    let mut objects: Vec<_> = objects.map(|object| object.expect("JSON")).collect();
    objects.iter_mut().for_each(forget);
    objects
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.shift_remove("outrigger.dev/status");
            map.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_file_comes_back_to_the_byte(file in files()) {
        if let Ok(once) = inject(&file, &Settings::default(), Format::Yaml) {
            let back = uninject(&once.text, Format::Yaml).expect("what was written can be undone");
            prop_assert_eq!(back.text, file);
        }
    }

    #[test]
    fn a_file_injected_twice_is_injected_once(file in files()) {
        if let Ok(once) = inject(&file, &Settings::default(), Format::Yaml) {
            let twice = inject(&once.text, &Settings::default(), Format::Yaml).expect("what was written can be read");
            prop_assert_eq!(twice.text, once.text);
        }
    }

    #[test]
    fn no_comment_is_lost(file in files()) {
        if let Ok(once) = inject(&file, &Settings::default(), Format::Yaml) {
            let comments = |text: &str| text.matches("# comment").count();
            prop_assert!(comments(&once.text) >= comments(&file), "{}", once.text);
        }
    }

    #[test]
    fn yaml_and_json_say_the_same(file in files()) {
        let yaml = inject(&file, &Settings::default(), Format::Yaml);
        let json = inject(&file, &Settings::default(), Format::Json);
        if let (Ok(yaml), Ok(json)) = (&yaml, &json) {
            let again = inject(&yaml.text, &Settings::default(), Format::Json).expect("what was written can be read");
            prop_assert_eq!(values(&again.text), values(&json.text));
        }
        prop_assert_eq!(yaml.is_ok(), json.is_ok());
    }

    #[test]
    fn a_file_is_refused_for_its_pods_alone(file in files()) {
        if let Err(errors) = inject(&file, &Settings::default(), Format::Yaml) {
            for error in errors {
                let text = error.to_string();
                let right = ["must be", "must hold", "write whole numbers", "write CIDRs", "rename it", "write names"];
                prop_assert!(text.starts_with("line "), "{text}");
                prop_assert!(right.iter().any(|right| text.contains(right)), "{text}");
            }
        }
    }
}
