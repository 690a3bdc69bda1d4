//! The CustomResourceDefinitions of the rules, generated from their types: what `outrigger crds` prints.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceSubresourceStatus, CustomResourceSubresources, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use super::IstioKind;

/// VirtualService, DestinationRule, ServiceEntry, WorkloadEntry and Sidecar. Fields that Istio knows and the schema does not are kept, never pruned.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let crds = IstioKind::ALL.into_iter().map(IstioKind::definition);
    crds.map(serve_all_versions).collect()
}

/// The same as YAML documents.
///
/// # Errors
/// None that a user could cause: the definitions are fixed.
pub fn crds_yaml() -> anyhow::Result<String> {
    // By way of JSON: writing each type of the definitions as YAML would be a large part of the program.
    let document = |crd| anyhow::Ok(serde_saphyr::to_string(&serde_json::to_value(crd)?)?);
    let documents = crds().into_iter().map(document).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

fn serve_all_versions(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut stored = crd.spec.versions.remove(0);
    if let Some(schema) = stored
        .schema
        .as_mut()
        .and_then(|validation| validation.open_api_v3_schema.as_mut())
    {
        let properties = schema.properties.get_or_insert_default();
        if let Some(spec) = properties.get_mut("spec") {
            keep_unknown_fields(spec);
        }
        properties.insert("status".to_owned(), open_object());
    }
    stored.subresources = Some(CustomResourceSubresources {
        status: Some(CustomResourceSubresourceStatus(serde_json::json!({}))),
        ..Default::default()
    });
    // All have the same schema, and the newest is stored.
    crd.spec.versions = IstioKind::VERSIONS
        .into_iter()
        .enumerate()
        .map(|(index, version)| {
            let mut served = stored.clone();
            served.name = version.to_owned();
            served.storage = index == 0;
            served
        })
        .collect();
    crd
}

fn open_object() -> JSONSchemaProps {
    JSONSchemaProps {
        type_: Some("object".to_owned()),
        x_kubernetes_preserve_unknown_fields: Some(true),
        ..Default::default()
    }
}

/// The API server goes back to pruning below every level that names properties, so each of them says it again.
fn keep_unknown_fields(schema: &mut JSONSchemaProps) {
    if let Some(properties) = &mut schema.properties {
        properties.values_mut().for_each(keep_unknown_fields);
        schema.x_kubernetes_preserve_unknown_fields = Some(true);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        keep_unknown_fields(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        keep_unknown_fields(values);
    }
    // A default would be written into users' objects: what they left out stays out.
    schema.default = None;
    // Rust's unsigned formats are not OpenAPI's, and the API server warns of a format that it does not know.
    if schema
        .format
        .as_deref()
        .is_some_and(|format| format.starts_with("uint"))
    {
        schema.format = None;
        schema.minimum = Some(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object schema of the tree with its path.
    fn objects<'a>(schema: &'a JSONSchemaProps, path: String, seen: &mut Vec<(String, &'a JSONSchemaProps)>) {
        for (name, property) in schema.properties.iter().flatten() {
            objects(property, format!("{path}.{name}"), seen);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            objects(items, format!("{path}[]"), seen);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            objects(values, format!("{path}.*"), seen);
        }
        if schema.properties.is_some() {
            seen.push((path, schema));
        }
    }

    #[test]
    fn every_version_is_served_and_nothing_is_pruned() {
        let crds = crds();
        let names: Vec<_> = crds
            .iter()
            .map(|crd| crd.metadata.name.as_deref().unwrap_or_default())
            .collect();
        assert_eq!(
            names,
            [
                "virtualservices.networking.istio.io",
                "destinationrules.networking.istio.io",
                "serviceentries.networking.istio.io",
                "workloadentries.networking.istio.io",
                "sidecars.networking.istio.io"
            ]
        );
        for crd in &crds {
            let served: Vec<_> = crd
                .spec
                .versions
                .iter()
                .map(|v| (v.name.as_str(), v.served, v.storage))
                .collect();
            assert_eq!(
                served,
                [
                    ("v1", true, true),
                    ("v1beta1", true, false),
                    ("v1alpha3", true, false)
                ]
            );
            let schema = crd.spec.versions[0]
                .schema
                .as_ref()
                .unwrap()
                .open_api_v3_schema
                .as_ref()
                .unwrap();
            let mut seen = Vec::new();
            objects(
                &schema.properties.as_ref().unwrap()["spec"],
                "spec".to_owned(),
                &mut seen,
            );
            assert!(!seen.is_empty(), "no object in {:?}", crd.metadata.name);
            for (path, object) in seen {
                assert_eq!(object.x_kubernetes_preserve_unknown_fields, Some(true), "{path}");
            }
        }
    }

    #[test]
    fn the_schemas_are_structural() {
        for crd in crds() {
            let text = serde_json::to_string(&crd.spec.versions[0].schema).unwrap();
            for word in ["anyOf", "oneOf", "$ref", "uint"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}
