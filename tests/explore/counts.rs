//! The number of interleavings follows from arithmetic. A model of clients and one lock counts them without a database, and the
//! explorer must run exactly this number.

use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::strategy::Approach;

use super::fixture::{Explorer, test_case};

/// What a statement does with the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: BEGIN, a plain SELECT, or an UPDATE of a row that is locked already.
    Plain,
    /// Takes the lock, after the clients that asked for it before.
    Locks,
    /// Releases the lock: COMMIT.
    Commits,
}

use Step::{Commits, Locks, Plain};

/// SELECT, UPDATE. Each commits by itself, so no client ever waits.
const READ_AND_WRITE: &[Step] = &[Plain, Plain];
/// BEGIN, SELECT, UPDATE, COMMIT.
const IN_A_TRANSACTION: &[Step] = &[Plain, Plain, Locks, Commits];
/// BEGIN, SELECT … FOR UPDATE, UPDATE, COMMIT.
const LOCKED_FIRST: &[Step] = &[Plain, Locks, Plain, Commits];
/// BEGIN, `pg_advisory_xact_lock`, SELECT, UPDATE, COMMIT.
const LOCKED_BY_NAME: &[Step] = &[Plain, Locks, Plain, Plain, Commits];

/// UPDATE … RETURNING, and its own COMMIT.
const AT_ONCE: &[Step] = &[Locks, Commits];

/// Clients that all take the same steps, at some point of an interleaving.
#[derive(Clone)]
struct Model {
    steps: &'static [Step],
    /// Whether a statement is also sent if it has to wait.
    sends_into_waits: bool,
    /// The number of steps that each client has sent.
    sent: Vec<usize>,
    /// The client that has the lock, then those that wait for it, in the order in which they asked.
    queue: Vec<usize>,
}

impl Model {
    fn new(steps: &'static [Step], clients: usize, sends_into_waits: bool) -> Self {
        Self { steps, sends_into_waits, sent: vec![0; clients], queue: Vec::new() }
    }

    /// The number of ways from here to the end.
    fn interleavings(&self) -> u64 {
        let ways: Vec<Self> = (0..self.sent.len()).filter_map(|client| self.after(client)).collect();
        if ways.is_empty() { 1 } else { ways.iter().map(Self::interleavings).sum() }
    }

    /// The model after a client has sent its next statement; `None` if it cannot.
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
fn the_model_agrees_with_counts_by_hand() {
    const NO_LOCK: &[Step] = &[Plain; 4];
    // The number if a statement is sent only when it can run at once, and the number if it is also sent into a wait.
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

/// Explores deposits and withdrawals that are never refused, so each client sends the statements of the model in every interleaving.
async fn the_explorer_runs_the_number_of_the_model(
    approach: Approach,
    steps: &'static [Step],
    clients: u8,
    permute: bool,
) {
    // Clients that all ask for the same are not permuted, so each interleaving stands for as many as the clients have orders.
    let (scenario, ways) = if permute {
        (ExploreScenario::DepositAndWithdrawal, 1)
    } else {
        (ExploreScenario::MoneyForAll, (1..=u64::from(clients)).product())
    };
    let all = Model::new(steps, clients.into(), true).interleavings();
    let plan = SearchPlan { permute, ..SearchPlan::default() };
    let found = Explorer::new().await.explore(approach, &test_case(approach, scenario, clients), plan).await;
    assert!(found.complete);
    assert_eq!(found.interleavings * ways, all, "{approach}, {clients} clients, permuted: {permute}");
}

#[tokio::test]
async fn two_clients_run_the_number_of_interleavings_of_the_model() {
    for permute in [true, false] {
        the_explorer_runs_the_number_of_the_model(Approach::Naive, READ_AND_WRITE, 2, permute).await;
        the_explorer_runs_the_number_of_the_model(Approach::ReadCommitted, IN_A_TRANSACTION, 2, permute).await;
        the_explorer_runs_the_number_of_the_model(Approach::Pessimistic, LOCKED_FIRST, 2, permute).await;
        the_explorer_runs_the_number_of_the_model(Approach::AdvisoryLock, LOCKED_BY_NAME, 2, permute).await;
        the_explorer_runs_the_number_of_the_model(Approach::AtomicReturning, AT_ONCE, 2, permute).await;
    }
}

#[tokio::test]
async fn three_clients_with_two_steps_run_the_number_of_the_model() {
    for permute in [true, false] {
        the_explorer_runs_the_number_of_the_model(Approach::Naive, READ_AND_WRITE, 3, permute).await;
        the_explorer_runs_the_number_of_the_model(Approach::StoredFunction, AT_ONCE, 3, permute).await;
    }
}

/// A sixth of 2,070. All of them, and the 13,830 of the clients in transactions, would take minutes.
#[tokio::test]
async fn three_clients_that_lock_first_run_the_number_of_the_model() {
    the_explorer_runs_the_number_of_the_model(Approach::Pessimistic, LOCKED_FIRST, 3, false).await;
}
