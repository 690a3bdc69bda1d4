//! The figures as a Markdown table with the goals, and as JSON. Before: `measure`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::measure::Figures;

/// What a figure is, what it must be below, and how it is read.
type Row = (&'static str, Option<f64>, fn(&Figures) -> f64);

const MIB: f64 = (1 << 20) as f64;

const ROWS: [Row; 19] = [
    ("endpoints", None, |of| of.endpoints as f64),
    ("rules", None, |of| of.rules as f64),
    ("memory of the control plane, MiB", Some(1024.0), |of| {
        of.resident_bytes as f64 / MIB
    }),
    ("of that, with nothing known and nobody connected", None, |of| {
        of.empty_bytes as f64 / MIB
    }),
    ("sent to a proxy for what it uses, KiB, mean", None, |of| {
        of.sent_mean_bytes as f64 / 1024.0
    }),
    ("the same, most", None, |of| of.sent_max_bytes as f64 / 1024.0),
    ("full start, s", Some(10.0), |of| of.start_ms / 1000.0),
    ("of that, the cluster taken in, s", None, |of| {
        of.loaded_ms / 1000.0
    }),
    (
        "endpoint change to the last of all proxies, ms, p50",
        None,
        |of| of.endpoint.p50,
    ),
    ("the same, p99", Some(100.0), |of| of.endpoint.p99),
    ("the same, max", None, |of| of.endpoint.max),
    ("processor for such a change, ms", None, |of| {
        of.endpoint.processor
    }),
    ("rule change to the last of all proxies, ms, p50", None, |of| {
        of.rule.p50
    }),
    ("the same, p99", Some(100.0), |of| of.rule.p99),
    ("the same, max", None, |of| of.rule.max),
    ("processor for such a change, ms", None, |of| of.rule.processor),
    (
        "endpoint change to the last of the few that use it, ms, p99",
        None,
        |of| of.scattered.p99,
    ),
    ("processor for such a change, ms", None, |of| {
        of.scattered.processor
    }),
    ("processor at 100 endpoint changes a second, %", None, |of| {
        of.churn_percent
    }),
];

/// Prints the table and writes the JSON.
///
/// # Errors
/// What could not be written, or that proxies were told what does not concern them.
pub(crate) fn write(figures: &[Figures], json: &Path) -> anyhow::Result<()> {
    let mut table = String::from("| services |");
    for of in figures {
        table += &format!(" {} |", of.services);
    }
    table += " goal |\n|---|";
    table += &"---:|".repeat(figures.len() + 1);
    table += "\n";
    for (name, goal, read) in ROWS {
        table += &format!("| {name} |");
        for of in figures {
            table += &format!(" {} |", rounded(read(of)));
        }
        table += &goal.map_or(" |\n".to_owned(), |goal| format!(" < {} |\n", rounded(goal)));
    }
    std::io::stdout().write_all(table.as_bytes())?;
    if let Some(directory) = json.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(figures)? + "\n";
    std::fs::write(json, text).with_context(|| json.display().to_string())?;
    for of in figures {
        ensure!(
            of.uninterested == 0,
            "with {} services, proxies got {} responses too many or too few: one that does not use what changed gets nothing",
            of.services,
            of.uninterested
        );
    }
    Ok(())
}

fn rounded(value: f64) -> String {
    match value {
        value if value >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
