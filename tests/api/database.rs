//! The schema in a database that other applications may use: created, recognised, refused, migrated and seeded.

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::database::{Database, DatabaseError, SeedOutcome};
use concurrency_lab::session::idempotency_key;
use concurrency_lab::strategy::{Approach, CANCEL, READ_BALANCE, READ_COUNTER, READ_EVENT};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqlSafeStr};
use strum::IntoEnumIterator;

use crate::common::{Lab, cluster, new_database};

async fn prepare(options: &PgConnectOptions, seed: Seed, reset: bool) -> Result<SeedOutcome, DatabaseError> {
    Database::prepare(options.clone(), &Limits::default(), seed, reset).await.map(|(_, seeded)| seeded)
}

#[tokio::test]
async fn an_empty_database_is_seeded_once_and_keeps_its_data_until_a_reset() {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    assert_eq!(prepare(&options, Seed::Mixed, false).await.expect("prepared"), SeedOutcome::Now);
    assert_eq!(prepare(&options, Seed::Mixed, false).await.expect("prepared"), SeedOutcome::Before);
    assert_eq!(
        prepare(&options, Seed::Bench, false).await.expect("prepared"),
        SeedOutcome::Differently(Some(Seed::Mixed))
    );
    assert_eq!(prepare(&options, Seed::Bench, true).await.expect("prepared"), SeedOutcome::Now);
    assert_eq!(prepare(&options, Seed::Bench, false).await.expect("prepared"), SeedOutcome::Before);
}

#[tokio::test]
async fn two_servers_that_start_at_once_on_an_empty_database_both_succeed() {
    let cluster = cluster().await;
    for _ in 0..5 {
        let options = new_database(&cluster).await;
        let (first, second) =
            tokio::join!(prepare(&options, Seed::Mixed, false), prepare(&options, Seed::Mixed, false));
        let mut seeded = [first.expect("the first"), second.expect("the second")];
        seeded.sort_by_key(|seeded| *seeded != SeedOutcome::Now);
        assert_eq!(seeded, [SeedOutcome::Now, SeedOutcome::Before]);
    }
}

#[tokio::test]
async fn a_schema_of_the_same_name_from_another_source_is_refused_and_unchanged() {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    let mut owner = options.connect().await.expect("a connection");
    owner
        .execute(
            "create schema concurrency_lab create table users (id int); insert into concurrency_lab.users values (7)",
        )
        .await
        .expect("the foreign schema");
    let refused = prepare(&options, Seed::Mixed, true).await.expect_err("refused");
    assert!(matches!(refused, DatabaseError::ForeignSchema(_)), "{refused}");
    let users: Vec<i32> =
        sqlx::query_scalar("select id from concurrency_lab.users").fetch_all(&mut owner).await.expect("their table");
    assert_eq!(users, [7]);
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'concurrency_lab'")
        .fetch_one(&mut owner)
        .await
        .expect("a count");
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused_and_unchanged() {
    let lab = Lab::start().await;
    let mut connection = lab.connection().await;
    connection.execute("update _sqlx_migrations set checksum = 'x'").await.expect("a changed migration");
    let refused = prepare(&lab.options, Seed::Withdrawal, true).await.expect_err("refused");
    assert!(matches!(refused, DatabaseError::Migrate(_)), "{refused}");
    assert!(refused.to_string().contains("does not fit this version"), "{refused}");
}

#[tokio::test]
async fn migrations_create_nothing_outside_the_schema() {
    let lab = Lab::start().await;
    let mut connection = lab.connection().await;
    let elsewhere = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                     where n.nspname not in ('pg_catalog', 'information_schema', 'concurrency_lab', 'pg_toast')";
    let elsewhere: i64 = sqlx::query_scalar(elsewhere).fetch_one(&mut connection).await.expect("a count");
    assert_eq!(elsewhere, 0);
}

#[tokio::test]
async fn every_statement_of_every_strategy_is_valid_sql_for_the_migrated_schema() {
    let lab = Lab::start().await;
    let mut connection = lab.connection().await;
    for approach in Approach::iter() {
        let mut names: Vec<_> = approach.info().statements.iter().map(|statement| statement.name).collect();
        for statement in approach
            .info()
            .statements
            .iter()
            .chain([&READ_BALANCE, &READ_COUNTER, &READ_EVENT, &CANCEL])
            .chain(idempotency_key::STATEMENTS)
        {
            let prepared = (&mut connection).prepare(statement.sql.into_sql_str()).await;
            assert!(prepared.is_ok(), "{approach} {}: {:?}", statement.name, prepared.err());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), approach.info().statements.len(), "{approach}: the names of statements are unique");
    }
}

#[tokio::test]
async fn a_seed_that_runs_twice_gives_the_same_data() {
    use strum::VariantNames;
    let lab = Lab::start().await;
    let mut connection = lab.connection().await;
    for name in Seed::VARIANTS {
        let seed: Seed = name.parse().expect("a seed");
        let content = "select coalesce((select string_agg(users::text, ';' order by id) from users), '') \
                           || coalesce((select string_agg(events::text, ';' order by id) from events), '') \
                           || coalesce((select string_agg(counters::text, ';' order by id) from counters), '')";
        lab.post("/reset", &format!(r#"{{"seed":"{name}"}}"#)).await;
        let first_run: String = sqlx::query_scalar(content).fetch_one(&mut connection).await.expect("rows");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(seed.sql()))).await.expect("the seed again");
        let second_run: String = sqlx::query_scalar(content).fetch_one(&mut connection).await.expect("rows");
        assert_eq!(first_run, second_run, "{name}");
        assert!(!first_run.is_empty(), "{name}");
    }
}
