//! Verdicts in two dimensions: approaches by scenarios, and approaches by isolation levels.

use super::view;
use crate::explore::findings::{Exploration, ExploreReport, Subject};
use crate::report::figures::NONE;
use crate::report::printable::printable;
use crate::report::table::{Cell, Column, Table, TableRow};
use crate::report::terminal::Terminal;

/// Verdicts by row and column, both in the order of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictMatrix {
    /// What it shows.
    pub title: String,
    /// The rows: a name, and a verdict for each column, if that was explored.
    pub table: Table,
}

/// Approaches by scenarios, if there are several of them. What was made to have an isolation level is in a matrix of its own.
#[must_use]
pub fn overview(report: &ExploreReport) -> Option<VerdictMatrix> {
    let of_approach = |subject: &Subject| subject.isolation.is_none() && subject.file.is_none();
    let own_level = report.explorations.iter().filter(|exploration| of_approach(&exploration.subject));
    let explorations: Vec<&Exploration> = own_level.collect();
    let scenes = view::grouped(&explorations).len();
    let by_name = of("Overview", &explorations, view::name, |subject| subject.scenario.clone());
    // The number of clients says something only where a scenario has several.
    let ambiguous = by_name.table.columns.len() != scenes + 1;
    let matrix = if ambiguous { of("Overview", &explorations, view::name, view::scene) } else { by_name };
    (scenes > 1).then_some(matrix)
}

/// Approaches by isolation levels, for each scenario in which a level was asked for.
#[must_use]
pub fn by_isolation(report: &ExploreReport) -> Vec<VerdictMatrix> {
    let scenes = view::by_scene(report).into_iter();
    let asked = scenes.filter(|(_, all)| all.iter().any(|exploration| exploration.subject.isolation.is_some()));
    let level = |subject: &Subject| subject.isolation.clone().unwrap_or_else(|| "as the approach is".to_owned());
    asked
        .map(|(scene, all)| of(&format!("{scene}, by isolation level"), &all, view::name_at_any_level, level))
        .collect()
}

fn of(
    title: &str,
    explorations: &[&Exploration],
    row_of: impl Fn(&Subject) -> String,
    column_of: impl Fn(&Subject) -> String,
) -> VerdictMatrix {
    let distinct = |of: &dyn Fn(&Subject) -> String| {
        let mut names: Vec<String> = Vec::new();
        for name in explorations.iter().map(|exploration| of(&exploration.subject)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let heads = distinct(&column_of);
    let cell = |row: &str, column: &str| {
        let found = explorations.iter().find(|one| row_of(&one.subject) == row && column_of(&one.subject) == column);
        found.map_or(NONE.into(), |one| Cell::marked(view::mark(one), &view::short_verdict(one)))
    };
    let row = |name: String| {
        let verdicts = heads.iter().map(|head| cell(&name, head)).collect::<Vec<_>>();
        TableRow { cells: [name.into()].into_iter().chain(verdicts).collect(), rest: None }
    };
    let rows = distinct(&row_of).into_iter().map(row).collect();
    let columns = [Column::name("")].into_iter().chain(heads.iter().map(|head| Column::text(head))).collect();
    VerdictMatrix { title: title.to_owned(), table: Table { columns, rows } }
}

/// The matrix as a text. Where it is too wide for the terminal, the last columns follow below the first.
#[must_use]
pub fn text(matrix: &VerdictMatrix, terminal: Terminal) -> String {
    format!("{}\n\n{}", printable(&matrix.title), matrix.table.stacked(terminal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;
    use crate::report::expected::expect_file;
    use crate::report::sample::expect_narrow;

    #[test]
    fn matrices_look_like_this() {
        let levels = sample::levels();
        let text = by_isolation(&levels)
            .iter()
            .map(|matrix| text(matrix, Terminal::default()))
            .collect::<Vec<_>>()
            .join("\n\n")
            + "\n";
        expect_file("src/explore/report/expected/matrix.txt", &text);
    }

    #[test]
    fn one_scenario_has_no_overview_and_without_levels_there_is_no_matrix() {
        assert_eq!(overview(&sample::levels()), None);
        assert_eq!(by_isolation(&sample::nothing()), []);
        let table = overview(&sample::report()).unwrap().table;
        let heads: Vec<&str> = table.columns.iter().map(|column| column.head.as_str()).collect();
        assert_eq!(heads, ["", "last-money", "opposite-transfers", "last-seat"]);
        assert!(table.rows.iter().all(|row| row.cells.iter().any(|cell| cell.mark.is_some())));
    }

    #[test]
    fn a_wide_matrix_goes_on_below() {
        let mut report = sample::report();
        let many = report.explorations.clone();
        for copy in 0..8 {
            let more = many.iter().cloned().map(|mut exploration| {
                exploration.subject.scenario = format!("scenario-{copy}");
                exploration
            });
            report.explorations.extend(more);
        }
        let text = text(&overview(&report).unwrap(), Terminal::default());
        expect_narrow(&text);
        assert!((0..8).all(|copy| text.contains(&format!("scenario-{copy}"))), "{text}");
    }
}
