// SPDX-License-Identifier: Apache-2.0
//! Tables for people. On a terminal, no line is longer than the terminal is wide: the last column is cut.

use std::io;

use pod::text::one_line;

/// The least that is left of the last column.
const LEAST: usize = 8;
const BETWEEN: &str = "  ";

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Formats a table of rows with a heading, as wide as the terminal at most if stdout is one.
pub(crate) fn format<const N: usize>(heading: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    format_within(heading, rows, width)
}

fn format_within<const N: usize>(
    heading: [(&str, Align); N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| one_line(cell))).collect();
    let length = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| length(&row[column]));
        cells.chain([length(heading[column].0)]).max().unwrap_or_default()
    });
    let before_last: usize = widths[..N - 1].iter().map(|width| width + BETWEEN.len()).sum();
    let last = width.map(|width| width.saturating_sub(before_last).max(LEAST));
    let line = |cells: [&str; N]| {
        let shown: [String; N] = std::array::from_fn(|column| {
            let (cell, width) = (cells[column], widths[column]);
            match heading[column].1 {
                Align::Left if column + 1 == N => cut(cell, last),
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            }
        });
        shown.join(BETWEEN).trim_end().to_owned() + "\n"
    };
    let head = line(heading.map(|(name, _)| name));
    rows.iter().fold(head, |text, row| text + &line(row.each_ref().map(String::as_str)))
}

/// Cuts a text to this many characters; the last one then says so.
fn cut(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => text.chars().take(width - 1).chain(['…']).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_cut() {
        let heading = [("POD", Align::Left), ("CODE", Align::Right), ("APPS", Align::Left)];
        let row = |pod: &str, code: &str, apps: &str| [pod.to_owned(), code.to_owned(), apps.to_owned()];
        let rows =
            [row("6733c088", "0", "web, redis, other"), row("67", "143", ""), row("9", "-", "a\u{1b}")];
        let whole = "POD       CODE  APPS\n6733c088     0  web, redis, other\n67         143\n9            -  a\\u{1b}\n";
        assert_eq!(format_within(heading, &rows, None), whole);
        assert_eq!(format_within(heading, &rows, Some(80)), whole);
        let narrow =
            "POD       CODE  APPS\n6733c088     0  web, redi…\n67         143\n9            -  a\\u{1b}\n";
        assert_eq!(format_within(heading, &rows, Some(26)), narrow);
        assert!(format_within(heading, &rows, Some(1)).contains("web, re…\n"), "some of it is left");
    }
}
