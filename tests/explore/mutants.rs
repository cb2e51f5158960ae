//! Mutants: one guard is taken away from a safe approach, and the explorer must find the violation. The unchanged approach is explored as
//! well and must be proved, so that the violation comes from the missing guard.

use std::sync::Arc;

use concurrency_lab::explore::findings::{ExplorationVerdict, Servers};
use concurrency_lab::explore::mutation::Mutation;
use concurrency_lab::explore::scenario::ExploreScenario::{self, *};
use concurrency_lab::explore::test_case::TestCase;
use concurrency_lab::session::statement::Isolation;
use concurrency_lab::strategy::Approach::{self, *};
use referee::judgement::Anomaly::{self, *};

use super::fixture::{Explorer, assert_finds, reduced, test_case};

/// How a missing guard is found.
#[derive(Debug, Clone, Copy)]
enum Shows {
    /// By this anomaly, and maybe others.
    As(Anomaly),
    /// The results are correct, but there are deadlocks.
    InDeadlocks,
}

use Shows::{As, InDeadlocks};

/// What is changed.
#[derive(Debug, Clone, Copy)]
enum Guard {
    /// A text of the approach's SQL is replaced by another one.
    Text(&'static str, &'static str),
    /// The isolation level.
    Level(Isolation),
    /// The schema, by this SQL.
    Schema(&'static str),
}

use Guard::{Level, Schema, Text};

/// Explores the unchanged test case, which must be proved, and the one without its guard, which must be found.
async fn mutant_is_found(explorer: &mut Explorer, approach: Approach, case: TestCase, guard: Guard, shows: Shows) {
    let context = format!("{approach} {} without {guard:?}", case.scenario);
    let whole = explorer.explore(approach, &case, reduced()).await;
    assert_eq!(
        (whole.verdict, whole.deadlocks),
        (ExplorationVerdict::Proved, 0),
        "{context}: the unchanged approach must be proved"
    );
    let without = without(explorer, case, guard).await;
    let found = explorer.explore(approach, &without, reduced()).await;
    match shows {
        As(anomaly) => assert_finds(&found, anomaly, &context),
        InDeadlocks => assert!(found.deadlocks > 0, "{context}: the mutant is not found"),
    }
}

async fn without(explorer: &mut Explorer, case: TestCase, guard: Guard) -> TestCase {
    match guard {
        Text(text, by) => {
            let mutation = Mutation::new(case.strategy, text, by).expect("a text of the approach");
            TestCase { mutation: Some(Arc::new(mutation)), ..case }
        }
        Level(isolation) => TestCase { isolation: Some(isolation), ..case },
        Schema(sql) => {
            explorer.alter_schema(sql).await;
            case
        }
    }
}

async fn mutants_are_found(guards: &[(Approach, Guard, ExploreScenario, Shows)]) {
    let mut explorer = Explorer::new().await;
    for &(approach, guard, scenario, shows) in guards {
        mutant_is_found(&mut explorer, approach, test_case(approach, scenario, 2), guard, shows).await;
        if let Schema(_) = guard {
            explorer = Explorer::new().await;
        }
    }
}

const FOR_UPDATE: Guard = Text(" for update", "");

#[tokio::test]
async fn missing_row_locks_are_found() {
    mutants_are_found(&[
        (Pessimistic, FOR_UPDATE, LastMoney, As(Overdraft)),
        (Pessimistic, FOR_UPDATE, DepositAndWithdrawal, As(LostUpdate)),
        (Pessimistic, FOR_UPDATE, OppositeTransfers, As(LostUpdate)),
        (Pessimistic, FOR_UPDATE, LastSeat, As(Oversell)),
        (Pessimistic, FOR_UPDATE, SameUser, As(DoubleBooking)),
        (Pessimistic, FOR_UPDATE, Increments, As(LostUpdate)),
        // This lock does not exclude sessions that change the row.
        (Pessimistic, Text("for update", "for key share"), LastMoney, As(Overdraft)),
        // This lock excludes them, but two sessions can have it: then each waits for the other when it writes.
        (Pessimistic, Text("for update", "for share"), LastMoney, InDeadlocks),
    ])
    .await;
}

#[tokio::test]
async fn missing_advisory_locks_are_found() {
    const SHARED: Guard = Text("xact_lock(", "xact_lock_shared(");
    // The second client takes the locks of users 1 and 2 in the opposite order.
    const OTHER_ORDER: Guard =
        Text("$2)", "case when current_setting('application_name') like '%B' then 3 - $2 else $2 end)");
    mutants_are_found(&[
        (AdvisoryLock, Text("pg_advisory_xact_lock($1, $2)", "$1::int, $2::int"), LastMoney, As(Overdraft)),
        (AdvisoryLock, SHARED, DepositAndWithdrawal, As(LostUpdate)),
        (AdvisoryLock, SHARED, LastSeat, As(Oversell)),
        (AdvisoryLock, OTHER_ORDER, OppositeTransfers, InDeadlocks),
    ])
    .await;
}

#[tokio::test]
async fn missing_version_checks_are_found() {
    const SAME_VERSION: Guard = Text(" and version = $3", "");
    mutants_are_found(&[
        (OptimisticVersion, SAME_VERSION, LastMoney, As(Overdraft)),
        (OptimisticVersion, SAME_VERSION, OppositeTransfers, As(LostUpdate)),
        (OptimisticVersion, SAME_VERSION, LastSeat, As(Oversell)),
        (OptimisticVersion, SAME_VERSION, SameUser, As(DoubleBooking)),
        (OptimisticVersion, SAME_VERSION, Increments, As(LostUpdate)),
    ])
    .await;
}

#[tokio::test]
async fn a_lower_isolation_level_is_found() {
    let read_committed = Level(Isolation::ReadCommitted);
    mutants_are_found(&[
        (RepeatableRead, read_committed, LastMoney, As(Overdraft)),
        (RepeatableRead, read_committed, OppositeTransfers, As(LostUpdate)),
        (Serializable, read_committed, Increments, As(LostUpdate)),
        (Serializable, read_committed, SameUser, As(DoubleBooking)),
    ])
    .await;
}

/// Without its guard, a relative change violates the CHECK of the table, which the approach does not expect.
#[tokio::test]
async fn missing_guards_of_single_statements_are_found() {
    mutants_are_found(&[
        (AtomicReturning, Text(" and balance + $2 >= 0", ""), LastMoney, As(UnexpectedAnswer)),
        (AtomicReturning, Text("balance >= $3 and ", ""), TransferAndWithdrawal, As(UnexpectedAnswer)),
    ])
    .await;
}

#[tokio::test]
async fn missing_constraints_are_found() {
    const NOT_NEGATIVE: Guard = Schema("alter table users drop constraint balance_not_negative");
    // Only rows with `true` are in the unique index over event and user.
    const ONCE_A_USER: Guard = Text(", true from seat", ", false from seat");
    mutants_are_found(&[
        (CheckConstraint, NOT_NEGATIVE, LastMoney, As(Overdraft)),
        (CheckConstraint, NOT_NEGATIVE, TransferAndWithdrawal, As(Overdraft)),
        (CheckConstraint, Schema("alter table events drop constraint events_not_oversold"), LastSeat, As(Oversell)),
        (CheckConstraint, ONCE_A_USER, SameUser, As(DoubleBooking)),
        (AtomicReturning, ONCE_A_USER, SameUser, As(DoubleBooking)),
        (UniqueConstraint, Text("free.seat, true", "free.seat, false"), SameUser, As(DoubleBooking)),
    ])
    .await;
}

/// If there are two guards, either is enough: the approach is proved without one of them, and broken without both.
#[tokio::test]
async fn either_of_two_guards_is_enough() {
    const WITHOUT_CHECK: &str = "alter table events drop constraint events_not_oversold";
    for (approach, guard) in [
        (AtomicReturning, Text(" and booked < capacity", "")),
        (UniqueConstraint, Text("$2, free.seat, true", "$2, null, true")),
    ] {
        let (mut explorer, whole) = (Explorer::new().await, test_case(approach, LastSeat, 2));
        let without = without(&mut explorer, whole.clone(), guard).await;
        assert_eq!(
            explorer.explore(approach, &without, reduced()).await.verdict,
            ExplorationVerdict::Proved,
            "{approach}"
        );
        explorer.alter_schema(WITHOUT_CHECK).await;
        assert_eq!(
            explorer.explore(approach, &whole, reduced()).await.verdict,
            ExplorationVerdict::Proved,
            "{approach}"
        );
        let found = explorer.explore(approach, &without, reduced()).await;
        assert_finds(&found, Oversell, approach.name());
    }
}

/// A single statement waits in the middle for a row that another one has changed, and continues with older values.
#[tokio::test]
async fn missing_locks_within_statements_are_found() {
    mutants_are_found(&[
        (AtomicReturning, FOR_UPDATE, OppositeTransfers, As(LostWrite)),
        (CheckConstraint, FOR_UPDATE, OppositeTransfers, As(LostWrite)),
    ])
    .await;
}

#[tokio::test]
async fn missing_locks_within_stored_functions_are_found() {
    let functions = include_str!("../../migrations/0003_stored_functions.sql");
    let unlocked = functions.replace(" for update", "").replace("create function", "create or replace function");
    let unlocked = Schema(Box::leak(unlocked.into_boxed_str()));
    mutants_are_found(&[
        (StoredFunction, unlocked, LastMoney, As(Overdraft)),
        (StoredFunction, unlocked, OppositeTransfers, As(LostUpdate)),
        (StoredFunction, unlocked, LastSeat, As(Oversell)),
        (StoredFunction, unlocked, SameUser, As(DoubleBooking)),
        (StoredFunction, unlocked, Increments, As(LostUpdate)),
    ])
    .await;
}

/// On one server the queue alone is enough. The locks protect against the other servers.
#[tokio::test]
async fn missing_locks_between_servers_are_found() {
    const LOCKS: Guard = Text(" for no key update", "");
    let mut explorer = Explorer::new().await;
    for (scenario, shows) in [(LastMoney, As(Overdraft)), (Increments, As(DuplicateVersion))] {
        let on_one = test_case(GroupCommit, scenario, 2);
        let without = without(&mut explorer, on_one.clone(), LOCKS).await;
        assert_eq!(
            explorer.explore(GroupCommit, &without, reduced()).await.verdict,
            ExplorationVerdict::Proved,
            "{scenario}"
        );
        mutant_is_found(&mut explorer, GroupCommit, TestCase { servers: Servers::Each, ..on_one }, LOCKS, shows).await;
    }
}
