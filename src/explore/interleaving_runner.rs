//! The controller: lets one step go, and waits until everybody stands still again.
//!
//! *Still* means that every actor stands at the gate, has ended, or is blocked by one who is still himself. The controller does not
//! guess that from time that passed. Who stands or has ended says so; who waits for a mutex or a batch of ours says so; and who
//! waits for a lock is told by PostgreSQL, in an answer that counts only if nobody said anything since the question
//! was sent. Whoever is neither is running, and is waited for, within [`SETTLE_MAX`]; after that the interleaving is undecided.
//!
//! Sessions that wait in a circle are not still: one of them will be ended by PostgreSQL's deadlock detector. It looks once, when a session has waited for
//! `deadlock_timeout`. So a session counts as blocked only when its own look is over; then it is always
//! the one who closes a circle that finds it and is ended, and every replay ends alike. On a busy machine a look may come late:
//! if it ends the wrong one, that is noticed, and the interleaving is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::ExploreError;
use super::actor_state::{ActorPhase, ActorState};
use super::gate::GateEvent;
use super::monitor::WaitMonitor;
use super::observations::{Observations, Unsettled};
use super::position::ActorStatus;
use super::schedule::{Actor, Schedule};
use super::transcript::{StepOutcome, StepWait, TranscriptStep};
use domain::Row;
use domain::state::State;

/// Longest wait for everybody to stand still. A step takes a millisecond; a deadlock that only the default `deadlock_timeout`
/// finds, a second.
pub const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Events are waited for so long before PostgreSQL is asked: most steps do not wait for anybody.
const ASK_AFTER: Duration = Duration::from_millis(1);

/// The controller of one interleaving.
#[derive(Debug)]
pub struct InterleavingRunner<'a> {
    monitor: &'a mut WaitMonitor,
    events: mpsc::UnboundedReceiver<(Actor, GateEvent)>,
    /// How long a session must have been seen waiting until its look for deadlocks is over.
    look_over_after: Duration,
    /// Nobody has said anything since PostgreSQL was asked.
    reading_holds: bool,
    players: BTreeMap<Actor, ActorState>,
    mutexes: BTreeMap<(u8, Row), Actor>,
    steps: Vec<Actor>,
    entries: Vec<TranscriptStep>,
    heard: BTreeMap<Actor, String>,
    /// What has happened by chance, and would spoil every replay.
    chance: Option<Unsettled>,
}

impl<'a> InterleavingRunner<'a> {
    /// A controller that hears these events. `deadlock_timeout` is that of the sessions; `None` if it could not be lowered, which makes whoever waited first the victim.
    #[must_use]
    pub fn new(
        monitor: &'a mut WaitMonitor,
        events: mpsc::UnboundedReceiver<(Actor, GateEvent)>,
        deadlock_timeout: Option<Duration>,
    ) -> Self {
        Self {
            monitor,
            events,
            look_over_after: deadlock_timeout.map_or(Duration::ZERO, |timeout| timeout * 2),
            reading_holds: false,
            players: BTreeMap::new(),
            mutexes: BTreeMap::new(),
            steps: Vec::new(),
            entries: Vec::new(),
            heard: BTreeMap::new(),
            chance: None,
        }
    }

