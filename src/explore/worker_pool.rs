//! Several explorations at the same time: a few workers, each with a database of its own, share a list of jobs.
//!
//! A worker is a thread with a runtime of its own, so that a client and the runner hand over to each other without waking another core.
//! The results are in the order of the jobs, whichever worker was faster.
//!
//! A worker that fails or panics stops the others, and the result is its error: a report in which an exploration is missing must not
//! count as a success.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::app::{AppFile, app_execution};
use super::crash;
use super::error::ExploreError;
use super::execution::ApproachExecution;
use super::exploration::explore;
use super::explorer_database::ExplorerDatabase;
use super::file::{Script, ScriptVariant, execution};
use super::file_role::WorkerDatabase;
use super::findings::{Exploration, Subject};
use super::report::view::title;
use super::search::{SearchPlan, SearchProgress};
use super::test_case::TestCase;

/// One exploration to run.
#[derive(Clone)]
pub struct ExploreJob {
    /// What the report says of it.
    pub subject: Subject,
    /// What is explored.
    pub what: JobSubject,
    /// How to search.
    pub plan: SearchPlan,
}

/// What is explored.
#[derive(Clone)]
pub enum JobSubject {
    /// An approach.
    Approach(TestCase),
    /// A variant of an explore file.
    File(Arc<Script>, ScriptVariant),
    /// A file of an application.
    App(Arc<AppFile>),
}

/// Receives the progress of the explorations, on the threads of the workers.
pub trait ExploreObserver: Send + Sync {
    /// A job has made progress.
    fn progress(&self, job: usize, subject: &Subject, progress: SearchProgress);

    /// `deadlock_timeout` could not be lowered, so deadlocks take as long as the server's setting.
    fn slow_deadlocks(&self);

    /// A job is done.
    fn done(&self, job: usize, exploration: &Exploration);
}

/// What the workers found.
#[derive(Debug)]
pub struct WorkerFindings {
    /// In the order of the jobs. After a stop, jobs that were not begun are missing.
    pub explorations: Vec<Exploration>,
    /// The version of PostgreSQL.
    pub postgresql: String,
}

/// Runs all jobs, with one worker for each database.
///
/// # Errors
/// The first [`ExploreError`] of a worker, [`ExploreError::Panicked`] if it panicked. The other workers stop after their current
/// interleaving.
pub async fn explore_all(
    databases: Vec<WorkerDatabase>,
    jobs: Vec<ExploreJob>,
    observer: Arc<dyn ExploreObserver>,
    stop: CancellationToken,
) -> Result<WorkerFindings, ExploreError> {
    let shared = Arc::new(WorkerShared {
        // Taken from the end. The last jobs are the longest, so that all workers end at about the same time.
        left: Mutex::new(jobs.into_iter().enumerate().collect()),
        observer,
        stop,
    });
    let (messages, mut received) = mpsc::unbounded_channel();
    for database in databases {
        start_worker(&shared, database, messages.clone());
    }
    drop(messages);
    let mut found = WorkerFindings { explorations: Vec::new(), postgresql: String::new() };
    let (mut explored, mut failed) = (BTreeMap::new(), None);
    // The channel is closed when the last worker has ended.
    while let Some(message) = received.recv().await {
        match message {
            WorkerMessage::Opened { version } => found.postgresql = version,
            WorkerMessage::Explored(job, exploration) => drop(explored.insert(job, *exploration)),
            WorkerMessage::Failed(error) => drop(failed.get_or_insert(error)),
        }
    }
    found.explorations = explored.into_values().collect();
    failed.map_or(Ok(found), Err)
}

type WorkerMessages = mpsc::UnboundedSender<WorkerMessage>;

enum WorkerMessage {
    Opened { version: String },
    Explored(usize, Box<Exploration>),
    Failed(ExploreError),
}

/// Starts a worker's thread. Whatever ends it, an error is sent.
fn start_worker(shared: &Arc<WorkerShared>, database: WorkerDatabase, messages: WorkerMessages) {
    let (of_thread, failed_start) = (Arc::clone(shared), messages.clone());
    let work = move || {
        let worked = catch_unwind(AssertUnwindSafe(|| of_thread.work(&database, &messages)));
        let worked = worked
            .unwrap_or_else(|panic| Err(ExploreError::panicked("preparing or cleaning up its database", &*panic)));
        if let Err(error) = worked {
            of_thread.fail(error, &messages);
        }
    };
    let started = std::thread::Builder::new().name("explorer worker".to_owned()).spawn(work);
    if let Err(error) = started {
        shared.fail(ExploreError::Worker(error), &failed_start);
    }
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

    /// Stops all workers, and sends the error.
    fn fail(&self, error: ExploreError, messages: &WorkerMessages) {
        self.stop.cancel();
        let _ = messages.send(WorkerMessage::Failed(error));
    }

    fn work(&self, worker: &WorkerDatabase, messages: &WorkerMessages) -> Result<(), ExploreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut database = ExplorerDatabase::open_worker(worker).await?;
            if database.deadlock_timeout().is_none() {
                self.observer.slow_deadlocks();
            }
            let _ = messages.send(WorkerMessage::Opened { version: database.version().to_owned() });
            let worked = self.run_jobs(&mut database, messages).await;
            if let Err(ExploreError::Panicked { .. }) = worked {
                // The sessions of the interleaving may still be at work, and would block the end.
                let _ = database.terminate_sessions().await;
            }
            // The explorer's schema is dropped in any case: the database may be the user's.
            worked.and(database.close().await)
        })
    }

    async fn run_jobs(&self, database: &mut ExplorerDatabase, messages: &WorkerMessages) -> Result<(), ExploreError> {
        while let Some((number, job)) = self.next().filter(|_| !self.stop.is_cancelled()) {
            let activity = format!("exploring \"{}\"", title(&job.subject));
            let run = async {
                let exploration = self.explore(database, number, job).await?;
                self.observer.done(number, &exploration);
                Ok(exploration)
            };
            let explored = AssertUnwindSafe(run).catch_unwind().await;
            let exploration = match explored {
                Ok(Err(ExploreError::Panicked { message, .. })) => Err(ExploreError::Panicked { activity, message }),
                Ok(explored) => explored,
                Err(panic) => Err(ExploreError::panicked(&activity, &*panic)),
            }?;
            let _ = messages.send(WorkerMessage::Explored(number, Box::new(exploration)));
        }
        Ok(())
    }

    async fn explore(
        &self,
        database: &mut ExplorerDatabase,
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
            JobSubject::Approach(case) => match case.crash {
                Some(crash) => crash::explore(database, &case, crash, subject, &plan, &mut go_on).await,
                None => explore(&mut ApproachExecution::new(database, case), subject, plan, &mut go_on).await,
            },
            JobSubject::File(script, variant) => {
                let file = subject.file.clone().unwrap_or_default();
                let explored = execution::explore(database, &script, &variant, subject, plan, &mut go_on).await;
                explored.map_err(|error| error.in_file(&file))
            }
            JobSubject::App(app) => {
                let file = subject.file.clone().unwrap_or_default();
                let explored = app_execution::explore(database, &app, subject, plan, &mut go_on).await;
                explored.map_err(|error| error.in_file(&file))
            }
        }
    }
}
