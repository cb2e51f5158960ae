//! One permutation, step by step, with the output of isolationtester.
//!
//! A step is sent as soon as the step before it in the permutation has ended, or waits. It waits if PostgreSQL says that one of the other
//! sessions blocks it, or if a marker delays the report of its end. A session that is to send a step while an earlier one of its own has
//! not ended is waited for.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::grammar::{IsolationSpec, PermutedStep, StepMarker};
use super::session::{SpecAnswer, SpecConnection};

/// How long an answer is waited for before PostgreSQL is asked whether the session is blocked.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A step that takes longer than this is cancelled; after twice this time the permutation fails. isolationtester's default is five times
/// as long, for machines that build and test at once.
const STEP_MAX: Duration = Duration::from_mins(1);

/// Why a permutation has no end.
#[derive(Debug, thiserror::Error)]
pub enum PermutationError {
    /// A setup failed.
    #[error("the setup of {0} failed: {1}")]
    Setup(String, String),
    /// PostgreSQL does not say which sessions wait.
    #[error("cannot ask which sessions wait: {0}")]
    Monitor(String),
    /// The step ended neither by itself nor when it was cancelled.
    #[error("step {0} has not ended after {limit} s, although it was cancelled after half of that time", limit = STEP_MAX.as_secs() * 2)]
    NeverEnds(String),
    /// The server has closed the connection of this step.
    #[error("step {0} cannot be sent, because the server has closed the connection of its session")]
    Closed(String),
    /// Only their markers keep these steps from ending.
    #[error("the markers of steps {0} are never satisfied")]
    Markers(String),
}

/// Sends a setup or a teardown, and waits for its last answer.
async fn execute(connection: &SpecConnection, sql: &str) -> SpecAnswer {
    if let Ok(answer) = timeout(STEP_MAX, connection.execute(sql)).await {
        return answer;
    }
    connection.cancel().await;
    let seconds = STEP_MAX.as_secs();
    SpecAnswer::Error(format!("it has not ended after {seconds} s; a session may have left a transaction open"))
}

/// What a report waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// The end of the step, or that it is blocked.
    UntilBlocked,
    /// The end of the step.
    UntilEnd,
}

/// A step that was sent and whose end is not reported.
struct ActiveStep {
    /// Its index in the permutation.
    at: usize,
    answers: AbortOnDropHandle<Vec<SpecAnswer>>,
    /// Its answers, once it has ended.
    ended: Option<Vec<SpecAnswer>>,
    /// How many notices each of its markers waits for in all.
    notices_wanted: Vec<u32>,
    /// It was reported as waiting.
    reported: bool,
}

impl ActiveStep {
    /// Waits for its end, but not longer than [`LOOK_INTERVAL`].
    async fn wait(&mut self) {
        if self.ended.is_none()
            && let Ok(answers) = timeout(LOOK_INTERVAL, &mut self.answers).await
        {
            self.ended = Some(answers.unwrap_or_else(|error| vec![SpecAnswer::Error(error.to_string())]));
        }
    }
}

/// Runs permutations. All have the same connections.
pub struct PermutationRunner<'s> {
    spec: &'s IsolationSpec,
    control: &'s SpecConnection,
    connections: &'s mut [SpecConnection],
    steps: &'s [PermutedStep],
    /// The process of each session on the server.
    processes: Vec<i32>,
    active: Vec<Option<ActiveStep>>,
    waiting: Vec<usize>,
    output: String,
    noticed: bool,
}

impl<'s> PermutationRunner<'s> {
    /// A runner for one permutation.
    #[must_use]
    pub fn new(
        spec: &'s IsolationSpec,
        control: &'s SpecConnection,
        connections: &'s mut [SpecConnection],
        steps: &'s [PermutedStep],
    ) -> Self {
        let active = connections.iter().map(|_| None).collect();
        let processes = connections.iter().map(|connection| connection.process).collect();
        Self {
            spec,
            control,
            connections,
            steps,
            processes,
            active,
            waiting: Vec::new(),
            output: String::new(),
            noticed: false,
        }
    }

    /// Runs the permutation. Returns what isolationtester prints.
    ///
    /// # Errors
    /// [`PermutationError`], with the output so far.
    pub async fn run(mut self) -> (String, Result<(), PermutationError>) {
        let result = self.run_steps().await;
        if result.is_ok() {
            self.tear_down().await;
        }
        (self.output, result)
    }

