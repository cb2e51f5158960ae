//! The state of the experiment at one moment, folded from the events of its process.
//!
//! A viewer always receives a whole snapshot. So a viewer that connects late, reconnects or reads slowly misses nothing, and the server
//! keeps nothing for a viewer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::ExperimentEvent;
use super::experiment_request::{ExperimentKind, ExperimentRequest};
use super::live_round::LiveRound;
use crate::explore::findings::{Exploration, Subject};
use crate::lab::results::{ApproachResult, Round};
use referee::history::{ClaimedSafety, RoundTitle};

/// Rounds and explorations that are kept: more than any request leads to.
const FINISHED_MAX: usize = 1_000;

/// Warnings that are kept.
const WARNINGS_MAX: usize = 20;

/// Explorations that are shown as under way: more than there are workers.
const UNDER_WAY_MAX: usize = 64;

/// Identifies one state of one experiment; it is the id of server-sent events. The epoch differs in each server process, so a browser that
/// reconnects to a restarted server is sent the whole state again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotVersion {
    /// A random number of the server process.
    pub epoch: u32,
    /// Which experiment of the server; 0 before the first.
    pub experiment: u64,
    /// Raised by each event.
    pub state: u64,
}

impl fmt::Display for SnapshotVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, experiment, state } = self;
        write!(formatter, "{epoch:08x}-{experiment}.{state}")
    }
}

/// How far the experiment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentPhase {
    /// Its database is being started.
    Preparing,
    /// Its process is started and has sent no event yet.
    Starting,
    /// Under way.
    Running,
    /// Told to stop.
    Stopping,
    /// Over.
    Ended(ExperimentEnding),
}

/// How the experiment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentEnding {
    /// It ran to its end, and every claim held.
    AsClaimed,
    /// It ran to its end, and a claim failed or something is undecided; with the last message of its process.
    Otherwise(String),
    /// It was stopped; the results until then are kept.
    Stopped,
    /// It could not go on; with the last message of its process.
    Failed(String),
}

/// The state that every viewer is shown.
#[derive(Debug)]
pub struct Snapshot {
    /// Which state this is.
    pub version: SnapshotVersion,
    /// The experiment; `None` before the first one.
    pub experiment: Option<ExperimentState>,
}

/// The state of an experiment.
#[derive(Debug, Clone)]
pub struct ExperimentState {
    /// What was asked for.
    pub request: Arc<ExperimentRequest>,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// How far it is.
    pub phase: ExperimentPhase,
    /// The results so far.
    pub findings: ExperimentFindings,
    /// Warnings of its process.
    pub warnings: Vec<String>,
    /// The folder with its results, below the run folder.
    pub saved: Option<String>,
}

/// The results so far.
#[derive(Debug, Clone)]
pub enum ExperimentFindings {
    /// Of a run.
    Run(LiveRun),
    /// Of an exploration.
    Exploration(LiveExploration),
}

/// A run so far.
#[derive(Debug, Clone, Default)]
pub struct LiveRun {
    /// Rounds in total.
    pub rounds: u64,
    /// The approaches that do not offer the scenario.
    pub not_offered: Vec<String>,
    /// The round under load, or the last one.
    pub round: Option<Arc<LiveRound>>,
    /// The results of the finished rounds, by approach.
    pub results: Vec<Arc<ApproachResult>>,
}

/// An exploration so far.
#[derive(Debug, Clone, Default)]
pub struct LiveExploration {
    /// Explorations in total.
    pub planned: u64,
    /// Those under way, by number: subject, interleavings so far, estimated interleavings.
    pub under_way: BTreeMap<u64, (Subject, u64, f64)>,
    /// Those that are done, by number.
    pub done: BTreeMap<u64, Arc<Exploration>>,
}

