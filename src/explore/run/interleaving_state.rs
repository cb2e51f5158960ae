//! What the runner knows of an interleaving: its actors, its steps, and which actors are still.
//!
//! *Still* means that an actor is at the gate, has ended, or is blocked by an actor that is still. An actor reports itself that it is
//! at the gate, has ended, or waits for a mutex or a batch. PostgreSQL reports that it waits for a lock.
//!
//! Sessions that wait in a cycle are not still: PostgreSQL's deadlock check will end one of them. The check runs once, when a session
//! has waited for `deadlock_timeout`. So a session counts as blocked only when its own check is over. Then the victim is always
//! the session that closed the cycle, and every replay ends alike. On a busy machine a check may come late and end another
//! session. The state notices that, and the interleaving is run again.
//!
//! Most waits are in no cycle, and to wait for their checks would take most of the time. So the search first runs an interleaving in haste:
//! a session counts as blocked as soon as PostgreSQL reports it. Then any victim that has not taken the last step is doubtful, and the
//! interleaving is run again without haste.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::actor_state::{ActorPhase, ActorState, ActorStatus};
use super::gate::GateEvent;
use super::monitor::WaitReading;
use super::observations::{Observations, Unsettled};
use crate::explore::schedule::{Actor, Schedule};
use crate::explore::transcript::{StepOutcome, StepWait, TranscriptStep};
use domain::Row;

/// The state of one interleaving.
#[derive(Debug)]
pub struct InterleavingState {
    /// How long a session must have been reported as waiting until its deadlock check is over.
    check_over_after: Duration,
    /// A session counts as blocked before its check is over.
    haste: bool,
    /// No actor has reported anything since PostgreSQL was asked.
    reading_is_current: bool,
    actors: BTreeMap<Actor, ActorState>,
    mutexes: BTreeMap<(u8, Row), Actor>,
    steps: Vec<Actor>,
    entries: Vec<TranscriptStep>,
    heard: BTreeMap<Actor, String>,
    /// An accident of timing, which another run may not have.
    accident: Option<Unsettled>,
}

impl InterleavingState {
    /// The state before the first event. `deadlock_timeout` is that of the sessions, or `None` if it could not be lowered; then the
    /// victim of a deadlock is the session that waited first.
    #[must_use]
    pub fn new(deadlock_timeout: Option<Duration>) -> Self {
        Self {
            check_over_after: deadlock_timeout.map_or(Duration::ZERO, |timeout| timeout * 2),
            haste: false,
            reading_is_current: false,
            actors: BTreeMap::new(),
            mutexes: BTreeMap::new(),
            steps: Vec::new(),
            entries: Vec::new(),
            heard: BTreeMap::new(),
            accident: None,
        }
    }

    /// See [`super::interleaving_runner::InterleavingRunner::hurry`].
    pub fn hurry(&mut self) {
        self.haste = !self.check_over_after.is_zero();
    }

    /// The actors that wait in PostgreSQL.
    #[must_use]
    pub fn waiting(&self) -> BTreeSet<Actor> {
        let running = |state: &ActorState| matches!(state.phase, ActorPhase::Running);
        self.actors.iter().filter(|(_, state)| running(state)).map(|(actor, _)| *actor).collect()
    }

    /// Whether, of these actors, only some of `waited` run a statement.
    #[must_use]
    pub fn only_these_run(&self, moving: &BTreeSet<Actor>, waited: &BTreeSet<Actor>) -> bool {
        let running = |actor: &&Actor| matches!(self.actors[*actor].phase, ActorPhase::Running);
        moving.iter().filter(running).all(|actor| waited.contains(actor))
    }

    /// Whether the deadlock check of a wait that was first reported then is over, or the search is in haste.
    fn check_is_over(&self, since: Instant) -> bool {
        self.haste || since.elapsed() >= self.check_over_after
    }

