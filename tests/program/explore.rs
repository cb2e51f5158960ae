//! The command `concurrency-lab explore`, run as a process.

use std::process::Command;

use concurrency_lab::explore::catalog::test_cases;
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::strategy::{Approach, Claim, Claims};
use serde_json::Value;
use strum::IntoEnumIterator;

use super::served::run_to_end;
use crate::common::{OwnDatabase, program};

fn command(arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("explore").args(arguments);
    command
}

/// Runs explore on the shared PostgreSQL. Returns the exit code, standard output and standard error.
fn explore(arguments: &[&str]) -> (Option<i32>, String, String) {
    let database = OwnDatabase::new();
    let mut command = command(arguments);
    command.env("DATABASE_URL", &database.url);
    run_to_end(command)
}

/// Runs an exploration that must end as claimed. Returns standard output.
#[track_caller]
fn explored(arguments: &[&str]) -> String {
    let (code, output, errors) = explore(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {errors}");
    output
}

fn said(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A part of the table of claims is checked by enumeration, on a temporary PostgreSQL with a worker for each core: the approaches that
/// are broken somewhere, that do not offer every workload, or that share transactions. All others are safe on every workload;
/// `tests/explore/claims.rs` explores them.
#[test]
fn claims_are_proved_or_broken_by_enumeration() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("explore.html");
    let special = |approach: &Approach| approach.info().batches || approach.info().claims != Claims::all(Claim::Safe);
    let approaches: Vec<Approach> = Approach::iter().filter(special).collect();
    let names = approaches.iter().map(|approach| approach.name()).collect::<Vec<_>>().join(",");
    let options = ["--reduce", "--format", "json", "--approach", &names, "--html", &page.display().to_string()];
    let (code, report, errors) = run_to_end(command(&options));
    assert_eq!(code, Some(0), "{errors}");
    let report = json(&report);
    let validator = jsonschema::validator_for(&json(include_str!("../../docs/explore.schema.json"))).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    let explorations = report["explorations"].as_array().expect("explorations");
    let of = |approach: Approach| {
        ExploreScenario::iter().map(move |scenario| test_cases(approach, scenario, 2).len()).sum::<usize>()
    };
    assert_eq!(explorations.len(), approaches.iter().map(|approach| of(*approach)).sum::<usize>());
    for exploration in explorations {
        let subject = &exploration["subject"];
        assert_eq!(exploration["complete"], true, "{subject}");
        let on_one_server = subject["servers"] == "one";
        let safe = subject["claim"] == "safe" || subject["claim"] == "safe-on-one-server" && on_one_server;
        assert_eq!(exploration["verdict"], if safe { "proved" } else { "broken" }, "{subject}");
        assert_eq!(exploration["witness"].is_null(), safe, "{subject}");
    }
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("lost-update"));
}

#[test]
fn a_witness_is_printed_and_can_be_replayed() {
    let output = explored(&["last-money", "--approach", "naive"]);
    assert!(output.contains("broken: lost-update") && output.contains("--replay ABBA"), "{output}");
    let replayed = explored(&["last-money", "--approach", "naive", "--replay", "ABBA"]);
    let timeline = replayed.split_once("schedule").expect("a timeline").1;
    assert!(output.contains(timeline.trim()), "{output}\n{replayed}");
}

#[test]
fn the_isolation_matrix_shows_the_verdict_of_each_level() {
    let approaches = "read-committed,pessimistic";
    let report = json(&explored(&["last-money", "--isolation", "all", "--approach", approaches, "--format", "json"]));
    let cells: Vec<(&str, &str, &str)> = (report["explorations"].as_array().expect("explorations").iter())
        .map(|exploration| {
            let subject = &exploration["subject"];
            (said(&subject["approach"]), said(&subject["isolation"]), said(&exploration["verdict"]))
        })
        .collect();
    assert_eq!(
        cells,
        [
            ("read-committed", "read committed", "broken"),
            ("read-committed", "repeatable read", "proved"),
            ("read-committed", "serializable", "proved"),
            ("pessimistic", "read committed", "proved"),
            ("pessimistic", "repeatable read", "proved"),
            ("pessimistic", "serializable", "proved"),
        ]
    );
}

#[test]
fn an_approach_without_its_lock_is_found_broken() {
    // Without its lock it is no longer the approach, so its claim does not apply.
    let output = explored(&["last-money", "--approach", "pessimistic", "--without", " for update"]);
    assert!(output.contains("broken: lost-update"), "{output}");
}

