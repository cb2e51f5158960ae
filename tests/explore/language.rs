//! What an explore file can say: branches, retries, savepoints, lists, setup and teardown, schedules.

use concurrency_lab::explore::file::Script;
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict};
use concurrency_lab::explore::search::SearchPlan;

use super::cases::{anomalies, explore_one, explore_one_as, explore_text};
use ExplorationVerdict::{Broken, Proved};

const ACCOUNTS: &str =
    "create table accounts (id int primary key, balance int, version int); insert into accounts values (1, 40, 1)";

/// Two withdrawals of 30 from 40, with these keys beside each session's statements.
fn withdrawals(read: &str, write: &str, more: &str) -> String {
    let session = format!(
        r#"
        [[session]]
        statements = [
            "begin",
            {{ name = "read", sql = "{read}" }},
            {write},
            "commit",
        ]
        {more}
        "#
    );
    format!(
        r#"
        title = "withdrawals"
        setup = "{ACCOUNTS}"
        outcome = "select balance, version from accounts"
        {session}{session}
        [[invariant]]
        name = "overdraft"
        query = "select balance >= 0 from accounts"
        [[invariant]]
        name = "both were paid"
        query = "select balance = 10 from accounts"
        "#
    )
}

/// What the sessions said at the ends.
pub fn endings(found: &Exploration) -> Vec<String> {
    let mut lines: Vec<String> = found.outcomes.iter().flat_map(|outcome| outcome.lines.clone()).collect();
    lines.sort();
    lines.dedup();
    lines
}

pub fn says(found: &Exploration, text: &str) -> bool {
    endings(found).iter().any(|line| line.contains(text))
}

#[tokio::test]
async fn a_session_stops_where_its_condition_is_true() {
    let write =
        r#"{ name = "write", sql = "update accounts set balance = balance - 30", stop_if = "{read.balance} < 30" }"#;
    let naive = explore_one(&withdrawals("select balance from accounts", write, "")).await;
    assert_eq!((naive.verdict, anomalies(&naive)), (Broken, vec!["both were paid", "overdraft"]));
    let locked = explore_one(&withdrawals("select balance from accounts for update", write, "")).await;
    assert_eq!((locked.verdict, locked.gave_up), (Proved, 0), "{:?}", locked.witness);
    assert!(says(&locked, "stopped before write"), "{:?}", endings(&locked));
    // Without a value the condition is null, and null is not true.
    let never = explore_one(&withdrawals("select balance from accounts where id = 7", write, "")).await;
    assert!(!says(&never, "stopped"), "{:?}", endings(&never));
}

#[tokio::test]
async fn another_number_of_rows_is_a_failure_after_which_a_session_can_retry() {
    let write = r#"{ name = "write", stop_if = "{balance} < 30", rows = 1,
        sql = "update accounts set balance = {balance} - 30, version = version + 1 where version = {version}" }"#;
    let read = "select balance, version from accounts";
    let stops = explore_one(&withdrawals(read, write, "")).await;
    assert_eq!(stops.verdict, Proved, "{:?}", stops.witness);
    assert!(says(&stops, "gave up: write had 0 rows instead of 1"), "{:?}", endings(&stops));
    let retries = explore_one(&withdrawals(
        read,
        write,
        r#"on_error = "retry"
        retry_on = ["rows", "40001"]"#,
    ))
    .await;
    assert_eq!((retries.verdict, retries.gave_up), (Proved, 0), "{:?}", retries.witness);
    assert!(says(&retries, "stopped before write"), "{:?}", endings(&retries));
    // The mutant: without the number of rows, the refusal of the version is taken for a success, which the version itself shows.
    let unchecked = withdrawals(read, &write.replace("rows = 1,", ""), "")
        .replace("select balance = 10 from", "select {A.read.version} = 1 or balance = 10 from");
    assert_eq!(explore_one(&unchecked).await.verdict, Proved);
}

