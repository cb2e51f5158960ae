//! Requests to an unmodified server, tests/apps/express.js: Express with pg and its pool. Each statement names its request in a comment, so
//! every exploration also checks whose statements it took them for (`tags = "check"`).

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::served::run_to_end;
use crate::common::{OwnDatabase, program, repository};

const SETUP: &str = "create table accounts (id int primary key, balance int not null); insert into accounts values (1, 100), (2, 100); \
                     create table notes (id serial primary key, account int not null); create table sessions (token text, account int)";

/// A file of two requests to the server.
struct RequestsOf {
    folder: TempDir,
    database: OwnDatabase,
}

impl RequestsOf {
    /// Two withdrawals, of 30 and of 51, by this route. `app` is more of `[app]`, `rest` of the file.
    fn route(route: &str, app: &str, rest: &str) -> Self {
        Self::routes([route, route], "", app, rest)
    }

    fn routes(routes: [&str; 2], env: &str, app: &str, rest: &str) -> Self {
        let apps = repository().join("tests/apps").display().to_string();
        let request = |(letter, route, amount): (char, &str, u32)| {
            format!(
                "[[request]]\nsend = \"POST {route}\"\njson = {{ user = 1, amount = {amount} }}\nheaders = {{ x-req = \"{letter}\" }}\n"
            )
        };
        let requests = [('A', routes[0], 30), ('B', routes[1], 51)].map(request).concat();
        let file = format!(
            "[app]\nsetup = \"{SETUP}\"\nstart = \"node express.js\"\ncwd = \"{apps}\"\nready = \"GET /ready\"\ntags = \"check\"\n\
             env = {{ TAGS = \"1\"{env} }}\n{app}\n{requests}{rest}"
        );
        let of = Self { folder: tempfile::tempdir().expect("a folder"), database: OwnDatabase::new() };
        std::fs::write(of.path(), file).expect("a file");
        of
    }

    fn path(&self) -> String {
        self.folder.path().join("withdrawals.toml").display().to_string()
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = program();
        command.args(["explore", &self.path(), "--trust-file"]).args(options).env("DATABASE_URL", &self.database.url);
        command
    }

    fn run(&self, options: &[&str]) -> (Option<i32>, String, String) {
        run_to_end(self.command(options))
    }

    /// The only exploration of the report.
    fn found(&self) -> Value {
        let (code, output, errors) = self.run(&["--format", "json"]);
        let report: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {code:?} {errors}"));
        report["explorations"][0].clone()
    }
}

/// How many interleavings, and how many of them end badly; nothing undecided, so each statement was that of the right request.
#[track_caller]
fn counts(found: &Value, interleavings: u64, violations: u64) {
    assert_eq!(found["undecided"], json!([]), "{found:#}");
    assert_eq!(
        (&found["interleavings"], &found["violations"]),
        (&interleavings.into(), &violations.into()),
        "{found:#}"
    );
}

fn has_limit(found: &Value, text: &str) -> bool {
    found["limits"]
        .as_array()
        .expect("limits")
        .iter()
        .any(|limit| limit.as_str().is_some_and(|limit| limit.contains(text)))
}

#[test]
fn a_read_and_a_write_of_a_server_lose_an_update() {
    let requests = RequestsOf::route("/naive", "", "");
    let (code, output, errors) = requests.run(&[]);
    let output = output.replace('\u{a0}', " ");
    assert_eq!(code, Some(1), "{output}{errors}");
    for expected in [
        "broken: not serializable",
        "A alone (POST /naive {\"amount\":30,\"user\":1}): sends 2 statements on 1 connection, and is answered 200: {\"balance\":70}",
        "SELECT balance FROM accounts WHERE id = 1",
        "■ 200: {\"balance\":49}",
        "no serial order of the requests ends like this",
    ] {
        let flat = output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(expected), "{expected:?} is missing in {output}{errors}");
    }
    assert!(errors.contains("node express.js"), "{errors}");
    let (_, replayed, errors) = requests.run(&["--replay", "ABBA"]);
    assert!(replayed.contains("schedule ABBA") && replayed.contains("not serializable"), "{replayed}{errors}");
}

#[test]
fn transactions_are_broken_and_locks_are_proved() {
    // BEGIN is no step, or there were 50 interleavings.
    counts(&RequestsOf::route("/transaction", "", "").found(), 14, 12);
    let locked = RequestsOf::route("/locked", "", "").found();
    counts(&locked, 6, 0);
    assert_eq!(locked["verdict"], "proved", "{locked:#}");
}

#[test]
fn a_guarded_update_and_serializable_with_retries_are_proved() {
    let guarded = RequestsOf::route("/guarded", "", "").found();
    counts(&guarded, 2, 0);
    assert!(has_limit(&guarded, "one step with its commit"), "{guarded:#}");
    let serializable = RequestsOf::route("/serializable", "", "").found();
    counts(&serializable, 14, 0);
    assert_eq!(serializable["verdict"], "proved", "{serializable:#}");
}

#[test]
fn two_requests_of_different_kinds_meet() {
    // Only the two serial orders are right.
    counts(&RequestsOf::routes(["/locked", "/naive"], "", "", "").found(), 10, 8);
}

