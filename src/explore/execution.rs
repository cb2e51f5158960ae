//! A play of an approach: its own code, unchanged, run by each client in the engine as a request would, behind a gate.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ExploreError;
use super::classify;
use super::crash::{self, Crash};
use super::explorer_database::{END_MAX, ExplorerDatabase, LIMITS};
use super::findings::{CrashKind, Servers};
use super::gate::{Gate, GateEvent, GateEvents};
use super::interleaving_runner::InterleavingRunner;
use super::mutation::Mutation;
use super::observations::{Observations, Unsettled};
use super::oracle::{self, ClientAnswer, ClientCall};
use super::scenario::ExploreScenario;
use super::schedule::Actor;
use super::search::{Execution, JudgedInterleaving};
use super::transcript::StepOutcome;
use crate::engine::{Engine, OperationError, OperationOutcome};
use crate::server::{Server, SessionConditions};
use crate::session::batch::{BatchQueue, WriterObserver};
use crate::session::probe::Probe;
use crate::session::statement::Isolation;
use crate::strategy::Strategy;
use domain::state::{Change, ChangeResult, State};

/// What is played.
#[derive(Clone)]
pub struct TestCase {
    /// The approach's code.
    pub strategy: &'static dyn Strategy,
    /// The rows, and what the clients want.
    pub scenario: ExploreScenario,
    /// How many clients.
    pub clients: u8,
    /// Where they are.
    pub servers: Servers,
    /// A level for every transaction, if it is not left to the approach.
    pub isolation: Option<Isolation>,
    /// What is changed in the SQL.
    pub amend: Option<Arc<Mutation>>,
    /// The COMMIT of a statement outside a transaction is a step of its own, so that others may come while it holds its locks.
    pub commits_apart: bool,
    /// What happens to the first client.
    pub crash: Option<Crash>,
}

impl TestCase {
    fn conditions(&self) -> SessionConditions {
        SessionConditions { isolation: self.isolation, commits_apart: self.commits_apart }
    }
}

/// A piece on a world.
pub struct ApproachExecution<'w> {
    world: &'w mut ExplorerDatabase,
    piece: TestCase,
    rows: State,
    clients: JoinSet<(u8, ClientAnswer)>,
    /// The key under which the first client asks, if it may have to ask again.
    key: Option<Uuid>,
}

impl<'w> ApproachExecution<'w> {
    /// Brings a piece into a world.
    #[must_use]
    pub fn new(world: &'w mut ExplorerDatabase, piece: TestCase) -> Self {
        let rows = piece.scenario.rows(piece.clients);
        Self { world, piece, rows, clients: JoinSet::new(), key: None }
    }

    /// The servers of the clients, each with its queue of batches.
    fn servers(&mut self, events: &GateEvents) -> Result<Vec<(Server, Arc<BatchQueue>)>, ExploreError> {
        let count = match self.piece.servers {
            Servers::One => 1,
            Servers::Each => self.piece.clients,
        };
        (0..count)
            .map(|server| {
                let writer = Actor::Writer(server);
                let (pool, events, amend) =
                    (self.world.pool_of(writer, self.piece.isolation)?, events.clone(), self.piece.amend.clone());
                let cut = self.cut_after(writer);
                let probes = move || {
                    let gate = Gate::new(writer, server, Uuid::nil(), events.clone()).cut_after(cut);
                    probes(amend.as_deref(), gate)
                };
                let observed = WriterObserver { pool, probes: Box::new(probes) };
                Ok((self.server(), BatchQueue::observed(&LIMITS, observed)))
            })
            .collect()
    }

    /// A new server on the explorer's database.
    fn server(&self) -> Server {
        Server::with_conditions(self.world.database().clone(), &LIMITS, self.piece.conditions())
    }

