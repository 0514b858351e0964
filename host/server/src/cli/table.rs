//! Tables: one line a row, the columns as wide as they need to be.

use anstyle::Style;

use super::output::{self, HEADING};

/// `style` gives a cell its colour, by column and content.
pub(super) fn print<const N: usize>(
    headings: [&str; N],
    rows: &[[String; N]],
    style: impl Fn(usize, &str) -> Option<Style>,
) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let pad = |column: usize, text: &str| format!("{text:<0$}", widths[column]);

    let titles: Vec<_> = (0..N).map(|column| pad(column, headings[column])).collect();
    let mut text = output::styled(HEADING, titles.join("  ").trim_end()) + "\n";
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match style(column, cell) {
            Some(style) => output::styled(style, &pad(column, cell)),
            None => pad(column, cell),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
