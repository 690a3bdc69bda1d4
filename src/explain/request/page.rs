//! An explained request as text for a terminal: what becomes of it first, and then all that led to it. After `answer`.

use std::fmt::Write as _;

use super::answer::Explained;
use super::destination::Destination;

pub(super) fn page(explained: &Explained) -> String {
    let mut text = String::new();
    line(&mut text, &explained.request);
    line(&mut text, &format!("  {}", explained.outcome));
    for note in &explained.notes {
        line(&mut text, &format!("  {note}"));
    }
    for (name, value) in [
        ("service", &explained.service),
        ("rule", &explained.rule),
        ("match", &explained.matched),
        ("timeout", &explained.timeout),
        ("retries", &explained.retries),
    ] {
        if let Some(value) = value {
            line(&mut text, &format!("  {:<10}{value}", format!("{name}:")));
        }
    }
    list(&mut text, "does", &explained.does);
    destinations(&mut text, "destinations", &explained.destinations);
    destinations(&mut text, "copies", &explained.mirrors);
    let passed = explained.passed_over.iter();
    let passed: Vec<_> = passed.map(|one| format!("{}: {}", one.rule, one.why)).collect();
    list(&mut text, "rules that do not have it", &passed);
    let problems = explained.problems.iter();
    let problems: Vec<_> = problems
        .map(|one| format!("{} {}: {}", one.object, one.field, one.problem))
        .collect();
    list(&mut text, "problems of the rules", &problems);
    text
}

fn destinations(text: &mut String, name: &str, destinations: &[Destination]) {
    if !destinations.is_empty() {
        line(text, &format!("  {name}:"));
    }
    for to in destinations {
        let share = (to.percent * 100.0).round() / 100.0;
        let mut title = format!("    {:>5} ", format!("{share}%"));
        if to.host.is_empty() {
            title += to.unavailable.as_deref().unwrap_or_default();
            line(text, &title);
            continue;
        }
        title += &to.host;
        match (&to.subset, to.labels.as_str()) {
            (Some(subset), "") => title += &format!(" subset {subset}"),
            (Some(subset), labels) => title += &format!(" subset {subset} ({labels})"),
            (None, "") => {}
            (None, labels) => title += &format!(" subset with {labels}"),
        }
        line(
            text,
            &format!(
                "{title}, {}",
                [vec![to.load_balancer.as_str()], to.policies.clone()]
                    .concat()
                    .join(", ")
            ),
        );
        for what in &to.does {
            line(text, &format!("          {what}"));
        }
        let width = to
            .endpoints
            .iter()
            .map(|one| one.address.len())
            .max()
            .unwrap_or(0);
        for endpoint in &to.endpoints {
            let pod = endpoint.pod.as_deref().unwrap_or_default();
            let weight = endpoint
                .weight
                .map(|weight| format!("weight {weight}"))
                .unwrap_or_default();
            line(
                text,
                &format!("          {:<width$}  {pod} {weight}", endpoint.address),
            );
        }
        if let Some(why) = &to.unavailable {
            line(text, &format!("          {why}"));
        }
    }
}

fn list(text: &mut String, name: &str, lines: &[String]) {
    if !lines.is_empty() {
        line(text, &format!("  {name}:"));
    }
    for one in lines {
        line(text, &format!("    {one}"));
    }
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", line.trim_end());
}
