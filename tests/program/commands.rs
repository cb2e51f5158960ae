//! Files of commands, explored with real programs: psql scripts that a shell runs, and nothing else that a machine may lack.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::served::run_to_end;
use crate::common::{OwnDatabase, program};

/// Before each script: nothing is printed but what the script says.
const QUIET: &str = "\\set QUIET on\n\\set ON_ERROR_STOP on\n\\pset format unaligned\n\\pset tuples_only on\n";

const SETUP: &str =
    "create table accounts (id int primary key, balance int not null); insert into accounts values (1, 100), (2, 100)";

/// A folder with a file of commands, each a psql script.
#[derive(Debug)]
pub struct CommandsOf {
    folder: TempDir,
    database: OwnDatabase,
}

impl CommandsOf {
    pub fn scripts(scripts: &[&str], rest: &str) -> Self {
        let runs: Vec<String> = (1..=scripts.len()).map(|number| format!("psql -X -f {number}.sql")).collect();
        let of = Self::programs(&runs.iter().map(String::as_str).collect::<Vec<_>>(), rest);
        for (number, script) in (1..).zip(scripts) {
            of.write(&format!("{number}.sql"), &format!("{QUIET}{script}\n"));
        }
        of
    }

    pub fn programs(runs: &[&str], rest: &str) -> Self {
        let commands: Vec<String> = runs.iter().map(|run| format!("[[command]]\nrun = '''{run}'''\n")).collect();
        let commands = commands.concat();
        let of = Self { folder: tempfile::tempdir().expect("a folder"), database: OwnDatabase::new() };
        of.write("commands.toml", &format!("title = \"commands\"\n[app]\nsetup = \"{SETUP}\"\n{commands}{rest}"));
        of
    }

