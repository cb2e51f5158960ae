//! Statements that share nothing commute, and the reduced search leaves their orders out. Statements that share something, however far from
//! their words, do not: each case below has an outcome, or a wait, that a search loses which takes them for apart.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::file::Script;
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict};
use concurrency_lab::explore::search::SearchPlan;

use super::fixture::{explore_file, explorer_database, reduced};
use crate::common;

const TABLES: &str = "create table a (id int primary key, n int not null); insert into a values (1, 10), (2, 20); \
     create table b (id int primary key, n int not null); insert into b values (1, 10), (2, 20); ";

const OUTCOME: &str = "select 'a' as table, id, n from a union all select 'b', id, n from b order by 1, 2";

/// A file with these sessions, each a transaction that begins so.
fn file(setup: &str, outcome: &str, begin: &str, sessions: &[&[&str]]) -> Script {
    let setup = format!("{TABLES}{setup}");
    let mut text = format!("title = \"commuting\"\nsetup = {setup:?}\noutcome = {outcome:?}\n");
    for statements in sessions {
        let statements: Vec<&str> = [begin].iter().chain(*statements).chain(&["commit"]).copied().collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[session]]\nstatements = {statements:?}\non_error = \"continue\"");
    }
    Script::parse(&text).expect("a file")
}

/// What both searches must agree on: the outcomes, and whether something waited.
fn found(exploration: &Exploration) -> (ExplorationVerdict, BTreeSet<Vec<String>>, bool) {
    let outcomes = exploration.outcomes.iter().map(|outcome| outcome.lines.clone()).collect();
    (exploration.verdict, outcomes, exploration.waited > 0)
}

/// Explores a file with both searches; they must agree. Returns the numbers of interleavings.
async fn agree(database: &mut ExplorerDatabase, script: &Script, what: &str) -> (u64, u64) {
    let full = explore_file(database, script, SearchPlan::default()).await;
    let less = explore_file(database, script, reduced()).await;
    assert!(full.complete && less.complete, "{what}");
    assert_eq!(found(&full), found(&less), "{what}");
    (full.interleavings, less.interleavings)
}

#[tokio::test]
async fn sessions_that_share_nothing_are_run_in_few_orders() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for (what, one, other) in [
        (
            "two tables",
            ["update a set n = n + 1", "update a set n = n * 2"],
            ["update b set n = n + 1", "delete from b where id = 2"],
        ),
        (
            "two rows of a table",
            ["update a set n = n + 1 where id = 1", "select n from a where id = 1 for update"],
            ["update a set n = n * 2 where id = 2", "delete from a where id = 2"],
        ),
        (
            "two tables, each with a sequence of its own",
            ["insert into c (n) values (1)", "update a set n = 0"],
            ["insert into d (n) values (1)", "update b set n = 0"],
        ),
    ] {
        let tables = "create table c (id serial, n int); create table d (id int generated always as identity, n int); ";
        let (full, less) = agree(&mut database, &file(tables, OUTCOME, "begin", &[&one, &other]), what).await;
        assert_eq!(full, 70, "{what}");
        assert!(less <= 4, "{what}: {less}");
    }
    database.close().await.expect("a clean end");
}

