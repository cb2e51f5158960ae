//! The runner: lets one step go, and waits until all actors are still again ([`super::interleaving_state`] defines that).
//!
//! The runner does not guess from elapsed time that an actor waits. PostgreSQL reports it, and an answer counts only if no actor has
//! reported anything since the question was sent. An actor that is neither still nor waiting is at work, and the runner waits for
//! it, up to [`SETTLE_MAX`]. After that the interleaving is undecided.
//!
//! A step that is run again in the same place does what it did before. So the runner knows which actors will wait after it: it waits for
//! the events of the others, however long they take, and asks PostgreSQL about these at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::actor_state::ActorStatus;
use super::gate::GateEvent;
use super::interleaving_state::InterleavingState;
use super::monitor::WaitMonitor;
use super::observations::{Observations, Unsettled};
use crate::explore::error::ExploreError;
use crate::explore::schedule::Actor;
use crate::explore::transcript::TranscriptStep;
use domain::state::State;

/// How long the runner waits until all actors are still. A step takes a millisecond; a deadlock takes a second if only the default
/// `deadlock_timeout` finds it.
pub const SETTLE_MAX: Duration = Duration::from_secs(10);

/// How long the runner waits for an event before it asks PostgreSQL. Most steps do not wait for a lock.
const ASK_AFTER: Duration = Duration::from_millis(1);

/// The same for an actor that did not wait when the step was run before.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How often the runner asks without a pause when it knows that actors will wait: their statements may be on their way.
const ASKED_AT_ONCE: u32 = 4;

/// Runs one interleaving.
#[derive(Debug)]
pub struct InterleavingRunner<'a> {
    monitor: &'a mut WaitMonitor,
    events: mpsc::UnboundedReceiver<(Actor, GateEvent)>,
    state: InterleavingState,
}

impl<'a> InterleavingRunner<'a> {
    /// A runner that receives these events. See [`InterleavingState::new`] for `deadlock_timeout`.
    #[must_use]
    pub fn new(
        monitor: &'a mut WaitMonitor,
        events: mpsc::UnboundedReceiver<(Actor, GateEvent)>,
        deadlock_timeout: Option<Duration>,
    ) -> Self {
        Self { monitor, events, state: InterleavingState::new(deadlock_timeout) }
    }

    /// From now on, a wait counts before its deadlock check is over. If that makes a difference, the interleaving is
    /// [`Unsettled::Late`], and must be run again without haste.
    pub fn hurry(&mut self) {
        self.state.hurry();
    }

    /// The actors that wait in PostgreSQL, now that all are still.
    #[must_use]
    pub fn waiting(&self) -> BTreeSet<Actor> {
        self.state.waiting()
    }

    /// The actors that can go next.
    pub fn ready(&self) -> impl Iterator<Item = Actor> + '_ {
        self.state.ready()
    }

    /// The step that an actor takes next, by name and text.
    #[must_use]
    pub fn next_step(&self, actor: Actor) -> Option<(&str, &str)> {
        self.state.next_step(actor)
    }

    /// Where each actor is, now that all are still.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<Actor, ActorStatus> {
        self.state.statuses()
    }

    /// The rows that are committed now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn rows(&mut self) -> Result<State, ExploreError> {
        self.monitor.rows().await
    }

    /// The steps so far.
    #[must_use]
    pub fn entries(&self) -> &[TranscriptStep] {
        self.state.entries()
    }

    /// Whether an actor has taken a step.
    #[must_use]
    pub fn has_begun(&self, actor: Actor) -> bool {
        self.state.has_begun(actor)
    }

    /// Waits until all clients are at their first step.
    ///
    /// # Errors
    /// As [`InterleavingRunner::step`].
    pub async fn gather(&mut self, clients: u8) -> Result<Result<(), Unsettled>, ExploreError> {
        let begun = Instant::now();
        while (0..clients).any(|client| !self.state.has_started(client)) {
            if begun.elapsed() > SETTLE_MAX || !self.receive(ASK_AFTER).await {
                return Ok(Err(Unsettled::Runs(Actor::Client(0))));
            }
        }
        self.settle(None).await
    }

    /// Lets an actor's next step go, and waits until all are still. Does nothing if the actor has no next step.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; inside, [`Unsettled`].
    pub async fn step(&mut self, actor: Actor) -> Result<Result<(), Unsettled>, ExploreError> {
        self.step_again(actor, None).await
    }

    /// The same for a step after which these actors waited when it was run before.
    ///
    /// # Errors
    /// As [`InterleavingRunner::step`].
    pub async fn step_again(
        &mut self,
        actor: Actor,
        waited: Option<&BTreeSet<Actor>>,
    ) -> Result<Result<(), Unsettled>, ExploreError> {
        let Some(go) = self.state.begin_step(actor) else { return Ok(Ok(())) };
        // Sending fails if the session is gone. An event reports that.
        let _ = go.send(()).await;
        self.settle(waited).await
    }

    /// Ends the interleaving. The gates are open from now on: sessions that have steps left run to their end.
    #[must_use]
    pub fn end(self) -> Observations {
        self.state.into_observations()
    }

    async fn settle(&mut self, waited: Option<&BTreeSet<Actor>>) -> Result<Result<(), Unsettled>, ExploreError> {
        let begun = Instant::now();
        let mut asked = 0;
        loop {
            while let Ok((actor, event)) = self.events.try_recv() {
                self.state.apply(actor, event);
            }
            if let Some(accident) = self.state.take_accident() {
                return Ok(Err(accident));
            }
            let moving = self.state.moving();
            if moving.is_empty() {
                self.state.record_waits();
                return Ok(Ok(()));
            }
            if begun.elapsed() > SETTLE_MAX {
                return Ok(Err(self.state.unsettled(&moving)));
            }
            let may_wait = self.state.may_wait_in_database(&moving);
            let as_before = waited.map(|waited| self.state.only_these_run(&moving, waited));
            let at_once = match as_before {
                Some(true) => asked < ASKED_AT_ONCE,
                _ => self.state.only_known_waits(&moving),
            };
            let pause = if as_before == Some(false) { ASK_AGAIN_AFTER } else { ASK_AFTER };
            if at_once {
                // The statements are sent before the question.
                tokio::task::yield_now().await;
            }
            let overdue = may_wait && at_once || !self.receive(pause).await;
            if may_wait && overdue {
                asked += 1;
                self.ask().await?;
            }
        }
    }

    /// Waits for one event, for at most this long; `false` if there was none.
    async fn receive(&mut self, pause: Duration) -> bool {
        match tokio::time::timeout(pause, self.events.recv()).await {
            Ok(Some((actor, event))) => {
                self.state.apply(actor, event);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Asks PostgreSQL which actors wait. If an event has arrived in the meantime, the answer is older than the event and is dropped.
    async fn ask(&mut self) -> Result<(), ExploreError> {
        let reading = self.monitor.read().await?;
        if self.events.is_empty() {
            self.state.apply_reading(&reading);
        }
        Ok(())
    }
}
