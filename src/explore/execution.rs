//! The execution of a test case: each client runs the approach's own code, unchanged, in the engine as a request would, behind a gate.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::classify::{self, answer_text};
use super::error::ExploreError;
use super::explorer_database::{END_MAX, ExplorerDatabase, LIMITS};
use super::findings::{CrashKind, Servers};
use super::mutation::Mutation;
use super::oracle::{self, ClientAnswer, ClientCall};
use super::run::gate::{Gate, GateEvent, GateEvents};
use super::run::interleaving_runner::InterleavingRunner;
use super::run::observations::{Observations, Unsettled};
use super::schedule::Actor;
use super::search::{Execution, JudgedInterleaving};
use super::test_case::{Crash, TestCase};
use super::transcript::StepOutcome;
use crate::engine::{Engine, OperationError, OperationOutcome};
use crate::server::Server;
use crate::session::batch::{BatchQueue, WriterObserver};
use crate::session::probe::Probe;
use crate::strategy::Strategy;
use domain::state::{Change, ChangeResult, State};

/// Runs a test case on the explorer's database.
pub struct ApproachExecution<'d> {
    database: &'d mut ExplorerDatabase,
    case: TestCase,
    rows: State,
    clients: JoinSet<(u8, ClientAnswer)>,
    /// The idempotency key of the first client, if it may have to repeat its request.
    key: Option<Uuid>,
}

impl<'d> ApproachExecution<'d> {
    /// An execution of this test case.
    #[must_use]
    pub fn new(database: &'d mut ExplorerDatabase, case: TestCase) -> Self {
        let rows = case.scenario.rows(case.clients);
        Self { database, case, rows, clients: JoinSet::new(), key: None }
    }

    /// The servers of the clients, each with its batch queue.
    fn servers(&mut self, events: &GateEvents) -> Result<Vec<(Server, Arc<BatchQueue>)>, ExploreError> {
        let count = match self.case.servers {
            Servers::One => 1,
            Servers::Each => self.case.clients,
        };
        (0..count)
            .map(|server| {
                let writer = Actor::Writer(server);
                let (pool, events, mutation) =
                    (self.database.pool_of(writer, self.case.isolation)?, events.clone(), self.case.mutation.clone());
                let cut = self.cut_after(writer);
                let probes = move || {
                    let gate = Gate::new(writer, server, Uuid::nil(), events.clone()).cut_after(cut);
                    probes(mutation.as_deref(), gate)
                };
                let observed = WriterObserver { pool, probes: Box::new(probes) };
                Ok((self.server(), BatchQueue::observed(&LIMITS, observed)))
            })
            .collect()
    }

    /// A new server on the explorer's database.
    fn server(&self) -> Server {
        Server::with_conditions(self.database.database().clone(), &LIMITS, self.case.conditions())
    }

    fn spawn(&mut self, client: u8, engine: Engine, events: &GateEvents) {
        let actor = Actor::Client(client);
        let server = match self.case.servers {
            Servers::One => 0,
            Servers::Each => client,
        };
        let session = Uuid::new_v4();
        let mut gate = Gate::new(actor, server, session, events.clone()).cut_after(self.cut_after(actor));
        let hang_up = Arc::new(Notify::new());
        if let Some(Crash { kind: CrashKind::HangUp, after: Some(after) }) = self.case.crash.filter(|_| client == 0) {
            gate = gate.hang_up_during(after, Arc::clone(&hang_up));
        }
        let probes = probes(self.case.mutation.as_deref(), gate);
        let change = self.case.scenario.change(client);
        let (strategy, events, key) = (self.case.strategy, events.clone(), self.key.filter(|_| client == 0));
        self.clients.spawn(async move {
            let answer = request(&engine, session, strategy, change, probes, key);
            tokio::select! {
                biased;
                answer = answer => {
                    let _ = events.send((actor, GateEvent::OperationEnded(answer_text(&change, &answer))));
                    (client, answer)
                }
                // The operation goes on without its client.
                () = hang_up.notified() => {
                    let answer = hung_up();
                    let _ = events.send((actor, GateEvent::HungUp(answer_text(&change, &answer))));
                    engine.ended().await;
                    (client, answer)
                }
            }
        });
    }

