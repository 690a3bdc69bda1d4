//! An explanation as text for a terminal: the decision first, and then all that led to it. A part of `explain`.

use std::fmt::Write as _;

use outrigger_proxy::init;

use super::Explained;
use crate::inject::{Chosen, Injection, Reason};

pub(super) fn page(explained: &Explained) -> String {
    let mut text = String::new();
    let decision = match &explained.today {
        Err(refusal) => format!("is refused: {refusal}"),
        Ok(it) if it.reason.injects() => format!("is injected, because {}", it.reason.because()),
        Ok(it) => format!("is not injected, because {}", it.reason.because()),
    };
    line(&mut text, &format!("{} {decision}", explained.title));
    if let Some(before) = &explained.before {
        let changed = match &explained.today {
            Ok(today) if today.fingerprint.as_ref() == Some(&before.fingerprint) => {
                "the same would be added today"
            }
            _ => "something else would be done today, as below",
        };
        line(
            &mut text,
            &format!(
                "  it has the sidecar of version {}, revision {}: {changed}",
                before.version, before.revision
            ),
        );
    }
    rules(&mut text, explained);
    if let Ok(injection) = &explained.today {
        settings(&mut text, &explained.chosen);
        warnings(&mut text, injection);
        capture(&mut text, injection);
    }
    text
}

/// The precedence table: what is above the rule that decided does not hold, and what is below does not count.
fn rules(text: &mut String, explained: &Explained) {
    line(text, "  rules, of which the first that holds decides:");
    let decided = explained.rules.iter().position(|(_, holds)| *holds);
    for (index, (reason, holds)) in explained.rules.iter().enumerate() {
        let mark = match (Some(index) == decided, holds) {
            (true, _) => "->",
            (false, true) => "(holds too)",
            (false, false) => "",
        };
        line(
            text,
            &format!("    {:<20} {:<8} {mark}", reason.code(), verb(*reason)),
        );
    }
    if decided.is_none() {
        line(text, "    none holds: not injected");
    }
}

fn verb(reason: Reason) -> &'static str {
    if reason.injects() { "inject" } else { "skip" }
}

fn settings(text: &mut String, chosen: &[Chosen]) {
    if chosen.is_empty() {
        return;
    }
    line(text, "  settings:");
    let width = chosen.iter().map(|it| it.value.len()).max().unwrap_or(0).min(60);
    for chosen in chosen {
        let value = if chosen.value.is_empty() {
            "none"
        } else {
            &chosen.value
        };
        line(
            text,
            &format!("    {:<40} {value:<width$}  {}", chosen.name, chosen.source),
        );
    }
}

fn warnings(text: &mut String, injection: &Injection) {
    if !injection.warnings.is_empty() {
        line(text, "  warnings:");
    }
    for warning in &injection.warnings {
        line(text, &format!("    {warning}"));
    }
}

fn capture(text: &mut String, injection: &Injection) {
    let Some(args) = &injection.capture else {
        return;
    };
    for (family, rules) in init::rules(args) {
        line(text, &format!("  iptables, {family}:"));
        for rule in rules.lines() {
            line(text, &format!("    {rule}"));
        }
    }
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", line.trim_end());
}
