//! Where the real server is, and how to connect to it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The address of the real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    /// A TCP address.
    Tcp {
        /// A host name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The socket itself, as `/run/postgresql/.s.PGSQL.5432`.
    Unix(PathBuf),
}

/// The reading half of a connection to the server.
pub(crate) type ServerReader = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// The writing half of a connection to the server.
pub(crate) type ServerWriter = Box<dyn AsyncWrite + Send + Sync + Unpin>;

impl ServerAddress {
    /// A server that listens on TCP.
    #[must_use]
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::Tcp { host: host.to_owned(), port }
    }

    /// A server that listens in a socket directory, as libpq finds it: `directory/.s.PGSQL.port`.
    #[must_use]
    pub fn socket_dir(directory: impl Into<PathBuf>, port: u16) -> Self {
        Self::Unix(directory.into().join(format!(".s.PGSQL.{port}")))
    }

    /// Connects within the limit.
    pub(crate) async fn connect(&self, limit: Duration) -> io::Result<(ServerReader, ServerWriter)> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", limit.as_secs()));
        match self {
            Self::Tcp { host, port } => {
                let connect = TcpStream::connect((host.as_str(), *port));
                let stream = timeout(limit, connect).await.map_err(|_| late())??;
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
            Self::Unix(path) => {
                let stream = timeout(limit, UnixStream::connect(path)).await.map_err(|_| late())??;
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_a_user_writes_it() {
        assert_eq!(ServerAddress::tcp("localhost", 5432).to_string(), "localhost:5432");
        assert_eq!(ServerAddress::tcp("::1", 5432).to_string(), "[::1]:5432");
        assert_eq!(ServerAddress::socket_dir("/run/postgresql", 5433).to_string(), "/run/postgresql/.s.PGSQL.5433");
    }
}
