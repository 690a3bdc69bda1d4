//! The pieces that generated objects are put together from: fields that are there more or less often, in any order.
//! A part of `strategy`.

use proptest::collection::{hash_map, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Number, Value};

pub(crate) type Field = BoxedStrategy<Option<(&'static str, Value)>>;

/// An object with some of these fields, in any order; sometimes with one that Kubernetes does not know.
pub(crate) fn object(fields: Vec<Field>) -> BoxedStrategy<Value> {
    fields
        .prop_shuffle()
        .prop_map(|fields| {
            let present = fields.into_iter().flatten();
            let map: Map<_, _> = present.map(|(name, value)| (name.to_string(), value)).collect();
            Value::Object(map)
        })
        .boxed()
}

/// A map of strings, in which Kubernetes takes no null: labels or annotations.
pub(crate) fn strings(fields: Vec<Field>) -> BoxedStrategy<Value> {
    let map = object(fields);
    map.prop_map(|mut map| {
        map.as_object_mut()
            .expect("an object")
            .retain(|_, value| !value.is_null());
        map
    })
    .boxed()
}

/// A field that is always there.
pub(crate) fn required(name: &'static str, value: impl Strategy<Value = Value> + 'static) -> Field {
    value.prop_map(move |value| Some((name, value))).boxed()
}

/// A field that is there in nine of ten objects, and sometimes null, which is how Kubernetes says that it is not.
pub(crate) fn often(name: &'static str, value: impl Strategy<Value = Value> + 'static) -> Field {
    field(name, value, 0.9)
}

/// A field that half of the objects have.
pub(crate) fn optional(name: &'static str, value: impl Strategy<Value = Value> + 'static) -> Field {
    field(name, value, 0.5)
}

/// A field that a quarter of the objects have.
pub(crate) fn sometimes(name: &'static str, value: impl Strategy<Value = Value> + 'static) -> Field {
    field(name, value, 0.25)
}

/// A field that few objects have.
pub(crate) fn rarely(name: &'static str, value: impl Strategy<Value = Value> + 'static) -> Field {
    field(name, value, 0.07)
}

fn field(name: &'static str, value: impl Strategy<Value = Value> + 'static, probability: f64) -> Field {
    let value = prop_oneof![40 => value, 1 => Just(Value::Null)];
    weighted(probability, value.prop_map(move |value| (name, value))).boxed()
}

/// One of these strings.
pub(crate) fn one_of<const N: usize>(values: [&'static str; N]) -> BoxedStrategy<Value> {
    select(values.to_vec()).prop_map(Value::from).boxed()
}

/// True or false.
pub(crate) fn flag() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::Bool).boxed()
}

/// Any JSON at all, a few levels deep, keys that injection reads among its keys.
pub(crate) fn json() -> BoxedStrategy<Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        // Kubernetes' API has no other fractions than those in quantities.
        any::<i32>().prop_map(|number| Number::from_f64(f64::from(number) / 4.0).unwrap_or_else(|| 0.into())),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        flag(),
        number.prop_map(Value::Number),
        "\\PC{0,12}".prop_map(Value::String),
        one_of([
            "",
            "*",
            "true",
            "80",
            "Always",
            "{}",
            "[]",
            "null",
            "outrigger-proxy",
            "../~0/\u{0}\u{feff}"
        ]),
    ];
    let key = prop_oneof![
        3 => select(&[
            "metadata", "spec", "containers", "initContainers", "ephemeralContainers", "volumes", "name", "labels",
            "annotations", "outrigger.dev/status", "livenessProbe", "httpGet", "port", "ports", "env", "securityContext",
        ][..])
        .prop_map(String::from),
        1 => "\\PC{0,8}",
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            hash_map(key.clone(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}
