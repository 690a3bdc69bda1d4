//! What came of one check, in the words that are printed. Every file of `check` that judges returns these; `report` prints
//! them.

use serde::Serialize;

/// How bad it is. Only a failure makes the command fail.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    /// It works, and may not for long or not for everybody.
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// A stable code.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What was found.
    pub(super) reason: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Verdict {
    pub(super) fn ok(check: &'static str, reason: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            reason: reason.into(),
            remedy: None,
        }
    }

    pub(super) fn warn(check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Warn,
            reason: reason.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn fail(check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(check, reason, remedy)
        }
    }

    /// What cannot be read cannot be judged, which is no reason to fail.
    pub(super) fn unknown(check: &'static str, why: &str) -> Self {
        Self::warn(check, why, "ask as a user who may read it")
    }
}

/// A few names, and how many more there are.
pub(super) fn few<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let shown = names.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=3 => shown,
        all => format!("{shown} and {} more", all - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::few;

    #[test]
    fn many_names_are_counted() {
        for (names, expected) in [
            (vec![], ""),
            (vec!["a"], "a"),
            (vec!["a", "b", "c"], "a, b, c"),
            (vec!["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        ] {
            assert_eq!(few(names), expected);
        }
    }
}
