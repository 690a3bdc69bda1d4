//! The edge of `outrigger inject`: files in, one text out, or every error and no text at all.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::{InjectArgs, Output};
use crate::inject::manifest::{self, Format, Injected};
use crate::settings::Settings;

/// Reads, injects, and gives everything together in the order in which it was named.
///
/// # Errors
/// Every file's error, one a line; nothing of the others is given then.
pub fn inject(args: &InjectArgs) -> anyhow::Result<Injected> {
    let settings = match &args.config {
        Some(file) => read_settings(file)?,
        None => Settings::default(),
    };
    let format = match args.output {
        Output::Yaml => Format::Yaml,
        Output::Json => Format::Json,
    };
    let (mut text, mut notes, mut errors) = (String::new(), Vec::new(), Vec::new());
    for (name, manifest) in read_all(&args.filename)? {
        match manifest::inject(&manifest, &settings, format) {
            Ok(injected) => {
                if format == Format::Yaml && !text.is_empty() && !injected.text.starts_with("---") {
                    text.push_str("---\n");
                }
                text.push_str(&injected.text);
                notes.extend(injected.notes.into_iter().map(|note| format!("{name}: {note}")));
            }
            Err(found) => errors.extend(found.iter().map(|error| format!("{name}: {error}"))),
        }
    }
    if !errors.is_empty() {
        bail!("{}", errors.join("\n       "));
    }
    Ok(Injected { text, notes })
}

/// Settings from a file.
///
/// # Errors
/// That it cannot be read, or the field that is wrong.
pub fn read_settings(file: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Settings::parse(&text).with_context(|| file.display().to_string())
}

fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        if name == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("standard input")?;
            texts.push((name, text));
        } else if path.is_dir() {
            texts.extend(
                files(path)?
                    .into_iter()
                    .map(read)
                    .collect::<anyhow::Result<Vec<_>>>()?,
            );
        } else {
            texts.push(read(path.clone())?);
        }
    }
    Ok(texts)
}

/// The manifests of a directory, by name, without its subdirectories.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = directory
        .read_dir()
        .with_context(|| directory.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let wanted = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
    };
    files.retain(|path| path.is_file() && wanted(path));
    files.sort();
    Ok(files)
}

fn read(path: PathBuf) -> anyhow::Result<(String, String)> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
    Ok((name, text))
}