    /// The database is made by this program, in place of the usual setup.
    pub fn prepare(&self, program: &str) {
        let file = std::fs::read_to_string(self.path()).expect("a file");
        self.write(
            "commands.toml",
            &file.replace(&format!("setup = \"{SETUP}\""), &format!("prepare = '''{program}'''")),
        );
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    fn path(&self) -> String {
        self.folder.path().join("commands.toml").display().to_string()
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = program();
        command.args(["explore", &self.path()]).args(options).env("DATABASE_URL", &self.database.url);
        command
    }

    pub fn run(&self, options: &[&str]) -> (Option<i32>, String, String) {
        run_to_end(self.command(&[&["--trust-file"], options].concat()))
    }

    /// The only exploration of the report.
    pub fn found(&self) -> Value {
        let (code, output, errors) = self.run(&["--format", "json"]);
        let report: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {code:?} {errors}"));
        report["explorations"][0].clone()
    }
}

const NAIVE: &str = "select balance from accounts where id = 1 \\gset\n\
                     update accounts set balance = :balance - 10 where id = 1;\n\\echo withdrawn";

#[test]
fn a_read_and_a_write_of_an_unmodified_program_lose_an_update() {
    let commands = CommandsOf::scripts(&[NAIVE, &NAIVE.replace("10", "30")], "");
    let (code, output, errors) = commands.run(&[]);
    assert_eq!(code, Some(1), "{output}{errors}");
    // A column and its value stay in one line.
    let output = output.replace('\u{a0}', " ");
    for expected in [
        "broken: not serializable",
        "A alone (psql -X -f 1.sql): sends 2 statements on 1 connection, and ends with exit code 0: withdrawn",
        "connection 1, read committed: select balance from accounts where id = 1; update accounts set balance = 100 - 10",
        "select balance from accounts where id = 1 → balance = 100",
        "■ exit code 0: withdrawn",
        "no serial order of the commands ends like this",
    ] {
        assert!(output.contains(expected), "{expected:?} is missing in {output}{errors}");
    }
    let said = "runs these programs in";
    assert!(errors.contains(said) && errors.contains("psql -X -f 1.sql"), "{errors}");
    let found = commands.found();
    assert_eq!((&found["interleavings"], &found["violations"]), (&Value::from(6), &Value::from(4)));
    let (_, replayed, errors) = commands.run(&["--replay", "ABBA"]);
    assert!(replayed.contains("schedule ABBA") && replayed.contains("not serializable"), "{replayed}{errors}");
}

#[test]
fn a_lock_and_a_guarded_update_are_proved() {
    let lock = "begin;\nselect balance from accounts where id = 1 for update \\gset\n\
                update accounts set balance = :balance - 10 where id = 1;\ncommit;\n\\echo withdrawn";
    let guarded = "update accounts set balance = balance - 60 where id = 1 and balance >= 60;\n\\echo :ROW_COUNT";
    for (script, other, interleavings) in
        [(lock, lock.replace("10", "30"), 6), (guarded, guarded.replace("60", "70"), 2)]
    {
        let found = CommandsOf::scripts(&[script, &other], "").found();
        assert_eq!(found["verdict"], "proved", "{found}");
        assert_eq!(found["interleavings"], interleavings, "BEGIN is no step: {found}");
    }
}

#[test]
fn two_of_the_same_command_are_run_in_one_order_only() {
    let found = CommandsOf::scripts(&[NAIVE], "[[command]]\nrun = 'psql -X -f 1.sql'\n").found();
    assert_eq!((&found["interleavings"], &found["violations"]), (&Value::from(3), &Value::from(2)), "{found}");
}

#[test]
fn opposite_orders_of_locks_are_shown_as_a_deadlock() {
    let transfer = |from: u8, to: u8| {
        format!(
            "begin;\nupdate accounts set balance = balance - 1 where id = {from};\n\
             update accounts set balance = balance + 1 where id = {to};\ncommit;\n\\echo moved"
        )
    };
    let commands = CommandsOf::scripts(&[&transfer(1, 2), &transfer(2, 1)], "[expect]\ndeadlocks = true\n");
    let (code, output, errors) = commands.run(&[]);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.contains("ERROR 40P01: deadlock detected"), "{output}");
    assert!(output.contains("gave up: exit code 3"), "psql ends with 3 after an error of a script: {output}");
    assert!(output.contains("proved"), "a command that gave up without a change has not taken part: {output}");
}

/// A program that is misspelt, or that does something else, proves nothing.
#[test]
fn a_command_that_sends_no_statement_is_a_mistake_or_a_limit() {
    let (code, output, errors) = CommandsOf::programs(&["psql -X -c 'select 1'", "psqll -X -f 1.sql"], "").run(&[]);
    assert_eq!(code, Some(2), "{output}{errors}");
    assert!(errors.contains("command B (psqll -X -f 1.sql): it sends no statement"), "{errors}");
    assert!(errors.contains("exit code 127"), "{errors}");
    let found = CommandsOf::programs(&["psql -X -c 'update accounts set balance = 1'", "true"], "").found();
    let limits = found["limits"].to_string();
    assert!(limits.contains("send no statement when they run alone") && limits.contains("B (exit code 0"), "{limits}");
}

#[test]
fn a_command_that_fails_alone_limits_the_verdict() {
    let found = CommandsOf::scripts(&[NAIVE, "update nothing set n = 1;"], "").found();
    let limits = found["limits"].to_string();
    assert!(limits.contains("fail already when they run alone") && limits.contains("B (exit code 3"), "{limits}");
    let right = CommandsOf::scripts(&[NAIVE, NAIVE], "").found();
    assert!(!right["limits"].to_string().contains("fail already"), "{right}");
}