    fn spawn(&mut self, client: u8, engine: Engine, events: &GateEvents) {
        let actor = Actor::Client(client);
        let server = match self.piece.servers {
            Servers::One => 0,
            Servers::Each => client,
        };
        let session = Uuid::new_v4();
        let mut gate = Gate::new(actor, server, session, events.clone()).cut_after(self.cut_after(actor));
        let hang_up = Arc::new(Notify::new());
        if let Some(Crash { kind: CrashKind::HangUp, after: Some(after) }) = self.piece.crash.filter(|_| client == 0) {
            gate = gate.hang_up_during(after, Arc::clone(&hang_up));
        }
        let probes = probes(self.piece.amend.as_deref(), gate);
        let change = self.piece.scenario.wish(client);
        let (strategy, events, key) = (self.piece.strategy, events.clone(), self.key.filter(|_| client == 0));
        self.clients.spawn(async move {
            let asked = ask(&engine, session, strategy, change, probes, key);
            tokio::select! {
                biased;
                answer = asked => {
                    let _ = events.send((actor, GateEvent::Heard(classify::heard(&change, &answer))));
                    (client, answer)
                }
                // What was asked for goes on without it.
                () = hang_up.notified() => {
                    let answer = hung_up();
                    let _ = events.send((actor, GateEvent::HungUp(classify::heard(&change, &answer))));
                    engine.ended().await;
                    (client, answer)
                }
            }
        });
    }

    /// After how many statements an actor's connection is cut; 0 for never. Where clients share batches, the writer has the connection.
    fn cut_after(&self, actor: Actor) -> u32 {
        let victim = if self.piece.strategy.info().batches { Actor::Writer(0) } else { Actor::Client(0) };
        match self.piece.crash {
            Some(Crash { kind: CrashKind::Cut, after: Some(after) }) if actor == victim => after,
            _ => 0,
        }
    }

    /// What must be true after a crash: no lock is left, and whoever asks again under the same key learns what became of it.
    async fn aftermath(
        &mut self,
        calls: &mut [ClientCall],
        judged: &mut JudgedInterleaving,
    ) -> Result<(), ExploreError> {
        if self.world.holds_locks().await? {
            judged.object(crash::LOCK_LEFT, "everybody has ended, and a session still holds a lock");
            return Ok(());
        }
        let Some(key) = self.key else { return Ok(()) };
        let pool = self.world.pool_of(Actor::Client(0), self.piece.isolation)?;
        let (engine, call) = (Engine::new(self.server().with_pool(pool), LIMITS), &mut calls[0]);
        let asked = ask(&engine, Uuid::new_v4(), self.piece.strategy, call.change, Vec::new(), Some(key));
        let answer = tokio::time::timeout(END_MAX, asked).await;
        let answer = answer.unwrap_or_else(|_elapsed| ClientAnswer::Unknown("nothing was heard for long".to_owned()));
        let (change, heard) = (call.change, classify::heard(&call.change, &answer));
        judged.transcript.after.push(format!("A asks again under its key: {heard}"));
        // By now it has certainly been made once, or is refused: the doubt is over, and what was refused then may be done now.
        let settled = matches!(answer, ClientAnswer::Done(_) | ClientAnswer::Refused(_));
        (call.answer, call.ended) = (answer, usize::MAX);
        let after = self.world.rows().await?;
        if !settled || !oracle::explains(&self.rows, calls, &after) {
            judged.object(
                crash::NOT_ONCE,
                &format!("asked again under its key, `{}` was {heard}", classify::asked(&change)),
            );
        }
        Ok(())
    }

    /// What each client asked and heard, and the rows that are left, once nobody plays any more.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn calls(&mut self, seen: &Observations) -> Result<(Vec<ClientCall>, State), ExploreError> {
        let mut answers = self.clear().await?;
        let lost = || ClientAnswer::Unknown("its task ended without an answer".to_owned());
        let call = |client| {
            let (began, ended) = seen.lifetime(Actor::Client(client));
            let answer = answers.remove(&client).unwrap_or_else(lost);
            ClientCall { change: self.piece.scenario.wish(client), answer, began, ended }
        };
        let calls = (0..self.piece.clients).map(call).collect();
        Ok((calls, self.world.rows().await?))
    }

    /// Judges what was asked and heard.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn judge_calls(
        &mut self,
        mut calls: Vec<ClientCall>,
        after: &State,
        seen: Observations,
    ) -> Result<JudgedInterleaving, ExploreError> {
        let mut judged = classify::judged(&self.rows, &calls, after, seen);
        let Some(crash) = self.piece.crash else {
            if calls.iter().all(|call| matches!(call.answer, ClientAnswer::GaveUp(_))) {
                judged.object(classify::NOBODY_SERVED, "everybody gave up, and nobody was in their way but each other");
            }
            return Ok(judged);
        };
        let cut = judged.transcript.entries.iter().any(|entry| entry.outcome == StepOutcome::Cut);
        let gone = calls.first().is_some_and(|call| call.answer == hung_up());
        judged.spared = !cut && !gone;
        if judged.anomalies.is_empty() {
            self.aftermath(&mut calls, &mut judged).await?;
        }
        judged.crash_after = crash.after;
        Ok(judged)
    }

    /// The rows before the first step, and what each client wants of them.
    #[must_use]
    pub fn wishes(&self) -> (&State, Vec<Change>) {
        (&self.rows, (0..self.piece.clients).map(|client| self.piece.scenario.wish(client)).collect())
    }

    /// Ends a play that was left before its end: all go on by themselves, and are waited for.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn leave(&mut self) -> Result<(), ExploreError> {
        self.clear().await.map(drop)
    }

    /// Waits until those of the play before have ended, however it was left.
    async fn clear(&mut self) -> Result<BTreeMap<u8, ClientAnswer>, ExploreError> {
        let (answers, _evicted) = self.world.clear(&mut self.clients, false).await?;
        Ok(answers.into_iter().collect())
    }
}

