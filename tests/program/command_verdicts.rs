//! Files of commands whose verdict was once wrong, or said more than was explored.

use serde_json::Value;

use super::commands::CommandsOf;

/// A file of psql scripts on these tables. The scripts are in the file's folder.
fn psql(setup: &str, scripts: &[&str]) -> CommandsOf {
    let prepare = format!("psql -X -q -c \"{setup}\"");
    let of = CommandsOf::scripts(scripts, "");
    of.prepare(&prepare);
    of
}

fn limits(found: &Value) -> String {
    found["limits"].to_string()
}

const BOOKINGS: &str = "create table bookings (seat int, who text)";

fn book(who: &str) -> String {
    format!("insert into bookings select 1, '{who}' where not exists (select from bookings where seat = 1);")
}

/// A commit between whose statement and itself another command can come, in a single text, or in code.
#[test]
fn what_is_one_step_although_others_could_come_between_is_named() {
    let own_commit = "outside a transaction and one step with its commit";
    let several = "has several statements and is one step";
    let code = "whose own statements are no steps";
    let one_text = |who: &str| format!("begin\\; {} \\; commit;", book(who).trim_end_matches(';'));
    let block = |who: &str| format!("begin;\ndo 'begin {} end';\ncommit;", book(who).replace('\'', "''"));
    let right = |who: &str| format!("begin;\nlock table bookings;\n{}\ncommit;", book(who));
    for (script, expected, not) in [
        (&book as &dyn Fn(&str) -> String, vec![own_commit], vec![several, code]),
        (&one_text, vec![several], vec![own_commit, code]),
        (&block, vec![code], vec![own_commit, several]),
        (&right, vec![], vec![own_commit, several, code]),
    ] {
        let found = psql(BOOKINGS, &[&script("a"), &script("b")]).found();
        let limits = limits(&found);
        assert!(expected.iter().all(|limit| limits.contains(limit)), "{found}");
        assert!(!not.iter().any(|limit| limits.contains(limit)), "{found}");
    }
}

#[test]
fn random_keys_do_not_hide_what_stands_beside_them() {
    let setup = "create table receipts (id uuid default gen_random_uuid() primary key, owner text, left_over int); \
                 create table balance (n int); insert into balance values (100)";
    let spend = |who: &str, amount: u8| {
        format!(
            "select n from balance \\gset\ninsert into receipts (owner, left_over) values ('{who}', :n - {amount});\n\
             update balance set n = n - {amount};"
        )
    };
    let found = psql(setup, &[&spend("a", 30), &spend("b", 50)]).found();
    assert_eq!(found["verdict"], "broken", "{found}");
    assert!(limits(&found).contains("gives their values: receipts.id\""), "{found}");
}

#[test]
fn a_function_that_makes_a_table_makes_look_ups_steps() {
    let setup = "create table t (n int); create table seen (tables int, found int); \
                 create function make_jobs() returns void language plpgsql as 'begin execute ''create table jobs (n int)''; \
                 insert into t values (1); end'";
    let looks = "select count(*) as tables from pg_tables where tablename = 'jobs' \\gset\nselect count(*) as rows from t \\gset\n\
                 insert into seen values (:tables, :rows);";
    let found = psql(setup, &["select make_jobs();", looks]).found();
    assert_eq!(found["verdict"], "broken", "{found}");
}

#[test]
fn what_is_defined_is_compared_where_there_is_no_outcome() {
    let migrate = "select count(*) = 0 as missing from pg_indexes where tablename = 't' \\gset\n\\if :missing\ncreate index on t (n);\n\\endif";
    let found = psql("create table t (n int)", &[migrate, migrate]).found();
    assert_eq!(found["verdict"], "broken", "{found}");
    let once = "create index if not exists one on t (n);";
    let right = psql("create table t (n int)", &[once]).found();
    assert_eq!(right["verdict"], "proved", "{right}");
}

#[test]
fn a_timeout_of_the_environment_depends_on_time() {
    let update = "psql -X -q -c 'update accounts set balance = 0'";
    let with = format!("PGOPTIONS='-c lock_timeout=200ms' {update}");
    let off = format!("PGOPTIONS='-c lock_timeout=0' {update}");
    for (other, expected) in [(with.as_str(), "depends-on-time"), (off.as_str(), "proved")] {
        let found = CommandsOf::programs(&[update, other], "").found();
        assert_eq!(found["verdict"], expected, "{found}");
    }
}

