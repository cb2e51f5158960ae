//! A comparison as text, as Markdown and on a page.

use std::fmt;

use maud::{Markup, html};

use super::super::view::mark;
use super::{ApproachPair, Comparison, Ratio};
use crate::report::figures::{NONE, hundredths};
use crate::report::markdown::escaped;
use crate::report::table::{Cell, Column, Table, TableRow};
use crate::report::wrap::{filled, paragraph};

/// The columns after the approach; the same as [`ApproachPair::ratios`], of which some pairs have none.
const FIGURES: [&str; 4] = ["req/s", "p50", "p99", "attempts"];

/// How to read a ratio.
const KEY: &str = "Each figure is B divided by A, of the medians; in brackets the smallest and the largest ratio of any two rounds. \
                   = is no difference, because 1 lies between them. ? is a single round: its spread is not known, and up to 10 % is no \
                   difference.";

/// As a table for a terminal.
impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.origins;
        let head = [paragraph(&self.summary), paragraph(&format!("A: {a}; B: {b}"))].join("\n");
        let notes = self.notes().iter().map(|note| paragraph(note)).collect::<Vec<_>>().join("\n");
        let mut blocks = vec![head, notes, self.table().lines().join("\n"), filled(KEY, 0)];
        blocks.retain(|block| !block.is_empty());
        writeln!(formatter, "{}", blocks.join("\n\n"))
    }
}

impl Comparison {
    /// As a table for a pull request.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let [a, b] = &self.origins;
        let notes = self.notes().iter().map(|note| format!("- {}", escaped(note))).collect::<Vec<_>>().join("\n");
        let origins = format!("A: {}; B: {}", escaped(a), escaped(b));
        let table = self.table().markdown().join("\n");
        let mut blocks = vec![format!("**{}**", escaped(&self.summary)), origins, notes, table, KEY.to_owned()];
        blocks.retain(|block| !block.is_empty());
        blocks.join("\n\n") + "\n"
    }

    /// As tables for a page.
    #[must_use]
    pub fn to_html(&self) -> Markup {
        let [a, b] = &self.origins;
        let notes = self.notes();
        html! {
            p { (self.summary) }
            p { "A: " (a) br; "B: " (b) }
            @if !notes.is_empty() {
                h2 { "Different verdicts and approaches" }
                ul { @for note in notes { li { (note) } } }
            }
            h2 { "B compared with A" }
            (self.table().html("B compared with A"))
            p.soft { (KEY) }
        }
    }

    fn table(&self) -> Table {
        let figure = |head| Column { class: Some("figure"), ..Column::text(head) };
        let columns = [Column::text("verdict in B"), Column::name("approach")].into_iter().chain(FIGURES.map(figure));
        Table { columns: columns.collect(), rows: self.pairs.iter().map(row).collect() }
    }

    /// What comes before the figures: other verdicts, and what only one run has.
    fn notes(&self) -> Vec<String> {
        let changes = self.changes.iter().map(|change| {
            let worse = if change.after.is_broken() && !change.before.is_broken() { "WORSE: " } else { "" };
            format!("{worse}{}: {} in A, {} in B", change.name, change.before, change.after)
        });
        let [only_a, only_b] = &self.alone;
        let alone = [("A", only_a), ("B", only_b)].into_iter().filter(|(_, names)| !names.is_empty());
        changes.chain(alone.map(|(run, names)| format!("only in {run}: {}", names.join(", ")))).collect()
    }
}

fn row(pair: &ApproachPair) -> TableRow {
    let verdict = Cell::marked(mark(pair.verdict), &pair.verdict.to_string());
    let ratios = pair.ratios.iter().map(|(_, ratio)| ratio.as_ref().map_or(NONE.to_owned(), told).into());
    TableRow {
        cells: [verdict, pair.name.as_str().into()].into_iter().chain(ratios).collect(),
        rest: pair.ratios.is_empty().then(|| ("not compared: not ranked in both runs".to_owned(), "soft")),
    }
}

/// `×1.24 (1.18…1.31)`, `×1.24 ?`, `= (0.97…1.05)`.
fn told(ratio: &Ratio) -> String {
    let interval = format!("({}…{})", hundredths(ratio.least), hundredths(ratio.most));
    match (ratio.differs(), ratio.single) {
        (true, true) => format!("×{} ?", hundredths(ratio.ratio())),
        (true, false) => format!("×{} {interval}", hundredths(ratio.ratio())),
        (false, true) => format!("= {} ?", hundredths(ratio.ratio())),
        (false, false) => format!("= {interval}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::super::compare;
    use crate::lab::results::RunVerdict;
    use crate::report::expected::expect_file;
    use crate::report::sample::expect_narrow;

    #[test]
    fn a_comparison_looks_like_this() {
        let mut b = sample::run();
        b.started = "2026-11-22T12:00:00Z".to_owned();
        b.environment.commit = Some("fff9e8d".to_owned());
        for round in &mut b.results[2].rounds {
            round.rate_per_s *= 1.3;
            round.latency.p50_us = round.latency.p50_us * 3 / 4;
        }
        b.results[3].rounds.truncate(1);
        b.results[3].rounds[0].rate_per_s *= 0.8;
        b.results[5].verdict = RunVerdict::ClaimFailed;
        b.results[7].rounds.iter_mut().for_each(|round| round.attempts = None);
        b.results.remove(12);
        let comparison = compare(&sample::run(), &b).unwrap();
        expect_file("src/lab/reports/expected/compare.txt", &comparison.to_string());
        expect_file("src/lab/reports/expected/compare.md", &comparison.to_markdown());
        expect_narrow(&comparison.to_string());
    }

    #[test]
    fn a_page_says_what_the_text_says_and_escapes_it() {
        let page = compare(&sample::run(), &sample::run()).unwrap().to_html().into_string();
        for said in ["✗ BROKEN", "not compared", "group-commit", "= (", "withdrawal"] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let hostile = compare(&sample::hostile(), &sample::hostile()).unwrap().to_html().into_string();
        assert!(!hostile.contains("<script"), "{hostile}");
    }
}
