//! One line a round, for a spreadsheet or a program. The columns stay what and where they are; new ones come at the end.
//! Units are in their names. A figure that was not reported is empty.

use csv::Writer;
use strum::IntoEnumIterator as _;

use crate::lab::judgement::Anomaly;
use crate::lab::results::{ApproachResult, Round, Run, Waits};
use crate::report::RenderError;

/// The columns before those of the anomalies, which are `found_` and their name.
const COLUMNS: [&str; 33] = [
    "scenario",
    "started",
    "approach",
    "claim",
    "parameter",
    "value",
    "round",
    "verdict",
    "round_verdict",
    "elapsed_s",
    "rate_per_s",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "max_us",
    "latency_from_intended",
    "attempts_mean",
    "retried",
    "done",
    "refused",
    "not_done",
    "unknown",
    "unexpected",
    "distinct_answers",
    "traced",
    "pool_us",
    "locks_us",
    "statements_us",
    "commit_us",
    "generator_cpu_share",
    "generator_late_p99_us",
    "generator_limited",
];

/// The table.
///
/// # Errors
/// [`RenderError::Csv`].
pub fn render(run: &Run) -> Result<String, RenderError> {
    let mut out = Writer::from_writer(Vec::new());
    let anomalies = Anomaly::iter().map(|anomaly| format!("found_{}", anomaly.to_string().replace('-', "_")));
    out.write_record(COLUMNS.map(str::to_owned).into_iter().chain(anomalies))?;
    for result in &run.results {
        for round in &result.rounds {
            let found = Anomaly::iter().map(|anomaly| round.judgement.count(anomaly).to_string());
            out.write_record(cells(run, result, round).into_iter().chain(found))?;
        }
    }
    let bytes = out.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cells(run: &Run, result: &ApproachResult, round: &Round) -> [String; COLUMNS.len()] {
    let (counts, latency) = (&round.judgement.counts, &round.latency);
    let wait = |of: fn(&Waits) -> f64| round.waits.as_ref().map(|waits| decimals(of(waits)));
    [
        text(&run.scenario),
        text(&run.started),
        text(&result.approach),
        word(&result.claim),
        run.sweep.as_ref().map_or(String::new(), |sweep| text(&sweep.parameter)),
        result.value.as_deref().map_or(String::new(), text),
        round.round.to_string(),
        word(&result.verdict),
        word(&round.verdict),
        decimals(round.elapsed_s),
        decimals(round.rate_per_s),
        latency.p50_us.to_string(),
        latency.p90_us.to_string(),
        latency.p99_us.to_string(),
        latency.p999_us.to_string(),
        latency.max_us.to_string(),
        latency.from_intended.to_string(),
        round.attempts.map_or(String::new(), decimals),
        round.retried.to_string(),
        counts.done.to_string(),
        counts.refused.to_string(),
        counts.not_done.to_string(),
        counts.unknown.to_string(),
        counts.unexpected.to_string(),
        round.distinct_answers.to_string(),
        round.waits.map_or(String::new(), |waits| waits.traced.to_string()),
        wait(|waits| waits.pool_us).unwrap_or_default(),
        wait(|waits| waits.locks_us).unwrap_or_default(),
        wait(|waits| waits.statements_us).unwrap_or_default(),
        wait(|waits| waits.commit_us).unwrap_or_default(),
        decimals(round.generator.cpu_share),
        round.generator.late_p99_us.to_string(),
        round.generator.limited.as_deref().map_or(String::new(), text),
    ]
}

fn decimals(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.3}") } else { String::new() }
}

/// The word that `run.json` has for it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A spreadsheet takes a text that begins like a formula for one; an approach of a foreign target may be called anything.
fn text(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::expected::expect_file;

    #[test]
    fn csv_looks_like_this() {
        let mut run = sample::run();
        run.results.truncate(3);
        expect_file("src/lab/reports/expected/run.csv", &render(&run).unwrap());
    }

    #[test]
    fn every_line_has_every_column_whatever_the_names() {
        let text = render(&sample::hostile()).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let lines = reader.records().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(lines.len(), 39);
        assert_eq!(lines[0].len(), COLUMNS.len() + Anomaly::iter().count());
    }

    #[test]
    fn nothing_is_a_formula() {
        assert_eq!(text("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(text("naive"), "naive");
    }
}