    /// The actors that can go next.
    pub fn ready(&self) -> impl Iterator<Item = Actor> + '_ {
        let ready =
            |(actor, state): (&Actor, &ActorState)| matches!(state.phase, ActorPhase::Ready { .. }).then_some(*actor);
        self.actors.iter().filter_map(ready)
    }

    /// The step that an actor takes next, by name and text.
    #[must_use]
    pub fn next_step(&self, actor: Actor) -> Option<(&str, &str)> {
        match &self.actors.get(&actor)?.phase {
            ActorPhase::Ready { name, sql, .. } => Some((name, sql)),
            _ => None,
        }
    }

    /// Where each actor is, now that all are still.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<Actor, ActorStatus> {
        let waits = |actor, on: &str| {
            ActorStatus::Waits(StepWait { holders: self.holders(actor).unwrap_or_default(), on: on.to_owned() })
        };
        let status = |(&actor, state): (&Actor, &ActorState)| {
            let status = match &state.phase {
                ActorPhase::Ready { name, sql, values } => {
                    ActorStatus::Ready { name: name.clone(), sql: sql.clone(), values: values.clone() }
                }
                ActorPhase::Running => waits(actor, state.blocked.as_ref().map_or("", |(_, wait)| wait.on.as_str())),
                ActorPhase::WantsMutex(_) => waits(actor, "mutex"),
                ActorPhase::Queued => waits(actor, "batch"),
                ActorPhase::WaitsInApplication => waits(actor, "application"),
                ActorPhase::Ended => ActorStatus::Ended(self.heard.get(&actor).cloned()),
            };
            (actor, status)
        };
        self.actors.iter().map(status).collect()
    }

    /// The steps so far.
    #[must_use]
    pub fn entries(&self) -> &[TranscriptStep] {
        &self.entries
    }

    /// Whether this client's session has started.
    #[must_use]
    pub fn has_started(&self, client: u8) -> bool {
        self.actors.contains_key(&Actor::Client(client))
    }

    /// Whether an actor has taken a step.
    #[must_use]
    pub fn has_begun(&self, actor: Actor) -> bool {
        self.actors.get(&actor).is_some_and(|state| state.entry.is_some())
    }

    /// Records that an actor's next step is let go, and returns what lets it go. `None` if the actor has no next step.
    pub fn begin_step(&mut self, actor: Actor) -> Option<mpsc::Sender<()>> {
        let state = self.actors.get_mut(&actor)?;
        if !matches!(state.phase, ActorPhase::Ready { .. }) {
            return None;
        }
        let ActorPhase::Ready { name, sql, values } = std::mem::replace(&mut state.phase, ActorPhase::Running) else {
            return None;
        };
        state.entry = Some(self.entries.len());
        state.blocked = None;
        self.reading_is_current = false;
        self.steps.push(actor);
        self.entries.push(TranscriptStep {
            actor,
            name,
            sql,
            values,
            wait: None,
            returned_with: None,
            outcome: StepOutcome::Lost,
            notices: Vec::new(),
            ended: None,
        });
        Some(state.go.clone())
    }

    /// An accident of timing since the last call.
    pub fn take_accident(&mut self) -> Option<Unsettled> {
        self.accident.take()
    }

    /// Everything that was observed.
    #[must_use]
    pub fn into_observations(self) -> Observations {
        Observations { schedule: Schedule(self.steps), entries: self.entries, heard: self.heard }
    }

    /// Takes over PostgreSQL's report of the actors that wait. The caller has checked that no event has arrived since it asked.
    pub fn apply_reading(&mut self, reading: &WaitReading) {
        self.reading_is_current = true;
        for (actor, state) in &mut self.actors {
            let now = reading.waits.get(actor).filter(|_| matches!(state.phase, ActorPhase::Running));
            // The holders may change during a wait. Then it counts as another wait.
            state.blocked = match (state.blocked.take(), now) {
                (Some((since, wait)), Some(now)) if wait == *now => Some((since, wait)),
                (_, Some(now)) => Some((Instant::now(), now.clone())),
                (_, None) => None,
            };
        }
    }

    /// Whether some of these actors may wait in PostgreSQL. In a wait inside the process PostgreSQL has no part.
    #[must_use]
    pub fn may_wait_in_database(&self, moving: &BTreeSet<Actor>) -> bool {
        moving.iter().any(|actor| matches!(self.actors[actor].phase, ActorPhase::Running))
    }

    /// Whether the only open question is whether the waits that were reported before go on.
    #[must_use]
    pub fn only_known_waits(&self, moving: &BTreeSet<Actor>) -> bool {
        !self.reading_is_current
            && moving.iter().all(|actor| {
                let blocked = self.actors[actor].blocked.as_ref();
                blocked.is_some_and(|(since, _)| self.check_is_over(*since))
            })
    }

    /// The actors that an actor waits for. `None` if it does not wait, or if PostgreSQL may still end its wait as a deadlock.
    fn holders(&self, actor: Actor) -> Option<Vec<Actor>> {
        let state = self.actors.get(&actor)?;
        match &state.phase {
            ActorPhase::Running => {
                let (since, wait) = state.blocked.as_ref()?;
                (self.reading_is_current && self.check_is_over(*since)).then(|| wait.holders.clone())
            }
            ActorPhase::WantsMutex(row) => self.mutexes.get(&(state.server, *row)).map(|holder| vec![*holder]),
            ActorPhase::Queued => {
                let writer = Actor::Writer(state.server);
                self.actors.contains_key(&writer).then(|| vec![writer])
            }
            ActorPhase::Ready { .. } | ActorPhase::WaitsInApplication | ActorPhase::Ended => None,
        }
    }

    /// The actors that are not still.
    #[must_use]
    pub fn moving(&self) -> BTreeSet<Actor> {
        // A wait inside an application counts as still, because only another actor can end it.
        let busy = |state: &ActorState| {
            !matches!(state.phase, ActorPhase::Ready { .. } | ActorPhase::WaitsInApplication | ActorPhase::Ended)
        };
        let mut moving: BTreeSet<Actor> =
            self.actors.iter().filter(|(_, state)| busy(state)).map(|(actor, _)| *actor).collect();
        let holders: BTreeMap<Actor, Vec<Actor>> =
            moving.iter().filter_map(|actor| Some((*actor, self.holders(*actor)?))).collect();
        // An actor that waits only for still ones is still. Those that wait in a cycle never become so.
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

    /// Whether a wait for a holder lasts for as long as the holder does nothing. An actor that has ended may have left a lock behind
    /// that PostgreSQL knows of. A cut connection keeps its locks only until the server notices, and no actor leaves a mutex locked.
    fn can_hold(&self, waiter: Actor, holder: Actor) -> bool {
        let Some(state) = self.actors.get(&holder) else { return false };
        let cut = state.entry.is_some_and(|entry| self.entries[entry].outcome == StepOutcome::Cut);
        let in_database = self.actors.get(&waiter).is_some_and(|waiter| matches!(waiter.phase, ActorPhase::Running));
        !matches!(state.phase, ActorPhase::Ended) || in_database && !cut
    }

    /// Records in the steps what their actors wait for, now that all are still.
    pub fn record_waits(&mut self) {
        let waits: Vec<(usize, StepWait)> = (self.actors.iter())
            .filter_map(|(actor, state)| {
                let on = match &state.phase {
                    ActorPhase::Running => state.blocked.as_ref()?.1.on.clone(),
                    ActorPhase::WantsMutex(_) => "mutex".to_owned(),
                    ActorPhase::Queued => "batch".to_owned(),
                    ActorPhase::Ready { .. } | ActorPhase::WaitsInApplication | ActorPhase::Ended => return None,
                };
                Some((state.entry?, StepWait { holders: self.holders(*actor)?, on }))
            })
            .collect();
        for (entry, wait) in waits {
            self.entries[entry].wait.get_or_insert(wait);
        }
    }

    /// Why these actors do not become still.
    #[must_use]
    pub fn unsettled(&self, moving: &BTreeSet<Actor>) -> Unsettled {
        let waits = |actor: &Actor| self.actors[actor].blocked.as_ref().map(|(_, wait)| wait);
        if let Some(runs) = moving.iter().find(|actor| waits(actor).is_none() && self.holders(**actor).is_none()) {
            return Unsettled::Runs(*runs);
        }
        if let Some(actor) = moving.iter().find(|actor| waits(actor).is_some_and(|wait| wait.holders.is_empty())) {
            return Unsettled::Stranger(*actor);
        }
        let wait = |actor: &Actor| {
            let holders: Vec<String> =
                self.holders(*actor).unwrap_or_default().iter().map(ToString::to_string).collect();
            format!("{actor} for {}", holders.join(" and "))
        };
        Unsettled::Stuck(moving.iter().map(wait).collect::<Vec<_>>().join(", "))
    }

    /// Takes an event over.
    pub fn apply(&mut self, actor: Actor, event: GateEvent) {
        self.reading_is_current = false;
        if let GateEvent::Started { go, server, session } = event {
            self.actors.insert(actor, ActorState::new(go, server, session));
            return;
        }
        let step = self.steps.len().checked_sub(1);
        if let GateEvent::Returned(outcome) = &event {
            let late = self.is_late(actor, outcome).then_some(Unsettled::Late(actor));
            let overtaken = || self.has_overtaken(actor, outcome).then_some(Unsettled::Overtaken(actor));
            self.accident = late.or_else(overtaken).or(self.accident.take());
        }
        let Some(state) = self.actors.get_mut(&actor) else { return };
        let entry = state.entry.map(|entry| &mut self.entries[entry]);
        match event {
            GateEvent::Ready { name, sql, values } => state.phase = ActorPhase::Ready { name, sql, values },
            GateEvent::Noticed(notices) => {
                if let Some(entry) = entry {
                    entry.notices = notices;
                }
            }
            GateEvent::Returned(outcome) => {
                if let Some(entry) = entry {
                    (entry.outcome, entry.returned_with) = (outcome, step);
                }
            }
            GateEvent::WantsMutex(row) => state.phase = ActorPhase::WantsMutex(row),
            GateEvent::HasMutex(row) => {
                state.phase = ActorPhase::Running;
                self.mutexes.insert((state.server, row), actor);
                if let Some(entry) = entry {
                    (entry.outcome, entry.returned_with) = (StepOutcome::Done, step);
                }
            }
            GateEvent::ReleasedMutexes => self.mutexes.retain(|_, holder| *holder != actor),
            GateEvent::Queued => state.phase = ActorPhase::Queued,
            GateEvent::WaitsInApplication => state.phase = ActorPhase::WaitsInApplication,
            GateEvent::GoesOnInApplication => state.phase = ActorPhase::Running,
            GateEvent::Answered(sessions) => self.apply_answers(&sessions, step),
            GateEvent::OperationEnded(heard) => {
                state.phase = ActorPhase::Ended;
                if let Some(entry) = entry {
                    entry.ended = Some(heard.clone());
                }
                self.heard.insert(actor, heard);
            }
            // A client's operation reports its end itself: OperationEnded.
            GateEvent::SessionEnded if matches!(actor, Actor::Writer(_)) => {
                state.phase = ActorPhase::Ended;
                // Its last step found the queue empty.
                if let Some(entry) = entry.filter(|entry| entry.outcome == StepOutcome::Lost) {
                    (entry.outcome, entry.returned_with) = (StepOutcome::Done, step);
                }
            }
            GateEvent::SessionEnded if self.heard.contains_key(&actor) => state.phase = ActorPhase::Ended,
            GateEvent::Stuck(why) => self.accident = Some(Unsettled::Unfit(actor, why)),
            GateEvent::HungUp(heard) => {
                if let Some(entry) = entry {
                    entry.ended = Some(heard.clone());
                }
                self.heard.insert(actor, heard);
            }
            GateEvent::SessionEnded | GateEvent::Started { .. } => {}
        }
    }

    /// Whether the deadlock check has ended another session than the one that closed the cycle. That one still waits, or may have
    /// gone on already.
    fn is_late(&self, actor: Actor, outcome: &StepOutcome) -> bool {
        let closes = |entry: &TranscriptStep| entry.actor != actor && (self.haste || entry.returned_with.is_none());
        is_deadlock(outcome) && !self.check_over_after.is_zero() && self.entries.last().is_some_and(closes)
    }

    /// Whether an actor has left a queue in which another one ahead of it still waits.
    fn has_overtaken(&self, actor: Actor, outcome: &StepOutcome) -> bool {
        let last_entry = |actor| self.actors.get(actor).and_then(|state| Some(&self.entries[state.entry?]));
        let queued = last_entry(&actor).and_then(|entry| entry.wait.as_ref()).filter(|wait| wait.on == "tuple");
        let still_waits =
            |holder| last_entry(holder).is_some_and(|entry| entry.wait.is_some() && entry.returned_with.is_none());
        !is_deadlock(outcome) && queued.is_some_and(|wait| wait.holders.iter().any(still_waits))
    }

    fn apply_answers(&mut self, sessions: &[Uuid], step: Option<usize>) {
        for state in self.actors.values_mut().filter(|state| sessions.contains(&state.session)) {
            state.phase = ActorPhase::Running;
            if let Some(entry) = state.entry {
                (self.entries[entry].outcome, self.entries[entry].returned_with) = (StepOutcome::Done, step);
            }
        }
    }
}

fn is_deadlock(outcome: &StepOutcome) -> bool {
    matches!(outcome, StepOutcome::Error { sqlstate: Some(sqlstate), .. } if sqlstate == "40P01")
}
