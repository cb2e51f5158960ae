//! Files that were once proved although an interleaving breaks them, or broken although none does. Beside most stands a file that differs in
//! one thing, for which the other verdict is right.

use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::file::Script;
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict};
use concurrency_lab::explore::search::SearchPlan;

use super::fixture::{explore_file, explorer_database, reduced};
use crate::common;

/// What it is, the file, whether it is broken, and a part of what its verdict does not cover.
pub type VerdictCase<'a> = (&'a str, String, bool, Option<&'a str>);

pub fn file(setup: &str, judge: &str, sessions: &[&[&str]]) -> String {
    let sessions = sessions.iter().map(|statements| format!("[[session]]\nstatements = {statements:?}\n"));
    format!("title = \"verdict\"\nsetup = {setup:?}\n{judge}\n{}", sessions.collect::<String>())
}

pub async fn explore(database: &mut ExplorerDatabase, text: &str, plan: SearchPlan) -> Exploration {
    explore_file(database, &Script::parse(text).expect("a file"), plan).await
}

pub async fn check(cases: &[VerdictCase<'_>], plan: impl Fn() -> SearchPlan) {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for (what, text, broken, limit) in cases {
        let found = explore(&mut database, text, plan()).await;
        let expected = if *broken { ExplorationVerdict::Broken } else { ExplorationVerdict::Proved };
        assert_eq!(found.verdict, expected, "{what}: {text}");
        match limit {
            Some(limit) => assert!(found.limits.concat().contains(limit), "{what}: {:?}", found.limits),
            None => assert!(found.limits.is_empty(), "{what}: {:?}", found.limits),
        }
    }
    database.close().await.expect("a clean end");
}

pub const BOOKINGS: &str = "create table bookings (seat int, who text);";
const ONE: &str = "invariant = \"select count(*) <= 1 from bookings\"";

/// The statement that books the seat if it is free.
pub fn book(table: &str, who: &str) -> String {
    format!("insert into {table} select 1, '{who}' where not exists (select from {table} where seat = 1)")
}

fn code(who: &str) -> String {
    format!(
        "begin if not exists (select from bookings where seat = 1) then insert into bookings values (1, {who}); end if; end"
    )
}

#[tokio::test]
async fn code_outside_a_transaction_commits_in_a_step_of_its_own() {
    let setup = |kind: &str| format!("{BOOKINGS} create {kind} language plpgsql as $$ {} $$", code("w"));
    let (procedure, function) = (setup("procedure book(w text)"), setup("function book(w text) returns void"));
    let commits = procedure.replace("end if;", "end if; commit;");
    let inside = Some("whose own statements are no steps");
    let both = |sql: &dyn Fn(&str) -> String, setup: &str| {
        let (one, other) = (sql("'a'"), sql("'b'"));
        file(setup, ONE, &[&[&one], &[&other]])
    };
    check(
        &[
            ("DO", both(&|who| format!("do $$ {} $$", code(who)), BOOKINGS), true, inside),
            ("CALL", both(&|who| format!("call book({who})"), &procedure), true, inside),
            ("a function", both(&|who| format!("select book({who})"), &function), true, inside),
            (
                "a procedure that commits",
                both(&|who| format!("call book({who})"), &commits),
                false,
                Some("may commit in its middle"),
            ),
        ],
        SearchPlan::default,
    )
    .await;
}

#[tokio::test]
async fn tables_of_another_schema_count_and_are_set_up_each_time() {
    let setup = "create schema if not exists app; drop table if exists app.bookings; create table app.bookings (seat int, who text);";
    let outcome = "outcome = \"select count(*) from app.bookings\"";
    let (one, other) = (book("app.bookings", "a"), book("app.bookings", "b"));
    let plain = ["insert into app.bookings values (1, 'a')", "insert into app.bookings values (2, 'b')"];
    check(
        &[
            ("guarded inserts", file(setup, outcome, &[&[&one], &[&other]]), true, None),
            ("two rows", file(setup, outcome, &[&["begin", plain[0], "commit"], &[plain[1]]]), false, None),
            ("no outcome", file(setup, "", &[&[plain[0]], &[plain[1]]]), false, Some("the file names another schema")),
        ],
        SearchPlan::default,
    )
    .await;
}

#[tokio::test]
async fn a_setup_that_reads_the_clock_runs_before_each_interleaving() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let text = |value: &str| {
        let setup = format!("create table t (at timestamptz); insert into t values ({value});");
        file(&setup, "outcome = \"select at from t\"\nserial = false", &[&["select 1 as one"], &["select 2 as two"]])
    };
    for (value, outcomes) in [("clock_timestamp()", 2), ("'2026-01-01'", 1)] {
        let found = explore(&mut database, &text(value), SearchPlan::default()).await;
        assert_eq!((found.interleavings, found.outcomes.len()), (2, outcomes), "{value}");
    }
    database.close().await.expect("a clean end");
}

#[tokio::test]
async fn a_table_with_the_name_of_a_copy_is_not_hidden() {
    let setup = "create table snapshot_0 (n int); insert into snapshot_0 values (50);";
    let less = "update snapshot_0 set n = n - 30";
    let invariant = "invariant = \"select n >= 0 from snapshot_0\"";
    check(&[("snapshot_0", file(setup, invariant, &[&[less], &[less]]), true, None)], SearchPlan::default).await;
}

