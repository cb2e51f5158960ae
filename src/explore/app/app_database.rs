//! The database of an application: made for them, prepared once, put back before each interleaving, and dropped at the end.
//!
//! Where only rows were changed, the rows are put back ([`RowSnapshot`]). Otherwise the database is dropped and copied again from a template,
//! which takes longer and puts everything back. No program is connected then, because each ends with its interleaving.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::definitions::{database_settings, definitions};
use crate::database::connect;
use crate::explore::error::ExploreError;
use crate::explore::file::clock::TIMEOUTS;
use crate::explore::file::execution::snapshot::{RowSnapshot, functions_change_more};
use crate::explore::file::final_rows::FinalRows;
use crate::explore::file::schema_catalog::OWN_SCHEMAS;
use crate::explore::file::sending::error_text;
use crate::explore::new_sequence_values::SequencePositions;
use crate::explore::sequence_columns::SequenceColumns;

/// The beginning of the name of each such database.
const PREFIX: &str = "concurrency_lab_app_";

/// How long a reset may wait for locks of sessions that are about to end.
const RESET_LOCK_TIMEOUT: &str = "10s";

/// The SQLSTATE of a wait that `lock_timeout` has ended.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How long the sessions of programs may take to end after they were terminated.
const SESSIONS_END_MAX: Duration = Duration::from_secs(10);

/// The pause between two checks whether they have.
const SESSIONS_POLL: Duration = Duration::from_millis(1);

/// Sessions that have not ended by themselves after this time are terminated.
const TERMINATE_AFTER: Duration = Duration::from_secs(2);

/// See the [module](self).
#[derive(Debug)]
pub struct AppDatabase {
    server: PgConnectOptions,
    name: String,
    /// Makes and drops the database.
    maintenance: PgConnection,
    /// Resets and reads the rows. None while the database is made.
    admin: Option<PgConnection>,
    has_template: bool,
    snapshot: Option<RowSnapshot>,
    /// What was defined when its state was kept.
    definitions: BTreeSet<String>,
    /// The ids that were there when its state was kept. A copy has the same OIDs.
    by_sequence: SequenceColumns,
    /// Where the sequences stood when its state was kept.
    positions: SequencePositions,
    /// Statements that give a copy the settings, rights and owner of the database, which CREATE DATABASE does not copy.
    own_settings: Vec<String>,
    deadlock_timeout: Option<Duration>,
}

/// What a session of a program has from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDefaults {
    /// The isolation level of transactions that name none.
    pub isolation: String,
    /// The timeouts that are set.
    pub timeouts: Vec<String>,
}

impl AppDatabase {
    /// Makes an empty database on the server of these options. `deadlock_timeout` is that of its sessions, if it may be set.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn create(server: &PgConnectOptions, deadlock_timeout: Option<Duration>) -> Result<Self, ExploreError> {
        let server = server.clone().application_name("concurrency-lab explore").disable_statement_logging();
        let maintenance = connect(&server).await?;
        let name = format!("{PREFIX}{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let mut database = Self {
            server,
            name,
            maintenance,
            admin: None,
            has_template: false,
            snapshot: None,
            definitions: BTreeSet::new(),
            by_sequence: SequenceColumns::default(),
            positions: SequencePositions::default(),
            own_settings: Vec::new(),
            deadlock_timeout,
        };
        let created = database.make("template1").await;
        created.map_err(|error| match error {
            ExploreError::Database(error) => ExploreError::Script(format!(
                "the database of the commands cannot be made: {}; the user of --database-url needs the right to make one",
                error_text(&error)
            )),
            other => other,
        })?;
        Ok(database)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn template(&self) -> String {
        format!("{}_template", self.name)
    }

    async fn maintain(&mut self, sql: String) -> Result<(), ExploreError> {
        self.maintenance.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
        Ok(())
    }

