//! How many interleavings there are is a matter of arithmetic: a model of clients and one lock counts them without a
//! database, and the explorer must run exactly as many.

use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::strategy::Approach;

use super::stage::{Stage, piece};

/// What a statement does about the one lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: BEGIN, a plain SELECT, or an UPDATE of a row that is locked already.
    Plain,
    /// Takes it, behind those who came before.
    Locks,
    /// Gives it back: COMMIT.
    Commits,
}

use Step::{Commits, Locks, Plain};

/// SELECT, UPDATE; each commits by itself, so nobody ever waits.
const READ_AND_WRITE: &[Step] = &[Plain, Plain];
/// BEGIN, SELECT, UPDATE, COMMIT.
const IN_A_TRANSACTION: &[Step] = &[Plain, Plain, Locks, Commits];
/// BEGIN, SELECT … FOR UPDATE, UPDATE, COMMIT.
const LOCKED_FIRST: &[Step] = &[Plain, Locks, Plain, Commits];
/// BEGIN, `pg_advisory_xact_lock`, SELECT, UPDATE, COMMIT.
const LOCKED_BY_NAME: &[Step] = &[Plain, Locks, Plain, Plain, Commits];

/// UPDATE … RETURNING, and its COMMIT.
const AT_ONCE: &[Step] = &[Locks, Commits];

/// Clients that all take the same steps, in the middle of an interleaving.
#[derive(Clone)]
struct Model {
    steps: &'static [Step],
    /// Whether a statement is also sent when it will have to wait.
    sends_into_waits: bool,
    /// Steps that each client has sent.
    sent: Vec<usize>,
    /// Who has the lock, and then who waits for it: first come, first served.
    queue: Vec<usize>,
}

impl Model {
    fn new(steps: &'static [Step], clients: usize, sends_into_waits: bool) -> Self {
        Self { steps, sends_into_waits, sent: vec![0; clients], queue: Vec::new() }
    }

    /// How many ways lead from here to the end.
    fn interleavings(&self) -> u64 {
        let ways: Vec<Self> = (0..self.sent.len()).filter_map(|client| self.after(client)).collect();
        if ways.is_empty() { 1 } else { ways.iter().map(Self::interleavings).sum() }
    }

    /// What follows when a client sends its next statement; `None` if it cannot.
    fn after(&self, client: usize) -> Option<Self> {
        let step = *self.steps.get(self.sent[client])?;
        let waits = self.queue.iter().skip(1).any(|waiting| *waiting == client);
        let would_wait = step == Locks && !self.queue.is_empty();
        if waits || would_wait && !self.sends_into_waits {
            return None;
        }
        let mut next = self.clone();
        next.sent[client] += 1;
        match step {
            Plain => {}
            Locks => next.queue.push(client),
            Commits => drop(next.queue.remove(0)),
        }
        Some(next)
    }
}

#[test]
fn the_model_agrees_with_what_is_counted_by_hand() {
    const NO_LOCK: &[Step] = &[Plain; 4];
    // How many if a statement is sent only when it can run at once, and if it is sent into a wait as well.
    let table = [
        ("4! / 2! 2!", READ_AND_WRITE, 2, 6, 6),
        ("8! / 4! 4!", NO_LOCK, 2, 70, 70),
        ("read committed", IN_A_TRANSACTION, 2, 30, 50),
        ("read committed", IN_A_TRANSACTION, 3, 4_050, 13_830),
        ("for update", LOCKED_FIRST, 2, 10, 24),
        ("for update", LOCKED_FIRST, 3, 270, 2_070),
    ];
    for (name, steps, clients, at_once, with_waits) in table {
        let count = |sends_into_waits| Model::new(steps, clients, sends_into_waits).interleavings();
        assert_eq!((count(false), count(true)), (at_once, with_waits), "{name}, {clients} clients");
    }
}

/// Explores deposits and withdrawals, which nobody ever refuses: so each client sends the statements of the model, in every interleaving.
async fn as_many_as_in_the_model(approach: Approach, steps: &'static [Step], clients: u8, permute: bool) {
    // Clients that all ask for the same are exchanged for each other in as many ways as they can be put in a row.
    let (scenario, ways) = if permute {
        (ExploreScenario::DepositAndWithdrawal, 1)
    } else {
        (ExploreScenario::MoneyForAll, (1..=u64::from(clients)).product())
    };
    let all = Model::new(steps, clients.into(), true).interleavings();
    let plan = SearchPlan { permute, ..SearchPlan::default() };
    let found = Stage::new().await.explore(approach, &piece(approach, scenario, clients), plan).await;
    assert!(found.complete);
    assert_eq!(found.interleavings * ways, all, "{approach}, {clients} clients, permuted: {permute}");
}

#[tokio::test]
async fn two_clients_have_as_many_as_in_the_model() {
    for permute in [true, false] {
        as_many_as_in_the_model(Approach::Naive, READ_AND_WRITE, 2, permute).await;
        as_many_as_in_the_model(Approach::ReadCommitted, IN_A_TRANSACTION, 2, permute).await;
        as_many_as_in_the_model(Approach::Pessimistic, LOCKED_FIRST, 2, permute).await;
        as_many_as_in_the_model(Approach::AdvisoryLock, LOCKED_BY_NAME, 2, permute).await;
        as_many_as_in_the_model(Approach::AtomicReturning, AT_ONCE, 2, permute).await;
    }
}

#[tokio::test]
async fn three_clients_that_take_two_steps() {
    for permute in [true, false] {
        as_many_as_in_the_model(Approach::Naive, READ_AND_WRITE, 3, permute).await;
        as_many_as_in_the_model(Approach::StoredFunction, AT_ONCE, 3, permute).await;
    }
}

/// All 2,070, the identical ones as well; 345 without.
#[tokio::test]
async fn three_clients_that_lock_first() {
    as_many_as_in_the_model(Approach::Pessimistic, LOCKED_FIRST, 3, true).await;
    as_many_as_in_the_model(Approach::Pessimistic, LOCKED_FIRST, 3, false).await;
}

/// A sixth of 13,830: running them all would take minutes.
#[tokio::test]
async fn three_clients_in_transactions() {
    as_many_as_in_the_model(Approach::ReadCommitted, IN_A_TRANSACTION, 3, false).await;
}
