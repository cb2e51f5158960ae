//! Every limit of the proxy, with its unit and its reason.

use std::time::Duration;

/// Connections that a proxy serves at a time. More are refused with SQLSTATE 53300, as PostgreSQL does it. It is above
/// what any PostgreSQL of a test accepts, so that PostgreSQL's own limit is the one that an application meets.
pub const MAX_CONNECTIONS: usize = 2000;

/// Time that a new connection has for its startup packet. It is PostgreSQL's default of `authentication_timeout`.
pub const STARTUP_TIMEOUT: Duration = Duration::from_mins(1);

/// Time for the connection to the real server. A server on the same machine or network answers in milliseconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a cancel request to be passed on and closed by the server.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// After the server has closed, the client has this time to read the last answer and to close too.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a startup packet. It is PostgreSQL's own limit (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_BYTES: usize = 10_000;

/// Requests for encryption before the startup packet. A client asks once for TLS and once for GSSAPI, and may repeat both.
pub const MAX_ENCRYPTION_REQUESTS: usize = 4;

/// Bytes that one read takes, and the buffer that an idle connection keeps for each direction.
pub const READ_BYTES: usize = 16 * 1024;

/// Bytes of one message that are kept to be understood: the text of a statement, bound values, a row, an error. Longer
/// messages pass, and what was cut is marked.
pub const KEPT_MESSAGE_BYTES: usize = 64 * 1024;

/// Bytes of one unit that wait for its end. A larger one is asked about before its end, with what is known of it.
pub const UNIT_BYTES: usize = 1024 * 1024;

/// Bytes that are read from a client beyond a held unit. Reading shows that the client has closed; beyond the limit the
/// client's own writes wait.
pub const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Bytes of an answer that can be withheld. Of a larger one only the last message is withheld, and the answer says so.
pub const WITHHELD_BYTES: usize = 1024 * 1024;

/// Bytes of notifications that one connection withholds. When more arrive, all of them are forwarded.
pub const WITHHELD_NOTIFICATION_BYTES: usize = 256 * 1024;

/// Bytes of row values that the answer of one unit shows. All rows are counted.
pub const SHOWN_ROW_BYTES: usize = 32 * 1024;

/// Bytes of one value, decoded, that a unit or an answer shows.
pub const SHOWN_VALUE_BYTES: usize = 4 * 1024;

/// Notices that one answer keeps; a statement can raise any number.
pub const KEPT_NOTICES: usize = 32;

/// Statement results that one answer keeps; a query can have any number of statements.
pub const KEPT_RESULTS: usize = 256;

/// Executions of one unit whose text and values are kept; a batch can have any number, and all of them are counted.
pub const KEPT_EXECUTIONS: usize = 256;

/// Bytes of the SQL of prepared statements that one connection remembers. Later statements have no text.
pub const PREPARED_BYTES: usize = 16 * 1024 * 1024;

/// Prepared statements, and as many portals, that one connection remembers. The largest default of a driver's cache is
/// 512. Later ones are unknown.
pub const MAX_PREPARED: usize = 10_000;

/// Replies that one connection waits for. Beyond it the client's bytes wait, so a client that never reads holds no
/// unbounded memory here.
pub const MAX_EXPECTED_REPLIES: usize = 20_000;

/// Events that wait for the owner. Beyond it the connections wait for the owner.
pub const QUEUED_EVENTS: usize = 1024;
