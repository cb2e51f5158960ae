//! The schema of a file's tables, and the connections of its sessions, brought back to their start before each interleaving.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Executor as _};

use super::ScriptExecution;
use crate::database::connect;
use crate::database::schema::create_schema_sql;
use crate::explore::error::ExploreError;
use crate::explore::file::final_rows::FinalRows;
use crate::explore::file::schema_catalog::SCHEMA;
use crate::explore::file::script::{SerialCheck, SessionScript};
use crate::explore::file::sending::error_text;
use crate::explore::file::session_end::SessionConnections;
use crate::explore::schedule::Actor;
use crate::explore::sequence_columns::SequenceColumns;

/// The condition on `nspname` of a file's own schema.
pub(super) fn own_schema() -> String {
    format!("nspname = '{SCHEMA}'")
}

impl ScriptExecution<'_> {
    pub(super) async fn set_up(&mut self) -> Result<(), ExploreError> {
        let script = self.script;
        self.execute(&format!("drop schema {SCHEMA} cascade; {}", create_schema_sql(SCHEMA))).await?;
        for setup in &script.setup {
            self.execute_field("setup", setup).await?;
        }
        self.needs_teardown = true;
        Ok(())
    }

    /// Reads which columns have values of sequences. A schema that was set up again has other OIDs. Only comparisons with serial orders need them.
    pub(super) async fn read_ids(&mut self) -> Result<(), ExploreError> {
        if self.script.serial != SerialCheck::Off {
            let mut by_sequence = SequenceColumns::read(&mut self.admin, &self.catalog.schemas).await?;
            by_sequence.keep_values(&mut self.admin).await?;
            self.by_sequence = Arc::new(by_sequence);
        }
        Ok(())
    }

    pub(super) async fn reset(&mut self) -> Result<(), ExploreError> {
        let script = self.script;
        match (&script.reset, &self.snapshot) {
            (Some(reset), _) => self.execute_field("reset", reset).await,
            (None, Some(snapshot)) => Ok(snapshot.restore(&mut self.admin).await?),
            (None, None) => {
                self.set_up().await?;
                self.read_ids().await
            }
        }
    }

    /// Undoes what the setup and an interleaving leave outside the schema.
    pub(super) async fn tear_down(&mut self) -> Result<(), ExploreError> {
        if !std::mem::take(&mut self.needs_teardown) {
            return Ok(());
        }
        self.prepared.roll_back_new(&mut self.admin).await?;
        match &self.script.teardown {
            Some(teardown) => self.execute_field("teardown", teardown).await,
            None => Ok(()),
        }
    }

    pub(super) async fn execute(&mut self, sql: &str) -> Result<(), ExploreError> {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        Ok(())
    }

    /// Executes SQL of a field of the file.
    pub(super) async fn execute_field(&mut self, field: &str, sql: &str) -> Result<(), ExploreError> {
        let result = self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
        result.map(drop).map_err(|error| ExploreError::Script(format!("{field}: {}", error_text(&error))))
    }

    /// The connections of a session, in the state of new ones.
    pub(super) async fn connections(
        &mut self,
        actor: Actor,
        script: &SessionScript,
    ) -> Result<SessionConnections, ExploreError> {
        if let Some(mut connections) = self.idle.remove(&actor) {
            // A transaction that is still open, and locks of the session, are given up. It fails if the session was terminated.
            let own = &mut connections.own;
            if own.execute(sqlx::raw_sql("rollback")).await.is_ok()
                && own.execute(sqlx::raw_sql("discard all")).await.is_ok()
            {
                return Ok(connections);
            }
        }
        let (Actor::Client(number) | Actor::Writer(number)) = actor;
        let options: PgConnectOptions = self.database.plain_options_of(actor, SCHEMA, self.script.rights);
        let has_conditions = script.statements.iter().any(|statement| statement.stop_if.is_some());
        let conditions = if has_conditions {
            Some(connect(&options.clone().application_name("concurrency-lab explore")).await?)
        } else {
            None
        };
        let (own, notices) = self.relays.connect(&options, number.into()).await?;
        Ok(SessionConnections { own, notices, conditions })
    }

    /// The rows of the outcome. Without one, all rows are compared with those of serial orders.
    pub(super) async fn final_rows(&mut self) -> Result<FinalRows, ExploreError> {
        match &self.script.outcome {
            Some(query) => FinalRows::of_query(&mut self.admin, query, &self.by_sequence).await,
            None if self.script.serial == SerialCheck::Off => Ok(FinalRows::default()),
            None => FinalRows::of_all_tables(&mut self.admin, &own_schema(), &self.by_sequence).await,
        }
    }
}
