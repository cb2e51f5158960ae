//! A network that drops packets silently: neither side learns that an answer will not come.

use std::sync::Arc;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use private_postgres::running_endpoint;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

use crate::common::{Lab, Setup, cluster, eventually, new_database};

const WITHDRAW: &str = r#"{"userId":1,"amount":-2}"#;

/// Forwards bytes in one direction, and drops them while the network is down.
async fn forward(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, down: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    let mut lost = false;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        lost |= *down.borrow();
        if !lost && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// A proxy to the shared PostgreSQL that can be taken down.
async fn network(socket: std::path::PathBuf) -> (u16, watch::Sender<bool>) {
    let (down, is_down) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&socket).await.expect("PostgreSQL");
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            tokio::spawn(forward(client_reads, server_writes, is_down.clone()));
            tokio::spawn(forward(server_reads, client_writes, is_down.clone()));
        }
    });
    (port, down)
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_packets_end_in_503_or_504_and_block_no_connection_and_no_reset_for_ever() {
    let cluster = cluster().await;
    let endpoint = running_endpoint(cluster.data_dir()).expect("an endpoint");
    let direct = new_database(&cluster).await;
    let (port, down) = network(endpoint.socket_dir.join(format!(".s.PGSQL.{}", endpoint.port))).await;
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .ssl_mode(PgSslMode::Disable)
        .username(&endpoint.user)
        .password(&endpoint.password)
        .database(direct.get_database().expect("a name"));
    let limits = Limits {
        pool_size: 2,
        row_sessions: 2,
        connect_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_millis(300),
        statement_grace: Duration::from_millis(300),
        queue_wait: Duration::from_secs(5),
        ..Limits::default()
    };
    let lab =
        Lab::on(Arc::clone(&cluster), options, Setup { limits, seed: Seed::Withdrawal, ..Setup::default() }).await;
    for (approach, status) in [(Approach::AtomicReturning, 504), (Approach::Pessimistic, 503)] {
        assert_eq!(lab.patch(approach, WITHDRAW).await.status, 200, "{approach}: the network is up");
        down.send_replace(true);
        let answer = lab.patch(approach, WITHDRAW).await;
        assert_eq!(answer.status.as_u16(), status, "{approach}: {}", answer.body);
        assert_eq!(lab.post("/reset", "").await.status, 503, "{approach}: nothing was sent");
        down.send_replace(false);
        eventually("the pool serves again", async || lab.patch(approach, WITHDRAW).await.status == 200).await;
        lab.post("/reset", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
    }
}
