//! What a database lacks if its set-up fails, and what would provide it.

use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::error_text::{ErrorText, sqlstate};
use super::{DatabaseError, SCHEMA};

/// A part of the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetupStep {
    /// The first connection.
    Connect,
    /// Creating our schema, or recognising it.
    Schema,
    /// What is in it.
    Tables,
}

/// For whom the set-up is made, and how long it waits.
#[derive(Debug)]
pub(super) struct SetupConditions {
    role: String,
    database: String,
    lock_timeout: Duration,
}

impl SetupConditions {
    pub fn new(options: &PgConnectOptions, lock_timeout: Duration) -> Self {
        let role = options.get_username().to_owned();
        // PostgreSQL takes the name of the role for that of the database if none is given.
        let database = options.get_database().unwrap_or(&role).to_owned();
        Self { role, database, lock_timeout }
    }

    /// The error of this step, with what is missing, if its SQLSTATE tells.
    pub fn explain(&self, step: SetupStep, error: DatabaseError) -> DatabaseError {
        let (cause, unexplained): (sqlx::Error, fn(sqlx::Error) -> DatabaseError) = match error {
            DatabaseError::Connect(cause) => (cause, DatabaseError::Connect),
            DatabaseError::Prepare(cause) => (cause, DatabaseError::Prepare),
            // PostgreSQL has not done what a migration asks; the migrations themselves fit.
            DatabaseError::Migrate(MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) => {
                (cause, DatabaseError::Prepare)
            }
            // The settings of the session were examined before: the schema is in its search_path.
            DatabaseError::OtherSchema { found: None, .. } => {
                let reason = "current_schema() is null".to_owned();
                return DatabaseError::Missing { missing: self.must_own(), reason };
            }
            other => return other,
        };
        match sqlstate(&cause).and_then(|code| self.missing(step, code)) {
            Some(missing) => DatabaseError::Missing { missing, reason: ErrorText(&cause).to_string() },
            None => unexplained(cause),
        }
    }

    fn must_own(&self) -> String {
        let Self { role, database, .. } = self;
        format!(
            "the role \"{role}\" must own the schema \"{SCHEMA}\" of the database \"{database}\" and everything in it. Connect as the role \
             that owns it, or use another database"
        )
    }

    fn missing(&self, step: SetupStep, code: &str) -> Option<String> {
        let Self { role, database, lock_timeout } = self;
        Some(match (code, step) {
            ("42501", SetupStep::Connect) => format!(
                "the role \"{role}\" may not connect to the database \"{database}\". This allows it: \
                 grant connect on database \"{database}\" to \"{role}\""
            ),
            ("42501", SetupStep::Schema) => format!(
                "the role \"{role}\" may not create the schema \"{SCHEMA}\" in the database \"{database}\". This allows it: \
                 grant create on database \"{database}\" to \"{role}\""
            ),
            ("42501", SetupStep::Tables) => self.must_own(),
            ("28000" | "28P01", SetupStep::Connect) => format!(
                "PostgreSQL does not accept the role \"{role}\" with this password, or not from this machine (pg_hba.conf)"
            ),
            ("3D000", SetupStep::Connect) => {
                format!("there is no database \"{database}\". This creates it: create database \"{database}\"")
            }
            ("25006", _) => format!(
                "the database accepts no changes: it is a standby, or default_transaction_read_only is on. Connect to the primary, or turn \
                 it off: alter role \"{role}\" set default_transaction_read_only = off"
            ),
            ("55P03", _) => format!(
                "another session has kept a lock for more than {lock_timeout:?} (--lock-timeout). Wait until it has ended, and start again"
            ),
            ("57014", _) => format!(
                "a statement of the set-up was cancelled, by a statement_timeout or by an administrator. This removes the time limit of the \
                 role: alter role \"{role}\" set statement_timeout = 0"
            ),
            _ => return None,
        })
    }
}
