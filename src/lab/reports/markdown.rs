//! A table as GitHub shows it, for a pull request or a README, and what was found below it.

use super::conditions;
use super::figures::{LATENCIES, NONE, attempts, deviation, float, hundredths, median, ms, other, printable, whole};
use super::notes;
use super::view::{self, counted, in_rounds, is_ranked, name, ordered};
use crate::lab::results::{ApproachResult, Run, RunVerdict};

/// The report.
#[must_use]
pub fn render(run: &Run) -> String {
    let mut lines = vec![format!("**{}**", text(&conditions::summary(run))), String::new()];
    let warnings = notes::warnings(run);
    if !warnings.is_empty() {
        lines.push("> [!WARNING]".to_owned());
        lines.extend(warnings.iter().map(|note| format!("> {}", text(note))));
        lines.push(String::new());
    }
    lines.extend(table(run));
    let mut items: Vec<String> = view::evidence(run).iter().map(|(result, found)| told(run, result, found)).collect();
    items.extend(notes::remarks(run).iter().map(|note| text(note)));
    if !items.is_empty() {
        lines.push(String::new());
        lines.extend(items.iter().map(|item| format!("- {item}")));
    }
    lines.join("\n") + "\n"
}

fn table(run: &Run) -> Vec<String> {
    let mut heads = vec!["verdict".to_owned(), "approach".to_owned()];
    let mut alignments = vec!["---", "---"];
    heads.extend(run.sweep.iter().map(|sweep| text(&sweep.parameter)));
    heads.extend(["accepted", "refused", "other", "answers", "attempts", "req/s"].map(str::to_owned));
    heads.extend(LATENCIES.map(|(head, _)| format!("{head} ms")));
    alignments.resize(heads.len(), "---:");
    let rows = ordered(run).into_iter().map(|result| line(&cells(run, result)));
    let alignments = alignments.into_iter().map(str::to_owned).collect::<Vec<_>>();
    [line(&heads), line(&alignments)].into_iter().chain(rows).collect()
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn cells(run: &Run, result: &ApproachResult) -> Vec<String> {
    let verdict = match result.verdict {
        RunVerdict::Correct => result.verdict.to_string(),
        verdict => format!("**{verdict}**"),
    };
    let mut cells = vec![verdict, text(&result.approach)];
    cells.extend(run.sweep.iter().map(|_| result.value.as_deref().map_or(NONE.to_owned(), text)));
    cells.extend([
        whole(median(result, |round| round.judgement.counts.done)),
        whole(median(result, |round| round.judgement.counts.refused)),
        whole(median(result, other)),
        whole(median(result, |round| round.distinct_answers)),
        attempts(result).map_or(NONE.to_owned(), |attempts| hundredths(attempts.median)),
    ]);
    if !is_ranked(result) {
        cells.extend(std::iter::repeat_n(NONE.to_owned(), 1 + LATENCIES.len()));
        return cells;
    }
    let rate = result.spread(|round| round.rate_per_s);
    cells.push(whole(rate.median) + &deviation(&rate, result.rounds.len()));
    cells.extend(LATENCIES.map(|(_, of)| ms(result.spread(|round| float(of(round))).median)));
    cells
}

fn told(run: &Run, result: &ApproachResult, found: &view::FoundAnomaly<'_>) -> String {
    let count = counted(found.anomaly, found.count) + &in_rounds(found, result);
    format!("**{}**: {count}. {}", text(&name(run, result)), text(&found.witness.explanation))
}

/// Text from elsewhere is text, and no markup.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '@' | '!' => out.extend(['\\', letter]),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::expected::expect_file;
    use super::super::sample;
    use super::*;

    #[test]
    fn markdown_looks_like_this() {
        expect_file("src/lab/reports/expected/run.md", &render(&sample::run()));
        expect_file("src/lab/reports/expected/sweep.md", &render(&sample::swept()));
    }

    #[test]
    fn names_from_elsewhere_are_no_markup() {
        let report = render(&sample::hostile());
        assert!(!report.contains("<script") && !report.contains("\n# head"), "{report}");
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let counts: Vec<usize> = report.lines().filter(|line| line.starts_with('|')).map(cells).collect();
        assert!(counts.len() == 15 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    }
}
