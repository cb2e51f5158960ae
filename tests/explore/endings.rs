//! What sessions of a file leave behind, and endings that are no failure of the search: terminated sessions, prepared transactions,
//! several statements at once.

use concurrency_lab::explore::findings::ExplorationVerdict;

use super::cases::explore_one;
use super::language::{endings, says};
use ExplorationVerdict::{Broken, Proved};

#[tokio::test]
async fn a_terminated_session_is_an_ending_and_not_a_failure() {
    let text = r#"
        title = "terminated"
        setup = "create table pids (pid int); create table log (n int)"
        outcome = "select count(*) as n from log"
        serial = false
        [[session]]
        statements = ["insert into pids values (pg_backend_pid())", "begin", "insert into log values (1)", "commit"]
        [[session]]
        statements = ["select pg_terminate_backend(pid) from pids", "notify channel"]
        [[invariant]]
        name = "all or nothing"
        query = "select count(*) <= 1 from log"
    "#;
    let found = explore_one(text).await;
    assert_eq!((found.verdict, found.undecided.len()), (Proved, 0), "{:?}", found.witness);
    assert!(says(&found, "lost its connection"), "{:?}", endings(&found));
}

#[tokio::test]
async fn a_session_that_is_terminated_between_its_statements_has_lost_its_connection() {
    let text = r#"
        title = "terminated"
        setup = "create table pids (pid int); create table log (n int)"
        serial = false
        [[session]]
        statements = ["insert into pids values (pg_backend_pid())", "insert into log select count(*) from log"]
        [[session]]
        statements = ["select pg_terminate_backend(pid) from pids", "select n from log", "insert into log values (7)"]
        [[invariant]]
        name = "one pid at most"
        query = "select count(*) <= 1 from pids"
    "#;
    let found = explore_one(text).await;
    assert_eq!((found.verdict, found.undecided.len()), (Proved, 0), "{:?}", found.witness);
    assert!(says(&found, "lost its connection"), "{:?}", endings(&found));
}

#[tokio::test]
async fn a_prepared_transaction_that_is_left_open_is_rolled_back_after_each_interleaving() {
    let text = r#"
        title = "prepared"
        setup = "create table log (n int)"
        outcome = "select n from log"
        serial = false
        [[session]]
        statements = ["begin", "insert into log values (1)", "prepare transaction 'left open'"]
        [[session]]
        statements = ["insert into log values (2)"]
        [[invariant]]
        name = "what is prepared is not visible"
        query = "select n = 2 from log"
    "#;
    let found = explore_one(text).await;
    // B's own commit is a step.
    assert_eq!((found.verdict, found.interleavings), (Proved, 10), "{:?}", found.witness);
}

#[tokio::test]
async fn a_prepared_statement_outside_a_transaction_comes_apart_from_its_commit_too() {
    let session = r#"
        [[session]]
        setup = "prepare w as insert into c select 1 where not exists (select from c)"
        statements = ["execute w"]
    "#;
    let head = "title = \"prepared\"\nsetup = \"create table c (n int)\"\nserial = false";
    let text = format!(
        "{head}\n{session}{session}[[invariant]]\nname = \"one row\"\nquery = \"select count(*) <= 1 from c\"\n"
    );
    assert_eq!(explore_one(&text).await.verdict, Broken);
}

#[tokio::test]
async fn several_statements_in_a_text_are_one_step_and_named() {
    let text = r#"
        title = "together"
        setup = "create table log (n int)"
        serial = false
        [[session]]
        statements = [{ name = "both", sql = "insert into log values (1); insert into log values (2)" }]
        [[invariant]]
        name = "both"
        query = "select count(*) = 2 from log"
    "#;
    let found = explore_one(text).await;
    assert!(
        found.limits.iter().any(|limit| limit.contains("is one step") && limit.contains("A: both (2)")),
        "{:?}",
        found.limits
    );
}

#[tokio::test]
async fn a_retry_forgets_the_errors_of_the_attempt_before() {
    let text = r#"
        title = "nowait"
        setup = "create table t (id int primary key, n int); insert into t values (1, 0), (2, 0)"
        outcome = "select id, n from t order by id"
        serial = true
        [[session]]
        statements = ["begin isolation level repeatable read", "savepoint s",
            { sql = "select n from t where id = 1 for update nowait", on_error = "rollback to s" },
            "update t set n = n + 10 where id = 2", "commit"]
        on_error = "retry"
        [[session]]
        statements = ["begin", "update t set n = n + 1", "commit"]
    "#;
    let found = explore_one(text).await;
    assert_eq!((found.verdict, found.conflicts > 0), (Proved, true), "{:?}", found.witness);
    assert!(!says(&found, "in spite of"), "{:?}", endings(&found));
}
