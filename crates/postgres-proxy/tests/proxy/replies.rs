//! Units and their answers: simple and extended queries, pipelines, errors that skip, cursors.

use postgres_proxy::{AnswerEnd, BlockStatus, ClientUnitKind, HeldUnits, UnitAnswer};
use tokio_postgres::types::ToSql;

use crate::fixture::*;
use crate::raw::*;

fn tags(answer: &UnitAnswer) -> Vec<Option<&str>> {
    answer.results.iter().map(|result| result.tag.as_deref()).collect()
}

fn texts(answer: &UnitAnswer) -> Vec<Vec<Option<&str>>> {
    let rows = answer.results.iter().flat_map(|result| &result.rows);
    rows.map(|row| row.iter().map(|value| value.text.as_deref()).collect()).collect()
}

fn sqlstate(answer: &UnitAnswer) -> &str {
    answer.error.as_ref().map_or("none", |error| error.sqlstate.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_query_with_several_statements_is_one_unit_with_their_results() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let sql = "create temp table t (a int); insert into t values (1), (2); select a, 'x' as b from t; begin";
    client.send(&query(sql)).await;
    assert_eq!(client.until(b'Z').await.0, "CCTDDCCZ");
    let unit = fixture.executing().await;
    assert_eq!((unit.kind, unit.sql().as_str(), unit.number), (ClientUnitKind::Query, sql, 1));
    let answer = fixture.result().await;
    assert_eq!(tags(&answer), [Some("CREATE TABLE"), Some("INSERT 0 2"), Some("SELECT 2"), Some("BEGIN")]);
    assert_eq!(texts(&answer), [[Some("1"), Some("x")], [Some("2"), Some("x")]]);
    let names: Vec<_> = answer.results[2].fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!((names, answer.status), (vec!["a", "b"], Some(BlockStatus::InBlock)));

    client.send(&query("select 1/0; select 2")).await;
    client.until(b'Z').await;
    let answer = fixture.result().await;
    assert_eq!((sqlstate(&answer), answer.status, answer.result_count), ("22012", Some(BlockStatus::Failed), 1));
    assert_eq!(answer.error.unwrap().message, "division by zero");
    client.send(&query("rollback;")).await;
    client.until(b'Z').await;
    assert_eq!(fixture.result().await.status, Some(BlockStatus::Idle));
    client.send(&query("")).await;
    assert_eq!(client.until(b'Z').await.0, "IZ");
    let answer = fixture.result().await;
    assert_eq!((tags(&answer), answer.end), (vec![None], AnswerEnd::Complete));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_known_by_its_text_and_housekeeping_by_its_kind() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&[parse("s", "select $1::text || '!'"), describe_statement("s"), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "1tTZ");
    client.send(&[bind("s", &["hello"]), execute(), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "2DCZ");
    let prepared = fixture.find(|event| match event.kind {
        postgres_proxy::ProxyEventKind::UnitArrived { unit, .. } => Some(unit),
        _ => None,
    });
    let prepared = prepared.await;
    assert!(prepared.is_housekeeping());
    assert_eq!(prepared.parses[0].text, "select $1::text || '!'");
    let unit = fixture.executing().await;
    assert_eq!((unit.number, unit.kind, unit.bytes), (2, ClientUnitKind::Sync, 38));
    let execution = &unit.executions[0];
    assert_eq!(
        (execution.sql.as_ref().unwrap().text.as_str(), execution.statement.as_deref()),
        ("select $1::text || '!'", Some("s"))
    );
    assert_eq!(execution.values[0].text.as_deref(), Some("hello"));
    let answer = fixture.result().await;
    assert_eq!((answer.unit, texts(&answer)), (2, vec![vec![Some("hello!")]]));
    assert_eq!(answer.results[0].fields[0].name, "?column?");
}

/// A refused Parse must not change what a later Bind of the name means.
#[tokio::test(flavor = "multi_thread")]
async fn a_parse_that_the_server_refuses_or_skips_leaves_the_name_as_it_was() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    for (first, sqlstate) in [(parse("s", "select 2"), "42P05"), (parse("t", "selec"), "42601")] {
        client.send(&[parse("s", "select 1"), SYNC.to_vec()].concat()).await;
        client.until(b'Z').await;
        let close = message(b'C', &[b"Ss\0"]);
        client.send(&[first, close.clone(), parse("s", "select 3"), SYNC.to_vec()].concat()).await;
        assert_eq!(client.until(b'Z').await.0, "EZ");
        client.send(&[bind("s", &[]), execute(), SYNC.to_vec()].concat()).await;
        assert_eq!(client.until(b'Z').await.0, "2DCZ");
        client.send(&[close, SYNC.to_vec()].concat()).await;
        client.until(b'Z').await;
        assert_eq!(self::sqlstate(&fixture.result().await), sqlstate);
        assert_eq!(texts(&fixture.result().await), [[Some("1")]]);
    }
    // The events of the units themselves are gone by now; the text is asked for once more.
    client.send(&[parse("s", "select 1"), SYNC.to_vec(), parse("s", "select 2"), SYNC.to_vec()].concat()).await;
    client.send(&[bind("s", &[]), execute(), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'D').await.0, "1ZEZ2D");
    client.send(&[bind("s", &[]), execute(), SYNC.to_vec()].concat()).await;
    let unit = fixture.executing().await;
    // Sent before the refusal was known: the text may be that of the refused statement.
    assert!(unit.executions[0].sql.is_some());
    assert_eq!(fixture.executing().await.sql(), "select 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_units_are_answered_in_order_also_after_an_error() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let units = [
        [run("select 1"), SYNC.to_vec()].concat(),
        [run("select 1/(random() * 0)::int"), run("select 3"), SYNC.to_vec()].concat(),
        query("select 4"),
        [run("select 5"), run("select 6"), SYNC.to_vec()].concat(),
    ];
    client.send(&units.concat()).await;
    for expected in ["12DCZ", "12EZ", "TDCZ", "12DC12DCZ"] {
        assert_eq!(client.until(b'Z').await.0, expected);
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = fixture.result().await;
        seen.push((
            answer.unit,
            texts(&answer).concat().join_texts(),
            sqlstate(&answer).to_owned(),
            answer.result_count,
        ));
    }
    let expected = [(1, "1", "none", 1), (2, "", "22012", 1), (3, "4", "none", 1), (4, "5 6", "none", 2)];
    let seen: Vec<_> =
        seen.iter().map(|(unit, rows, state, count)| (*unit, rows.as_str(), state.as_str(), *count)).collect();
    assert_eq!(seen, expected);
}

trait JoinTexts {
    fn join_texts(&self) -> String;
}

impl JoinTexts for Vec<Option<&str>> {
    fn join_texts(&self) -> String {
        self.iter().map(|text| text.unwrap_or("NULL")).collect::<Vec<_>>().join(" ")
    }
}

/// asyncpg's way: Flush instead of Sync, and a Sync alone that commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_a_flush_ends_is_answered_without_a_status_and_the_sync_commits() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&[parse("", "select 1"), describe_statement(""), FLUSH.to_vec()].concat()).await;
    assert_eq!(client.until(b'T').await.0, "1tT");
    client.send(&[bind("", &[]), execute(), FLUSH.to_vec()].concat()).await;
    assert_eq!(client.until(b'C').await.0, "2DC");
    let (described, _) = fixture.answered().await;
    assert_eq!((described.unit, described.status, described.end), (1, None, AnswerEnd::Complete));
    let answer = fixture.result().await;
    assert_eq!((answer.unit, answer.status, texts(&answer)), (2, None, vec![vec![Some("1")]]));
    client.send(FLUSH).await;
    client.send(SYNC).await;
    client.until(b'Z').await;
    client.send(SYNC).await;
    client.until(b'Z').await;
    let (lone_flush, _) = fixture.answered().await;
    assert_eq!((lone_flush.unit, lone_flush.end), (3, AnswerEnd::Complete));
    let (committed, _) = fixture.answered().await;
    assert_eq!((committed.unit, committed.status), (4, Some(BlockStatus::Idle)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_alone_is_a_step_only_after_flushed_executions() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let mut housekeeping = Vec::new();
    for (bytes, last) in [
        ([run("select 1"), FLUSH.to_vec()].concat(), b'C'),
        (SYNC.to_vec(), b'Z'),
        (SYNC.to_vec(), b'Z'),
        (query("begin"), b'Z'),
        ([run("select 1"), FLUSH.to_vec()].concat(), b'C'),
        // In a block the Sync commits nothing.
        (SYNC.to_vec(), b'Z'),
    ] {
        client.send(&bytes).await;
        client.until(last).await;
        let unit = fixture.find(|event| match event.kind {
            postgres_proxy::ProxyEventKind::UnitArrived { unit, .. } => Some(unit),
            _ => None,
        });
        housekeeping.push(unit.await.is_housekeeping());
    }
    assert_eq!(housekeeping, [false, false, true, false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_flushed_units_are_skipped_up_to_the_sync() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    // A constant is folded at Bind, so there is no result.
    client.send(&[run("select 1/0"), FLUSH.to_vec()].concat()).await;
    assert_eq!(client.until(b'E').await.0, "1E");
    client.send(&[run("select 2"), FLUSH.to_vec(), query("select 3"), run("select 4"), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "Z");
    client.send(&query("select 5")).await;
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
    let mut seen = Vec::new();
    for _ in 0..5 {
        let (answer, _) = fixture.answered().await;
        seen.push((answer.unit, answer.end, answer.error.is_some(), answer.result_count));
    }
    let skipped = AnswerEnd::Skipped;
    let complete = AnswerEnd::Complete;
    let expected = [
        (1, complete, true, 0),
        (2, skipped, false, 0),
        (3, skipped, false, 0),
        (4, complete, false, 0),
        (5, complete, false, 1),
    ];
    assert_eq!(seen, expected);
    assert_eq!(fixture.proxy.counts().lost_track, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_fetched_in_parts_is_suspended_between_them() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("begin")).await;
    client.until(b'Z').await;
    client
        .send(&[parse("", "select generate_series(1, 3)"), bind("", &[]), execute_rows(2), SYNC.to_vec()].concat())
        .await;
    assert_eq!(client.until(b'Z').await.0, "12DDsZ");
    client.send(&[execute_rows(2), SYNC.to_vec()].concat()).await;
    assert_eq!(client.until(b'Z').await.0, "DCZ");
    fixture.result().await;
    let first = fixture.result().await;
    assert_eq!((first.results[0].suspended, first.results[0].row_count, tags(&first)), (true, 2, vec![None]));
    let second = fixture.result().await;
    assert_eq!((second.results[0].suspended, tags(&second)), (false, vec![Some("SELECT 1")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_call_is_a_unit() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    // abs(int4) has the oid 1397; one text argument, a text result.
    let call = [&1397_u32.to_be_bytes()[..], b"\0\x01\0\0", b"\0\x01\0\0\0\x02-7", b"\0\0"];
    client.send(&message(b'F', &call)).await;
    assert_eq!(client.until(b'Z').await.0, "VZ");
    assert_eq!(fixture.executing().await.kind, ClientUnitKind::FunctionCall);
    assert_eq!(fixture.answered().await.0.status, Some(BlockStatus::Idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_pipelines_gets_its_answers() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let client = fixture.client().await;
    let statement = client.prepare("select $1::int4 * 2").await.unwrap();
    let numbers: Vec<i32> = (0..100).collect();
    let statement = &statement;
    let client = &client;
    let tasks = numbers.iter().map(|number| async move {
        let parameters: [&(dyn ToSql + Sync); 1] = [number];
        client.query_one(statement, &parameters).await.unwrap().get::<_, i32>(0)
    });
    // All are sent before the first is answered.
    let mut answers = Vec::new();
    let mut pending: Vec<_> = tasks.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        pending.retain_mut(|task| match task.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers.sort_unstable();
    assert_eq!(answers, numbers.iter().map(|number| number * 2).collect::<Vec<_>>());
    for number in &numbers {
        let answer = fixture.result().await;
        assert_eq!(texts(&answer), [[Some((number * 2).to_string().as_str())]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_units_than_replies_may_be_outstanding_in_one_write_are_all_answered() {
    // More than the replies that a connection may wait for.
    const UNITS: usize = 25_000;
    let cluster = cluster().await;
    let proxy = start(server_of(&cluster), HeldUnits::None, None).await;
    let mut client = RawClient::ready(proxy.address()).await;
    let bytes = SYNC.repeat(UNITS);
    let (mut reader, mut writer) = client.stream.split();
    let write = async { tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes).await.unwrap() };
    let read = async {
        let mut answers = vec![0; 6 * UNITS];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut answers).await.unwrap();
        assert!(answers.chunks(6).all(|answer| answer == b"Z\0\0\0\x05I"));
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(write, read) }).await.unwrap();
    assert_eq!(proxy.connections()[0].counts.units, UNITS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_message_is_left_to_the_server() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    // PostgreSQL answers an unknown tag, and closes without a word after an invalid length.
    for (bytes, answer) in [
        (b"Q\0\0\0\x03".as_slice(), ""),
        (b"\x01\0\0\0\x04", "invalid frontend message type 1"),
        (b"\xff\xff\xff\xff\xff\xff", "invalid frontend message type 255"),
    ] {
        let mut client = RawClient::ready(fixture.proxy.address()).await;
        client.send(bytes).await;
        let rest = client.rest().await;
        assert!(
            String::from_utf8_lossy(&rest).contains(answer) && rest.is_empty() == answer.is_empty(),
            "{bytes:?}: {rest:?}"
        );
        let reason = fixture.find(|event| match event.kind {
            postgres_proxy::ProxyEventKind::LostTrack { reason } => Some(reason),
            _ => None,
        });
        let reason = reason.await;
        assert!(reason.starts_with("the client sent a message with the"), "{reason}");
    }
    assert_eq!(fixture.proxy.counts().lost_track, 3);
}
