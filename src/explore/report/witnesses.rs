//! The replays of an earlier report's witnesses: as a table with the timelines of those that are still broken, as JSON, and as JUnit.

use super::timeline::{timeline, timeline_on};
use super::{ExploreFormat, view};
use crate::explore::witness_check::{WitnessReplay, WitnessReport, WitnessVerdict};
use crate::report::RenderError;
use crate::report::figures::counted;
use crate::report::junit::{JunitCase, JunitEnding, JunitSuite, render as render_suites};
use crate::report::mark::Mark;
use crate::report::printable::printable;
use crate::report::table::{Cell, Column, Table, TableRow};
use crate::report::terminal::Terminal;
use crate::report::wrap::paragraph_within;

/// The report in this format, ending in a line break. In a table, at most `timelines_max` timelines follow.
///
/// # Errors
/// [`RenderError`], where a library that writes a format refuses.
pub fn render(
    format: ExploreFormat,
    report: &WitnessReport,
    terminal: Terminal,
    timelines_max: usize,
) -> Result<String, RenderError> {
    match format {
        ExploreFormat::Table => Ok(text(report, terminal, timelines_max)),
        ExploreFormat::Json => crate::report::json(report),
        ExploreFormat::Junit => junit(report),
    }
}

/// The JSON schema: where it is in the repository, and its text.
#[must_use]
pub fn schema() -> (&'static str, String) {
    ("docs/replay.schema.json", crate::report::schema::text::<WitnessReport>())
}

fn text(report: &WitnessReport, terminal: Terminal, timelines_max: usize) -> String {
    let row = |replay: &WitnessReplay| {
        let reported = replay.reported.join(", ");
        let cells = vec![
            Cell::marked(mark(replay.verdict), &replay.verdict.to_string()),
            view::title(&replay.subject).into(),
            reported.into(),
        ];
        TableRow { cells, rest: None }
    };
    let columns = vec![Column::text("verdict"), Column::name("exploration"), Column::text("in the report")];
    let table = Table { columns, rows: report.witnesses.iter().map(row).collect() };
    let count = counted(report.witnesses.len() as u64, "witness").replace("witnesss", "witnesses");
    let heading = format!("{count} of {}, replayed on PostgreSQL {}.", report.report, report.versions.postgresql);
    let note = |replay: &WitnessReplay| {
        let text = format!("{}: {} ({})", view::title(&replay.subject), replay.why, replay.schedule);
        paragraph_within(&text, terminal.width)
    };
    let notes: Vec<String> = report.witnesses.iter().map(note).collect();
    let mut blocks =
        vec![paragraph_within(&heading, terminal.width), table.lines_on(terminal).join("\n"), notes.join("\n")];
    let broken = report.witnesses.iter().filter(|replay| replay.verdict.is_broken());
    for (replay, transcript) in
        broken.filter_map(|replay| Some((replay, replay.transcript.as_ref()?))).take(timelines_max)
    {
        let wrong = Some((replay.anomalies.as_slice(), replay.explanation.as_str()));
        let title = printable(&view::title(&replay.subject));
        blocks.push(format!("{title}\n\n{}", timeline_on(transcript, wrong, terminal).trim_end()));
    }
    blocks.join("\n\n") + "\n"
}

fn mark(verdict: WitnessVerdict) -> Mark {
    match verdict {
        WitnessVerdict::StillBroken | WitnessVerdict::BrokenOtherwise => Mark::BAD,
        WitnessVerdict::Mended => Mark::GOOD,
        WitnessVerdict::OtherStatements | WitnessVerdict::NotFollowed | WitnessVerdict::NotJudged => Mark::UNDECIDED,
    }
}

fn junit(report: &WitnessReport) -> Result<String, RenderError> {
    let case = |replay: &WitnessReplay| {
        let subject = &replay.subject;
        let wrong = Some((replay.anomalies.as_slice(), replay.explanation.as_str()));
        let message = format!("{}: {}", replay.verdict, replay.why);
        let ending = match replay.verdict {
            WitnessVerdict::StillBroken | WitnessVerdict::BrokenOtherwise => JunitEnding::Failed {
                message,
                evidence: replay.transcript.as_ref().map(|transcript| timeline(transcript, wrong)),
            },
            WitnessVerdict::Mended => JunitEnding::Passed(Some(message)),
            _ => JunitEnding::Skipped(message),
        };
        let scenario = subject.file.clone().unwrap_or_else(|| subject.scenario.clone());
        JunitCase { name: format!("{}, {}", view::name(subject), replay.schedule), scenario, elapsed_s: 0.0, ending }
    };
    let cases = report.witnesses.iter().map(case).collect();
    let suite = JunitSuite { name: report.report.clone(), cases };
    render_suites("concurrency-lab explore --replay-from", 0.0, [suite])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::findings::ExploreVersions;
    use crate::explore::report::sample;
    use crate::explore::witness_check::FORMAT;
    use crate::report::expected::expect_file;
    use crate::report::sample::{expect_harmless, expect_narrow};
    use crate::report::schema::check;

    /// A replay with each verdict.
    fn report() -> WitnessReport {
        let exploration = sample::report().explorations.swap_remove(0);
        let (subject, witness) = (exploration.subject, exploration.witness.unwrap());
        let replay = |verdict: WitnessVerdict, why: &str| {
            let anomalies = if verdict.is_broken() { witness.anomalies.clone() } else { Vec::new() };
            let transcript = (verdict != WitnessVerdict::NotFollowed).then(|| witness.transcript.clone());
            let explanation = if verdict.is_broken() { witness.explanation.clone() } else { String::new() };
            WitnessReplay {
                subject: subject.clone(),
                schedule: witness.transcript.schedule.clone(),
                reported: witness.anomalies.clone(),
                verdict,
                why: why.to_owned(),
                anomalies,
                explanation,
                transcript,
            }
        };
        WitnessReport {
            format: FORMAT,
            report: "explored.json".to_owned(),
            versions: ExploreVersions { lab: "0.1.0".to_owned(), postgresql: "15.18".to_owned() },
            witnesses: vec![
                replay(WitnessVerdict::StillBroken, "the end of this interleaving is wrong as before"),
                replay(WitnessVerdict::BrokenOtherwise, "the end of this interleaving is wrong: overdraft"),
                replay(WitnessVerdict::Mended, "nothing is wrong at the end of this interleaving"),
                replay(WitnessVerdict::OtherStatements, "step 1 of B (read) sends other SQL or other values"),
                replay(WitnessVerdict::NotFollowed, "step 3: B cannot go; A can"),
                replay(WitnessVerdict::NotJudged, "the file no longer checks \"sum\""),
            ],
        }
    }

    #[test]
    fn replays_look_like_this_in_each_format() {
        let report = report();
        let table = render(ExploreFormat::Table, &report, Terminal::default(), 1).unwrap();
        expect_file("src/explore/report/expected/replays.txt", &table);
        expect_narrow(&table);
        expect_harmless("table", &table);
        let junit = render(ExploreFormat::Junit, &report, Terminal::default(), 1).unwrap();
        expect_file("src/explore/report/expected/replays.xml", &junit);
        let json = render(ExploreFormat::Json, &report, Terminal::default(), 1).unwrap();
        assert_eq!(serde_json::from_str::<WitnessReport>(&json).unwrap(), report);
        let (path, schema) = schema();
        expect_file(path, &schema);
        assert_eq!(check::<WitnessReport>(&serde_json::from_str(&json).unwrap()), Ok(()));
    }
}
