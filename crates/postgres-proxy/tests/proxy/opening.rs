//! The first packets: versions, refused encryption, SCRAM, garbage.

use std::process::{Command, Output, Stdio};

use postgres_proxy::{ClosedBy, Encryption, HeldUnits, Proxy, ProxyEventKind, ProxyOptions, ServerAddress};
use sqlx::Connection;

use crate::fixture::*;
use crate::raw::{PROTOCOL_3_0, RawClient, TERMINATE, query, startup};

fn error_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', " ")
}

async fn psql(proxy: &Proxy, user: &str, password: &str, more: &str) -> Output {
    let url = format!("host=127.0.0.1 port={} user={user} dbname=postgres {more}", proxy.address().port());
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-c", "select 6 * 7", &url]).env("PGPASSWORD", password).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_passes_through_and_a_wrong_password_is_refused_by_the_server() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let right = psql(&fixture.proxy, "other", "pass word", "").await;
    assert_eq!(String::from_utf8_lossy(&right.stdout), "42\n", "{right:?}");
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Goodbye);

    let wrong = psql(&fixture.proxy, "other", "password", "").await;
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("password authentication failed"), "{wrong:?}");
    let error =
        fixture.find(|event| if let ProxyEventKind::ServerFailed(error) = event.kind { Some(error) } else { None });
    assert_eq!(error.await.sqlstate, "28P01");
    let (_, closed) = fixture.closed().await;
    assert_eq!((closed.by, closed.was_ready), (ClosedBy::Server, false));
    assert_eq!(fixture.proxy.counts().lost_track, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlx_connects_with_scram_after_tls_was_refused() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let url = format!("postgres://other:pass%20word@127.0.0.1:{}/postgres", fixture.proxy.address().port());
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let number: i32 = sqlx::query_scalar("select $1 + 1").bind(41).fetch_one(&mut connection).await.unwrap();
    assert_eq!(number, 42);
    connection.close().await.unwrap();
    let refused = fixture.find(|event| match event.kind {
        ProxyEventKind::EncryptionRefused(encryption) => Some(encryption),
        _ => None,
    });
    assert_eq!(refused.await, Encryption::Tls);
    let unit = fixture.executing().await;
    assert_eq!(unit.executions[0].sql.as_ref().unwrap().text, "select $1 + 1");
    assert_eq!(unit.executions[0].values[0].text.as_deref(), Some("41"));
    assert_eq!(fixture.closed().await.1.by, ClosedBy::Goodbye);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_insists_on_tls_is_recognised() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let output = psql(&fixture.proxy, "raw", "", "sslmode=require").await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("server does not support SSL"), "{output:?}");
    assert_eq!(fixture.closed().await.1.by, ClosedBy::ClientWantsEncryption);
    assert_eq!(fixture.proxy.counts().encryption_refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_startup_packet_and_the_backend_are_told() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let client = fixture.client().await;
    let packet =
        fixture.find(|event| if let ProxyEventKind::Opened(packet) = event.kind { Some(packet) } else { None });
    let packet = packet.await;
    assert_eq!(
        (packet.version, packet.parameter("user"), packet.parameter("database")),
        ((3, 0), Some("raw"), Some("postgres"))
    );
    let (id, backend_pid) = fixture.ready().await;
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    assert_eq!(pid, backend_pid);
    assert_eq!(fixture.proxy.connection(id).unwrap().backend_pid, Some(pid));
}

