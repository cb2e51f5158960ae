//! The table of a run, the verdict first: the same for a terminal, for Markdown and for a page.

use maud::Markup;

use super::conditions;
use super::figures::{LATENCIES, attempts, deviation, median, other};
use super::notes;
use super::view::{self, claim, evidence_in_words, is_ranked, mark, ordered};
use crate::lab::results::{ApproachResult, Round, Run, Sweep};
use crate::report::figures::{NONE, float, hundredths, ms, whole};
use crate::report::markdown::escaped;
use crate::report::table::{Cell, Column, Table, TableRow};
use crate::report::wrap::{WIDTH, paragraph};

/// What is left out first where the lines would be too long: what other columns nearly say.
const DISPENSABLE: [&str; 4] = ["distinct answers", "p90", "attempts", "p99.9"];

/// Where the table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    Terminal,
    Markdown,
    Page,
}

/// The report for a terminal.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut table = table(run.sweep.as_ref(), &ordered(run), Medium::Terminal);
    let left_out = table.fit(&DISPENSABLE, WIDTH);
    let warnings = notes::warnings(run).into_iter().map(|note| format!("WARNING: {note}")).collect();
    let found = view::evidence(run).into_iter().map(|(result, found)| evidence_in_words(run, result, &found));
    let found = found.map(|(name, text)| format!("{name}: {text}")).collect();
    let sentences =
        |sentences: Vec<String>| sentences.iter().map(|text| paragraph(text)).collect::<Vec<_>>().join("\n");
    let table = format!("{}\n\n{}", paragraph(&heading(run, &left_out)), table.lines().join("\n"));
    let mut blocks = vec![sentences(warnings), table, sentences(found), sentences(notes::remarks(run))];
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

/// The report for a pull request or a README.
#[must_use]
pub fn markdown(run: &Run) -> String {
    let warnings = notes::warnings(run).into_iter().map(|note| format!("> {}", escaped(&note)));
    let warnings: Vec<String> = ["> [!WARNING]".to_owned()].into_iter().chain(warnings).collect();
    let found = view::evidence(run).into_iter().map(|(result, found)| evidence_in_words(run, result, &found));
    let found = found.map(|(name, text)| format!("- **{}**: {}", escaped(&name), escaped(&text)));
    let items: Vec<String> =
        found.chain(notes::remarks(run).iter().map(|note| format!("- {}", escaped(note)))).collect();
    let blocks = [
        format!("**{}**", escaped(&conditions::summary(run))),
        if warnings.len() > 1 { warnings.join("\n") } else { String::new() },
        table(run.sweep.as_ref(), &ordered(run), Medium::Markdown).markdown().join("\n"),
        items.join("\n"),
    ];
    blocks.into_iter().filter(|block| !block.is_empty()).collect::<Vec<_>>().join("\n\n") + "\n"
}

/// The table of these results, in this order, for a page.
#[must_use]
pub fn html(sweep: Option<&Sweep>, results: &[&ApproachResult]) -> Markup {
    table(sweep, results, Medium::Page).html("Verdicts")
}

fn heading(run: &Run, left_out: &[&str]) -> String {
    let rounds = run.results.iter().map(|result| result.rounds.len()).max().unwrap_or(0);
    let medians = if rounds > 1 { "; medians of the rounds, ± the farthest round" } else { "" };
    let left_out = match left_out {
        [] => String::new(),
        names => format!("; not shown: {}", names.join(", ")),
    };
    format!("{}. Latencies in ms{medians}{left_out}.", conditions::summary(run))
}

fn table(sweep: Option<&Sweep>, results: &[&ApproachResult], medium: Medium) -> Table {
    let page = medium == Medium::Page;
    let others =
        medium != Medium::Terminal || results.iter().flat_map(|result| &result.rounds).any(|round| other(round) > 0);
    let mut columns = vec![Column::text("verdict"), Column::name("approach")];
    columns.extend(page.then(|| Column::text("claim")));
    columns.extend(sweep.map(|sweep| Column::figure(&sweep.parameter)));
    columns.extend(["accepted", "refused"].map(Column::figure));
    columns.extend(others.then(|| Column::figure("other")));
    columns.extend(["distinct answers", "attempts"].map(Column::figure));
    columns.push(Column { class: Some(if page { "figure best" } else { "figure" }), ..Column::figure("req/s") });
    columns.extend(page.then(|| Column { class: Some("figure soft"), ..Column::figure("range of req/s") }));
    columns.extend(LATENCIES.map(|(head, _)| Column { unit: Some("ms"), ..Column::figure(head) }));
    let row = |result: &&ApproachResult| {
        let count = |count: fn(&Round) -> u64| Cell::from(whole(median(result, count)));
        let mut cells =
            vec![Cell::marked(mark(result.verdict), &result.verdict.to_string()), result.approach.as_str().into()];
        cells.extend(page.then(|| claim(result.claim).into()));
        cells.extend(sweep.map(|_| result.value.as_deref().unwrap_or(NONE).into()));
        cells.extend([count(|round| round.judgement.counts.done), count(|round| round.judgement.counts.refused)]);
        cells.extend(others.then(|| count(other)));
        cells.push(count(|round| round.distinct_answers));
        cells.push(attempts(result).map_or(NONE.to_owned(), |attempts| hundredths(attempts.median)).into());
        let class = if result.verdict.is_broken() { "found bad" } else { "found open" };
        let rest = (!is_ranked(result)).then(|| (view::why_unranked(result), class));
        cells.extend(if rest.is_none() { speed(result, page) } else { Vec::new() });
        TableRow { cells, rest }
    };
    Table { columns, rows: results.iter().map(row).collect() }
}

/// The figures of speed: what is not ranked has a text in their place.
fn speed(result: &ApproachResult, page: bool) -> Vec<Cell> {
    let (rate, rounds) = (result.spread(|round| round.rate_per_s), result.rounds.len());
    let rates = match page {
        true if rounds > 1 => vec![whole(rate.median), format!("{:.0}…{:.0}", rate.min, rate.max)],
        true => vec![whole(rate.median), "one round".to_owned()],
        false => vec![whole(rate.median) + &deviation(&rate, rounds)],
    };
    let latencies = LATENCIES.map(|(_, latency)| ms(result.spread(|round| float(latency(round))).median));
    rates.into_iter().chain(latencies).map(Cell::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::expected::expect_file;
    use crate::report::sample::expect_narrow;
    use referee::history::ClaimedSafety;

    #[test]
    fn reports_look_like_this() {
        expect_file("src/lab/reports/expected/table.txt", &text(&sample::run()));
        expect_file("src/lab/reports/expected/table-sweep.txt", &text(&sample::swept()));
        expect_file("src/lab/reports/expected/run.md", &markdown(&sample::run()));
        expect_file("src/lab/reports/expected/sweep.md", &markdown(&sample::swept()));
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
        expect_narrow(&text(&run));
    }

    #[test]
    fn what_is_broken_shows_no_speed() {
        let run = sample::run();
        let text = text(&run);
        for result in run.results.iter().filter(|result| result.claim == ClaimedSafety::Broken) {
            let row = text.lines().find(|line| line.split("  ").any(|cell| cell == result.approach)).unwrap();
            assert!(row.ends_with(&view::why_unranked(result)) && !row.contains('%'), "{row}");
        }
    }

    #[test]
    fn names_from_elsewhere_are_no_markup() {
        let report = markdown(&sample::hostile());
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let counts: Vec<usize> = report.lines().filter(|line| line.starts_with('|')).map(cells).collect();
        assert!(counts.len() == 15 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    }
}
