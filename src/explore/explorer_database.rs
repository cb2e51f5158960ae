//! The explorer's database: the rows of a schema of its own, and one connection for each actor.
//!
//! The sessions have no lock timeout and no idle timeout, because a client may be at the gate for any time. Their
//! `deadlock_timeout` is lowered, so that a deadlock costs a millisecond instead of a second. Only a superuser may lower it.
//! Without that right, deadlocks are found after the server's `deadlock_timeout`, and the victim is the session that waited first.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Executor};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::error::ExploreError;
use super::file_role::{FileRights, WorkerDatabase};
use super::run::gate::GateEvent;
use super::run::interleaving_runner::InterleavingRunner;
use super::run::monitor::{ActorBackends, ActorNames, WaitMonitor};
use super::run::observations::Unsettled;
use super::schedule::Actor;
use super::table_rows;
use crate::config::{Limits, RetryPolicy};
use crate::database::pool::Pool;
use crate::database::seed::Seed;
use crate::database::{Database, DatabaseError, connect};
use crate::session::statement::Isolation;
use domain::state::State;

/// The schema of the explorer's tables.
pub const SCHEMA: &str = "concurrency_lab_explore";

/// `deadlock_timeout` of the explorer's sessions, where it may be set.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(1);

/// Attempts of one operation. Two clients never need a third attempt: a lost race means that the other client has made progress.
const ATTEMPTS_MAX: u32 = 8;

/// How long sessions may take to end once their gates are open: longer than the default `deadlock_timeout`.
pub const END_MAX: Duration = Duration::from_secs(5);

/// How long the server may take to notice that a connection was cut. After that, its locks count as left behind.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// The pause between two checks whether it has noticed.
const LINGER_STEP: Duration = Duration::from_millis(1);

/// A timeout that never expires during an interleaving.
const NEVER: Duration = Duration::from_hours(24);

/// Limits under which no wait ends by a timeout.
pub const LIMITS: Limits = {
    let policy = RetryPolicy {
        deadline: NEVER,
        attempts: ATTEMPTS_MAX,
        backoff_base: Duration::ZERO,
        backoff_cap: Duration::ZERO,
    };
    Limits {
        pool_size: 1,
        row_sessions: 64,
        queue: 64,
        batch_size: 64,
        queue_wait: NEVER,
        connect_timeout: Duration::from_secs(10),
        request_timeout: NEVER,
        statement_timeout: Duration::ZERO,
        statement_grace: NEVER,
        lock_timeout: Duration::ZERO,
        idle_in_transaction_timeout: Duration::ZERO,
        retry: policy,
        idempotency_ttl: NEVER,
        idempotency_keys: 1_000,
        idempotency_sweep: NEVER,
        header_read_timeout: NEVER,
        body_read_timeout: NEVER,
        body_bytes: 0,
        drain: NEVER,
        client_connections: 0,
    }
};

/// Connections, rows, and the monitor.
#[derive(Debug)]
pub struct ExplorerDatabase {
    database: Database,
    /// How the sessions of files connect.
    worker: WorkerDatabase,
    /// Holds the advisory lock that excludes other explorers.
    lock: PgConnection,
    /// Resets and reads the rows.
    admin: PgConnection,
    monitor: WaitMonitor,
    names: ActorNames,
    session_options: PgConnectOptions,
    pools: HashMap<(Actor, Option<Isolation>), Pool>,
    deadlock_timeout: Option<Duration>,
    version: String,
}

