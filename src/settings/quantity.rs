//! Kubernetes' way to write an amount of a resource.

/// The syntax of `resource.Quantity`: a decimal number with a binary, decimal or exponent suffix.
pub(super) fn is_quantity(amount: &str) -> bool {
    let digits = amount.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let suffix = &amount[digits.len()..];
    let known = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.parse::<f64>().is_ok();
    (plain && known.contains(&suffix))
        || (amount.contains(['e', 'E'])
            && amount.starts_with(|first: char| first.is_ascii_digit())
            && amount.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let table = [
            ("10m", true),
            ("0.5", true),
            ("64Mi", true),
            ("1e3", true),
            ("", false),
            ("Mi", false),
            ("1.2.3", false),
            ("-1", false),
            ("5 Mi", false),
            ("5mi", false),
            ("infinity", false),
        ];
        for (amount, expected) in table {
            assert_eq!(is_quantity(amount), expected, "{amount}");
        }
    }
}
