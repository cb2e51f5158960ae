//! The fixture: an explorer on a database of the test's own, which explores and replays test cases.
//!
//! Each interleaving is judged twice: by the oracle, which tries all orders, and by the lab's referee, which reasons about versions.
//! They must agree on every interleaving of every test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use concurrency_lab::explore::catalog::{subject, test_cases};
use concurrency_lab::explore::execution::ApproachExecution;
use concurrency_lab::explore::exploration::explore;
use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict};
use concurrency_lab::explore::run::interleaving_runner::InterleavingRunner;
use concurrency_lab::explore::run::observations::{Observations, Unsettled};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::schedule::Schedule;
use concurrency_lab::explore::search::{Execution, JudgedInterleaving, Search, SearchPlan, SearchStep, replay};
use concurrency_lab::explore::test_case::TestCase;
use concurrency_lab::explore::{ExploreError, classify, oracle};
use concurrency_lab::strategy::Approach;
use domain::state::State;
use private_postgres::Cluster;
use referee::judgement::Anomaly;

use crate::common;

/// An explorer's database on this cluster.
pub async fn explorer_database(cluster: &Cluster) -> ExplorerDatabase {
    ExplorerDatabase::open(&common::new_database(cluster).await).await.expect("an explorer's database")
}

/// Explores the first variant of an explore file.
pub async fn explore_file(database: &mut ExplorerDatabase, script: &Script, plan: SearchPlan) -> Exploration {
    let variant = &script.variants[0];
    let subject = execution::subject(script, variant, "file.toml");
    execution::explore(database, script, variant, subject, plan, &mut |_| true).await.expect("an exploration")
}

/// See the [module](self).
pub struct Explorer {
    database: ExplorerDatabase,
    _cluster: Arc<Cluster>,
}

impl Explorer {
    pub async fn new() -> Self {
        let cluster = common::cluster().await;
        Self { database: explorer_database(&cluster).await, _cluster: cluster }
    }

    /// Changes the schema for all later interleavings.
    pub async fn alter_schema(&mut self, sql: &str) {
        self.database.execute(sql).await.expect("a changed schema");
    }

    /// Explores a test case. Every interleaving must be decided.
    pub async fn explore(&mut self, approach: Approach, case: &TestCase, plan: SearchPlan) -> Exploration {
        let found = self.explore_so_far(approach, case, plan).await;
        assert_eq!(found.undecided, Vec::<String>::new(), "{approach} {}", case.scenario);
        found
    }

    /// Explores a test case.
    pub async fn explore_so_far(&mut self, approach: Approach, case: &TestCase, plan: SearchPlan) -> Exploration {
        let (mut execution, mut go_on) = (CheckedExecution::new(&mut self.database, case), |_| true);
        explore(&mut execution, subject(approach, case), plan, &mut go_on).await.expect("an exploration")
    }

    /// The schedules of a test case, in the order in which they are run, and the outcome of each.
    pub async fn interleavings(&mut self, case: &TestCase, plan: SearchPlan) -> Vec<(Schedule, Vec<String>)> {
        let (mut execution, mut search) = (CheckedExecution::new(&mut self.database, case), Search::new(plan));
        let mut interleavings = Vec::new();
        while let Some(found) = search.next(&mut execution).await.expect("an interleaving") {
            match found {
                SearchStep::Interleaving(judged) => interleavings.push((judged.transcript.schedule, judged.outcome)),
                SearchStep::Undecided(schedule, why) => panic!("{schedule}: {why}"),
            }
        }
        interleavings
    }

    /// Runs one interleaving.
    pub async fn replay(&mut self, case: &TestCase, schedule: &str) -> JudgedInterleaving {
        let schedule = schedule.parse().expect("a schedule");
        replay(&mut CheckedExecution::new(&mut self.database, case), &schedule).await.expect("an interleaving")
    }
}

/// An approach in a scenario, on one server.
pub fn test_case(approach: Approach, scenario: ExploreScenario, clients: u8) -> TestCase {
    test_cases(approach, scenario, clients).swap_remove(0)
}

/// The plan of a reduced search.
pub fn reduced() -> SearchPlan {
    SearchPlan { reduce: true, ..SearchPlan::default() }
}

/// The distinct outcomes, and what is wrong with each.
pub fn outcomes(found: &Exploration) -> BTreeMap<&[String], &[String]> {
    found.outcomes.iter().map(|outcome| (&*outcome.lines, &*outcome.anomalies)).collect()
}

/// Asserts that this anomaly was found.
#[track_caller]
pub fn assert_finds(found: &Exploration, anomaly: Anomaly, context: &str) {
    let anomalies: BTreeSet<&str> =
        found.outcomes.iter().flat_map(|outcome| &outcome.anomalies).map(String::as_str).collect();
    assert_eq!(found.verdict, ExplorationVerdict::Broken, "{context}");
    assert!(anomalies.contains(<&str>::from(anomaly)), "{context}: {anomaly} is not among {anomalies:?}");
}

/// An execution that has each interleaving judged by the oracle and by the referee.
struct CheckedExecution<'d> {
    inner: ApproachExecution<'d>,
    before: State,
}

impl<'d> CheckedExecution<'d> {
    fn new(database: &'d mut ExplorerDatabase, case: &TestCase) -> Self {
        Self { inner: ApproachExecution::new(database, case.clone()), before: case.scenario.rows(case.clients) }
    }
}

#[async_trait]
impl Execution for CheckedExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.inner.begin().await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let (calls, after) = self.inner.calls(&seen).await?;
        let explained = oracle::explains(&self.before, &calls, &after);
        let judgement = referee::judge(&classify::history(&self.before, &calls, &after));
        let calls_and_rows = || format!("{}: {calls:#?} {after:?} {judgement:#?}", seen.schedule);
        assert_eq!(explained, !judgement.broken(), "oracle and referee disagree about {}", calls_and_rows());
        assert!(judgement.undecided.is_empty(), "the referee cannot decide {}", calls_and_rows());
        self.inner.judge_calls(calls, &after, seen).await
    }

    fn clients(&self) -> u8 {
        self.inner.clients()
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        self.inner.identical(one, other)
    }
}

/// One test per part of the approaches, so that the parts run in parallel.
macro_rules! for_each_approach {
    ($check:ident) => {
        for_each_approach! { $check of 6: first 0, second 1, third 2, fourth 3, fifth 4, sixth 5 }
    };
    ($check:ident of $parts:literal: $($part:ident $number:literal),+) => {
        $(
            #[tokio::test]
            async fn $part() {
                for approach in Approach::iter().skip($number).step_by($parts) {
                    $check(approach).await;
                }
            }
        )+
    };
}