impl ExplorerDatabase {
    /// Creates the explorer's schema on this database, or replaces the one that an earlier explorer left, and connects.
    ///
    /// # Errors
    /// [`ExploreError::Prepare`], [`ExploreError::Database`]; [`ExploreError::Busy`] if another explorer uses this database.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, ExploreError> {
        Self::open_worker(&options.clone().into()).await
    }

    /// The same, with a role for the statements of files if there is one.
    ///
    /// # Errors
    /// As [`ExplorerDatabase::open`].
    pub async fn open_worker(worker: &WorkerDatabase) -> Result<Self, ExploreError> {
        let options = &worker.explorer;
        // Taken before anything is changed, and held until the connection closes: two explorers would change each other's rows.
        let mut lock = connect(&options.clone().application_name("concurrency-lab explore")).await?;
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
        let mut admin = connect(&plain).await?;
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
            worker: worker.clone(),
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

    /// `deadlock_timeout` of the sessions; `None` if it could not be lowered.
    #[must_use]
    pub fn deadlock_timeout(&self) -> Option<Duration> {
        self.deadlock_timeout
    }

    /// The database from which a server of an interleaving is made. It has no connections for clients.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The server processes of applications, which the monitor asks about.
    #[must_use]
    pub fn backends_of_applications(&self) -> ActorBackends {
        self.monitor.backends_of_applications()
    }

    /// The options that the caller gave.
    #[must_use]
    pub fn given_options(&self) -> &PgConnectOptions {
        &self.worker.explorer
    }

    /// The options of an actor's connection, with the settings of a server's connections.
    fn options_of(&self, actor: Actor) -> PgConnectOptions {
        self.session_options.clone().application_name(&self.names.of(actor))
    }

    /// The options of an actor's connection for the statements of an explore file, with PostgreSQL's default settings.
    #[must_use]
    pub fn plain_options_of(&self, actor: Actor, schema: &str, rights: FileRights) -> PgConnectOptions {
        // sqlx would log notices. Where they are shown, the session of a file asks for them itself.
        let settings = [("search_path", schema), ("client_min_messages", "error")];
        let given = self.worker.of_file(rights);
        let options = given.clone().application_name(&self.names.of(actor)).options(settings);
        // The role of a file has its own setting, and may not change it.
        let is_explorer = given.get_username() == self.worker.explorer.get_username();
        match self.deadlock_timeout.filter(|_| is_explorer) {
            Some(timeout) => options.options([("deadlock_timeout", timeout.as_millis().to_string())]),
            None => options,
        }
        .disable_statement_logging()
    }

    /// The one connection of an actor, which is reused by the next interleaving. `isolation` is the level of statements outside a
    /// transaction.
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

    /// Terminates the sessions of all actors. The next interleaving opens new ones.
    ///
    /// # Errors
    /// [`ExploreError::Database`], [`ExploreError::NeverEnds`].
    pub async fn terminate_sessions(&mut self) -> Result<(), ExploreError> {
        self.pools.clear();
        self.monitor.terminate_sessions().await
    }

    /// Waits until the tasks of an interleaving have ended. If they do not end by themselves, or `terminate` says so, their sessions
    /// are terminated. Returns the results of the tasks, and whether sessions were terminated.
    ///
    /// # Errors
    /// [`ExploreError::Database`], [`ExploreError::NeverEnds`], [`ExploreError::Panicked`].
    pub async fn finish<T: 'static>(
        &mut self,
        tasks: &mut JoinSet<T>,
        terminate: bool,
    ) -> Result<(Vec<T>, bool), ExploreError> {
        let mut results = Vec::new();
        if !terminate && all_ended(tasks, &mut results).await? {
            return Ok((results, false));
        }
        // A wait ends with its session, whatever it waits for.
        self.terminate_sessions().await?;
        if !all_ended(tasks, &mut results).await? {
            tasks.shutdown().await;
            return Err(ExploreError::NeverEnds);
        }
        Ok((results, true))
    }

    /// A runner that receives these events, once all clients are at their first step.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; inside, [`Unsettled`].
    pub async fn gather(
        &mut self,
        events: mpsc::UnboundedReceiver<(Actor, GateEvent)>,
        clients: u8,
    ) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        let mut runner = InterleavingRunner::new(&mut self.monitor, events, self.deadlock_timeout);
        let gathered = runner.gather(clients).await?;
        Ok((runner, gathered))
    }

    /// Replaces all rows by these.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn set_rows(&mut self, rows: &State) -> Result<(), ExploreError> {
        self.execute(&table_rows::replace_sql(rows)).await
    }

    /// Executes statements of the explorer.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn execute(&mut self, sql: &str) -> Result<(), ExploreError> {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        Ok(())
    }

    /// All rows, as they are now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn rows(&mut self) -> Result<State, ExploreError> {
        Ok(table_rows::read(&mut self.admin).await?)
    }

    /// Whether the actors' sessions, now that all operations have ended, hold a lock that other sessions could wait for. The server
    /// is given time to notice a cut connection.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn holds_locks(&mut self) -> Result<bool, ExploreError> {
        let begun = Instant::now();
        while self.count_locks().await? > 0 {
            if begun.elapsed() > LINGER_MAX {
                return Ok(true);
            }
            tokio::time::sleep(LINGER_STEP).await;
        }
        Ok(false)
    }

    async fn count_locks(&mut self) -> Result<i64, ExploreError> {
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
        self.execute(&format!("drop schema {SCHEMA} cascade")).await?;
        self.monitor.close().await;
        self.admin.close().await?;
        Ok(self.lock.close().await?)
    }
}

/// Waits until all tasks have ended; `false` if some have not after [`END_MAX`].
///
/// # Errors
/// [`ExploreError::Panicked`]: without the answer of that task the interleaving proves nothing.
async fn all_ended<T: 'static>(tasks: &mut JoinSet<T>, results: &mut Vec<T>) -> Result<bool, ExploreError> {
    let all = tokio::time::timeout(END_MAX, async {
        while let Some(task) = tasks.join_next().await {
            match task.map_err(JoinError::try_into_panic) {
                Ok(result) => results.push(result),
                Err(Ok(panic)) => return Err(ExploreError::panicked("running the operation of a client", &*panic)),
                Err(Err(_cancelled)) => {}
            }
        }
        Ok(())
    });
    match all.await {
        Ok(ended) => ended.map(|()| true),
        Err(_elapsed) => Ok(false),
    }
}