impl ExperimentState {
    /// The state of an experiment that begins.
    #[must_use]
    pub fn new(request: Arc<ExperimentRequest>, started: String) -> Self {
        let findings = match request.kind {
            ExperimentKind::Run => ExperimentFindings::Run(LiveRun::default()),
            ExperimentKind::Explore => ExperimentFindings::Exploration(LiveExploration::default()),
        };
        Self { request, started, phase: ExperimentPhase::Preparing, findings, warnings: Vec::new(), saved: None }
    }

    /// Applies an event of its process.
    pub fn apply(&mut self, event: ExperimentEvent) {
        if matches!(self.phase, ExperimentPhase::Preparing | ExperimentPhase::Starting) {
            self.phase = ExperimentPhase::Running;
        }
        match event {
            ExperimentEvent::Warning { text } if self.warnings.len() < WARNINGS_MAX => self.warnings.push(text),
            ExperimentEvent::Warning { .. } => {}
            ExperimentEvent::Saved { folder } => self.saved = Some(folder),
            event => match &mut self.findings {
                ExperimentFindings::Run(run) => run.apply(event),
                ExperimentFindings::Exploration(exploration) => exploration.apply(event),
            },
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, ExperimentPhase::Ended(_))
    }
}

impl LiveRun {
    fn apply(&mut self, event: ExperimentEvent) {
        match event {
            ExperimentEvent::Race { rounds, not_offered, .. } => {
                (self.rounds, self.not_offered) = (rounds, not_offered);
            }
            ExperimentEvent::RoundBegins { title, requests, duration_ms } => {
                self.round = Some(Arc::new(LiveRound::new(title, requests, duration_ms)));
            }
            ExperimentEvent::Tick(slice) => self.update_round(|round| round.push(slice)),
            ExperimentEvent::Pool(pool) => self.update_round(|round| round.pool = Some(pool)),
            ExperimentEvent::Judging => self.update_round(|round| round.judging = true),
            ExperimentEvent::RoundEnds { title, round } => {
                self.update_round(|round| round.judging = false);
                self.keep(&title, *round);
            }
            _ => {}
        }
    }

    /// Changes the round under load. An earlier snapshot may still hold the round as it was, so it is copied if it is shared.
    fn update_round(&mut self, change: impl FnOnce(&mut LiveRound)) {
        if let Some(round) = &mut self.round {
            change(Arc::make_mut(round));
        }
    }

    fn keep(&mut self, title: &RoundTitle, round: Round) {
        if self.rounds_done() >= FINISHED_MAX {
            return;
        }
        let known = self.results.iter().position(|result| result.approach == title.approach);
        let at = known.unwrap_or_else(|| {
            self.results.push(Arc::new(ApproachResult::new(&title.approach, title.claim, None)));
            self.results.len() - 1
        });
        Arc::make_mut(&mut self.results[at]).push(round);
    }

    /// Rounds that are judged.
    #[must_use]
    pub fn rounds_done(&self) -> usize {
        self.results.iter().map(|result| result.rounds.len()).sum()
    }
}

impl LiveExploration {
    fn apply(&mut self, event: ExperimentEvent) {
        match event {
            ExperimentEvent::Plan { explorations } => self.planned = explorations,
            ExperimentEvent::Exploring { job, subject, interleavings, estimate }
                if self.under_way.contains_key(&job) || self.under_way.len() < UNDER_WAY_MAX =>
            {
                self.under_way.insert(job, (subject, interleavings, estimate));
            }
            ExperimentEvent::Explored { job, exploration } => {
                self.under_way.remove(&job);
                if self.done.len() < FINISHED_MAX {
                    self.done.insert(job, Arc::from(exploration));
                }
            }
            _ => {}
        }
    }

    /// How many of the finished explorations contradict their claim.
    #[must_use]
    pub fn contradictions(&self) -> usize {
        let claimed = |exploration: &&Arc<Exploration>| exploration.subject.claim != ClaimedSafety::Unsupported;
        self.done.values().filter(claimed).filter(|exploration| exploration.contradicts_claim()).count()
    }
}
