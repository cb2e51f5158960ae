//! The worker pool: a worker that panics must not count as a success.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use concurrency_lab::explore::ExploreError;
use concurrency_lab::explore::catalog::subject;
use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::findings::{Exploration, Subject};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::{SearchPlan, SearchProgress};
use concurrency_lab::explore::worker_pool::{ExploreJob, ExploreObserver, JobSubject, explore_all};
use concurrency_lab::session::{AttemptError, Session};
use concurrency_lab::strategy::naive::Naive;
use concurrency_lab::strategy::{Approach, ApproachInfo, Strategy};
use domain::{Account, BalanceChange, Booked, Booking, Counter, Increment, Transfer, Transferred};
use tokio_util::sync::CancellationToken;

use super::fixture::test_case;
use crate::common;

/// Panics on the worker's thread, in the middle of the exploration of this approach.
struct PanickingObserver {
    approach: Approach,
    done: Mutex<Vec<String>>,
}

impl ExploreObserver for PanickingObserver {
    fn progress(&self, _: usize, subject: &Subject, progress: SearchProgress) {
        assert!(subject.approach != self.approach.name() || progress.interleavings == 0, "a made-up bug");
    }

    fn slow_deadlocks(&self) {}

    fn done(&self, _: usize, exploration: &Exploration) {
        self.done.lock().expect("no panic in between").push(exploration.subject.approach.clone());
    }
}

fn job(approach: Approach) -> ExploreJob {
    let case = test_case(approach, ExploreScenario::Increments, 2);
    let subject = subject(approach, &case);
    ExploreJob { subject, what: JobSubject::Approach(case), plan: SearchPlan::default() }
}

#[tokio::test]
async fn a_worker_that_panics_is_an_error_that_names_the_exploration() {
    let cluster = common::cluster().await;
    let databases = [common::new_database(&cluster).await, common::new_database(&cluster).await];
    let observer = Arc::new(PanickingObserver { approach: Approach::Pessimistic, done: Mutex::default() });
    let (stop, observed) = (CancellationToken::new(), Arc::<PanickingObserver>::clone(&observer));
    let jobs = vec![job(Approach::Pessimistic), job(Approach::Naive)];
    let found = explore_all(databases.iter().cloned().map(Into::into).collect(), jobs, observed, stop.clone()).await;
    let error = found.expect_err("an exploration is missing");
    assert!(matches!(error, ExploreError::Panicked { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with(
            "a worker of the explorer panicked while exploring \"increments, pessimistic\": a made-up bug"
        ),
        "{text}"
    );
    assert!(stop.is_cancelled(), "the other workers stop");
    assert!(!observer.done.lock().expect("no panic").contains(&Approach::Pessimistic.name().to_owned()));
    // The panicked worker has cleaned up: its schema is dropped, and its database can be used again.
    for options in &databases {
        let database = ExplorerDatabase::open(options).await.expect("no other explorer uses it");
        database.close().await.expect("a clean end");
    }
}

/// An approach whose attempt panics. The rest is that of `naive`.
struct PanickingStrategy;

#[async_trait]
impl Strategy for PanickingStrategy {
    fn info(&self) -> &'static ApproachInfo {
        Naive.info()
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        Naive.change_balance(session, change).await
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        Naive.transfer(session, transfer).await
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        Naive.book(session, booking).await
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        Naive.increment(session, increment).await?;
        panic!("a made-up bug in an approach")
    }
}

#[tokio::test]
async fn a_client_that_panics_is_an_error_and_not_an_unknown_outcome() {
    let cluster = common::cluster().await;
    let database = common::new_database(&cluster).await;
    let mut job = job(Approach::Naive);
    let JobSubject::Approach(case) = &mut job.what else { panic!("an approach") };
    case.strategy = &PanickingStrategy;
    let observer = Arc::new(PanickingObserver { approach: Approach::Pessimistic, done: Mutex::default() });
    let found = explore_all(vec![database.into()], vec![job], observer, CancellationToken::new()).await;
    let text = found.expect_err("nothing is proved").to_string();
    assert!(text.contains("exploring \"increments, naive\": a made-up bug in an approach"), "{text}");
}