#[tokio::test]
async fn invariants_compare_what_was_read() {
    let text = withdrawals("select balance from accounts", r#""update accounts set balance = balance - 30""#, "")
        .replace("select balance = 10 from accounts", "select {A.read.balance} <> {B.read.balance}");
    let found = explore_one(&text).await;
    assert!(anomalies(&found).contains(&"both were paid"), "{:?}", anomalies(&found));
    // Sessions that an invariant names are not interchangeable: B may also be first.
    let unnamed = explore_one(&text.replace("{A.read.balance} <> {B.read.balance}", "true")).await;
    assert!(found.interleavings > unnamed.interleavings, "{} and {}", found.interleavings, unnamed.interleavings);
    let unknown = text.replace("{B.read.balance}", "{B.write.balance}");
    let error = Script::parse(&unknown).expect_err("there is no statement write").to_string();
    assert!(error.contains("a session, one of its statements and a column"), "{error}");
}

#[tokio::test]
async fn several_rows_are_a_list() {
    let text = r#"
        title = "a list"
        setup = "create table jobs (id int primary key, taken boolean); insert into jobs values (1, false), (2, false), (3, true)"
        outcome = "select id, taken from jobs order by id"
        serial = false
        [[session]]
        statements = ["begin", { name = "find", sql = "select id from jobs where not taken" },
            { sql = "update jobs set taken = true where id in ({id})", rows = 2 }, "commit"]
        [[invariant]]
        name = "all are taken"
        query = "select taken from jobs"
    "#;
    let found = explore_one(text).await;
    assert_eq!((found.verdict, found.interleavings, found.gave_up), (Proved, 1, 0), "{:?}", found.witness);
}

#[tokio::test]
async fn a_session_goes_on_after_an_error_as_the_file_says() {
    let file = |insert: &str, more: &str| {
        format!(
            r#"
        title = "a duplicate"
        setup = "create table seats (id int primary key); create table log (n int)"
        outcome = "select (select count(*) from seats) as seats, (select count(*) from log) as log"
        serial = "rows"
        [[session]]
        statements = ["begin", "insert into log values (1)", {insert}, "insert into log values (2)", "commit"]
        {more}
        [[session]]
        statements = ["insert into seats values (1)"]
        [[invariant]]
        name = "the log is whole"
        query = "select count(*) = 2 from log"
        "#
        )
    };
    let insert = r#""insert into seats values (1)""#;
    assert_eq!(anomalies(&explore_one(&file(insert, "")).await), ["the log is whole"], "it gives up");
    let continued = explore_one(&file(insert, r#"on_error = "continue""#)).await;
    assert_eq!(anomalies(&continued), ["the log is whole"], "the transaction has failed");
    let saved = explore_one(&file(insert, r#"on_error = "savepoint""#)).await;
    assert_eq!(saved.verdict, Proved, "{:?}", saved.witness);
    assert!(says(&saved, "in spite of 23505"), "{:?}", endings(&saved));
    let own = r#""savepoint s", { sql = "insert into seats values (1)", on_error = "rollback to s" }"#;
    let own = explore_one(&file(own, "")).await;
    assert_eq!(own.verdict, Proved, "{:?}", own.witness);
}

#[tokio::test]
async fn a_session_is_set_up_without_a_step_and_a_file_is_torn_down() {
    let text = r#"
        title = "settings"
        setup = "create table log (path text)"
        teardown = "select set_config('lab.torn_down', 'yes', false)"
        outcome = "select path from log"
        serial = false
        [[session]]
        setup = "set lab.note = 'mine'; prepare note as insert into log values (current_setting('lab.note'))"
        statements = ["execute note"]
        [[invariant]]
        name = "it was set up"
        query = "select path = 'mine' from log"
    "#;
    let found = explore_one(text).await;
    assert_eq!((found.verdict, found.interleavings), (Proved, 1), "{:?}", found.witness);
    let wrong = text.replace("set lab.note", "set nonsense");
    let error = explore_text(&wrong, false).await.remove(0).expect_err("a wrong setup").to_string();
    assert!(error.contains("session A: setup: 42704"), "{error}");
    let wrong = text.replace("teardown = \"select", "teardown = \"selekt");
    let error = explore_text(&wrong, false).await.remove(0).expect_err("a wrong teardown").to_string();
    assert!(error.contains("teardown: 42601"), "{error}");
}

#[tokio::test]
async fn schedules_are_tests() {
    let file = |schedules: &str| {
        withdrawals("select balance from accounts", r#""update accounts set balance = balance - 30""#, "").replace(
            "[[invariant]]\n        name = \"both were paid\"\n        query = \"select balance = 10 from accounts\"",
            "",
        ) + "[expect]\nverdict = \"broken\"\n"
            + schedules
    };
    let right = r#"
        [[schedule]]
        steps = "AABBABBA"
        waits = []
        anomaly = "overdraft"
        outcome = ["balance = -20, version = 1"]
        [[schedule]]
        steps = "AAABBBA"
        waits = ["B: update"]
        fails = {}
    "#;
    // In the first, A commits after B has asked for the row.
    let right = right.replace("AABBABBA", "AAAABBBB");
    let found = explore_one(&file(&right)).await;
    assert_eq!((found.missed.clone(), found.contradicts_claim()), (Vec::<String>::new(), false));
    for (from, to, missed) in [
        (
            "waits = []",
            r#"waits = ["B: update"]"#,
            "schedule AAAABBBB: expected statements that wait: B: update, found none",
        ),
        ("anomaly = \"overdraft\"", "holds = true", "schedule AAAABBBB: expected what is wrong: none, found overdraft"),
        (
            "-20, version = 1",
            "-20, version = 2",
            "expected the outcome balance = -20, version = 2, found balance = -20, version = 1",
        ),
        (
            "fails = {}",
            r#"fails = { "B: update" = "40001" }"#,
            "expected statements that fail: B: update (40001), found none",
        ),
        ("AAABBBA", "AAABBBBA", "schedule AAABBBBA: step 7: B cannot go; A can"),
    ] {
        assert!(right.contains(from), "{from}");
        let found = explore_one(&file(&right.replace(from, to))).await;
        assert!(found.missed.iter().any(|text| text.contains(missed)), "{to}: {:?}", found.missed);
        assert!(found.contradicts_claim());
    }
    for (from, to, reason) in [
        (
            "\"overdraft\"",
            "\"overdrawn\"",
            "schedule AAAABBBB: anomaly: expected one of [\"overdraft\"], found \"overdrawn\"",
        ),
        ("B: update", "B: write", "schedule AAABBBA: waits: expected the name of a statement of B"),
        ("AAABBBA", "AA1", "schedule AA1: steps: '1' at position 3 names no actor"),
        ("fails = {}", "isolation = \"serializable\"", "schedule AAABBBA: isolation: expected one of []"),
        ("fails = {}", "fail = {}", "unknown field `fail`"),
    ] {
        let error = Script::parse(&file(&right.replace(from, to))).expect_err(to).to_string();
        assert!(error.contains(reason), "{to}: {error}");
    }
}

#[tokio::test]
async fn an_exploration_can_end_with_its_first_violation() {
    let text = withdrawals("select balance from accounts", r#""update accounts set balance = balance - 30""#, "");
    let plan = SearchPlan { stop_at_first: true, ..SearchPlan::default() };
    let found = explore_one_as(&text, &plan).await;
    assert_eq!((found.verdict, found.violations, found.complete), (Broken, 1, false));
}

#[test]
fn eight_sessions_of_64_statements_are_valid_and_their_serial_orders_are_too_many() {
    let statements = format!("statements = [{}]", "\"select 1\", ".repeat(64));
    let sessions = format!("[[session]]\n{statements}\n").repeat(8);
    let with = |head: &str| Script::parse(&format!("title = \"many\"\n{head}\n{sessions}"));
    assert_eq!(with("invariant = \"select true\"").expect("a file").variants[0].sessions.len(), 8);
    let error = with("").expect_err("too many orders").to_string();
    assert!(
        error.contains("serial: expected false, and an invariant, with more than 5 sessions, found 40320"),
        "{error}"
    );
}

#[test]
fn a_mistake_in_a_branch_names_the_field() {
    let file =
        |statement: &str, more: &str| format!("title = \"one\"\n[[session]]\nstatements = [{statement}]\n{more}\n");
    for (statement, more, reason) in [
        (
            r#"{ sql = "select 1", stop_if = "(select 1) = 1" }"#,
            "",
            "statement 1: stop_if: expected an expression over values",
        ),
        (r#"{ sql = "select 1", on_error = "" }"#, "", "session A, statement 1: on_error: expected SQL"),
        (r#"{ sql = "select 1", rows = -1 }"#, "", "invalid value: integer `-1`"),
        (r#""copy log from stdin""#, "", "session A, statement 1: expected a statement without data of its own"),
        (
            r#""set application_name = 'x'""#,
            "",
            "session A, statement 1: expected a statement that leaves application_name",
        ),
        (r#"{ sql = "select 1", stop_if = "random() < 0.5" }"#, "", "without functions but coalesce"),
        (r#""begin; listen channel""#, "", "session A, statement 1: expected a statement whose effect is explored"),
        (r#""select 1""#, "retry_on = [\"40001\"]", "session A: retry_on: expected on_error = \"retry\" beside it"),
        (r#""select 1""#, "on_error = \"retry\"\nretry_on = [\"4001\"]", "session A: retry_on: expected SQLSTATEs"),
        (r#""select 1""#, "setup = \" \"", "session A: setup: expected SQL"),
    ] {
        let error = Script::parse(&file(statement, more)).expect_err(statement).to_string();
        assert!(error.contains(reason), "{statement} {more}: {error}");
    }
}

#[tokio::test]
async fn a_column_that_no_session_reads_is_a_mistake_and_a_wrong_number_of_rows_can_be_passed_over() {
    let file = |query: &str| {
        format!(
            r#"
        title = "rows"
        setup = "create table t (id int primary key, n int); insert into t values (1, 5)"
        outcome = "select n from t"
        [[session]]
        statements = [{{ name = "read", sql = "select n from t" }}, {{ sql = "update t set n = 6 where id = 7", rows = 1 }}]
        on_error = "continue"
        [[invariant]]
        name = "read"
        query = "{query}"
        "#
        )
    };
    let found = explore_one(&file("select {A.read.n} = 5")).await;
    assert_eq!((found.verdict, found.gave_up), (Proved, 0), "{:?}", found.witness);
    let error =
        explore_text(&file("select {A.read.m} is null"), false).await.remove(0).expect_err("a typo").to_string();
    assert!(error.contains("{A.read.m} was read in no interleaving (what was read: A.n, A.read.n)"), "{error}");
}
