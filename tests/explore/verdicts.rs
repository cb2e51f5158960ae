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
    let mut database =
        ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("an explorer's database");
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

#[tokio::test]
async fn times_and_chance_of_any_serial_order_are_not_compared() {
    let setup = "create table c (id int primary key, at timestamptz); insert into c values (1, null);";
    let outcome = "outcome = \"select id, at from c\"";
    let (read, write) = ("select at from c where id = 1", "update c set at = now() where id = 1");
    let chance = "create table t (who text, heads boolean);";
    let heads = ["insert into t values ('a', random() < 0.5)"];
    check(
        &[
            ("the reader is first in the file", file(setup, outcome, &[&[read], &[write]]), false, Some("values: at")),
            ("the writer is first in the file", file(setup, outcome, &[&[write], &[read]]), false, Some("values: at")),
            (
                "a time that only one order has",
                file(
                    &setup.replace("null", "'2026-01-01'"),
                    outcome,
                    &[&["update c set at = now() where at is null"], &["update c set at = null"]],
                ),
                false,
                Some("values: at"),
            ),
            (
                "one of two by chance",
                file(chance, "", &[&heads, &["insert into t values ('b', false)"]]),
                false,
                Some("chance decides"),
            ),
        ],
        SearchPlan::default,
    )
    .await;
}

/// Ids that the setup made are values like others.
#[tokio::test]
async fn a_reference_to_a_row_of_the_setup_is_compared() {
    let users = "create table users (id bigint generated always as identity primary key, name text); \
                 insert into users (name) values ('ann'), ('bob'); \
                 create table item (n int primary key, owner bigint references users); insert into item values (1, 1), (2, 2), (3, null);";
    let swap =
        |from: u8, to: u8| format!("update item set owner = (select owner from item where n = {from}) where n = {to}");
    let claim = |user: u8| -> [String; 2] {
        [
            "select owner from item where n = 3".to_owned(),
            format!("update item set owner = coalesce({{owner}}, {user}) where n = 3"),
        ]
    };
    let (one, other) = (swap(2, 1), swap(1, 2));
    let (ann, bob) = (claim(1), claim(2));
    let (ann, bob) = (ann.each_ref().map(String::as_str), bob.each_ref().map(String::as_str));
    check(
        &[
            (
                "owners that are swapped",
                file(users, "", &[&["begin", &one, "commit"], &["begin", &other, "commit"]]),
                true,
                None,
            ),
            ("a claim of what has no owner", file(users, "", &[&ann, &bob]), true, None),
        ],
        SearchPlan::default,
    )
    .await;
}

#[tokio::test]
async fn the_checksum_of_a_large_table_is_about_all_columns() {
    let setup = "create table big (id int primary key, t int, n int); insert into big select g, 0, g from generate_series(1, 1100) g;";
    let copy = |from: u8, to: u8| format!("update big set n = (select n from big where id = {from}) where id = {to}");
    let (one, other) = (copy(2, 1), copy(1, 2));
    check(
        &[(
            "a column called t",
            file(setup, "", &[&["begin", &one, "commit"], &["begin", &other, "commit"]]),
            true,
            None,
        )],
        SearchPlan::default,
    )
    .await;
}

/// Values of sequences that no column default takes: by a statement, a function, a domain, a view.
#[tokio::test]
async fn values_of_sequences_count_nowhere_if_statements_take_them() {
    let orders = "create sequence s; create table orders (id bigint primary key, who text);";
    let twice = |sql: &str| ["begin".to_owned(), sql.replace('?', "'a'"), sql.replace('?', "'a'"), "commit".to_owned()];
    let once = |sql: &str| ["begin".to_owned(), sql.replace('?', "'b'"), "commit".to_owned()];
    let trigger = "create function number() returns trigger language plpgsql as $$ begin new.id = nextval('s'); return new; end $$; \
                   create trigger number before insert on orders for each row execute function number();";
    let domain = "create sequence s; create domain number as bigint default nextval('s'); create table orders (id number, who text);";
    let counted = "insert into orders values (nextval('s'), ? || (select count(*) from orders))";
    for (what, setup, insert, broken) in [
        ("nextval in the statement", orders.to_owned(), "insert into orders values (nextval('s'), ?)", false),
        ("a trigger", format!("{orders}{trigger}"), "insert into orders (who) values (?)", false),
        ("a domain", domain.to_owned(), "insert into orders (who) values (?)", false),
        ("what was counted is compared", orders.to_owned(), counted, true),
    ] {
        let (two, one) = (twice(insert), once(insert));
        let (two, one): (Vec<&str>, Vec<&str>) =
            (two.iter().map(String::as_str).collect(), one.iter().map(String::as_str).collect());
        let cluster = common::cluster().await;
        let mut database =
            ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("an explorer's database");
        let found = explore(&mut database, &file(&setup, "", &[&two, &one]), SearchPlan::default()).await;
        let expected = if broken { ExplorationVerdict::Broken } else { ExplorationVerdict::Proved };
        assert_eq!(found.verdict, expected, "{what}");
        assert!(broken || found.limits.concat().contains("values: orders.id"), "{what}: {:?}", found.limits);
        database.close().await.expect("a clean end");
    }
}