/// A session's probes: the gate shows what is really sent.
fn probes(amend: Option<&Mutation>, gate: Gate) -> Vec<Box<dyn Probe>> {
    let mut probes: Vec<Box<dyn Probe>> = vec![Box::new(gate)];
    if let Some(amend) = amend {
        probes.push(Box::new(amend.probe()));
    }
    probes
}

/// Asks for a change, as the handler of a request does.
pub async fn ask(
    engine: &Engine,
    session: Uuid,
    strategy: &'static dyn Strategy,
    change: Change,
    probes: Vec<Box<dyn Probe>>,
    key: Option<Uuid>,
) -> ClientAnswer {
    match change {
        Change::Balance(change) => {
            told(engine.run_probed(session, strategy, change, probes, key).await, ChangeResult::Balance)
        }
        Change::Transfer(transfer) => {
            told(engine.run_probed(session, strategy, transfer, probes, key).await, ChangeResult::Transfer)
        }
        Change::Booking(booking) => {
            told(engine.run_probed(session, strategy, booking, probes, key).await, ChangeResult::Booking)
        }
        Change::Cancellation(cancellation) => {
            told(engine.run_probed(session, strategy, cancellation, probes, key).await, ChangeResult::Cancellation)
        }
        Change::Increment(increment) => {
            told(engine.run_probed(session, strategy, increment, probes, key).await, ChangeResult::Increment)
        }
    }
}

/// What a client knows that did not wait for the answer.
fn hung_up() -> ClientAnswer {
    ClientAnswer::Unknown("hung up".to_owned())
}

fn told<T>(outcome: OperationOutcome<T>, done: impl FnOnce(T) -> ChangeResult) -> ClientAnswer {
    match outcome.result {
        Ok(value) => ClientAnswer::Done(done(value)),
        Err(OperationError::Refused(refusal)) => ClientAnswer::Refused(refusal),
        Err(OperationError::NotDone(why)) => ClientAnswer::GaveUp(why.into_owned()),
        Err(OperationError::OutcomeUnknown(why)) => ClientAnswer::Unknown(why.into_owned()),
        Err(other) => ClientAnswer::Unexpected(match other {
            OperationError::Bug(what) => what.into_owned(),
            other => other.to_string(),
        }),
    }
}

#[async_trait]
impl Execution for ApproachExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.clear().await?;
        self.world.set(&self.rows).await?;
        let keyed = self.piece.crash.is_some() && self.piece.strategy.info().crash_atomic;
        self.key = keyed.then(Uuid::new_v4);
        let (events, heard) = mpsc::unbounded_channel();
        let servers = self.servers(&events)?;
        for client in 0..self.piece.clients {
            let pool = self.world.pool_of(Actor::Client(client), self.piece.isolation)?;
            let (server, batches) = servers.get(usize::from(client)).unwrap_or(&servers[0]).clone();
            self.spawn(client, Engine::with_batches(server.with_pool(pool), LIMITS, batches), &events);
        }
        self.world.gather(heard, self.piece.clients).await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let (calls, after) = self.calls(&seen).await?;
        self.judge_calls(calls, &after, seen).await
    }

    fn clients(&self) -> u8 {
        self.piece.clients
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        // Who crashes is like nobody else.
        let crashes = self.piece.crash.is_some() && one.min(other) == 0;
        !crashes && self.piece.scenario.wish(one) == self.piece.scenario.wish(other)
    }
}
