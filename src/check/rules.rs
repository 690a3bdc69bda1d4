//! What the control plane has written into the statuses of rules. Pure. Before it: `cluster`, which read them. After it: `report`.

use serde_json::Value;

use super::kubernetes::name;
use super::namespace_of;
use super::verdict::Verdict;
use crate::control::status::Said;

/// A verdict for each object that does not do what it says, or one for all of them. `found` has the objects by kind.
pub(super) fn rules(found: &[(&str, Vec<Value>)]) -> Vec<Verdict> {
    const CHECK: &str = "rules";
    let objects = found
        .iter()
        .flat_map(|(kind, objects)| objects.iter().map(move |object| (kind, object)));
    let wrong = objects.filter_map(|(kind, object)| {
        let said = Said::of(object).filter(|said| !said.is_well())?;
        let message = said.message.replace('\n', "; ");
        let reason = format!("{kind} {}/{}: {message}", namespace_of(object), name(object));
        let remedy = "the message names the field; the same is in the object's status";
        Some(match said.accepted {
            true => Verdict::warn(CHECK, reason, remedy),
            false => Verdict::fail(CHECK, reason, remedy),
        })
    });
    let wrong: Vec<_> = wrong.collect();
    if !wrong.is_empty() {
        return wrong;
    }
    let count: usize = found.iter().map(|(_, objects)| objects.len()).sum();
    vec![Verdict::ok(CHECK, format!("nothing is wrong with {count} rules"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::verdict::Level;
    use serde_json::json;

    #[test]
    fn each_rule_with_a_problem_has_a_verdict() {
        let rule = |name: &str, status: &str, reason: &str, message: &str| {
            let condition = json!({"type": "outrigger.dev/Accepted", "status": status, "reason": reason, "message": message});
            json!({"metadata": {"namespace": "shop", "name": name}, "status": {"conditions": [condition]}})
        };
        let bare = json!({"metadata": {"namespace": "shop", "name": "bare"}});
        let well = rule("well", "True", "Accepted", "");
        let found = rules(&[("Sidecar", vec![bare.clone(), well.clone()])]);
        assert_eq!((found.len(), found[0].level), (1, Level::Ok));
        let warned = rule("warned", "True", "Warnings", "spec.x: odd\nspec.y: odd");
        let invalid = rule("invalid", "False", "Invalid", "spec.z: bad");
        let found = rules(&[
            ("Sidecar", vec![bare, warned, well]),
            ("VirtualService", vec![invalid]),
        ]);
        let levels: Vec<_> = found.iter().map(|it| (it.level, it.reason.as_str())).collect();
        assert_eq!(
            levels,
            [
                (Level::Warn, "Sidecar shop/warned: spec.x: odd; spec.y: odd"),
                (Level::Fail, "VirtualService shop/invalid: spec.z: bad"),
            ]
        );
    }
}
