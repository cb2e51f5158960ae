//! JUnit XML, as CI servers read it: a test case for each verdict.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::RenderError;

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
    let mut report = Report::new(title);
    report.set_time(seconds(elapsed_s));
    for suite in suites {
        let mut test_suite = TestSuite::new(suite.name);
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
            status.set_type("claim failed").set_message(message);
            evidence.map(|evidence| status.set_description(evidence));
            status
        }
        JunitEnding::Skipped(message) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message);
            status
        }
        JunitEnding::NoEvidence(message) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("no evidence").set_message(message);
            status
        }
    };
    let mut test_case = TestCase::new(case.name, status);
    test_case.set_classname(format!("concurrency-lab.{}", case.scenario));
    test_case.set_time(seconds(case.elapsed_s));
    output.map(|output| test_case.set_system_out(output));
    test_case
}

/// A time as JUnit takes it.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
