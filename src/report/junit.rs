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
    /// What was judged.
    pub name: String,
    /// The scenario in which it was judged.
    pub scenario: String,
    /// How long that took, in seconds.
    pub elapsed_s: f64,
    /// What came out.
    pub ending: JunitEnding,
}

/// What a CI server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JunitEnding {
    /// It is as claimed; where that is "broken", with the evidence.
    Passed(Option<String>),
    /// The claim failed.
    Failed {
        /// In a sentence.
        message: String,
        /// The evidence.
        evidence: Option<String>,
    },
    /// Nothing was shown, for this reason.
    Skipped(String),
    /// There is nothing to judge by, for this reason.
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
        let mut told = TestSuite::new(suite.name);
        told.add_test_cases(suite.cases.into_iter().map(case));
        report.add_test_suite(told);
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
    let mut told = TestCase::new(case.name, status);
    told.set_classname(format!("concurrency-lab.{}", case.scenario));
    told.set_time(seconds(case.elapsed_s));
    output.map(|output| told.set_system_out(output));
    told
}

/// A time as JUnit takes it.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