    async fn run_steps(&mut self) -> Result<(), PermutationError> {
        let names: Vec<&str> = self.steps.iter().map(|step| self.spec.step(step.place).name.as_str()).collect();
        let _ = writeln!(self.output, "\nstarting permutation: {}", names.join(" "));
        self.set_up().await?;
        for at in 0..self.steps.len() {
            let session = self.steps[at].place.session;
            self.wait_for_session(session).await?;
            self.send(at)?;
            let ended = self.try_to_end(session, Patience::UntilBlocked).await?;
            self.end_waiting(Patience::UntilBlocked).await?;
            if !ended {
                self.waiting.push(session);
            }
        }
        self.end_waiting(Patience::UntilEnd).await?;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.active.iter().flatten().map(|step| self.name(step.at)).collect();
        Err(PermutationError::Markers(names.join(", ")))
    }

    fn name(&self, at: usize) -> &'s str {
        &self.spec.step(self.steps[at].place).name
    }

    async fn set_up(&mut self) -> Result<(), PermutationError> {
        let spec = self.spec;
        for sql in &spec.setups {
            let answer = execute(self.control, sql).await;
            self.print_rows(answer).map_err(|error| PermutationError::Setup("the spec".to_owned(), error))?;
        }
        for (at, session) in spec.sessions.iter().enumerate() {
            if let Some(sql) = &session.setup {
                let answer = execute(&self.connections[at], sql).await;
                self.print_notices(at);
                let failed = |error| PermutationError::Setup(format!("session {}", session.name), error);
                self.print_rows(answer).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Prints the rows of a setup or a teardown. The error is PostgreSQL's.
    fn print_rows(&mut self, answer: SpecAnswer) -> Result<(), String> {
        match answer {
            SpecAnswer::Done => Ok(()),
            SpecAnswer::Rows(table) => {
                self.output.push_str(&table.print());
                Ok(())
            }
            SpecAnswer::Error(error) => Err(error),
        }
    }

    /// A failure of a teardown is printed to the log only, as the next permutation may well run.
    async fn tear_down(&mut self) {
        let spec = self.spec;
        for (at, session) in spec.sessions.iter().enumerate() {
            if let Some(sql) = &session.teardown {
                let answer = execute(&self.connections[at], sql).await;
                self.print_notices(at);
                self.print_teardown(&session.name, answer);
            }
        }
        if let Some(sql) = &spec.teardown {
            let answer = execute(self.control, sql).await;
            self.print_teardown("the spec", answer);
        }
    }

    fn print_teardown(&mut self, of: &str, answer: SpecAnswer) {
        if let Err(error) = self.print_rows(answer) {
            tracing::warn!("the teardown of {of} failed: {error}");
        }
    }

    /// Waits until the session can send its next step.
    async fn wait_for_session(&mut self, session: usize) -> Result<(), PermutationError> {
        let began = Instant::now();
        while let Some(step) = &self.active[session] {
            let at = step.at;
            if self.try_to_end(session, Patience::UntilEnd).await? {
                self.waiting.retain(|waiting| *waiting != session);
            }
            self.end_waiting(Patience::UntilBlocked).await?;
            if self.active[session].is_some() {
                // A marker delays the report of a step that has ended, so nothing above has waited.
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            if self.active[session].is_some() && began.elapsed() > STEP_MAX * 2 {
                return Err(PermutationError::NeverEnds(self.name(at).to_owned()));
            }
        }
        Ok(())
    }

    fn send(&mut self, at: usize) -> Result<(), PermutationError> {
        let PermutedStep { place, markers } = &self.steps[at];
        if self.connections[place.session].is_closed() {
            return Err(PermutationError::Closed(self.name(at).to_owned()));
        }
        let notices_wanted = markers.iter().map(|marker| match marker {
            StepMarker::AfterNotices(other, count) => self.connections[other.session].notices.saturating_add(*count),
            StepMarker::Once | StepMarker::AfterStep(_) => 0,
        });
        let notices_wanted = notices_wanted.collect();
        let answers = self.connections[place.session].send(&self.spec.step(*place).sql);
        self.active[place.session] = Some(ActiveStep { at, answers, ended: None, notices_wanted, reported: false });
        Ok(())
    }

    /// Reports the ends of steps that were reported as waiting, until no more end.
    async fn end_waiting(&mut self, patience: Patience) -> Result<(), PermutationError> {
        loop {
            self.noticed = false;
            let (mut delayed, before) = (false, self.waiting.clone());
            for session in before.iter().copied() {
                if self.try_to_end(session, patience).await? {
                    self.waiting.retain(|waiting| *waiting != session);
                } else {
                    let step = self.active[session].as_ref();
                    delayed |= step.is_some_and(|step| !self.steps[step.at].markers.is_empty());
                }
            }
            // A step that ended may have been what a marker waited for.
            if !delayed || self.waiting.len() == before.len() && !self.noticed {
                return Ok(());
            }
        }
    }

    /// Waits for the end of a session's step, and reports it; or reports that it waits. Returns whether it has ended.
    async fn try_to_end(&mut self, session: usize, patience: Patience) -> Result<bool, PermutationError> {
        let Some(step) = &self.active[session] else { return Ok(true) };
        let at = step.at;
        if !step.reported && self.steps[at].markers.contains(&StepMarker::Once) {
            self.report_waiting(session);
            return Ok(false);
        }
        let Some(answers) = self.answers(session, patience).await? else {
            self.report_waiting(session);
            return Ok(false);
        };
        self.report_end(session, answers);
        Ok(true)
    }

    /// The answers of a session's step; `None` if it is blocked, or a marker delays it.
    async fn answers(
        &mut self,
        session: usize,
        patience: Patience,
    ) -> Result<Option<Vec<SpecAnswer>>, PermutationError> {
        let (began, mut cancelled) = (Instant::now(), false);
        loop {
            let Some(step) = &mut self.active[session] else { return Ok(None) };
            let at = step.at;
            step.wait().await;
            self.print_notices(session);
            if self.active[session].as_ref().is_some_and(|step| step.ended.is_some()) {
                let delayed = self.is_delayed(session);
                return Ok(self.active[session].as_mut().filter(|_| !delayed).and_then(|step| step.ended.take()));
            }
            let is_blocked = patience == Patience::UntilBlocked
                && (self.control.is_blocked(self.processes[session], &self.processes).await)
                    .map_err(PermutationError::Monitor)?;
            let still_runs = self.active[session].as_ref().is_some_and(|step| !step.answers.is_finished());
            if is_blocked && still_runs {
                self.print_notices(session);
                return Ok(None);
            }
            if began.elapsed() > STEP_MAX && !cancelled {
                let (name, seconds) = (self.name(at), began.elapsed().as_secs());
                let _ = writeln!(self.output, "isolationtester: canceling step {name} after {seconds} seconds");
                self.connections[session].cancel().await;
                cancelled = true;
            }
            if began.elapsed() > STEP_MAX * 2 {
                return Err(PermutationError::NeverEnds(self.name(at).to_owned()));
            }
        }
    }

    /// Whether a marker of a session's step delays the report of its end.
    fn is_delayed(&self, session: usize) -> bool {
        let Some(step) = &self.active[session] else { return false };
        let markers = self.steps[step.at].markers.iter().zip(&step.notices_wanted);
        markers.into_iter().any(|(marker, wanted)| match marker {
            StepMarker::Once => false,
            StepMarker::AfterStep(other) => {
                self.active[other.session].as_ref().is_some_and(|active| self.steps[active.at].place == *other)
            }
            StepMarker::AfterNotices(other, _) => self.connections[other.session].notices < *wanted,
        })
    }

    fn report_waiting(&mut self, session: usize) {
        let spec = self.spec;
        let Some(step) = &mut self.active[session] else { return };
        if !step.reported {
            step.reported = true;
            let of = spec.step(self.steps[step.at].place);
            let _ = writeln!(self.output, "step {}: {} <waiting ...>", of.name, of.sql);
        }
    }

    fn report_end(&mut self, session: usize, answers: Vec<SpecAnswer>) {
        let Some(step) = self.active[session].take() else { return };
        let of = self.spec.step(self.steps[step.at].place);
        let _ = if step.reported {
            writeln!(self.output, "step {}: <... completed>", of.name)
        } else {
            writeln!(self.output, "step {}: {}", of.name, of.sql)
        };
        for answer in answers {
            match answer {
                SpecAnswer::Done => {}
                SpecAnswer::Rows(table) => self.output.push_str(&table.print()),
                SpecAnswer::Error(error) => {
                    let _ = writeln!(self.output, "{error}");
                }
            }
        }
        self.print_notices(session);
        let sessions = &self.spec.sessions;
        for notification in self.connections[session].new_notifications() {
            let sender = self.processes.iter().position(|process| *process == notification.process);
            let sender =
                sender.map_or_else(|| format!("PID {}", notification.process), |sender| sessions[sender].name.clone());
            let _ = writeln!(
                self.output,
                "{}: NOTIFY \"{}\" with payload \"{}\" from {sender}",
                sessions[session].name, notification.channel, notification.payload
            );
        }
    }

    fn print_notices(&mut self, session: usize) {
        let name = &self.spec.sessions[session].name;
        for notice in self.connections[session].new_notices() {
            let _ = writeln!(self.output, "{name}: {notice}");
            self.noticed = true;
        }
    }
}
