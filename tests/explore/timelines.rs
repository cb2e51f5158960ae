//! Timelines: instructive interleavings, as the real PostgreSQL runs them. Each is a file in `timelines/`.
//! `UPDATE_DOCS=1 cargo test --test all timelines` rewrites them.

use std::path::Path;
use std::sync::Arc;

use concurrency_lab::explore::catalog::test_cases;
use concurrency_lab::explore::execution::ApproachExecution;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::findings::{CrashKind, Servers};
use concurrency_lab::explore::mutation::Mutation;
use concurrency_lab::explore::report::timeline::timeline;
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::{JudgedInterleaving, replay};
use concurrency_lab::explore::test_case::{Crash, TestCase};
use concurrency_lab::session::statement::Isolation;
use concurrency_lab::strategy::Approach;

use super::fixture::explorer_database;
use crate::common;

fn test_case(approach: Approach, scenario: ExploreScenario) -> TestCase {
    test_cases(approach, scenario, 2).swap_remove(0)
}

/// The name, the test case and the schedule of each timeline. After the schedule the clients go one after the other.
fn timelines() -> Vec<(&'static str, TestCase, &'static str)> {
    use Approach::{
        AdvisoryLock, AtomicReturning, GroupCommit, InProcessMutex, Naive, OptimisticVersion, Pessimistic,
        ReadCommitted, RepeatableRead, UniqueConstraint,
    };
    use ExploreScenario::{Increments, LastMoney, LastSeat, OppositeTransfers, SameUser, TransferAndWithdrawal};
    let each = |case: TestCase| TestCase { servers: Servers::Each, ..case };
    let crash = |case: TestCase, kind, after| TestCase { crash: Some(Crash { kind, after: Some(after) }), ..case };
    let without = |text| Mutation::new(Pessimistic.strategy(), text, "").expect("a guard");
    let unguarded = TestCase { mutation: Some(Arc::new(without(" for update"))), ..test_case(Pessimistic, Increments) };
    vec![
        ("a lost update", test_case(Naive, LastMoney), "ABBA"),
        ("a transaction is no lock", test_case(ReadCommitted, LastMoney), "AABBAB"),
        ("money from nowhere", test_case(Naive, TransferAndWithdrawal), "BBAAAA"),
        ("the last seat sold twice", test_case(Naive, LastSeat), "AABBAABB"),
        ("one user, two seats", test_case(Naive, SameUser), "AABBAABB"),
        ("a guard that looks again", test_case(AtomicReturning, LastMoney), "AB"),
        ("a lock waited for", test_case(Pessimistic, LastMoney), "AABB"),
        ("a guard forgotten", unguarded, "AABB"),
        ("the version has changed", test_case(OptimisticVersion, LastMoney), "ABBA"),
        ("an advisory lock", test_case(AdvisoryLock, Increments), "AABBAA"),
        ("the first updater wins", test_case(RepeatableRead, LastMoney), "AABBABA"),
        (
            "serializable without waiting",
            TestCase { isolation: Some(Isolation::Serializable), ..test_case(ReadCommitted, Increments) },
            "AABBBBAA",
        ),
        ("a unique index decides", test_case(UniqueConstraint, LastSeat), "AAABBB"),
        ("a mutex in one process", test_case(InProcessMutex, LastMoney), "AB"),
        ("a mutex in each of two processes", each(test_case(InProcessMutex, LastMoney)), "AABBB"),
        ("two requests, one commit", test_case(GroupCommit, LastMoney), "AB"),
        ("two writers of two servers", each(test_case(GroupCommit, Increments)), "ABwwwxxx"),
        ("cut before the commit", crash(test_case(Pessimistic, LastMoney), CrashKind::Cut, 4), "AAABBA"),
        ("the answer of the commit is lost", crash(test_case(Pessimistic, LastMoney), CrashKind::Cut, 6), "AAA"),
        ("half a transfer", crash(test_case(InProcessMutex, OppositeTransfers), CrashKind::Cut, 4), "AAAAAA"),
        ("the client is gone", crash(test_case(Pessimistic, LastMoney), CrashKind::HangUp, 4), "AABA"),
    ]
}

#[tokio::test]
async fn timelines_of_approaches_are_as_in_their_files() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for (name, case, schedule) in timelines() {
        let schedule = schedule.parse().expect("a schedule");
        let judged = replay(&mut ApproachExecution::new(&mut database, case), &schedule).await;
        expect_timeline(name, &judged.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    database.close().await.expect("a clean end");
}

#[tokio::test]
async fn timelines_of_explore_files_are_as_in_their_files() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for (name, file, schedule) in [
        ("write skew", "write-skew", "AABBAB"),
        ("two inserters deadlock", "two-unique-keys", "AABBAB"),
        ("a read that fixes nothing", "read-in-transaction", "AABBAB"),
        ("money destroyed", "transfer-debit-first-cut", "A"),
    ] {
        let script = Script::read(Path::new(&format!("examples/explore/{file}.toml"))).expect("an explore file");
        let mut script_execution =
            execution::ScriptExecution::open(&mut database, &script, &script.variants[0]).await.expect("an execution");
        script_execution.run_serial_orders().await.expect("serial orders");
        let judged = replay(&mut script_execution, &schedule.parse().expect("a schedule")).await;
        script_execution.close().await.expect("a clean end");
        expect_timeline(name, &judged.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    database.close().await.expect("a clean end");
}

/// Compares a timeline with its file, or writes the file.
fn expect_timeline(name: &str, judged: &JudgedInterleaving) {
    let wrong = (!judged.anomalies.is_empty()).then_some((&*judged.anomalies, &*judged.explanation));
    let text = format!("{name}\n\n{}", timeline(&judged.transcript, wrong));
    let path = format!("tests/explore/timelines/{}.txt", name.replace([' ', ','], "-").replace("--", "-"));
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).expect("a written timeline");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{path} differs from what happens");
}
