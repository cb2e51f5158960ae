//! JUnit XML, as CI servers read it: a test case for each exploration.
//!
//! | exploration | test case |
//! |---|---|
//! | proved or broken, as claimed | passed; the witness is its output |
//! | contradicts its claim | failed, with the witness |
//! | held so far, undecided | skipped: nothing was shown |

use quick_junit::{NonSuccessKind, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::timeline::timeline;
use super::view;
use crate::explore::findings::{Exploration, ExplorationVerdict, ExploreReport};
use crate::lab::reports::junit::seconds;

/// The report.
///
/// # Errors
/// As the serialiser does.
pub fn render(report: &ExploreReport) -> Result<String, SerializeError> {
    let mut all = quick_junit::Report::new("concurrency-lab explore");
    all.set_time(seconds(report.elapsed_s));
    for (scene, explorations) in view::by_scene(report) {
        let mut suite = TestSuite::new(scene);
        suite.add_test_cases(explorations.into_iter().map(case));
        all.add_test_suite(suite);
    }
    all.to_string()
}

fn case(exploration: &Exploration) -> TestCase {
    let witness = exploration.witness.as_ref();
    let evidence =
        witness.map(|witness| timeline(&witness.transcript, Some((&witness.anomalies, &witness.explanation))));
    let subject = &exploration.subject;
    let mut case = TestCase::new(view::name(subject), status(exploration, evidence.as_deref()));
    case.set_classname(format!("concurrency-lab.{}", subject.scenario));
    case.set_time(seconds(exploration.elapsed_s));
    if let Some(evidence) = evidence.filter(|_| !exploration.contradicts_claim()) {
        case.set_system_out(format!("{}\n\n{evidence}", view::verdict(exploration)));
    }
    case
}

fn status(exploration: &Exploration, evidence: Option<&str>) -> TestCaseStatus {
    if let Some(how) = view::contradiction(exploration) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("claim failed").set_message(format!("{}: {how}", view::verdict(exploration)));
        if let Some(evidence) = evidence {
            status.set_description(evidence);
        }
        return status;
    }
    match exploration.verdict {
        ExplorationVerdict::Proved | ExplorationVerdict::Broken => TestCaseStatus::success(),
        ExplorationVerdict::HeldSoFar => {
            skipped(&format!("{} of the interleavings were run", view::share(exploration)))
        }
        ExplorationVerdict::Undecided => skipped(&exploration.undecided.join("; ")),
    }
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;
    use crate::lab::reports::expected::expect_file;

    #[test]
    fn junit_looks_like_this() {
        expect_file("src/explore/report/expected/junit.xml", &render(&sample::report()).unwrap());
    }

    #[test]
    fn texts_from_elsewhere_are_escaped() {
        let xml = render(&sample::hostile()).unwrap();
        assert!(!xml.contains("<script") && !xml.contains('\u{1b}'), "{xml}");
    }
}
