//! The rights of the statements in explore files: those of the owner of one database, unless the user says otherwise.

use std::fs;
use std::path::Path;

use super::served::run_to_end;
use crate::common::{OwnDatabase, directory, program};

/// Runs explore on a PostgreSQL of its own.
fn explore(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = program();
    command.arg("explore").args(arguments);
    run_to_end(command)
}

/// A file that tries these statements in a place of it, and whose invariant says that none succeeded.
fn file(attempts: &[String]) -> String {
    let tries = |place: &str| {
        let one = |sql: &String| {
            format!(
                "begin execute $q${sql}$q$; insert into succeeded values ('{place}'); \
                 exception when insufficient_privilege then null; end;"
            )
        };
        format!("do $$ begin {} end $$", attempts.iter().map(one).collect::<Vec<_>>().concat())
    };
    format!(
        "title = \"rights\"\nsetup = '''create table succeeded (place text); {};'''\n\
         [[session]]\nsetup = '''{};'''\nstatements = ['''{}''']\n\
         [[session]]\nstatements = ['select 1']\n\
         [[invariant]]\nname = 'a statement had rights'\nquery = 'select count(*) = 0 from succeeded'\n",
        tries("setup"),
        tries("session setup"),
        tries("statement")
    )
}

fn attempts(marker: &Path) -> Vec<String> {
    [
        format!("copy (select 1) to program 'touch {}'", marker.display()),
        format!("copy (select 1) to '{}'", marker.display()),
        "select pg_read_file('/etc/passwd')".to_owned(),
        "create role another superuser".to_owned(),
        "drop schema concurrency_lab_explore cascade".to_owned(),
        "create extension file_fdw".to_owned(),
        "set session_preload_libraries = 'x'".to_owned(),
    ]
    .into()
}

#[test]
fn statements_of_a_file_run_no_program_and_reach_no_file_role_or_other_schema() {
    let directory = directory();
    let (path, marker) = (directory.path().join("rights.toml"), Path::new("/tmp/concurrency-lab-test-it-ran"));
    fs::write(&path, file(&attempts(marker))).expect("a file");
    let path = path.to_str().expect("text");
    let (code, out, errors) = explore(&[path]);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(out.contains("rights") && !marker.exists(), "{out}");
    assert!(!errors.contains("run with the rights"), "on a PostgreSQL of its own there is nothing to say: {errors}");
}

#[test]
fn a_file_that_needs_a_superuser_says_so_and_the_command_line_too() {
    let directory = directory();
    let path = directory.path().join("rights.toml");
    let text = "title = 'rights'\nsuperuser = true\nsetup = '''create table t (name text);'''\n\
                [[session]]\nstatements = ['''insert into t select usename from pg_user where usesuper and usename = current_user''']\n\
                [[invariant]]\nname = 'no superuser'\nquery = 'select count(*) = 1 from t'\n";
    fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("text");
    let (code, _, errors) = explore(&[path]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("superuser = true") && errors.contains("--trust-file"), "{errors}");
    let (code, out, errors) = explore(&[path, "--trust-file"]);
    assert_eq!(code, Some(0), "{out}{errors}");
    fs::write(path, text.replace("superuser = true\n", "")).expect("a file");
    let (code, out, errors) = explore(&[path, "--trust-file"]);
    assert_eq!(code, Some(1), "trust alone gives no rights to a file that does not ask for them: {out}{errors}");
}

#[test]
fn a_deadlock_of_a_file_without_rights_takes_no_second() {
    let directory = directory();
    let path = directory.path().join("deadlock.toml");
    let text = "title = 'deadlock'\nserial = false\nsetup = '''create table t (id int primary key, n int); insert into t values (1, 0), (2, 0);'''\n\
                [[session]]\nstatements = ['begin', 'show deadlock_timeout', 'update t set n = 1 where id = 1', 'commit']\n";
    fs::write(&path, text).expect("a file");
    let (code, out, errors) = explore(&[path.to_str().expect("text"), "--replay", "AAAA"]);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(out.contains("1ms") && !errors.contains("WARNING"), "{out}{errors}");
}

#[test]
fn permutations_of_a_spec_have_the_same_rights() {
    let directory = directory();
    let path = directory.path().join("rights.spec");
    let text = "session s1\nstep a { select rolsuper from pg_roles where rolname = current_user; }\npermutation a\n";
    fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("text");
    for (trust, expected) in [(None, "f"), (Some("--trust-file"), "t")] {
        let arguments: Vec<&str> = [path].into_iter().chain(trust).collect();
        let (code, out, errors) = explore(&arguments);
        assert_eq!(code, Some(0), "{out}{errors}");
        assert!(out.lines().any(|line| line.trim() == expected), "{expected}: {out}");
    }
}

#[test]
fn on_a_database_of_the_users_the_rights_are_said_before_it_runs() {
    let directory = directory();
    let path = directory.path().join("rights.toml");
    fs::write(&path, "title = 'rights'\nserial = false\n[[session]]\nstatements = ['select 1']\n").expect("a file");
    let database = OwnDatabase::new();
    let mut command = program();
    command.arg("explore").arg(&path).env("DATABASE_URL", &database.url);
    let (code, _, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        errors.starts_with("concurrency-lab: the statements of the files run with the rights of the database's user"),
        "{errors}"
    );
    assert!(errors.contains("It is a superuser, so they can change every database and run programs"), "{errors}");
}

/// The owner of a table with forced row security does not see all of its rows, so they cannot be copied and put back.
#[test]
fn rows_that_a_policy_hides_from_their_owner_stay() {
    let directory = directory();
    let path = directory.path().join("policy.toml");
    let text = "title = 'policy'\nsetup = \"\"\"create table key (id int); create table a (n int); insert into a values (1), (2); \\
                create policy opened on a using (exists (select from key)); \\
                alter table a enable row level security; alter table a force row level security\"\"\"\n\
                [[session]]\nstatements = ['insert into key values (1)']\n\
                [[session]]\nstatements = ['select 1']\n\
                [[invariant]]\nname = 'rows are lost'\nquery = 'select count(*) = 2 from a'\n";
    fs::write(&path, text).expect("a file");
    let (code, out, errors) = explore(&[path.to_str().expect("text")]);
    assert_eq!(code, Some(0), "{out}{errors}");
}
