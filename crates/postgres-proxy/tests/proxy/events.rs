//! The order of events, and what they tell apart from units.

use postgres_proxy::{HeldUnits, Owner, ProxyEventKind};

use crate::fixture::*;
use crate::raw::{RawClient, query};

fn name(kind: &ProxyEventKind) -> &'static str {
    match kind {
        ProxyEventKind::Accepted => "accepted",
        ProxyEventKind::Opened(_) => "opened",
        ProxyEventKind::Ready { .. } => "ready",
        ProxyEventKind::UnitArrived { .. } => "arrived",
        ProxyEventKind::UnitForwarded { .. } => "forwarded",
        ProxyEventKind::UnitAnswered { .. } => "answered",
        ProxyEventKind::Noticed(_) => "noticed",
        ProxyEventKind::SettingChanged { .. } => "setting",
        ProxyEventKind::ClientFinished => "finished",
        ProxyEventKind::Closed(_) => "closed",
        _ => "other",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_session_come_in_order_with_consecutive_numbers() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("set timezone to 'Asia/Tokyo'")).await;
    let mut names = Vec::new();
    let mut last = 0;
    loop {
        let event = fixture.next().await;
        assert_eq!((event.number, event.proxy), (last + 1, fixture.proxy.address()));
        last = event.number;
        names.push(name(&event.kind));
        match event.kind {
            ProxyEventKind::UnitArrived { permit: Some(permit), .. } => permit.release(),
            ProxyEventKind::UnitAnswered { .. } => {
                assert_eq!(fixture.proxy.connection(event.connection).unwrap().last_event, last);
                client.until(b'Z').await;
                client.send(crate::raw::TERMINATE).await;
            }
            ProxyEventKind::SettingChanged { name, value } => {
                assert_eq!((name.as_str(), value.as_str()), ("TimeZone", "Asia/Tokyo"));
            }
            ProxyEventKind::Closed(_) => break,
            _ => {}
        }
    }
    let expected = ["accepted", "opened", "ready", "arrived", "forwarded", "setting", "answered", "closed"];
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_belong_to_the_unit_that_raised_them() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("do $$ begin raise notice 'look: %', 7; end $$; commit")).await;
    client.until(b'Z').await;
    let answer = fixture.result().await;
    let notices: Vec<_> = answer.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices, ["NOTICE 00000: look: 7", "WARNING 25P01: there is no transaction in progress"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_proxies_can_have_one_owner() {
    let cluster = cluster().await;
    let (mut owner, events) = Owner::channel();
    let first = start(server_of(&cluster), HeldUnits::None, Some(events.clone())).await;
    let second = start(server_of(&cluster), HeldUnits::None, Some(events)).await;
    let mut clients = [RawClient::ready(first.address()).await, RawClient::ready(second.address()).await];
    for client in &mut clients {
        client.send(&query("select 1")).await;
        client.until(b'Z').await;
    }
    let mut answered = Vec::new();
    let mut connections = Vec::new();
    while answered.len() < 2 {
        let event = owner.next().await.unwrap();
        if let ProxyEventKind::UnitAnswered { .. } = event.kind {
            answered.push(event.proxy);
            connections.push(event.connection);
        }
    }
    assert_eq!(answered, [first.address(), second.address()]);
    assert_ne!(connections[0], connections[1]);
    drop((first, second));
    while owner.next().await.is_some() {}
}

/// A slow owner slows the connections down, and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_does_not_read_makes_the_connection_wait() {
    const UNITS: usize = 2000;
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&crate::raw::SYNC.repeat(UNITS)).await;
    let mut bytes = vec![0; 6 * UNITS];
    let reading = tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut bytes);
    let mut reading = Box::pin(reading);
    assert!(
        tokio::time::timeout(NOTHING_HAPPENS, &mut reading).await.is_err(),
        "more events than the queue has room for"
    );
    let mut answered = 0;
    while answered < UNITS {
        answered += usize::from(matches!(fixture.next().await.kind, ProxyEventKind::UnitAnswered { .. }));
    }
    tokio::time::timeout(LIMIT, reading).await.unwrap().unwrap();
}
