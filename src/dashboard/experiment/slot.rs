//! The bench: the one place where an experiment may be. It starts it, follows what it tells, stops it, and publishes where it stands.
//!
//! Who looks never makes an experiment wait: there is one snapshot, the newest, and whoever looks takes it when ready for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exclusive_lease::ExclusiveLease;
use super::process::{ExperimentProcess, STOP_MAX};
use super::request::ExperimentRequest;
use super::snapshot::{
    ExperimentEnding, ExperimentFindings, ExperimentPhase, ExperimentState, Snapshot, SnapshotVersion,
};
use crate::dashboard::Dashboard;
use crate::dashboard::experiment_databases::{DatabasePurpose, ExperimentDatabases};
use crate::http::answer::Rejection;

/// How long the end of an experiment is waited for when the server closes: a little longer than its process has.
const CLOSE_MAX: Duration = Duration::from_secs(STOP_MAX.as_secs() + 5);

/// Where the one experiment stands.
#[derive(Debug)]
pub struct ExperimentSlot {
    laboratory: Arc<ExperimentDatabases>,
    runs: PathBuf,
    epoch: u32,
    place: Mutex<SlotState>,
    published: watch::Sender<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct SlotState {
    /// Nothing begins any more.
    closed: bool,
    /// How many there were.
    experiments: u64,
    taken: Option<RunningExperiment>,
}

/// What is under way.
#[derive(Debug)]
struct RunningExperiment {
    name: String,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl ExperimentSlot {
    /// An empty one; experiments leave what they found in the folder `runs`.
    #[must_use]
    pub fn new(laboratory: Arc<ExperimentDatabases>, runs: PathBuf) -> Self {
        let epoch = fastrand::u32(..);
        let first = Snapshot::new(SnapshotVersion { epoch, experiment: 0, state: 0 }, None);
        Self { laboratory, runs, epoch, place: Mutex::default(), published: watch::Sender::new(Arc::new(first)) }
    }

    /// What is under way, such as `the run withdrawal, naive`; `None` if nothing is.
    #[must_use]
    pub fn under_way(&self) -> Option<String> {
        self.place().taken.as_ref().map(|taken| taken.name.clone())
    }

    /// The approach that the run under way is on, if one is.
    #[must_use]
    pub fn approach(&self) -> Option<String> {
        let snapshot = self.snapshot();
        let state = snapshot.experiment.as_ref().filter(|state| !state.is_over())?;
        let ExperimentFindings::Run(race) = &state.found else { return None };
        race.course.as_ref().map(|course| course.title.approach.clone())
    }

    /// The newest snapshot, now and from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.published.subscribe()
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.borrow())
    }

    /// Begins an experiment.
    ///
    /// # Errors
    /// 409, naming what is under way; 503 when the server closes.
    pub fn start(&self, dashboard: &Arc<Dashboard>, order: ExperimentRequest) -> Result<(), Rejection> {
        let mut place = self.place();
        if place.closed || dashboard.closing.is_cancelled() {
            return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "the server is closing"));
        }
        if let Some(taken) = &place.taken {
            let message = format!(
                "{} is under way, and there is one experiment at a time: watch or stop it at /lab/experiment",
                taken.name
            );
            return Err(Rejection::new(StatusCode::CONFLICT, message));
        }
        place.experiments += 1;
        let (name, stop) = (order.name(), dashboard.closing.child_token());
        let conductor = ExperimentDriver {
            dashboard: Arc::clone(dashboard),
            stop: stop.clone(),
            version: SnapshotVersion { epoch: self.epoch, experiment: place.experiments, state: 0 },
            state: ExperimentState::new(
                Arc::new(order),
                humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            ),
        };
        // Its task cannot free the place before it is taken: the lock is held.
        let task = Some(tokio::spawn(conductor.conduct()));
        place.taken = Some(RunningExperiment { name, stop, task });
        Ok(())
    }

    /// Tells what is under way to stop.
    ///
    /// # Errors
    /// 409 if nothing is.
    pub fn stop(&self) -> Result<(), Rejection> {
        match &self.place().taken {
            Some(taken) => taken.stop.cancel(),
            None => return Err(Rejection::new(StatusCode::CONFLICT, "there is no experiment under way to stop")),
        }
        Ok(())
    }

    /// Ends what is under way, and lets nothing begin any more.
    pub async fn close(&self) {
        let task = {
            let mut place = self.place();
            place.closed = true;
            let taken = place.taken.as_mut();
            taken.inspect(|taken| taken.stop.cancel()).and_then(|taken| taken.task.take())
        };
        if let Some(task) = task
            && tokio::time::timeout(CLOSE_MAX, task).await.is_err()
        {
            tracing::warn!("an experiment did not end within {} s", CLOSE_MAX.as_secs());
        }
    }

    fn place(&self) -> MutexGuard<'_, SlotState> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one experiment from its beginning to its end. However it ends, the place is free again.
