//! Units that wait for the owner.

use std::time::{Duration, Instant};

use postgres_proxy::{ClientUnitKind, ClosedBy, ConnectionActivity, HeldUnits, Owner, ProxyEventKind, delay_units};
use tokio::time::{sleep, timeout};

use crate::fixture::*;
use crate::raw::*;

/// Whether the client gets a byte now.
async fn gets_nothing(client: &mut RawClient) -> bool {
    let mut byte = [0];
    timeout(NOTHING_HAPPENS, tokio::io::AsyncReadExt::read(&mut client.stream, &mut byte)).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_unit_does_not_reach_the_server_before_it_is_released() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut direct = fixture.direct().await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (id, pid) = fixture.ready().await;
    assert_eq!(fixture.proxy.connection(id).unwrap().activity, ConnectionActivity::Idle);
    client.send(&query("select 'held'")).await;
    let (held_id, unit, permit) = fixture.held().await;
    assert_eq!((held_id, unit.sql().as_str()), (id, "select 'held'"));
    assert!(gets_nothing(&mut client).await);
    let last: String = sqlx::query_scalar("select query from pg_stat_activity where pid = $1")
        .bind(pid)
        .fetch_one(&mut direct)
        .await
        .unwrap();
    assert_eq!(last, "", "the session has run nothing");
    let status = fixture.proxy.connection(id).unwrap();
    assert_eq!((status.activity, status.held_unit, status.counts.held_units), (ConnectionActivity::Held, Some(1), 1));
    permit.release();
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
    until(async || fixture.proxy.connection(id).unwrap().activity == ConnectionActivity::Idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn housekeeping_passes_unless_the_owner_wants_all() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&[parse("s", "select 1"), describe_statement("s"), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "1tTZ");
    client.send(&[bind("s", &[]), execute(), SYNC.to_vec()].concat()).await;
    let (_, unit, permit) = fixture.held().await;
    assert_eq!(unit.sql(), "select 1");
    permit.release();
    client.until(b'Z').await;

    let mut fixture = Fixture::new(HeldUnits::All).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&[parse("s", "select 1"), SYNC.to_vec()].concat()).await;
    let (_, unit, permit) = fixture.held().await;
    assert!(unit.is_housekeeping());
    assert_eq!(unit.parses[0].text, "select 1");
    assert!(gets_nothing(&mut client).await);
    permit.release();
    client.until(b'Z').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_held_unit_by_unit_and_the_next_may_wait_while_one_is_in_flight() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (id, _) = fixture.ready().await;
    client.send(&[query("select pg_sleep(0.2)"), run("select 2"), SYNC.to_vec(), query("select 3")].concat()).await;
    fixture.held().await.2.release();
    let (_, second, permit) = fixture.held().await;
    assert_eq!((second.number, second.sql().as_str()), (2, "select 2"));
    let status = fixture.proxy.connection(id).unwrap();
    assert_eq!((status.activity, status.units_in_flight), (ConnectionActivity::Held, 1));
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
    permit.release();
    assert_eq!(client.until(b'Z').await.0, "12DCZ");
    assert!(gets_nothing(&mut client).await);
    fixture.held().await.2.release();
    client.until(b'Z').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_comes_byte_by_byte_is_held_whole() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (id, _) = fixture.ready().await;
    let bytes = [run("select 'slow'"), SYNC.to_vec()].concat();
    for (index, byte) in bytes.iter().enumerate() {
        client.send(&[*byte]).await;
        if index == bytes.len() / 2 {
            until(async || fixture.proxy.connection(id).unwrap().activity == ConnectionActivity::Receiving).await;
        }
    }
    let (_, unit, permit) = fixture.held().await;
    assert_eq!((unit.sql().as_str(), unit.bytes), ("select 'slow'", bytes.len()));
    permit.release();
    assert_eq!(client.until(b'Z').await.0, "12DCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_beyond_the_limit_is_held_once_before_its_end() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let client = fixture.client().await;
    let long = format!("select length('{}')", "x".repeat(3 << 20));
    let work = tokio::spawn(async move {
        let simple = client.simple_query(&long).await.map(|_| ());
        let bound = client.query_one("select length($1::text)", &[&"y".repeat(3 << 20)]).await;
        (simple, bound.unwrap().get::<_, i32>(0))
    });
    let (_, unit, permit) = fixture.held().await;
    assert_eq!(unit.kind, ClientUnitKind::Unfinished);
    assert!(unit.bytes > 1 << 20 && unit.bytes < 2 << 20, "{}", unit.bytes);
    let sql = unit.executions[0].sql.as_ref().unwrap();
    assert!(sql.cut && sql.text.starts_with("select length('xxx"));
    permit.release();
    let finished = fixture.find(|event| match event.kind {
        ProxyEventKind::UnitFinished { unit } => Some(unit),
        _ => None,
    });
    let finished = finished.await;
    assert_eq!((finished.number, finished.kind, finished.execution_count), (unit.number, ClientUnitKind::Query, 1));
    assert_eq!(fixture.result().await.last_tag(), Some("SELECT 1"));
    let (_, unit, permit) = fixture.held().await;
    assert_eq!(unit.kind, ClientUnitKind::Unfinished);
    permit.release();
    let (simple, length) = timeout(LIMIT, work).await.unwrap().unwrap();
    simple.unwrap();
    assert_eq!(length, 3 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_permit_and_a_dropped_owner_let_everything_go() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("select 1")).await;
    drop(fixture.held().await.2);
    client.until(b'Z').await;
    client.send(&query("select 2")).await;
    let (_, _, permit) = fixture.held().await;
    // The permit is in the owner's hands, and the next one would be in the queue.
    let (owner, _) = Owner::channel();
    drop(std::mem::replace(&mut fixture.owner, owner));
    drop(permit);
    client.until(b'Z').await;
    client.send(&query("select 3")).await;
    client.until(b'Z').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_with_full_hands_frees_all_connections() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = RawClient::ready(fixture.proxy.address()).await;
        client.send(&query("select 1")).await;
        clients.push(client);
    }
    until(async || fixture.proxy.connections().iter().all(|status| status.activity == ConnectionActivity::Held)).await;
    let (owner, _) = Owner::channel();
    drop(std::mem::replace(&mut fixture.owner, owner));
    for client in &mut clients {
        client.until(b'Z').await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_unit_is_never_executed() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut direct = fixture.direct().await;
    sqlx::query("create table cut (a int)").execute(&mut direct).await.unwrap();
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("insert into cut values (1)")).await;
    fixture.held().await.2.cut();
    assert!(client.rest().await.is_empty());
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Owner);
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("insert into cut values (2)")).await;
    let (id, _, permit) = fixture.held().await;
    assert!(!permit.is_void());
    assert!(fixture.proxy.cut(id));
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Owner);
    assert!(permit.is_void());
    permit.release();
    assert!(!fixture.proxy.cut(id));
    let count: i64 = sqlx::query_scalar("select count(*) from cut").fetch_one(&mut direct).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_beyond_a_held_unit_waits_with_a_bounded_buffer() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (id, _) = fixture.ready().await;
    client.send(&query("select 1")).await;
    let (_, _, permit) = fixture.held().await;
    let flood = query(&format!("select '{}'", "x".repeat(1 << 14))).repeat(4096);
    let mut sent = 0;
    while let Ok(written) =
        timeout(NOTHING_HAPPENS, tokio::io::AsyncWriteExt::write(&mut client.stream, &flood[sent..])).await
    {
        sent += written.unwrap();
        assert!(sent < flood.len(), "64 MB were taken while the unit is held");
    }
    let taken = fixture.proxy.connection(id).unwrap().counts.bytes_from_client;
    assert!((60_000..200_000).contains(&taken), "{taken}");
    permit.release();
    client.until(b'Z').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_delay_comes_before_each_unit_and_connections_wait_beside_each_other() {
    const DELAY: Duration = Duration::from_millis(200);
    let cluster = cluster().await;
    let (owner, events) = Owner::channel();
    let proxy = start(server_of(&cluster), HeldUnits::Executing, Some(events)).await;
    let delaying = tokio::spawn(delay_units(owner, DELAY));
    let clients = [connect(&proxy).await, connect(&proxy).await];
    let begin = Instant::now();
    let [first, second] = &clients;
    tokio::try_join!(first.batch_execute("select 1"), second.batch_execute("select 1")).unwrap();
    assert!((DELAY..2 * DELAY).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    first.batch_execute("select 1").await.unwrap();
    assert!(begin.elapsed() >= 2 * DELAY);
    drop(clients);
    proxy.stop().await;
    timeout(LIMIT, delaying).await.expect("the owner ends with its proxies").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_the_session_of_a_held_unit_voids_its_permit() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut direct = fixture.direct().await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (_, pid) = fixture.ready().await;
    client.send(&query("select 1")).await;
    let (_, _, permit) = fixture.held().await;
    sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(&mut direct).await.unwrap();
    let (tag, body) = client.message().await.unwrap();
    assert_eq!((tag, String::from_utf8_lossy(&body).contains("57P01")), (b'E', true));
    drop(client);
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Server);
    assert!(permit.is_void());
    sleep(Duration::ZERO).await;
}