#[test]
fn an_invariant_can_use_the_exit_code_and_the_last_line() {
    let rest = "[[invariant]]\nname = \"both succeed\"\nquery = \"select {A.exit_code} = 0 and {B.exit_code} = 0\"\n\
                [[invariant]]\nname = \"said so\"\nquery = \"select {A.last_line} = 'withdrawn'\"\n";
    let failing = "update accounts set balance = balance / 0;";
    let found = CommandsOf::scripts(&[NAIVE, failing], rest).found();
    assert_eq!(found["witness"]["anomalies"], serde_json::json!(["both succeed"]), "{found}");
    assert!(found.to_string().contains("ERROR 22012") || found.to_string().contains("division by zero"), "{found}");
}

#[test]
fn a_command_that_never_ends_is_undecided_with_the_reason() {
    let commands = CommandsOf::programs(&["psql -X -c 'select 1 from accounts' && sleep 1000", "true"], "");
    let begun = Instant::now();
    let (code, output, errors) = commands.run(&[]);
    assert_eq!(code, Some(3), "{output}{errors}");
    let why = "the program has neither sent a statement nor ended for 8 s";
    assert!(output.replace("\n    ", " ").contains(why), "{output}");
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_wait_outside_postgresql_is_undecided_with_the_reason() {
    // Each runs alone; while one is held at its statement, the other waits for the lock on a file.
    let run = "flock lock psql -X -c 'update accounts set balance = 1'";
    let (code, output, errors) = CommandsOf::programs(&[run, run], "").run(&[]);
    assert_eq!(code, Some(3), "{output}{errors}");
    assert!(output.contains("undecided") && !output.contains("proved"), "{output}");
    assert!(output.replace("\n    ", " ").contains("neither sent a statement nor ended for 8 s"), "{output}");
}

#[test]
fn garbage_on_the_output_harms_nothing_and_chance_is_not_compared() {
    let garbage =
        "psql -X -c \"update accounts set balance = 1\" >/dev/null; head -c 300000 /dev/urandom; echo; echo $$";
    let found = CommandsOf::programs(&[garbage, "printf '\\033[2J\\007'"], "").found();
    assert_eq!(found["verdict"], "proved", "{found}");
    assert!(found["limits"].to_string().contains("not compared with serial orders"), "{found}");
}

#[test]
fn a_command_that_changes_tables_finds_the_database_as_it_was_in_each_interleaving() {
    let migrate = "create table if not exists versions (n int);\ninsert into versions values (1);\n\\echo migrated";
    let found = CommandsOf::scripts(&[migrate, NAIVE], "").found();
    // Two statements of each; the tables of one do not concern the other.
    assert_eq!((&found["verdict"], &found["interleavings"]), (&Value::from("proved"), &Value::from(6)), "{found}");
}

#[test]
fn two_instances_that_migrate_at_their_start_both_find_no_table() {
    let migrate = "select count(*) = 0 as missing from information_schema.tables where table_name = 'users' \\gset\n\
                   \\if :missing\ncreate table users (id int);\n\\endif\n\\echo migrated";
    let found = CommandsOf::scripts(&[migrate], "[[command]]\nrun = 'psql -X -f 1.sql'\n").found();
    // The look-up is a step, because a command changes more than rows.
    assert_eq!((&found["interleavings"], &found["violations"]), (&Value::from(3), &Value::from(2)), "{found}");
    assert!(found["witness"].to_string().contains("42P07"), "{found}");
}

#[test]
fn rows_that_are_copied_in_are_one_step() {
    let copy = "copy accounts from stdin csv;\n7,70\n8,80\n\\.\nselect count(*) from accounts;";
    let found = CommandsOf::scripts(&[copy, "select count(*) from accounts;"], "").found();
    assert_eq!((&found["verdict"], &found["interleavings"]), (&Value::from("proved"), &Value::from(3)), "{found}");
    assert!(found["alone"][0].as_str().is_some_and(|line| line.contains("sends 2 statements")), "{found}");
}

#[test]
fn no_program_runs_without_a_yes() {
    let commands = CommandsOf::programs(&["touch ran", "true"], "");
    let (code, _, errors) = run_to_end(commands.command(&[]));
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("touch ran") && errors.contains("--trust-file"), "{errors}");
    assert!(!commands.folder.path().join("ran").exists());
}

