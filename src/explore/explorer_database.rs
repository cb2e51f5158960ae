//! The world in which interleavings are played: rows of a schema of the explorer's own, and a connection for each actor.
//!
//! The sessions have no lock or idle timeout: a client may stand at the gate for as long as it takes. `deadlock_timeout` is lowered
//! for them, so that a deadlock costs a millisecond and no second. Only a superuser may do that; without the right, deadlocks
//! are found after the default, and the victim is whoever waited first.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ExploreError;
use super::gate;
use super::interleaving_runner::InterleavingRunner;
use super::monitor::{ActorNames, WaitMonitor};
use super::observations::Unsettled;
use super::schedule::Actor;
use crate::config::{Limits, RetryPolicy};
use crate::database::pool::Pool;
use crate::database::seed::Seed;
use crate::database::{Database, DatabaseError};
use crate::session::statement::Isolation;
use domain::state::State;
use domain::{Account, Booking, Counter, Event};

/// The schema that holds everything of the explorer's.
pub const SCHEMA: &str = "concurrency_lab_explore";

/// `deadlock_timeout` of the explorer's sessions, where it may be set.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(1);

/// Attempts of one operation: with two clients a third one is never needed, as each lost race means that the other got on.
const ATTEMPTS_MAX: u32 = 8;

/// How long clients that were left to themselves may take to end: longer than the default `deadlock_timeout`.
pub const END_MAX: Duration = Duration::from_secs(5);

/// How long the server may take to notice that a connection was cut, before what it holds counts as left behind.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether it has.
const LINGER_STEP: Duration = Duration::from_millis(1);

/// Longer than anybody looks at one interleaving.
const EVER: Duration = Duration::from_hours(24);

/// Limits under which nothing ends by itself.
pub const LIMITS: Limits = {
    let policy = RetryPolicy {
        deadline: EVER,
        attempts: ATTEMPTS_MAX,
        backoff_base: Duration::ZERO,
        backoff_cap: Duration::ZERO,
    };
    Limits {
        pool_size: 1,
        row_sessions: 64,
        queue: 64,
        batch_size: 64,
        queue_wait: EVER,
        connect_timeout: Duration::from_secs(10),
        request_timeout: EVER,
        statement_timeout: Duration::ZERO,
        statement_grace: EVER,
        lock_timeout: Duration::ZERO,
        idle_in_transaction_timeout: Duration::ZERO,
        retry: policy,
        idempotency_ttl: EVER,
        idempotency_keys: 1_000,
        idempotency_sweep: EVER,
        header_read_timeout: EVER,
        body_read_timeout: EVER,
        body_bytes: 0,
        drain: EVER,
        client_connections: 0,
    }
};

/// Connections, rows, and the eye on them.
#[derive(Debug)]
pub struct ExplorerDatabase {
    database: Database,
    /// As it was given.
    given: PgConnectOptions,
    /// Holds the lock that keeps other explorers out.
    lock: PgConnection,
    /// For setting back and looking.
    admin: PgConnection,
    monitor: WaitMonitor,
    names: ActorNames,
    session_options: PgConnectOptions,
    pools: HashMap<(Actor, Option<Isolation>), Pool>,
    deadlock_timeout: Option<Duration>,
    version: String,
}