#[test]
fn a_file_whose_expectation_fails_ends_with_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("skew.toml");
    let file = include_str!("../../examples/explore/read-in-transaction.toml");
    std::fs::write(&path, file.replace(r#"anomaly = "lost update""#, r#"verdict = "holds""#)).expect("a file");
    let (code, _, errors) = explore(&[&path.display().to_string()]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("expected holds, but it is broken"), "{errors}");
}

#[test]
fn junit_names_the_file_the_level_and_the_schedule_of_the_witness_with_its_timeline() {
    let file = "examples/explore/write-skew.toml";
    let xml = explored(&[file, "--format", "junit"]);
    assert!(xml.contains(&format!("<testsuite name=\"{file}\" tests=\"2\"")), "{xml}");
    for level in ["repeatable read", "serializable"] {
        let case = format!("<testcase name=\"write skew, {level}\" classname=\"concurrency-lab.{file}\"");
        assert!(xml.contains(&case), "{level}: {xml}");
    }
    assert_eq!(xml.matches("To run it again: ").count(), 1, "only one level is broken: {xml}");
    let (_, again) = xml.split_once(&format!("concurrency-lab explore {file} --variant ")).expect("a command");
    let schedule =
        again.split_whitespace().find(|word| word.len() > 3 && word.chars().all(|letter| "AB".contains(letter)));
    assert!(xml.contains(&format!("schedule {}\n", schedule.expect("a schedule"))), "{xml}");
    assert!(xml.contains("A: withdraw 150 from checking") && xml.contains("select sum(balance) as funds"), "{xml}");
}

#[test]
fn notices_are_in_the_report_as_json_and_on_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, page) = (folder.path().join("notices.toml"), folder.path().join("notices.html"));
    let file = r#"
        title = "notices"
        setup = "create table t (n int)"
        [[session]]
        statements = ["insert into t values (1)", "commit"]
        [[session]]
        statements = ["select count(*) from t"]
        [[invariant]]
        name = "never true"
        query = "select false"
    "#;
    std::fs::write(&path, file).expect("a file");
    let page_path = page.display().to_string();
    let (code, report, errors) = explore(&[&path.display().to_string(), "--format", "json", "--html", &page_path]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(!errors.contains("no transaction"), "a notice is not logged: {errors}");
    let steps = json(&report)["explorations"][0]["witness"]["transcript"]["entries"].clone();
    let commit = steps.as_array().expect("steps").iter().find(|step| step["name"] == "commit").expect("the commit");
    assert_eq!(commit["notices"], serde_json::json!(["WARNING: there is no transaction in progress"]));
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("<p class=\"soft\">WARNING: there is no transaction in progress</p>"), "{page}");
}

#[test]
fn an_invalid_command_line_is_refused_with_the_reason() {
    let table: &[(&[&str], &str)] = &[
        (&["withdrawal"], r#""withdrawal" is neither a scenario nor an explore file; the scenarios are last-money"#),
        (&["nowhere.toml"], "nowhere.toml: "),
        (&["--approach", "optimist"], r#"--approach: "optimist" is unknown"#),
        (&["--approach", "unique-constraint", "increments"], "none of these approaches supports any of these"),
        (&["--replay", "AB1"], "'1' at position 3 names no actor"),
        (&["--replay", "ABBA"], "--replay needs exactly one exploration"),
        (&["last-money", "--approach", "naive", "--replay", "AAA"], "step 3: A cannot go; B can"),
        (&["last-money", "--approach", "naive", "--without", "for update"], "no statement of the approach contains"),
        (
            &["last-money", "--approach", "naive", "--replay", "AB", "--format", "junit"],
            "--format junit: a replay has no such report",
        ),
        (&["last-money", "--approach", "naive", "--dry-run"], "--dry-run: only applications have it"),
        (&["--app", "node server.js"], "--request"),
        (&["--app", "true", "--request", "/withdraw"], "request A: send: expected a method and a path"),
        (&["--app", "true", "--request", "POST /withdraw {"], "expected JSON behind the path"),
        (&["--crash=later"], "expected all, cut or hang-up"),
        (&["--clients", "9"], "2..=4"),
        (&["--isolation", "snapshot"], "repeatable-read"),
        (&["--order", "random"], "depth-first, walks, pct"),
        (&["--order", "walks"], "--order walks: a sample needs its size: --limit N"),
        (&["--limit", "9", "--random-seed", "1", "--reduce"], "--order walks: --reduce leaves out what is equivalent"),
        (
            &["--order", "pct", "--limit", "9", "--after", "AB"],
            "--order pct: --after continues a depth-first exploration",
        ),
        (&["examples/explore/write-skew.toml", "--crash"], "--crash is not for explore files"),
        (&["examples/explore/write-skew.toml", "--variant", "chaos"], "\"serializable\""),
    ];
    let database = OwnDatabase::new();
    for (arguments, expected) in table {
        let mut command = command(arguments);
        command.env("DATABASE_URL", &database.url);
        let (code, _, said) = run_to_end(command);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_limited_search_prints_how_to_continue() {
    let subject = ["deposit-and-withdrawal", "--approach", "read-committed", "--format", "json"];
    let first = &json(&explored(&[&subject[..], &["--limit", "10"]].concat()))["explorations"][0];
    assert_eq!((&first["interleavings"], &first["complete"]), (&Value::from(10), &Value::from(false)));
    let last = first["last"].as_str().expect("a schedule");
    let rest = json(&explored(&[&subject[..], &["--after", last]].concat()));
    assert_eq!(rest["explorations"][0]["interleavings"], 40, "the rest of the 50");
    let sampled = explored(&[&subject[..3], &["--limit", "30", "--random-seed", "5"]].concat());
    assert!(sampled.contains("sample of 30 of ~"), "{sampled}");
    assert!(sampled.contains("was run by independent random walks"), "{sampled}");
}
