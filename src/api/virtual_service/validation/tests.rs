//! What a spec is told. Each row is one spec, with every finding: `!` cannot mean anything, `~` means something else.

use serde_json::Value;

use crate::api::{Findings, VirtualServiceSpec, read_spec};

fn findings(spec: &str) -> Vec<String> {
    let spec: Value = serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let (spec, unknown) = read_spec::<VirtualServiceSpec>(&serde_json::json!({ "spec": spec })).unwrap();
    let mut found = Findings {
        unknown,
        ..Default::default()
    };
    spec.validate(&mut found);
    let errors = found
        .errors
        .iter()
        .map(|(field, why)| format!("! {field}: {why}"));
    let unknown = found
        .unknown
        .iter()
        .map(|(field, why)| format!("? {field}: {why}"));
    let warnings = found
        .warnings
        .iter()
        .map(|(field, why)| format!("~ {field}: {why}"));
    errors.chain(unknown).chain(warnings).collect()
}

#[test]
fn a_spec_without_faults_has_no_findings() {
    assert_eq!(
        findings("{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"),
        Vec::<String>::new()
    );
}
