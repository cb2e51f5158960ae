//! Every limit of the server, with its reason. Nothing waits, queues or retries without one.
//!
//! The defaults admit 10000 requests at once on one row, on every approach, even if the disk makes only a hundred commits a
//! second durable: a request may wait as long as 10000 such commits take.

use std::time::Duration;

/// Limits of a serving process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Database connections. On two cores, cold rows are fastest with 16 to 32; `row_sessions` prevents that a hot row takes
    /// all of them.
    pub pool_size: usize,
    /// Sessions that may work on one row at once; the others wait in the server, in order. Waiting in PostgreSQL
    /// costs more: each commit hands the row's lock over to one of all its waiters, and the connections that wait
    /// are missing elsewhere. At least 2, or no race could happen and every approach would look correct.
    pub row_sessions: usize,
    /// Requests that may wait for a row, and as many for a connection; the next one is answered 503.
    pub queue: usize,
    /// Changes that group-commit makes in one transaction: more than usually wait at once, and few enough that a batch is
    /// not a long transaction.
    pub batch_size: usize,
    /// How long a request may wait for its row and its connection together.
    pub queue_wait: Duration,
    /// How long a new connection to the database may take to open.
    pub connect_timeout: Duration,
    /// After this time the server answers 504 although the operation goes on. It is longer than `queue_wait` and a retry
    /// deadline together, so that the 503 of a change that was certainly not made comes first.
    pub request_timeout: Duration,
    /// `statement_timeout` of every connection.
    pub statement_timeout: Duration,
    /// A session waits for a statement's answer for `statement_timeout` and this. After that its connection counts as lost,
    /// because PostgreSQL would have ended the statement and its answer does not arrive. Without this limit, a network that
    /// drops packets silently would hold a connection for ever.
    pub statement_grace: Duration,
    /// `lock_timeout` of every connection: shorter than `statement_timeout`, so that the error names the lock as the reason.
    pub lock_timeout: Duration,
    /// `idle_in_transaction_session_timeout`: longer than the longest think time.
    pub idle_in_transaction_timeout: Duration,
    /// The limits within which an attempt that lost a race is repeated.
    pub retry: RetryPolicy,
    /// How long an idempotency key is kept: a client that repeats a request does so within minutes.
    pub idempotency_ttl: Duration,
    /// How many idempotency keys are kept, the newest ones: about 200 MB, and those that come between two sweeps.
    pub idempotency_keys: u32,
    /// The interval at which keys that are too old or too many are deleted.
    pub idempotency_sweep: Duration,
    /// How long a client may take to send the head of a request, and how long a connection may be idle.
    pub header_read_timeout: Duration,
    /// How long a client may take to send the body of a request.
    pub body_read_timeout: Duration,
    /// The largest body, in bytes; the largest valid one has about 100.
    pub body_bytes: usize,
    /// How long requests in flight may take to finish after SIGTERM.
    pub drain: Duration,
    /// Client connections at once; further ones wait in the kernel's accept queue.
    pub client_connections: usize,
}

/// Bounds of the retry loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Time from the first attempt that lost to the last one.
    pub deadline: Duration,
    /// The most attempts, for attempts that fail instantly: the deadline alone would allow very many of them.
    pub attempts: u32,
    /// The first backoff is a random time up to this; the bound of each further one is twice the bound before …
    pub backoff_base: Duration,
    /// … but at most this.
    pub backoff_cap: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pool_size: 32,
            row_sessions: 4,
            queue: 20_000,
            batch_size: 1_000,
            queue_wait: Duration::from_mins(2),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_mins(3),
            statement_timeout: Duration::from_secs(10),
            statement_grace: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(8),
            idle_in_transaction_timeout: Duration::from_secs(15),
            retry: RetryPolicy::default(),
            idempotency_ttl: Duration::from_hours(24),
            idempotency_keys: 1_000_000,
            idempotency_sweep: Duration::from_mins(1),
            header_read_timeout: Duration::from_secs(30),
            body_read_timeout: Duration::from_secs(10),
            body_bytes: 16 * 1024,
            drain: Duration::from_secs(10),
            client_connections: 16_384,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            attempts: 1_000,
            backoff_base: Duration::from_micros(500),
            backoff_cap: Duration::from_millis(20),
        }
    }
}

/// The longest pause that `Lab-Think-Time` may ask for.
pub const THINK_TIME_MAX: Duration = Duration::from_secs(1);

/// The largest number of statements that `Lab-Fault` may name.
pub const FAULT_MAX: u32 = 1_000;

/// Connections to the database beyond the pool: start-up, `psql`, a reset, an operator's query of `pg_locks`, a pgbench of 32
/// clients beside the server.
pub const SPARE_DATABASE_CONNECTIONS: u32 = 60;

/// Lines of the access log that may wait to be written, of about 200 bytes each. Further lines are dropped and counted, because
/// no request waits for a log.
pub const ACCESS_LOG_LINES: usize = 8_192;

/// File descriptors reserved for everything but client connections: database, listener, log, runtime.
pub const SPARE_FILE_DESCRIPTORS: u64 = 256;

/// The longest explore file, specification and routes file, in bytes. The longest that are known have 10 KB.
pub const SCRIPT_FILE_BYTES: u64 = 1 << 20;

/// The longest run.json that a command reads, in bytes: that of a hundred hours of load has about this length.
pub const RUN_FILE_BYTES: u64 = 64 << 20;

/// The longest result that the dashboard reads, in bytes: that of eleven hours of load has about this length. Most have less than 1 MB. A
/// hostile file takes up to sixteen times its length in memory.
pub const SHOWN_FILE_BYTES: u64 = 8 << 20;

/// Folders of the run folder that the dashboard looks at, each time that a page lists them: about 0.1 s.
pub const RUN_FOLDERS: usize = 10_000;

/// The most memory that the dashboard remembers of one experiment, in bytes. That of the largest exploration is a third of this.
pub const REMEMBERED_BYTES: usize = 512 << 10;

/// How long a page waits until other pages have read their results. One result takes less than a second.
pub const READING_WAIT: Duration = Duration::from_secs(10);
