//! All that there is to see of an experiment at one moment: a fold of what its process told. Whoever looks gets a whole snapshot, so
//! nothing is lost by looking late, by looking away, or by a connection that breaks; and nothing is kept for anybody who looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::course::Course;
use super::order::{Kind, Order};
use super::parts::Parts;
use crate::explore::findings::{Exploration, Subject};
use crate::lab::feed::Event;
use crate::lab::history::{ClaimFound, Title};
use crate::lab::results::{ApproachResult, Round};

/// Rounds and explorations that are kept: more than any order leads to.
const FINISHED_MAX: usize = 1_000;

/// Warnings that are kept.
const WARNINGS_MAX: usize = 20;

/// Explorations that are shown as under way: more than there are workers.
const UNDER_WAY_MAX: usize = 64;

/// Which state of which experiment: the id of server-sent events. The epoch is another in each server, so that a page that comes back to one
/// that was started anew is not taken to know what it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Of the server, at random.
    pub epoch: u32,
    /// Which experiment of it; 0 is none.
    pub experiment: u64,
    /// Raised by everything that happens.
    pub state: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, experiment, state } = self;
        write!(formatter, "{epoch:08x}-{experiment}.{state}")
    }
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its database is started.
    Preparing,
    /// Its process is started, and has not told anything yet.
    Starting,
    /// Under way.
    Running,
    /// Told to stop.
    Stopping,
    /// Over.
    Ended(Ending),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
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
    pub version: Version,
    /// The experiment; `None` before the first one.
    pub experiment: Option<State>,
    /// Made for the first one who looks.
    pub(super) parts: OnceLock<Parts>,
}

impl Snapshot {
    /// A snapshot.
    #[must_use]
    pub fn new(version: Version, experiment: Option<State>) -> Self {
        Self { version, experiment, parts: OnceLock::new() }
    }
}

/// Where an experiment stands.
#[derive(Debug, Clone)]
pub struct State {
    /// What was asked for.
    pub order: Arc<Order>,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// How far it is.
    pub phase: Phase,
    /// Of what.
    pub found: Found,
    /// What whoever looks should know.
    pub warnings: Vec<String>,
    /// The folder with what was found, below the run folder.
    pub saved: Option<String>,
}

/// What was found so far.
#[derive(Debug, Clone)]
pub enum Found {
    /// By a run.
    Run(Race),
    /// By an exploration.
    Exploration(Search),
}

/// A run so far.
#[derive(Debug, Clone, Default)]
pub struct Race {
    /// Rounds in all.
    pub rounds: u64,
    /// Who does not offer the scenario.
    pub not_offered: Vec<String>,
    /// The round under load, or the last one that was.
    pub course: Option<Arc<Course>>,
    /// What the rounds showed, by approach.
    pub results: Vec<Arc<ApproachResult>>,
}

/// An exploration so far.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Explorations in all.
    pub planned: u64,
    /// Those under way, by their number.
    pub under_way: BTreeMap<u64, (Subject, u64, f64)>,
    /// Those that are done, by their number.
    pub done: BTreeMap<u64, Arc<Exploration>>,
}

impl State {
    /// Of an experiment that begins.
    #[must_use]
    pub fn new(order: Arc<Order>, started: String) -> Self {
        let found = match order.kind {
            Kind::Run => Found::Run(Race::default()),
            Kind::Explore => Found::Exploration(Search::default()),
        };
        Self { order, started, phase: Phase::Preparing, found, warnings: Vec::new(), saved: None }
    }

    /// Takes in what its process told.
    pub fn hear(&mut self, event: Event) {
        if matches!(self.phase, Phase::Preparing | Phase::Starting) {
            self.phase = Phase::Running;
        }
        match event {
            Event::Warning { text } if self.warnings.len() < WARNINGS_MAX => self.warnings.push(text),
            Event::Warning { .. } => {}
            Event::Saved { folder } => self.saved = Some(folder),
            event => match &mut self.found {
                Found::Run(race) => race.hear(event),
                Found::Exploration(search) => search.hear(event),
            },
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }
}

impl Race {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Race { rounds, not_offered, .. } => (self.rounds, self.not_offered) = (rounds, not_offered),
            Event::RoundBegins { title, requests, duration_ms } => {
                self.course = Some(Arc::new(Course::new(title, requests, duration_ms)));
            }
            Event::Tick(slice) => self.in_course(|course| course.push(slice)),
            Event::Pool(pool) => self.in_course(|course| course.pool = Some(pool)),
            Event::Judging => self.in_course(|course| course.judging = true),
            Event::RoundEnds { title, round } => {
                self.in_course(|course| course.judging = false);
                self.take(&title, *round);
            }
            _ => {}
        }
    }

    /// A snapshot may still hold the course as it was.
    fn in_course(&mut self, change: impl FnOnce(&mut Course)) {
        if let Some(course) = &mut self.course {
            change(Arc::make_mut(course));
        }
    }

    fn take(&mut self, title: &Title, round: Round) {
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

impl Search {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Plan { explorations } => self.planned = explorations,
            Event::Exploring { job, subject, interleavings, estimate }
                if self.under_way.contains_key(&job) || self.under_way.len() < UNDER_WAY_MAX =>
            {
                self.under_way.insert(job, (subject, interleavings, estimate));
            }
            Event::Explored { job, exploration } => {
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
        let claimed = |exploration: &&Arc<Exploration>| exploration.subject.claim != ClaimFound::Unsupported;
        self.done.values().filter(claimed).filter(|exploration| exploration.contradicts_claim()).count()
    }
}
