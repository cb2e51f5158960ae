//! A server that other machines can reach: what it says at its start, and what it demands.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use reqwest::StatusCode;

use super::served::{Served, run_to_end};
use crate::common::{OwnDatabase, program};

/// The first line of standard error that warns, of a server with these arguments.
fn warning(arguments: &[&str]) -> String {
    let database = OwnDatabase::new();
    let mut command = program();
    command.arg("serve").args(arguments).env("DATABASE_URL", &database.url).stderr(Stdio::piped());
    let mut server = Served::spawn(command);
    // The line is written before the one that says where the server listens.
    let errors = BufReader::new(server.child.stderr.take().expect("its errors"));
    server.kill();
    errors.lines().map_while(Result::ok).find(|line| line.contains("other machines")).unwrap_or_default()
}

#[test]
fn a_server_that_other_machines_reach_says_what_they_can_do() {
    assert_eq!(warning(&["--listen=127.0.0.1:0"]), "");
    for reached in [&["--listen=0.0.0.0:0"][..], &["--listen=127.0.0.1:0", "--allow-host=lab.example"]] {
        let line = warning(reached);
        assert!(line.contains("can read and change all data") && line.contains("start no experiment"), "{line}");
        let line = warning(&[reached, &["--admin-token=0123456789abcdef"]].concat());
        assert!(line.contains("start experiments with the --admin-token"), "{line}");
    }
}

#[test]
fn a_short_admin_token_is_refused() {
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--admin-token=0123456789abcde"]);
    let (code, _, errors) = run_to_end(command);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("--admin-token: expected at least 16 characters, found 15"), "{errors}");
    assert!(!errors.contains("0123456789abcde"), "the token is not shown: {errors}");
}

#[tokio::test]
async fn behind_a_proxy_experiments_need_a_token() {
    let server = Served::on_shared(&["--allow-host=lab.example"]);
    let post = |path: &str, body: &'static str, kind: &'static str| {
        let request = server.client.post(format!("{}{path}", server.url)).header("host", "lab.example");
        request.header("content-type", kind).body(body)
    };
    let refused = post("/lab/experiments", "{}", "application/json").send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.text().await.expect("a text").contains("--allow-host lets requests of a proxy in"));
}

#[tokio::test]
async fn json_routes_of_the_dashboard_take_only_json() {
    let server = Served::on_shared(&[]);
    for path in ["/lab/experiments", "/lab/player/positions", "/lab/player/violation"] {
        let request =
            server.client.post(format!("{}{path}", server.url)).header("content-type", "text/plain").body("{}");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
}

#[tokio::test]
async fn no_page_of_the_dashboard_is_shown_under_a_name_that_is_not_allowed() {
    let server = Served::on_shared(&[]);
    for path in
        ["/", "/lab/runs", "/lab/locks", "/lab/locks/events", "/lab/player", "/lab/experiment/events", "/environment"]
    {
        let get =
            |host: &str| server.client.get(format!("{}{path}", server.url)).header("host", host.to_owned()).send();
        assert_eq!(get("evil.example:3000").await.expect("an answer").status(), StatusCode::FORBIDDEN, "{path}");
        assert_ne!(get("localhost:3000").await.expect("an answer").status(), StatusCode::FORBIDDEN, "{path}");
    }
}
