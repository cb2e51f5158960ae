//! What is measured: one number of the report each, and what it takes to measure it.

use std::fmt;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::strategy::Approach;

/// Clients that pgbench is tried with: alone, a few, as many as our pool has connections.
pub const PGBENCH_CLIENTS: [u32; 3] = [1, 8, 32];

/// wrk's connections, each of which waits for its answer before it asks again: a closed loop.
pub const CONNECTIONS: u32 = 64;

/// Connections at once that must all be answered in time, [`CROWD_TIMEOUT`].
pub const CROWD: u32 = 10_000;

/// How late an answer to the crowd may be.
pub const CROWD_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer later than this counts as none. Longer than any wait in these queues.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a point is measured at a time, before it is the next one's turn. wrk counts in whole seconds.
const SLICE: Duration = Duration::from_secs(1);

/// The same for the crowd, whose first answers come when all are connected.
const CROWD_SLICE: Duration = Duration::from_secs(6);

/// What the requests ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Load {
    /// Changes of one row, user 1.
    Hot,
    /// Changes of a random one of 1000.
    Cold,
    /// Transfers between two of 100.
    Transfers,
}

/// How a server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// As it comes.
    Default,
    /// A pool as small as a hot row likes it.
    SmallPool,
    /// A large pool, and all of it may wait at one row inside PostgreSQL.
    NoRowLimit,
    /// As it comes, but it counts nothing for Prometheus.
    NoMetrics,
}

/// Whose pool lends the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// [`concurrency_lab::database::pool`].
    Ours,
    /// sqlx's own.
    Sqlx,
}

/// One number of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// An approach over HTTP.
    Approach {
        /// Of which server.
        setup: Setup,
        /// Which one.
        approach: Approach,
        /// Asked for what.
        load: Load,
        /// By how many at once.
        connections: u32,
    },
    /// The route that touches no database.
    Ceiling {
        /// Of which server.
        setup: Setup,
        /// By how many at once.
        connections: u32,
    },
    /// A server that does nothing else.
    BareAxum,
    /// The route that touches no database, asked by our own load generator.
    Generator,
    /// An approach's statements, sent by pgbench.
    Pgbench {
        /// Whose statements.
        approach: Approach,
        /// On which rows.
        load: Load,
        /// By how many clients.
        clients: u32,
    },
    /// The disk alone: how often it makes something durable.
    Disk,
    /// A pool in this process, with the statement of atomic-returning on 1000 rows.
    Pool(PoolKind),
}

impl Load {
    /// The loads that every approach is measured with.
    pub const OF_ALL: [Self; 2] = [Self::Hot, Self::Cold];

    /// The route that it asks.
    pub fn route(self) -> &'static str {
        match self {
            Self::Hot | Self::Cold => "/balance",
            Self::Transfers => "/transfer",
        }
    }

    /// The script of wrk that asks for it.
    pub fn script(self) -> &'static str {
        match self {
            Self::Hot => "patch_request.lua",
            Self::Cold => "random_user.lua",
            Self::Transfers => "random_transfer.lua",
        }
    }
}

impl Setup {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Default, Self::SmallPool, Self::NoRowLimit, Self::NoMetrics];

    /// Those that differ in what a hot row has to wait for.
    pub const POOLS: [Self; 3] = [Self::Default, Self::SmallPool, Self::NoRowLimit];

    /// Connections of its pool, and sessions that may work on one row.
    pub fn limits(self) -> (usize, usize) {
        let default = Limits::default();
        match self {
            Self::Default | Self::NoMetrics => (default.pool_size, default.row_sessions),
            Self::SmallPool => (4, 4),
            Self::NoRowLimit => (32, 32),
        }
    }
}

impl Point {
    /// An approach of a server, by as many as usual.
    pub fn http(setup: Setup, approach: Approach, load: Load) -> Self {
        Self::Approach { setup, approach, load, connections: CONNECTIONS }
    }

    /// The ceiling of the default server, by as many as usual.
    pub fn ceiling() -> Self {
        Self::Ceiling { setup: Setup::Default, connections: CONNECTIONS }
    }

    /// How long it is measured at a time.
    pub fn slice(self) -> Duration {
        match self {
            Self::Approach { connections: CROWD, .. } => CROWD_SLICE,
            _ => SLICE,
        }
    }
}

/// How late an answer may be; where it is the crowd's, late ones are a result and no failure of the measurement.
pub fn answer_timeout(connections: u32) -> Duration {
    if connections == CROWD { CROWD_TIMEOUT } else { ANSWER_TIMEOUT }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hot => "one hot row",
            Self::Cold => "1000 rows",
            Self::Transfers => "transfers among 100 accounts",
        })
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pool_size, row_sessions) = self.limits();
        match self {
            Self::Default => write!(formatter, "default (pool {pool_size}, {row_sessions} a row)"),
            Self::SmallPool => write!(formatter, "pool {pool_size}"),
            Self::NoRowLimit => write!(formatter, "pool {pool_size}, no limit a row"),
            Self::NoMetrics => formatter.write_str("without metrics"),
        }
    }
}

impl fmt::Display for PoolKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ours => "our pool (deadpool's slots)",
            Self::Sqlx => "sqlx's pool",
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approach { setup, approach, load, connections } => {
                write!(formatter, "{approach}, {load}, -c{connections}, {setup}")
            }
            Self::Ceiling { setup, connections } => write!(formatter, "/ceiling/balance, -c{connections}, {setup}"),
            Self::BareAxum => formatter.write_str("bare axum"),
            Self::Generator => formatter.write_str("/ceiling/balance, asked by `run` instead of wrk"),
            Self::Pgbench { approach, load, clients } => {
                write!(formatter, "pgbench, {clients} clients, {approach}, {load}")
            }
            Self::Disk => formatter.write_str("the disk alone"),
            Self::Pool(kind) => write!(formatter, "{kind}"),
        }
    }
}
