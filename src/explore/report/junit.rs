//! Explorations as JUnit XML: a test case for each. An explore file is a suite of its own, and the class of its cases is its path.
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
    let mut suites: Vec<JunitSuite> = Vec::new();
    for (scene, explorations) in view::by_scene(report) {
        for exploration in explorations {
            let name = exploration.subject.file.clone().unwrap_or_else(|| scene.clone());
            match suites.iter_mut().find(|suite| suite.name == name) {
                Some(suite) => suite.cases.push(case(exploration)),
                None => suites.push(JunitSuite { name, cases: vec![case(exploration)] }),
            }
        }
    }
    render_suites("concurrency-lab explore", report.elapsed_s, suites)
}

fn case(exploration: &Exploration) -> JunitCase {
    let subject = &exploration.subject;
    let scenario = subject.file.clone().unwrap_or_else(|| subject.scenario.clone());
    JunitCase { name: view::name(subject), scenario, elapsed_s: exploration.elapsed_s, ending: ending(exploration) }
}

fn ending(exploration: &Exploration) -> JunitEnding {
    let told = |witness: &crate::explore::findings::ViolationWitness| {
        let timeline = timeline(&witness.transcript, Some((&witness.anomalies, &witness.explanation)));
        format!("{timeline}\nTo run it again: {}\n", view::replay(&exploration.subject, witness))
    };
    let evidence = exploration.witness.as_ref().map(told);
    if let Some(how) = view::contradiction(exploration) {
        return JunitEnding::Failed { message: format!("{}: {how}", view::verdict(exploration)), evidence };
    }
    match exploration.verdict {
        ExplorationVerdict::Proved | ExplorationVerdict::Broken => {
            JunitEnding::Passed(evidence.map(|evidence| format!("{}\n\n{evidence}", view::verdict(exploration))))
        }
        ExplorationVerdict::HeldSoFar => {
            JunitEnding::Skipped(view::incompleteness(exploration).unwrap_or_else(|| exploration.limits.join("; ")))
        }
        ExplorationVerdict::Undecided => JunitEnding::Skipped(exploration.undecided.join("; ")),
        ExplorationVerdict::DependsOnTime => JunitEnding::Skipped(exploration.limits.join("; ")),
        ExplorationVerdict::NotJudged => JunitEnding::Skipped(
            "nothing says which ends are right: there is no invariant, and no comparison with serial orders".to_owned(),
        ),
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

    #[test]
    fn a_file_is_named_with_its_level_and_the_schedule_of_its_witness() {
        let mut report = sample::levels();
        report.explorations.retain(|exploration| exploration.subject.file.is_some());
        assert!(report.explorations.iter().any(|exploration| exploration.witness.is_some()));
        expect_file("src/explore/report/expected/junit-levels.xml", &render(&report).unwrap());
    }
}