    /// The statement after which an actor's connection is cut; 0 for never. If clients share batches, the connection is the writer's.
    fn cut_after(&self, actor: Actor) -> u32 {
        let victim = if self.case.strategy.info().batches { Actor::Writer(0) } else { Actor::Client(0) };
        match self.case.crash {
            Some(Crash { kind: CrashKind::Cut, after: Some(after) }) if actor == victim => after,
            _ => 0,
        }
    }

    /// Checks what must be true after a crash: no lock is left, and a repeated request with the same key is answered as the first one
    /// should have been.
    async fn check_after_crash(
        &mut self,
        calls: &mut [ClientCall],
        judged: &mut JudgedInterleaving,
    ) -> Result<(), ExploreError> {
        if self.database.holds_locks().await? {
            judged.add_anomaly(classify::LOCK_LEFT, "all operations have ended, and a session still holds a lock");
            return Ok(());
        }
        let Some(key) = self.key else { return Ok(()) };
        let pool = self.database.pool_of(Actor::Client(0), self.case.isolation)?;
        let (engine, call) = (Engine::new(self.server().with_pool(pool), LIMITS), &mut calls[0]);
        let repeated = request(&engine, Uuid::new_v4(), self.case.strategy, call.change, Vec::new(), Some(key));
        let answer = tokio::time::timeout(END_MAX, repeated).await;
        let answer = answer
            .unwrap_or_else(|_elapsed| ClientAnswer::Unknown(format!("no answer within {} s", END_MAX.as_secs())));
        let (change, heard) = (call.change, answer_text(&call.change, &answer));
        judged.transcript.after.push(format!("A repeats its request with the same Idempotency-Key: {heard}"));
        // The second answer is certain: the change was made once, or is refused now. What was refused before may be made now.
        let settled = matches!(answer, ClientAnswer::Done(_) | ClientAnswer::Refused(_));
        (call.answer, call.ended) = (answer, usize::MAX);
        let after = self.database.rows().await?;
        if !settled || !oracle::explains(&self.rows, calls, &after) {
            let change = classify::change_text(&change);
            judged.add_anomaly(
                classify::NOT_ONCE,
                &format!("the request `{change}`, repeated with the same key, was answered: {heard}"),
            );
        }
        Ok(())
    }

    /// The call of each client, and the final rows, once all operations have ended.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn calls(&mut self, seen: &Observations) -> Result<(Vec<ClientCall>, State), ExploreError> {
        let mut answers = self.finish().await?;
        let lost = || ClientAnswer::Unknown("its task ended without an answer".to_owned());
        let call = |client| {
            let (began, ended) = seen.lifetime(Actor::Client(client));
            let answer = answers.remove(&client).unwrap_or_else(lost);
            ClientCall { change: self.case.scenario.change(client), answer, began, ended }
        };
        let calls = (0..self.case.clients).map(call).collect();
        Ok((calls, self.database.rows().await?))
    }

    /// Judges the calls of the clients.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn judge_calls(
        &mut self,
        mut calls: Vec<ClientCall>,
        after: &State,
        seen: Observations,
    ) -> Result<JudgedInterleaving, ExploreError> {
        let mut judged = classify::judge(&self.rows, &calls, after, seen);
        let Some(crash) = self.case.crash else {
            if calls.iter().all(|call| matches!(call.answer, ClientAnswer::GaveUp(_))) {
                judged.add_anomaly(
                    classify::ALL_GAVE_UP,
                    "every client gave up, although only the others were in its way",
                );
            }
            return Ok(judged);
        };
        let cut = judged.transcript.entries.iter().any(|entry| entry.outcome == StepOutcome::Cut);
        let gone = calls.first().is_some_and(|call| call.answer == hung_up());
        judged.crash_missed = !cut && !gone;
        if judged.anomalies.is_empty() {
            self.check_after_crash(&mut calls, &mut judged).await?;
        }
        judged.crash_after = crash.after;
        Ok(judged)
    }

    /// The rows before the first step, and the change that each client asks for.
    #[must_use]
    pub fn changes(&self) -> (&State, Vec<Change>) {
        (&self.rows, (0..self.case.clients).map(|client| self.case.scenario.change(client)).collect())
    }

    /// Ends an interleaving that was left before its end: lets all operations run to their end, and waits for them.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn leave(&mut self) -> Result<(), ExploreError> {
        self.finish().await.map(drop)
    }

    /// Waits until the operations of the interleaving before have ended, wherever it was left, and returns their answers.
    async fn finish(&mut self) -> Result<BTreeMap<u8, ClientAnswer>, ExploreError> {
        let (answers, _terminated) = self.database.finish(&mut self.clients, false).await?;
        Ok(answers.into_iter().collect())
    }
}

