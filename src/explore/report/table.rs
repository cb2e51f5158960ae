//! The table of all explorations on a terminal: a block for each scenario, the verdict first, and below it what to know and
//! what to do next.

use super::matrix;
use super::view;
use crate::explore::findings::{Exploration, Report};
use crate::lab::reports::figures::{hundredths, printable, whole};
use crate::lab::reports::grid::{self, Column, Row, WIDTH, paragraph};

/// What is left out first where the lines would be longer.
const DISPENSABLE: [&str; 3] = ["pruned", "s", "outcomes"];

/// A column of the table.
struct Figure {
    head: &'static str,
    of: Of,
}

/// What a column shows.
enum Of {
    Text(fn(&Exploration) -> String),
    Figure(fn(&Exploration) -> String),
    /// A count: if it is 0 everywhere, saying so once is enough.
    Count(fn(&Exploration) -> u64),
}

const FIGURES: [Figure; 11] = [
    Figure { head: "verdict", of: Of::Text(|exploration| view::marked(exploration, view::verdict(exploration))) },
    Figure { head: "approach", of: Of::Text(|exploration| view::name(&exploration.subject)) },
    Figure { head: "interleavings", of: Of::Figure(view::interleavings) },
    Figure { head: "pruned", of: Of::Count(|exploration| exploration.pruned) },
    Figure { head: "outcomes", of: Of::Figure(|exploration| exploration.outcomes.len().to_string()) },
    Figure { head: "violations", of: Of::Count(|exploration| exploration.violations) },
    Figure { head: "waited", of: Of::Count(|exploration| exploration.waited) },
    Figure { head: "deadlocks", of: Of::Count(|exploration| exploration.deadlocks) },
    Figure { head: "conflicts", of: Of::Count(|exploration| exploration.conflicts) },
    Figure { head: "gave up", of: Of::Count(|exploration| exploration.gave_up) },
    Figure { head: "s", of: Of::Figure(|exploration| hundredths(exploration.elapsed_s)) },
];

/// The report.
#[must_use]
pub fn render(report: &Report) -> String {
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
pub fn heading(report: &Report) -> String {
    let total = report.explorations.iter().map(|exploration| exploration.interleavings).sum();
    let all = view::counted(report.explorations.len() as u64, "exploration");
    let total = view::counted(total, "interleaving");
    let postgresql = &report.versions.postgresql;
    format!("{all}, {total}, in {} s on PostgreSQL {postgresql}.", whole(report.elapsed_s.ceil()))
}

/// The table of a scenario. A column that would say nothing is not there.
fn block(scene: &str, explorations: &[&Exploration]) -> String {
    let nothing = |figure: &&Figure| match figure.of {
        Of::Count(of) => explorations.iter().all(|exploration| of(exploration) == 0),
        Of::Text(_) | Of::Figure(_) => false,
    };
    let (zero, mut figures): (Vec<&Figure>, Vec<&Figure>) = FIGURES.iter().partition(nothing);
    let mut left_out = Vec::new();
    for name in DISPENSABLE {
        let (columns, rows) = laid_out(&figures, explorations);
        if grid::total_width(&columns, &rows) <= WIDTH {
            break;
        }
        left_out.extend(figures.extract_if(.., |figure| figure.head == name).map(|figure| figure.head));
    }
    let heads = |figures: &[&Figure]| figures.iter().map(|figure| figure.head).collect::<Vec<_>>();
    let absent = [("0 in every row", heads(&zero)), ("Not shown", left_out)].into_iter();
    let absent = absent.filter(|(_, names)| !names.is_empty());
    let sentences = absent.map(|(what, names)| format!("{what}: {}.", names.join(", ")));
    let heading = [format!("{scene}.")].into_iter().chain(sentences).collect::<Vec<_>>().join(" ");
    let (columns, rows) = laid_out(&figures, explorations);
    format!("{}\n\n{}", paragraph(&heading), grid::lines(&columns, &rows).join("\n"))
}

fn laid_out(figures: &[&Figure], explorations: &[&Exploration]) -> (Vec<Column>, Vec<Row>) {
    let column = |figure: &&Figure| Column { head: figure.head.to_owned(), figures: !matches!(figure.of, Of::Text(_)) };
    let cell = |figure: &&Figure, exploration: &Exploration| match figure.of {
        Of::Text(of) | Of::Figure(of) => printable(&of(exploration)),
        Of::Count(of) => of(exploration).to_string(),
    };
    let row = |exploration: &&Exploration| Row {
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
