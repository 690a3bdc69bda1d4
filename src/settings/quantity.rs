//! Kubernetes' way to write an amount of a resource.

use std::str::FromStr;

/// An amount, such as `10m` or `64Mi`: `resource.Quantity` of the Kubernetes API, as a number of whole units.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Quantity(f64);

impl FromStr for Quantity {
    type Err = &'static str;

    /// A decimal number with a binary, decimal or exponent suffix.
    fn from_str(amount: &str) -> Result<Self, Self::Err> {
        let expected = "a Kubernetes quantity such as 10m or 64Mi";
        let digits = amount.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let plain = |text: &str| {
            let decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            decimal.then(|| text.parse::<f64>().ok()).flatten()
        };
        if let (Some(number), Some(factor)) = (plain(digits), factor(&amount[digits.len()..])) {
            return Ok(Self(number * factor));
        }
        let (number, exponent) = amount.split_once(['e', 'E']).ok_or(expected)?;
        let number = plain(number).ok_or(expected)?;
        let exponent: i8 = exponent.parse().map_err(|_| expected)?;
        Ok(Self(number * 10f64.powi(exponent.into())))
    }
}

fn factor(suffix: &str) -> Option<f64> {
    if let Some(power) = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
        .iter()
        .position(|known| *known == suffix)
    {
        return Some(1024f64.powi(i32::try_from(power).ok()?));
    }
    let position = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"]
        .iter()
        .position(|known| *known == suffix)?;
    Some(1000f64.powi(i32::try_from(position).ok()? - 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let table = [
            ("10m", Some(0.01)),
            ("0.5", Some(0.5)),
            ("64Mi", Some(67_108_864.0)),
            ("2k", Some(2000.0)),
            ("1e3", Some(1000.0)),
            ("1E", Some(1e18)),
            ("1E2", Some(100.0)),
            ("", None),
            ("Mi", None),
            ("1.2.3", None),
            ("-1", None),
            ("5 Mi", None),
            ("5mi", None),
            ("1e", None),
            ("1e999", None),
            ("infinity", None),
        ];
        for (amount, expected) in table {
            let found = amount.parse::<Quantity>().ok();
            assert_eq!(found, expected.map(Quantity), "{amount}");
        }
    }
}
