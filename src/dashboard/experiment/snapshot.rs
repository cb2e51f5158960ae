//! All that there is to see of an experiment at one moment: a fold of what its process told. Whoever looks gets a whole snapshot, so
//! nothing is lost by looking late, by looking away, or by a connection that breaks; and nothing is kept for anybody who looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::ExperimentEvent;
use super::live_round::LiveRound;
use super::parts::PageParts;
use super::request::{ExperimentKind, ExperimentRequest};
use crate::explore::findings::{Exploration, Subject};
use crate::lab::results::{ApproachResult, Round};
use referee::history::{ClaimedSafety, RoundTitle};

/// Rounds and explorations that are kept: more than any order leads to.
const FINISHED_MAX: usize = 1_000;

/// Warnings that are kept.
const WARNINGS_MAX: usize = 20;

/// Explorations that are shown as under way: more than there are workers.
const UNDER_WAY_MAX: usize = 64;

/// Which state of which experiment: the id of server-sent events. The epoch is another in each server, so that a page that comes back to one
/// that was started anew is not taken to know what it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotVersion {
    /// Of the server, at random.
    pub epoch: u32,
    /// Which experiment of it; 0 is none.
    pub experiment: u64,
    /// Raised by everything that happens.
    pub state: u64,
}

impl fmt::Display for SnapshotVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, experiment, state } = self;
        write!(formatter, "{epoch:08x}-{experiment}.{state}")
    }
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentPhase {
    /// Its database is started.
    Preparing,
    /// Its process is started, and has not told anything yet.
    Starting,
    /// Under way.
    Running,
    /// Told to stop.
    Stopping,
    /// Over.
    Ended(ExperimentEnding),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentEnding {
    /// By itself, and everything was as claimed.
    AsClaimed,
    /// By itself, and a claim failed; or something is undecided. In its own words.
    Otherwise(String),
    /// It was stopped: what was found until then is there.
    Stopped,
    /// It could not go on, with what it said last.
    Failed(String),
}

/// All that there is to see.
#[derive(Debug)]
pub struct Snapshot {
    /// Which state this is.
    pub version: SnapshotVersion,
    /// The experiment; `None` before the first one.
    pub experiment: Option<ExperimentState>,
    /// Made for the first one who looks.
    pub(super) parts: OnceLock<PageParts>,
}

impl Snapshot {
    /// A snapshot.
    #[must_use]
    pub fn new(version: SnapshotVersion, experiment: Option<ExperimentState>) -> Self {
        Self { version, experiment, parts: OnceLock::new() }
    }
}

/// Where an experiment stands.
#[derive(Debug, Clone)]
pub struct ExperimentState {
    /// What was asked for.
    pub order: Arc<ExperimentRequest>,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// How far it is.
    pub phase: ExperimentPhase,
    /// Of what.
    pub found: ExperimentFindings,
    /// What whoever looks should know.
    pub warnings: Vec<String>,
    /// The folder with what was found, below the run folder.
    pub saved: Option<String>,
}

/// What was found so far.
#[derive(Debug, Clone)]
pub enum ExperimentFindings {
    /// By a run.
    Run(LiveRun),
    /// By an exploration.
    Exploration(LiveExploration),
}

/// A run so far.
#[derive(Debug, Clone, Default)]
pub struct LiveRun {
    /// Rounds in all.
    pub rounds: u64,
    /// Who does not offer the scenario.
    pub not_offered: Vec<String>,
    /// The round under load, or the last one that was.
    pub course: Option<Arc<LiveRound>>,
    /// What the rounds showed, by approach.
    pub results: Vec<Arc<ApproachResult>>,
}

/// An exploration so far.
#[derive(Debug, Clone, Default)]
pub struct LiveExploration {
    /// Explorations in all.
    pub planned: u64,
    /// Those under way, by their number.
    pub under_way: BTreeMap<u64, (Subject, u64, f64)>,
    /// Those that are done, by their number.
    pub done: BTreeMap<u64, Arc<Exploration>>,
}

impl ExperimentState {
    /// Of an experiment that begins.
    #[must_use]
    pub fn new(order: Arc<ExperimentRequest>, started: String) -> Self {
        let found = match order.kind {
            ExperimentKind::Run => ExperimentFindings::Run(LiveRun::default()),
            ExperimentKind::Explore => ExperimentFindings::Exploration(LiveExploration::default()),
        };
        Self { order, started, phase: ExperimentPhase::Preparing, found, warnings: Vec::new(), saved: None }
    }

    /// Takes in what its process told.
    pub fn hear(&mut self, event: ExperimentEvent) {
        if matches!(self.phase, ExperimentPhase::Preparing | ExperimentPhase::Starting) {
            self.phase = ExperimentPhase::Running;
        }
        match event {
            ExperimentEvent::Warning { text } if self.warnings.len() < WARNINGS_MAX => self.warnings.push(text),
            ExperimentEvent::Warning { .. } => {}
            ExperimentEvent::Saved { folder } => self.saved = Some(folder),
            event => match &mut self.found {
                ExperimentFindings::Run(race) => race.hear(event),
                ExperimentFindings::Exploration(search) => search.hear(event),
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
    fn hear(&mut self, event: ExperimentEvent) {
        match event {
            ExperimentEvent::Race { rounds, not_offered, .. } => {
                (self.rounds, self.not_offered) = (rounds, not_offered)
            }
            ExperimentEvent::RoundBegins { title, requests, duration_ms } => {
                self.course = Some(Arc::new(LiveRound::new(title, requests, duration_ms)));
            }
            ExperimentEvent::Tick(slice) => self.in_course(|course| course.push(slice)),
            ExperimentEvent::Pool(pool) => self.in_course(|course| course.pool = Some(pool)),
            ExperimentEvent::Judging => self.in_course(|course| course.judging = true),
            ExperimentEvent::RoundEnds { title, round } => {
                self.in_course(|course| course.judging = false);
                self.take(&title, *round);
            }
            _ => {}
        }
    }

    /// A snapshot may still hold the course as it was.
    fn in_course(&mut self, change: impl FnOnce(&mut LiveRound)) {
        if let Some(course) = &mut self.course {
            change(Arc::make_mut(course));
        }
    }

    fn take(&mut self, title: &RoundTitle, round: Round) {
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
    fn hear(&mut self, event: ExperimentEvent) {
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

    /// How many of those that are done contradict their claim.
    #[must_use]
    pub fn contradictions(&self) -> usize {
        let claimed = |exploration: &&Arc<Exploration>| exploration.subject.claim != ClaimedSafety::Unsupported;
        self.done.values().filter(claimed).filter(|exploration| exploration.contradicts_claim()).count()
    }
}
