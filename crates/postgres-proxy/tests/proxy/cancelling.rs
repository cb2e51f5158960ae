//! Cancel requests reach the session that they mean.

use postgres_proxy::{ConnectionId, HeldUnits, ProxyEventKind};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::fixture::*;
use crate::raw::{PROTOCOL_3_0, RawClient, query, startup};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_stops_the_statement_of_its_session_and_no_other() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let (first, second) = (fixture.client().await, fixture.client().await);
    let first_pid: i32 = first.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let token = first.cancel_token();
    let sleeping = tokio::spawn(async move { first.batch_execute("select pg_sleep(60)").await });
    let other = tokio::spawn(async move { second.batch_execute("select pg_sleep(1)").await });
    let sleeping_now = |event: postgres_proxy::ProxyEvent| match event.kind {
        ProxyEventKind::UnitArrived { unit, .. } if unit.sql() == "select pg_sleep(60)" => Some(event.connection),
        _ => None,
    };
    let meant: ConnectionId = fixture.find(sleeping_now).await;
    assert_eq!(fixture.proxy.connection(meant).unwrap().backend_pid, Some(first_pid));
    // The event comes before the statement reaches the server.
    sleeps(&mut fixture.direct().await, first_pid).await;
    token.cancel_query(NoTls).await.unwrap();
    let error = sleeping.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    other.await.unwrap().unwrap();
    let target = fixture.find(|event| match event.kind {
        ProxyEventKind::CancelRequested { target } => Some(target),
        _ => None,
    });
    assert_eq!(target.await, Some(meant));
    assert_eq!(fixture.proxy.counts().cancel_requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_with_a_false_key_stops_nothing() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::open(fixture.proxy.address()).await;
    client.send(&startup(PROTOCOL_3_0, "raw")).await;
    let (_, key) = client.until(b'K').await;
    client.until(b'Z').await;
    client.send(&query("select pg_sleep(3)")).await;
    sleeps(&mut fixture.direct().await, i32::from_be_bytes(key[..4].try_into().unwrap())).await;
    let mut cancel = RawClient::open(fixture.proxy.address()).await;
    let mut packet = [b"\0\0\0\x10\x04\xd2\x16\x2e", &key[..]].concat();
    let last = packet.len() - 1;
    packet[last] ^= 1;
    cancel.send(&packet).await;
    assert!(cancel.rest().await.is_empty());
    let target = fixture.find(|event| match event.kind {
        ProxyEventKind::CancelRequested { target } => Some(target),
        _ => None,
    });
    assert_eq!(target.await, None);
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
}
