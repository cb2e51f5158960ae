//! The table of all explorations on a terminal: a block for each scenario, the verdict first, and below it what to know and
//! what to do next.

use super::matrix;
use super::view;
use crate::explore::findings::{Exploration, ExploreReport};
use crate::lab::reports::figures::{hundredths, printable, whole};
use crate::lab::reports::grid::{self, GridColumn, GridRow, WIDTH, paragraph};

/// What is left out first where the lines would be longer.
const DISPENSABLE: [&str; 3] = ["pruned", "s", "outcomes"];

/// A column of the table.
struct ExploreColumn {
    head: &'static str,
    of: ColumnSource,
}

/// What a column shows.
enum ColumnSource {
    Text(fn(&Exploration) -> String),
    Figure(fn(&Exploration) -> String),
    /// A count: if it is 0 everywhere, saying so once is enough.
    Count(fn(&Exploration) -> u64),
}

const FIGURES: [ExploreColumn; 11] = [
    ExploreColumn {
        head: "verdict",
        of: ColumnSource::Text(|exploration| view::marked(exploration, view::verdict(exploration))),
    },
    ExploreColumn { head: "approach", of: ColumnSource::Text(|exploration| view::name(&exploration.subject)) },
    ExploreColumn { head: "interleavings", of: ColumnSource::Figure(view::interleavings) },
    ExploreColumn { head: "pruned", of: ColumnSource::Count(|exploration| exploration.pruned) },
    ExploreColumn { head: "outcomes", of: ColumnSource::Figure(|exploration| exploration.outcomes.len().to_string()) },
    ExploreColumn { head: "violations", of: ColumnSource::Count(|exploration| exploration.violations) },
    ExploreColumn { head: "waited", of: ColumnSource::Count(|exploration| exploration.waited) },
    ExploreColumn { head: "deadlocks", of: ColumnSource::Count(|exploration| exploration.deadlocks) },
    ExploreColumn { head: "conflicts", of: ColumnSource::Count(|exploration| exploration.conflicts) },
    ExploreColumn { head: "gave up", of: ColumnSource::Count(|exploration| exploration.gave_up) },
    ExploreColumn { head: "s", of: ColumnSource::Figure(|exploration| hundredths(exploration.elapsed_s)) },
];

/// The report.
#[must_use]
pub fn render(report: &ExploreReport) -> String {
    let mut blocks = Vec::new();
    if report.interrupted {
        blocks.push("WARNING: interrupted: what is here is what there was.".to_owned());
    }
    let failed = report.explorations.iter().any(Exploration::contradicts_claim);
    blocks.push(paragraph(&(heading(report) + if failed { " A verdict with ! contradicts the claim." } else { "" })));
    blocks.extend(matrix::overview(report).iter().map(matrix::text));
    blocks.extend(matrix::by_isolation(report).iter().map(matrix::text));
    for (scene, explorations) in view::by_scene(report) {
        blocks.push(block(&scene, &explorations));
        let notes: Vec<String> = explorations.iter().flat_map(|exploration| notes(exploration)).collect();
        blocks.extend((!notes.is_empty()).then(|| notes.join("\n")));
    }
    blocks.join("\n\n") + "\n"
}

/// What was explored, in a line.
#[must_use]
pub fn heading(report: &ExploreReport) -> String {
    let total = report.explorations.iter().map(|exploration| exploration.interleavings).sum();
    let all = view::counted(report.explorations.len() as u64, "exploration");
    let total = view::counted(total, "interleaving");
    let postgresql = &report.versions.postgresql;
    format!("{all}, {total}, in {} s on PostgreSQL {postgresql}.", whole(report.elapsed_s.ceil()))
}

/// The table of a scenario. A column that would say nothing is not there.
fn block(scene: &str, explorations: &[&Exploration]) -> String {
    let nothing = |figure: &&ExploreColumn| match figure.of {
        ColumnSource::Count(of) => explorations.iter().all(|exploration| of(exploration) == 0),
        ColumnSource::Text(_) | ColumnSource::Figure(_) => false,
    };
    let (zero, mut figures): (Vec<&ExploreColumn>, Vec<&ExploreColumn>) = FIGURES.iter().partition(nothing);
    let mut left_out = Vec::new();
    for name in DISPENSABLE {
        let (columns, rows) = laid_out(&figures, explorations);
        if grid::total_width(&columns, &rows) <= WIDTH {
            break;
        }
        left_out.extend(figures.extract_if(.., |figure| figure.head == name).map(|figure| figure.head));
    }
    let heads = |figures: &[&ExploreColumn]| figures.iter().map(|figure| figure.head).collect::<Vec<_>>();
    let absent = [("0 in every row", heads(&zero)), ("Not shown", left_out)].into_iter();
    let absent = absent.filter(|(_, names)| !names.is_empty());
    let sentences = absent.map(|(what, names)| format!("{what}: {}.", names.join(", ")));
    let heading = [format!("{scene}.")].into_iter().chain(sentences).collect::<Vec<_>>().join(" ");
    let (columns, rows) = laid_out(&figures, explorations);
    format!("{}\n\n{}", paragraph(&heading), grid::lines(&columns, &rows).join("\n"))
}

fn laid_out(figures: &[&ExploreColumn], explorations: &[&Exploration]) -> (Vec<GridColumn>, Vec<GridRow>) {
    let column = |figure: &&ExploreColumn| GridColumn {
        head: figure.head.to_owned(),
        figures: !matches!(figure.of, ColumnSource::Text(_)),
    };
    let cell = |figure: &&ExploreColumn, exploration: &Exploration| match figure.of {
        ColumnSource::Text(of) | ColumnSource::Figure(of) => printable(&of(exploration)),
        ColumnSource::Count(of) => of(exploration).to_string(),
    };
    let row = |exploration: &&Exploration| GridRow {
        cells: figures.iter().map(|figure| cell(figure, exploration)).collect(),
        rest: None,
    };
    (figures.iter().map(column).collect(), explorations.iter().map(row).collect())
}

/// What to know of an exploration, and how to go on.
fn notes(exploration: &Exploration) -> Vec<String> {
    let subject = &exploration.subject;
    let mut notes = Vec::new();
    notes.extend(view::contradiction(exploration).map(|how| format!("CLAIM FAILED: {how}.")));
    if let Some(witness) = &exploration.witness {
        let names = view::anomalies(exploration).join(", ");
        let explanation = witness.explanation.trim_end_matches('.');
        notes.push(format!("{names}. {explanation}. Shortest: {}", view::replay_options(subject, witness)));
    }
    notes.extend(exploration.undecided.iter().map(|what| format!("undecided: {what}")));
    if !exploration.complete {
        let run = view::share(exploration);
        let on = exploration.last.as_ref().map_or(String::new(), |last| format!("; go on with --after {last}"));
        notes.push(format!("{run} of the interleavings were run{on}"));
    }
    notes.into_iter().map(|note| paragraph(&format!("{}: {note}", view::name(subject)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;
    use crate::lab::reports::expected::expect_file;

    #[test]
    fn a_table_looks_like_this() {
        expect_file("src/explore/report/expected/table.txt", &render(&sample::report()));
        expect_file("src/explore/report/expected/table-levels.txt", &render(&sample::levels()));
    }

    #[test]
    fn no_line_is_too_long_and_none_steers_the_terminal() {
        for report in [sample::report(), sample::hostile(), sample::nothing()] {
            let text = render(&report);
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        for line in render(&sample::report()).lines() {
            // A schedule is one word.
            assert!(line.chars().count() <= WIDTH || line.contains("--"), "{line}");
        }
    }
}
