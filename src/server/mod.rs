//! What one server keeps in memory beside the database: the queues of rows, the keyed mutexes, and what it counts.
//!
//! A server is made from a [`Database`]. Several servers may be made on one database, in one process or in several: each
//! has its own queues and its own mutexes, and they meet only in the database's locks. The tests and the explorer do so
//! to show what two replicas of an application do to each other.
//!
//! No approach may rely on this memory to be correct, for another server does not see it. `in-process-mutex` relies on
//! it, to show what goes wrong.

pub mod admission;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Limits;
use crate::database::Database;
use crate::database::isolation::Isolation;
use crate::database::pool::Pool;
use crate::metrics::Metrics;

use admission::Admission;

/// One server's memory, on its database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server {
    database: Database,
    memory: Arc<ServerMemory>,
}

#[derive(Debug)]
struct ServerMemory {
    admission: Arc<Admission>,
    mutexes: Arc<Admission>,
    metrics: Metrics,
    conditions: SessionConditions,
    queue_wait: Duration,
}

/// What an explorer changes about the sessions of a server. A server that serves requests changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionConditions {
    /// The level of every transaction, in place of the level that the approach asks for.
    pub isolation: Option<Isolation>,
    /// A statement that writes outside a transaction is a transaction by itself: it holds its locks until its own COMMIT, and
    /// other sessions may run meanwhile. This makes that COMMIT a step of its own, so that they do.
    pub commits_apart: bool,
}

impl Server {
    /// A server on this database, with empty queues, that counts in these metrics.
    #[must_use]
    pub fn new(database: Database, limits: &Limits, metrics: Metrics) -> Self {
        Self::assemble(database, limits, metrics, SessionConditions::default())
    }

    /// A server whose sessions work under these conditions, and that counts nothing.
    #[must_use]
    pub fn with_conditions(database: Database, limits: &Limits, conditions: SessionConditions) -> Self {
        Self::assemble(database, limits, Metrics::off(), conditions)
    }

    fn assemble(database: Database, limits: &Limits, metrics: Metrics, conditions: SessionConditions) -> Self {
        let memory = ServerMemory {
            admission: Admission::new(limits.row_sessions, limits.queue, limits.queue_wait),
            mutexes: Admission::new(1, limits.queue, limits.queue_wait),
            metrics,
            conditions,
            queue_wait: limits.queue_wait,
        };
        Self { database, memory: Arc::new(memory) }
    }

    /// The same server, with these connections to its database.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { database: self.database.with_pool(pool), memory: self.memory }
    }

    /// The database that the server works on.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The queues of the rows: which sessions may work on which row.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.memory.admission
    }

    /// The keyed mutexes of this server: an admission of one session for each row.
    #[must_use]
    pub fn mutexes(&self) -> &Arc<Admission> {
        &self.memory.mutexes
    }

    /// What the server counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.memory.metrics
    }

    /// The conditions under which its sessions work.
    #[must_use]
    pub fn conditions(&self) -> SessionConditions {
        self.memory.conditions
    }

    /// How long a request may wait for its row and its connection together.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        self.memory.queue_wait
    }
}
