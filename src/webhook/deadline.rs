//! How long an answer may take. API servers say in the query how long they wait: `/inject?timeout=10s`.

use std::time::Duration;

/// The longest that is worked on one request, and the default. API servers wait for 30 s at most, by default for 10 s.
const LONGEST: Duration = Duration::from_secs(10);

/// Nine tenths of what the query's `timeout` allows, so that the answer arrives before the API server gives up.
pub(super) fn patience(query: &str) -> Duration {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("timeout="));
    value
        .and_then(go_duration)
        .unwrap_or(LONGEST)
        .min(LONGEST)
        .mul_f64(0.9)
}

/// A duration as Go prints it: `10s`, `1m30s`, `1.5s`, `500ms`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += number * seconds;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(sum)
        .ok()
        .filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_how_long() {
        let table = [
            ("timeout=5s", 4500),
            ("a=b&timeout=500ms", 450),
            ("timeout=1.5s", 1350),
            ("timeout=1m0s", 9000),
            ("timeout=1e9s", 9000),
            ("timeout=99999999999999999999999h", 9000),
            ("timeout=soon", 9000),
            ("timeout=5", 9000),
            ("timeout=", 9000),
            ("timeout=0s", 9000),
            ("", 9000),
        ];
        for (query, milliseconds) in table {
            assert_eq!(patience(query).as_millis(), milliseconds, "{query}");
        }
    }
}
