//! The faults: each happens to the real part, and is over when its function returns.

use std::time::Duration;

use concurrency_lab::strategy::Approach;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use strum::{Display, EnumIter};

use super::fault_rig::{FaultRig, OTHER_PROGRAM, ROLE};
use super::ledger::{payee, payer};
use super::load::Load;
use crate::common::eventually;

/// The approaches that meet the faults: one of each kind of protocol.
pub const APPROACHES: [Approach; 7] = [
    Approach::AtomicReturning,
    Approach::Pessimistic,
    Approach::OptimisticVersion,
    Approach::AdvisoryLock,
    Approach::Serializable,
    Approach::InProcessMutex,
    Approach::GroupCommit,
];

/// PostgreSQL, or the way to it, does nothing for so long.
const SILENCE: Duration = Duration::from_millis(700);

/// Longer than a session of the server waits for an answer: its statement timeout of a second, and 5 s.
const LONG_SILENCE: Duration = Duration::from_millis(6_500);

/// How long a state lasts that the server should notice.
const STATE: Duration = Duration::from_millis(300);

/// Longer than the lock timeout of the server.
const LOCKED: Duration = Duration::from_millis(900);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter)]
#[strum(serialize_all = "kebab-case")]
pub enum FaultFamily {
    PostmasterKilled,
    BackendKilled,
    ImmediateShutdown,
    FastShutdown,
    BackendsTerminated,
    StatementsCancelled,
    PostgresFrozen,
    ConnectionsCut,
    MessagesCut,
    NetworkSilent,
    ReadOnly,
    TooFewConnections,
    RowsLocked,
    ClientsHangUp,
    ServerKilled,
    ServerStopped,
    PoolerKilled,
}

impl FaultFamily {
    /// What happens, for readers of the table.
    pub fn description(self) -> &'static str {
        match self {
            Self::PostmasterKilled => "SIGKILL of PostgreSQL's first process, then a start",
            Self::BackendKilled => "SIGKILL of one session's process of PostgreSQL, which makes it recover",
            Self::ImmediateShutdown => "immediate shutdown (SIGQUIT), then a start",
            Self::FastShutdown => "fast shutdown (SIGINT), then a start",
            Self::BackendsTerminated => "pg_terminate_backend of one working session after the other",
            Self::StatementsCancelled => "pg_cancel_backend of one working session after the other",
            Self::PostgresFrozen => "all processes of PostgreSQL stopped (SIGSTOP) for 0.7 s",
            Self::ConnectionsCut => "all connections to PostgreSQL cut, five times in 0.2 s",
            Self::MessagesCut => "connections cut before or after a message to PostgreSQL, most often COMMIT",
            Self::NetworkSilent => "nothing arrives for 0.7 s or 6.5 s, then the connections go on or are cut",
            Self::ReadOnly => "default_transaction_read_only for 0.3 s",
            Self::TooFewConnections => "the role may have 4 connections, and other programs take 2",
            Self::RowsLocked => "another session holds the rows for 0.9 s and makes deadlocks",
            Self::ClientsHangUp => "clients close their connections before the answer",
            Self::ServerKilled => "SIGKILL of the server, then a start",
            Self::ServerStopped => "SIGTERM of the server, then a start",
            Self::PoolerKilled => "SIGKILL of PgBouncer (session mode), then a start",
        }
    }

    /// Lets the fault happen once. `turn` counts from 0; in a long run, faults vary with it.
    pub async fn happen(self, rig: &mut FaultRig, load: &Load, turn: u32) {
        match self {
            Self::PostmasterKilled => rig.postgres.restart_after(Signal::SIGKILL).await,
            Self::ImmediateShutdown => rig.postgres.restart_after(Signal::SIGQUIT).await,
            Self::FastShutdown => rig.postgres.restart_after(Signal::SIGINT).await,
            Self::BackendKilled => kill_backend(rig).await,
            Self::BackendsTerminated => signal_working(rig, "pg_terminate_backend", 20).await,
            Self::StatementsCancelled => signal_working(rig, "pg_cancel_backend", 60).await,
            Self::PostgresFrozen => rig.postgres.freeze(SILENCE).await,
            Self::ConnectionsCut => {
                for _ in 0..5 {
                    rig.relay.cut();
                    tokio::time::sleep(Duration::from_millis(40)).await;
                }
            }
            Self::MessagesCut => {
                rig.relay.cut_at_messages(25);
                tokio::time::sleep(2 * STATE).await;
                rig.relay.cut_at_messages(0);
            }
            Self::NetworkSilent => {
                rig.relay.hold(true);
                tokio::time::sleep(if turn % 4 == 3 { LONG_SILENCE } else { SILENCE }).await;
                if turn.is_multiple_of(2) {
                    rig.relay.cut();
                }
                rig.relay.hold(false);
            }
            Self::ReadOnly => {
                set_read_only(rig, "on").await;
                tokio::time::sleep(STATE).await;
                set_read_only(rig, "off").await;
            }
            Self::TooFewConnections => take_connections(rig).await,
            Self::RowsLocked => lock_rows(rig, load).await,
            Self::ClientsHangUp => {
                rig.control.hang_up(true);
                tokio::time::sleep(2 * STATE).await;
                rig.control.hang_up(false);
            }
            Self::ServerKilled => rig.restart_server(Signal::SIGKILL).await,
            Self::ServerStopped => rig.restart_server(Signal::SIGTERM).await,
            Self::PoolerKilled => rig.restart_pooler(),
        }
    }
}

