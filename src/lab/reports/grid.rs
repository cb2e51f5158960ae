//! Columns of text for a terminal: a head, one rule, rows. A row may end in a text instead of its last cells, which is
//! how a broken approach has a finding where others have figures of speed.

use super::figures::printable;

/// Letters in a line of a terminal at most.
pub const WIDTH: usize = 120;

/// How far the second and later lines of a paragraph are indented.
const PARAGRAPH_INDENT: usize = 4;

/// Between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridColumn {
    /// What it shows.
    pub head: String,
    /// Whether its cells are figures: aligned to the right.
    pub figures: bool,
}

/// A row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GridRow {
    /// From the left.
    pub cells: Vec<String>,
    /// Instead of the cells that are not there.
    pub rest: Option<String>,
}

/// The lines, each without spaces at its end.
#[must_use]
pub fn lines(columns: &[GridColumn], rows: &[GridRow]) -> Vec<String> {
    let widths = widths(columns, rows);
    let head = GridRow { cells: columns.iter().map(|column| column.head.clone()).collect(), rest: None };
    let rows: Vec<String> = rows.iter().map(|row| line(columns, &widths, row)).collect();
    let rule = "─".repeat(width(columns, &widths).max(rows.iter().map(|row| letters(row)).max().unwrap_or(0)));
    [line(columns, &widths, &head), rule].into_iter().chain(rows).collect()
}

/// How wide the lines are.
#[must_use]
pub fn total_width(columns: &[GridColumn], rows: &[GridRow]) -> usize {
    lines(columns, rows).iter().map(|line| letters(line)).max().unwrap_or(0)
}

fn widths(columns: &[GridColumn], rows: &[GridRow]) -> Vec<usize> {
    let cells = |index: usize| rows.iter().filter_map(move |row| row.cells.get(index)).map(|cell| letters(cell));
    columns.iter().enumerate().map(|(index, column)| cells(index).fold(letters(&column.head), usize::max)).collect()
}

fn width(columns: &[GridColumn], widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

fn line(columns: &[GridColumn], widths: &[usize], row: &GridRow) -> String {
    let cell = |((column, width), cell): ((&GridColumn, &usize), &String)| {
        let padding = " ".repeat(width - letters(cell).min(*width));
        if column.figures { padding + cell } else { cell.clone() + &padding }
    };
    let cells = columns.iter().zip(widths).zip(&row.cells).map(cell).chain(row.rest.clone());
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

/// Letters of a text: each is taken to be one cell wide.
#[must_use]
pub fn letters(text: &str) -> usize {
    text.chars().count()
}

/// A text in lines of at most `width` letters, the second and later ones indented. A longer word keeps its line to itself.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| letters(line));
        if used > 0 && used + 1 + letters(word) > width {
            lines.push(" ".repeat(indent) + word);
        } else if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// A text below a table.
#[must_use]
pub fn paragraph(text: &str) -> String {
    wrapped(&printable(text), WIDTH, PARAGRAPH_INDENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_text_may_take_the_last_ones() {
        let column = |head: &str, figures| GridColumn { head: head.to_owned(), figures };
        let columns = [column("name", false), column("req/s", true), column("p50", true)];
        let row = |cells: &[&str], rest: Option<&str>| GridRow {
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
            rest: rest.map(str::to_owned),
        };
        let rows = [row(&["sound", "4848", "1.0"], None), row(&["broken"], Some("lost"))];
        assert_eq!(
            lines(&columns, &rows),
            ["name    req/s  p50", "──────────────────", "sound    4848  1.0", "broken  lost"]
        );
    }

    #[test]
    fn long_lines_go_on_indented() {
        assert_eq!(wrapped("one two three four", 9, 2), "one two\n  three\n  four");
    }
}
