//! A statement that the server has sent but that PostgreSQL gets late: after the server has given up, answered, and served other
//! requests for the row.
//!
//! No server can take such a statement back. An approach is safe if PostgreSQL itself refuses what is outdated, or if the late statement
//! is right at any time.

use std::sync::Arc;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;

use crate::common::relay::Relay;
use crate::common::standby::socket;
use crate::common::{Answer, Lab, Setup, cluster, eventually, new_database, offering};

/// A part of the statement that writes a balance, under every approach.
const WRITES: &[&str] = &["set balance =", "lab_change_balance"];

const START: i64 = 10_000;

fn limits() -> Limits {
    Limits {
        statement_timeout: Duration::from_millis(300),
        statement_grace: Duration::from_millis(500),
        lock_timeout: Duration::from_millis(100),
        // PostgreSQL ends the transaction whose next statement does not arrive.
        idle_in_transaction_timeout: Duration::from_millis(400),
        ..Limits::default()
    }
}

/// Withdraws 2 with a write that is late and 3 with another one that is acknowledged meanwhile. Returns the status of the first and the
/// balance after the late write has arrived.
async fn balance_after_a_late_write(lab: &Lab, relay: &Relay, approach: Approach) -> (u16, i64) {
    lab.post("/reset", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
    // Only the first use of a statement on a connection sends its text, so all connections are new.
    relay.cut();
    eventually("the server has new connections", async || {
        let zero = lab.change(Approach::ReadCommitted, r#"{"userId":2,"amount":0}"#);
        Answer::of(zero).await.status == 404
    })
    .await;
    relay.hold_statement(WRITES);
    let late = tokio::spawn(Answer::of(lab.change(approach, r#"{"userId":1,"amount":-2}"#)));
    eventually("the write is on its way", async || relay.holds_statement()).await;
    let late = late.await.expect("an answer");
    let mut unknown = 0;
    eventually("another withdrawal is acknowledged", async || {
        let other = lab.patch(approach, r#"{"userId":1,"amount":-3}"#).await.status;
        unknown += i64::from(other == 504);
        other == 200
    })
    .await;
    assert_eq!(unknown, 0, "{approach}: the machine is too slow for these limits");
    relay.forward_statement();
    // The late statement is over when PostgreSQL has ended its session: the server has given that one up.
    let mut connection = lab.connection().await;
    let sessions = "select count(*) from pg_stat_activity where datname = current_database() \
                    and backend_type = 'client backend' and pid <> pg_backend_pid()";
    eventually("PostgreSQL has ended the session of the late write", async || {
        let sessions: i64 = sqlx::query_scalar(sessions).fetch_one(&mut connection).await.expect("a count");
        usize::try_from(sessions).expect("a count") == lab.engine.server().database().pool().status().open
    })
    .await;
    (late.status.as_u16(), lab.account(1).await.balance)
}

#[tokio::test]
async fn a_late_write_overwrites_an_acknowledged_change_only_under_approaches_that_write_what_they_read_without_a_guard()
 {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    let relay = Relay::start(socket(options.get_socket().expect("a socket"), options.get_port())).await;
    let setup = Setup { seed: Seed::Withdrawal, limits: limits(), ..Setup::default() };
    let lab = Lab::on(Arc::clone(&cluster), relay.options(&options), setup).await;
    for approach in offering(Workload::Balance) {
        let (status, balance) = balance_after_a_late_write(&lab, &relay, approach).await;
        let (only_other, both, only_late) = (START - 3, START - 5, START - 2);
        let allowed = match (approach.info().claims.balance, status) {
            // 503: its transaction has ended without a commit.
            (Claim::Safe | Claim::Broken, 503) => vec![only_other],
            (Claim::Safe, 504) => vec![only_other, both],
            // These do not lock the row in PostgreSQL, and write outside a transaction: the acknowledged change is lost.
            (Claim::SafeOnOneServer | Claim::Broken, 504) => vec![only_late],
            other => panic!("{approach}: {other:?}"),
        };
        assert!(allowed.contains(&balance), "{approach}: {status}, balance {balance}");
    }
}