impl ExplorerDatabase {
    /// Makes the explorer's schema on this database, or takes it over, and connects.
    ///
    /// # Errors
    /// [`ExploreError::Prepare`], [`ExploreError::Database`]; [`ExploreError::Busy`] when somebody explores there already.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, ExploreError> {
        // Held until the connection ends, and taken before anything is touched: two explorers would change each other's rows.
        let mut lock = options.clone().application_name("concurrency-lab explore").connect().await?;
        let alone: bool = sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended($1, 1))")
            .bind(SCHEMA)
            .fetch_one(&mut lock)
            .await?;
        if !alone {
            return Err(ExploreError::Busy);
        }
        let (database, _) = Database::prepare_in(SCHEMA, options.clone(), &LIMITS, Seed::Counter, true).await?;
        let names = ActorNames::new();
        let plain = database.connect_options().clone().options([("synchronous_commit", "off"), ("jit", "off")]);
        let mut admin = plain.connect().await?;
        let lowered = admin.execute("set deadlock_timeout = '1ms'").await;
        let deadlock_timeout = lowered.is_ok().then_some(DEADLOCK_TIMEOUT);
        let session_options = match deadlock_timeout {
            Some(timeout) => plain.clone().options([("deadlock_timeout", timeout.as_millis().to_string())]),
            None => plain.clone(),
        };
        let version = sqlx::query_scalar("select current_setting('server_version')").fetch_one(&mut admin).await?;
        let monitor = WaitMonitor::connect(&plain, names.clone()).await?;
        Ok(Self {
            database,
            given: options.clone(),
            lock,
            admin,
            monitor,
            names,
            session_options,
            pools: HashMap::new(),
            deadlock_timeout,
            version,
        })
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `deadlock_timeout` of the sessions, if it could be lowered.
    #[must_use]
    pub fn deadlock_timeout(&self) -> Option<Duration> {
        self.deadlock_timeout
    }

    /// The database, without connections for anybody.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// How an actor's connection is opened, with the settings of a server's connections.
    fn options_of(&self, actor: Actor) -> PgConnectOptions {
        self.session_options.clone().application_name(&self.names.of(actor))
    }

    /// How an actor's connection is opened for somebody else's statements: with the settings that PostgreSQL has by itself.
    #[must_use]
    pub fn plain_options_of(&self, actor: Actor, schema: &str) -> PgConnectOptions {
        // Notices have no place in a report, and would be logged.
        let settings = [("search_path", schema), ("client_min_messages", "error")];
        let options = self.given.clone().application_name(&self.names.of(actor)).options(settings);
        match self.deadlock_timeout {
            Some(timeout) => options.options([("deadlock_timeout", timeout.as_millis().to_string())]),
            None => options,
        }
        .disable_statement_logging()
    }

    /// The one connection of an actor, kept from play to play. What runs outside a transaction of its own gets the level
    /// `isolation`, if there is one.
    ///
    /// # Errors
    /// [`ExploreError::Prepare`].
    pub fn pool_of(&mut self, actor: Actor, isolation: Option<Isolation>) -> Result<Pool, ExploreError> {
        if let Some(pool) = self.pools.get(&(actor, isolation)) {
            return Ok(pool.clone());
        }
        let mut options = self.options_of(actor);
        if let Some(isolation) = isolation {
            options = options.options([("default_transaction_isolation", isolation.sql())]);
        }
        let pool = Pool::new(options, &LIMITS).map_err(DatabaseError::from)?;
        self.pools.insert((actor, isolation), pool.clone());
        Ok(pool)
    }

    /// Ends the sessions of all actors; the next play opens new ones.
    async fn evict(&mut self) -> Result<(), ExploreError> {
        self.pools.clear();
        self.monitor.evict().await
    }

    /// Waits until those of a play have ended, however it was left; sessions that do not end by themselves, or with `evict` all of
    /// them, are ended. Says what the tasks came to, and whether sessions had to be ended.
    ///
    /// # Errors
    /// [`ExploreError::Database`], [`ExploreError::NeverEnds`].
    pub async fn clear<T: 'static>(
        &mut self,
        tasks: &mut JoinSet<T>,
        evict: bool,
    ) -> Result<(Vec<T>, bool), ExploreError> {
        let mut ended = Vec::new();
        if !evict && all_ended(tasks, &mut ended).await {
            return Ok((ended, false));
        }
        // Whatever they wait for, it ends with their sessions.
        self.evict().await?;
        if !all_ended(tasks, &mut ended).await {
            tasks.shutdown().await;
            return Err(ExploreError::NeverEnds);
        }
        Ok((ended, true))
    }

    /// A controller that hears these events, once so many clients stand at their first step.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; inside, [`Unsettled`].
    pub async fn gather(
        &mut self,
        heard: mpsc::UnboundedReceiver<(Actor, gate::GateEvent)>,
        clients: u8,
    ) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        let mut controller = InterleavingRunner::new(&mut self.monitor, heard, self.deadlock_timeout);
        let gathered = controller.gather(clients).await?;
        Ok((controller, gathered))
    }

    /// Replaces all rows by these.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn set(&mut self, rows: &State) -> Result<(), ExploreError> {
        self.run(&setting(rows)).await
    }

    /// Runs statements of ours.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn run(&mut self, sql: &str) -> Result<(), ExploreError> {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        Ok(())
    }

    /// All rows, as they are now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn rows(&mut self) -> Result<State, ExploreError> {
        Ok(rows(&mut self.admin).await?)
    }

    /// Whether the actors' sessions, now that all have ended, hold a lock that could keep anybody waiting. A session whose
    /// connection was cut is given time to be noticed.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn holds_locks(&mut self) -> Result<bool, ExploreError> {
        let begun = Instant::now();
        while self.locks().await? > 0 {
            if begun.elapsed() > LINGER_MAX {
                return Ok(true);
            }
            tokio::time::sleep(LINGER_STEP).await;
        }
        Ok(false)
    }

    async fn locks(&mut self) -> Result<i64, ExploreError> {
        let count = "select count(*) from pg_locks join pg_stat_activity using (pid) \
                     where starts_with(application_name, $1) and locktype <> 'virtualxid'";
        Ok(sqlx::query_scalar(count).bind(self.names.prefix()).fetch_one(&mut self.admin).await?)
    }

    /// Drops the schema and closes the connections.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        for pool in self.pools.values() {
            pool.close();
        }
        self.run(&format!("drop schema {SCHEMA} cascade")).await?;
        self.monitor.close().await;
        self.admin.close().await?;
        Ok(self.lock.close().await?)
    }
}

