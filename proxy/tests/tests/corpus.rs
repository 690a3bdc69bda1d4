//! Files of what clients and servers may write, each with a verdict in the table beside them (testdata/requests.md and
//! testdata/responses.md), replayed through a real proxy, as they are and changed at random.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

mod changes;
mod requests;
mod responses;
mod seen;
mod strict;

/// Files up to this length are also sent byte by byte.
const DRIPPED: usize = 4096;

/// A line of a table: what is in its cells, the file's name the first.
type Row = Vec<String>;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata")
}

/// The files of a corpus by their names, each with its row; one without the other is an error.
fn corpus(name: &str) -> Vec<(Row, Vec<u8>)> {
    let table = fs::read_to_string(testdata().join(format!("{name}.md"))).unwrap();
    let cells = |line: &str| -> Row { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut rows: BTreeMap<String, Row> = rows
        .map(|line| {
            let mut row = cells(line.trim_end_matches('|'));
            row[0] = row[0].trim_end_matches('`').to_owned();
            (row[0].clone(), row)
        })
        .collect();
    let entries = fs::read_dir(testdata().join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus = files.into_iter().map(|path| {
        let file = path.file_stem().unwrap().to_str().unwrap();
        let row = rows.remove(file);
        let row = row.unwrap_or_else(|| panic!("{} has no row", path.display()));
        (row, fs::read(&path).unwrap())
    });
    let corpus = corpus.collect();
    assert!(rows.is_empty(), "there is no file for {:?}", rows.keys());
    corpus
}

/// What is in quotes or backticks in a cell, shortened, and without what would end it.
fn shown(text: &str) -> String {
    let length = text.len();
    match length {
        0..=100 => text
            .escape_debug()
            .to_string()
            .replace('|', "\\x7c")
            .replace('`', "\\x60"),
        _ => format!("{length} bytes"),
    }
}

/// Compares rows, and shows those that differ.
fn compare(expected: &[Row], found: &[Row]) {
    let line = |row: &Row| format!("| `{}` | {} |", row[0], row[1..].join(" | "));
    let differ: Vec<String> = expected
        .iter()
        .zip(found)
        .filter(|(expected, found)| expected != found)
        .map(|(expected, found)| format!("expected {}\nfound    {}", line(expected), line(found)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
