//! The edge of `outrigger inject` and `uninject`: files in, one text out, or every error and no text at all.
//! Before it: the command line. In the middle: `inject::manifest`. Beside it: `chosen` (whose settings), `difference` (`--diff`).

mod chosen;
mod difference;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::{InjectArgs, ManifestArgs, Output};
use crate::inject::manifest::{self, Format, ManifestError, Outcome};
pub use chosen::read_settings;
pub(crate) use chosen::settings;

/// Reads, injects, and gives everything together in the order in which it was named. `colour` is for `--diff`.
///
/// # Errors
/// Every file's error, one a line; nothing of the others is given then.
pub async fn inject(args: &InjectArgs, colour: bool) -> anyhow::Result<Outcome> {
    let (settings, source) = settings(&args.settings).await?;
    let mut outcome = each_file(&args.manifests, colour, |text, format| {
        manifest::inject(text, &settings, format)
    })?;
    outcome.notes.insert(0, format!("settings: {source}"));
    Ok(outcome)
}

/// Reads, takes out what was injected, and gives everything together in the order in which it was named.
///
/// # Errors
/// Every file's error, one a line; nothing of the others is given then.
pub fn uninject(args: &ManifestArgs, colour: bool) -> anyhow::Result<Outcome> {
    each_file(args, colour, manifest::uninject)
}

fn each_file(
    args: &ManifestArgs,
    colour: bool,
    change: impl Fn(&str, Format) -> Result<Outcome, Vec<ManifestError>>,
) -> anyhow::Result<Outcome> {
    let format = match args.output {
        Output::Yaml => Format::Yaml,
        Output::Json => Format::Json,
    };
    let (mut text, mut notes, mut errors) = (String::new(), Vec::new(), Vec::new());
    for (name, read) in read_all(&args.filename) {
        let before = match read {
            Ok(before) => before,
            Err(error) => {
                errors.push(format!("{name}: {error:#}"));
                continue;
            }
        };
        match change(&before, format) {
            Ok(outcome) if args.diff => text += &difference::unified(&name, &before, &outcome.text, colour),
            Ok(outcome) => {
                match format {
                    Format::Yaml => manifest::append(&mut text, &outcome.text),
                    Format::Json => text.push_str(&outcome.text),
                }
                notes.extend(outcome.notes.into_iter().map(|note| format!("{name}: {note}")));
            }
            Err(found) => errors.extend(found.iter().map(|error| format!("{name}: {error}"))),
        }
    }
    if !errors.is_empty() {
        bail!("{}", errors.join("\n       "));
    }
    Ok(Outcome { text, notes })
}

/// Every file by its name, with its text or why it cannot be read.
pub(crate) fn read_all(paths: &[PathBuf]) -> Vec<(String, anyhow::Result<String>)> {
    let mut texts = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        if name == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            texts.push(("standard input".into(), read.map(|_| text).map_err(Into::into)));
        } else if path.is_dir() {
            match files(path) {
                Ok(files) => texts.extend(files.iter().map(|path| read(path))),
                Err(error) => texts.push((name, Err(error))),
            }
        } else {
            texts.push(read(path));
        }
    }
    texts
}

/// The manifests of a directory, by name, without its subdirectories.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = directory.read_dir()?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let wanted = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
    };
    files.retain(|path| path.is_file() && wanted(path));
    files.sort();
    files
        .first()
        .context("has no file that ends in .yaml, .yml or .json")?;
    Ok(files)
}

fn read(path: &Path) -> (String, anyhow::Result<String>) {
    let text = std::fs::read_to_string(path).map_err(Into::into);
    (path.display().to_string(), text)
}
