//! Files that were once proved although an interleaving breaks them, or broken although none does. Beside most stands a file that differs in
//! one thing, for which the other verdict is right.

use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict};
use concurrency_lab::explore::search::SearchPlan;

use super::fixture::reduced;
use crate::common;

/// What it is, the file, whether it is broken, and a part of what its verdict does not cover.
type Case<'a> = (&'a str, String, bool, Option<&'a str>);

fn file(setup: &str, judge: &str, sessions: &[&[&str]]) -> String {
    let sessions = sessions.iter().map(|statements| format!("[[session]]\nstatements = {statements:?}\n"));
    format!("title = \"verdict\"\nsetup = {setup:?}\n{judge}\n{}", sessions.collect::<String>())
}

async fn explore(database: &mut ExplorerDatabase, text: &str, plan: SearchPlan) -> Exploration {
    let script = Script::parse(text).expect("a file");
    let variant = &script.variants[0];
    let subject = execution::subject(&script, variant, "verdict.toml");
    execution::explore(database, &script, variant, subject, plan, &mut |_| true).await.expect("an exploration")
}

async fn check(cases: &[Case<'_>], plan: impl Fn() -> SearchPlan) {
    let cluster = common::cluster().await;
    let mut database =
        ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("an explorer's database");
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

const BOOKINGS: &str = "create table bookings (seat int, who text);";
const ONE: &str = "invariant = \"select count(*) <= 1 from bookings\"";

/// The statement that books the seat if it is free.
fn book(table: &str, who: &str) -> String {
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
async fn all_rows_are_compared_where_a_file_has_no_outcome() {
    let (one, other) = (book("bookings", "a"), book("bookings", "b"));
    let locked = ["begin", "lock table bookings in exclusive mode", &one, "commit"];
    let also = ["begin", "lock table bookings in exclusive mode", &other, "commit"];
    check(
        &[
            ("guarded inserts", file(BOOKINGS, "", &[&[&one], &[&other]]), true, None),
            ("behind a lock", file(BOOKINGS, "", &[&locked, &also]), false, None),
        ],
        SearchPlan::default,
    )
    .await;
}

#[tokio::test]
async fn only_what_a_sequence_or_chance_fills_is_not_compared() {
    let items = "create table items (id int primary key, place int); insert into items values (1, 10), (2, 20);";
    let audit = "create table audit (id bigint generated always as identity, what text);";
    let read = "select (select place from items where id = 1) as one, (select place from items where id = 2) as two";
    let swap = "update items set place = case id when 1 then {two} else {one} end";
    let by_place = "outcome = \"select id, place from items order by id\"\nserial = \"rows\"";
    let orders = "create table orders (id bigint generated always as identity primary key, who text); \
                  create table items (order_id bigint references orders, what text);";
    let order = |who: &str, times: usize| -> Vec<String> {
        let one = [
            format!("insert into orders (who) values ('{who}') returning id as order_id"),
            format!("insert into items values ({{order_id}}, '{who}')"),
        ];
        std::iter::once("begin".to_owned())
            .chain((0..times).flat_map(|_| one.clone()))
            .chain(["commit".to_owned()])
            .collect()
    };
    let (two, one) = (order("a", 2), order("b", 1));
    let (two, one): (Vec<&str>, Vec<&str>) =
        (two.iter().map(String::as_str).collect(), one.iter().map(String::as_str).collect());
    let receipts = "create table receipts (id uuid default gen_random_uuid() primary key, owner text, left_over int); \
                    create table balance (n int); insert into balance values (100);";
    let spend = |who: &str, amount: i32| -> [String; 3] {
        [
            "select n from balance".to_owned(),
            format!("insert into receipts (owner, left_over) values ('{who}', {{n}} - {amount})"),
            format!("update balance set n = {{n}} - {amount}"),
        ]
    };
    let (thirty, fifty) = (spend("a", 30), spend("b", 50));
    let (thirty, fifty) = (thirty.each_ref().map(String::as_str), fifty.each_ref().map(String::as_str));
    let clock = "create table log (at bigint);";
    let log = ["begin", "insert into log values (floor(extract(epoch from clock_timestamp())))", "commit"];
    check(
        &[
            (
                "an id that no sequence fills",
                file(&format!("{items}{audit}"), by_place, &[&[read, swap], &[read, swap]]),
                true,
                Some("each of these statements changes"),
            ),
            (
                "ids under another name, and references to them",
                file(orders, "outcome = \"select order_id, what from items\"", &[&two, &one]),
                false,
                Some("order_id"),
            ),
            (
                "random keys",
                file(receipts, "outcome = \"select * from receipts order by id\"", &[&thirty, &fifty]),
                true,
                Some("values: id"),
            ),
            ("seconds", file(clock, "outcome = \"select at from log\"", &[&log, &log]), false, Some("values: at")),
        ],
        SearchPlan::default,
    )
    .await;
}

#[tokio::test]
async fn a_session_that_only_looked_has_not_taken_part() {
    let table = "create table t (n int); insert into t values (1);";
    let outcome = "outcome = \"select n from t\"";
    let update = ["begin isolation level repeatable read", "update t set n = n + 1", "commit"];
    let after = |first| [&[first][..], &update].concat();
    check(
        &[
            ("SET", file(table, outcome, &[&after("set timezone = 'UTC'"), &update]), false, None),
            ("version()", file(table, outcome, &[&after("select version()"), &update]), false, None),
            (
                "a change",
                file(
                    &format!("{table} create table u (n int);"),
                    outcome,
                    &[&after("insert into u values (1)"), &update],
                ),
                true,
                None,
            ),
        ],
        SearchPlan::default,
    )
    .await;
}

#[tokio::test]
async fn a_setup_that_reads_the_clock_runs_before_each_interleaving() {
    let cluster = common::cluster().await;
    let mut database =
        ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("an explorer's database");
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
