//! Size and number: a row of 50 MB, several hundred connections.

use postgres_proxy::HeldUnits;

use crate::fixture::*;
use crate::raw::{RawClient, query};

fn resident_kilobytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_50_megabytes_passes_without_being_held() {
    const BYTES: usize = 50_000_000;
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let before = resident_kilobytes();
    client.send(&query(&format!("select 1, repeat('x', {BYTES})"))).await;
    let read = async {
        let (mut total, mut chunk, mut peak) = (0, vec![0; 1 << 16], 0);
        while total < BYTES + 5 {
            total += tokio::io::AsyncReadExt::read(&mut client.stream, &mut chunk).await.unwrap();
            if total % 16 == 0 {
                peak = peak.max(resident_kilobytes());
            }
        }
        peak
    };
    let peak = tokio::time::timeout(LIMIT, read).await.unwrap();
    // Other tests run beside this one, so the bound is generous; the row alone would be above it.
    assert!(peak < before + 45_000, "{before} kB before, {peak} kB at the peak");
    let answer = fixture.result().await;
    let row = &answer.results[0].rows[0];
    assert_eq!((answer.results[0].row_count, row[0].text.as_deref(), row[0].cut), (1, Some("1"), false));
    assert_eq!((row[1].cut, row[1].text.as_ref().unwrap().len()), (true, 4096));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hundred_connections_work_at_a_time() {
    const CONNECTIONS: usize = 300;
    const ROUNDS: i32 = 5;
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let proxy = &fixture.proxy;
    let clients = async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..CONNECTIONS {
            let address = proxy.address();
            tasks.spawn(async move {
                let mut client = RawClient::ready(address).await;
                for round in 0..ROUNDS {
                    client.send(&query(&format!("select {number} + {round}"))).await;
                    let (_, row) = client.until(b'D').await;
                    assert_eq!(row[6..], (i32::try_from(number).unwrap() + round).to_string().into_bytes()[..]);
                    client.until(b'Z').await;
                }
                client
            });
        }
        tasks.join_all().await
    };
    let owner = &mut fixture.owner;
    let mut last = 0;
    let mut answers = 0;
    let owning = async {
        while answers < CONNECTIONS * ROUNDS as usize {
            let event = owner.next().await.unwrap();
            assert_eq!(event.number, last + 1);
            last = event.number;
            if let postgres_proxy::ProxyEventKind::UnitAnswered { .. } = event.kind {
                answers += 1;
            }
        }
    };
    let both = async { tokio::join!(clients, owning) };
    let (clients, ()) = tokio::time::timeout(3 * LIMIT, both).await.unwrap();
    assert_eq!(proxy.connections().len(), CONNECTIONS);
    drop(clients);
    until(async || {
        while owner.try_next().is_some() {}
        proxy.counts().open == 0
    })
    .await;
    assert_eq!(proxy.counts().lost_track, 0);
}