/// The sessions of the server, those that work first.
fn sessions() -> String {
    format!(
        "(select pid, state from pg_stat_activity where usename = '{ROLE}' \
         and application_name <> '{OTHER_PROGRAM}' order by state = 'active' desc, random()) s"
    )
}

async fn kill_backend(rig: &FaultRig) {
    let mut administrator = rig.administrator().await;
    let pid = format!("select pid from {} limit 1", sessions());
    eventually("the process of a session is killed", async || {
        let pid = sqlx::query_scalar(AssertSqlSafe(pid.clone())).fetch_optional(&mut administrator).await;
        pid.expect("an answer").is_some_and(|pid| rig.postgres.kill_backend(pid))
    })
    .await;
    // PostgreSQL ends this session too, as it ends all.
    eventually("PostgreSQL ends its sessions", async || administrator.ping().await.is_err()).await;
    let recovered = rig.administrator().await;
    recovered.close().await.expect("a clean end");
}

async fn signal_working(rig: &FaultRig, function: &'static str, times: u32) {
    let mut administrator = rig.administrator().await;
    let signal = format!("select {function}(pid) from {} where state = 'active' limit 1", sessions());
    for _ in 0..times {
        administrator.execute(AssertSqlSafe(signal.clone())).await.expect("a signal");
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
}

async fn set_read_only(rig: &FaultRig, value: &'static str) {
    let mut administrator = rig.administrator().await;
    let set = format!("alter system set default_transaction_read_only = {value}");
    administrator.execute(AssertSqlSafe(set)).await.expect("a setting");
    administrator.execute("select pg_reload_conf()").await.expect("a setting in force");
}

/// Other programs have two connections, and then the server loses its own: only two of them can be opened again.
async fn take_connections(rig: &FaultRig) {
    let mut administrator = rig.administrator().await;
    let others = [rig.other_program().await, rig.other_program().await];
    let limit = format!("alter role {ROLE} connection limit 4");
    administrator.execute(AssertSqlSafe(limit)).await.expect("a limit");
    let end = format!("select pg_terminate_backend(pid) from {}", sessions());
    administrator.execute(AssertSqlSafe(end)).await.expect("ended sessions");
    tokio::time::sleep(3 * STATE).await;
    let no_limit = format!("alter role {ROLE} connection limit -1");
    administrator.execute(AssertSqlSafe(no_limit)).await.expect("no limit");
    drop(others);
}

/// Another session locks the rows that the clients change: payees before payers, and transfers lock them in the opposite order.
async fn lock_rows(rig: &FaultRig, load: &Load) {
    let mut administrator = rig.administrator().await;
    let pairs: Vec<i64> = load.lanes.iter().map(|lane| lane.current_pair()).collect();
    let mut transaction = administrator.begin().await.expect("a transaction");
    for user in [payee, payer] {
        let users: Vec<i64> = pairs.iter().map(|pair| user(*pair)).collect();
        let lock = "select from concurrency_lab.users where id = any($1) order by random() for update";
        // A deadlock may choose this session; then it holds nothing any more.
        if sqlx::query(lock).bind(users).execute(&mut *transaction).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(LOCKED).await;
    transaction.rollback().await.expect("released rows");
}