#[test]
fn a_mutex_of_one_process_is_inferred_and_two_processes_do_not_share_it() {
    let one = RequestsOf::route("/mutex", "", "").found();
    // When each request is sent matters, so sending is a step: the second one at three moments, in both orders.
    counts(&one, 6, 0);
    assert_eq!(one["verdict"], "held-so-far", "an inferred wait proves nothing: {one:#}");
    assert_eq!(one["missed"], json!([]), "and an expectation is not missed: {one:#}");
    assert!(has_limit(&one, "waited inside the application"), "{one:#}");
    let two = RequestsOf::route("/mutex", "instances = 2\n", "").found();
    counts(&two, 6, 4);
}

#[test]
fn a_pool_of_one_connection_is_waited_for_and_named() {
    let found = RequestsOf::routes(["/locked", "/locked"], ", POOL = \"1\"", "", "").found();
    assert_eq!((&found["violations"], &found["undecided"]), (&0.into(), &json!([])), "{found:#}");
    assert_eq!(found["verdict"], "held-so-far", "{found:#}");
    assert!(has_limit(&found, "it opened only 1 connection"), "{found:#}");
}

#[test]
fn a_refusal_that_no_serial_order_gives_is_counted() {
    let found = RequestsOf::route("/skips", "", "").found();
    assert_eq!((&found["violations"], &found["undecided"]), (&0.into(), &json!([])), "{found:#}");
    let told = found["alone"].to_string();
    assert!(told.contains("is answered 409 in") && told.contains("where no serial order does so"), "{told}");
}

#[test]
fn a_request_that_fails_alone_is_a_mistake() {
    let (code, output, errors) = RequestsOf::routes(["/naive", "/nowhere"], "", "", "").run(&[]);
    assert_eq!(code, Some(2), "{output}{errors}");
    assert!(errors.contains("request B (POST /nowhere") && errors.contains("is answered 404"), "{errors}");
}

#[test]
fn statements_in_parallel_and_after_the_answer_belong_to_their_requests() {
    let parallel = RequestsOf::route("/parallel", "", "").found();
    counts(&parallel, 20, 18);
    let first = RequestsOf::route("/answers-first", "", "").found();
    counts(&first, 6, 4);
    let told = first["alone"].to_string();
    assert!(told.contains("A sends statements after it was answered"), "{told}");
}

#[test]
fn a_deadlock_through_the_pool_is_found() {
    let requests = RequestsOf::routes(["/nested", "/nested"], ", POOL = \"2\"", "", "");
    let (code, output, errors) = requests.run(&[]);
    assert_eq!(code, Some(1), "{output}{errors}");
    for expected in ["waits for ever", "inside the application", "a deadlock that PostgreSQL does not see"] {
        assert!(output.contains(expected), "{expected:?} is missing in {output}{errors}");
    }
    // With a pool that is large enough they are right.
    let large = RequestsOf::route("/nested", "", "").found();
    assert_eq!((&large["violations"], &large["undecided"]), (&0.into(), &json!([])), "{large:#}");
}

#[test]
fn what_cannot_be_attributed_or_repeated_is_undecided_with_the_reason() {
    let undecided = |route: &str, app: &str| {
        let found = RequestsOf::route(route, app, "").found();
        assert_eq!(found["verdict"], "undecided", "{found:#}");
        found["undecided"].to_string()
    };
    let shared = undecided("/shared", "");
    assert!(shared.contains("one connection is shared by several requests"), "{shared}");
    let cached = undecided("/cached", "");
    assert!(cached.contains("does not do the same") && cached.contains("reset = \\\"restart\\\""), "{cached}");
}

#[test]
fn an_application_with_a_cache_is_started_anew_before_each_interleaving() {
    // Alone, each reads and writes; the second one finds the balance of the first in the cache.
    let found = RequestsOf::route("/cached", "reset = \"restart\"\n", "").found();
    assert_eq!(found["undecided"], json!([]), "{found:#}");
    assert!(found["interleavings"].as_u64() >= Some(2), "{found:#}");
}

#[test]
fn a_transaction_that_stays_open_is_named() {
    let found = RequestsOf::route("/leak", "", "").found();
    assert_eq!(found["verdict"], "undecided", "{found:#}");
    assert!(found["undecided"].to_string().contains("leaves a transaction open after it is answered"), "{found:#}");
    assert!(has_limit(&found, "left a transaction open"), "{found:#}");
}

#[test]
fn an_attempt_to_take_a_lock_is_not_repeated_before_the_other_has_moved() {
    let found = RequestsOf::route("/try-lock", "", "").found();
    assert_eq!((&found["violations"], &found["undecided"]), (&0.into(), &json!([])), "{found:#}");
    assert!(found["interleavings"].as_u64() < Some(60), "{found:#}");
}

