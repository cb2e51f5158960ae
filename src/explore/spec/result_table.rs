//! Rows as libpq's `PQprint` prints them, the function that isolationtester uses.

use std::fmt::Write as _;

/// Rows that a statement returned, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultTable {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows; NULL is printed as an empty text is.
    pub rows: Vec<Vec<Option<String>>>,
}

impl ResultTable {
    /// The table with its header, and the number of rows. A result without columns prints nothing.
    #[must_use]
    pub fn print(&self) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let columns: Vec<ResultColumn> = (0..self.columns.len()).map(|at| self.column(at)).collect();
        let line = |cells: Vec<&str>| {
            let cells: Vec<String> = columns.iter().zip(cells).map(|(column, cell)| column.align(cell)).collect();
            cells.join("|")
        };
        let border: Vec<String> = columns.iter().map(|column| "-".repeat(column.width)).collect();
        let mut text = format!("{}\n{}\n", line(self.columns.iter().map(String::as_str).collect()), border.join("+"));
        for row in &self.rows {
            let _ = writeln!(text, "{}", line(row.iter().map(|value| value.as_deref().unwrap_or_default()).collect()));
        }
        let count = self.rows.len();
        let _ = writeln!(text, "({count} row{})\n", if count == 1 { "" } else { "s" });
        text
    }

    fn column(&self, at: usize) -> ResultColumn {
        let values = self.rows.iter().filter_map(|row| row[at].as_deref()).filter(|value| !value.is_empty());
        let width = values.clone().map(str::len).chain([self.columns[at].len()]).max().unwrap_or(0);
        ResultColumn { width, numeric: values.into_iter().all(looks_numeric) }
    }
}

/// A column of a table. Its width is in bytes, as libpq counts.
struct ResultColumn {
    width: usize,
    numeric: bool,
}

impl ResultColumn {
    fn align(&self, cell: &str) -> String {
        let blanks = " ".repeat(self.width.saturating_sub(cell.len()));
        if self.numeric { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
    }
}

/// Numbers are aligned at the right: digits, `.`, `e`, blanks and `-`, with a digit at the end.
fn looks_numeric(value: &str) -> bool {
    value.chars().all(|next| next.is_ascii_digit() || ".Ee -".contains(next))
        && !value.starts_with(['E', 'e'])
        && value.ends_with(|last: char| last.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_as_libpq_aligns_them() {
        let row = |cells: &[Option<&str>]| cells.iter().map(|cell| cell.map(str::to_owned)).collect();
        let table = ResultTable {
            columns: ["id", "name", "amount"].map(str::to_owned).to_vec(),
            rows: vec![row(&[Some("1"), Some("savings"), Some("-12.50")]), row(&[Some("10"), None, Some("7")])],
        };
        assert_eq!(
            table.print(),
            "id|name   |amount\n--+-------+------\n 1|savings|-12.50\n10|       |     7\n(2 rows)\n\n"
        );
        let empty = ResultTable { columns: vec!["a".to_owned()], rows: Vec::new() };
        assert_eq!(empty.print(), "a\n-\n(0 rows)\n\n");
        assert_eq!(ResultTable::default().print(), "");
    }

    #[test]
    fn a_number_ends_with_a_digit_and_does_not_begin_with_e() {
        for numeric in ["1", "-1.5", "2e3", "1 2", "2024-01-01"] {
            assert!(looks_numeric(numeric), "{numeric}");
        }
        for other in ["t", "1a", "e1", "12:00", "-", "(1,2)"] {
            assert!(!looks_numeric(other), "{other}");
        }
    }
}