    async fn make(&mut self, template: &str) -> Result<(), ExploreError> {
        let name = self.name.clone();
        self.maintain(format!("create database {name} template {template}")).await?;
        // What other transactions see is the same, and no crash of the database is part of an interleaving.
        self.maintain(format!("alter database {name} set synchronous_commit = off")).await?;
        if let Some(timeout) = self.deadlock_timeout {
            self.maintain(format!("alter database {name} set deadlock_timeout = '{}ms'", timeout.as_millis())).await?;
        }
        for statement in self.own_settings.clone() {
            self.maintain(statement).await?;
        }
        let options = self.server.clone().database(&name).options([
            ("lock_timeout", RESET_LOCK_TIMEOUT),
            ("client_min_messages", "error"),
            ("default_transaction_isolation", "read committed"),
        ]);
        self.admin = Some(connect(&options).await?);
        Ok(())
    }

    /// The connection of the explorer's own statements.
    ///
    /// # Errors
    /// [`ExploreError`] if the database could not be made again before.
    pub fn admin(&mut self) -> Result<&mut PgConnection, ExploreError> {
        let missing = || ExploreError::Script(format!("the database {} could not be made again", self.name));
        self.admin.as_mut().ok_or_else(missing)
    }

    /// Executes SQL of a field of the file.
    ///
    /// # Errors
    /// [`ExploreError::Script`], which names the field.
    pub async fn execute_field(&mut self, field: &str, sql: &str) -> Result<(), ExploreError> {
        let done = self.admin()?.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
        done.map(drop).map_err(|error| ExploreError::Script(format!("{field}: {}", error_text(&error))))
    }

