//! The cost of the proxy for one `select 1`, beside the same without it. It measures and asserts nothing, so it runs only
//! by name: `cargo test -p postgres-proxy --test proxy -- --ignored --nocapture`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use postgres_proxy::{HeldUnits, Owner, ProxyEventKind};
use tokio::net::{TcpListener, UnixStream};
use tokio_postgres::{Client, NoTls};

use crate::fixture::*;

const ROUNDS: usize = 5000;

async fn one_round(client: &Client, extended: bool) -> Duration {
    let begin = Instant::now();
    if extended {
        client.query("select 1", &[]).await.unwrap();
    } else {
        client.simple_query("select 1").await.unwrap();
    }
    begin.elapsed()
}

/// The median, for each client; the clients take turns, so that all meet the same noise.
async fn medians(clients: &[Client], extended: bool) -> Vec<Duration> {
    let mut times = vec![Vec::new(); clients.len()];
    for _ in 0..ROUNDS {
        for (client, times) in clients.iter().zip(&mut times) {
            times.push(one_round(client, extended).await);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[ROUNDS / 2]
    };
    times.iter_mut().map(median).collect()
}

/// The least that any proxy costs: the same hop, without a look at the bytes.
async fn relay_of_bytes(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        let mut server = UnixStream::connect(socket).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await.unwrap();
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn added_latency_of_one_select() {
    let cluster = cluster().await;
    let server = server_of(&cluster);
    let plain = start(server.clone(), HeldUnits::None, None).await;
    let (mut owner, events) = Owner::channel();
    let watched = start(server.clone(), HeldUnits::None, Some(events.clone())).await;
    let held = start(server, HeldUnits::Executing, Some(events)).await;
    tokio::spawn(async move {
        while let Some(event) = owner.next().await {
            if let ProxyEventKind::UnitArrived { permit: Some(permit), .. } = event.kind {
                permit.release();
            }
        }
    });
    let relay = relay_of_bytes(cluster.connect_options().get_socket().unwrap().join(".s.PGSQL.5432")).await;
    let socket = cluster.connect_options().get_socket().unwrap().display().to_string();
    let config = format!("host={socket} port=5432 user=raw dbname=postgres");
    let (direct, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    let relayed = connect_to(relay).await;
    let clients = [direct, relayed, connect(&plain).await, connect(&watched).await, connect(&held).await];
    for extended in [false, true] {
        let medians = medians(&clients, extended).await;
        let names = ["direct (socket)", "a relay of bytes", "forwarded", "with events", "held and released"];
        let protocol = if extended { "prepare and execute" } else { "simple" };
        for (name, median) in names.iter().zip(medians) {
            println!("{protocol}: {name}: {median:?}");
        }
    }
}
