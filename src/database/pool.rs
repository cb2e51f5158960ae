//! The pool of database connections: deadpool's slots around sqlx's connections.
//!
//! sqlx's own pool sends a ping on every release, whatever its options, and its `begin()` may hand a connection with an
//! open transaction to the next user when it is cancelled (0.9.0). Here a connection that is given back is simply put on
//! a stack; [`crate::session::Session`] gives back only clean connections. `make bench` compares the two pools.
//!
//! A connection that has been idle is examined before it is used again, in one round trip ([`super::opening`]). When one is
//! found to be dead, read-only, or not the session that it was, all connections as old as it are examined before their next use.
//! So after a restart of the database, or after a standby has answered for a while, requests do not fail one by one. A connection
//! that was read-only when it was last examined is used once, and is not put back: reads go on, and the next user gets a new one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::OwnedSemaphorePermit;

use super::connection_permits::ConnectionPermits;
use super::opening::{ConnectionOpener, Examination, OpenError, OpenedSession};
use super::waiting::WaitingGuard;
use crate::config::Limits;

/// A connection that was idle for longer is examined before use. A busy pool examines none.
const IDLE_BEFORE_EXAMINATION: Duration = Duration::from_secs(1);

/// How long the examination may take before its connection counts as dead.
const EXAMINATION_TIMEOUT: Duration = Duration::from_secs(2);

/// A bounded set of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    slots: managed::Pool<ConnectionManager>,
    permits: Arc<ConnectionPermits>,
    waiting: Arc<AtomicUsize>,
    queue: usize,
    size: usize,
}

/// A connection on loan; dropping it puts it back.
#[derive(Debug)]
pub struct Lease {
    // Dropped in this order: the next holder of the permit finds the connection.
    slot: Object<ConnectionManager>,
    #[expect(dead_code, reason = "held for its Drop")]
    permit: OwnedSemaphorePermit,
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
    /// A pool that opens its connections as they are needed, at most `limits.pool_size`. It does not examine them, but pings
    /// those that were idle.
    ///
    /// # Errors
    /// A configuration that deadpool does not take.
    pub fn new(options: PgConnectOptions, limits: &Limits) -> Result<Self, managed::BuildError> {
        Self::examined(Arc::new(ConnectionOpener::new(options, Vec::new(), limits.connect_timeout)), limits)
    }

    /// The same, with connections that are opened and examined by this opener.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn examined(opener: Arc<ConnectionOpener>, limits: &Limits) -> Result<Self, managed::BuildError> {
        let manager = ConnectionManager {
            opener,
            generation: AtomicU64::new(0),
            proved_generation: AtomicU64::new(0),
            opening: AtomicUsize::new(0),
        };
        let slots = managed::Pool::builder(manager)
            .max_size(limits.pool_size)
            // The connection used last has the warmest caches, here and in its backend.
            .queue_mode(QueueMode::Lifo)
            // A request has a permit before it takes a slot, so it never waits for a slot.
            .wait_timeout(Some(Duration::ZERO))
            .create_timeout(Some(limits.connect_timeout))
            .recycle_timeout(Some(EXAMINATION_TIMEOUT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        let permits = Arc::new(ConnectionPermits::new(limits.pool_size));
        Ok(Self { slots, permits, waiting: Arc::default(), queue: limits.queue, size: limits.pool_size })
    }

    /// Takes a connection, and waits for one if none is free. If the database refuses to open more, it waits for one that is open.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub async fn lease(&self, wait_until: Instant) -> Result<Lease, LeaseError> {
        // Without waiting first, so that only requests that have to wait are counted.
        let mut permit = match self.permits.try_take()? {
            Some(permit) => permit,
            None => self.wait(wait_until).await?,
        };
        loop {
            match self.slots.get().await {
                Ok(slot) => {
                    if Object::metrics(&slot).recycle_count == 0 {
                        self.permits.opened();
                    }
                    return Ok(Lease { slot, permit });
                }
                // Each round gives up a permit, so there are no more than permits.
                Err(error) if self.is_full(&error) && Instant::now() < wait_until => {
                    self.permits.give_up(permit, &error);
                    permit = self.wait(wait_until).await?;
                }
                Err(PoolError::Closed) => return Err(LeaseError::Stopping),
                Err(error) => return Err(LeaseError::Unavailable(error.to_string())),
            }
        }
    }