#[test]
fn a_preparation_that_fails_is_shown_with_its_output() {
    let commands = CommandsOf::programs(&["true"], "");
    let file = std::fs::read_to_string(commands.path()).expect("the file");
    commands.write("commands.toml", &file.replace("[app]\n", "[app]\nprepare = 'echo no such schema; exit 4'\n"));
    let (code, _, errors) = commands.run(&[]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(
        errors.contains("app.prepare") && errors.contains("exit code 4") && errors.contains("no such schema"),
        "{errors}"
    );
}

/// Not a test: a program with a driver that prepares each statement in a message of its own. The test below runs it.
#[tokio::test]
#[ignore = "a program that another test runs"]
async fn a_withdrawal_by_tokio_postgres() {
    let Ok(amount) = std::env::var("WITHDRAW") else { return };
    let amount: i32 = amount.parse().expect("an amount");
    let url = std::env::var("DATABASE_URL").expect("an address");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let withdraw = async {
        client.batch_execute("begin isolation level repeatable read").await?;
        let row = client.query_one("select balance from accounts where id = $1", &[&1]).await?;
        let rest = row.get::<_, i32>(0) - amount;
        client.execute("update accounts set balance = $1 where id = $2", &[&rest, &1]).await?;
        client.batch_execute("commit").await
    };
    let code = i32::from(withdraw.await.inspect_err(|error| println!("{error:?}")).is_err());
    println!("ended");
    std::process::exit(code);
}

#[test]
fn a_statement_that_is_prepared_first_makes_no_other_tree_than_a_plain_one() {
    let this = std::env::current_exe().expect("this program");
    let test = "program::commands::a_withdrawal_by_tokio_postgres";
    let run = |amount: u8| format!("WITHDRAW={amount} '{}' --exact {test} --ignored --nocapture", this.display());
    let prepared = CommandsOf::programs(&[&run(10), &run(30)], "").found();
    let script = format!("begin isolation level repeatable read;\n{NAIVE}\ncommit;");
    let plain = CommandsOf::scripts(&[&script, &script.replace("10", "30")], "").found();
    for found in [&prepared, &plain] {
        assert_eq!(found["verdict"], "proved", "{found}");
        assert!(
            found["alone"][0].as_str().is_some_and(|line| line.contains("sends 3 statements on 1 connection")),
            "{found}"
        );
        assert!(found["alone"][1].as_str().is_some_and(|line| line.contains("repeatable read")), "{found}");
        assert!(found["conflicts"].as_u64() > Some(0), "{found}");
    }
    let counts = |found: &Value| ["interleavings", "conflicts", "waited"].map(|count| found[count].clone());
    assert_eq!(counts(&prepared), counts(&plain), "{prepared} {plain}");
}

fn is_alive(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok());
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None).is_ok())
}

#[test]
fn no_program_is_left_when_the_lab_is_killed() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        // The shell's child is what must not stay.
        let commands = CommandsOf::programs(&["sleep 1000 & echo $! > pid; wait", "true"], "");
        let pid_file = commands.folder.path().join("pid");
        let mut lab = commands.command(&["--trust-file"]);
        let mut lab = lab.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the lab");
        let within = |what: &str, limit: Duration, holds: &dyn Fn() -> bool| {
            let begun = Instant::now();
            while !holds() {
                assert!(begun.elapsed() < limit, "{signal}: {what}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        within("the program runs", Duration::from_secs(30), &|| is_alive(&pid_file));
        kill(Pid::from_raw(i32::try_from(lab.id()).expect("a pid")), signal).expect("a signal");
        lab.wait().expect("its end");
        within("the program has ended", Duration::from_secs(10), &|| !is_alive(&pid_file));
    }
}
