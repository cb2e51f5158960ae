//! What of an end is compared with the ends of serial orders, and what is not: rows, columns that sequences, the clock or chance fill, sessions that
//! gave up. As in [`super::verdicts`], the cases were once wrong.

use concurrency_lab::explore::findings::ExplorationVerdict;
use concurrency_lab::explore::search::SearchPlan;

use super::fixture::explorer_database;
use super::verdicts::{BOOKINGS, book, check, explore, file};
use crate::common;

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
        let mut database = explorer_database(&cluster).await;
        let found = explore(&mut database, &file(&setup, "", &[&two, &one]), SearchPlan::default()).await;
        let expected = if broken { ExplorationVerdict::Broken } else { ExplorationVerdict::Proved };
        assert_eq!(found.verdict, expected, "{what}");
        assert!(broken || found.limits.concat().contains("values: orders.id"), "{what}: {:?}", found.limits);
        database.close().await.expect("a clean end");
    }
}
