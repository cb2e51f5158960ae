//! The table of a run, the verdict first: the same for a terminal, for Markdown and for a page.

use maud::Markup;

use super::conditions;
use super::figures::{LATENCIES, attempts, deviation, median, other};
use super::notes;
use super::view::{self, claim, evidence_in_words, is_ranked, mark, ordered};
use crate::lab::results::{ApproachResult, Run, Sweep};
use crate::report::figures::{NONE, float, hundredths, ms, whole};
use crate::report::markdown::escaped;
use crate::report::table::{Cell, Column, Row, Table};
use crate::report::wrap::paragraph;

/// What is left out first where the lines would be too long: what other columns nearly say.
const DISPENSABLE: [&str; 4] = ["distinct answers", "p90", "attempts", "p99.9"];

/// Where the table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    Terminal,
    Markdown,
    Page,
}

/// A column of the table. The last ones are of speed: a result that is not ranked has a text in their place.
struct RunColumn {
    column: Column,
    is_speed: bool,
    cell: Box<dyn Fn(&ApproachResult) -> Cell>,
}

/// The report for a terminal.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut table = table(run.sweep.as_ref(), &ordered(run), Medium::Terminal);
    let left_out = table.fit(&DISPENSABLE);
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
    let columns = columns(sweep, results, medium);
    let row = |result: &&ApproachResult| {
        let ranked = is_ranked(result);
        let shown = columns.iter().filter(|column| ranked || !column.is_speed);
        let class = if result.verdict.is_broken() { "found bad" } else { "found open" };
        let rest = (!ranked).then(|| (view::why_unranked(result), class));
        Row { cells: shown.map(|column| (column.cell)(result)).collect(), rest }
    };
    let rows = results.iter().map(row).collect();
    Table { rows, columns: columns.into_iter().map(|column| column.column).collect() }
}

fn columns(sweep: Option<&Sweep>, results: &[&ApproachResult], medium: Medium) -> Vec<RunColumn> {
    fn of(column: Column, cell: fn(&ApproachResult) -> Cell) -> RunColumn {
        RunColumn { column, is_speed: false, cell: Box::new(cell) }
    }
    fn count(head: &str, cell: fn(&ApproachResult) -> f64) -> RunColumn {
        let cell = Box::new(move |result: &ApproachResult| whole(cell(result)).into());
        RunColumn { column: Column::figure(head), is_speed: false, cell }
    }
    let mut columns = vec![
        of(Column::text("verdict"), |result| Cell::marked(mark(result.verdict), &result.verdict.to_string())),
        of(Column::name("approach"), |result| result.approach.as_str().into()),
    ];
    if medium == Medium::Page {
        columns.push(of(Column::text("claim"), |result| claim(result.claim).into()));
    }
    if let Some(sweep) = sweep {
        columns.push(of(Column::figure(&sweep.parameter), |result| result.value.as_deref().unwrap_or(NONE).into()));
    }
    columns.push(count("accepted", |result| median(result, |round| round.judgement.counts.done)));
    columns.push(count("refused", |result| median(result, |round| round.judgement.counts.refused)));
    let others = results.iter().flat_map(|result| &result.rounds).any(|round| other(round) > 0);
    if others || medium != Medium::Terminal {
        columns.push(count("other", |result| median(result, other)));
    }
    columns.push(count("distinct answers", |result| median(result, |round| round.distinct_answers)));
    columns.push(of(Column::figure("attempts"), |result| {
        attempts(result).map_or(NONE.to_owned(), |all| hundredths(all.median)).into()
    }));
    columns.extend(speed(medium));
    columns
}

fn speed(medium: Medium) -> Vec<RunColumn> {
    let of = |column, cell| RunColumn { column, is_speed: true, cell };
    let rate = |result: &ApproachResult| result.spread(|round| round.rate_per_s);
    let mut columns = if medium == Medium::Page {
        vec![
            of(
                Column { class: Some("figure best"), ..Column::figure("req/s") },
                Box::new(move |result: &ApproachResult| whole(rate(result).median).into()) as Box<_>,
            ),
            of(
                Column { class: Some("figure soft"), ..Column::figure("range of req/s") },
                Box::new(move |result| match result.rounds.len() {
                    0 | 1 => "one round".into(),
                    _ => format!("{:.0}…{:.0}", rate(result).min, rate(result).max).into(),
                }),
            ),
        ]
    } else {
        let cell = move |result: &ApproachResult| {
            (whole(rate(result).median) + &deviation(&rate(result), result.rounds.len())).into()
        };
        vec![of(Column::figure("req/s"), Box::new(cell) as Box<_>)]
    };
    columns.extend(LATENCIES.map(|(head, latency)| {
        let cell = move |result: &ApproachResult| ms(result.spread(|round| float(latency(round))).median).into();
        of(Column { unit: Some("ms"), ..Column::figure(head) }, Box::new(cell))
    }));
    columns
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::lab::history::ClaimedSafety;
    use crate::report::expected::expect_file;
    use crate::report::sample::expect_narrow;

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