#[tokio::test]
async fn a_reduced_search_sees_the_end_of_a_chained_transaction() {
    let setup = "create table a (n int); insert into a values (0); create table b (n int); insert into b values (0);";
    let chained = ["begin", "update a set n = 1", "commit and chain", "update b set n = 1", "commit"];
    let text = |judge: &str| {
        let reads = "[[session]]\nstatements = [\"begin\", { name = \"ra\", sql = \"select n from a\" }, \
                     { name = \"rb\", sql = \"select n from b\" }, \"commit\"]";
        format!("{}{reads}\n", file(setup, judge, &[&chained]))
    };
    let judge = |a: u8, b: u8| format!("invariant = \"select not ({{B.ra.n}} = {a} and {{B.rb.n}} = {b})\"");
    check(
        &[
            ("the first change alone is seen", text(&judge(1, 0)), true, None),
            ("nothing of the first, all of the second", text(&judge(0, 1)), true, None),
            ("values that are never there", text(&judge(2, 2)), false, None),
        ],
        reduced,
    )
    .await;
}

#[tokio::test]
async fn a_reduced_search_leaves_nothing_out_where_a_sequence_is_read() {
    let setup = "create table c (n int); insert into c values (0); \
                 create table orders (id bigint generated always as identity primary key, n int); insert into orders (n) values (0);";
    let writes = ["begin", "update c set n = 1", "commit", "begin", "insert into orders (n) values (1)", "commit"];
    let reads = "[[session]]\nstatements = [\"begin\", { name = \"rc\", sql = \"select n from c\" }, \
                 { name = \"seq\", sql = \"select last_value from orders_id_seq\" }, \"commit\"]\n";
    let judge = "invariant = \"select not ({B.rc.n} = 1 and {B.seq.last_value} = 1)\"";
    let text = format!("{}{reads}", file(setup, judge, &[&writes]));
    check(&[("last_value", text, true, Some("reads the sequence orders_id_seq"))], reduced).await;
}

/// Code whose statements are no steps, wherever it is: `setup`, and the statement that runs it. The other session changes what it reads twice.
#[tokio::test]
async fn code_is_named_wherever_it_is() {
    let tables = "create table t (n int); insert into t values (0); create table seen (x text);";
    let body = "declare v int; w int; begin select n into v from t; select n into w from t;";
    let trigger = format!(
        "create table k (id int primary key); insert into k values (1); \
         create function f() returns trigger language plpgsql as $$ {body} insert into seen values (v || '/' || w); return null; end $$; \
         create trigger f after insert or delete on k for each row execute function f();"
    );
    let twice =
        format!("create function twice() returns text language plpgsql as $$ {body} return v || '/' || w; end $$;");
    let in_app = "create schema if not exists app; create or replace function app.f() returns int language plpgsql as \
                  $$ begin perform n from concurrency_lab_explore_file.t; perform n from concurrency_lab_explore_file.t; return 1; end $$;";
    let cases = [
        ("a trigger", trigger.clone(), "insert into k values (2)"),
        ("a trigger behind a view", format!("{trigger} create view kv as select * from k;"), "insert into kv values (2)"),
        (
            "a trigger behind a foreign key",
            format!(
                "create table p (id int primary key); insert into p values (1); {trigger} alter table k add foreign key (id) references p on delete cascade;"
            ),
            "delete from p",
        ),
        ("a default", format!("{twice} create table d (id int, x text default twice());"), "insert into d (id) values (1)"),
        (
            "a body in standard SQL",
            "create function f() returns void begin atomic insert into seen select n from t; insert into seen select n from t; end;".to_owned(),
            "select f()",
        ),
        (
            "a function of one statement that calls another",
            format!("{twice} create function f() returns void language sql as $$ insert into seen values (twice()) $$;"),
            "select f()",
        ),
        ("a function of another schema", in_app.to_owned(), "select app.f()"),
    ];
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for (what, setup, runs) in cases {
        let text = file(&format!("{tables}{setup}"), "", &[&[runs], &["update t set n = n + 1"]]);
        let found = explore(&mut database, &text, SearchPlan::default()).await;
        assert!(found.limits.concat().contains("between those was not explored: A: "), "{what}: {:?}", found.limits);
        let plain = file(&format!("{tables}{setup}"), "", &[&["select n from t"], &["select n + 1 as n from t"]]);
        let found = explore(&mut database, &plain, SearchPlan::default()).await;
        assert!(!found.limits.concat().contains("no steps"), "{what}: {:?}", found.limits);
    }
    database.close().await.expect("a clean end");
}

#[tokio::test]
async fn a_procedure_of_another_schema_that_commits_is_one_step() {
    let setup = "create schema if not exists app; drop table if exists app.c; create table app.c (n int); insert into app.c values (0); \
                 create or replace procedure app.p() language plpgsql as $$ begin update app.c set n = n + 1; commit; update app.c set n = n + 1; end $$;";
    let call = ["call app.p()"];
    let outcome = "outcome = \"select n from app.c\"";
    check(
        &[("a commit inside", file(setup, outcome, &[&call, &call]), false, Some("may commit in its middle"))],
        SearchPlan::default,
    )
    .await;
}
