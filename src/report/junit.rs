//! JUnit XML, as CI servers read it: a test case for each verdict. Control characters of texts from outside are shown; quick-junit alone would
//! leave them out without a sign.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::RenderError;
use super::printable::{printable, shown};

/// Cases that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct JunitSuite {
    /// Its name.
    pub name: String,
    /// Its cases.
    pub cases: Vec<JunitCase>,
}

/// One verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct JunitCase {
    /// The approach, or the exploration, that was judged.
    pub name: String,
    /// The scenario in which it was judged.
    pub scenario: String,
    /// How long that took, in seconds.
    pub elapsed_s: f64,
    /// How it ended.
    pub ending: JunitEnding,
}

/// How a case ended, as a CI server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JunitEnding {
    /// The result is as claimed. A result that is broken as claimed has its evidence.
    Passed(Option<String>),
    /// The result contradicts the claim.
    Failed {
        /// What is wrong, in one sentence.
        message: String,
        /// The evidence.
        evidence: Option<String>,
    },
    /// The result neither confirms nor contradicts the claim. The text says why.
    Skipped(String),
    /// No data allow a verdict. The text says why.
    NoEvidence(String),
}

/// The report.
///
/// # Errors
/// [`RenderError::Junit`].
pub fn render(
    title: &str,
    elapsed_s: f64,
    suites: impl IntoIterator<Item = JunitSuite>,
) -> Result<String, RenderError> {
    let mut report = Report::new(printable(title));
    report.set_time(seconds(elapsed_s));
    for suite in suites {
        let mut test_suite = TestSuite::new(printable(&suite.name));
        test_suite.add_test_cases(suite.cases.into_iter().map(case));
        report.add_test_suite(test_suite);
    }
    Ok(report.to_string()?)
}

fn case(case: JunitCase) -> TestCase {
    let mut output = None;
    let status = match case.ending {
        JunitEnding::Passed(evidence) => {
            output = evidence;
            TestCaseStatus::success()
        }
        JunitEnding::Failed { message, evidence } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type("claim failed").set_message(shown(&message).as_ref());
            evidence.map(|evidence| status.set_description(shown(&evidence).as_ref()));
            status
        }
        JunitEnding::Skipped(message) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(shown(&message).as_ref());
            status
        }
        JunitEnding::NoEvidence(message) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("no evidence").set_message(shown(&message).as_ref());
            status
        }
    };
    let mut test_case = TestCase::new(printable(&case.name), status);
    test_case.set_classname(format!("concurrency-lab.{}", printable(&case.scenario)));
    test_case.set_time(seconds(case.elapsed_s));
    output.map(|output| test_case.set_system_out(shown(&output).as_ref()));
    test_case
}

/// A time as JUnit takes it.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_in_every_text() {
        let hostile = "a\u{1b}[2J\u{9b}b";
        let text = || hostile.to_owned();
        let endings = [
            JunitEnding::Passed(Some(text())),
            JunitEnding::Failed { message: text(), evidence: Some(text()) },
            JunitEnding::Skipped(text()),
            JunitEnding::NoEvidence(text()),
        ];
        let case = |ending| JunitCase { name: text(), scenario: text(), elapsed_s: 1.0, ending };
        let suite = JunitSuite { name: text(), cases: endings.into_iter().map(case).collect() };
        let xml = render(hostile, 1.0, [suite]).unwrap();
        assert_eq!(xml, shown(&xml), "{xml}");
        // The title, the suite, five texts of endings, and a name and a class for each case.
        assert_eq!(xml.matches("a\\u{1b}[2J\\u{9b}b").count(), 2 + 5 + 8, "{xml}");
    }
}
