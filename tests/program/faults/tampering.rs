//! The comparison against real tables: without a fault it finds nothing, and a row that is changed behind the server's back is found.

use std::sync::Arc;

use concurrency_lab::strategy::Approach;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::fault_rig::{close, finished, insert_pairs, read_pairs};
use super::ledger::{AnswerClass, LoggedRequest, RequestCounts, RequestKind, compare};
use super::load::{Lane, Load, LoadControl};
use crate::program::served::Served;

const PAIRS: i64 = 30;
const FIRST_PAIR: i64 = 1_000;

/// Adds to the balance of a user, as a change of the server does.
async fn tamper(connection: &mut PgConnection, user: i64, amount: i64) {
    let update = "update concurrency_lab.users set balance = balance + $2, version = version + 1 where id = $1";
    sqlx::query(update).bind(user).bind(amount).execute(connection).await.expect("an update");
}

async fn counts(connection: &mut PgConnection, log: &[LoggedRequest]) -> RequestCounts {
    // A version counts every change of a test too.
    let verdict = compare(log, &read_pairs(connection, FIRST_PAIR, PAIRS).await, false);
    verdict.counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_real_tables_a_lost_an_invented_and_a_repeated_change_are_found() {
    let server = Served::on_shared(&[]);
    let options: PgConnectOptions = server.database_url().parse().expect("a URL");
    let mut connection = options.connect().await.expect("a connection");
    insert_pairs(&mut connection, FIRST_PAIR, PAIRS).await;
    let control = Arc::new(LoadControl::new(&server.url));
    let load = Load::start(vec![Lane::new(Approach::Pessimistic, true, FIRST_PAIR, PAIRS)], &control);
    load.every_lane_acknowledges(40, "without a fault").await;
    let (_, log) = load.end().await.pop().expect("a lane");
    finished(&server, &mut connection).await;

    let honest = compare(&log, &read_pairs(&mut connection, FIRST_PAIR, PAIRS).await, true);
    assert!(honest.contradictions.is_empty(), "{:?}", honest.contradictions);
    assert_eq!(honest.counts.acknowledged + honest.counts.refused, honest.counts.requests);

    let acknowledged = |kind| {
        let mut found = log.iter().filter(|request| request.kind == kind && request.digit < 30);
        found.find(|request| request.end() == AnswerClass::Acknowledged).expect("an acknowledged request")
    };
    let (deposit, transfer) = (acknowledged(RequestKind::Deposit), acknowledged(RequestKind::Transfer));
    let expected = honest.counts;
    for (request, user, sign, found) in [
        (deposit, deposit.payee(), -1, RequestCounts { lost: 1, ..expected }),
        (deposit, deposit.payee(), 1, RequestCounts { made_twice: 1, ..expected }),
        (transfer, transfer.payee(), -1, RequestCounts { half_made: 1, ..expected }),
        (transfer, transfer.payer(), 1, RequestCounts { half_made: 1, ..expected }),
    ] {
        tamper(&mut connection, user, sign * request.amount()).await;
        assert_eq!(counts(&mut connection, &log).await, found, "{request:?}");
        tamper(&mut connection, user, -sign * request.amount()).await;
    }
    // A pair that no client has reached.
    tamper(&mut connection, 2 * (FIRST_PAIR + PAIRS - 1), 1).await;
    assert_eq!(counts(&mut connection, &log).await, RequestCounts { unexplained_rows: 1, ..expected });
    close(connection).await;
}
