//! `explore --replay-from REPORT.json`: the witnesses of an earlier report, replayed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::served::run_to_end;
use crate::common::{OwnDatabase, directory, program};

fn explore(arguments: &[&str]) -> (Option<i32>, String, String) {
    let database = OwnDatabase::new();
    let mut command = program();
    command.arg("explore").args(arguments).env("DATABASE_URL", &database.url);
    run_to_end(command)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// The report of an exploration that finds something, in this folder.
fn report(folder: &Path, arguments: &[&str]) -> PathBuf {
    let (_, json, errors) = explore(&[arguments, &["--format", "json"]].concat());
    let path = folder.join("report.json");
    assert!(json.contains("\"broken\""), "{json}{errors}");
    fs::write(&path, json).expect("a report");
    path
}

/// The exit code, the table, and the verdicts of a JSON report of the same replays.
fn replay(arguments: &[&str], report: &Path) -> (Option<i32>, String, Vec<String>) {
    let arguments = [arguments, &["--replay-from", text(report)]].concat();
    let (code, json, errors) = explore(&[&arguments[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json}{errors}"));
    let verdicts = json["witnesses"].as_array().expect("witnesses").iter();
    let verdicts = verdicts.map(|witness| witness["verdict"].as_str().expect("a verdict").to_owned()).collect();
    let (other_code, table, errors) = explore(&arguments);
    assert_eq!(code, other_code, "{errors}");
    (code, table, verdicts)
}

#[test]
fn a_broken_approach_is_still_broken_and_each_witness_is_replayed_under_its_conditions() {
    let folder = directory();
    let subjects = ["last-money", "opposite-transfers", "--approach", "naive,in-process-mutex"];
    let path = report(folder.path(), &subjects);
    let (code, table, verdicts) = replay(&[], &path);
    // in-process-mutex is broken with its clients on a server each.
    assert_eq!((code, verdicts), (Some(1), vec!["still-broken".to_owned(); 4]), "{table}");
    assert!(table.contains("4 witnesses of") && table.contains("in-process-mutex, a server each"), "{table}");
    assert!(table.contains("lost-update") && table.contains("schedule "), "{table}");
    let (code, table, verdicts) = replay(&["last-money"], &path);
    assert_eq!((code, verdicts.len()), (Some(1), 2), "{table}");
    assert!(!table.contains("opposite-transfers"), "{table}");
    // A crash point, a level and a missing guard are conditions, too.
    let changed =
        ["last-money", "--approach", "pessimistic", "--without", " for update", "--isolation", "read-committed"];
    let (code, table, verdicts) = replay(&[], &report(folder.path(), &changed));
    assert_eq!((code, verdicts), (Some(1), vec!["still-broken".to_owned()]), "{table}");
    let crash = ["opposite-transfers", "--approach", "naive", "--crash=cut"];
    let (code, table, verdicts) = replay(&[], &report(folder.path(), &crash));
    assert_eq!((code, verdicts), (Some(1), vec!["still-broken".to_owned()]), "{table}");
}

const FILE: &str = r#"
    title = "two withdrawals"
    setup = "create table accounts (balance int); insert into accounts values (100)"
    [[session]]
    statements = [
        { name = "read", sql = "select balance from accounts" },
        { name = "write", stop_if = "{balance} < 60", sql = "update accounts set balance = balance - 60" },
    ]
    [[session]]
    statements = [
        { name = "read", sql = "select balance from accounts" },
        { name = "write", stop_if = "{balance} < 60", sql = "update accounts set balance = balance - 60" },
    ]
    [[invariant]]
    name = "overdraft"
    query = "select balance >= 0 from accounts"
"#;

#[test]
fn a_file_is_still_broken_mended_or_no_longer_the_same() {
    let folder = directory();
    let file = folder.path().join("withdrawals.toml");
    fs::write(&file, FILE).expect("a file");
    let path = report(folder.path(), &[text(&file)]);
    let write =
        "{ name = \"write\", stop_if = \"{balance} < 60\", sql = \"update accounts set balance = balance - 60\" },";
    assert_eq!(FILE.matches(write).count(), 2);
    let without_invariant = FILE.split_once("[[invariant]]").expect("an invariant").0;
    let unjudged = without_invariant.replace("    setup =", "    serial = false\n    setup =");
    for (changed, code, verdict, why) in [
        (FILE.to_owned(), 1, "still-broken", "wrong as before"),
        (FILE.replace("name = \"overdraft\"", "name = \"debt\""), 1, "broken-otherwise", "is wrong: debt"),
        (FILE.replace("balance int)", "balance int check (balance >= 0))"), 0, "mended", "ERROR 23514"),
        (
            FILE.replace("balance - 60", "balance - 10"),
            0,
            "other-statements",
            "step 2 of A (write) sends other SQL or other values; explore it again",
        ),
        (
            FILE.replace("balance - 60", "balance - 70"),
            1,
            "still-broken",
            "wrong as before, with other statements: step 2 of A (write)",
        ),
        (FILE.replace(write, ""), 0, "other-statements", "A takes 1 step instead of"),
        (
            FILE.replace("        { name = \"read\"", "        \"begin\", { name = \"read\"")
                .replace("from accounts\" },", "from accounts for update\" },"),
            0,
            "not-followed",
            "A cannot go; every session waits or has ended; explore it again",
        ),
        (unjudged, 0, "not-judged", "there is no invariant, and no comparison with serial orders"),
        (
            FILE.replace("overdraft", "other").replace("balance >= 0 from", "true from"),
            0,
            "not-judged",
            "no longer checks \"overdraft\"",
        ),
    ] {
        fs::write(&file, &changed).expect("a file");
        let (found, table, verdicts) = replay(&[text(&file)], &path);
        assert_eq!((found, verdicts), (Some(code), vec![verdict.to_owned()]), "{changed}\n{table}");
        let unwrapped = table.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(why), "{why}: {table}");
    }
    fs::write(&file, FILE).expect("a file");
    let (code, junit, errors) = explore(&["--replay-from", text(&path), "--format", "junit"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("still broken: the end of this interleaving is wrong as before"), "{errors}");
    assert!(junit.contains("<failure message=\"still broken: ") && junit.contains(text(&file)), "{junit}");
}

#[test]
fn the_steps_of_a_spec_are_replayed_as_well() {
    let folder = directory();
    let spec = folder.path().join("counts.spec");
    let steps = "setup { create table t (n int); }
        session s step s1 { select count(*) from t; } step s2 { insert into t values (1); }
        session u step u1 { select count(*) from t; } step u2 { insert into t values (2); }";
    fs::write(&spec, steps).expect("a spec");
    let path = report(folder.path(), &[text(&spec), "--all"]);
    let (code, table, verdicts) = replay(&[text(&spec)], &path);
    assert_eq!((code, verdicts), (Some(1), vec!["still-broken".to_owned()]), "{table}");
}

#[test]
fn a_report_that_cannot_be_replayed_is_refused_with_the_reason() {
    let folder = directory();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let file = written("withdrawals.toml", FILE);
    let at = |level: &str| {
        let begin = "        \"begin isolation level {isolation}\", { name = \"read\"";
        let text = FILE
            .replace("        { name = \"read\"", begin)
            .replace("balance - 60\" },", "balance - 60\" }, \"commit\",");
        text.replace("    setup =", &format!("    isolation = [\"{level}\"]\n    setup ="))
    };
    let levels = written("levels.toml", &at("read committed"));
    let other = written("other.toml", FILE);
    let good = report(folder.path(), &[text(&file), text(&levels)]);
    written("levels.toml", &at("serializable"));
    let (_, proved, _) = explore(&["last-money", "--approach", "pessimistic", "--format", "json"]);
    let proved = written("proved.json", &proved);
    let missing = folder.path().join("missing.json");
    let table: [(Vec<&str>, &Path, &str); 8] = [
        (vec![], &missing, "missing.json: No such file"),
        (vec![], &written("list.json", "[1]"), "not a report of explore --format json: "),
        (
            vec![],
            &written("run.json", "{\"format\": 1, \"rounds\": []}"),
            "not a report of explore --format json: unknown field `rounds`",
        ),
        (
            vec![],
            &written("new.json", "{\"format\": 7}"),
            "expected a report of explore --format json of format 1, found format 7",
        ),
        (vec![text(&other)], &good, "other.toml\"; it has those of "),
        (vec![], &proved, "no exploration in the report is broken, so there is no witness to replay"),
        (vec![text(&levels)], &good, "has no variant \"read committed\"; its variants are \"serializable\""),
        (vec!["--approach", "naive"], &good, "--approach is not for --replay-from: the report says what was explored"),
    ];
    for (arguments, path, expected) in table {
        let (code, _, errors) = explore(&[&arguments[..], &["--replay-from", text(path)]].concat());
        assert_eq!(code, Some(2), "{expected}: {errors}");
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
}