#[test]
fn a_command_that_only_looked_before_it_gave_up_has_not_taken_part() {
    let update =
        "begin isolation level repeatable read;\nupdate accounts set balance = balance - 1 where id = 1;\ncommit;";
    for first in ["", "select version();\n", "set timezone = 'UTC';\n"] {
        let script = format!("{first}{update}");
        let found = CommandsOf::scripts(&[&script, &script], "").found();
        assert_eq!(found["verdict"], "proved", "{first}: {found}");
    }
}

#[test]
fn settings_of_the_database_are_those_of_the_application() {
    let of = CommandsOf::scripts(&["show transaction_isolation;", "show work_mem;\nshow search_path;"], "");
    of.prepare(
        "psql -X -q -c \"alter database $PGDATABASE set default_transaction_isolation = 'serializable'\" \
         -c \"alter database $PGDATABASE set search_path = app, public\" -c \"alter role current_user in database $PGDATABASE set work_mem = '5MB'\"",
    );
    let found = of.found();
    let alone = found["alone"].to_string();
    assert!(alone.contains("exit code 0: serializable") && alone.contains("connection 1, serializable"), "{alone}");
    assert!(alone.contains("exit code 0: app, public"), "{alone}");
}

#[test]
fn a_large_table_is_compared_without_its_sequence() {
    for (insert, expected) in [("n", "proved"), ("(select count(*) from t)", "broken")] {
        let setup = "create table t (id bigint generated always as identity, n int); insert into t (n) select 0 from generate_series(1, 1001)";
        let add = |times: usize| {
            format!(
                "begin;\n{}commit;",
                format!("insert into t (n) select {insert} from (values (1)) as v(n);\n").repeat(times)
            )
        };
        let found = psql(setup, &[&add(2), &add(1)]).found();
        assert_eq!(found["verdict"], expected, "{insert}: {found}");
    }
}

#[test]
fn row_security_and_rights_are_definitions_too() {
    for (first, other) in [
        ("alter table t enable row level security;", "alter table t disable row level security;"),
        ("grant select on t to public;", "revoke select on t from public;"),
    ] {
        let setup = "create table t (n int); create table flag (done boolean); insert into flag values (false)";
        let looks = format!("select done from flag \\gset\n\\if :done\n\\else\n{first}\n\\endif");
        let found = psql(setup, &[&looks, &format!("update flag set done = true;\n{other}")]).found();
        assert_eq!(found["verdict"], "broken", "{first}: {found}");
    }
}

#[test]
fn an_empty_search_path_of_the_database_is_kept() {
    let of = CommandsOf::scripts(&["show search_path;", "select 1;"], "");
    of.prepare("psql -X -q -c \"alter database $PGDATABASE set search_path = ''\"");
    let found = of.found();
    let alone = found["alone"].to_string();
    assert!(alone.contains("exit code 0: \\\"\\\""), "{alone}");
}

#[test]
fn a_time_that_only_one_serial_order_has_is_not_compared() {
    let setup =
        "create table job (id int primary key, state text, taken timestamptz); insert into job values (1, 'new', null)";
    let take = "update job set state = 'taken', taken = now() where state = 'ready';";
    let ready = "update job set state = 'ready' where id = 1 and state = 'new';";
    let found = psql(setup, &[take, ready]).found();
    assert_eq!(found["verdict"], "proved", "{found}");
    assert!(limits(&found).contains("job.taken"), "{found}");
}

#[test]
fn values_of_sequences_that_a_program_takes_itself_are_not_compared() {
    let setup = "create sequence s; create table orders (id bigint primary key, who text)";
    let order = |who: &str| format!("select nextval('s') as id \\gset\ninsert into orders values (:id, '{who}');");
    let found = psql(setup, &[&order("a").repeat(2), &order("b")]).found();
    assert_eq!(found["verdict"], "proved", "{found}");
    assert!(limits(&found).contains("orders.id"), "{found}");
}
