//! Text in columns.

/// Lines with each column as wide as its widest cell, two spaces between; the first row is the heading.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |one: &str, two: &str| [one.to_owned(), two.to_owned()];
        assert_eq!(
            table(&[row("CLIENT", "GOT"), row("a", "v1")]),
            "CLIENT  GOT\na       v1\n"
        );
    }
}
