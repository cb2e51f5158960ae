//! A run as JUnit XML: a test case for each approach, and for each value of a sweep.
//!
//! | verdict | test case |
//! |---|---|
//! | correct | passed |
//! | BROKEN, as claimed | passed; what was found is its output |
//! | CLAIM FAILED | failed, with the evidence |
//! | held this time, undecided | skipped: nothing was shown |
//! | no evidence | error |

use super::view::{FoundAnomaly, counted, findings, in_rounds, name, why_unranked};
use crate::lab::results::{ApproachResult, Run, RunVerdict};
use crate::report::RenderError;
use crate::report::figures::ms_of_ns;
use crate::report::junit::{JunitCase, JunitEnding, JunitSuite, render as render_suites};

/// The report.
///
/// # Errors
/// [`RenderError::Junit`].
pub fn render(run: &Run) -> Result<String, RenderError> {
    let cases = run.results.iter().map(|result| case(run, result)).collect();
    render_suites("concurrency-lab", run.elapsed_s, [JunitSuite { name: run.scenario.clone(), cases }])
}

fn case(run: &Run, result: &ApproachResult) -> JunitCase {
    let evidence = || findings(result).iter().map(|found| told(found, result)).collect::<Vec<_>>().join("\n\n");
    let ending = match result.verdict {
        RunVerdict::Correct => JunitEnding::Passed(None),
        RunVerdict::BrokenAsClaimed => JunitEnding::Passed(Some(format!("broken, as claimed\n\n{}", evidence()))),
        RunVerdict::HeldThisTime => JunitEnding::Skipped(why_unranked(result)),
        RunVerdict::Undecided => {
            let open = result.rounds.iter().flat_map(|round| &round.judgement.undecided).map(String::as_str);
            JunitEnding::Skipped(open.collect::<Vec<_>>().join("; "))
        }
        RunVerdict::ClaimFailed => JunitEnding::Failed {
            message: format!("claimed safe, but broken: {}", why_unranked(result)),
            evidence: Some(evidence()),
        },
        RunVerdict::NoEvidence => JunitEnding::NoEvidence(why_unranked(result)),
    };
    let elapsed_s = result.rounds.iter().map(|round| round.elapsed_s).sum();
    JunitCase { name: name(run, result), scenario: run.scenario.clone(), elapsed_s, ending }
}

/// A finding with all that its witnesses say.
fn told(found: &FoundAnomaly<'_>, result: &ApproachResult) -> String {
    let mut lines = vec![format!("{}{}", counted(found.anomaly, found.count), in_rounds(found, result))];
    lines.push(found.witness.explanation.clone());
    lines.extend(found.witness.operations.iter().map(|operation| {
        let [from, to] = [operation.invoked_ns, operation.returned_ns].map(ms_of_ns);
        let (id, client) = (operation.id, operation.client);
        format!("  operation {id} of client {client}, {from} to {to} ms: {} -> {}", operation.request, operation.heard)
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::expected::expect_file;
    use referee::history::ClaimedSafety;

    #[test]
    fn junit_looks_like_this() {
        let mut run = sample::run();
        // A claim that failed, one that held, and one without evidence.
        run.results[1].claim = ClaimedSafety::Safe;
        run.results[1].verdict = RunVerdict::ClaimFailed;
        run.results[4].verdict = RunVerdict::NoEvidence;
        run.results.drain(5..12);
        expect_file("src/lab/reports/expected/junit.xml", &render(&run).unwrap());
    }
}
