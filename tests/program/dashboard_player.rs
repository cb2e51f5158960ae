//! The dashboard's player and its look at the locks, over HTTP: a race step by step on the real database, and a real wait between two real
//! transactions.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};

use crate::common::directory;
use crate::served::{Served, database_url};

/// How long an event of the locks may take: it looks once a second.
const SEEN_MAX: Duration = Duration::from_secs(10);

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
async fn a_race_is_stepped_through_and_its_locks_are_seen() {
    let directory = directory();
    let server = Served::start(directory.path(), &["--runs", directory.path().join("runs").to_str().expect("a path")]);
    a_lost_update_comes_about_step_by_step(&server).await;
    who_waits_cannot_go_and_says_for_whom(&server).await;
    a_schedule_goes_on_as_asked(&server).await;
    what_cannot_be_played_is_told_by_its_field(&server).await;
    several_viewers_get_what_they_asked_for(&server).await;
    a_hunt_finds_the_shortest_or_says_of_how_many(&server).await;
    a_link_is_a_page(&server).await;
    a_wait_is_seen_with_who_and_what(&server, &database_url(directory.path(), None)).await;
}

async fn a_lost_update_comes_about_step_by_step(server: &Served) {
    let table: [(&str, &[&str], &str); 5] = [
        ("", &["A", "B"], "nobody has begun"),
        ("A", &["A", "B"], "A read: balance\u{a0}=\u{a0}10, version\u{a0}=\u{a0}1"),
        ("AB", &["A", "B"], "B read: balance\u{a0}=\u{a0}10, version\u{a0}=\u{a0}1"),
        ("ABB", &["A"], "B write: balance\u{a0}=\u{a0}4, version\u{a0}=\u{a0}2 (done: user 1 has 4 (version 2))"),
        ("ABBA", &[], "A write: balance\u{a0}=\u{a0}4, version\u{a0}=\u{a0}3 (done: user 1 has 4 (version 3))"),
    ];
    for (schedule, can, said) in table {
        let (status, position) = position(server, "naive", schedule).await;
        assert_eq!(status, 200, "{position}");
        assert_eq!(next(&position), can, "{schedule:?}");
        assert_eq!(position["steps"], schedule.len());
        let last = position["said"].as_array().expect("a list").last().expect("one").as_str().expect("text");
        assert_eq!(last, said, "{schedule:?}");
        assert_eq!(position["ended"], can.is_empty());
        // A link shows anybody the same.
        let (_, again) = self::position(server, "naive", schedule).await;
        assert_eq!(again, position, "{schedule:?}");
    }
    let (_, end) = position(server, "naive", "ABBA").await;
    assert_eq!((&end["anomalies"][0], &end["violation"]), (&json!("lost-update"), &json!(4)), "{end}");
    assert!(html(&end).contains("✗ broken: lost-update") && html(&end).contains("--replay ABBA"), "{end}");
}

async fn who_waits_cannot_go_and_says_for_whom(server: &Served) {
    let (status, position) = position(server, "pessimistic", "AAB").await;
    assert_eq!((status, next(&position)), (200, vec!["A", "B"]), "B has only begun");
    let (_, blocked) = self::position(server, "pessimistic", "AABB").await;
    assert_eq!(next(&blocked), ["A"], "{blocked}");
    assert!(html(&blocked).contains("… waits for A (transactionid)"), "{blocked}");
    let (status, refused) = self::position(server, "pessimistic", "AABBB").await;
    let told = "schedule: step 5: B cannot go: it waits for A (transactionid); A can";
    assert_eq!((status, refused["error"].as_str()), (422, Some(told)));
    let (_, freed) = self::position(server, "pessimistic", "AABBAA").await;
    assert!(html(&freed).contains("class=\"blocked\""), "{freed}");
    assert_eq!(next(&freed), ["B"]);
}

async fn a_schedule_goes_on_as_asked(server: &Served) {
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
    assert!(batch["schedule"].as_str().expect("a schedule").starts_with("ABw"), "the writer is one of them: {batch}");
}

async fn what_cannot_be_played_is_told_by_its_field(server: &Served) {
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
        let (status, told) = answer(post(server, "positions", &body)).await;
        let error = told["error"].as_str().unwrap_or_default();
        assert!(status == 422 && error.starts_with(expected), "{body}: {status} {told}");
    }
    let foreign = post(server, "positions", &json!({})).header("origin", "http://elsewhere.example");
    assert_eq!(answer(foreign).await.0, 403);
}

