//! One line for each round, for a spreadsheet or a program. A column keeps its name, meaning and position; a new column is added at the
//! end. The unit of a figure is in the column's name. A figure that was not reported is empty.

use csv::Writer;
use strum::IntoEnumIterator as _;

use crate::lab::results::{ApproachResult, Round, Run, Waits};
use crate::report::RenderError;
use referee::judgement::Anomaly;

/// A column: its head, and its cell for a round of a result.
type CsvColumn = (&'static str, fn(&Run, &ApproachResult, &Round) -> String);

/// The columns before those of the anomalies, which are `found_` and their name.
const COLUMNS: [CsvColumn; 33] = [
    ("scenario", |run, _, _| text(&run.scenario)),
    ("started", |run, _, _| text(&run.started)),
    ("approach", |_, result, _| text(&result.approach)),
    ("claim", |_, result, _| word(&result.claim)),
    ("parameter", |run, _, _| run.sweep.as_ref().map_or(String::new(), |sweep| text(&sweep.parameter))),
    ("value", |_, result, _| result.value.as_deref().map_or(String::new(), text)),
    ("round", |_, _, round| round.round.to_string()),
    ("verdict", |_, result, _| word(&result.verdict)),
    ("round_verdict", |_, _, round| word(&round.verdict)),
    ("elapsed_s", |_, _, round| decimals(round.elapsed_s)),
    ("rate_per_s", |_, _, round| decimals(round.rate_per_s)),
    ("p50_us", |_, _, round| round.latency.p50_us.to_string()),
    ("p90_us", |_, _, round| round.latency.p90_us.to_string()),
    ("p99_us", |_, _, round| round.latency.p99_us.to_string()),
    ("p999_us", |_, _, round| round.latency.p999_us.to_string()),
    ("max_us", |_, _, round| round.latency.max_us.to_string()),
    ("latency_from_intended", |_, _, round| round.latency.from_intended.to_string()),
    ("attempts_mean", |_, _, round| round.attempts.map_or(String::new(), decimals)),
    ("retried", |_, _, round| round.retried.to_string()),
    ("done", |_, _, round| round.judgement.counts.done.to_string()),
    ("refused", |_, _, round| round.judgement.counts.refused.to_string()),
    ("not_done", |_, _, round| round.judgement.counts.not_done.to_string()),
    ("unknown", |_, _, round| round.judgement.counts.unknown.to_string()),
    ("unexpected", |_, _, round| round.judgement.counts.unexpected.to_string()),
    ("distinct_answers", |_, _, round| round.distinct_answers.to_string()),
    ("traced", |_, _, round| round.waits.map_or(String::new(), |waits| waits.traced.to_string())),
    ("pool_us", |_, _, round| wait(round, |waits| waits.pool_us)),
    ("locks_us", |_, _, round| wait(round, |waits| waits.locks_us)),
    ("statements_us", |_, _, round| wait(round, |waits| waits.statements_us)),
    ("commit_us", |_, _, round| wait(round, |waits| waits.commit_us)),
    ("generator_cpu_share", |_, _, round| decimals(round.generator.cpu_share)),
    ("generator_late_p99_us", |_, _, round| round.generator.late_p99_us.to_string()),
    ("generator_limited", |_, _, round| round.generator.limited.as_deref().map_or(String::new(), text)),
];

/// The columns behind those of the anomalies.
const LAST_COLUMNS: [CsvColumn; 1] = [("row_us", |_, _, round| wait(round, |waits| waits.row_us))];

/// The table.
///
/// # Errors
/// [`RenderError::Csv`].
pub fn render(run: &Run) -> Result<String, RenderError> {
    let mut out = Writer::from_writer(Vec::new());
    let anomalies = Anomaly::iter().map(|anomaly| format!("found_{}", anomaly.to_string().replace('-', "_")));
    let heads = COLUMNS.map(|(head, _)| head.to_owned()).into_iter().chain(anomalies);
    out.write_record(heads.chain(LAST_COLUMNS.map(|(head, _)| head.to_owned())))?;
    for result in &run.results {
        for round in &result.rounds {
            let found = Anomaly::iter().map(|anomaly| round.judgement.count(anomaly).to_string());
            let cells = COLUMNS.map(|(_, cell)| cell(run, result, round)).into_iter().chain(found);
            out.write_record(cells.chain(LAST_COLUMNS.map(|(_, cell)| cell(run, result, round))))?;
        }
    }
    let bytes = out.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn wait(round: &Round, of: fn(&Waits) -> f64) -> String {
    round.waits.as_ref().map_or(String::new(), |waits| decimals(of(waits)))
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
        assert_eq!(lines[0].len(), COLUMNS.len() + Anomaly::iter().count() + LAST_COLUMNS.len());
    }

    #[test]
    fn nothing_is_a_formula() {
        assert_eq!(text("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(text("naive"), "naive");
    }
}
