//! The server's connections to its database, and the requests that wait in the server.

use serde::{Deserialize, Serialize};

/// How many connections to its database a server uses, and how many requests wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolGauges {
    /// Connections at work.
    pub in_use: u64,
    /// Connections that may be open.
    pub limit: u64,
    /// Requests that wait for a connection.
    pub waiting_for_connection: u64,
    /// Requests that are queued for a row.
    pub waiting_for_row: u64,
    /// Requests that wait for a mutex in the process.
    pub waiting_for_mutex: u64,
    /// Requests that wait for the next batch.
    pub waiting_for_batch: u64,
}

impl PoolGauges {
    /// Reads it from a server's `/metrics`; `None` if the server is not concurrency-lab.
    #[must_use]
    pub fn of_metrics(text: &str) -> Option<Self> {
        let gauge = |name: &str| {
            let value = |line: &str| line.strip_prefix("concurrency_lab_")?.strip_prefix(name)?.trim().parse().ok();
            text.lines().find_map(value)
        };
        Some(Self {
            in_use: gauge("pool_connections{state=\"in-use\"}")?,
            limit: gauge("pool_connections_limit ")?,
            waiting_for_connection: gauge("pool_waiting_requests ")?,
            waiting_for_row: gauge("row_waiting_requests ")?,
            waiting_for_mutex: gauge("mutex_waiting_requests ")?,
            waiting_for_batch: gauge("batch_waiting_requests ")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauges_of_a_server_are_read_from_its_metrics() {
        let text = "# HELP x\nconcurrency_lab_pool_connections{state=\"in-use\"} 5\nconcurrency_lab_pool_connections{state=\"idle\"} 3\n\
                    concurrency_lab_pool_connections_limit 32\nconcurrency_lab_pool_waiting_requests 7\n\
                    concurrency_lab_row_waiting_requests 200\nconcurrency_lab_mutex_waiting_requests 0\n\
                    concurrency_lab_batch_waiting_requests 1\n# EOF\n";
        let pool = PoolGauges::of_metrics(text).unwrap();
        assert_eq!((pool.in_use, pool.limit, pool.waiting_for_connection, pool.waiting_for_row), (5, 32, 7, 200));
        assert_eq!(PoolGauges::of_metrics("go_goroutines 5"), None, "another service");
    }
}
