//! A client that closes its connection in the middle of a request leaves no transaction, no lock and no partial change.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::common::{Lab, Setup, eventually, offering};

/// Requests per approach, and concurrent clients.
const REQUESTS: usize = 600;
const CLIENTS: usize = 32;

/// Sends one request and closes the connection: before the request is complete, at once, or while the server executes
/// it.
async fn hang_up(lab: std::net::SocketAddr, approach: Approach, patience: f64) {
    let body = r#"{"userId":1,"amount":-2}"#;
    let request = format!(
        "PATCH /approach/{approach}/balance HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(lab).await.expect("a connection");
    if patience < 0.05 {
        stream.write_all(&request.as_bytes()[..request.len() - 5]).await.expect("half a request");
    } else {
        stream.write_all(request.as_bytes()).await.expect("a request");
        tokio::time::sleep(Duration::from_secs_f64(patience * 0.012)).await;
    }
    // The connection is reset, as when the client is killed.
    stream.set_zero_linger().expect("a reset connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_no_transaction_no_lock_and_no_partial_change() {
    let limits = Limits { pool_size: 8, ..Limits::default() };
    let lab = Lab::with(Setup { limits, seed: Seed::Bench, ..Setup::default() }).await;
    for approach in offering(Workload::Balance) {
        lab.post("/reset", "").await.expect(200, r#"{"seed":"bench"}"#);
        let before = lab.account(1).await;
        let mut clients = JoinSet::new();
        for _ in 0..REQUESTS {
            if clients.len() >= CLIENTS {
                clients.join_next().await.expect("a client").expect("no panic");
            }
            clients.spawn(hang_up(lab.address, approach, fastrand::f64()));
        }
        clients.join_all().await;
        nothing_is_left(&lab, approach).await;
        let after = lab.account(1).await;
        let changes = after.version - before.version;
        assert!(changes > 0, "{approach}: some requests were executed");
        if approach.info().claims.balance != Claim::Broken {
            assert_eq!(after.balance, before.balance - 2 * changes, "{approach}: each change is whole");
        }
        let next = lab.patch(approach, r#"{"userId":1,"amount":0}"#).await;
        assert_eq!(next.status, 200, "{approach}: the pool still serves");
    }
}

/// The server may still receive a request when its client is gone, so this function waits. A leak would stay for ever.
async fn nothing_is_left(lab: &Lab, approach: Approach) {
    let mut connection = lab.connection().await;
    let leftovers = "select (select count(*) from pg_stat_activity \
                             where datname = current_database() and backend_type = 'client backend' \
                               and pid <> pg_backend_pid() and xact_start is not null) \
                          + (select count(*) from pg_locks join pg_stat_activity using (pid) \
                             where datname = current_database() and backend_type = 'client backend' \
                               and pid <> pg_backend_pid())";
    eventually(
        &format!("{approach}: no open transaction, no held lock, no connection in use, nothing waits"),
        async || {
            let pool = lab.engine.server().database().pool().status();
            let at_rest = pool.idle == pool.open && pool.waiting == 0 && lab.engine.server().admission().waiting() == 0;
            let left: i64 = sqlx::query_scalar(leftovers).fetch_one(&mut connection).await.expect("a count");
            at_rest && left == 0
        },
    )
    .await;
}

/// Sends these bytes, closes the sending half, and returns everything that the server sends until it closes the connection.
async fn half_closed(lab: &Lab, bytes: &str) -> String {
    let mut stream = TcpStream::connect(lab.address).await.expect("a connection");
    stream.write_all(bytes.as_bytes()).await.expect("the request");
    stream.shutdown().await.expect("a closed half");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer));
    read.await.expect("the connection ends in time").expect("the answer");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    let limits = Limits { body_read_timeout: Duration::from_millis(500), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let body = r#"{"userId":1,"amount":-2}"#;
    let change = |more: &str| {
        format!(
            "PATCH /approach/pessimistic/balance HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };
    // The server works on it after it has seen the end of what the client sends.
    let answer = half_closed(&lab, &change("lab-think-time: 200\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"balance":9998}"#), "{answer}");
    // Several requests at once are all answered.
    let answer = half_closed(&lab, &[change(""), change("lab-think-time: 50\r\n"), change("")].concat()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 3, "{answer}");
    assert!(answer.ends_with(r#"{"balance":9992}"#), "{answer}");
    let answer = half_closed(&lab, "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let document = lab.get("/openapi.json").await.body;
    assert!(answer.ends_with(&document) && document.len() > 100_000, "{} bytes", answer.len());
    // A body of another type is refused before it is read.
    let answer = half_closed(&lab, &change("").replace("application/json", "text/plain")).await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    // What has not arrived as a whole is no request.
    let request = change("");
    let answer = half_closed(&lab, &request[..request.len() - 5]).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    half_closed(&lab, &request[..20]).await;
    assert_eq!(half_closed(&lab, "").await, "");
    assert_eq!(lab.account(1).await.version, 5);
}
