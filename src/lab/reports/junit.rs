//! JUnit XML, as CI servers read it: a test case for each approach, and for each value of a sweep.
//!
//! | verdict | test case |
//! |---|---|
//! | correct | passed |
//! | BROKEN, as claimed | passed; what was found is its output |
//! | CLAIM FAILED | failed, with the evidence |
//! | held this time, undecided | skipped: nothing was shown |
//! | no evidence | error |

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::view::{FoundAnomaly, counted, findings, in_rounds, name, why_unranked};
use crate::lab::results::{ApproachResult, Run, RunVerdict};

/// The report.
///
/// # Errors
/// As the serialiser does.
pub fn render(run: &Run) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(run.scenario.as_str());
    suite.add_test_cases(run.results.iter().map(|result| case(run, result)));
    let mut report = Report::new("concurrency-lab");
    report.set_time(seconds(run.elapsed_s));
    report.add_test_suite(suite);
    report.to_string()
}

fn case(run: &Run, result: &ApproachResult) -> TestCase {
    let evidence: Vec<String> = findings(result).iter().map(|found| told(found, result)).collect();
    let evidence = evidence.join("\n\n");
    let status = match result.verdict {
        RunVerdict::Correct | RunVerdict::BrokenAsClaimed => TestCaseStatus::success(),
        RunVerdict::HeldThisTime => skipped(&why_unranked(result)),
        RunVerdict::Undecided => {
            let open = result.rounds.iter().flat_map(|round| &round.judgement.undecided).map(String::as_str);
            skipped(&open.collect::<Vec<_>>().join("; "))
        }
        RunVerdict::ClaimFailed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let message = format!("claimed safe, but broken: {}", why_unranked(result));
            status.set_type("claim failed").set_message(message).set_description(evidence.as_str());
            status
        }
        RunVerdict::NoEvidence => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("no evidence").set_message(why_unranked(result));
            status
        }
    };
    let mut case = TestCase::new(name(run, result), status);
    case.set_classname(format!("concurrency-lab.{}", run.scenario));
    case.set_time(seconds(result.rounds.iter().map(|round| round.elapsed_s).sum()));
    if result.verdict == RunVerdict::BrokenAsClaimed {
        case.set_system_out(format!("broken, as claimed\n\n{evidence}"));
    }
    case
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

/// A finding with all that its witnesses say.
fn told(found: &FoundAnomaly<'_>, result: &ApproachResult) -> String {
    let mut lines = vec![format!("{}{}", counted(found.anomaly, found.count), in_rounds(found, result))];
    lines.push(found.witness.explanation.clone());
    lines.extend(found.witness.operations.iter().map(|operation| {
        let [from, to] = [operation.invoked_ns, operation.returned_ns].map(super::figures::ms_of_ns);
        let (id, client) = (operation.id, operation.client);
        format!("  operation {id} of client {client}, {from} to {to} ms: {} -> {}", operation.request, operation.heard)
    }));
    lines.join("\n")
}

/// A time as JUnit takes it.
#[must_use]
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::expected::expect_file;
    use super::super::sample;
    use super::*;
    use referee::history::ClaimedSafety;

    #[test]
    fn junit_looks_like_this() {
        let mut run = sample::run();
        // A claim that failed, one that held, and silence.
        run.results[1].claim = ClaimedSafety::Safe;
        run.results[1].verdict = RunVerdict::ClaimFailed;
        run.results[4].verdict = RunVerdict::NoEvidence;
        run.results.drain(5..12);
        expect_file("src/lab/reports/expected/junit.xml", &render(&run).unwrap());
    }

    #[test]
    fn texts_from_elsewhere_are_escaped() {
        let xml = render(&sample::hostile()).unwrap();
        assert!(!xml.contains("<script") && !xml.contains('\u{1b}'), "{xml}");
    }
}
