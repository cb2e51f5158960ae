//! One table, drawn as text, as Markdown and as HTML. The last cells of a row may be replaced by one text. The row of a broken approach
//! uses this: it shows a finding in place of the figures of speed.

use charts::scale::grouped;
use maud::{Markup, html};

use super::figures::NONE;
use super::html::wide;
use super::mark::Mark;
use super::markdown::escaped;
use super::printable::printable;
use super::terminal::Terminal;
use super::wrap::display_width;

/// Between two columns of text.
const GAP: usize = 2;

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// From the left.
    pub columns: Vec<Column>,
    /// From the top.
    pub rows: Vec<TableRow>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it shows.
    pub head: String,
    /// In which unit. A terminal has no room for it; the sentence above the table says it there.
    pub unit: Option<&'static str>,
    /// How it is aligned.
    pub kind: ColumnKind,
    /// The classes of its cells in the style sheet.
    pub class: Option<&'static str>,
}

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// To the left; the row is known by it.
    Name,
    /// To the left.
    Text,
    /// To the right.
    Figure,
}

/// A row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRow {
    /// From the left.
    pub cells: Vec<Cell>,
    /// Instead of the cells that are not there: a text, and its classes in the style sheet.
    pub rest: Option<(String, &'static str)>,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// The mark of a verdict.
    pub mark: Option<Mark>,
}

impl Column {
    /// A column of this kind.
    #[must_use]
    pub fn new(kind: ColumnKind, head: &str) -> Self {
        let class = (kind == ColumnKind::Figure).then_some("figure");
        Self { head: head.to_owned(), unit: None, kind, class }
    }

    /// A column of figures, aligned to the right.
    #[must_use]
    pub fn figure(head: &str) -> Self {
        Self::new(ColumnKind::Figure, head)
    }

    /// The column of the names.
    #[must_use]
    pub fn name(head: &str) -> Self {
        Self::new(ColumnKind::Name, head)
    }

    /// A column of text, aligned to the left.
    #[must_use]
    pub fn text(head: &str) -> Self {
        Self::new(ColumnKind::Text, head)
    }

    fn head_class(&self) -> Option<&'static str> {
        if self.kind == ColumnKind::Name { Some("name") } else { self.class.map(|_| "figure") }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), mark: None }
    }
}

impl Cell {
    /// A verdict.
    #[must_use]
    pub fn marked(mark: Mark, text: &str) -> Self {
        Self { text: text.to_owned(), mark: Some(mark) }
    }

    fn on_terminal(&self) -> String {
        printable(&self.mark.map_or_else(|| self.text.clone(), |mark| mark.text(&self.text)))
    }

    fn in_markdown(&self) -> String {
        let text = escaped(&self.text);
        if self.mark.is_some_and(|mark| mark != Mark::GOOD) { format!("**{text}**") } else { text }
    }

    fn in_html(&self) -> Markup {
        let number = self.text.parse::<f64>().is_ok();
        html! {
            @if let Some(mark) = self.mark { (mark.html(&self.text)) }
            @else if number { (grouped(&self.text)) }
            @else { (self.text) }
        }
    }
}

