//! The dashboard's player and its locks page, over HTTP: an interleaving step by step on a real database, and a wait between two transactions.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};

use super::served::Served;
use crate::common::directory;

/// How long an event of the locks page may take: there is one a second.
const EVENT_MAX: Duration = Duration::from_secs(10);

fn post(server: &Served, path: &str, body: &Value) -> RequestBuilder {
    server.client.post(format!("{}/lab/player/{path}", server.url)).json(body)
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// A position with two clients and money for one of them.
async fn position(server: &Served, approach: &str, schedule: &str) -> (u16, Value) {
    let body = json!({"approach": approach, "scenario": "last-money", "clients": 2, "schedule": schedule});
    answer(post(server, "positions", &body)).await
}

fn next(position: &Value) -> Vec<&str> {
    position["next"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

fn html(position: &Value) -> &str {
    position["html"].as_str().expect("markup")
}

#[tokio::test]
async fn an_interleaving_is_played_step_by_step_and_a_lock_wait_is_shown() {
    let directory = directory();
    let server = Served::on_shared(&["--runs", directory.path().join("runs").to_str().expect("a path")]);
    a_lost_update_comes_about_step_by_step(&server).await;
    a_waiting_client_cannot_go_and_its_blocker_is_named(&server).await;
    a_schedule_continues_as_requested(&server).await;
    a_choice_that_cannot_be_played_is_refused_by_its_field(&server).await;
    simultaneous_viewers_get_their_own_positions(&server).await;
    a_search_finds_the_shortest_violation_or_counts_the_interleavings(&server).await;
    a_link_opens_its_schedule(&server).await;
    a_lock_wait_is_shown_with_sessions_lock_and_statement(&server, server.database_url()).await;
}

async fn a_lost_update_comes_about_step_by_step(server: &Served) {
    let table: [(&str, &[&str], &str); 5] = [
        ("", &["A", "B"], "no client has begun"),
        ("A", &["A", "B"], "A read: balance\u{a0}=\u{a0}10, version\u{a0}=\u{a0}1"),
        ("AB", &["A", "B"], "B read: balance\u{a0}=\u{a0}10, version\u{a0}=\u{a0}1"),
        ("ABB", &["A"], "B write: balance\u{a0}=\u{a0}4, version\u{a0}=\u{a0}2 (done: user 1 has 4 (version 2))"),
        ("ABBA", &[], "A write: balance\u{a0}=\u{a0}4, version\u{a0}=\u{a0}3 (done: user 1 has 4 (version 3))"),
    ];
    for (schedule, can_go, text) in table {
        let (status, position) = position(server, "naive", schedule).await;
        assert_eq!(status, 200, "{position}");
        assert_eq!(next(&position), can_go, "{schedule:?}");
        assert_eq!(position["steps"], schedule.len());
        let last = position["stepTexts"].as_array().expect("a list").last().expect("one").as_str().expect("text");
        assert_eq!(last, text, "{schedule:?}");
        assert_eq!(position["ended"], can_go.is_empty());
        // The same request gives the same position.
        let (_, again) = self::position(server, "naive", schedule).await;
        assert_eq!(again, position, "{schedule:?}");
    }
    let (_, end) = position(server, "naive", "ABBA").await;
    assert_eq!((&end["anomalies"][0], &end["violation"]), (&json!("lost-update"), &json!(4)), "{end}");
    assert!(html(&end).contains("✗ broken: lost-update") && html(&end).contains("--replay ABBA"), "{end}");
}

async fn a_waiting_client_cannot_go_and_its_blocker_is_named(server: &Served) {
    let (status, position) = position(server, "pessimistic", "AAB").await;
    assert_eq!((status, next(&position)), (200, vec!["A", "B"]), "B has only begun");
    let (_, blocked) = self::position(server, "pessimistic", "AABB").await;
    assert_eq!(next(&blocked), ["A"], "{blocked}");
    assert!(html(&blocked).contains("… waits for A (transactionid)"), "{blocked}");
    let (status, refused) = self::position(server, "pessimistic", "AABBB").await;
    let expected = "schedule: step 5: B cannot go: it waits for A (transactionid); A can";
    assert_eq!((status, refused["error"].as_str()), (422, Some(expected)));
    let (_, freed) = self::position(server, "pessimistic", "AABBAA").await;
    assert!(html(&freed).contains("class=\"blocked\""), "{freed}");
    assert_eq!(next(&freed), ["B"]);
}

async fn a_schedule_continues_as_requested(server: &Served) {
    let by = async |by_turns: bool| {
        let body = json!({"approach": "naive", "scenario": "last-money", "clients": 2, "schedule": "", "toEnd": true, "byTurns": by_turns});
        answer(post(server, "positions", &body)).await.1
    };
    let serial = by(false).await;
    assert_eq!(
        (&serial["schedule"], &serial["ended"], &serial["violation"]),
        (&json!("AAB"), &json!(true), &Value::Null)
    );
    let turns = by(true).await;
    assert_eq!((&turns["schedule"], &turns["violation"]), (&json!("ABAB"), &json!(4)));
    let body =
        json!({"approach": "group-commit", "scenario": "last-money", "clients": 2, "schedule": "AB", "toEnd": true});
    let (_, batch) = answer(post(server, "positions", &body)).await;
    assert!(
        batch["schedule"].as_str().expect("a schedule").starts_with("ABw"),
        "the batch writer is one of the actors: {batch}"
    );
}

async fn a_choice_that_cannot_be_played_is_refused_by_its_field(server: &Served) {
    let table = [
        (json!({"approach": "nave", "scenario": "last-money", "clients": 2, "schedule": ""}), "approach: \"nave\""),
        (json!({"approach": "naive", "scenario": "x", "clients": 2, "schedule": ""}), "scenario: \"x\""),
        (json!({"approach": "naive", "scenario": "last-money", "clients": 9, "schedule": ""}), "clients: 9"),
        (json!({"approach": "naive", "scenario": "last-money", "clients": 2, "schedule": "A?"}), "schedule: '?'"),
        (json!({"approach": "naive", "scenario": "last-money", "clients": 2, "schedule": "C"}), "schedule: step 1: C"),
        (
            json!({"approach": "naive", "scenario": "last-money", "clients": 2, "shedule": "A"}),
            "body: unknown field `shedule`",
        ),
        (json!({"scenario": "last-money", "clients": 2}), "body: missing field `approach`"),
    ];
    for (body, expected) in table {
        let (status, refused) = answer(post(server, "positions", &body)).await;
        let error = refused["error"].as_str().unwrap_or_default();
        assert!(status == 422 && error.starts_with(expected), "{body}: {status} {refused}");
    }
    let foreign = post(server, "positions", &json!({})).header("origin", "http://elsewhere.example");
    assert_eq!(answer(foreign).await.0, 403);
}

async fn simultaneous_viewers_get_their_own_positions(server: &Served) {
    let cases = [
        ("naive", "ABBA", true),
        ("pessimistic", "AABB", false),
        ("naive", "AB", false),
        ("serializable", "ABAB", false),
    ];
    let requests = (0..16).map(|number| {
        let (approach, schedule, ended) = cases[number % cases.len()];
        async move {
            let (status, position) = position(server, approach, schedule).await;
            assert_eq!(status, 200, "{position}");
            assert_eq!((&position["schedule"], &position["ended"]), (&json!(schedule), &json!(ended)), "{approach}");
            assert!(html(&position).contains(&format!("--approach {approach}")));
        }
    });
    futures_util::future::join_all(requests).await;
}

async fn a_search_finds_the_shortest_violation_or_counts_the_interleavings(server: &Served) {
    let search = async |approach: &str| {
        let body = json!({"approach": approach, "scenario": "last-money", "clients": 2});
        let (status, found) = answer(post(server, "violation", &body)).await;
        assert_eq!(status, 200, "{found}");
        found
    };
    let found = search("naive").await;
    assert_eq!((found["schedule"].as_str(), &found["complete"]), (Some("ABBA"), &json!(true)), "{found}");
    let none = search("pessimistic").await;
    assert_eq!((&none["schedule"], &none["complete"]), (&Value::Null, &json!(true)), "{none}");
    assert!(none["message"].as_str().expect("a sentence").starts_with("No violation in "), "{none}");
}

async fn a_link_opens_its_schedule(server: &Served) {
    let page = async |query: &str| {
        let answer = server.client.get(format!("{}/lab/player{query}", server.url)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a page"))
    };
    let (status, linked) = page("?approach=naive&scenario=last-money&clients=2&servers=one&schedule=ABBA&at=2").await;
    assert_eq!(status, 200);
    assert!(linked.contains("data-schedule=\"ABBA\" data-at=\"2\""), "{linked}");
    assert!(!linked.contains("style=\"") && !linked.contains("<script>"), "the content security policy forbids it");
    let (status, empty) = page("").await;
    assert!(status == 200 && !empty.contains("data-schedule") && empty.contains("Find a violation"), "{empty}");
    let (status, wrong) = page("?approach=naive&clients=%3Cb%3E").await;
    assert!(status == 422 && wrong.contains("clients: &quot;&lt;b&gt;&quot; is not from 2 to 3"), "{wrong}");
}

async fn a_lock_wait_is_shown_with_sessions_lock_and_statement(server: &Served, url: &str) {
    let connect = async |name: &str| {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let options = options.application_name(&format!("concurrency-lab test {name}"));
        let options = options.options([("search_path", "concurrency_lab")]);
        PgConnection::connect_with(&options).await.expect("a connection")
    };
    let lock = "select balance, version from users where id = 1 for update";
    let (mut holder, mut waiter) = (connect("holder").await, connect("waiter").await);
    holder.execute("begin").await.expect("begun");
    holder.execute(lock).await.expect("the lock");
    let waiting = tokio::spawn(async move {
        waiter.execute("begin").await.expect("begun");
        // The statement of pessimistic.
        sqlx::query("select balance, version from users where id = $1 for update")
            .bind(1_i64)
            .fetch_all(&mut waiter)
            .await
    });
    let mut events = server.client.get(format!("{}/lab/locks/events", server.url)).send().await.expect("events");
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut received = String::new();
    let waiting_shown = tokio::time::timeout(EVENT_MAX, async {
        while !received.contains("data-waits-for") {
            let chunk = events.chunk().await.expect("a stream").expect("no end of it");
            received.push_str(&String::from_utf8_lossy(&chunk));
        }
    });
    waiting_shown.await.unwrap_or_else(|_| panic!("no wait is shown: {received}"));
    assert!(received.contains("event: part") && received.contains("data: locks-served"), "{received}");
    let tree = received.rsplit("Waiting sessions, below the session for which they wait").next().expect("a tree");
    for part in [
        "concurrency-lab test holder",
        "concurrency-lab test waiter",
        "users, row (",
        "lock of pessimistic",
        "idle in transaction",
    ] {
        assert!(tree.contains(part), "{part}: {tree}");
    }
    assert!(
        tree.find("test holder") < tree.find("test waiter"),
        "the waiting session is below the one for which it waits"
    );
    holder.execute("rollback").await.expect("the end");
    waiting.await.expect("no panic").expect("the lock at last");
}

/// A request without the token cannot use the player, and an open stream does not delay the end of the server.
#[tokio::test]
async fn playing_needs_the_token_and_a_stream_ends_with_its_server() {
    let mut server = Served::on_shared(&["--admin-token=s3cret-s3cret-s3cret"]);
    let body = json!({"approach": "naive", "scenario": "last-money", "clients": 2, "schedule": "A"});
    for path in ["positions", "violation"] {
        let (status, refused) = answer(post(&server, path, &body)).await;
        assert_eq!(status, 401, "{refused}");
    }
    let (status, position) = answer(post(&server, "positions", &body).bearer_auth("s3cret-s3cret-s3cret")).await;
    assert_eq!(status, 200, "{position}");
    let mut events = server.client.get(format!("{}/lab/locks/events", server.url)).send().await.expect("events");
    events.chunk().await.expect("a first part");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = tokio::time::timeout(EVENT_MAX, async {
        let mut received = String::new();
        while let Ok(Some(chunk)) = events.chunk().await {
            received.push_str(&String::from_utf8_lossy(&chunk));
        }
        received
    });
    ended.await.expect("an end");
    assert!(server.exit_status().await.success());
}
