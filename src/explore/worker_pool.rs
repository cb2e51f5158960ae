//! Several explorations at once: a few workers, each with a world of its own, share a list of jobs.
//!
//! A worker is a thread with a runtime of its own, so that its clients and its controller hand over to each other without waking
//! another core. Results come in the order of the jobs, whoever was faster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ExploreError;
use super::crash;
use super::execution::{ApproachExecution, TestCase};
use super::exploration::explore;
use super::explorer_database::ExplorerDatabase;
use super::file::{Script, ScriptVariant, execution};
use super::findings::{Exploration, Subject};
use super::search::{SearchPlan, SearchProgress};

/// One thing to explore.
#[derive(Clone)]
pub struct ExploreJob {
    /// What it is called.
    pub subject: Subject,
    /// What is played.
    pub what: JobSubject,
    /// How to search.
    pub plan: SearchPlan,
}

/// What is played.
#[derive(Clone)]
pub enum JobSubject {
    /// An approach.
    Approach(TestCase),
    /// A variant of an explore file.
    File(Arc<Script>, ScriptVariant),
}

/// Hears how it goes, from the workers' threads.
pub trait ExploreObserver: Send + Sync {
    /// So far a job has come.
    fn progress(&self, job: usize, subject: &Subject, progress: SearchProgress);

    /// Deadlocks are found after the server's `deadlock_timeout` only: the right to lower it is missing.
    fn slow_deadlocks(&self);

    /// A job is done.
    fn done(&self, job: usize, exploration: &Exploration);
}

/// What the workers found.
#[derive(Debug)]
pub struct WorkerFindings {
    /// In the order of the jobs; those that were not reached are missing.
    pub explorations: Vec<Exploration>,
    /// The server's version.
    pub postgresql: String,
}

/// Explores all jobs, with a worker for each of these databases.
///
/// # Errors
/// The first [`ExploreError`] of a worker; the others end after their interleaving.
pub async fn explore_all(
    databases: Vec<PgConnectOptions>,
    jobs: Vec<ExploreJob>,
    observer: Arc<dyn ExploreObserver>,
    stop: CancellationToken,
) -> Result<WorkerFindings, ExploreError> {
    let shared = Arc::new(WorkerShared {
        // The last ones are the longest: whoever begins with them ends at the same time as the others.
        left: Mutex::new(jobs.into_iter().enumerate().collect()),
        observer,
        stop: stop.clone(),
    });
    let (tell, mut hear) = mpsc::unbounded_channel();
    for options in databases {
        let (shared, tell) = (Arc::clone(&shared), tell.clone());
        // Its end is heard of by the channel's.
        std::thread::spawn(move || {
            if let Err(error) = shared.work(&options, &tell) {
                shared.stop.cancel();
                let _ = tell.send(WorkerMessage::Failed(error));
            }
        });
    }
    drop(tell);
    let mut found = WorkerFindings { explorations: Vec::new(), postgresql: String::new() };
    let (mut explored, mut failed) = (BTreeMap::new(), None);
    while let Some(told) = hear.recv().await {
        match told {
            WorkerMessage::Opened { version } => found.postgresql = version,
            WorkerMessage::Explored(job, exploration) => drop(explored.insert(job, *exploration)),
            WorkerMessage::Failed(error) => drop(failed.get_or_insert(error)),
        }
    }
    found.explorations = explored.into_values().collect();
    failed.map_or(Ok(found), Err)
}

enum WorkerMessage {
    Opened { version: String },
    Explored(usize, Box<Exploration>),
    Failed(ExploreError),
}

struct WorkerShared {
    left: Mutex<Vec<(usize, ExploreJob)>>,
    observer: Arc<dyn ExploreObserver>,
    stop: CancellationToken,
}

impl WorkerShared {
    fn next(&self) -> Option<(usize, ExploreJob)> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn work(
        &self,
        options: &PgConnectOptions,
        tell: &mpsc::UnboundedSender<WorkerMessage>,
    ) -> Result<(), ExploreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut world = ExplorerDatabase::open(options).await?;
            if world.deadlock_timeout().is_none() {
                self.observer.slow_deadlocks();
            }
            let _ = tell.send(WorkerMessage::Opened { version: world.version().to_owned() });
            let worked = self.work_in(&mut world, tell).await;
            // What is ours on somebody's database goes, whatever happened.
            worked.and(world.close().await)
        })
    }

    async fn work_in(
        &self,
        world: &mut ExplorerDatabase,
        tell: &mpsc::UnboundedSender<WorkerMessage>,
    ) -> Result<(), ExploreError> {
        while let Some((number, job)) = self.next().filter(|_| !self.stop.is_cancelled()) {
            let exploration = self.explore(world, number, job).await?;
            self.observer.done(number, &exploration);
            let _ = tell.send(WorkerMessage::Explored(number, Box::new(exploration)));
        }
        Ok(())
    }

    async fn explore(
        &self,
        world: &mut ExplorerDatabase,
        number: usize,
        job: ExploreJob,
    ) -> Result<Exploration, ExploreError> {
        let ExploreJob { subject, what, plan } = job;
        let shown = subject.clone();
        let mut go_on = |progress: SearchProgress| {
            self.observer.progress(number, &shown, progress);
            !self.stop.is_cancelled()
        };
        match what {
            JobSubject::Approach(piece) => match piece.crash {
                Some(crash) => crash::explore(world, &piece, crash, subject, &plan, &mut go_on).await,
                None => explore(&mut ApproachExecution::new(world, piece), subject, plan, &mut go_on).await,
            },
            JobSubject::File(script, variant) => {
                let file = subject.file.clone().unwrap_or_default();
                let explored = execution::explore(world, &script, &variant, subject, plan, &mut go_on).await;
                explored.map_err(|error| error.in_file(&file))
            }
        }
    }
}
