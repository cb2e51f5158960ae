//! One guard is taken away from an approach that is safe, and the explorer must find out. A guard that nobody would miss proves nothing
//! about the explorer, and neither does an explorer that finds something anyway: so the unharmed approach is
//! explored as well, and proved.

use std::sync::Arc;

use concurrency_lab::explore::execution::TestCase;
use concurrency_lab::explore::findings::{ExplorationVerdict, Servers};
use concurrency_lab::explore::mutation::Mutation;
use concurrency_lab::explore::scenario::ExploreScenario::{self, *};
use concurrency_lab::session::statement::Isolation;
use concurrency_lab::strategy::Approach::{self, *};
use referee::judgement::Anomaly::{self, *};

use crate::stage::{Stage, assert_finds, piece, reduced};

/// How a missing guard shows.
#[derive(Debug, Clone, Copy)]
enum Shows {
    /// As this, among others.
    As(Anomaly),
    /// The answers are right in the end, but two clients wait for each other on the way.
    InDeadlocks,
}

use Shows::{As, InDeadlocks};

/// What is changed.
#[derive(Debug, Clone, Copy)]
enum Guard {
    /// A text of the approach's SQL, by another one.
    Text(&'static str, &'static str),
    /// The isolation level.
    Level(Isolation),
    /// Something of the schema.
    Schema(&'static str),
}

use Guard::{Level, Schema, Text};

/// Explores the unharmed piece and the one without its guard.
async fn is_missed(stage: &mut Stage, approach: Approach, piece: TestCase, guard: Guard, shows: Shows) {
    let told = format!("{approach} {} without {guard:?}", piece.scenario);
    let whole = stage.explore(approach, &piece, reduced()).await;
    assert_eq!(
        (whole.verdict, whole.deadlocks),
        (ExplorationVerdict::Proved, 0),
        "{told}: it is no guard of something safe"
    );
    let without = without(stage, piece, guard).await;
    let found = stage.explore(approach, &without, reduced()).await;
    match shows {
        As(anomaly) => assert_finds(&found, anomaly, &told),
        InDeadlocks => assert!(found.deadlocks > 0, "{told} survives"),
    }
}

async fn without(stage: &mut Stage, piece: TestCase, guard: Guard) -> TestCase {
    match guard {
        Text(text, by) => {
            let amend = Mutation::new(piece.strategy, text, by).expect("a text of the approach");
            TestCase { amend: Some(Arc::new(amend)), ..piece }
        }
        Level(isolation) => TestCase { isolation: Some(isolation), ..piece },
        Schema(sql) => {
            stage.alter(sql).await;
            piece
        }
    }
}

async fn are_missed(guards: &[(Approach, Guard, ExploreScenario, Shows)]) {
    let mut stage = Stage::new().await;
    for &(approach, guard, scenario, shows) in guards {
        is_missed(&mut stage, approach, piece(approach, scenario, 2), guard, shows).await;
        if let Schema(_) = guard {
            stage = Stage::new().await;
        }
    }
}

const FOR_UPDATE: Guard = Text(" for update", "");

#[tokio::test]
async fn locks_of_rows() {
    are_missed(&[
        (Pessimistic, FOR_UPDATE, LastMoney, As(Overdraft)),
        (Pessimistic, FOR_UPDATE, DepositAndWithdrawal, As(LostUpdate)),
        (Pessimistic, FOR_UPDATE, OppositeTransfers, As(LostUpdate)),
        (Pessimistic, FOR_UPDATE, LastSeat, As(Oversell)),
        (Pessimistic, FOR_UPDATE, SameUser, As(DoubleBooking)),
        (Pessimistic, FOR_UPDATE, Increments, As(LostUpdate)),
        // A lock, but one that does not keep out those who change the row.
        (Pessimistic, Text("for update", "for key share"), LastMoney, As(Overdraft)),
        // One that does, and that two may have: each waits for the other's when it wants to write.
        (Pessimistic, Text("for update", "for share"), LastMoney, InDeadlocks),
    ])
    .await;
}

#[tokio::test]
async fn locks_of_names() {
    const SHARED: Guard = Text("xact_lock(", "xact_lock_shared(");
    // The second client takes the locks of users 1 and 2 the other way round.
    const OTHER_ORDER: Guard =
        Text("$2)", "case when current_setting('application_name') like '%B' then 3 - $2 else $2 end)");
    are_missed(&[
        (AdvisoryLock, Text("pg_advisory_xact_lock($1, $2)", "$1::int, $2::int"), LastMoney, As(Overdraft)),
        (AdvisoryLock, SHARED, DepositAndWithdrawal, As(LostUpdate)),
        (AdvisoryLock, SHARED, LastSeat, As(Oversell)),
        (AdvisoryLock, OTHER_ORDER, OppositeTransfers, InDeadlocks),
    ])
    .await;
}

#[tokio::test]
async fn comparisons_of_versions() {
    const SAME_VERSION: Guard = Text(" and version = $3", "");
    are_missed(&[
        (OptimisticVersion, SAME_VERSION, LastMoney, As(Overdraft)),
        (OptimisticVersion, SAME_VERSION, OppositeTransfers, As(LostUpdate)),
        (OptimisticVersion, SAME_VERSION, LastSeat, As(Oversell)),
        (OptimisticVersion, SAME_VERSION, SameUser, As(DoubleBooking)),
        (OptimisticVersion, SAME_VERSION, Increments, As(LostUpdate)),
    ])
    .await;
}

#[tokio::test]
async fn isolation_levels() {
    let read_committed = Level(Isolation::ReadCommitted);
    are_missed(&[
        (RepeatableRead, read_committed, LastMoney, As(Overdraft)),
        (RepeatableRead, read_committed, OppositeTransfers, As(LostUpdate)),
        (Serializable, read_committed, Increments, As(LostUpdate)),
        (Serializable, read_committed, SameUser, As(DoubleBooking)),
    ])
    .await;
}

/// Without its guard, a relative change runs into the table's CHECK, the last net, and the approach does not expect that.
#[tokio::test]
async fn guards_of_single_statements() {
    are_missed(&[
        (AtomicReturning, Text(" and balance + $2 >= 0", ""), LastMoney, As(UnexpectedAnswer)),
        (AtomicReturning, Text("balance >= $3 and ", ""), TransferAndWithdrawal, As(UnexpectedAnswer)),
    ])
    .await;
}

#[tokio::test]
async fn constraints() {
    const NOT_NEGATIVE: Guard = Schema("alter table users drop constraint balance_not_negative");
    // Only rows that say `true` are in the unique index over event and user.
    const ONCE_A_USER: Guard = Text(", true from seat", ", false from seat");
    are_missed(&[
        (CheckConstraint, NOT_NEGATIVE, LastMoney, As(Overdraft)),
        (CheckConstraint, NOT_NEGATIVE, TransferAndWithdrawal, As(Overdraft)),
        (CheckConstraint, Schema("alter table events drop constraint events_not_oversold"), LastSeat, As(Oversell)),
        (CheckConstraint, ONCE_A_USER, SameUser, As(DoubleBooking)),
        (AtomicReturning, ONCE_A_USER, SameUser, As(DoubleBooking)),
        (UniqueConstraint, Text("free.seat, true", "free.seat, false"), SameUser, As(DoubleBooking)),
    ])
    .await;
}

/// Where two guards stand one behind the other, either is enough, and the explorer says so; both must go.
#[tokio::test]
async fn a_net_below_the_net() {
    const NET: &str = "alter table events drop constraint events_not_oversold";
    for (approach, guard) in [
        (AtomicReturning, Text(" and booked < capacity", "")),
        (UniqueConstraint, Text("$2, free.seat, true", "$2, null, true")),
    ] {
        let (mut stage, whole) = (Stage::new().await, piece(approach, LastSeat, 2));
        let without = without(&mut stage, whole.clone(), guard).await;
        assert_eq!(
            stage.explore(approach, &without, reduced()).await.verdict,
            ExplorationVerdict::Proved,
            "{approach}"
        );
        stage.alter(NET).await;
        assert_eq!(stage.explore(approach, &whole, reduced()).await.verdict, ExplorationVerdict::Proved, "{approach}");
        let found = stage.explore(approach, &without, reduced()).await;
        assert_finds(&found, Oversell, approach.name());
    }
}

/// A single statement waits in its midst for a row that another one has changed, and goes on with what it has read before.
#[tokio::test]
async fn locks_within_statements() {
    are_missed(&[
        (AtomicReturning, FOR_UPDATE, OppositeTransfers, As(LostWrite)),
        (CheckConstraint, FOR_UPDATE, OppositeTransfers, As(LostWrite)),
    ])
    .await;
}

#[tokio::test]
async fn locks_within_stored_functions() {
    let functions = include_str!("../../migrations/0003_stored_functions.sql");
    let unlocked = functions.replace(" for update", "").replace("create function", "create or replace function");
    let unlocked = Schema(Box::leak(unlocked.into_boxed_str()));
    are_missed(&[
        (StoredFunction, unlocked, LastMoney, As(Overdraft)),
        (StoredFunction, unlocked, OppositeTransfers, As(LostUpdate)),
        (StoredFunction, unlocked, LastSeat, As(Oversell)),
        (StoredFunction, unlocked, SameUser, As(DoubleBooking)),
        (StoredFunction, unlocked, Increments, As(LostUpdate)),
    ])
    .await;
}

/// On one server, the queue alone keeps them apart; the locks are there for the others.
#[tokio::test]
async fn locks_between_servers() {
    const LOCKS: Guard = Text(" for no key update", "");
    let mut stage = Stage::new().await;
    for (scenario, shows) in [(LastMoney, As(Overdraft)), (Increments, As(DuplicateVersion))] {
        let on_one = piece(GroupCommit, scenario, 2);
        let without = without(&mut stage, on_one.clone(), LOCKS).await;
        assert_eq!(
            stage.explore(GroupCommit, &without, reduced()).await.verdict,
            ExplorationVerdict::Proved,
            "{scenario}"
        );
        is_missed(&mut stage, GroupCommit, TestCase { servers: Servers::Each, ..on_one }, LOCKS, shows).await;
    }
}
