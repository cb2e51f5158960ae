//! The table on a terminal: the verdict first, and nothing wider than [`WIDTH`].

use super::conditions;
use super::figures::{LATENCIES, NONE, attempts, deviation, float, hundredths, median, ms, other, printable, whole};
use super::grid::{self, GridColumn, GridRow, WIDTH, paragraph};
use super::notes;
use super::view::{self, counted, in_rounds, is_ranked, name, ordered};
use crate::lab::results::{ApproachResult, Run};

/// What is left out first where the lines would be longer: what other columns nearly say.
const DISPENSABLE: [&str; 4] = ["answers", "p90", "attempts", "p99.9"];

/// A column of the table. The last ones are of speed: what is not ranked has a text in their place.
struct RunColumn {
    head: String,
    left: bool,
    is_speed: bool,
    cell: Box<dyn Fn(&ApproachResult) -> String>,
}

/// The report.
#[must_use]
pub fn render(run: &Run) -> String {
    let mut blocks = Vec::new();
    let warnings: Vec<String> =
        notes::warnings(run).iter().map(|note| paragraph(&format!("WARNING: {note}"))).collect();
    if !warnings.is_empty() {
        blocks.push(warnings.join("\n"));
    }
    let (table, left_out) = table(run);
    blocks.push(format!("{}\n\n{table}", paragraph(&heading(run, &left_out))));
    let found: Vec<String> = view::evidence(run).iter().map(|(result, found)| told(run, result, found)).collect();
    let remarks: Vec<String> = notes::remarks(run).iter().map(|note| paragraph(note)).collect();
    blocks.extend([found, remarks].iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")));
    blocks.join("\n\n") + "\n"
}

fn heading(run: &Run, left_out: &[&str]) -> String {
    let rounds = run.results.iter().map(|result| result.rounds.len()).max().unwrap_or(0);
    let medians = if rounds > 1 { "; medians of the rounds, ± the farthest" } else { "" };
    let left_out = match left_out {
        [] => String::new(),
        names => format!("; not shown: {}", names.join(", ")),
    };
    format!("{}. Latencies in ms{medians}{left_out}.", conditions::summary(run))
}

/// The table, and what had to be left out for it to fit.
fn table(run: &Run) -> (String, Vec<&'static str>) {
    let mut figures = figures(run);
    let results = ordered(run);
    let mut left_out = Vec::new();
    for name in DISPENSABLE {
        let (columns, rows) = laid_out(&figures, &results);
        if grid::total_width(&columns, &rows) <= WIDTH {
            break;
        }
        figures.retain(|figure| figure.head != name);
        left_out.push(name);
    }
    let (columns, rows) = laid_out(&figures, &results);
    (grid::lines(&columns, &rows).join("\n"), left_out)
}

fn laid_out(figures: &[RunColumn], results: &[&ApproachResult]) -> (Vec<GridColumn>, Vec<GridRow>) {
    let column = |figure: &RunColumn| GridColumn { head: figure.head.clone(), figures: !figure.left };
    let row = |result: &&ApproachResult| {
        let ranked = is_ranked(result);
        let shown = figures.iter().filter(|figure| ranked || !figure.is_speed);
        let cells = shown.map(|figure| printable(&(figure.cell)(result))).collect();
        GridRow { cells, rest: (!ranked).then(|| view::why_unranked(result)) }
    };
    (figures.iter().map(column).collect(), results.iter().map(row).collect())
}

fn figures(run: &Run) -> Vec<RunColumn> {
    fn text(head: &str, cell: fn(&ApproachResult) -> String) -> RunColumn {
        RunColumn { head: head.to_owned(), left: true, is_speed: false, cell: Box::new(cell) }
    }
    let number = |head: &str, cell: fn(&ApproachResult) -> String| RunColumn { left: false, ..text(head, cell) };
    let mut figures =
        vec![text("verdict", |result| result.verdict.to_string()), text("approach", |result| result.approach.clone())];
    if let Some(sweep) = &run.sweep {
        let value = |result: &ApproachResult| result.value.clone().unwrap_or_else(|| NONE.to_owned());
        figures.push(number(&printable(&sweep.parameter), value));
    }
    figures.push(number("accepted", |result| whole(median(result, |round| round.judgement.counts.done))));
    figures.push(number("refused", |result| whole(median(result, |round| round.judgement.counts.refused))));
    if run.results.iter().flat_map(|result| &result.rounds).any(|round| other(round) > 0) {
        figures.push(number("other", |result| whole(median(result, other))));
    }
    figures.push(number("answers", |result| whole(median(result, |round| round.distinct_answers))));
    figures.push(number("attempts", |result| attempts(result).map_or(NONE.to_owned(), |all| hundredths(all.median))));
    figures.push(RunColumn { is_speed: true, ..number("req/s", rate) });
    figures.extend(LATENCIES.map(|(head, of)| RunColumn {
        head: head.to_owned(),
        left: false,
        is_speed: true,
        cell: Box::new(move |result| ms(result.spread(|round| float(of(round))).median)),
    }));
    figures
}

fn rate(result: &ApproachResult) -> String {
    let spread = result.spread(|round| round.rate_per_s);
    whole(spread.median) + &deviation(&spread, result.rounds.len())
}

fn told(run: &Run, result: &ApproachResult, found: &view::FoundAnomaly<'_>) -> String {
    let count = counted(found.anomaly, found.count) + &in_rounds(found, result);
    paragraph(&format!("{}: {count}. {}", name(run, result), found.witness.explanation))
}

#[cfg(test)]
mod tests {
    use super::super::expected::expect_file;
    use super::super::sample;
    use super::*;
    use referee::history::ClaimedSafety;

    #[test]
    fn a_table_looks_like_this() {
        expect_file("src/lab/reports/expected/table.txt", &render(&sample::run()));
        expect_file("src/lab/reports/expected/table-sweep.txt", &render(&sample::swept()));
    }

    #[test]
    fn no_line_is_too_long_however_much_went_wrong() {
        let mut run = sample::run();
        for (index, result) in run.results.iter_mut().enumerate() {
            for round in &mut result.rounds {
                round.judgement.counts.done *= 100;
                round.judgement.counts.unexpected += 1000 * index as u64;
                round.latency.max_us *= 100;
                round.generator.limited = Some("it was late by 12 ms at the 99th percentile".to_owned());
            }
        }
        for line in render(&run).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn what_is_broken_shows_no_speed() {
        let run = sample::run();
        let text = render(&run);
        for result in run.results.iter().filter(|result| result.claim == ClaimedSafety::Broken) {
            let row = text.lines().find(|line| line.split("  ").any(|cell| cell == result.approach)).unwrap();
            assert!(row.ends_with(&view::why_unranked(result)) && !row.contains('%'), "{row}");
        }
    }

    #[test]
    fn names_from_elsewhere_do_not_steer_the_terminal() {
        assert!(!render(&sample::hostile()).contains('\u{1b}'));
    }
}
