//! The one experiment that can be under way: the slot starts it, follows its events, stops it, and publishes its state.
//!
//! Viewers never delay an experiment. There is one snapshot, the newest, and each viewer takes it when it is ready for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exclusive_lease::ExclusiveLease;
use super::experiment_databases::{DatabasePurpose, ExperimentDatabases};
use super::experiment_process::{ExperimentProcess, STOP_MAX};
use super::player::{PlayerBlocked, PlayerError, PlayerService};
use crate::dashboard::model::experiment_request::ExperimentRequest;
use crate::dashboard::model::snapshot::{
    ExperimentEnding, ExperimentFindings, ExperimentPhase, ExperimentState, Snapshot, SnapshotVersion,
};
use crate::http::answer::Rejection;

/// How long the server waits for the end of an experiment when it closes: a little longer than the experiment's process has.
const CLOSE_MAX: Duration = Duration::from_secs(STOP_MAX.as_secs() + 5);

/// The one experiment that can be under way. Clones share it.
#[derive(Debug, Clone)]
pub struct ExperimentSlot {
    shared: Arc<SharedSlot>,
}

#[derive(Debug)]
struct SharedSlot {
    databases: Arc<ExperimentDatabases>,
    player: PlayerService,
    served: PgConnectOptions,
    runs: PathBuf,
    closing: CancellationToken,
    epoch: u32,
    state: Mutex<SlotState>,
    published: watch::Sender<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct SlotState {
    /// No experiment may start any more.
    closed: bool,
    /// How many experiments were started.
    experiments: u64,
    running: Option<RunningExperiment>,
}

#[derive(Debug)]
struct RunningExperiment {
    name: String,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl ExperimentSlot {
    /// An empty slot. Experiments work on these databases, never on the `served` one, and write their results to the folder `runs`.
    /// On a database that the player shares, the player leaves it first.
    #[must_use]
    pub fn new(
        databases: Arc<ExperimentDatabases>,
        player: PlayerService,
        served: PgConnectOptions,
        runs: PathBuf,
        closing: CancellationToken,
    ) -> Self {
        let epoch = fastrand::u32(..);
        let first = Snapshot { version: SnapshotVersion { epoch, experiment: 0, state: 0 }, experiment: None };
        let published = watch::Sender::new(Arc::new(first));
        let state = Mutex::default();
        Self { shared: Arc::new(SharedSlot { databases, player, served, runs, closing, epoch, state, published }) }
    }

    /// The name of the experiment under way, such as `the run withdrawal, naive`.
    #[must_use]
    pub fn under_way(&self) -> Option<String> {
        self.shared.state().running.as_ref().map(|running| running.name.clone())
    }

    /// The approach of the run under way.
    #[must_use]
    pub fn approach(&self) -> Option<String> {
        let snapshot = self.snapshot();
        let state = snapshot.experiment.as_ref().filter(|state| !state.is_over())?;
        let ExperimentFindings::Run(run) = &state.findings else { return None };
        run.round.as_ref().map(|round| round.title.approach.clone())
    }

    /// The newest snapshot, now and after each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.published.subscribe()
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.published.borrow())
    }

    /// Cancelled when the server closes: streams of snapshots end then.
    #[must_use]
    pub fn closing(&self) -> CancellationToken {
        self.shared.closing.clone()
    }

    /// Blocks the player while an experiment is under way, because playing would distort its figures.
    #[must_use]
    pub fn player_blocked(&self) -> PlayerBlocked {
        let slot = self.clone();
        Arc::new(move || {
            if slot.shared.closing.is_cancelled() {
                return Some(PlayerError::Closing);
            }
            let under_way = slot.under_way()?;
            Some(PlayerError::Blocked(format!(
                "an experiment is under way ({under_way}), and playing would distort its figures; wait for its end or stop it on the \
                 page Live"
            )))
        })
    }

    /// Starts an experiment.
    ///
    /// # Errors
    /// 409, naming the experiment under way; 503 when the server closes.
    pub fn start(&self, request: ExperimentRequest) -> Result<(), Rejection> {
        let shared = &self.shared;
        let mut state = shared.state();
        if state.closed || shared.closing.is_cancelled() {
            return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "the server is closing"));
        }
        if let Some(running) = &state.running {
            let message = format!(
                "{} is under way, and only one experiment can run at a time: watch or stop it at /lab/experiment",
                running.name
            );
            return Err(Rejection::new(StatusCode::CONFLICT, message));
        }
        state.experiments += 1;
        let (name, stop) = (request.name(), shared.closing.child_token());
        let driver = ExperimentDriver {
            slot: Arc::clone(shared),
            stop: stop.clone(),
            version: SnapshotVersion { epoch: shared.epoch, experiment: state.experiments, state: 0 },
            state: ExperimentState::new(
                Arc::new(request),
                humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            ),
        };
        // The lock is held, so the task cannot free the slot before it is taken.
        let task = Some(tokio::spawn(driver.drive()));
        state.running = Some(RunningExperiment { name, stop, task });
        Ok(())
    }

    /// Tells the experiment under way to stop.
    ///
    /// # Errors
    /// 409 if there is none.
    pub fn stop(&self) -> Result<(), Rejection> {
        match &self.shared.state().running {
            Some(running) => running.stop.cancel(),
            None => return Err(Rejection::new(StatusCode::CONFLICT, "no experiment is under way")),
        }
        Ok(())
    }

    /// Stops the experiment under way and lets no other one start.
    pub async fn close(&self) {
        let task = {
            let mut state = self.shared.state();
            state.closed = true;
            let running = state.running.as_mut();
            running.inspect(|running| running.stop.cancel()).and_then(|running| running.task.take())
        };
        if let Some(task) = task
            && tokio::time::timeout(CLOSE_MAX, task).await.is_err()
        {
            tracing::warn!("an experiment did not end within {} s", CLOSE_MAX.as_secs());
        }
    }
}