    /// Keeps the state that it has now: the state before each interleaving.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn keep(&mut self) -> Result<(), ExploreError> {
        self.definitions = definitions(self.admin()?, OWN_SCHEMAS).await?;
        let mut by_sequence = SequenceColumns::read(self.admin()?, OWN_SCHEMAS).await?;
        by_sequence.keep_values(self.admin()?).await?;
        self.by_sequence = by_sequence;
        self.positions = SequencePositions::read(self.admin()?, OWN_SCHEMAS).await?;
        self.own_settings = database_settings(&mut self.maintenance, &self.name).await?;
        self.disconnect().await?;
        let (name, template) = (self.name.clone(), self.template());
        self.maintain(format!("alter database {name} rename to {template}")).await?;
        self.has_template = true;
        self.make(&template).await?;
        self.take_snapshot().await
    }

    async fn take_snapshot(&mut self) -> Result<(), ExploreError> {
        self.snapshot = RowSnapshot::take(self.admin()?, OWN_SCHEMAS).await?;
        Ok(())
    }

    /// Brings it back to the state that was kept. `rows_only` says that nothing but rows was changed.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn reset(&mut self, rows_only: bool) -> Result<(), ExploreError> {
        self.end_sessions(TERMINATE_AFTER).await?;
        if rows_only && let Some(snapshot) = self.snapshot.clone() {
            return Ok(snapshot.restore(self.admin()?).await?);
        }
        self.disconnect().await?;
        let (name, template) = (self.name.clone(), self.template());
        self.maintain(format!("drop database {name}")).await?;
        self.make(&template).await?;
        // Temporary tables have ended with their connection.
        if rows_only { Ok(()) } else { self.take_snapshot().await }
    }

    /// Whether its rows alone make the state that was kept, so that they can be put back beside open connections.
    #[must_use]
    pub fn can_put_rows_back(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Whether a session holds an advisory lock.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn holds_advisory_locks(&mut self) -> Result<bool, ExploreError> {
        let query = "select exists (select from pg_locks where locktype = 'advisory' \
                     and database = (select oid from pg_database where datname = current_database()))";
        Ok(sqlx::query_scalar(query).fetch_one(self.admin()?).await?)
    }

    /// Puts the rows back beside the open connections of a server. Returns whether that was possible: not if there is more than rows to put
    /// back, or a transaction keeps a table locked.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn put_rows_back(&mut self) -> Result<bool, ExploreError> {
        let Some(snapshot) = self.snapshot.clone() else { return Ok(false) };
        match snapshot.restore(self.admin()?).await {
            Ok(()) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn disconnect(&mut self) -> Result<(), ExploreError> {
        self.snapshot = None;
        if let Some(admin) = self.admin.take() {
            admin.close().await?;
        }
        self.end_sessions(TERMINATE_AFTER).await
    }

    /// Waits until no program is connected. Those that still are after this time are terminated.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; [`ExploreError::NeverEnds`].
    pub async fn end_sessions(&mut self, terminate_after: Duration) -> Result<(), ExploreError> {
        let begun = Instant::now();
        let sessions = "from pg_stat_activity where datname = $1 and pid <> $2 and backend_type = 'client backend'";
        let own = match &mut self.admin {
            Some(admin) => sqlx::query_scalar("select pg_backend_pid()").fetch_one(admin).await?,
            None => 0,
        };
        loop {
            let what = if begun.elapsed() < terminate_after { "count(*)" } else { "count(pg_terminate_backend(pid))" };
            let left: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select {what} {sessions}")))
                .bind(&self.name)
                .bind(own)
                .fetch_one(&mut self.maintenance)
                .await?;
            if left == 0 {
                return Ok(());
            }
            if begun.elapsed() > terminate_after + SESSIONS_END_MAX {
                return Err(ExploreError::NeverEnds);
            }
            tokio::time::sleep(SESSIONS_POLL).await;
        }
    }

    /// What a session of a program has from the start, by the settings of the role, the database and the server.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn session_defaults(&mut self) -> Result<SessionDefaults, ExploreError> {
        // The admin's own settings are fixed.
        let mut plain = connect(&self.server.clone().database(&self.name)).await?;
        let isolation = sqlx::query_scalar("show default_transaction_isolation").fetch_one(&mut plain).await?;
        let set = "select name from pg_settings where name = any($1) and setting <> '0' order by 1";
        let timeouts = sqlx::query_scalar(set).bind(TIMEOUTS).fetch_all(&mut plain).await?;
        plain.close().await?;
        Ok(SessionDefaults { isolation, timeouts })
    }

    /// The names of tables, views, sequences and functions that are not PostgreSQL's.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn own_names(&mut self) -> Result<BTreeSet<String>, ExploreError> {
        let query = format!(
            "select lower(relname) from pg_class join pg_namespace on pg_namespace.oid = relnamespace where {OWN_SCHEMAS} \
             union select lower(proname) from pg_proc join pg_namespace on pg_namespace.oid = pronamespace where {OWN_SCHEMAS}"
        );
        let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(self.admin()?).await?;
        Ok(names.into_iter().collect())
    }

    /// The rows of this query, or of all tables; without a query, also what is defined otherwise than before. `rows_only` says that nothing
    /// but rows was changed, so that the definitions need not be read again.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if the query fails.
    pub async fn rows(&mut self, outcome: Option<&str>, rows_only: bool) -> Result<FinalRows, ExploreError> {
        let as_before = rows_only && self.can_put_rows_back();
        let by_sequence = if as_before {
            self.by_sequence.clone()
        } else {
            SequenceColumns::read(self.admin()?, OWN_SCHEMAS).await?.with_values_of(&self.by_sequence)
        };
        if let Some(query) = outcome {
            return FinalRows::of_query(self.admin()?, query, &by_sequence).await;
        }
        let mut rows = FinalRows::of_all_tables(self.admin()?, OWN_SCHEMAS, &by_sequence).await?;
        if as_before {
            return Ok(rows);
        }
        let definitions = definitions(self.admin()?, OWN_SCHEMAS).await?;
        let new = definitions.difference(&self.definitions).map(|definition| vec![format!("new = {definition}")]);
        let gone = self.definitions.difference(&definitions).map(|definition| vec![format!("gone = {definition}")]);
        let changed: Vec<Vec<String>> = new.chain(gone).collect();
        rows.shown.extend(changed.iter().cloned());
        rows.compared.extend(changed);
        Ok(rows)
    }

    /// The values that sequences have given since its state was kept.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn given_by_sequences(&mut self) -> Result<BTreeSet<String>, ExploreError> {
        let now = SequencePositions::read(self.admin()?, OWN_SCHEMAS).await?;
        Ok(now.given_since(&self.positions))
    }

    /// Whether a function changes more than rows.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn functions_change_more(&mut self) -> Result<bool, ExploreError> {
        Ok(functions_change_more(self.admin()?, OWN_SCHEMAS).await?)
    }

    /// Drops it.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; [`ExploreError::NeverEnds`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        self.disconnect().await?;
        let names = [Some(self.name.clone()), self.has_template.then(|| self.template())];
        for name in names.into_iter().flatten() {
            self.maintain(format!("drop database if exists {name}")).await?;
        }
        Ok(self.maintenance.close().await?)
    }
}
