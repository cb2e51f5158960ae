//! A stage: a world on a database of the test's own, on which pieces are explored and replayed.
//!
//! Whatever is played on it is judged twice, by the oracle, which tries all orders, and by the lab's referee, which reasons
//! about versions: they must agree on every interleaving of every test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use concurrency_lab::explore::catalog::{pieces, subject};
use concurrency_lab::explore::execution::{ApproachExecution, TestCase};
use concurrency_lab::explore::exploration::explore;
use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict};
use concurrency_lab::explore::interleaving_runner::InterleavingRunner;
use concurrency_lab::explore::observations::{Observations, Unsettled};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::schedule::Schedule;
use concurrency_lab::explore::search::{Execution, JudgedInterleaving, Search, SearchPlan, SearchStep, replay};
use concurrency_lab::explore::{ExploreError, classify, oracle};
use concurrency_lab::strategy::Approach;
use domain::state::State;
use private_postgres::Cluster;
use referee::judgement::Anomaly;

use crate::common;

/// See the [module](self).
pub struct Stage {
    world: ExplorerDatabase,
    _cluster: Arc<Cluster>,
}

impl Stage {
    pub async fn new() -> Self {
        let cluster = common::cluster().await;
        let world = ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("a world");
        Self { world, _cluster: cluster }
    }

    /// Changes the schema, from now on.
    pub async fn alter(&mut self, sql: &str) {
        self.world.run(sql).await.expect("a changed schema");
    }

    /// Explores a piece; everything must be decided.
    pub async fn explore(&mut self, approach: Approach, piece: &TestCase, plan: SearchPlan) -> Exploration {
        let found = self.explore_so_far(approach, piece, plan).await;
        assert_eq!(found.undecided, Vec::<String>::new(), "{approach} {}", piece.scenario);
        found
    }

    /// Explores a piece.
    pub async fn explore_so_far(&mut self, approach: Approach, piece: &TestCase, plan: SearchPlan) -> Exploration {
        let (mut play, mut go_on) = (Court::new(&mut self.world, piece), |_| true);
        explore(&mut play, subject(approach, piece), plan, &mut go_on).await.expect("an exploration")
    }

    /// The schedules of a piece, in the order in which they are run, and what each came to.
    pub async fn interleavings(&mut self, piece: &TestCase, plan: SearchPlan) -> Vec<(Schedule, Vec<String>)> {
        let (mut play, mut search) = (Court::new(&mut self.world, piece), Search::new(plan));
        let mut interleavings = Vec::new();
        while let Some(found) = search.next(&mut play).await.expect("an interleaving") {
            match found {
                SearchStep::Interleaving(judged) => interleavings.push((judged.transcript.schedule, judged.outcome)),
                SearchStep::Undecided(schedule, why) => panic!("{schedule}: {why}"),
            }
        }
        interleavings
    }

    /// Runs one interleaving.
    pub async fn replay(&mut self, piece: &TestCase, schedule: &str) -> JudgedInterleaving {
        let schedule = schedule.parse().expect("a schedule");
        replay(&mut Court::new(&mut self.world, piece), &schedule).await.expect("an interleaving")
    }
}

/// An approach in a scenario, on one server.
pub fn piece(approach: Approach, scenario: ExploreScenario, clients: u8) -> TestCase {
    pieces(approach, scenario, clients).swap_remove(0)
}

/// A reduced search.
pub fn reduced() -> SearchPlan {
    SearchPlan { reduce: true, ..SearchPlan::default() }
}

/// How it may end, and what is wrong then.
pub fn outcomes(found: &Exploration) -> BTreeMap<&[String], &[String]> {
    found.outcomes.iter().map(|outcome| (&*outcome.lines, &*outcome.anomalies)).collect()
}

/// Asserts that something was found wrong, by this name.
#[track_caller]
pub fn assert_finds(found: &Exploration, anomaly: Anomaly, told: &str) {
    let anomalies: BTreeSet<&str> =
        found.outcomes.iter().flat_map(|outcome| &outcome.anomalies).map(String::as_str).collect();
    assert_eq!(found.verdict, ExplorationVerdict::Broken, "{told}");
    assert!(anomalies.contains(<&str>::from(anomaly)), "{told}: {anomaly} is not among {anomalies:?}");
}

/// A play before two judges.
struct Court<'w> {
    play: ApproachExecution<'w>,
    before: State,
}

impl<'w> Court<'w> {
    fn new(world: &'w mut ExplorerDatabase, piece: &TestCase) -> Self {
        Self { play: ApproachExecution::new(world, piece.clone()), before: piece.scenario.rows(piece.clients) }
    }
}

#[async_trait]
impl Execution for Court<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.play.begin().await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let (calls, after) = self.play.calls(&seen).await?;
        let explained = oracle::explains(&self.before, &calls, &after);
        let judgement = referee::judge(&classify::history(&self.before, &calls, &after));
        let told = || format!("{}: {calls:#?} {after:?} {judgement:#?}", seen.schedule);
        assert_eq!(explained, !judgement.broken(), "oracle and referee disagree about {}", told());
        assert!(judgement.undecided.is_empty(), "the referee cannot decide {}", told());
        self.play.judge_calls(calls, &after, seen).await
    }

    fn clients(&self) -> u8 {
        self.play.clients()
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        self.play.identical(one, other)
    }
}

/// A test for each approach, so that they run side by side.
macro_rules! for_each_approach {
    ($check:ident) => {
        for_each_approach! {
            $check:
            naive Naive,
            read_committed ReadCommitted,
            atomic_returning AtomicReturning,
            check_constraint CheckConstraint,
            pessimistic Pessimistic,
            optimistic_version OptimisticVersion,
            advisory_lock AdvisoryLock,
            repeatable_read RepeatableRead,
            serializable Serializable,
            stored_function StoredFunction,
            unique_constraint UniqueConstraint,
            in_process_mutex InProcessMutex,
            group_commit GroupCommit,
        }
    };
    ($check:ident: $($test:ident $approach:ident,)+) => {
        $(
            #[tokio::test]
            async fn $test() {
                $check(Approach::$approach).await;
            }
        )+

        #[test]
        fn no_approach_is_forgotten() {
            use strum::IntoEnumIterator as _;
            let tested = [$(Approach::$approach),+];
            assert_eq!(Approach::iter().find(|approach| !tested.contains(approach)), None);
        }
    };
}