impl Table {
    /// The lines on a terminal: a head, one rule, rows; without spaces at their ends.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines_on(Terminal::default())
    }

    /// The same, with colours if this terminal has them.
    #[must_use]
    pub fn lines_on(&self, terminal: Terminal) -> Vec<String> {
        let heads: Vec<String> = self.columns.iter().map(|column| printable(&column.head)).collect();
        let cells = |row: &TableRow| row.cells.iter().map(Cell::on_terminal).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        let width = |index: usize| {
            let cells = rows.iter().filter_map(|row| row.get(index)).chain([&heads[index]]);
            cells.map(|cell| display_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let rest = |row: &TableRow| row.rest.as_ref().map(|(text, _)| printable(text));
        let lines = self.rows.iter().zip(&rows).map(|(row, cells)| self.line(&widths, cells, rest(row), &[]));
        let columns = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let rule = "─".repeat(lines.map(|line| display_width(&line)).fold(columns, usize::max));
        let row = |(row, cells): (&TableRow, &Vec<String>)| {
            let marks = row.cells.iter().map(|cell| cell.mark.filter(|_| terminal.colour)).collect::<Vec<_>>();
            self.line(&widths, cells, rest(row), &marks)
        };
        let rows = self.rows.iter().zip(&rows).map(row);
        [self.line(&widths, &heads, None, &[]), rule].into_iter().chain(rows).collect()
    }

    /// A line. A cell with a mark has its colour.
    fn line(&self, widths: &[usize], cells: &[String], rest: Option<String>, marks: &[Option<Mark>]) -> String {
        let cell = |(index, text): (usize, &String)| {
            let (column, width) = (&self.columns[index], widths[index]);
            let mark = marks.get(index).copied().flatten();
            let shown = mark.map_or_else(|| text.clone(), |mark| mark.colour().paint(text));
            let space = " ".repeat(width.saturating_sub(display_width(text)));
            match column.kind {
                ColumnKind::Figure => space + &shown,
                ColumnKind::Name | ColumnKind::Text => shown + &space,
            }
        };
        let cells = cells.iter().enumerate().map(cell).chain(rest);
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    }

    fn fits(&self, width: usize) -> bool {
        self.lines().iter().all(|line| display_width(line) <= width)
    }

    /// Leaves out columns, in this order, until the table has this width. Gives what was left out.
    pub fn fit(&mut self, dispensable: &[&'static str], width: usize) -> Vec<&'static str> {
        let mut left_out = Vec::new();
        for &head in dispensable {
            if self.fits(width) {
                break;
            }
            let Some(index) = self.columns.iter().position(|column| column.head == head) else { continue };
            self.columns.remove(index);
            for row in self.rows.iter_mut().filter(|row| index < row.cells.len()) {
                row.cells.remove(index);
            }
            left_out.push(head);
        }
        left_out
    }

    /// The table on this terminal. Where it is too wide, the last columns follow below the first, each time behind the names.
    #[must_use]
    pub fn stacked(&self, terminal: Terminal) -> String {
        let stretch = |from: usize, until: usize| {
            let columns = [0].into_iter().chain(from..until).map(|index| self.columns[index].clone()).collect();
            let row = |row: &TableRow| {
                let cells = [0].into_iter().chain(from..until).filter_map(|index| row.cells.get(index).cloned());
                TableRow { cells: cells.collect(), rest: None }
            };
            Self { columns, rows: self.rows.iter().map(row).collect() }
        };
        let (mut blocks, mut from) = (Vec::new(), 1);
        while from < self.columns.len() {
            let wider = (from + 2..=self.columns.len()).take_while(|&until| stretch(from, until).fits(terminal.width));
            let until = wider.last().unwrap_or(from + 1);
            blocks.push(stretch(from, until).lines_on(terminal).join("\n"));
            from = until;
        }
        blocks.join("\n\n")
    }

    /// The lines of the table as GitHub shows it.
    #[must_use]
    pub fn markdown(&self) -> Vec<String> {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let head = |column: &Column| match column.unit {
            Some(unit) => format!("{} {unit}", escaped(&column.head)),
            None => escaped(&column.head),
        };
        let rule = |column: &Column| if column.kind == ColumnKind::Figure { "---:" } else { "---" }.to_owned();
        let row = |row: &TableRow| {
            let mut cells: Vec<String> = row.cells.iter().map(Cell::in_markdown).collect();
            cells.resize(self.columns.len(), NONE.to_owned());
            line(cells)
        };
        let heads = [line(self.columns.iter().map(head).collect()), line(self.columns.iter().map(rule).collect())];
        heads.into_iter().chain(self.rows.iter().map(row)).collect()
    }

    /// The table on a page, which scrolls by itself if it is too wide.
    #[must_use]
    pub fn html(&self, name: &str) -> Markup {
        wide(name, &self.bare_html())
    }

    /// The table alone.
    #[must_use]
    pub fn bare_html(&self) -> Markup {
        html! {
            table {
                thead {
                    tr {
                        @for column in &self.columns {
                            @if column.head.is_empty() { td {} } @else {
                                th class=[column.head_class()] scope="col" {
                                    (column.head) @if let Some(unit) = column.unit { span.unit { " " (unit) } }
                                }
                            }
                        }
                    }
                }
                tbody { @for row in &self.rows { tr { (self.html_row(row)) } } }
            }
        }
    }

    fn html_row(&self, row: &TableRow) -> Markup {
        html! {
            @for (column, cell) in self.columns.iter().zip(&row.cells) {
                @if column.kind == ColumnKind::Name { th.name scope="row" { (cell.text) } }
                @else { td class=[column.class] { (cell.in_html()) } }
            }
            @if let Some((text, class)) = &row.rest { td class=(class) colspan=(self.columns.len() - row.cells.len()) { (text) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::wrap::WIDTH;

    fn table() -> Table {
        let row = |cells: &[&str], rest| TableRow { cells: cells.iter().map(|cell| Cell::from(*cell)).collect(), rest };
        let ms = Column { unit: Some("ms"), ..Column::figure("p50") };
        let lost = Some(("lost | found".to_owned(), "found bad"));
        Table {
            columns: vec![Column::name("name"), Column::figure("req/s"), ms],
            rows: vec![row(&["sound", "14848", "1.0"], None), row(&["予約"], lost)],
        }
    }

    #[test]
    fn columns_are_aligned_and_a_text_may_take_the_last_ones() {
        let expected = ["name   req/s  p50", "───────────────────", "sound  14848  1.0", "予約   lost | found"];
        assert_eq!(table().lines(), expected);
        let expected =
            ["| name | req/s | p50 ms |", "| --- | ---: | ---: |", "| sound | 14848 | 1.0 |", "| 予約 | – | – |"];
        assert_eq!(table().markdown(), expected);
        let page = table().html("Speed").into_string();
        assert!(page.contains("14\u{202f}848</td>"), "{page}");
        assert!(page.contains("<td class=\"found bad\" colspan=\"2\">lost | found</td>"), "{page}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_or_follows_below() {
        let mut wide = table();
        wide.columns[1].head = "x".repeat(100);
        wide.columns[2].head = "y".repeat(30);
        let stacked = wide.stacked(Terminal::default());
        assert_eq!(stacked.matches("sound").count(), 2, "{stacked}");
        let rows = wide.rows.clone();
        wide.columns[1].head = "req/s".to_owned();
        wide.columns[2].head = "p50".to_owned();
        wide.rows[0].cells[2].text = "z".repeat(WIDTH);
        assert_eq!(wide.fit(&["p90", "p50"], WIDTH), ["p50"]);
        assert_eq!((wide.columns.len(), &wide.rows[0].cells[..], &wide.rows[1]), (2, &rows[0].cells[..2], &rows[1]));
    }

    #[test]
    fn verdicts_have_colours_where_the_terminal_has_them_and_columns_stay_aligned() {
        let row = |mark, text: &str| TableRow { cells: vec![Cell::marked(mark, text), "x".into()], rest: None };
        let rows = vec![row(Mark::GOOD, "proved"), row(Mark::BAD, "broken"), row(Mark::HELD, "held so far")];
        let table = Table { columns: vec![Column::text("verdict"), Column::name("approach")], rows };
        let lines = table.lines_on(Terminal { colour: true, ..Terminal::default() });
        let expected = [
            "\u{1b}[32mproved\u{1b}[0m       x",
            "\u{1b}[31mbroken\u{1b}[0m       x",
            "\u{1b}[33mheld so far\u{1b}[0m  x",
        ];
        assert_eq!(lines[2..], expected);
        assert_eq!(table.lines()[2..], ["proved       x", "broken       x", "held so far  x"]);
        assert_eq!(lines[..2], table.lines()[..2], "the head and the rule");
    }

    #[test]
    fn a_verdict_that_contradicts_its_claim_has_a_sign_everywhere() {
        let cell = Cell::marked(Mark { contradicts: true, ..Mark::GOOD }, "proved");
        assert_eq!((cell.on_terminal(), cell.in_markdown()), ("proved !".to_owned(), "**proved**".to_owned()));
        assert!(cell.in_html().into_string().contains("CLAIM FAILED"));
    }
}
