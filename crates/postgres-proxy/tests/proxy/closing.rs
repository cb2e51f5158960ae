//! Ends of connections: goodbyes, half-closed and abrupt ones, on either side and in each phase.

use postgres_proxy::{AnswerEnd, BlockStatus, ClientUnitKind, ClosedBy, HeldUnits, ProxyEventKind};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use crate::fixture::*;
use crate::raw::*;

/// Waits until PostgreSQL has no session with this pid.
async fn session_ends(fixture: &Fixture, pid: i32) {
    let direct = tokio::sync::Mutex::new(fixture.direct().await);
    until(async || {
        let mut direct = direct.lock().await;
        let count: i64 = sqlx::query_scalar("select count(*) from pg_stat_activity where pid = $1")
            .bind(pid)
            .fetch_one(&mut *direct)
            .await
            .unwrap();
        count == 0
    })
    .await;
}

/// Closes with a reset instead of an orderly end.
fn reset(client: RawClient) {
    let stream = client.stream.into_std().unwrap();
    let socket = tokio::net::TcpSocket::from_std_stream(stream);
    socket.set_zero_linger().unwrap();
    drop(socket);
}

fn leave(client: RawClient, abrupt: bool) {
    if abrupt {
        reset(client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_ends_the_session_of_the_server() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (id, pid) = fixture.ready().await;
    client.send(TERMINATE).await;
    assert!(client.rest().await.is_empty());
    let (closed_id, closed) = fixture.closed().await;
    assert_eq!(
        (closed_id, closed.by, closed.was_ready, closed.status),
        (id, ClosedBy::Goodbye, true, Some(BlockStatus::Idle))
    );
    session_ends(&fixture, pid).await;
    until(async || fixture.proxy.connections().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_stops_sending_still_gets_its_answer() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("select 'last words'")).await;
    client.stream.shutdown().await.unwrap();
    let (_, _, permit) = fixture.held().await;
    fixture.find(|event| matches!(event.kind, ProxyEventKind::ClientFinished).then_some(())).await;
    permit.release();
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
    assert!(client.rest().await.is_empty());
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_in_any_phase_leaves_no_session_behind() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    for abrupt in [false, true] {
        for phase in [
            "idle",
            "in a transaction",
            "half a message",
            "between Parse and Sync",
            "in flight",
            "rows unread",
            "copying in",
        ] {
            let mut client = RawClient::ready(fixture.proxy.address()).await;
            let (_, pid) = fixture.ready().await;
            match phase {
                "in a transaction" => {
                    client.send(&query("begin")).await;
                    client.until(b'Z').await;
                }
                "half a message" => client.send(&query("select 1")[..7]).await,
                "between Parse and Sync" => client.send(&run("select 1")).await,
                "in flight" => {
                    client.send(&query("select pg_sleep(0.3)")).await;
                    fixture.executing().await;
                }
                "rows unread" => {
                    client.send(&query("select repeat('x', 1000) from generate_series(1, 100000)")).await;
                    client.until(b'D').await;
                }
                "copying in" => {
                    client.send(&query("create temp table c (a int); copy c from stdin")).await;
                    client.until(b'G').await;
                    client.send(&message(b'd', &[b"1\n"])).await;
                }
                _ => {}
            }
            leave(client, abrupt);
            let (_, closed) = fixture.closed().await;
            assert_eq!(closed.by, ClosedBy::Client, "{phase}, abrupt: {abrupt}, {closed:?}");
            session_ends(&fixture, pid).await;
        }
    }
    until(async || fixture.proxy.counts().open == 0).await;
    assert_eq!(fixture.proxy.counts().lost_track, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_its_unit_is_held_is_noticed_and_the_unit_goes_when_it_is_released() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut direct = fixture.direct().await;
    sqlx::query("create table gone (a int)").execute(&mut direct).await.unwrap();
    for (value, abrupt) in [(1, false), (2, true)] {
        let mut client = RawClient::ready(fixture.proxy.address()).await;
        let (_, pid) = fixture.ready().await;
        client.send(&query(&format!("insert into gone values ({value})"))).await;
        let (_, _, permit) = fixture.held().await;
        leave(client, abrupt);
        fixture.find(|event| matches!(event.kind, ProxyEventKind::ClientFinished).then_some(())).await;
        permit.release();
        assert_eq!(fixture.closed().await.1.by, ClosedBy::Client);
        session_ends(&fixture, pid).await;
    }
    // As without a proxy: what PostgreSQL has received, it executes.
    let values: Vec<i32> = sqlx::query_scalar("select a from gone order by a").fetch_all(&mut direct).await.unwrap();
    assert_eq!(values, [1, 2]);
}

/// An Execute runs without its Sync, but never commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_before_the_end_of_its_unit_has_it_held_too() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut direct = fixture.direct().await;
    sqlx::query("create table half (a int)").execute(&mut direct).await.unwrap();
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&run("insert into half values (1)")).await;
    client.stream.shutdown().await.unwrap();
    let (_, unit, permit) = fixture.held().await;
    assert_eq!((unit.kind, unit.sql().as_str()), (ClientUnitKind::Unfinished, "insert into half values (1)"));
    permit.release();
    assert_eq!(fixture.answered().await.0.end, AnswerEnd::ConnectionLost);
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Client);
    let count: i64 = sqlx::query_scalar("select count(*) from half").fetch_one(&mut direct).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_session_tells_its_client_why_also_with_a_unit_in_flight() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut direct = fixture.direct().await;
    for in_flight in [false, true] {
        let mut client = RawClient::ready(fixture.proxy.address()).await;
        let (_, pid) = fixture.ready().await;
        if in_flight {
            client.send(&query("begin; select pg_sleep(60)")).await;
            sleeps(&mut direct, pid).await;
        }
        sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(&mut direct).await.unwrap();
        let bytes = client.rest().await;
        assert!(String::from_utf8_lossy(&bytes).contains("57P01"));
        drop(client);
        if in_flight {
            let answer = fixture.result().await;
            assert_eq!((answer.end, answer.error.unwrap().sqlstate.as_str()), (AnswerEnd::ConnectionLost, "57P01"));
        } else {
            let error = fixture
                .find(|event| if let ProxyEventKind::ServerFailed(error) = event.kind { Some(error) } else { None });
            assert_eq!(error.await.sqlstate, "57P01");
        }
        assert_eq!(fixture.closed().await.1.by, ClosedBy::Server);
    }
}