/// What they share, setup, outcome, BEGIN, and the statements of two sessions.
type Sharing<'a> = (&'a str, &'a str, &'a str, &'a str, [&'a str; 2], [&'a str; 2]);

/// Nothing that matters is left out of these, though some orders may be.
async fn explore_orders_that_matter(cases: &[Sharing<'_>]) {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for (what, setup, outcome, begin, one, other) in cases {
        let (full, less) = agree(&mut database, &file(setup, outcome, begin, &[one, other]), what).await;
        assert!(less > 4, "{what}: {less} of {full}");
    }
    database.close().await.expect("a clean end");
}

#[tokio::test]
async fn sessions_that_share_something_beyond_their_words_are_run_in_all_orders_that_matter() {
    explore_orders_that_matter(&[
        (
            "a sequence that both name",
            "create sequence s; ",
            OUTCOME,
            "begin",
            ["select 1 as one", "update a set n = nextval('s') where id = 1"],
            ["select 2 as two", "update b set n = nextval('s') where id = 1"],
        ),
        (
            "a sequence that fills columns of two tables",
            "create sequence s; alter table a alter n set default nextval('s'); alter table b alter n set default nextval('s'); ",
            OUTCOME,
            "begin",
            ["select 1 as one", "insert into a (id) values (3)"],
            ["select 2 as two", "insert into b (id) values (3)"],
        ),
        (
            "an advisory lock",
            "",
            OUTCOME,
            "begin",
            ["select pg_advisory_xact_lock(1)", "update a set n = 1"],
            ["select pg_advisory_xact_lock(1)", "update b set n = 1"],
        ),
        (
            "rows of a table that another inherits",
            "create table c () inherits (a); insert into c values (3, 30); ",
            OUTCOME,
            "begin",
            ["select 1 as one", "update a set n = n + 1"],
            ["select 2 as two", "update c set n = n * 2"],
        ),
        (
            "rows that a foreign key deletes",
            "alter table b add foreign key (id) references a on delete cascade; ",
            OUTCOME,
            "begin",
            ["select 1 as one", "delete from a where id = 1"],
            ["select 2 as two", "update b set n = n + 1 where id = 1"],
        ),
        (
            "rows that a foreign key deletes, because another one deleted those that they refer to",
            "create table d (id int, n int); insert into d values (1, 10); alter table b add foreign key (id) references a on delete cascade; \
             alter table d add foreign key (id) references b on delete cascade; ",
            "select n from d order by n",
            "begin",
            ["select 1 as one", "delete from a where id = 1"],
            ["select 2 as two", "update d set n = n + 1"],
        ),
        (
            "rows that a subquery locks",
            "create table c (n int); ",
            OUTCOME,
            "begin",
            ["select 1 as one", "insert into a select 3, n from b where id = 1 for update"],
            ["select 2 as two", "insert into c select n from b where id = 1 for update"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn sessions_that_share_rows_are_run_in_all_orders_that_matter() {
    explore_orders_that_matter(&[
        (
            "a row and all rows",
            "",
            OUTCOME,
            "begin",
            ["select 1 as one", "update a set n = n + 1 where id = 1"],
            ["select 2 as two", "update a set n = n * 2"],
        ),
        (
            "a key that changes",
            "",
            OUTCOME,
            "begin",
            ["select 1 as one", "update a set id = 3 where id = 1"],
            ["select 2 as two", "update a set n = 0 where id = 3"],
        ),
        (
            "a unique column beside the key",
            "alter table a add m int unique; ",
            OUTCOME,
            "begin",
            ["select 1 as one", "update a set m = 5 where id = 1"],
            ["select 2 as two", "update a set m = 5 where id = 2"],
        ),
        (
            "the order of rows, where the outcome shows it",
            "",
            "select id, n from a",
            "begin",
            ["select 1 as one", "update a set n = 1 where id = 1"],
            ["select 2 as two", "update a set n = 2 where id = 2"],
        ),
        (
            "a snapshot",
            "",
            OUTCOME,
            "begin isolation level repeatable read",
            ["select n from b where id = 1", "select n from a where id = 1"],
            ["select 2 as two", "update a set n = 5 where id = 1"],
        ),
    ])
    .await;
}

/// They have 184,756 interleavings.
#[tokio::test]
async fn two_sessions_of_ten_statements_on_two_rows_are_proved_by_a_few_interleavings() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let (one, other) = ("update a set n = n + 1 where id = 1", "update a set n = n + 1 where id = 2");
    let text = format!(
        "title = \"ten\"\nsetup = {TABLES:?}\noutcome = {OUTCOME:?}\n[[session]]\nstatements = {:?}\n[[session]]\nstatements = {:?}\n",
        [one; 10], [other; 10]
    );
    let found = explore_file(&mut database, &Script::parse(&text).expect("a file"), reduced()).await;
    assert_eq!((found.verdict, found.outcomes.len()), (ExplorationVerdict::Proved, 1));
    assert!(found.complete && found.interleavings <= 4, "{} interleavings", found.interleavings);
    database.close().await.expect("a clean end");
}