impl SharedSlot {
    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one experiment from its beginning to its end. However that comes, dropping the driver frees the slot.
struct ExperimentDriver {
    slot: Arc<SharedSlot>,
    stop: CancellationToken,
    version: SnapshotVersion,
    state: ExperimentState,
}

impl ExperimentDriver {
    async fn drive(mut self) {
        self.publish();
        let ending = self.experiment().await;
        self.state.phase = ExperimentPhase::Ended(ending);
        // `drop` publishes the end and frees the slot.
    }

    async fn experiment(&mut self) -> ExperimentEnding {
        let stop = self.stop.clone();
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = stop.cancelled() => return ExperimentEnding::Stopped,
        };
        match opened {
            Ok((database, lease)) => {
                let ending = self.run_process(&database).await;
                lease.release().await;
                ending
            }
            Err(reason) => ExperimentEnding::Failed(reason),
        }
    }

    /// The database of experiments, reserved for this experiment until the lease ends.
    async fn open(&self) -> Result<(PgConnectOptions, ExclusiveLease), String> {
        let SharedSlot { databases, player, served, .. } = &*self.slot;
        if databases.is_shared() {
            player.leave().await;
        }
        let database = databases.database(DatabasePurpose::Experiment).await.map_err(|error| error.to_string())?;
        let lease = ExclusiveLease::take(&database, databases.is_shared().then_some(served)).await;
        Ok((database, lease.map_err(|error| error.to_string())?))
    }

    async fn run_process(&mut self, database: &PgConnectOptions) -> ExperimentEnding {
        let started = ExperimentProcess::start(&self.state.request, &self.slot.runs, database);
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                return ExperimentEnding::Failed(format!("cannot start a process for the experiment: {error}"));
            }
        };
        self.state.phase = ExperimentPhase::Starting;
        self.publish();
        let in_time = self.follow(&mut process).await;
        let (status, errors) = process.end(!in_time).await;
        self.ending(status.and_then(|status| status.code()), &errors)
    }

    /// Applies the events of the process, and interrupts it when the experiment is to stop. Returns whether the process ended in time.
    async fn follow(&mut self, process: &mut ExperimentProcess) -> bool {
        let (stop, deadline) = (self.stop.clone(), tokio::time::sleep(Duration::MAX));
        tokio::pin!(deadline);
        let (mut line, mut stopping) = (Vec::new(), false);
        loop {
            tokio::select! {
                event = process.next(&mut line) => match event {
                    Some(event) => {
                        self.state.apply(event);
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

    /// The ending that an exit code and the end of standard error mean.
    fn ending(&self, code: Option<i32>, errors: &str) -> ExperimentEnding {
        // The program's own messages begin with its name.
        let last = || errors.rsplit("concurrency-lab: ").next().unwrap_or_default().to_owned();
        match code {
            // A claim that failed counts even if the experiment was stopped.
            Some(1) => ExperimentEnding::Otherwise(last()),
            _ if self.stop.is_cancelled() => ExperimentEnding::Stopped,
            Some(0) => ExperimentEnding::AsClaimed,
            Some(_) if self.state.saved.is_some() => ExperimentEnding::Otherwise(last()),
            Some(code) => ExperimentEnding::Failed(format!("its process ended with exit code {code}: {errors}")),
            None => ExperimentEnding::Failed(format!("its process was killed: {errors}")),
        }
    }

    fn publish(&mut self) {
        self.version.state += 1;
        let snapshot = Snapshot { version: self.version, experiment: Some(self.state.clone()) };
        self.slot.published.send_replace(Arc::new(snapshot));
    }
}

impl Drop for ExperimentDriver {
    fn drop(&mut self) {
        if !self.state.is_over() {
            let reason = "an internal error: the server stopped following its process".to_owned();
            self.state.phase = ExperimentPhase::Ended(ExperimentEnding::Failed(reason));
        }
        let slot = Arc::clone(&self.slot);
        // Under one lock: a request that follows the published end finds the slot free.
        let mut state = slot.state();
        state.running = None;
        self.publish();
    }
}
