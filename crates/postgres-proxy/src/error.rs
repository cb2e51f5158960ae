//! The errors of the proxy. Each message says what happened, where, and what to do next.

use std::io;

use crate::limits::MAX_CONNECTIONS;

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The port is taken, or may not be used.
    #[error("the proxy cannot listen on 127.0.0.1:{port}: {source}. Name another port, or 0 for any free one")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The limit of connections is none.
    #[error("max_connections is {value}; 1 to {MAX_CONNECTIONS} are allowed")]
    MaxConnections {
        /// The value that was asked for.
        value: usize,
    },
}
