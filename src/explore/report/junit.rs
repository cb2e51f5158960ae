//! Explorations as JUnit XML: a test case for each.
//!
//! | exploration | test case |
//! |---|---|
//! | proved or broken, as claimed | passed; the witness is its output |
//! | contradicts its claim | failed, with the witness |
//! | held so far, undecided | skipped: nothing was shown |

use super::timeline::timeline;
use super::view;
use crate::explore::findings::{Exploration, ExplorationVerdict, ExploreReport};
use crate::report::RenderError;
use crate::report::junit::{JunitCase, JunitEnding, JunitSuite, render as render_suites};

/// The report.
///
/// # Errors
/// [`RenderError::Junit`].
pub fn render(report: &ExploreReport) -> Result<String, RenderError> {
    let suite = |(name, explorations): (String, Vec<&Exploration>)| JunitSuite {
        name,
        cases: explorations.into_iter().map(case).collect(),
    };
    render_suites("concurrency-lab explore", report.elapsed_s, view::by_scene(report).into_iter().map(suite))
}

fn case(exploration: &Exploration) -> JunitCase {
    let subject = &exploration.subject;
    let (scenario, elapsed_s) = (subject.scenario.clone(), exploration.elapsed_s);
    JunitCase { name: view::name(subject), scenario, elapsed_s, ending: ending(exploration) }
}

fn ending(exploration: &Exploration) -> JunitEnding {
    let told = |witness: &crate::explore::findings::ViolationWitness| {
        timeline(&witness.transcript, Some((&witness.anomalies, &witness.explanation)))
    };
    let evidence = exploration.witness.as_ref().map(told);
    if let Some(how) = view::contradiction(exploration) {
        return JunitEnding::Failed { message: format!("{}: {how}", view::verdict(exploration)), evidence };
    }
    match exploration.verdict {
        ExplorationVerdict::Proved | ExplorationVerdict::Broken => {
            JunitEnding::Passed(evidence.map(|evidence| format!("{}\n\n{evidence}", view::verdict(exploration))))
        }
        ExplorationVerdict::HeldSoFar => JunitEnding::Skipped(view::incompleteness(exploration).unwrap_or_default()),
        ExplorationVerdict::Undecided => JunitEnding::Skipped(exploration.undecided.join("; ")),
        ExplorationVerdict::DependsOnTime => JunitEnding::Skipped(exploration.limits.join("; ")),
        ExplorationVerdict::NotJudged => JunitEnding::Skipped("nothing says which ends are right".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;
    use crate::report::expected::expect_file;

    #[test]
    fn junit_looks_like_this() {
        let mut report = sample::report();
        // Broken as claimed, proved, incomplete, undecided, and a claim that failed.
        let mut index = 0..;
        report.explorations.retain(|_| [0, 1, 7, 8, 9].contains(&index.next().unwrap()));
        expect_file("src/explore/report/expected/junit.xml", &render(&report).unwrap());
    }
}