/// A server that crashes closes without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_vanishes_ends_the_client_and_leaves_the_unit_unanswered() {
    let dir = std::env::temp_dir().join(format!("postgres-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(".s.PGSQL.5432");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let (owner, events) = postgres_proxy::Owner::channel();
    let server = postgres_proxy::ServerAddress::socket_dir(&dir, 5432);
    let proxy = start(server, HeldUnits::None, Some(events)).await;
    let mut fixture = Fixture { proxy, owner, cluster: cluster().await };
    let vanishing = tokio::spawn(async move {
        for answer in [b"".as_slice(), b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer).await.unwrap();
            let mut bytes = [0; 4096];
            // The startup packet, and after an answer the query.
            for _ in 0..=usize::from(!answer.is_empty()) {
                tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap();
            }
        }
    });
    let mut client = RawClient::open(fixture.proxy.address()).await;
    client.send(&startup(PROTOCOL_3_0, "raw")).await;
    assert!(client.rest().await.is_empty());
    drop(client);
    let (_, closed) = fixture.closed().await;
    assert_eq!((closed.by, closed.was_ready), (ClosedBy::Server, false));
    for bytes in [query("commit"), query("select 1")] {
        let mut client = RawClient::ready(fixture.proxy.address()).await;
        client.send(&bytes).await;
        assert!(client.rest().await.is_empty());
        drop(client);
        let (answer, _) = fixture.answered().await;
        assert_eq!((answer.unit, answer.end, answer.error), (1, AnswerEnd::ConnectionLost, None));
        assert_eq!(fixture.closed().await.1.by, ClosedBy::Server);
    }
    vanishing.await.unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_proxy_closes_its_port_and_cuts_its_connections() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let address = fixture.proxy.address();
    let mut idle = RawClient::ready(address).await;
    let (_, pid) = fixture.ready().await;
    let mut held = RawClient::ready(address).await;
    held.send(&query("select 1")).await;
    let (_, _, permit) = fixture.held().await;
    let Fixture { proxy, mut owner, cluster } = fixture;
    let stopping = tokio::spawn(proxy.stop());
    assert!(idle.rest().await.is_empty());
    assert!(held.rest().await.is_empty());
    let mut closed = Vec::new();
    while let Some(event) = owner.next().await {
        if let ProxyEventKind::Closed(end) = event.kind {
            closed.push(end.by);
        }
    }
    assert_eq!(closed, [ClosedBy::Owner, ClosedBy::Owner]);
    assert!(permit.is_void());
    stopping.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let fixture = Fixture { proxy: start(server_of(&cluster), HeldUnits::None, None).await, owner, cluster };
    session_ends(&fixture, pid).await;
    // A dropped proxy cuts too.
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    drop(fixture);
    assert!(client.rest().await.is_empty());
}
