//! Timelines: interleavings worth reading, as the real PostgreSQL plays them. Each is a file in `timelines/`;
//! `UPDATE_DOCS=1 cargo test --test explore` writes them anew.

use std::path::Path;
use std::sync::Arc;

use concurrency_lab::explore::catalog::pieces;
use concurrency_lab::explore::crash::Crash;
use concurrency_lab::explore::execution::{ApproachExecution, TestCase};
use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::findings::{CrashKind, Servers};
use concurrency_lab::explore::mutation::Mutation;
use concurrency_lab::explore::report::timeline::timeline;
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::{JudgedInterleaving, replay};
use concurrency_lab::session::statement::Isolation;
use concurrency_lab::strategy::Approach;

use crate::common;

fn piece(approach: Approach, scenario: ExploreScenario) -> TestCase {
    pieces(approach, scenario, 2).swap_remove(0)
}

/// Each story: what it is called, what is played, and by which schedule, as far as it matters: the rest goes on one after the other.
fn stories() -> Vec<(&'static str, TestCase, &'static str)> {
    use Approach::{
        AdvisoryLock, AtomicReturning, GroupCommit, InProcessMutex, Naive, OptimisticVersion, Pessimistic,
        ReadCommitted, RepeatableRead, UniqueConstraint,
    };
    use ExploreScenario::{Increments, LastMoney, LastSeat, OppositeTransfers, SameUser, TransferAndWithdrawal};
    let each = |piece: TestCase| TestCase { servers: Servers::Each, ..piece };
    let crash = |piece: TestCase, kind, after| TestCase { crash: Some(Crash { kind, after: Some(after) }), ..piece };
    let without = |text| Mutation::new(Pessimistic.strategy(), text, "").expect("a guard");
    let unguarded = TestCase { amend: Some(Arc::new(without(" for update"))), ..piece(Pessimistic, Increments) };
    vec![
        ("a lost update", piece(Naive, LastMoney), "ABBA"),
        ("a transaction is no lock", piece(ReadCommitted, LastMoney), "AABBAB"),
        ("money from nowhere", piece(Naive, TransferAndWithdrawal), "BBAAAA"),
        ("the last seat sold twice", piece(Naive, LastSeat), "AABBAABB"),
        ("one user, two seats", piece(Naive, SameUser), "AABBAABB"),
        ("a guard that looks again", piece(AtomicReturning, LastMoney), "AB"),
        ("a lock waited for", piece(Pessimistic, LastMoney), "AABB"),
        ("a guard forgotten", unguarded, "AABB"),
        ("the version has changed", piece(OptimisticVersion, LastMoney), "ABBA"),
        ("an advisory lock", piece(AdvisoryLock, Increments), "AABBAA"),
        ("the first updater wins", piece(RepeatableRead, LastMoney), "AABBABA"),
        (
            "serializable without waiting",
            TestCase { isolation: Some(Isolation::Serializable), ..piece(ReadCommitted, Increments) },
            "AABBBBAA",
        ),
        ("a unique index decides", piece(UniqueConstraint, LastSeat), "AAABBB"),
        ("a mutex in one process", piece(InProcessMutex, LastMoney), "AB"),
        ("a mutex in each of two processes", each(piece(InProcessMutex, LastMoney)), "AABBB"),
        ("two requests, one commit", piece(GroupCommit, LastMoney), "AB"),
        ("two writers of two servers", each(piece(GroupCommit, Increments)), "ABwwwxxx"),
        ("cut before the commit", crash(piece(Pessimistic, LastMoney), CrashKind::Cut, 4), "AAABBA"),
        ("the answer of the commit is lost", crash(piece(Pessimistic, LastMoney), CrashKind::Cut, 6), "AAA"),
        ("half a transfer", crash(piece(InProcessMutex, OppositeTransfers), CrashKind::Cut, 4), "AAAAAA"),
        ("the client is gone", crash(piece(Pessimistic, LastMoney), CrashKind::HangUp, 4), "AABA"),
    ]
}

#[tokio::test]
async fn timelines_read_as_stories() {
    let cluster = common::cluster().await;
    let mut world = ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("a world");
    for (name, piece, schedule) in stories() {
        let schedule = schedule.parse().expect("a schedule");
        let played = replay(&mut ApproachExecution::new(&mut world, piece), &schedule).await;
        expect_told(name, &played.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    world.close().await.expect("a clean end");
}

#[tokio::test]
async fn timelines_of_files_read_as_stories() {
    let cluster = common::cluster().await;
    let mut world = ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("a world");
    for (name, file, schedule) in [
        ("write skew", "write-skew", "AABBAB"),
        ("two inserters deadlock", "two-unique-keys", "AABBAB"),
        ("a read that fixes nothing", "read-in-transaction", "AABBAB"),
        ("money destroyed", "transfer-debit-first-cut", "A"),
    ] {
        let script = Script::read(Path::new(&format!("examples/explore/{file}.toml"))).expect("an explore file");
        let mut stage =
            execution::ScriptExecution::open(&mut world, &script, &script.variants[0]).await.expect("a stage");
        stage.find_serial_ends().await.expect("serial orders");
        let played = replay(&mut stage, &schedule.parse().expect("a schedule")).await;
        stage.close().await.expect("a clean end");
        expect_told(name, &played.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    world.close().await.expect("a clean end");
}

/// Compares a timeline with its file, or writes the file.
fn expect_told(name: &str, judged: &JudgedInterleaving) {
    let wrong = (!judged.anomalies.is_empty()).then_some((&*judged.anomalies, &*judged.explanation));
    let told = format!("{name}\n\n{}", timeline(&judged.transcript, wrong));
    let path = format!("tests/explore/timelines/{}.txt", name.replace([' ', ','], "-").replace("--", "-"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &told).expect("a written timeline");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "{path} is not what happens");
}
