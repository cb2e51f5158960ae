//! What a session shows of itself: its server process, its settings, a marker, and a prepared statement of its own.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::opening::OpenError;

/// The setting that marks a session. PostgreSQL keeps settings of any name that has a dot.
const MARKER: &str = "concurrency_lab.connection";

/// A setting of our sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSetting {
    /// Its name.
    pub name: &'static str,
    /// Its value as SHOW prints it, so that the two can be compared.
    pub value: String,
}

impl SessionSetting {
    /// A setting that is no time.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into() }
    }

    /// A setting that is a time. SHOW prints it in the largest unit that gives a whole number.
    #[must_use]
    pub fn time(name: &'static str, time: Duration) -> Self {
        let milliseconds = time.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
        let unit = units.into_iter().find(|(_, size)| milliseconds > 0 && milliseconds.is_multiple_of(*size));
        Self { name, value: unit.map_or("0".to_owned(), |(unit, size)| format!("{}{unit}", milliseconds / size)) }
    }
}

/// What a new session shows before anything is set in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstLook {
    pub process: i32,
    /// How long the server process has been there, if it says so.
    pub age: Option<Duration>,
    /// Whether every setting is in force.
    pub in_force: bool,
}

/// What a session must show whenever it is examined.
#[derive(Debug)]
pub(super) struct SessionProof {
    process: i32,
    marker: String,
    settings: Arc<[SessionSetting]>,
    /// The statement that shows it. It has the marker in its text, so it equals no statement of another session.
    sql: Arc<str>,
}

/// Leaves the marker, and reads the settings. It prepares no statement, because a server process that is shared would keep it.
pub(super) async fn look(
    connection: &mut PgConnection,
    marker: &str,
    settings: &[SessionSetting],
) -> Result<FirstLook, sqlx::Error> {
    let sql = format!(
        "select set_config('{MARKER}', '{marker}', false), pg_backend_pid(), \
         (select extract(epoch from clock_timestamp() - backend_start)::float8 from pg_stat_get_activity(pg_backend_pid())), {}",
        values(settings)
    );
    let row: PgRow = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    let age: Option<f64> = row.try_get(2)?;
    let age = age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let found: Vec<String> = row.try_get(3)?;
    let in_force = settings.iter().map(|setting| &setting.value).eq(&found);
    Ok(FirstLook { process: row.try_get(1)?, age, in_force })
}

/// Sets the settings, for the rest of the session.
pub(super) async fn set(connection: &mut PgConnection, settings: &[SessionSetting]) -> Result<(), sqlx::Error> {
    let call = |setting: &SessionSetting| {
        format!("set_config('{}', '{}', false)", setting.name, setting.value.replace('\'', "''"))
    };
    let calls: Vec<String> = settings.iter().map(call).collect();
    let sql = format!("select {}", calls.join(", "));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

fn values(settings: &[SessionSetting]) -> String {
    let values: Vec<String> = settings.iter().map(|setting| format!("current_setting('{}')", setting.name)).collect();
    format!("array[{}]::text[]", values.join(", "))
}

impl SessionProof {
    pub fn new(process: i32, marker: String, settings: Arc<[SessionSetting]>) -> Self {
        let sql = format!(
            "select pg_backend_pid(), coalesce(current_setting('{MARKER}', true), ''), '{marker}'::text, {}, \
             current_setting('transaction_read_only') = 'on'",
            values(&settings)
        );
        Self { process, marker, settings, sql: sql.into() }
    }

    /// Examines the session, in one round trip (two the first time). Returns whether its transactions can change nothing.
    pub async fn demand(&self, connection: &mut PgConnection) -> Result<bool, OpenError> {
        let (process, left, own, values, read_only): (i32, String, String, Vec<String>, bool) =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.sql))).fetch_one(connection).await.map_err(not_new)?;
        if process != self.process || left != self.marker || own != self.marker {
            return Err(OpenError::Moved);
        }
        for (setting, found) in self.settings.iter().zip(values) {
            if setting.value != found {
                return Err(OpenError::Setting { name: setting.name, wanted: setting.value.clone(), found });
            }
        }
        Ok(read_only)
    }
}

/// 42P05: the name of the first prepared statement is taken. 26000: the statement that was prepared is not there.
fn not_new(error: sqlx::Error) -> OpenError {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        Some("42P05") => OpenError::NotNew,
        Some("26000") => OpenError::Moved,
        _ => OpenError::Connect(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_show_prints_it() {
        let shown = [(0, "0"), (1, "1ms"), (1_500, "1500ms"), (8_000, "8s"), (60_000, "1min"), (90_000, "90s")];
        for (milliseconds, text) in shown {
            assert_eq!(SessionSetting::time("lock_timeout", Duration::from_millis(milliseconds)).value, text);
        }
    }
}
