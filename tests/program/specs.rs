//! `explore FILE.spec`: isolationtester's files. `scripts/isolation_suite.py` compares the output on PostgreSQL's own suite, which is not in
//! this repository; these specs are ours.

use std::fs;

use serde_json::Value;

use super::served::run_to_end;
use crate::common::{OwnDatabase, directory, program, repository};

fn explore(arguments: &[&str]) -> (Option<i32>, String, String) {
    let database = OwnDatabase::new();
    let mut command = program();
    command.arg("explore").args(arguments).env("DATABASE_URL", &database.url);
    run_to_end(command)
}

/// Refused before a database is needed.
fn refused(arguments: &[&str]) -> String {
    let mut command = program();
    command.arg("explore").args(arguments);
    let (code, _, errors) = run_to_end(command);
    assert_eq!(code, Some(2), "{arguments:?}: {errors}");
    errors
}

fn spec(name: &str) -> String {
    repository().join("tests/explore/specs").join(name).display().to_string()
}

/// All specs are in one test: each is run in a database of the same name.
#[test]
fn permutations_are_run_and_printed_as_isolationtester_prints_them() {
    for name in ["withdrawals", "messages", "markers"] {
        let (code, output, errors) = explore(&[&spec(&format!("{name}.spec"))]);
        assert_eq!(code, Some(0), "{name}: {errors}");
        let expected = spec(&format!("{name}.out"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&expected, &output).expect("a written file");
        }
        assert_eq!(output, fs::read_to_string(&expected).expect("the expected output"), "{name}");
    }
    let folder = directory();
    let broken = folder.path().join("broken.spec");
    fs::write(&broken, "setup { select 1/0; } session s step a { select 1; }").expect("a written file");
    let (code, _, errors) = explore(&[&broken.display().to_string()]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("broken.spec: the setup of the spec failed: ERROR:  division by zero"), "{errors}");
    let escapes = folder.path().join("escapes.spec");
    fs::write(&escapes, r"session s step a { select E'\x1b[31mred' as value; }").expect("a written file");
    let (code, output, errors) = explore(&[&escapes.display().to_string()]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(output.contains(r"\u{1b}[31mred") && !output.contains('\u{1b}'), "{output}");
    let copy = folder.path().join("copy.spec");
    fs::write(&copy, "session s step a { copy pg_class from stdin; }").expect("a written file");
    let (code, _, errors) = explore(&[&copy.display().to_string()]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("step a: expected SQL without COPY from STDIN"), "{errors}");
    let endless = folder.path().join("markers.spec");
    let text = "session s step a { select 1; } session t step b { select 2; } permutation a(b notices 1) b";
    fs::write(&endless, text).expect("a written file");
    let (code, output, errors) = explore(&[&endless.display().to_string()]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("the markers of steps a are never satisfied"), "{errors}");
    assert!(output.contains("step a: select 1; <waiting ...>"), "{output}");
    // The database of the spec that failed was dropped, so the next one runs.
    assert_eq!(explore(&[&spec("messages.spec")]).0, Some(0));
}

#[test]
fn the_steps_of_a_spec_are_explored_in_all_interleavings() {
    let (code, report, errors) = explore(&[&spec("withdrawals.spec"), "--all", "--format=json"]);
    assert_eq!(code, Some(0), "a spec claims nothing: {errors}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let exploration = &report["explorations"][0];
    assert_eq!(exploration["subject"]["scenario"], "withdrawals");
    // Two withdrawals that both lock the row: whatever the order, one of them is refused. a_read tells the orders apart.
    assert_eq!((&exploration["complete"], &exploration["verdict"]), (&Value::Bool(true), &"broken".into()), "{report}");
    assert_eq!(
        (exploration["deadlocks"].as_u64(), exploration["gave_up"].as_u64()),
        (Some(0), Some(0)),
        "{exploration}"
    );
}

/// VACUUM runs in no transaction, so each setup is sent by itself; the teardown undoes what is not in the explorer's schema; a lock of a
/// session outlasts its transaction, so no serial order ends.
#[test]
fn a_spec_whose_serial_orders_wait_is_explored_without_a_judgement() {
    let folder = directory();
    let path = folder.path().join("locks.spec");
    let text = "setup { create schema elsewhere; create table t (id int); } setup { vacuum t; } teardown { drop schema elsewhere; }
                session s step take { select pg_advisory_lock(1); } step fail { select 1/0; }
                session t step look { select count(*) from t; } step wait { select pg_advisory_lock(1); }";
    fs::write(&path, text).expect("a written file");
    let (code, report, errors) = explore(&[&path.display().to_string(), "--all", "--format=json"]);
    assert_eq!(code, Some(0), "{errors}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let exploration = &report["explorations"][0];
    let limits = exploration["limits"].to_string();
    assert!(limits.contains("no end is judged, because a serial order of the sessions cannot be run"), "{exploration}");
    assert_eq!(exploration["complete"], true, "{exploration}");
    // t keeps the lock, so s waits for ever where it comes second. A schedule in which it comes first is replayed all the same.
    let text = "session s step take { select pg_advisory_lock(1); } step give { select pg_advisory_unlock(1); }
                session t step wait { select pg_advisory_lock(1); }";
    fs::write(&path, text).expect("a written file");
    let (code, output, errors) = explore(&[&path.display().to_string(), "--all", "--replay", "ABA"]);
    assert_eq!(code, Some(0), "{errors}");
    let expected = "Nothing says whether this end is right: no end is judged, because a serial order of the sessions";
    assert!(output.contains("schedule ABA") && output.contains(expected), "{output}");
}

#[test]
fn an_option_or_a_file_that_does_not_fit_is_refused_with_the_reason() {
    let folder = directory();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a written file");
        path.display().to_string()
    };
    let steps = "session s step a { select 1; } session t step b { select 2; }";
    let good = spec("withdrawals.spec");
    for (arguments, message) in [
        (vec![good.as_str(), "--reduce"], "--reduce is for explorations; add --all"),
        (vec![&good, "last-money"], "\"last-money\" cannot be explored beside permutations of a spec"),
        (vec!["last-money", "--all"], "--all: only a FILE.spec has permutations"),
        (vec!["/nowhere/x.spec"], "/nowhere/x.spec: No such file"),
    ] {
        let errors = refused(&arguments);
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
    for (text, message) in [
        ("", "line 1: expected setup, teardown or session, found the end of the file"),
        ("setups { }", "line 1: expected setup, teardown or session, found \"setups\""),
        ("session s\n", "line 1: expected a step of session s, found the end of the file"),
        ("session s step a { select 1", "line 1: { has no } after it"),
        (
            "session s step a { select 1; }\n\nstep a { }",
            "line 3: expected each name of a step once, found \"a\" twice",
        ),
        (
            "session step step a { }",
            "line 1: expected the name of a session (a keyword only in double quotes), found \"step\"",
        ),
        (&format!("{steps}\npermutation a c"), "line 2: expected the name of a step above, found \"c\""),
        (
            &format!("{steps}\npermutation a(a) b"),
            "line 2: expected a step of another session in a marker, found \"a\"",
        ),
        (&format!("{steps}\npermutation a(b)"), "line 2: the marker b names a step that is not in its permutation"),
        (&format!("{steps}\npermutation a(b notices) b"), "line 2: expected a number of notices, found ')'"),
        (&format!("{steps}\npermutation a%"), "line 2: '%' is not expected outside of braces"),
        (&format!("{steps}\nsetup {{ }}"), "line 2: expected setup, teardown, session and permutation, in this order"),
    ] {
        let path = written("wrong.spec", text);
        let errors = refused(&[&path]);
        assert!(errors.contains(message), "{text:?}: {errors}");
    }
    let copy = written("copy.spec", "session s step a { copy t from stdin; }");
    let errors = refused(&[&copy, "--all"]);
    assert!(errors.contains("copy.spec: session s: a: expected a statement without data of its own"), "{errors}");
}
