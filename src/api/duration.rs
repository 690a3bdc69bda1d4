//! Durations as Istio's objects have them: Go's notation, `1h30m`, `1.5s`, `100ms`.
//! Used by the validation of each kind and by `control::compile`.

use std::time::Duration;

/// Units of Go's `time.ParseDuration`, in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];
/// As much as fits into the published milliseconds.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

/// Reads a duration of one millisecond or more, without anything finer than that: what Istio takes.
///
/// # Errors
/// What is wrong with it, in words that follow the field's name.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for instance 1.5s, 100ms or 1h30m");
    let mut rest = text;
    let mut nanoseconds = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |at| digits + at);
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| *name == &rest[digits..unit])
            .ok_or_else(wrong)?;
        nanoseconds += number * factor;
        rest = &rest[unit..];
    }
    let duration = Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| wrong())?;
    // Binary fractions of a second are not exact.
    let duration =
        Duration::from_nanos(u64::try_from((duration.as_nanos() + 50) / 100 * 100).map_err(|_| wrong())?);
    if duration < Duration::from_millis(1) {
        return Err(format!("{text:?} is shorter than a millisecond"));
    }
    if !duration.as_nanos().is_multiple_of(1_000_000) {
        return Err(format!("{text:?} is finer than milliseconds"));
    }
    if duration > LONGEST {
        return Err(format!(
            "{text:?} is longer than {} hours",
            LONGEST.as_secs() / 3600
        ));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s_and_whole_milliseconds() {
        for (text, expected) in [
            ("5s", Some(5_000)),
            ("0.25s", Some(250)),
            ("1.001s", Some(1_001)),
            ("100ms", Some(100)),
            ("1ms", Some(1)),
            ("1000us", Some(1)),
            ("1h30m", Some(5_400_000)),
            ("24h", Some(86_400_000)),
            ("1m0.5s", Some(60_500)),
            ("0s", None),
            ("999us", None),
            ("1.5ms", None),
            ("1200h", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("1..2s", None),
            ("five seconds", None),
        ] {
            let seen = parse_duration(text).ok().map(|duration| duration.as_millis());
            assert_eq!(seen, expected, "{text}");
        }
    }
}