    async fn wait(&self, wait_until: Instant) -> Result<OwnedSemaphorePermit, LeaseError> {
        let _waiting = WaitingGuard::join(&self.waiting, self.queue).ok_or(LeaseError::QueueFull)?;
        self.permits.take(wait_until).await
    }

    /// Whether no further connection can be opened now, and others are open or about to be.
    fn is_full(&self, error: &PoolError<OpenError>) -> bool {
        let manager = self.slots.manager();
        let refused = match error {
            PoolError::Timeout(TimeoutType::Create) => manager.opener.is_pooled(),
            PoolError::Backend(error) => error.is_limit(manager.opener.is_pooled()),
            _ => false,
        };
        refused && (self.slots.status().size > 0 || manager.opening.load(Ordering::Relaxed) > 0)
    }

    /// The most connections that it opens.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Examines a connection that is open, and closes it. Returns whether it is read-only, or `None` if there is no
    /// connection that can be used.
    pub(super) async fn examine_one(&self, wait_until: Instant) -> Option<bool> {
        let lease = self.lease(wait_until).await.ok()?;
        // Taken out, because a caller that waits no longer would put back a connection in an unknown state.
        let mut session = Object::take(lease.slot).session;
        session.examine().await.ok()?;
        Some(session.read_only)
    }

    /// The pool's figures now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let status = self.slots.status();
        PoolStatus { open: status.size, idle: status.available, waiting: self.waiting.load(Ordering::Relaxed) }
    }

    /// Closes the idle connections and lends no more.
    pub fn close(&self) {
        self.permits.close();
        self.slots.close();
    }
}

impl Lease {
    /// The connection itself.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.slot.session.connection
    }

    /// Closes the connection instead of putting it back, because its state is not known, or because it is read-only. Idle
    /// connections of the same age are examined before their next use. The server rolls back what was open.
    pub fn discard(self) {
        if let Some(pool) = Object::pool(&self.slot) {
            pool.manager().end_generation(self.slot.generation);
        }
        drop(Object::take(self.slot));
    }
}

#[derive(Debug)]
struct ConnectionManager {
    opener: Arc<ConnectionOpener>,
    /// Connections of an older generation are examined before they are used again.
    generation: AtomicU64,
    /// The last generation of which a connection was examined with a second one. The start of the server did so for the first.
    proved_generation: AtomicU64,
    /// Connections that are about to be opened.
    opening: AtomicUsize,
}

/// Counts a connection that is about to be opened, until it is dropped.
struct Opening<'a>(&'a AtomicUsize);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct OpenedConnection {
    session: OpenedSession,
    generation: u64,
}

impl ConnectionManager {
    /// One failure ends one generation, however many of its connections report the failure.
    fn end_generation(&self, generation: u64) {
        let _ = self.generation.compare_exchange(generation, generation + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl managed::Manager for ConnectionManager {
    type Type = OpenedConnection;
    type Error = OpenError;

    async fn create(&self) -> Result<OpenedConnection, OpenError> {
        self.opening.fetch_add(1, Ordering::Relaxed);
        let _opening = Opening(&self.opening);
        let generation = self.generation.load(Ordering::Relaxed);
        let proved = self.proved_generation.load(Ordering::Relaxed) >= generation;
        let examination = if proved { Examination::Alone } else { Examination::BesideIfPooled };
        let session = self.opener.open(examination).await.inspect_err(|error| {
            if !matches!(error, OpenError::Connect(_)) {
                self.end_generation(generation);
            }
        })?;
        if session.has_own_process {
            self.proved_generation.fetch_max(generation, Ordering::Relaxed);
        }
        Ok(OpenedConnection { session, generation })
    }

    async fn recycle(&self, opened: &mut OpenedConnection, metrics: &Metrics) -> RecycleResult<OpenError> {
        let generation = self.generation.load(Ordering::Relaxed);
        // deadpool sets `last_used` when a connection is lent.
        if opened.generation != generation || metrics.last_used() > IDLE_BEFORE_EXAMINATION {
            if let Err(error) = Box::pin(opened.session.examine()).await {
                self.end_generation(opened.generation);
                return Err(RecycleError::Backend(error));
            }
            opened.generation = generation;
        }
        if opened.session.read_only { Err(RecycleError::message("it was read-only")) } else { Ok(()) }
    }
}