    /// Who stands at the gate.
    pub fn standing(&self) -> impl Iterator<Item = Actor> + '_ {
        let stands = |(actor, player): (&Actor, &ActorState)| {
            matches!(player.status, ActorPhase::Stands { .. }).then_some(*actor)
        };
        self.players.iter().filter_map(stands)
    }

    /// The step that an actor stands at, by name and text.
    #[must_use]
    pub fn next_step(&self, actor: Actor) -> Option<(&str, &str)> {
        match &self.players.get(&actor)?.status {
            ActorPhase::Stands { name, sql, .. } => Some((name, sql)),
            _ => None,
        }
    }

    /// Where everybody is who has come, now that all stand still.
    #[must_use]
    pub fn whereabouts(&self) -> BTreeMap<Actor, ActorStatus> {
        let waits = |actor, on: &str| {
            ActorStatus::Waits(StepWait { holders: self.holders(actor).unwrap_or_default(), on: on.to_owned() })
        };
        let whereabouts = |(&actor, player): (&Actor, &ActorState)| {
            let whereabouts = match &player.status {
                ActorPhase::Stands { name, sql, values } => {
                    ActorStatus::Stands { name: name.clone(), sql: sql.clone(), values: values.clone() }
                }
                ActorPhase::Running => waits(actor, player.blocked.as_ref().map_or("", |(_, wait)| wait.on.as_str())),
                ActorPhase::WantsMutex(_) => waits(actor, "mutex"),
                ActorPhase::Queued => waits(actor, "batch"),
                ActorPhase::Ended => ActorStatus::Ended(self.heard.get(&actor).cloned()),
            };
            (actor, whereabouts)
        };
        self.players.iter().map(whereabouts).collect()
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
        &self.entries
    }

    /// Whether an actor has taken a step.
    #[must_use]
    pub fn has_begun(&self, actor: Actor) -> bool {
        self.players.get(&actor).is_some_and(|player| player.entry.is_some())
    }

    /// Waits until everybody who takes part from the beginning stands at the first step.
    ///
    /// # Errors
    /// As [`InterleavingRunner::step`].
    pub async fn gather(&mut self, clients: u8) -> Result<Result<(), Unsettled>, ExploreError> {
        let begun = Instant::now();
        while (0..clients).any(|client| !self.players.contains_key(&Actor::Client(client))) {
            if begun.elapsed() > SETTLE_MAX || !self.hear().await {
                return Ok(Err(Unsettled::Runs(Actor::Client(0))));
            }
        }
        self.settle().await
    }

    /// Lets an actor's step go, and waits until everybody stands still. Nothing happens if the actor does not stand at one.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; inside, [`Unsettled`].
    pub async fn step(&mut self, actor: Actor) -> Result<Result<(), Unsettled>, ExploreError> {
        let Some(player) = self.players.get_mut(&actor) else { return Ok(Ok(())) };
        let ActorPhase::Stands { name, sql, values } = std::mem::replace(&mut player.status, ActorPhase::Running)
        else {
            return Ok(Ok(()));
        };
        player.entry = Some(self.entries.len());
        player.blocked = None;
        self.reading_holds = false;
        self.steps.push(actor);
        self.entries.push(TranscriptStep {
            actor,
            name,
            sql,
            values,
            wait: None,
            returned_with: None,
            outcome: StepOutcome::Lost,
            ended: None,
        });
        // It fails if the actor is gone, which is heard of.
        let _ = player.go.send(()).await;
        self.settle().await
    }

    /// Ends the play. Whoever still stands at the gate finds it open.
    #[must_use]
    pub fn end(self) -> Observations {
        Observations { schedule: Schedule(self.steps), entries: self.entries, heard: self.heard }
    }

    async fn settle(&mut self) -> Result<Result<(), Unsettled>, ExploreError> {
        let begun = Instant::now();
        loop {
            while let Ok((actor, event)) = self.events.try_recv() {
                self.note(actor, event);
            }
            if let Some(chance) = self.chance.take() {
                return Ok(Err(chance));
            }
            let moving = self.moving();
            if moving.is_empty() {
                self.note_waits();
                return Ok(Ok(()));
            }
            if begun.elapsed() > SETTLE_MAX {
                return Ok(Err(self.unsettled(&moving)));
            }
            // In a wait for something inside the process, PostgreSQL has no part.
            let ask = moving.iter().any(|actor| matches!(self.players[actor].status, ActorPhase::Running));
            let overdue = ask && self.only_known_waits(&moving) || !self.hear().await;
            if ask && overdue {
                self.ask().await?;
            }
        }
    }

    /// Whether all that is open is whether those who waited before wait still.
    fn only_known_waits(&self, moving: &BTreeSet<Actor>) -> bool {
        !self.reading_holds
            && moving.iter().all(|actor| {
                let blocked = self.players[actor].blocked.as_ref();
                blocked.is_some_and(|(since, _)| since.elapsed() >= self.look_over_after)
            })
    }

    /// Waits for an event, but not for long.
    async fn hear(&mut self) -> bool {
        match tokio::time::timeout(ASK_AFTER, self.events.recv()).await {
            Ok(Some((actor, event))) => {
                self.note(actor, event);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Asks PostgreSQL who waits. An answer during which somebody said something is older than what was said.
    async fn ask(&mut self) -> Result<(), ExploreError> {
        let reading = self.monitor.read().await?;
        if !self.events.is_empty() {
            return Ok(());
        }
        self.reading_holds = true;
        for (actor, player) in &mut self.players {
            let now = reading.waits.get(actor).filter(|_| matches!(player.status, ActorPhase::Running));
            // For whom it waits may change while it waits; then it is another wait.
            player.blocked = match (player.blocked.take(), now) {
                (Some((since, wait)), Some(now)) if wait == *now => Some((since, wait)),
                (_, Some(now)) => Some((Instant::now(), now.clone())),
                (_, None) => None,
            };
        }
        Ok(())
    }

    /// For whom an actor waits; `None` if it does not, or if PostgreSQL may still end its wait as a deadlock.
    fn holders(&self, actor: Actor) -> Option<Vec<Actor>> {
        let player = self.players.get(&actor)?;
        match &player.status {
            ActorPhase::Running => {
                let (since, wait) = player.blocked.as_ref()?;
                (self.reading_holds && since.elapsed() >= self.look_over_after).then(|| wait.holders.clone())
            }
            ActorPhase::WantsMutex(row) => self.mutexes.get(&(player.server, *row)).map(|holder| vec![*holder]),
            ActorPhase::Queued => {
                let writer = Actor::Writer(player.server);
                self.players.contains_key(&writer).then(|| vec![writer])
            }
            ActorPhase::Stands { .. } | ActorPhase::Ended => None,
        }
    }

    /// Everybody who is not still.
    fn moving(&self) -> BTreeSet<Actor> {
        let busy = |player: &ActorState| !matches!(player.status, ActorPhase::Stands { .. } | ActorPhase::Ended);
        let mut moving: BTreeSet<Actor> =
            self.players.iter().filter(|(_, player)| busy(player)).map(|(actor, _)| *actor).collect();
        let holders: BTreeMap<Actor, Vec<Actor>> =
            moving.iter().filter_map(|actor| Some((*actor, self.holders(*actor)?))).collect();
        // Whoever waits for those who are still is still. Those who wait in a circle never become so.
        loop {
            let still = |actor: &Actor| {
                holders.get(actor).is_some_and(|holders| {
                    !holders.is_empty()
                        && holders.iter().all(|holder| !moving.contains(holder) && self.can_hold(*actor, *holder))
                })
            };
            let settled: Vec<Actor> = moving.iter().filter(|actor| still(actor)).copied().collect();
            if settled.is_empty() {
                return moving;
            }
            for actor in settled {
                moving.remove(&actor);
            }
        }
    }

    /// Whether a wait for an actor lasts as long as it does nothing. Whoever has ended may have left a lock behind, which PostgreSQL knows of; a
    /// connection that was cut holds what it held only until the server notices, and nobody leaves a mutex.
    fn can_hold(&self, waiter: Actor, holder: Actor) -> bool {
        let Some(player) = self.players.get(&holder) else { return false };
        let cut = player.entry.is_some_and(|entry| self.entries[entry].outcome == StepOutcome::Cut);
        let in_database = self.players.get(&waiter).is_some_and(|waiter| matches!(waiter.status, ActorPhase::Running));
        !matches!(player.status, ActorPhase::Ended) || in_database && !cut
    }

    /// Writes down for whom those who are still wait.
    fn note_waits(&mut self) {
        let waits: Vec<(usize, StepWait)> = (self.players.iter())
            .filter_map(|(actor, player)| {
                let on = match &player.status {
                    ActorPhase::Running => player.blocked.as_ref()?.1.on.clone(),
                    ActorPhase::WantsMutex(_) => "mutex".to_owned(),
                    ActorPhase::Queued => "batch".to_owned(),
                    ActorPhase::Stands { .. } | ActorPhase::Ended => return None,
                };
                Some((player.entry?, StepWait { holders: self.holders(*actor)?, on }))
            })
            .collect();
        for (entry, wait) in waits {
            self.entries[entry].wait.get_or_insert(wait);
        }
    }

    fn unsettled(&self, moving: &BTreeSet<Actor>) -> Unsettled {
        let waits = |actor: &Actor| self.players[actor].blocked.as_ref().map(|(_, wait)| wait);
        if let Some(runs) = moving.iter().find(|actor| waits(actor).is_none() && self.holders(**actor).is_none()) {
            return Unsettled::Runs(*runs);
        }
        if let Some(actor) = moving.iter().find(|actor| waits(actor).is_some_and(|wait| wait.holders.is_empty())) {
            return Unsettled::Stranger(*actor);
        }
        let told = |actor: &Actor| {
            let holders: Vec<String> =
                self.holders(*actor).unwrap_or_default().iter().map(ToString::to_string).collect();
            format!("{actor} for {}", holders.join(" and "))
        };
        Unsettled::Stuck(moving.iter().map(told).collect::<Vec<_>>().join(", "))
    }

    fn note(&mut self, actor: Actor, event: GateEvent) {
        self.reading_holds = false;
        if let GateEvent::Arrives { go, server, session } = event {
            self.players.insert(actor, ActorState::new(go, server, session));
            return;
        }
        let step = self.steps.len().checked_sub(1);
        if let GateEvent::Returned(outcome) = &event {
            let late = self.is_late(actor, outcome).then_some(Unsettled::Late(actor));
            let overtaken = || self.has_overtaken(actor, outcome).then_some(Unsettled::Overtaken(actor));
            self.chance = late.or_else(overtaken).or(self.chance.take());
        }
        let Some(player) = self.players.get_mut(&actor) else { return };
        let entry = player.entry.map(|entry| &mut self.entries[entry]);
        match event {
            GateEvent::Stands { name, sql, values } => player.status = ActorPhase::Stands { name, sql, values },
            GateEvent::Returned(outcome) => {
                if let Some(entry) = entry {
                    (entry.outcome, entry.returned_with) = (outcome, step);
                }
            }
            GateEvent::Wants(row) => player.status = ActorPhase::WantsMutex(row),
            GateEvent::Has(row) => {
                player.status = ActorPhase::Running;
                self.mutexes.insert((player.server, row), actor);
                if let Some(entry) = entry {
                    (entry.outcome, entry.returned_with) = (StepOutcome::Done, step);
                }
            }
            GateEvent::Released => self.mutexes.retain(|_, holder| *holder != actor),
            GateEvent::Queued => player.status = ActorPhase::Queued,
            GateEvent::Answered(sessions) => self.answered(&sessions, step),
            GateEvent::Heard(heard) => {
                player.status = ActorPhase::Ended;
                if let Some(entry) = entry {
                    entry.ended = Some(heard.clone());
                }
                self.heard.insert(actor, heard);
            }
            // A client's operation has still to say how it ended, below.
            GateEvent::Gone if matches!(actor, Actor::Writer(_)) => {
                player.status = ActorPhase::Ended;
                // Its last look into the queue found nothing.
                if let Some(entry) = entry.filter(|entry| entry.outcome == StepOutcome::Lost) {
                    (entry.outcome, entry.returned_with) = (StepOutcome::Done, step);
                }
            }
            GateEvent::Gone if self.heard.contains_key(&actor) => player.status = ActorPhase::Ended,
            GateEvent::HungUp(heard) => {
                if let Some(entry) = entry {
                    entry.ended = Some(heard.clone());
                }
                self.heard.insert(actor, heard);
            }
            GateEvent::Gone | GateEvent::Arrives { .. } => {}
        }
    }

    /// Whether a deadlock has ended somebody else than the one whose step closed the circle, and who waits still.
    fn is_late(&self, actor: Actor, outcome: &StepOutcome) -> bool {
        let closes = self.entries.last().filter(|entry| entry.actor != actor && entry.returned_with.is_none());
        is_deadlock(outcome) && !self.look_over_after.is_zero() && closes.is_some()
    }

    /// Whether an actor has come back from a queue in which somebody before it still waits.
    fn has_overtaken(&self, actor: Actor, outcome: &StepOutcome) -> bool {
        let last_entry = |actor| self.players.get(actor).and_then(|player| Some(&self.entries[player.entry?]));
        let queued = last_entry(&actor).and_then(|entry| entry.wait.as_ref()).filter(|wait| wait.on == "tuple");
        let waits_still =
            |holder| last_entry(holder).is_some_and(|entry| entry.wait.is_some() && entry.returned_with.is_none());
        !is_deadlock(outcome) && queued.is_some_and(|wait| wait.holders.iter().any(waits_still))
    }

    fn answered(&mut self, sessions: &[Uuid], step: Option<usize>) {
        for player in self.players.values_mut().filter(|player| sessions.contains(&player.session)) {
            player.status = ActorPhase::Running;
            if let Some(entry) = player.entry {
                (self.entries[entry].outcome, self.entries[entry].returned_with) = (StepOutcome::Done, step);
            }
        }
    }
}

fn is_deadlock(outcome: &StepOutcome) -> bool {
    matches!(outcome, StepOutcome::Error { sqlstate: Some(sqlstate), .. } if sqlstate == "40P01")
}
