//! The lab's pool of connections against sqlx's own, without HTTP: the same connections, the same statement, the same
//! tasks.

use std::time::{Duration, Instant};

use concurrency_lab::config::Limits;
use concurrency_lab::database::pool::Pool;
use concurrency_lab::strategy::Approach;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use crate::Failure;
use crate::points::PoolKind;

/// Connections of each pool.
pub const SIZE: usize = 32;

/// Tasks that need a connection. They are more than the connections, as in a busy server.
pub const TASKS: usize = 64;

/// Both pools, open.
pub struct Pools {
    ours: Pool,
    sqlx: PgPool,
}

impl Pools {
    /// Opens both pools.
    pub async fn open(options: PgConnectOptions) -> Result<Self, Failure> {
        let limits = Limits { pool_size: SIZE, ..Limits::default() };
        let ours = Pool::new(options.clone(), &limits).map_err(Failure::environment)?;
        let size = u32::try_from(SIZE).unwrap_or(u32::MAX);
        // sqlx's fastest settings: no ping before each use, and no connection that must be opened again.
        let sqlx = PgPoolOptions::new().max_connections(size).min_connections(size).test_before_acquire(false);
        let sqlx = sqlx.idle_timeout(None).max_lifetime(None).connect_with(options).await;
        Ok(Self { ours, sqlx: sqlx.map_err(Failure::environment)? })
    }

    /// Measures changes per second.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub async fn measure(&self, kind: PoolKind, time: Duration) -> Result<f64, Failure> {
        let started = Instant::now();
        let end = started + time;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            match kind {
                PoolKind::Ours => tasks.spawn(work_on_ours(self.ours.clone(), end)),
                PoolKind::Sqlx => tasks.spawn(work_on_sqlx(self.sqlx.clone(), end)),
            };
        }
        let mut changes = 0_u64;
        while let Some(done) = tasks.join_next().await {
            changes += done.map_err(Failure::environment)??;
        }
        Ok(changes as f64 / started.elapsed().as_secs_f64())
    }

    /// Closes both pools.
    pub async fn close(&self) {
        self.ours.close();
        self.sqlx.close().await;
    }
}

async fn work_on_ours(pool: Pool, end: Instant) -> Result<u64, Failure> {
    let mut changes = 0;
    while Instant::now() < end {
        let mut lease = pool.lease(Instant::now() + Duration::from_secs(30)).await.map_err(Failure::environment)?;
        change(lease.connection()).await?;
        changes += 1;
    }
    Ok(changes)
}

async fn work_on_sqlx(pool: PgPool, end: Instant) -> Result<u64, Failure> {
    let mut changes = 0;
    while Instant::now() < end {
        let mut lease = pool.acquire().await.map_err(Failure::environment)?;
        change(&mut lease).await?;
        changes += 1;
    }
    Ok(changes)
}

/// One guarded UPDATE of a random user.
async fn change(connection: &mut PgConnection) -> Result<(), Failure> {
    let update = Approach::AtomicReturning.info().statements[0].sql;
    let query = sqlx::query(update).bind(fastrand::i64(1..=1_000)).bind(-2_i64);
    match connection.fetch_optional(query).await.map_err(Failure::environment)? {
        Some(_) => Ok(()),
        None => Err(Failure::Untrue("a change was refused".to_owned())),
    }
}