/// The answer of PostgreSQL to a version, without and with the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_protocol_3_2_and_unknown_versions_itself() {
    let fixture = Fixture::new(HeldUnits::None).await;
    for (version, expected) in [
        (PROTOCOL_3_0, "R"),
        // An older server negotiates down with NegotiateProtocolVersion, a newer one speaks 3.2.
        (PROTOCOL_3_0 | 2, "vR"),
        (PROTOCOL_3_0 | 9, "vR"),
        (2 << 16, "E"),
        (4 << 16, "E"),
    ] {
        let mut client = RawClient::open(fixture.proxy.address()).await;
        client.send(&startup(version, "raw")).await;
        if expected == "E" {
            // In the format of version 2 for version 2.
            let answer = client.rest().await;
            assert!(error_of(&answer).contains("unsupported frontend protocol"), "{}", error_of(&answer));
            continue;
        }
        let (first, _) = client.message().await.unwrap();
        assert!(expected.contains(first as char), "{version:#x}: {}", first as char);
        client.until(b'Z').await;
        client.send(&query("select 1")).await;
        assert_eq!(client.until(b'Z').await.0, "TDCZ");
        client.send(TERMINATE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_the_start_gets_a_clear_error_and_does_not_reach_the_server() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".as_slice(), "a startup packet of 1195725856 bytes; 8 to 10000 are allowed"),
        (b"\0\0\0\x07abc", "a startup packet of 7 bytes"),
        (b"\x16\x03\x01\x02\0\x01", "the proxy offers no TLS"),
        (b"\0\0\0\x08\x04\xd2\x16\x2e", "a cancel request that is too short"),
    ] {
        let mut client = RawClient::open(fixture.proxy.address()).await;
        client.send(bytes).await;
        let (tag, body) = client.message().await.unwrap();
        assert_eq!(tag, b'E');
        let error = error_of(&body);
        assert!(error.contains("SFATAL VFATAL C08P01") && error.contains(expected), "{error}");
        assert!(client.rest().await.is_empty());
        drop(client);
        let (_, closed) = fixture.closed().await;
        assert_eq!((closed.by, closed.was_ready), (ClosedBy::Refused, false));
        assert!(closed.reason.unwrap().contains(expected));
    }
    let mut client = RawClient::open(fixture.proxy.address()).await;
    for _ in 0..4 {
        client.send(b"\0\0\0\x08\x04\xd2\x16\x2f").await;
        let mut answer = [0];
        tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut answer).await.unwrap();
        assert_eq!(&answer, b"N");
    }
    client.send(b"\0\0\0\x08\x04\xd2\x16\x2f").await;
    assert!(fixture.closed().await.1.reason.unwrap().contains("more than 4 requests for encryption"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_before_its_startup_packet_ends_quietly() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    for bytes in [b"".as_slice(), b"\0\0", b"\0\0\0\x40\0\x03\0\0us"] {
        let mut client = RawClient::open(fixture.proxy.address()).await;
        client.send(bytes).await;
        drop(client);
        assert_eq!(fixture.closed().await.1.by, ClosedBy::Client);
    }
    assert_eq!(fixture.proxy.counts().open, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_gets_an_error_that_names_it() {
    for server in [ServerAddress::tcp("127.0.0.1", 1), ServerAddress::socket_dir("/nowhere", 5432)] {
        let expected = format!("cannot reach PostgreSQL at {server}");
        let proxy = start(server, HeldUnits::None, None).await;
        let output = psql(&proxy, "raw", "", "").await;
        assert!(String::from_utf8_lossy(&output.stderr).contains(&expected), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_tcp_is_reached_too() {
    let fixture = Fixture::new(HeldUnits::None).await;
    let first = fixture.proxy.address();
    let second = start(ServerAddress::tcp("localhost", first.port()), HeldUnits::None, None).await;
    let client = connect(&second).await;
    let number: i32 = client.query_one("select 7", &[]).await.unwrap().get(0);
    assert_eq!((number, fixture.proxy.counts().accepted), (7, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let cluster = cluster().await;
    let proxy = start(server_of(&cluster), HeldUnits::None, None).await;
    let port = proxy.address().port();
    let error = Proxy::start(ProxyOptions { port, ..ProxyOptions::new(server_of(&cluster)) }).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("the proxy cannot listen on 127.0.0.1:{port}: ")), "{error}");
    proxy.stop().await;
    let options = ProxyOptions { port, ..ProxyOptions::new(server_of(&cluster)) };
    assert_eq!(Proxy::start(options).await.unwrap().address().port(), port);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_connections_out_of_its_range_is_an_error_that_names_it() {
    for max_connections in [0, 2001] {
        let server = ServerAddress::tcp("127.0.0.1", 5432);
        let error = Proxy::start(ProxyOptions { max_connections, ..ProxyOptions::new(server) }).await.unwrap_err();
        assert_eq!(error.to_string(), format!("max_connections is {max_connections}; 1 to 2000 are allowed"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_is_refused_and_the_next_one_served() {
    let cluster = cluster().await;
    let options = ProxyOptions { max_connections: 2, ..ProxyOptions::new(server_of(&cluster)) };
    let proxy = Proxy::start(options).await.unwrap();
    let (first, _second) = (connect(&proxy).await, connect(&proxy).await);
    let output = psql(&proxy, "raw", "", "").await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("at most 2 connections"), "{output:?}");
    drop(first);
    until(async || proxy.counts().open == 1).await;
    let output = psql(&proxy, "raw", "", "").await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
    assert_eq!(proxy.counts().refused, 1);
}
