//! Experiments of the dashboard over HTTP: started, watched and stopped, in processes that never outlive their server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use concurrency_lab::cli;
use concurrency_lab::dashboard::model::experiment_request::ExperimentRequest;
use concurrency_lab::lab::results::Run;
use nix::sys::signal::Signal;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;

use super::served::Served;
use crate::common::{cluster, directory, eventually, new_database, program};

/// Longer than any experiment here takes on a busy machine.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// A viewer: follows the stream and keeps what a browser would show.
struct Viewer {
    response: Response,
    unread: String,
    parts: BTreeMap<String, String>,
    last_id: Option<String>,
}

impl Viewer {
    async fn connect(server: &Served, last_id: Option<&str>) -> Self {
        let request = server.client.get(format!("{}/lab/experiment/events", server.url));
        let request = last_id.iter().fold(request, |request, id| request.header("last-event-id", *id));
        let response = request.send().await.expect("a stream");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new(), parts: BTreeMap::new(), last_id: None }
    }

    /// Reads to the end of the next state; `false` at the end of the stream.
    async fn next_state(&mut self) -> bool {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    let values = event.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim_start);
                    values.collect::<Vec<_>>().join("\n")
                };
                let (kind, id, data) = (field("event:"), field("id:"), field("data:"));
                let rest = rest.to_owned();
                self.unread = rest;
                if kind == "part" {
                    let (element, html) = data.split_once('\n').unwrap_or((&data, ""));
                    self.parts.insert(element.to_owned(), html.to_owned());
                } else if kind == "state" {
                    self.last_id = Some(id);
                    return true;
                }
            }
            let Ok(Some(chunk)) = self.response.chunk().await else { return false };
            self.unread.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    fn part(&self, name: &str) -> &str {
        self.parts.get(&format!("experiment-{name}")).map_or("", String::as_str)
    }

    fn phase(&self) -> &str {
        let phase = self.part("phase").split_once("data-phase=\"").map_or("", |(_, rest)| rest);
        phase.split('"').next().unwrap_or_default()
    }

    /// Reads states until one fulfils the condition.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let reading = async {
            while !holds(self) {
                assert!(self.next_state().await, "the stream ended before: {what}");
            }
        };
        let in_time = tokio::time::timeout(WAIT_MAX, reading).await;
        assert!(in_time.is_ok(), "not within {WAIT_MAX:?}: {what}; there is {:?}", self.parts);
    }
}