/// The probes of a session. The mutation comes last, so the gate reports what is really sent.
fn probes(mutation: Option<&Mutation>, gate: Gate) -> Vec<Box<dyn Probe>> {
    let mut probes: Vec<Box<dyn Probe>> = vec![Box::new(gate)];
    if let Some(mutation) = mutation {
        probes.push(Box::new(mutation.probe()));
    }
    probes
}

/// Asks for a change, as the handler of a request does.
pub async fn request(
    engine: &Engine,
    session: Uuid,
    strategy: &'static dyn Strategy,
    change: Change,
    probes: Vec<Box<dyn Probe>>,
    key: Option<Uuid>,
) -> ClientAnswer {
    match change {
        Change::Balance(change) => {
            client_answer(engine.run_probed(session, strategy, change, probes, key).await, ChangeResult::Balance)
        }
        Change::Transfer(transfer) => {
            client_answer(engine.run_probed(session, strategy, transfer, probes, key).await, ChangeResult::Transfer)
        }
        Change::Booking(booking) => {
            client_answer(engine.run_probed(session, strategy, booking, probes, key).await, ChangeResult::Booking)
        }
        Change::Cancellation(cancellation) => client_answer(
            engine.run_probed(session, strategy, cancellation, probes, key).await,
            ChangeResult::Cancellation,
        ),
        Change::Increment(increment) => {
            client_answer(engine.run_probed(session, strategy, increment, probes, key).await, ChangeResult::Increment)
        }
    }
}

/// What a client knows that has hung up.
fn hung_up() -> ClientAnswer {
    ClientAnswer::Unknown("hung up".to_owned())
}

fn client_answer<T>(outcome: OperationOutcome<T>, done: impl FnOnce(T) -> ChangeResult) -> ClientAnswer {
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
        self.finish().await?;
        self.database.set_rows(&self.rows).await?;
        let keyed = self.case.crash.is_some() && self.case.strategy.info().crash_atomic;
        self.key = keyed.then(Uuid::new_v4);
        let (events, received) = mpsc::unbounded_channel();
        let servers = self.servers(&events)?;
        for client in 0..self.case.clients {
            let pool = self.database.pool_of(Actor::Client(client), self.case.isolation)?;
            let (server, batches) = servers.get(usize::from(client)).unwrap_or(&servers[0]).clone();
            self.spawn(client, Engine::with_batches(server.with_pool(pool), LIMITS, batches), &events);
        }
        self.database.gather(received, self.case.clients).await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let (calls, after) = self.calls(&seen).await?;
        self.judge_calls(calls, &after, seen).await
    }

    fn clients(&self) -> u8 {
        self.case.clients
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        // The client that crashes differs from all others.
        let crashes = self.case.crash.is_some() && one.min(other) == 0;
        !crashes && self.case.scenario.change(one) == self.case.scenario.change(other)
    }
}
