//! The table of all explorations, a block for each scenario, and what to know and to do next below it: on a terminal and on a page.

use std::collections::BTreeMap;

use maud::Markup;

use super::matrix;
use super::view;
use crate::explore::findings::{Exploration, ExplorationVerdict, ExploreReport};
use crate::lab::reports::view::claim;
use crate::report::INTERRUPTED;
use crate::report::figures::{counted, hundredths, whole};
use crate::report::table::{Cell, Column, Table, TableRow};
use crate::report::terminal::Terminal;
use crate::report::wrap::paragraph_within;

/// What is left out first where the lines would be longer.
const DISPENSABLE: [&str; 3] = ["pruned", "time", "outcomes"];

/// A count: its heading, and its value.
type Count = (&'static str, fn(&Exploration) -> u64);

/// The counts: if one is 0 everywhere, saying so once is enough on a terminal.
const COUNTS: [Count; 7] = [
    ("pruned", |exploration| exploration.pruned),
    ("outcomes", |exploration| exploration.outcomes.len() as u64),
    ("violations", |exploration| exploration.violations),
    ("waited", |exploration| exploration.waited),
    ("deadlocks", |exploration| exploration.deadlocks),
    ("conflicts", |exploration| exploration.conflicts),
    ("gave up", |exploration| exploration.gave_up),
];

/// The report, as this terminal shows it.
#[must_use]
pub fn render(report: &ExploreReport, terminal: Terminal) -> String {
    let paragraph = |text: &str| paragraph_within(text, terminal.width);
    let mut blocks = Vec::new();
    if report.interrupted {
        blocks.push(paragraph(&format!("WARNING: {INTERRUPTED}")));
    }
    let failed = report.explorations.iter().any(Exploration::contradicts_claim);
    blocks.push(paragraph(&(heading(report) + if failed { " A verdict with ! contradicts the claim." } else { "" })));
    blocks.extend(matrix::overview(report).iter().map(|matrix| matrix::text(matrix, terminal)));
    blocks.extend(matrix::by_isolation(report).iter().map(|matrix| matrix::text(matrix, terminal)));
    for (scene, explorations) in view::by_scene(report) {
        // What each command of a file does alone is what is interleaved, so it comes before the verdict.
        let alone = explorations.iter().flat_map(|exploration| &exploration.alone);
        let alone: Vec<String> = alone.map(|line| paragraph(line)).collect();
        blocks.extend((!alone.is_empty()).then(|| alone.join("\n")));
        blocks.push(block(&scene, &explorations, terminal));
        let notes: Vec<String> = explorations.iter().flat_map(|exploration| notes(exploration, terminal)).collect();
        blocks.extend((!notes.is_empty()).then(|| notes.join("\n")));
    }
    blocks.join("\n\n") + "\n"
}

/// What was explored, in a line.
#[must_use]
pub fn heading(report: &ExploreReport) -> String {
    let total = report.explorations.iter().map(|exploration| exploration.interleavings).sum();
    let all = counted(report.explorations.len() as u64, "exploration");
    let total = counted(total, "interleaving");
    let postgresql = &report.versions.postgresql;
    format!("{all}, {total}, in {} s on PostgreSQL {postgresql}.", whole(report.elapsed_s.ceil()))
}

/// How the endings of sessions begin that did not simply go well.
const OTHER_ENDINGS: [&str; 6] =
    ["gave up", "done, in spite of", "stopped", "lost its connection", "cut after", "waits for ever"];

/// Endings of sessions that are named at most.
const ENDINGS_MAX: usize = 8;

/// The table of a scenario. A count that is 0 everywhere is not there.
fn block(scene: &str, explorations: &[&Exploration], terminal: Terminal) -> String {
    let (zero, counts): (Vec<_>, Vec<_>) =
        COUNTS.into_iter().partition(|(_, count)| explorations.iter().all(|exploration| count(exploration) == 0));
    let mut table = table(explorations, &counts, false);
    let left_out = table.fit(&DISPENSABLE, terminal.width);
    let absent = [("0 in every row", zero.iter().map(|(head, _)| *head).collect()), ("Not shown", left_out)];
    let absent = absent.iter().filter(|(_, names): &&(&str, Vec<&str>)| !names.is_empty());
    let sentences = absent.map(|(what, names)| format!("{what}: {}.", names.join(", ")));
    let heading = [format!("{scene}.")].into_iter().chain(sentences).collect::<Vec<_>>().join(" ");
    format!("{}\n\n{}", paragraph_within(&heading, terminal.width), table.lines_on(terminal).join("\n"))
}

/// The table of a scenario on a page.
#[must_use]
pub fn html(scene: &str, explorations: &[&Exploration]) -> Markup {
    table(explorations, &COUNTS, true).html(scene)
}

fn table(explorations: &[&Exploration], counts: &[Count], page: bool) -> Table {
    let mut columns = vec![Column::text("verdict"), Column::name("approach")];
    columns.extend(page.then(|| Column::text("claim")));
    columns.push(Column::figure("interleavings"));
    columns.extend(counts.iter().map(|(head, _)| Column::figure(head)));
    columns.push(Column { unit: Some("s"), ..Column::figure("time") });
    let row = |exploration: &&Exploration| {
        let mut cells: Vec<Cell> = vec![Cell::marked(view::mark(exploration), &view::verdict(exploration))];
        cells.push(view::name(&exploration.subject).into());
        cells.extend(page.then(|| claim(exploration.subject.claim).into()));
        cells.push(view::interleavings(exploration).into());
        cells.extend(counts.iter().map(|(_, count)| count(exploration).to_string().into()));
        cells.push(hundredths(exploration.elapsed_s).into());
        TableRow { cells, rest: None }
    };
    Table { columns, rows: explorations.iter().map(row).collect() }
}

/// What to know of an exploration, and how to go on.
fn notes(exploration: &Exploration, terminal: Terminal) -> Vec<String> {
    let subject = &exploration.subject;
    let mut notes = Vec::new();
    notes.extend(view::contradiction(exploration).map(|how| format!("CLAIM FAILED: {how}.")));
    if let Some(witness) = &exploration.witness {
        let names = view::anomalies(exploration).join(", ");
        let explanation = witness.explanation.trim_end_matches('.');
        notes.push(format!("{names}. {explanation}. Shortest: {}", view::replay_options(subject, witness)));
    }
    for example in &exploration.examples {
        let (what, count) = (example.failure.in_words(), exploration.failures(example.failure));
        let schedule = &example.transcript.schedule;
        notes.push(format!("{} with {what}. Shortest: --replay {schedule}", counted(count, "interleaving")));
    }
    notes.extend(endings(exploration));
    notes.extend(exploration.limits.iter().cloned());
    notes.extend((exploration.verdict == ExplorationVerdict::NotJudged).then(|| {
        "nothing says which ends are right: there is no invariant, and no comparison with serial orders".to_owned()
    }));
    notes.extend(exploration.undecided.iter().map(|what| format!("undecided: {what}")));
    if let Some(run) = view::incompleteness(exploration) {
        let on = exploration.last.as_ref().map_or(String::new(), |last| format!("; continue with --after {last}"));
        notes.push(format!("{run}{on}"));
    }
    let shown = |note| paragraph_within(&format!("{}: {note}", view::name(subject)), terminal.width);
    notes.into_iter().map(shown).collect()
}

/// How the sessions of an explore file ended other than well, with the number of interleavings.
fn endings(exploration: &Exploration) -> Vec<String> {
    if exploration.subject.file.is_none() {
        return Vec::new();
    }
    let sessions = usize::try_from(exploration.subject.clients).unwrap_or_default();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for outcome in &exploration.outcomes {
        // The answers of the sessions come before the rows.
        let ended_otherwise = |line: &&String| {
            line.split_once(": ").is_some_and(|(_, heard)| OTHER_ENDINGS.iter().any(|other| heard.starts_with(other)))
        };
        for line in outcome.lines.iter().take(sessions).filter(ended_otherwise) {
            *counts.entry(line).or_default() += outcome.count;
        }
    }
    let more = counts.len().saturating_sub(ENDINGS_MAX);
    let named = counts.iter().take(ENDINGS_MAX);
    let named = named.map(|(line, count)| format!("in {}: {line}", counted(*count, "interleaving")));
    named.chain((more > 0).then(|| format!("and {more} other endings of sessions"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::findings::DistinctOutcome;
    use crate::explore::report::sample;
    use crate::explore::schedule::Schedule;
    use crate::report::expected::expect_file;
    use crate::report::sample::expect_narrow;

    #[test]
    fn a_table_looks_like_this() {
        expect_file("src/explore/report/expected/table.txt", &render(&sample::report(), Terminal::default()));
        expect_file("src/explore/report/expected/table-levels.txt", &render(&sample::levels(), Terminal::default()));
        expect_narrow(&render(&sample::report(), Terminal::default()));
    }

    #[test]
    fn how_sessions_of_a_file_ended_is_counted() {
        let mut exploration = sample::report().explorations.swap_remove(0);
        let outcome = |lines: &[&str], count| DistinctOutcome {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            count,
            anomalies: Vec::new(),
            example: Schedule::default(),
        };
        exploration.outcomes = vec![
            outcome(&["A: done", "B: gave up: 23505 duplicate", "n = 1"], 2),
            outcome(&["A: done", "B: gave up: 23505 duplicate", "n = 2"], 1),
            outcome(&["A: stopped before write", "B: done", "X: gave up"], 1),
        ];
        assert_eq!(endings(&exploration), Vec::<String>::new(), "only of files");
        exploration.subject.file = Some("seats.toml".to_owned());
        exploration.subject.clients = 2;
        let expected =
            ["in 1 interleaving: A: stopped before write", "in 3 interleavings: B: gave up: 23505 duplicate"];
        assert_eq!(endings(&exploration), expected);
    }
}
