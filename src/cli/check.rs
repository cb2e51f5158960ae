//! `concurrency-lab check`: judges a history again, from a run or from another tool.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use super::output::print;
use crate::lab::results::RunVerdict;
use crate::report::figures::ms_of_ns;
use crate::report::printable::printable;
use referee::history::RoundTitle;
use referee::history::file::{HistoryReader, ReadRound};
use referee::judge;
use referee::judgement::{Counts, Judgement};

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The history: history.jsonl of a run, or another file in its format (docs/HISTORY.md); - is standard input.
    #[arg(value_name = "HISTORY.jsonl")]
    history: PathBuf,
}

/// Judges each round of a file, and prints the findings.
///
/// # Errors
/// [`CliError::ClaimFailed`] when a round breaks a claim.
pub fn check(arguments: &CheckArgs) -> Result<(), CliError> {
    let name = arguments.history.display().to_string();
    let failed = |error: &dyn std::fmt::Display| CliError::Environment(format!("{name}: {error}"));
    let input: Box<dyn BufRead> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(1 << 16, File::open(&arguments.history).map_err(|error| failed(&error))?))
    };
    let mut reader = HistoryReader::new(input);
    let (mut rounds, mut broken, mut empty) = (0, Vec::new(), Vec::new());
    while let Some(ReadRound { history, finished }) = reader.next_round().map_err(|error| failed(&error))? {
        rounds += 1;
        let judgement = if finished { judge(&history) } else { unjudged(judge(&history).counts) };
        let verdict = RunVerdict::of(&judgement, history.title.claim, history.title.servers);
        // Line by line, without control characters: text from the file must not reach the terminal as commands.
        for line in text(&history.title, verdict, &judgement).lines() {
            print(&printable(line))?;
        }
        match verdict {
            RunVerdict::ClaimFailed => broken.push(history.title.approach),
            RunVerdict::NoEvidence => empty.push(history.title.approach),
            _ => {}
        }
    }
    if rounds == 0 {
        return Err(failed(&"the file has no round"));
    }
    if !broken.is_empty() {
        return Err(CliError::ClaimFailed(format!("claimed safe, but broken: {}", broken.join(", "))));
    }
    if !empty.is_empty() {
        return Err(failed(&format!("no operation was done or refused, so nothing is proved: {}", empty.join(", "))));
    }
    Ok(())
}

/// The verdict on a round that was cut short. Operations are written in the order of their answers, not of their effects, so an
/// operation that is not written yet would look lost.
fn unjudged(counts: Counts) -> Judgement {
    let undecided = "the round has no end line: it was cut short, so it was not judged".to_owned();
    Judgement { counts, findings: Vec::new(), undecided: vec![undecided] }
}

fn text(title: &RoundTitle, verdict: RunVerdict, judgement: &Judgement) -> String {
    let RoundTitle { approach, scenario, round, point, .. } = title;
    let point = point.as_ref().map(|point| format!(", {point}")).unwrap_or_default();
    let counts = &judgement.counts;
    let mut text = format!(
        "{verdict}: {approach}, {scenario}{point}, round {round}: {} done, {} refused, {} not done, {} unknown, {} unexpected\n",
        counts.done, counts.refused, counts.not_done, counts.unknown, counts.unexpected
    );
    for finding in &judgement.findings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {} × {}: {}", finding.count, finding.anomaly, finding.witness.explanation);
        for operation in &finding.witness.operations {
            let _ = writeln!(
                text,
                "    operation {} of client {}, {} to {} ms: {}: {}",
                operation.id,
                operation.client,
                ms_of_ns(operation.invoked_ns),
                ms_of_ns(operation.returned_ns),
                operation.request,
                operation.heard
            );
        }
    }
    for open in &judgement.undecided {
        let _ = writeln!(text, "  undecided: {open}");
    }
    text
}