#[test]
fn background_statements_and_notifications_disturb_nothing() {
    let timer = RequestsOf::routes(["/locked", "/locked"], ", TIMER = \"1\"", "", "").found();
    counts(&timer, 6, 0);
    assert!(has_limit(&timer, "came before any request was sent"), "{timer:#}");
    let ignored =
        RequestsOf::routes(["/locked", "/locked"], ", TIMER = \"1\"", "ignore = [\"from notes\"]\n", "").found();
    counts(&ignored, 6, 0);
    let listens = RequestsOf::routes(["/notifies", "/notifies"], ", LISTEN = \"1\"", "ignore = [\"from notes\"]\n", "");
    assert_eq!(listens.found()["violations"], 0);
}

#[test]
fn an_application_that_pauses_at_random_is_waited_for() {
    counts(&RequestsOf::route("/slow", "", "").found(), 6, 4);
}

#[test]
fn a_request_can_log_in_before() {
    let requests = RequestsOf::route("/member", "", "");
    let text = std::fs::read_to_string(requests.path()).expect("the file");
    let with_login = |letter: &str| {
        format!(
            "headers = {{ x-req = \"{letter}\", authorization = \"Bearer {{before./session/token}}\" }}\n\
             before = [{{ send = \"POST /login\", json = {{ user = 1 }} }}]"
        )
    };
    let text = ["A", "B"]
        .iter()
        .fold(text, |text, letter| text.replace(&format!("headers = {{ x-req = \"{letter}\" }}"), &with_login(letter)));
    std::fs::write(requests.path(), &text).expect("a file");
    let found = requests.found();
    // Each looks its session up, reads and writes.
    counts(&found, 20, 12);
    std::fs::write(requests.path(), text.replace("POST /login", "POST /nowhere")).expect("a file");
    let (code, _, errors) = requests.run(&[]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("request A: before: POST /nowhere {\"user\":1} is answered 404"), "{errors}");
}

#[test]
fn invariants_use_status_and_body() {
    let rest = "[[invariant]]\nname = \"both\"\nquery = \"select {A.status} = 200 and {B.ok}\"\n\
                [[invariant]]\nname = \"not too much\"\nquery = \"select {A.body./balance} + {B.body./balance} < 119\"\n";
    // 70 and 49 are answered where both have read 100.
    counts(&RequestsOf::route("/naive", "", rest).found(), 6, 4);
}

#[test]
fn the_command_line_is_enough_and_can_be_kept() {
    let database = OwnDatabase::new();
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("app.toml").display().to_string();
    let apps = repository().join("tests/apps");
    std::fs::write(folder.path().join("tables.sql"), SETUP).expect("a file");
    let prepare = format!("psql -q -f {}", folder.path().join("tables.sql").display());
    let mut command = program();
    command.current_dir(&apps).env("DATABASE_URL", &database.url).args([
        "explore",
        "--app",
        "node express.js",
        "--prepare",
        &prepare,
        "--request",
        "POST /naive {\"user\": 1, \"amount\": 30}",
        "--request",
        "POST /naive {\"user\": 1, \"amount\": 51}",
        "--write",
        &kept,
        "--dry-run",
    ]);
    let (code, output, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.contains("A alone (POST /naive") && !output.contains("violations"), "{output}{errors}");
    let text = std::fs::read_to_string(Path::new(&kept)).expect("the file");
    assert!(text.contains("start = \"node express.js\"") && text.contains("\"amount\" = 51"), "{text}");
}

#[test]
fn a_server_that_cannot_be_started_is_a_mistake_of_the_file_with_what_it_printed() {
    let requests = RequestsOf::route("/naive", "", "");
    let with = |from: &str, to: &str| {
        let text = std::fs::read_to_string(requests.path()).expect("the file");
        std::fs::write(requests.path(), text.replace(from, to)).expect("a file");
        let (code, output, errors) = requests.run(&[]);
        std::fs::write(requests.path(), text).expect("a file");
        assert_eq!(code, Some(2), "{output}{errors}");
        errors
    };
    let missing = with("node express.js", "node no-such-file.js");
    assert!(missing.contains("has ended before it was ready") && missing.contains("no-such-file.js"), "{missing}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let occupied = with("[app]", &format!("[app]\nport = {port}"));
    assert!(occupied.contains("app.port: expected a free port"), "{occupied}");
}

#[test]
fn nothing_of_an_application_is_left_when_the_lab_is_killed() {
    let requests = RequestsOf::route("/locked", "", "");
    let mark = format!("mark-{}", requests.folder.path().file_name().expect("a name").display());
    let text = std::fs::read_to_string(requests.path()).expect("the file");
    std::fs::write(requests.path(), text.replace("node express.js", &format!("node express.js {mark}")))
        .expect("a file");
    let mut running = requests.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
    let processes = || {
        let all = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
        let lines = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.starts_with("node") && line.contains(&mark)).count()
    };
    let until = |wanted: bool| {
        let begun = Instant::now();
        while (processes() > 0) != wanted {
            assert!(begun.elapsed() < Duration::from_mins(1), "{} processes", processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(true);
    let pid = Pid::from_raw(i32::try_from(running.id()).expect("a pid"));
    kill(pid, Signal::SIGKILL).expect("the program");
    running.wait().expect("its end");
    until(false);
}
