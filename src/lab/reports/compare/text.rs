//! A comparison as text, and as Markdown.

use std::fmt;

use super::super::figures::{NONE, hundredths, printable};
use super::super::grid::{self, GridColumn, GridRow, WIDTH, paragraph, wrapped};
use super::super::markdown;
use super::{ApproachPair, Comparison, Ratio};

/// The columns after the approach; the same as [`ApproachPair::ratios`], of which some pairs have none.
pub(super) const FIGURES: [&str; 4] = ["req/s", "p50", "p99", "attempts"];

/// How to read a ratio.
pub(super) const KEY: &str = "B/A of the medians, and in brackets the least and the most that any two rounds give; = no difference, \
                   because that contains 1; ? one round: no spread known, so up to 10 % is no difference.";

/// As a table for a terminal.
impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.origins;
        writeln!(formatter, "{}", paragraph(&self.summary))?;
        writeln!(formatter, "{}", paragraph(&format!("A: {a}; B: {b}")))?;
        let notes = self.notes();
        if !notes.is_empty() {
            writeln!(formatter)?;
        }
        for note in notes {
            writeln!(formatter, "{}", paragraph(&note))?;
        }
        let column = |head: &str| GridColumn { head: head.to_owned(), figures: false };
        let columns: Vec<GridColumn> = ["verdict in B", "approach"].into_iter().chain(FIGURES).map(column).collect();
        let row = |pair: &ApproachPair| GridRow {
            cells: [pair.verdict.to_string(), printable(&pair.name)].into_iter().chain(cells(pair)).collect(),
            rest: pair.ratios.is_empty().then(|| "not compared".to_owned()),
        };
        let rows: Vec<GridRow> = self.pairs.iter().map(row).collect();
        writeln!(formatter)?;
        for line in grid::lines(&columns, &rows) {
            writeln!(formatter, "{line}")?;
        }
        writeln!(formatter, "\n{}", wrapped(KEY, WIDTH, 0))
    }
}

impl Comparison {
    /// As a table for a pull request.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let text = markdown::text;
        let [a, b] = &self.origins;
        let mut lines = vec![format!("**{}**", text(&self.summary)), String::new()];
        lines.extend([format!("A: {}; B: {}", text(a), text(b)), String::new()]);
        let notes = self.notes();
        if !notes.is_empty() {
            lines.extend(notes.iter().map(|note| format!("- {}", text(note))));
            lines.push(String::new());
        }
        lines.push(format!("| verdict in B | approach | {} |", FIGURES.join(" | ")));
        lines.push(format!("| --- | --- |{}", " --- |".repeat(FIGURES.len())));
        for pair in &self.pairs {
            let mut cells: Vec<String> = cells(pair).collect();
            cells.resize(FIGURES.len(), NONE.to_owned());
            lines.push(format!("| {} | {} | {} |", pair.verdict, text(&pair.name), cells.join(" | ")));
        }
        lines.extend([String::new(), KEY.to_owned()]);
        lines.join("\n") + "\n"
    }

    /// What comes before the figures: other verdicts, and what only one run has.
    pub(super) fn notes(&self) -> Vec<String> {
        let changes = self.changes.iter().map(|change| {
            let worse = if change.after.is_broken() && !change.before.is_broken() { "WORSE: " } else { "" };
            format!("{worse}{}: {} in A, {} in B", change.name, change.before, change.after)
        });
        let [only_a, only_b] = &self.alone;
        let alone = [("A", only_a), ("B", only_b)].into_iter().filter(|(_, names)| !names.is_empty());
        changes.chain(alone.map(|(run, names)| format!("only in {run}: {}", names.join(", ")))).collect()
    }
}

fn cells(pair: &ApproachPair) -> impl Iterator<Item = String> {
    pair.ratios.iter().map(|(_, ratio)| ratio.as_ref().map_or(NONE.to_owned(), cell))
}

/// `×1.24 (1.18…1.31)`, `×1.24 ?`, `= (0.97…1.05)`.
pub(super) fn cell(ratio: &Ratio) -> String {
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
    use super::super::super::expected::expect_file;
    use super::super::super::sample;
    use super::super::compare;
    use super::*;
    use crate::lab::results::RunVerdict;

    fn comparison() -> Comparison {
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
        compare(&sample::run(), &b).unwrap()
    }

    #[test]
    fn a_comparison_looks_like_this() {
        expect_file("src/lab/reports/expected/compare.txt", &comparison().to_string());
        expect_file("src/lab/reports/expected/compare.md", &comparison().to_markdown());
    }

    #[test]
    fn lines_fit_on_a_terminal() {
        assert!(comparison().to_string().lines().all(|line| line.chars().count() <= WIDTH));
    }
}
