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
use super::exploration::explore;
use super::file::{Script, Variant, stage};
use super::findings::{Exploration, Subject};
use super::play::{ApproachPlay, Piece};
use super::search::{Plan, Progress};
use super::world::World;

/// One thing to explore.
#[derive(Clone)]
pub struct Job {
    /// What it is called.
    pub subject: Subject,
    /// What is played.
    pub what: What,
    /// How to search.
    pub plan: Plan,
}

/// What is played.
#[derive(Clone)]
pub enum What {
    /// An approach.
    Approach(Piece),
    /// A variant of an explore file.
    File(Arc<Script>, Variant),
}

/// Hears how it goes, from the workers' threads.
pub trait Observer: Send + Sync {
    /// So far a job has come.
    fn progress(&self, job: usize, subject: &Subject, progress: Progress);

    /// Deadlocks are found after the server's `deadlock_timeout` only: the right to lower it is missing.
    fn slow_deadlocks(&self);

    /// A job is done.
    fn done(&self, job: usize, exploration: &Exploration);
}

/// What the workers found.
#[derive(Debug)]
pub struct Found {
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
    jobs: Vec<Job>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) -> Result<Found, ExploreError> {
    let shared = Arc::new(Shared {
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
                let _ = tell.send(Told::Failed(error));
            }
        });
    }
    drop(tell);
    let mut found = Found { explorations: Vec::new(), postgresql: String::new() };
    let (mut explored, mut failed) = (BTreeMap::new(), None);
    while let Some(told) = hear.recv().await {
        match told {
            Told::Opened { version } => found.postgresql = version,
            Told::Explored(job, exploration) => drop(explored.insert(job, *exploration)),
            Told::Failed(error) => drop(failed.get_or_insert(error)),
        }
    }
    found.explorations = explored.into_values().collect();
    failed.map_or(Ok(found), Err)
}

enum Told {
    Opened { version: String },
    Explored(usize, Box<Exploration>),
    Failed(ExploreError),
}

struct Shared {
    left: Mutex<Vec<(usize, Job)>>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
}

impl Shared {
    fn next(&self) -> Option<(usize, Job)> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn work(&self, options: &PgConnectOptions, tell: &mpsc::UnboundedSender<Told>) -> Result<(), ExploreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut world = World::open(options).await?;
            if world.deadlock_timeout().is_none() {
                self.observer.slow_deadlocks();
            }
            let _ = tell.send(Told::Opened { version: world.version().to_owned() });
            let worked = self.work_in(&mut world, tell).await;
            // What is ours on somebody's database goes, whatever happened.
            worked.and(world.close().await)
        })
    }

    async fn work_in(&self, world: &mut World, tell: &mpsc::UnboundedSender<Told>) -> Result<(), ExploreError> {
        while let Some((number, job)) = self.next().filter(|_| !self.stop.is_cancelled()) {
            let exploration = self.explore(world, number, job).await?;
            self.observer.done(number, &exploration);
            let _ = tell.send(Told::Explored(number, Box::new(exploration)));
        }
        Ok(())
    }

    async fn explore(&self, world: &mut World, number: usize, job: Job) -> Result<Exploration, ExploreError> {
        let Job { subject, what, plan } = job;
        let shown = subject.clone();
        let mut go_on = |progress: Progress| {
            self.observer.progress(number, &shown, progress);
            !self.stop.is_cancelled()
        };
        match what {
            What::Approach(piece) => match piece.crash {
                Some(crash) => crash::explore(world, &piece, crash, subject, &plan, &mut go_on).await,
                None => explore(&mut ApproachPlay::new(world, piece), subject, plan, &mut go_on).await,
            },
            What::File(script, variant) => {
                let file = subject.file.clone().unwrap_or_default();
                let explored = stage::explore(world, &script, &variant, subject, plan, &mut go_on).await;
                explored.map_err(|error| error.in_file(&file))
            }
        }
    }
}
