//! COPY in both directions, with the orders of messages that drivers use.

use std::io::Write;
use std::process::{Command, Stdio};

use postgres_proxy::{AnswerEnd, HeldUnits};

use crate::fixture::*;
use crate::raw::*;

fn data(rows: &str) -> Vec<u8> {
    message(b'd', &[rows.as_bytes()])
}

fn done() -> Vec<u8> {
    message(b'c', &[])
}

/// A session with the temporary table `c`, whose events so far are read.
async fn session(fixture: &mut Fixture) -> RawClient {
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("create temp table c (a int)")).await;
    fixture.held().await.2.release();
    client.until(b'Z').await;
    fixture.result().await;
    client
}

/// The next unit works as if nothing had happened, and the table has so many rows.
async fn assert_rows(fixture: &mut Fixture, client: &mut RawClient, rows: usize) {
    client.send(&query("select count(*) from c")).await;
    fixture.held().await.2.release();
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
    let answer = fixture.result().await;
    assert_eq!(answer.results[0].rows[0][0].text, Some(rows.to_string()));
    assert_eq!(fixture.proxy.counts().lost_track, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_copies_in_and_out() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let url = format!("host=127.0.0.1 port={} user=raw dbname=postgres", fixture.proxy.address().port());
    let sql = "create temp table t (a int, b text);\n\\copy t from stdin\n1\tone\n2\ttwo\n\\.\ncopy t to stdout;\n";
    let output = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("psql");
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", &url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\tone\n2\ttwo\n");
    fixture.result().await;
    assert_eq!(fixture.result().await.last_tag(), Some("COPY 2"));
    let out = fixture.result().await;
    assert_eq!((out.last_tag(), out.results[0].copied_bytes), (Some("COPY 2"), 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_copy_is_one_unit_with_its_data() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = session(&mut fixture).await;
    client.send(&query("copy c from stdin; select 7")).await;
    fixture.held().await.2.release();
    client.until(b'G').await;
    client.send(&[data("1\n"), data("2\n"), done()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "CTDCZ");
    let answer = fixture.result().await;
    assert_eq!((answer.result_count, answer.results[0].tag.as_deref()), (2, Some("COPY 2")));
    assert_rows(&mut fixture, &mut client, 2).await;
}

/// libpq's extended COPY: a Sync before the data, which the server ignores, and one after.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_before_the_data_ends_nothing() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = session(&mut fixture).await;
    client.send(&[run("copy c from stdin"), SYNC.to_vec()].concat()).await;
    fixture.held().await.2.release();
    client.until(b'G').await;
    client.send(&[data("1\n"), SYNC.to_vec(), FLUSH.to_vec(), data("2\n"), done(), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "CZ");
    let answer = fixture.result().await;
    assert_eq!((answer.last_tag(), answer.end), (Some("COPY 2"), AnswerEnd::Complete));
    assert_rows(&mut fixture, &mut client, 2).await;
}

/// As asyncpg and tokio-postgres may do: all in one write, before the server has asked for the data.
#[tokio::test(flavor = "multi_thread")]
async fn data_that_come_before_they_are_asked_for_belong_to_the_held_unit() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = session(&mut fixture).await;
    let mut rows = 0;
    for end_of_the_unit in [SYNC, FLUSH] {
        let unit = [run("copy c from stdin"), end_of_the_unit.to_vec()].concat();
        client.send(&[unit, data("1\n"), done(), SYNC.to_vec()].concat()).await;
        fixture.held().await.2.release();
        if end_of_the_unit == FLUSH {
            // The Sync commits what was executed before the Flush.
            fixture.held().await.2.release();
        }
        assert_eq!(client.until(b'Z').await.0, "12GCZ");
        assert_eq!(fixture.result().await.last_tag(), Some("COPY 1"));
        rows += 1;
        assert_rows(&mut fixture, &mut client, rows).await;
    }
    // Without an end of the unit before the data, the data are part of the unit.
    client.send(&[run("copy c from stdin"), data("1\n"), done(), SYNC.to_vec()].concat()).await;
    fixture.held().await.2.release();
    assert_eq!(client.until(b'Z').await.0, "12GCZ");
    assert_rows(&mut fixture, &mut client, rows + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_or_is_given_up_keeps_the_order() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = session(&mut fixture).await;
    let fail = message(b'f', &[b"given up\0"]);
    for (end, sqlstate) in [([data("x\n"), done()].concat(), "22P02"), (fail, "57014")] {
        client.send(&[run("copy c from stdin"), SYNC.to_vec()].concat()).await;
        fixture.held().await.2.release();
        client.until(b'G').await;
        client.send(&[end.clone(), SYNC.to_vec()].concat()).await;
        assert_eq!(client.until(b'Z').await.0, "EZ");
        assert_eq!(fixture.result().await.error.unwrap().sqlstate, sqlstate);
        assert_rows(&mut fixture, &mut client, 0).await;
        client.send(&query("copy c from stdin")).await;
        fixture.held().await.2.release();
        client.until(b'G').await;
        client.send(&end).await;
        assert_eq!(client.until(b'Z').await.0, "EZ");
        assert_eq!(fixture.result().await.error.unwrap().sqlstate, sqlstate);
        assert_rows(&mut fixture, &mut client, 0).await;
    }
    // Refused before the data: the data are ignored, and both Syncs are answered.
    client.send(&[run("copy nowhere from stdin"), SYNC.to_vec(), data("1\n"), done(), SYNC.to_vec()].concat()).await;
    fixture.held().await.2.release();
    assert_eq!(client.until(b'Z').await.0, "12EZ");
    assert_eq!(client.until(b'Z').await.0, "Z");
    assert_rows(&mut fixture, &mut client, 0).await;
}

/// PostgreSQL fails a COPY that is followed by another message, and ends the connection.
#[tokio::test(flavor = "multi_thread")]
async fn another_statement_in_place_of_data_fails_the_copy() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = session(&mut fixture).await;
    client.send(&[run("copy c from stdin"), run("select 1"), SYNC.to_vec()].concat()).await;
    fixture.held().await.2.release();
    assert_eq!(client.until(b'E').await.0, "12GE");
    client.rest().await;
    let answer = fixture.result().await;
    let error = answer.error.unwrap();
    assert_eq!((answer.end, error.sqlstate.as_str()), (AnswerEnd::ConnectionLost, "08P01"));
    assert!(error.message.contains("during COPY from stdin"), "{error}");
    assert_eq!(fixture.proxy.counts().lost_track, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_data_pass_in_both_directions() {
    let fixture = Fixture::new(HeldUnits::Executing).await;
    drop(fixture.owner);
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("create temp table c (a text)")).await;
    client.until(b'Z').await;
    client.send(&query("copy c from stdin")).await;
    client.until(b'G').await;
    let row = data(&format!("{}\n", "x".repeat(1 << 20)));
    for _ in 0..20 {
        client.send(&row).await;
    }
    client.send(&done()).await;
    assert_eq!(client.until(b'Z').await.0, "CZ");
    client.send(&query("copy c to stdout")).await;
    let (tags, _) = client.until(b'Z').await;
    assert_eq!(tags, format!("H{}cCZ", "d".repeat(20)));
}