async fn post(server: &Served, path: &str, body: &Value, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let request = server.client.post(format!("{}{path}", server.url)).json(body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn start(server: &Served, request: &Value) -> (u16, Value) {
    post(server, "/lab/experiments", request, &[]).await
}

async fn text(server: &Served, path: &str) -> String {
    let answer = server.client.get(format!("{}{path}", server.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

/// The descendants of a process.
fn descendants(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse::<u32>().ok()
    };
    let all =
        std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let children: Vec<u32> = all.filter(|child| parent(*child) == Some(pid)).collect();
    children.iter().flat_map(|child| std::iter::once(*child).chain(descendants(*child))).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn saved(runs: &Path, viewer: &Viewer) -> std::path::PathBuf {
    let folder = viewer.part("phase").split_once("href=\"/lab/runs/").expect("a link to the results").1;
    runs.join(folder.split('"').next().expect("its end"))
}

/// On one server, because starting a PostgreSQL takes time: a run to its end, an exploration, a run that is stopped, and one whose server is killed.
#[tokio::test]
async fn an_experiment_is_started_watched_stopped_and_never_outlives_its_server() {
    let directory = directory();
    let runs = directory.path().join("runs");
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(directory.path().join("data"));
    // Environment variables for runs of the command line do not change experiments of a page.
    command.arg("--runs").arg(&runs).env("LAB_REQUESTS", "7").env("LAB_THRESHOLD", "rate>1000000");
    let mut server = Served::spawn(command);
    let mut viewer = a_run_is_watched_to_its_end(&server, &runs).await;
    an_exploration_is_watched_by_the_same_viewer(&server, &runs, &mut viewer).await;
    let request = json!({"kind": "run", "scenario": "counter", "approaches": ["pessimistic"], "durationS": 600, "concurrency": 8});
    a_run_is_stopped_and_its_results_are_kept(&server, &runs, &mut viewer, &request).await;
    no_process_outlives_a_killed_server(&mut server, &mut viewer, &request).await;
}

/// Returns a viewer that has received the last state.
async fn a_run_is_watched_to_its_end(server: &Served, runs: &Path) -> Viewer {
    assert!(text(server, "/lab/experiment").await.contains("Press <strong>Run</strong>"), "it says what to press");
    let mut early = Viewer::connect(server, None).await;
    assert!(early.next_state().await && early.phase() == "none");
    let request = json!({"kind": "run", "scenario": "withdrawal", "approaches": ["naive", "pessimistic"], "requests": 400,
                       "concurrency": 16, "thinkTimeMs": 8});
    assert_eq!(start(server, &request).await, (201, json!({"url": "/lab/experiment"})));
    let (status, error) = start(server, &json!({"kind": "explore", "scenario": "all"})).await;
    assert_eq!(status, 409);
    let error = error["error"].as_str().expect("a message");
    assert!(error.contains("the run withdrawal, 2 approaches is under way"), "{error}");

    // A viewer gets one update a second; the second round alone takes three seconds.
    early.until("a round is under way", |viewer| viewer.part("phase").contains("of 2: ")).await;
    let mut late = Viewer::connect(server, None).await;
    let gone_at = early.last_id.clone().expect("an id");
    drop(early);
    late.until("it ends", |viewer| viewer.phase() == "ended").await;
    for expected in ["✗ BROKEN", "✓ correct", "2 of 2 rounds are judged"] {
        assert!(late.part("results").contains(expected), "{expected}: {}", late.part("results"));
    }
    assert!(late.part("now").contains("live-latency-title"), "the last state stays: {}", late.part("now"));

    let mut returned = Viewer::connect(server, Some(&gone_at)).await;
    assert!(returned.next_state().await);
    assert_eq!(returned.parts, late.parts, "a viewer that reconnects has missed nothing");
    let seen = late.last_id.clone().expect("an id");
    let mut viewer = Viewer::connect(server, Some(&seen)).await;
    let silence = tokio::time::timeout(Duration::from_millis(1_500), viewer.next_state()).await;
    assert!(silence.is_err(), "a state that was received is not sent again");
    let mut other = Viewer::connect(server, Some(&format!("ffffffff{}", &seen[8..]))).await;
    assert!(other.next_state().await, "an id of another server process does not count as received");
    assert!(text(server, "/lab/experiment").await.contains(late.part("results")), "a reload shows the same");

    let run: Run = serde_json::from_slice(&std::fs::read(saved(runs, &late).join("run.json")).expect("it is kept"))
        .expect("a run");
    assert_eq!((run.settings.requests, run.settings.concurrency, run.settings.think_time_ms), (Some(400), 16, Some(8)));
    assert_eq!(post(server, "/lab/experiment/stop", &json!({}), &[]).await.0, 409, "no experiment is under way");
    viewer
}

async fn an_exploration_is_watched_by_the_same_viewer(server: &Served, runs: &Path, viewer: &mut Viewer) {
    let request = json!({"kind": "explore", "scenario": "last-money", "approaches": ["naive", "atomic-returning"]});
    assert_eq!(start(server, &request).await.0, 201);
    viewer
        .until("the exploration ends", |viewer| {
            viewer.phase() == "ended" && viewer.part("title").contains("last-money")
        })
        .await;
    assert!(viewer.part("phase").contains("as claimed"), "{}", viewer.part("phase"));
    assert!(
        viewer
            .part("results")
            .contains("/lab/player?approach=naive&amp;scenario=last-money&amp;clients=2&amp;servers=one&amp;schedule=")
    );
    let report = std::fs::read_to_string(saved(runs, viewer).join("explore.json")).expect("it is kept");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert!(
        report["explorations"][0]["witness"]["transcript"]["entries"][0].is_object(),
        "the report is complete: {report}"
    );
}

async fn a_run_is_stopped_and_its_results_are_kept(server: &Served, runs: &Path, viewer: &mut Viewer, request: &Value) {
    assert_eq!(start(server, request).await.0, 201);
    viewer.until("answers come", |viewer| viewer.part("now").contains("live-rate-title")).await;
    assert_eq!(post(server, "/lab/experiment/stop", &json!({}), &[]).await.0, 202);
    viewer.until("it is stopped", |viewer| viewer.phase() == "ended").await;
    assert!(viewer.part("phase").contains("Stopped"), "{}", viewer.part("phase"));
    let run: Run = serde_json::from_slice(&std::fs::read(saved(runs, viewer).join("run.json")).expect("it is kept"))
        .expect("a run");
    assert!(run.interrupted && run.results[0].rounds[0].judgement.counts.done > 0);
}

async fn no_process_outlives_a_killed_server(server: &mut Served, viewer: &mut Viewer, request: &Value) {
    assert_eq!(start(server, request).await.0, 201);
    viewer
        .until("answers come", |viewer| viewer.phase() == "running" && viewer.part("now").contains("live-rate-title"))
        .await;
    let processes = descendants(server.child.id());
    assert!(processes.iter().any(|pid| command_line(*pid).contains("--events")), "the run");
    assert!(processes.iter().any(|pid| command_line(*pid).contains("--attached")), "its server");
    for pid in processes.iter().filter(|pid| command_line(**pid).contains("--events")) {
        assert!(!command_line(*pid).contains("postgres:"), "no password is on a command line");
    }
    server.kill();
    eventually("every process that it started has ended", async || {
        // A process that has ended but is not reaped yet has no command line either.
        processes.iter().all(|pid| command_line(*pid).is_empty())
    })
    .await;
}

/// A server on the shared PostgreSQL.
async fn on_shared_database(listen: &str, arguments: &[&str]) -> Served {
    let cluster = cluster().await;
    let url = new_database(&cluster).await.to_url_lossy();
    let mut command = program();
    command.args(["serve", "--listen", listen]).args(arguments).env("DATABASE_URL", url.as_str());
    Served::spawn(command)
}

#[tokio::test]
async fn only_permitted_requests_start_and_stop_experiments() {
    let _cluster = cluster().await;
    let (start, stop) = ("/lab/experiments", "/lab/experiment/stop");
    let nothing = json!({"kind": "nothing"});
    let open = on_shared_database("127.0.0.1:0", &[]).await;
    assert_eq!(post(&open, start, &nothing, &[]).await.0, 422, "loopback is trusted");
    for path in [start, stop] {
        let (status, _) = post(&open, path, &nothing, &[("origin", "http://evil.example")]).await;
        assert_eq!(status, 403, "{path}: a foreign page");
    }
    let (status, error) = post(&open, start, &json!([1]), &[]).await;
    assert_eq!(status, 422, "{error}");

    let guarded = on_shared_database("127.0.0.1:0", &["--admin-token=s3cret-s3cret-s3cret"]).await;
    for path in [start, stop] {
        for headers in [&[][..], &[("authorization", "Bearer s3cre")]] {
            let (status, error) = post(&guarded, path, &nothing, headers).await;
            assert_eq!(status, 401, "{path}");
            assert!(error["error"].as_str().is_some_and(|error| error.contains("--admin-token")), "{error}");
        }
    }
    let token = [("authorization", "Bearer s3cret-s3cret-s3cret")];
    assert_eq!(post(&guarded, start, &nothing, &token).await.0, 422);
    assert_eq!(post(&guarded, stop, &nothing, &token).await.0, 409);

    let public = on_shared_database("0.0.0.0:0", &[]).await;
    assert_eq!(post(&public, start, &nothing, &token).await.0, 403, "no token is accepted");
    let page = text(&public, "/lab/experiment").await;
    assert!(page.contains("without --admin-token") && !page.contains("experiment-stop"), "and the page says so");
}

#[tokio::test]
async fn an_experiment_that_cannot_go_on_shows_the_reason() {
    let _cluster = cluster().await;
    let nowhere = "--experiment-database-url=postgres://lab@127.0.0.1:9/none";
    let directory = directory();
    let runs = format!("--runs={}", directory.path().display());
    let server = on_shared_database("127.0.0.1:0", &[nowhere, &runs]).await;
    let request = json!({"kind": "explore", "scenario": "increments", "approaches": ["naive"]});
    assert_eq!(start(&server, &request).await.0, 201);
    let mut viewer = Viewer::connect(&server, None).await;
    viewer.until("it ends", |viewer| viewer.phase() == "ended").await;
    let phase = viewer.part("phase");
    assert!(phase.contains("Failed") && phase.contains("onnection refused"), "{phase}");
    assert_eq!(start(&server, &request).await.0, 201, "the next experiment can start");
}

/// An experiment would replace the served rows, so it refuses this database however it is addressed.
#[tokio::test]
async fn an_experiment_never_works_on_the_database_that_is_served() {
    let cluster = cluster().await;
    let served = new_database(&cluster).await;
    let directory = directory();
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--runs"]).arg(directory.path());
    // The same database by a different URL.
    let again = format!("{}&application_name=another", served.to_url_lossy());
    command.arg(format!("--experiment-database-url={again}")).env("DATABASE_URL", served.to_url_lossy().as_str());
    let server = Served::spawn(command);
    assert_eq!(server.withdraw("pessimistic", 1).await.map(|(status, _)| status), Some(200));
    let before = server.get("/balance/1").await;
    let request = json!({"kind": "run", "scenario": "withdrawal", "approaches": ["pessimistic"], "requests": 50});
    assert_eq!(start(&server, &request).await.0, 201);
    let mut viewer = Viewer::connect(&server, None).await;
    viewer.until("it ends", |viewer| viewer.phase() == "ended").await;
    let phase = viewer.part("phase");
    assert!(phase.contains("Failed") && phase.contains("names the database that is served"), "{phase}");
    assert_eq!(server.get("/balance/1").await, before, "nothing was replaced");
}

/// With one database for all purposes: the player leaves it to the experiment, and of two simultaneous starts exactly one is accepted.
#[tokio::test]
async fn on_a_shared_database_the_player_leaves_and_one_of_two_starts_is_accepted() {
    let cluster = cluster().await;
    let experiments = new_database(&cluster).await.to_url_lossy();
    let directory = directory();
    let (url, runs) =
        (format!("--experiment-database-url={experiments}"), format!("--runs={}", directory.path().display()));
    let server = on_shared_database("127.0.0.1:0", &[&url, &runs]).await;
    let position = json!({"approach": "naive", "scenario": "increments", "clients": 2, "schedule": "AB"});
    let play = async || post(&server, "/lab/player/positions", &position, &[]).await;
    let (status, played) = play().await;
    assert_eq!(status, 200, "{played}");
    let explore = json!({"kind": "explore", "scenario": "increments", "approaches": ["naive", "pessimistic"]});
    let run = json!({"kind": "run", "scenario": "counter", "approaches": ["pessimistic"], "requests": 200});
    for request in [explore, run] {
        let both = futures_util::future::join(start(&server, &request), start(&server, &request)).await;
        let mut statuses = [both.0.0, both.1.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "exactly one has started");
        let mut viewer = Viewer::connect(&server, None).await;
        viewer.until("it ends", |viewer| viewer.phase() == "ended").await;
        assert!(viewer.part("phase").contains("as claimed"), "{}", viewer.part("phase"));
        let (status, played) = play().await;
        assert_eq!(status, 200, "the player works again: {played}");
    }
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_stops_its_experiment_and_ends_its_streams() {
    let cluster = cluster().await;
    let experiments = new_database(&cluster).await.to_url_lossy();
    let directory = directory();
    let (url, runs) =
        (format!("--experiment-database-url={experiments}"), format!("--runs={}", directory.path().display()));
    let mut server = on_shared_database("127.0.0.1:0", &[&url, &runs]).await;
    let request =
        json!({"kind": "run", "scenario": "counter", "approaches": ["naive"], "durationS": 600, "concurrency": 4});
    assert_eq!(start(&server, &request).await.0, 201);
    let mut viewer = Viewer::connect(&server, None).await;
    viewer.until("answers come", |viewer| viewer.part("now").contains("live-rate-title")).await;
    server.signal(Signal::SIGTERM);
    while viewer.next_state().await {}
    assert!(server.exit_status().await.success());
    let kept = std::fs::read_dir(directory.path()).expect("runs").count();
    assert_eq!(kept, 1, "the results are kept");
}

#[test]
fn the_command_line_accepts_the_arguments_of_every_request() {
    let table = [
        (json!({"kind": "run", "scenario": "withdrawal"}), "withdrawal, all approaches"),
        (
            json!({"kind": "run", "scenario": "booking", "approaches": ["unique-constraint", "naive"], "requests": 500,
                   "concurrency": 8, "repeat": 3, "thinkTimeMs": 5, "durationS": 2}),
            "booking, 2 approaches",
        ),
        (
            json!({"kind": "run", "scenario": "counter", "approaches": ["self"], "thinkTimeMs": 0, "durationS": null}),
            "counter, atomic-returning",
        ),
        (json!({"kind": "run", "scenario": "mixed", "approaches": ["robust", "pessimistic"]}), "mixed, pessimistic"),
        (json!({"kind": "explore", "scenario": "all"}), "all scenarios, all approaches"),
        (
            json!({"kind": "explore", "scenario": "last-money", "approaches": ["naive"], "clients": 3, "reduce": true}),
            "last-money, naive",
        ),
    ];
    for (body, title) in table {
        let Value::Object(fields) = body.clone() else { panic!("the body of a test is an object") };
        let request = ExperimentRequest::read(fields).unwrap_or_else(|error| panic!("{body}: {}", error.message));
        assert_eq!(request.title, title);
        let words = std::iter::once("concurrency-lab".to_owned()).chain(request.arguments);
        let words = words.chain(["--events", "--out", "runs"].map(str::to_owned));
        if let Err(error) = cli::command().try_get_matches_from(words) {
            panic!("{body}: {error}");
        }
    }
}
