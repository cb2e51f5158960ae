//! `--events`: what a run or an exploration does, as events of the [`feed`](crate::feed) on standard output.
//!
//! A reader that is gone is no error: then standard input has ended too, and the experiment stops for that.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Method;
use tokio_util::task::AbortOnDropHandle;

use crate::dashboard::model::ExperimentEvent;
use crate::explore::findings::{Exploration, Subject};
use crate::explore::search;
use crate::explore::worker_pool;
use crate::feed::{PoolGauges, SLICE};
use crate::lab::experiment;
use crate::lab::live::OnSlice;
use crate::lab::plan::{Contestant, RunConditions};
use crate::lab::results::Round;
use crate::lab::target::Target;
use crate::report::printable::shown_json;
use referee::history::RoundTitle;

/// How often the server is asked for its connections: seldom enough to cost the load nothing.
const POOL_EVERY: Duration = Duration::from_secs(1);

/// Standard output as a stream of events.
#[derive(Debug)]
pub struct EventWriter;

impl EventWriter {
    /// Writes an event.
    pub fn write(event: &ExperimentEvent) {
        let Ok(json) = serde_json::to_string(event) else { return };
        let line = shown_json(&json).into_owned() + "\n";
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }

    /// Writes where the results are.
    pub fn saved(folder: &Path) {
        if let Some(name) = folder.file_name() {
            Self::write(&ExperimentEvent::Saved { folder: name.to_string_lossy().into_owned() });
        }
    }
}

/// Writes how a run goes.
#[derive(Debug)]
pub struct RunEvents {
    target: Target,
    /// Asks for the pool while a round is under way.
    asking: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl RunEvents {
    /// Of a race on this target.
    pub fn new(target: &Target, contestants: &[Contestant], repeat: u32, not_offered: &[String]) -> Self {
        EventWriter::write(&ExperimentEvent::Race {
            rounds: contestants.len() as u64 * u64::from(repeat),
            approaches: contestants.iter().map(|contestant| contestant.name.clone()).collect(),
            not_offered: not_offered.to_vec(),
        });
        Self { target: target.clone(), asking: Mutex::new(None) }
    }

    fn ask(&self, asking: Option<AbortOnDropHandle<()>>) {
        *self.asking.lock().unwrap_or_else(PoisonError::into_inner) = asking;
    }
}

/// Asks the server for its connections, until this is dropped or the server turns out not to report them. A server too busy to answer is
/// asked again.
async fn ask_for_pool(target: Target) {
    let mut tick = tokio::time::interval(POOL_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Ok(answer) = target.ask(Method::GET, "/metrics", String::new()).await else { continue };
        let Some(pool) = PoolGauges::of_metrics(&String::from_utf8_lossy(&answer.body)) else { return };
        EventWriter::write(&ExperimentEvent::Pool(pool));
    }
}

impl experiment::RunObserver for RunEvents {
    fn begins(&self, title: &RoundTitle, conditions: &RunConditions, _: &Arc<AtomicU64>) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (requests, duration_ms) = (conditions.requests, conditions.duration.map(ms));
        EventWriter::write(&ExperimentEvent::RoundBegins { title: title.clone(), requests, duration_ms });
        self.ask(Some(AbortOnDropHandle::new(tokio::spawn(ask_for_pool(self.target.clone())))));
    }

    fn live(&self) -> Option<OnSlice> {
        Some(Box::new(|slice| EventWriter::write(&ExperimentEvent::Tick(slice))))
    }

    fn judging(&self) {
        self.ask(None);
        EventWriter::write(&ExperimentEvent::Judging);
    }

    fn ends(&self, title: &RoundTitle, round: &Round) {
        let mut round = round.clone();
        round.series.clear();
        round.latency.buckets.clear();
        EventWriter::write(&ExperimentEvent::RoundEnds { title: title.clone(), round: Box::new(round) });
    }
}

/// Writes how an exploration goes.
#[derive(Debug)]
pub struct ExploreEvents {
    /// When the last event about each exploration under way was written.
    last_written: Mutex<HashMap<usize, Instant>>,
}

impl ExploreEvents {
    /// Of so many explorations.
    pub fn new(explorations: usize) -> Self {
        EventWriter::write(&ExperimentEvent::Plan { explorations: explorations as u64 });
        Self { last_written: Mutex::default() }
    }

    /// Whether it is time for the next event about one.
    fn is_due(&self, job: usize) -> bool {
        let mut last_written = self.last_written.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last_written.get(&job).is_none_or(|last| last.elapsed() >= SLICE);
        if due {
            last_written.insert(job, Instant::now());
        }
        due
    }
}

impl worker_pool::ExploreObserver for ExploreEvents {
    fn progress(&self, job: usize, subject: &Subject, progress: search::SearchProgress) {
        if self.is_due(job) {
            EventWriter::write(&ExperimentEvent::Exploring {
                job: job as u64,
                subject: subject.clone(),
                interleavings: progress.interleavings,
                estimate: progress.estimate(),
            });
        }
    }

    fn slow_deadlocks(&self) {
        let text = "Only a superuser may lower deadlock_timeout. Each deadlock takes as long as the server's setting, and PostgreSQL ends \
                    the session that waited first.";
        EventWriter::write(&ExperimentEvent::Warning { text: text.to_owned() });
    }

    fn done(&self, job: usize, exploration: &Exploration) {
        self.last_written.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
        let mut exploration = exploration.clone();
        for outcome in &mut exploration.outcomes {
            outcome.lines.clear();
        }
        if let Some(witness) = &mut exploration.witness {
            let transcript = &mut witness.transcript;
            (transcript.parts, transcript.before) = (Vec::new(), Vec::new());
            (transcript.entries, transcript.after) = (Vec::new(), Vec::new());
        }
        EventWriter::write(&ExperimentEvent::Explored { job: job as u64, exploration: Box::new(exploration) });
    }
}
