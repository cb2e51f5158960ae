//! What is measured: the list of points, and the order in which each round takes them.

use std::fmt;

use concurrency_lab::config::Limits;
use concurrency_lab::strategy::Approach;

use crate::pgbench;

/// Clients that pgbench is tried with: alone, a few, as many as our pool has connections.
pub const PGBENCH_CLIENTS: [u32; 3] = [1, 8, 32];

/// The approaches that are also measured with other pools: one statement, and a transaction of several.
pub const WITH_EVERY_POOL: [Approach; 2] = [Approach::AtomicReturning, Approach::Pessimistic];

/// Which rows the requests change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Load {
    /// One row, user 1.
    Hot,
    /// A random one of 1000.
    Cold,
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
        /// On which rows.
        load: Load,
    },
    /// The route that touches no database, of the default server.
    Ceiling,
    /// A server that does nothing else.
    BareAxum,
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
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hot, Self::Cold];
}

impl Setup {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::SmallPool, Self::NoRowLimit];

    /// Connections of its pool, and sessions that may work on one row.
    pub fn limits(self) -> (usize, usize) {
        let default = Limits::default();
        match self {
            Self::Default => (default.pool_size, default.row_sessions),
            Self::SmallPool => (4, 4),
            Self::NoRowLimit => (32, 32),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hot => "one hot row",
            Self::Cold => "1000 rows",
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
            Self::Approach { setup, approach, load } => write!(formatter, "{approach}, {load}, {setup}"),
            Self::Ceiling => formatter.write_str("/ceiling/balance"),
            Self::BareAxum => formatter.write_str("bare axum"),
            Self::Pgbench { approach, load, clients } => {
                write!(formatter, "pgbench, {clients} clients, {approach}, {load}")
            }
            Self::Disk => formatter.write_str("the disk alone"),
            Self::Pool(kind) => write!(formatter, "{kind}"),
        }
    }
}

/// Everything, in groups: the points of a group are compared with each other.
pub fn groups(approaches: &[Approach]) -> Vec<Vec<Point>> {
    let mut groups = vec![vec![Point::Ceiling, Point::BareAxum]];
    for load in Load::ALL {
        for &approach in approaches {
            let every_pool = load == Load::Hot && WITH_EVERY_POOL.contains(&approach);
            let setups = if every_pool { &Setup::ALL[..] } else { &[Setup::Default] };
            let mut group: Vec<_> = setups.iter().map(|&setup| Point::Approach { setup, approach, load }).collect();
            if pgbench::knows(approach) {
                group.extend(PGBENCH_CLIENTS.map(|clients| Point::Pgbench { approach, load, clients }));
            }
            if every_pool && approach == WITH_EVERY_POOL[0] {
                group.push(Point::Disk);
            }
            groups.push(group);
        }
    }
    groups.push([PoolKind::Ours, PoolKind::Sqlx].map(Point::Pool).to_vec());
    groups
}

/// The same circle, entered at another place each time.
pub fn rotated<T: Clone>(circle: &[T], turn: u32, turns: u32) -> Vec<T> {
    let mut order = circle.to_vec();
    if !order.is_empty() {
        order.rotate_left(circle.len() * turn as usize / turns as usize % circle.len());
    }
    order
}
