//! The points: each is one number of the report, with what is needed to measure it.

use std::fmt;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::strategy::Approach;

/// Numbers of pgbench's clients: one, a few, and as many as the lab's pool has connections.
pub const PGBENCH_CLIENTS: [u32; 3] = [1, 8, 32];

/// wrk's connections. Each waits for its answer before it sends the next request: a closed loop.
pub const CONNECTIONS: u32 = 64;

/// The crowd: this many concurrent connections, which must all be answered within [`CROWD_TIMEOUT`].
pub const CROWD: u32 = 10_000;

/// The time limit of an answer to the crowd.
pub const CROWD_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer later than this counts as missing. It is longer than any wait in the server's queues.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a point is measured before the next point has its turn. wrk counts in whole seconds.
const SLICE: Duration = Duration::from_secs(1);

/// The same for the crowd, whose first answers come when all connections are open.
const CROWD_SLICE: Duration = Duration::from_secs(6);

/// The requests of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Load {
    /// Changes of one row, user 1.
    Hot,
    /// Changes of a random row of 1000.
    Cold,
    /// Transfers between two random accounts of 100.
    Transfers,
}

/// The setup of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The defaults.
    Default,
    /// A pool as small as is best for a hot row.
    SmallPool,
    /// A large pool whose sessions may all wait for one row inside PostgreSQL.
    NoRowLimit,
    /// The defaults, without metrics.
    NoMetrics,
}

/// The pool that provides the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// [`concurrency_lab::database::pool`].
    Ours,
    /// sqlx's own pool.
    Sqlx,
}

/// One number of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// An approach over HTTP.
    Approach {
        /// The server.
        setup: Setup,
        /// The approach.
        approach: Approach,
        /// The load.
        load: Load,
        /// The number of connections.
        connections: u32,
    },
    /// The route that touches no database.
    Ceiling {
        /// The server.
        setup: Setup,
        /// The number of connections.
        connections: u32,
    },
    /// The bare axum server.
    BareAxum,
    /// The route that touches no database, under the lab's own load generator.
    Generator,
    /// An approach's statements, sent by pgbench.
    Pgbench {
        /// The approach whose statements are sent.
        approach: Approach,
        /// The load.
        load: Load,
        /// The number of clients.
        clients: u32,
    },
    /// The disk alone: the rate of durable writes.
    Disk,
    /// A pool in this process, with the statement of atomic-returning on 1000 rows.
    Pool(PoolKind),
}

impl Load {
    /// The loads that every approach is measured with.
    pub const OF_ALL: [Self; 2] = [Self::Hot, Self::Cold];

    /// The route of its requests.
    pub fn route(self) -> &'static str {
        match self {
            Self::Hot | Self::Cold => "/balance",
            Self::Transfers => "/transfer",
        }
    }

    /// The script of wrk that sends it.
    pub fn script(self) -> &'static str {
        match self {
            Self::Hot => "patch_request.lua",
            Self::Cold => "random_user.lua",
            Self::Transfers => "random_transfer.lua",
        }
    }
}

impl Setup {
    /// All setups.
    pub const ALL: [Self; 4] = [Self::Default, Self::SmallPool, Self::NoRowLimit, Self::NoMetrics];

    /// The setups that differ in what a request for a hot row waits for.
    pub const POOLS: [Self; 3] = [Self::Default, Self::SmallPool, Self::NoRowLimit];

    /// The connections of its pool, and the sessions allowed on one row.
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
    /// An approach of a server, with the usual number of connections.
    pub fn http(setup: Setup, approach: Approach, load: Load) -> Self {
        Self::Approach { setup, approach, load, connections: CONNECTIONS }
    }

    /// The ceiling of the default server, with the usual number of connections.
    pub fn ceiling() -> Self {
        Self::Ceiling { setup: Setup::Default, connections: CONNECTIONS }
    }

    /// How long it is measured in one turn.
    pub fn slice(self) -> Duration {
        match self {
            Self::Approach { connections: CROWD, .. } => CROWD_SLICE,
            _ => SLICE,
        }
    }
}

/// The time limit of an answer. For the crowd, late answers are a result and not a failure of the measurement.
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
            Self::Default => write!(formatter, "default (pool {pool_size}, {row_sessions} per row)"),
            Self::SmallPool => write!(formatter, "pool {pool_size}"),
            Self::NoRowLimit => write!(formatter, "pool {pool_size}, no limit per row"),
            Self::NoMetrics => formatter.write_str("without metrics"),
        }
    }
}

impl fmt::Display for PoolKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ours => "the lab's pool (deadpool's slots)",
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
            Self::Generator => formatter.write_str("/ceiling/balance, load by `run` instead of wrk"),
            Self::Pgbench { approach, load, clients } => {
                write!(formatter, "pgbench, {clients} clients, {approach}, {load}")
            }
            Self::Disk => formatter.write_str("the disk alone"),
            Self::Pool(kind) => write!(formatter, "{kind}"),
        }
    }
}