/// All rows that are committed, as this connection finds them. It waits for nobody.
///
/// # Errors
/// As PostgreSQL says.
pub async fn rows(connection: &mut PgConnection) -> Result<State, sqlx::Error> {
    let found: Vec<(i32, i64, i64, i64, i64, Option<Uuid>)> = sqlx::query_as(
        "select 1, id, balance, 0::bigint, version, null::uuid from users \
         union all select 2, id, capacity, booked, version, null from events \
         union all select 3, id, value, 0, version, null from counters \
         union all select 4, event_id, user_id, 0, 0, id from bookings",
    )
    .fetch_all(connection)
    .await?;
    let mut rows = State::default();
    for (kind, id, value, booked, version, booking) in found {
        match (kind, booking) {
            (1, _) => drop(rows.users.insert(id, Account { balance: value, version })),
            (2, _) => drop(rows.events.insert(id, Event { capacity: value, booked, version })),
            (3, _) => drop(rows.counters.insert(id, Counter { value, version })),
            (_, Some(booking)) => rows.add_booking(booking, Booking { event: id, user: value }),
            (_, None) => {}
        }
    }
    Ok(rows)
}

/// Waits until all tasks have ended; `false` if some do not.
async fn all_ended<T: 'static>(tasks: &mut JoinSet<T>, ended: &mut Vec<T>) -> bool {
    let all = tokio::time::timeout(END_MAX, async {
        while let Some(one) = tasks.join_next().await {
            ended.extend(one.ok());
        }
    });
    all.await.is_ok()
}

/// The statements that replace all rows by these. Rows that are there are changed in place, so that the tables are as small after
/// a hundred thousand plays as before.
fn setting(rows: &State) -> String {
    let users = rows.users.iter().map(|(id, user)| (*id, format!("'user', {}, {}", user.balance, user.version)));
    let events = rows.events.iter();
    let events =
        events.map(|(id, event)| (*id, format!("'event', {}, {}, {}", event.capacity, event.booked, event.version)));
    let counters = rows.counters.iter().map(|(id, counter)| (*id, format!("{}, {}", counter.value, counter.version)));
    let mut sql = String::from("begin; delete from bookings; delete from idempotency_keys; ");
    sql += &replacing("users", &["name", "balance", "version"], users);
    sql += &replacing("events", &["name", "capacity", "booked", "version"], events);
    sql += &replacing("counters", &["value", "version"], counters);
    for (id, Booking { event, user }) in rows.bookings() {
        // Writing to a String cannot fail.
        let _ = write!(sql, "insert into bookings (id, event_id, user_id) values ('{id}', {event}, {user}); ");
    }
    sql + "commit"
}

fn replacing(table: &str, columns: &[&str], rows: impl Iterator<Item = (i64, String)>) -> String {
    let (ids, values): (Vec<String>, Vec<String>) =
        rows.map(|(id, values)| (id.to_string(), format!("({id}, {values})"))).unzip();
    if ids.is_empty() {
        return format!("delete from {table}; ");
    }
    let of = |table: &str| columns.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
    format!(
        "delete from {table} where id not in ({ids}); \
         insert into {table} (id, {names}) values {values} on conflict (id) do update set ({names}) = ({new}) \
         where ({old}) is distinct from ({new}); ",
        ids = ids.join(", "),
        names = columns.join(", "),
        values = values.join(", "),
        old = of(table),
        new = of("excluded"),
    )
}
