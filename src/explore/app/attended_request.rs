//! One request during an interleaving, as its attendant sees it.

use std::hash::BuildHasher as _;
use std::time::Instant;

use postgres_proxy::{AnswerPermit, ClientUnit, UnitAnswer};
use rustc_hash::FxBuildHasher;
use tokio::sync::mpsc;

use super::actor_record::ActorRecord;
use super::attended_command::{AnnouncesSteps, HeldStep, StepUnderWay};
use super::reactions::{HistoryStep, RequestHistory, RequestPosition, RequestReaction};
use super::request_script::RequestScript;
use super::request_sending::AppAnswer;
use super::step_text::{StepText, masked, normalized, outcome};
use crate::explore::schedule::Actor;
use crate::explore::sql_words::has_anywhere;
use crate::explore::transcript::StepOutcome;

/// A request, and where it stands.
#[derive(Debug)]
pub struct AttendedRequest {
    pub actor: Actor,
    /// Its place in the file.
    pub number: usize,
    pub script: RequestScript,
    /// The port of the application.
    pub port: u16,
    pub phase: RequestPhase,
    /// Its steps that wait. The texts of those that came together are in order.
    pub held: Vec<HeldStep>,
    /// The step in the database.
    pub step: Option<StepUnderWay>,
    /// The answer of that step, before the application has it.
    pub withheld: Option<WithheldAnswer>,
    /// What it was answered.
    pub answer: Option<Result<AppAnswer, String>>,
    pub history: RequestHistory,
    /// Since when nothing was heard of it, or of the others if it waits.
    pub since: Instant,
    /// When it began to run.
    pub began: Instant,
    /// How often in a row the application was at rest since then.
    pub looks: u32,
    /// Receives the word that its step may go; none without a gate, or once the runner has ended.
    pub go: Option<mpsc::Receiver<()>>,
    /// The runner knows its next step.
    pub is_announced: bool,
    /// The last step, if it was an attempt to take an advisory lock that another session has.
    pub failed_attempt: Option<String>,
    pub record: ActorRecord,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPhase {
    /// It was not sent to the application.
    NotSent,
    /// The application works on it.
    Runs,
    /// All that it sends now is held.
    Stands,
    /// Its step is in the database, or the answer of that step is withheld.
    InDatabase,
    /// It was silent for so long that it must wait for something inside the application.
    WaitsInside {
        /// The runner counts it as still.
        told: bool,
    },
    /// It was answered, and sends no more.
    Ended,
}

/// The answer of a step, before the application has it.
#[derive(Debug)]
pub struct WithheldAnswer {
    pub outcome: StepOutcome,
    /// The step and its answer, for the history.
    pub said: HistoryStep,
    /// What was attempted, if it is an advisory lock that another session has.
    pub failed_attempt: Option<String>,
    pub permit: Option<AnswerPermit>,
}

impl WithheldAnswer {
    /// The outcome of a unit, with what the history keeps of it.
    pub fn new(unit: &ClientUnit, answer: &UnitAnswer, permit: Option<AnswerPermit>) -> Self {
        let tags = || answer.results.iter().filter_map(|result| result.tag.as_deref()).collect::<Vec<_>>().join(", ");
        let said = answer.error.as_ref().map_or_else(tags, |error| error.sqlstate.clone());
        let is_false = match &answer.results[..] {
            [result] => {
                matches!(&result.rows[..], [row] if matches!(&row[..], [value] if value.text.as_deref() == Some("f")))
            }
            _ => false,
        };
        let tries = is_false && has_anywhere(&unit.sql(), |word| word.starts_with("pg_try_advisory"));
        Self {
            outcome: outcome(answer),
            said: HistoryStep { step: format!("{}: {said}", normalized(unit)), rows: rows_of(answer) },
            failed_attempt: tries.then(|| attempt(unit)),
            permit,
        }
    }

    /// A unit without an answer.
    pub fn lost(unit: &ClientUnit, outcome: StepOutcome) -> Self {
        let said = HistoryStep { step: format!("{}: lost", normalized(unit)), rows: 0 };
        Self { outcome, said, failed_attempt: None, permit: None }
    }
}

/// A number for the rows of an answer, without time and chance.
fn rows_of(answer: &UnitAnswer) -> u64 {
    let values = answer.results.iter().flat_map(|result| result.rows.iter().flatten());
    let texts: Vec<String> = values.map(|value| masked(value.text.as_deref().unwrap_or_default())).collect();
    FxBuildHasher.hash_one(texts)
}

/// A unit that tries to take an advisory lock, with its values.
pub fn attempt(unit: &ClientUnit) -> String {
    let StepText { sql, values, .. } = StepText::of(unit);
    format!("{sql} {}", values.join(", "))
}

impl AttendedRequest {
    pub fn new(actor: Actor, number: usize, script: RequestScript, port: u16, go: Option<mpsc::Receiver<()>>) -> Self {
        Self {
            actor,
            number,
            script,
            port,
            phase: RequestPhase::NotSent,
            held: Vec::new(),
            step: None,
            withheld: None,
            answer: None,
            history: RequestHistory::new(),
            since: Instant::now(),
            began: Instant::now(),
            looks: 0,
            go,
            is_announced: false,
            failed_attempt: None,
            record: ActorRecord::default(),
        }
    }

    /// It was sent, or has the answer of its step.
    pub fn begins_to_run(&mut self) {
        (self.began, self.since) = (Instant::now(), Instant::now());
    }

    pub fn position(&self) -> RequestPosition {
        (self.number, self.history.clone())
    }

    /// What it has done at its position.
    pub fn reaction(&self) -> RequestReaction {
        let mut sent: Vec<String> = self.held.iter().map(|held| normalized(&held.unit)).collect();
        sent.sort();
        RequestReaction { sent, answered: self.answer.is_some() }
    }

    /// Whether it waits inside the application.
    pub fn waits_inside(&self) -> bool {
        matches!(self.phase, RequestPhase::WaitsInside { .. })
    }
}

impl AnnouncesSteps for AttendedRequest {
    fn announced(&mut self) -> Option<&mut Option<mpsc::Receiver<()>>> {
        self.is_announced.then_some(&mut self.go)
    }
}
