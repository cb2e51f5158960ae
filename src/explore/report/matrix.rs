//! Verdicts in two dimensions: approaches by scenarios, and approaches by isolation levels.

use super::view;
use crate::explore::findings::{Exploration, ExploreReport, Subject};
use crate::lab::reports::figures::{NONE, printable};
use crate::lab::reports::grid::{self, GridColumn, GridRow, WIDTH, letters};

/// Verdicts by row and column, both in the order of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictMatrix<'a> {
    /// What it shows.
    pub title: String,
    /// The heads of the columns.
    pub heads: Vec<String>,
    /// The rows: a name, and a cell for each head, empty if nobody explored it.
    pub rows: Vec<(String, Vec<Option<&'a Exploration>>)>,
}

/// Approaches by scenarios, if there are several of them. What was made to have an isolation level is in a matrix of its own.
#[must_use]
pub fn overview(report: &ExploreReport) -> Option<VerdictMatrix<'_>> {
    let of_approach = |subject: &Subject| subject.isolation.is_none() && subject.file.is_none();
    let own_level = report.explorations.iter().filter(|exploration| of_approach(&exploration.subject));
    let explorations: Vec<&Exploration> = own_level.collect();
    let scenes = view::grouped(&explorations).len();
    let by_name = of("Overview", &explorations, view::name, |subject| subject.scenario.clone());
    // The number of clients says something only where a scenario has several.
    let matrix =
        if by_name.heads.len() == scenes { by_name } else { of("Overview", &explorations, view::name, view::scene) };
    (scenes > 1).then_some(matrix)
}

/// Approaches by isolation levels, for each scenario in which a level was asked for.
#[must_use]
pub fn by_isolation(report: &ExploreReport) -> Vec<VerdictMatrix<'_>> {
    let scenes = view::by_scene(report).into_iter();
    let asked = scenes.filter(|(_, all)| all.iter().any(|exploration| exploration.subject.isolation.is_some()));
    let level = |subject: &Subject| subject.isolation.clone().unwrap_or_else(|| "its own".to_owned());
    asked
        .map(|(scene, all)| of(&format!("{scene}, by isolation level"), &all, view::name_at_any_level, level))
        .collect()
}

fn of<'a>(
    title: &str,
    explorations: &[&'a Exploration],
    row_of: impl Fn(&Subject) -> String,
    column_of: impl Fn(&Subject) -> String,
) -> VerdictMatrix<'a> {
    let mut heads: Vec<String> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for exploration in explorations {
        for (known, name) in [(&mut heads, column_of(&exploration.subject)), (&mut names, row_of(&exploration.subject))]
        {
            if !known.contains(&name) {
                known.push(name);
            }
        }
    }
    let find = |row: &str, column: &str| {
        let there = |exploration: &&&Exploration| {
            row_of(&exploration.subject) == row && column_of(&exploration.subject) == column
        };
        explorations.iter().find(there).copied()
    };
    let rows = names.into_iter().map(|name| {
        let cells = heads.iter().map(|head| find(&name, head)).collect();
        (name, cells)
    });
    VerdictMatrix { title: title.to_owned(), rows: rows.collect(), heads }
}

/// The matrix as a text. Where it is too wide for a terminal, the last columns follow below the first.
#[must_use]
pub fn text(matrix: &VerdictMatrix<'_>) -> String {
    let mut blocks = vec![printable(&matrix.title)];
    let mut from = 0;
    while from < matrix.heads.len() {
        let (mut until, mut lines) = (from + 1, stretch(matrix, from, from + 1));
        while until < matrix.heads.len() {
            let wider = stretch(matrix, from, until + 1);
            if wider.iter().any(|line| letters(line) > WIDTH) {
                break;
            }
            (until, lines) = (until + 1, wider);
        }
        blocks.push(lines.join("\n"));
        from = until;
    }
    blocks.join("\n\n")
}

/// Some columns of it, by number.
fn stretch(matrix: &VerdictMatrix<'_>, from: usize, until: usize) -> Vec<String> {
    let column = |head: &str| GridColumn { head: printable(head), figures: false };
    let heads = matrix.heads[from..until].iter().map(|head| column(head));
    let columns: Vec<GridColumn> = [column("")].into_iter().chain(heads).collect();
    let cell = |cell: Option<&Exploration>| {
        cell.map_or(NONE.to_owned(), |exploration| view::marked(exploration, view::short_verdict(exploration)))
    };
    let row = |(name, cells): &(String, Vec<Option<&Exploration>>)| {
        let cells = cells[from..until].iter().map(|one| printable(&cell(*one)));
        GridRow { cells: [printable(name)].into_iter().chain(cells).collect(), rest: None }
    };
    grid::lines(&columns, &matrix.rows.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;
    use crate::lab::reports::expected::expect_file;

    #[test]
    fn matrices_look_like_this() {
        let levels = sample::levels();
        let text = by_isolation(&levels).iter().map(text).collect::<Vec<_>>().join("\n\n") + "\n";
        expect_file("src/explore/report/expected/matrix.txt", &text);
    }

    #[test]
    fn one_scenario_has_no_overview_and_without_levels_there_is_no_matrix() {
        assert_eq!(overview(&sample::levels()), None);
        assert_eq!(by_isolation(&sample::nothing()), []);
        let report = sample::report();
        let overview = overview(&report).unwrap();
        assert_eq!(overview.heads, ["last-money", "opposite-transfers", "last-seat"]);
        assert!(overview.rows.iter().all(|(_, cells)| cells.iter().any(Option::is_some)));
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
        let text = text(&overview(&report).unwrap());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!((0..8).all(|copy| text.contains(&format!("scenario-{copy}"))), "{text}");
    }
}
