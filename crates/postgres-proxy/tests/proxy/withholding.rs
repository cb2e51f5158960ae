//! Answers and notifications that wait for the owner.

use postgres_proxy::{BlockStatus, ConnectionActivity, HeldUnits, ProxyEventKind};
use tokio::time::timeout;

use crate::fixture::*;
use crate::raw::*;

async fn gets_nothing(client: &mut RawClient) -> bool {
    let mut byte = [0];
    timeout(NOTHING_HAPPENS, tokio::io::AsyncReadExt::read(&mut client.stream, &mut byte)).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_answer_has_taken_effect_and_reaches_the_client_when_it_is_released() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut direct = fixture.direct().await;
    sqlx::query("create table withheld (a int)").execute(&mut direct).await.unwrap();
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let (id, _) = fixture.ready().await;
    client.send(&[run("insert into withheld values (1)"), SYNC.to_vec()].concat()).await;
    fixture.held().await.2.release_and_withhold_answer();
    let (answer, permit) = fixture.answered().await;
    assert_eq!((answer.last_tag(), answer.status), (Some("INSERT 0 1"), Some(BlockStatus::Idle)));
    assert!(!answer.partly_forwarded);
    let count: i64 = sqlx::query_scalar("select count(*) from withheld").fetch_one(&mut direct).await.unwrap();
    assert_eq!(count, 1, "it has committed");
    assert!(gets_nothing(&mut client).await);
    assert_eq!(fixture.proxy.connection(id).unwrap().activity, ConnectionActivity::AnswerHeld);
    permit.unwrap().release();
    assert_eq!(client.until(b'Z').await.0, "12CZ");
    client.send(&query("select 1")).await;
    fixture.held().await.2.release_and_withhold_answer();
    let (_, permit) = fixture.answered().await;
    drop(permit);
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_flush_ends_and_a_failed_one_are_withheld_too() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    for (bytes, expected) in [
        ([run("select 1"), FLUSH.to_vec()].concat(), "12DC"),
        ([run("select 1/(random() * 0)::int"), SYNC.to_vec()].concat(), "12EZ"),
        (query("selec"), "EZ"),
    ] {
        client.send(&bytes).await;
        fixture.held().await.2.release_and_withhold_answer();
        let (_, permit) = fixture.answered().await;
        assert!(gets_nothing(&mut client).await);
        permit.unwrap().release();
        assert_eq!(client.until(expected.as_bytes()[expected.len() - 1]).await.0, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_answer_beyond_the_limit_only_the_end_is_withheld_and_it_says_so() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("select repeat('x', 1000) from generate_series(1, 20000)")).await;
    fixture.held().await.2.release_and_withhold_answer();
    let reading = tokio::spawn(async move {
        let tags = client.until(b'Z').await.0;
        tags.len()
    });
    let (answer, permit) = fixture.answered().await;
    assert!(answer.partly_forwarded);
    assert_eq!(answer.results[0].row_count, 20_000);
    tokio::time::sleep(NOTHING_HAPPENS).await;
    assert!(!reading.is_finished());
    permit.unwrap().release();
    assert_eq!(timeout(LIMIT, reading).await.unwrap().unwrap(), 20_003);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_copy_lets_the_request_for_data_pass() {
    let mut fixture = Fixture::new(HeldUnits::Executing).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("create temp table c (a int)")).await;
    fixture.held().await.2.release();
    client.until(b'Z').await;
    fixture.answered().await;
    client.send(&query("copy c from stdin")).await;
    fixture.held().await.2.release_and_withhold_answer();
    client.until(b'G').await;
    client.send(&[message(b'd', &[b"1\n2\n"]), message(b'c', &[])].concat()).await;
    let (answer, permit) = fixture.answered().await;
    assert_eq!((answer.last_tag(), answer.partly_forwarded), (Some("COPY 2"), true));
    assert!(gets_nothing(&mut client).await);
    permit.unwrap().release();
    assert_eq!(client.until(b'Z').await.0, "CZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_withheld_and_let_go() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let mut direct = fixture.direct().await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    client.send(&query("listen withheld_channel")).await;
    client.until(b'Z').await;
    let notify = async |direct: &mut sqlx::PgConnection, payload: &str| {
        sqlx::query("select pg_notify('withheld_channel', $1)").bind(payload).execute(direct).await.unwrap();
    };
    notify(&mut direct, "first").await;
    assert_eq!(client.message().await.unwrap().0, b'A');
    fixture.proxy.withhold_notifications(true);
    notify(&mut direct, "second").await;
    let mut notified = Vec::new();
    while notified.len() < 2 {
        notified.push(
            fixture
                .find(|event| match event.kind {
                    ProxyEventKind::Notified { channel, payload, withheld, .. } => Some((channel, payload, withheld)),
                    _ => None,
                })
                .await,
        );
    }
    let channel = "withheld_channel".to_owned();
    assert_eq!(notified, [(channel.clone(), "first".to_owned(), false), (channel, "second".to_owned(), true)]);
    assert!(gets_nothing(&mut client).await);
    // Other answers pass meanwhile.
    client.send(&query("select 1")).await;
    assert_eq!(client.until(b'Z').await.0, "TDCZ");
    fixture.proxy.withhold_notifications(false);
    let (tag, body) = client.message().await.unwrap();
    assert_eq!((tag, body.ends_with(b"withheld_channel\0second\0")), (b'A', true));
}