async fn several_viewers_get_what_they_asked_for(server: &Served) {
    let cases = [
        ("naive", "ABBA", true),
        ("pessimistic", "AABB", false),
        ("naive", "AB", false),
        ("serializable", "ABAB", false),
    ];
    let asked = (0..16).map(|number| {
        let (approach, schedule, ended) = cases[number % cases.len()];
        async move {
            let (status, position) = position(server, approach, schedule).await;
            assert_eq!(status, 200, "{position}");
            assert_eq!((&position["schedule"], &position["ended"]), (&json!(schedule), &json!(ended)), "{approach}");
            assert!(html(&position).contains(&format!("--approach {approach}")));
        }
    });
    futures_util::future::join_all(asked).await;
}

async fn a_hunt_finds_the_shortest_or_says_of_how_many(server: &Served) {
    let hunt = async |approach: &str| {
        let body = json!({"approach": approach, "scenario": "last-money", "clients": 2});
        let (status, found) = answer(post(server, "violation", &body)).await;
        assert_eq!(status, 200, "{found}");
        found
    };
    let found = hunt("naive").await;
    assert_eq!((found["schedule"].as_str(), &found["complete"]), (Some("ABBA"), &json!(true)), "{found}");
    let none = hunt("pessimistic").await;
    assert_eq!((&none["schedule"], &none["complete"]), (&Value::Null, &json!(true)), "{none}");
    assert!(none["said"].as_str().expect("a sentence").starts_with("No violation in "), "{none}");
}

async fn a_link_is_a_page(server: &Served) {
    let page = async |query: &str| {
        let answer = server.client.get(format!("{}/lab/player{query}", server.url)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a page"))
    };
    let (status, linked) = page("?approach=naive&scenario=last-money&clients=2&servers=one&schedule=ABBA&at=2").await;
    assert_eq!(status, 200);
    assert!(linked.contains("data-schedule=\"ABBA\" data-at=\"2\""), "{linked}");
    assert!(!linked.contains("style=\"") && !linked.contains("<script>"), "the policy forbids it");
    let (status, empty) = page("").await;
    assert!(status == 200 && !empty.contains("data-schedule") && empty.contains("Find a violation"), "{empty}");
    let (status, wrong) = page("?approach=naive&clients=%3Cb%3E").await;
    assert!(status == 422 && wrong.contains("clients: &quot;&lt;b&gt;&quot; is not from 2 to 3"), "{wrong}");
}

async fn a_wait_is_seen_with_who_and_what(server: &Served, url: &str) {
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
        // As pessimistic sends it.
        sqlx::query("select balance, version from users where id = $1 for update")
            .bind(1_i64)
            .fetch_all(&mut waiter)
            .await
    });
    let mut events = server.client.get(format!("{}/lab/locks/events", server.url)).send().await.expect("events");
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let seen = tokio::time::timeout(SEEN_MAX, async {
        while !heard.contains("data-waits-for") {
            let chunk = events.chunk().await.expect("a stream").expect("no end of it");
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
    });
    seen.await.unwrap_or_else(|_| panic!("nobody is seen to wait: {heard}"));
    assert!(heard.contains("event: part") && heard.contains("data: locks-served"), "{heard}");
    let tree = heard.rsplit("Who waits for whom").next().expect("a tree");
    for part in [
        "concurrency-lab test holder",
        "concurrency-lab test waiter",
        "users, row (",
        "lock of pessimistic",
        "idle in transaction",
    ] {
        assert!(tree.contains(part), "{part}: {tree}");
    }
    assert!(tree.find("test holder") < tree.find("test waiter"), "who waits stands below whom it waits for");
    holder.execute("rollback").await.expect("the end");
    waiting.await.expect("no panic").expect("the lock at last");
}

/// Where nobody may start experiments, nobody may play; and whoever looks on does not keep the server from its end.
#[tokio::test]
async fn without_the_token_nobody_plays_and_a_stream_ends_with_its_server() {
    let directory = directory();
    let mut server = Served::start(directory.path(), &["--admin-token=s3cret"]);
    let body = json!({"approach": "naive", "scenario": "last-money", "clients": 2, "schedule": "A"});
    for path in ["positions", "violation"] {
        let (status, told) = answer(post(&server, path, &body)).await;
        assert_eq!(status, 401, "{told}");
    }
    let (status, position) = answer(post(&server, "positions", &body).bearer_auth("s3cret")).await;
    assert_eq!(status, 200, "{position}");
    let mut events = server.client.get(format!("{}/lab/locks/events", server.url)).send().await.expect("events");
    events.chunk().await.expect("a first part");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = tokio::time::timeout(SEEN_MAX, async {
        let mut heard = String::new();
        while let Ok(Some(chunk)) = events.chunk().await {
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
        heard
    });
    ended.await.expect("an end");
    assert!(server.exit_status().await.success());
}
