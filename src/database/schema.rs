//! Our schema and the data in it: creating, recognising, seeding, replacing.

use std::str::FromStr;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::seed::Seed;
use super::{DatabaseError, SeedOutcome};

/// The comment on a schema that shows that this program made it.
const MARK: &str = "concurrency-lab: made and migrated by the program of this name; it may be dropped whole";

/// The oldest server that the SQL is written for, in the form of `server_version_num`.
const OLDEST_SERVER: i32 = 130_000;

/// The SQL that creates a schema with our mark on it.
#[must_use]
pub fn create_schema_sql(schema: &str) -> String {
    format!("create schema {schema}; comment on schema {schema} is '{MARK}'")
}

/// Creates our schema, or checks that an existing one is ours. The advisory lock lets two servers start at once.
///
/// # Errors
/// [`DatabaseError::TooOld`], [`DatabaseError::ForeignSchema`]; [`DatabaseError::Prepare`].
pub async fn claim_schema(connection: &mut PgConnection, schema: &str) -> Result<(), DatabaseError> {
    let (number, version): (i32, String) =
        sqlx::query_as("select current_setting('server_version_num')::int, current_setting('server_version')")
            .fetch_one(&mut *connection)
            .await?;
    if number < OLDEST_SERVER {
        return Err(DatabaseError::TooOld(version));
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))").bind(MARK).execute(&mut *transaction).await?;
    let comment: Option<Option<String>> =
        sqlx::query_scalar("select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = $1")
            .bind(schema)
            .fetch_optional(&mut *transaction)
            .await?;
    match comment {
        Some(comment) if comment.as_deref() == Some(MARK) => {}
        Some(_) => return Err(DatabaseError::ForeignSchema(schema.to_owned())),
        None => {
            transaction.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(create_schema_sql(schema)))).await?;
        }
    }
    Ok(transaction.commit().await?)
}

/// Checks that tables are created in our schema.
///
/// # Errors
/// [`DatabaseError::OtherSchema`]; [`DatabaseError::Prepare`].
pub(super) async fn demand_schema(connection: &mut PgConnection, schema: &str) -> Result<(), DatabaseError> {
    let found: Option<String> = sqlx::query_scalar("select current_schema()::text").fetch_one(connection).await?;
    if found.as_deref() == Some(schema) {
        return Ok(());
    }
    Err(DatabaseError::OtherSchema { wanted: schema.to_owned(), found })
}

/// Seeds a database that was never seeded (with `reset`, any database). The lock on the table lets only one of two
/// servers seed it.
pub(super) async fn seed_if_empty(
    connection: &mut PgConnection,
    seed: Seed,
    reset: bool,
) -> Result<SeedOutcome, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    transaction.execute("lock table seeded in exclusive mode").await?;
    let found: Option<String> = sqlx::query_scalar("select seed from seeded").fetch_optional(&mut *transaction).await?;
    let seeded = match found {
        Some(found) if !reset => match Seed::from_str(&found) {
            Ok(found) if found == seed => SeedOutcome::Before,
            other => SeedOutcome::Differently(other.ok()),
        },
        _ => {
            replace_data(&mut transaction, seed).await?;
            SeedOutcome::Now
        }
    };
    transaction.commit().await?;
    Ok(seeded)
}

/// Replaces all data; the caller's transaction makes it all or nothing.
pub(super) async fn replace_data(connection: &mut PgConnection, seed: Seed) -> Result<(), sqlx::Error> {
    // `seeded` first, because a server that starts locks it first as well: with one order there is no deadlock.
    connection.execute("truncate seeded, idempotency_keys, users, events, bookings, counters").await?;
    connection.execute(sqlx::raw_sql(seed.sql())).await?;
    let name: &str = seed.into();
    sqlx::query("insert into seeded (seed) values ($1)").bind(name).execute(connection).await?;
    Ok(())
}