struct ExperimentDriver {
    dashboard: Arc<Dashboard>,
    stop: CancellationToken,
    version: SnapshotVersion,
    state: ExperimentState,
}

impl ExperimentDriver {
    async fn conduct(mut self) {
        self.publish();
        let ending = self.experiment().await;
        self.state.phase = ExperimentPhase::Ended(ending);
        // What is left is done by dropping.
    }

    async fn experiment(&mut self) -> ExperimentEnding {
        let stop = self.stop.clone();
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = stop.cancelled() => return ExperimentEnding::Stopped,
        };
        match opened {
            Ok((database, hold)) => {
                let ending = self.on(&database).await;
                hold.release().await;
                ending
            }
            Err(reason) => ExperimentEnding::Failed(reason),
        }
    }

    /// The database of experiments, which is this one's alone as long as it is held.
    async fn open(&self) -> Result<(PgConnectOptions, ExclusiveLease), String> {
        let laboratory = &self.dashboard.bench.laboratory;
        if laboratory.is_shared() {
            self.dashboard.stage.leave().await;
        }
        let database = laboratory.database(DatabasePurpose::Experiment).await.map_err(|error| error.to_string())?;
        let served = self.dashboard.app.engine.server().database().connect_options();
        let hold = ExclusiveLease::take(&database, laboratory.is_shared().then_some(served)).await;
        Ok((database, hold.map_err(|error| error.to_string())?))
    }

    async fn on(&mut self, database: &PgConnectOptions) -> ExperimentEnding {
        let started = ExperimentProcess::start(&self.state.order, &self.dashboard.bench.runs, database);
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                return ExperimentEnding::Failed(format!("cannot start a process for the experiment: {error}"));
            }
        };
        self.state.phase = ExperimentPhase::Starting;
        self.publish();
        let in_time = self.follow(&mut process).await;
        let (status, said) = process.end(!in_time).await;
        self.ending(status.and_then(|status| status.code()), &said)
    }

    /// Hears all that it tells, and tells it to stop when that is wanted. Whether it came to an end in time.
    async fn follow(&mut self, process: &mut ExperimentProcess) -> bool {
        let (stop, deadline) = (self.stop.clone(), tokio::time::sleep(Duration::MAX));
        tokio::pin!(deadline);
        let (mut line, mut stopping) = (Vec::new(), false);
        loop {
            tokio::select! {
                event = process.next(&mut line) => match event {
                    Some(event) => {
                        self.state.hear(event);
                        if stopping {
                            self.state.phase = ExperimentPhase::Stopping;
                        }
                    }
                    None => return true,
                },
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    process.interrupt();
                    self.state.phase = ExperimentPhase::Stopping;
                    deadline.as_mut().reset(tokio::time::Instant::now() + STOP_MAX);
                }
                () = &mut deadline, if stopping => return false,
            }
            self.publish();
        }
    }

    /// What its exit code means.
    fn ending(&self, code: Option<i32>, said: &str) -> ExperimentEnding {
        // What it says itself begins with its name.
        let last = || said.rsplit("concurrency-lab: ").next().unwrap_or_default().to_owned();
        match code {
            // What a safe approach did wrong counts, stopped or not.
            Some(1) => ExperimentEnding::Otherwise(last()),
            _ if self.stop.is_cancelled() => ExperimentEnding::Stopped,
            Some(0) => ExperimentEnding::AsClaimed,
            Some(_) if self.state.saved.is_some() => ExperimentEnding::Otherwise(last()),
            Some(code) => ExperimentEnding::Failed(format!("its process ended with exit code {code}: {said}")),
            None => ExperimentEnding::Failed(format!("its process was killed: {said}")),
        }
    }

    fn publish(&mut self) {
        self.version.state += 1;
        let snapshot = Snapshot::new(self.version, Some(self.state.clone()));
        self.dashboard.bench.published.send_replace(Arc::new(snapshot));
    }
}

impl Drop for ExperimentDriver {
    fn drop(&mut self) {
        if !self.state.is_over() {
            self.state.phase =
                ExperimentPhase::Ended(ExperimentEnding::Failed("the server failed to follow it".to_owned()));
        }
        let dashboard = Arc::clone(&self.dashboard);
        // Both at once: nobody who sees that it is over is told that it is under way.
        let mut place = dashboard.bench.place();
        place.taken = None;
        self.publish();
    }
}
