use std::path::Path;

use super::expect::ExpectedVerdict;
use super::script::OnError;
use super::script::SerialCheck;
use super::template::Variables;
use super::*;

const TRANSFER: &str = r#"
    title = "a transfer"
    story = "Money moves."
    setup = "create table accounts (id int primary key, balance int); insert into accounts values (1, 5), (2, 0)"
    isolation = ["read committed", "serializable"]
    outcome = "select id, balance from accounts order by id"
    serial = true

    [[session]]
    name = "move"
    statements = [
        "begin isolation level {isolation}",
        { name = "read", sql = "select balance from accounts where id = 1" },
        "update accounts set balance = {balance} - 5 where id = 1",
        "update accounts set balance = balance + 5 where id = 2",
        "commit",
    ]
    on_error = "retry"
    cut_after = "each"

    [[session]]
    statements = ["update accounts set balance = 0"]
    cut_after = 1

    [[invariant]]
    name = "money created"
    query = "select sum(balance) <= 5 from accounts"

    [expect."read committed"]
    anomaly = "money created"
"#;

#[test]
fn a_file_has_one_variant_for_each_level_and_cut() {
    let script = Script::parse(TRANSFER).unwrap();
    let variants: Vec<String> = script.variants.iter().map(ToString::to_string).collect();
    assert_eq!(variants.len(), 10);
    assert_eq!(variants[0], "read committed, A cut after 1 (begin), B cut after 1 (update)");
    assert_eq!(variants[9], "serializable, A cut after 5 (commit), B cut after 1 (update)");
    let ScriptVariant { sessions, expect, .. } = &script.variants[5];
    let [begin, read, first, second, _] = &sessions[0].statements[..] else { panic!("{sessions:?}") };
    assert_eq!(begin.sql.fill(&Variables::new()).unwrap(), "begin isolation level serializable");
    assert_eq!([&begin.name, &read.name, &first.name, &second.name], ["begin", "read", "update", "update 2"]);
    let after = vec!["40001".to_owned(), "40P01".to_owned()];
    assert_eq!(sessions[0].on_error, OnError::Retry { attempts: 5, after });
    assert_eq!(sessions[1].on_error, OnError::Stop);
    assert_eq!((sessions[0].name.as_str(), sessions[1].name.as_str()), ("move", "session B"));
    assert_eq!((expect.verdict, script.variants[4].expect.verdict), (ExpectedVerdict::Holds, ExpectedVerdict::Broken));
}

#[test]
fn a_minimal_file_is_valid() {
    let script =
        Script::parse("title = 'one'\ninvariant = 'select true'\n[[session]]\nstatements = ['select 1']").unwrap();
    assert_eq!((script.variants.len(), script.variants[0].to_string().as_str()), (1, ""));
    assert_eq!((script.invariants[0].name.as_str(), script.serial), ("invariant violated", SerialCheck::Off));
}

#[test]
fn an_error_in_a_file_names_the_field_and_what_is_expected() {
    for (from, to, reason) in [
        ("\"a transfer\"", "\"\"", "title: expected 1 to 80 printable characters, found \"\""),
        ("title =", "titel =", "unknown field `titel`"),
        (
            "\"serializable\"]",
            "\"snapshot\"]",
            "isolation: expected read uncommitted, read committed, repeatable read, serial",
        ),
        (
            "\"serializable\"]",
            "\"read committed\"]",
            "isolation: expected one level or several, each once, found [\"read",
        ),
        ("[\"read committed\", \"serializable\"]", "[]", "isolation: expected one level or several"),
        ("isolation = [\"read committed\", \"serializable\"]", "", "isolation: expected levels for the {isolation}"),
        ("{isolation}", "serializable", "isolation: expected {isolation} in a statement, such as \"begin"),
        ("serial = true", "serial = 1", "serial: expected true, false or \"rows\", found 1"),
        ("\"move\"", "\" \"", "session A: name: expected 1 to 80"),
        ("[\"update accounts set balance = 0\"]", "[]", "session B: statements: expected 1 to 64, found 0"),
        ("\"update accounts set balance = 0\"", "7", "session B, statement 1: expected SQL, or { name = \"…\""),
        ("\"update accounts set balance = 0\"", "\" \"", "session B, statement 1: expected SQL, found \" \""),
        (
            "name = \"read\"",
            "nam = \"read\"",
            "session A, statement 2: unknown field `nam`, expected one of `name`, `sql`",
        ),
        ("name = \"read\"", "name = \"2\"", "session A, statement 2: name: expected no number, found 2"),
        (
            "\"commit\"",
            "{ name = \"read\", sql = \"commit\" }",
            "session A, statements: expected each name once, found \"read\"",
        ),
        ("\"retry\"", "\"again\"", "unknown variant `again`, expected one of `stop`, `retry`, `continue`"),
        ("\"retry\"", "\"retry\"\nattempts = 11", "session A: attempts: expected 1 to 10, found 11"),
        (
            "\"retry\"",
            "\"stop\"\nattempts = 2",
            "session A: attempts: expected on_error = \"retry\" beside it, found 2",
        ),
        ("cut_after = 1", "cut_after = 2", "session B: cut_after: expected 1 to 1, or \"each\", found 2"),
        ("\"each\"", "\"all\"", "session A: cut_after: expected 1 to 5, or \"each\", found \"all\""),
        ("name = \"money created\"", "", "invariant: missing field `name`"),
        ("\"select sum(balance) <= 5 from accounts\"", "\"\"", "invariant.query: expected SQL, found \"\""),
        (
            "[expect.\"read committed\"]",
            "[expect]",
            "expect: expected [expect.\"read committed\"] and [expect.\"serializable\"]",
        ),
        ("[expect.\"read committed\"]", "[expect.\"repeatable read\"]", "found \"repeatable read\""),
    ] {
        assert!(TRANSFER.contains(from), "{from}");
        let error = Script::parse(&TRANSFER.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(reason), "{to}: {error}");
    }
    let each_twice =
        TRANSFER.replace("cut_after = 1", "cut_after = 'each'").replace("balance = 0\"", "balance = 0\", \"commit\"");
    let error = Script::parse(&each_twice).unwrap_err().to_string();
    assert!(error.starts_with("cut_after: expected \"each\" in one session at most"), "{error}");
    let too_many = TRANSFER.to_owned() + &"[[session]]\nstatements = ['select 1']\n".repeat(7);
    assert!(
        Script::parse(&too_many).unwrap_err().to_string().starts_with("session: expected 1 to 8 sessions, found 9")
    );
}

#[test]
fn the_example_files_are_valid() {
    for folder in ["examples/explore", "tests/explore/facts"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let scripts: Vec<Script> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| Script::read(&path).unwrap())
            .collect();
        assert!(scripts.len() > 5 && scripts.iter().all(|script| !script.story.is_empty()), "{}", folder.display());
    }
}

#[test]
fn the_documented_file_is_valid() {
    let text = include_str!("../../../docs/EXPLORE.md");
    let example = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(Script::parse(example).unwrap().variants.len(), 2);
}
