//! The pool of database connections: deadpool's slots around sqlx's connections.
//!
//! sqlx's own pool sends a ping on every release, whatever its options, and its `begin()` may hand a connection with an
//! open transaction to the next user when it is cancelled (0.9.0). Here a connection that is given back is simply put on
//! a stack; [`crate::session::Session`] gives back only clean connections. `make bench` compares the two pools.
//!
//! A connection that has been idle is pinged before it is used again. When one is found dead, all connections as old as it
//! are pinged before their next use. So after a restart of the database, requests do not fail one by one on dead
//! connections.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::waiting::WaitingGuard;
use crate::config::Limits;

/// A connection that was idle for longer is pinged before use. A busy pool never pings.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(1);

/// How long a ping may take before its connection counts as dead.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A bounded set of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    slots: managed::Pool<ConnectionManager>,
    waiting: Arc<AtomicUsize>,
    queue: usize,
}

/// A connection on loan; dropping it puts it back.
#[derive(Debug)]
pub struct Lease {
    slot: Object<ConnectionManager>,
}

/// The number of connections, and of requests that wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Open, in use or not.
    pub open: usize,
    /// Open and not in use.
    pub idle: usize,
    /// Requests waiting.
    pub waiting: usize,
}

/// Why no connection was to be had. In every case nothing was sent to the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum LeaseError {
    /// As many requests as may wait are waiting.
    QueueFull,
    /// The wait ended before a connection came free.
    WaitedTooLong,
    /// The pool was closed because the server stops.
    Stopping,
    /// A new connection could not be opened.
    Unavailable(String),
}

impl LeaseError {
    /// The reason in words.
    #[must_use]
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::QueueFull => "Too many requests waiting".into(),
            Self::WaitedTooLong => "Waited too long for a connection".into(),
            Self::Stopping => "Server is stopping".into(),
            Self::Unavailable(error) => format!("Database unavailable: {error}").into(),
        }
    }
}

impl Pool {
    /// A pool that opens its connections as they are needed, at most `limits.pool_size`.
    ///
    /// # Errors
    /// A configuration that deadpool does not take.
    pub fn new(options: PgConnectOptions, limits: &Limits) -> Result<Self, managed::BuildError> {
        let slots = managed::Pool::builder(ConnectionManager { options, generation: AtomicU64::new(0) })
            .max_size(limits.pool_size)
            // The connection used last has the warmest caches, here and in its backend.
            .queue_mode(QueueMode::Lifo)
            .create_timeout(Some(limits.connect_timeout))
            .recycle_timeout(Some(PING_TIMEOUT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        Ok(Self { slots, waiting: Arc::default(), queue: limits.queue })
    }

    /// Takes a connection, and waits for one if none is free.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub async fn lease(&self, wait_until: Instant) -> Result<Lease, LeaseError> {
        // Without waiting first, so that only requests that have to wait are counted.
        let mut taken = self.take(Duration::ZERO).await;
        if matches!(taken, Err(PoolError::Timeout(TimeoutType::Wait))) {
            let _waiting = WaitingGuard::join(&self.waiting, self.queue).ok_or(LeaseError::QueueFull)?;
            taken = self.take(wait_until.saturating_duration_since(Instant::now())).await;
        }
        match taken {
            Ok(slot) => Ok(Lease { slot }),
            Err(PoolError::Timeout(TimeoutType::Wait)) => Err(LeaseError::WaitedTooLong),
            Err(PoolError::Closed) => Err(LeaseError::Stopping),
            Err(error) => Err(LeaseError::Unavailable(error.to_string())),
        }
    }

    /// A wait of 0 means "do not wait" to deadpool.
    async fn take(&self, wait: Duration) -> Result<Object<ConnectionManager>, PoolError<sqlx::Error>> {
        self.slots.timeout_get(&Timeouts { wait: Some(wait), ..self.slots.timeouts() }).await
    }

    /// The pool's figures now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let status = self.slots.status();
        PoolStatus { open: status.size, idle: status.available, waiting: self.waiting.load(Ordering::Relaxed) }
    }

    /// Closes the idle connections and lends no more.
    pub fn close(&self) {
        self.slots.close();
    }
}

impl Lease {
    /// The connection itself.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.slot.connection
    }

    /// Closes the connection instead of putting it back, because its state is not known. Idle connections of the same age
    /// are pinged before their next use. The server rolls back what was open.
    pub fn discard(self) {
        let generation = self.slot.generation;
        if let Some(pool) = Object::pool(&self.slot) {
            // One failure ends one generation, however many of its connections report the failure.
            let _ = pool.manager().generation.compare_exchange(
                generation,
                generation + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        drop(Object::take(self.slot));
    }
}

#[derive(Debug)]
struct ConnectionManager {
    options: PgConnectOptions,
    /// Connections of an older generation are pinged before they are used again.
    generation: AtomicU64,
}

#[derive(Debug)]
struct OpenedConnection {
    connection: PgConnection,
    generation: u64,
}

impl managed::Manager for ConnectionManager {
    type Type = OpenedConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<OpenedConnection, sqlx::Error> {
        let generation = self.generation.load(Ordering::Relaxed);
        // Boxed: it is large and seldom needed, and otherwise the future of every attempt would have room for it.
        let connection = Box::pin(PgConnection::connect_with(&self.options)).await?;
        Ok(OpenedConnection { connection, generation })
    }

    async fn recycle(&self, opened: &mut OpenedConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let generation = self.generation.load(Ordering::Relaxed);
        // deadpool sets `last_used` when a connection is lent.
        if opened.generation != generation || metrics.last_used() > IDLE_BEFORE_PING {
            opened.connection.ping().await.map_err(RecycleError::Backend)?;
            opened.generation = generation;
        }
        Ok(())
    }
}
