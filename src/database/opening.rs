//! Opening a connection, and examining it before it is used.
//!
//! What a program asks of PostgreSQL at the start of a session may never arrive. A pooler between them may refuse the startup
//! parameters, drop them without a word, or let other clients use the server process of a session between its statements. Then
//! `search_path` names another schema, no timeout is in force, and a prepared statement is that of another session. So each new
//! connection shows first that
//!
//! - every setting is in force (a setting that was dropped is set by a statement), and
//! - its statements reach one server process, and find there the marker and the prepared statement that the session left.
//!
//! That costs three round trips. They do not prove that no other client has the server process between two statements:
//! [`super::sharing`] proves it with a second connection, at the start of a server, and behind a pooler also for the first
//! connection after a lost one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use super::error_text::{ErrorText, sqlstate};
use super::examination::{self, SessionProof, SessionSetting};
use super::sharing::{self, PoolingMode, Verdict};
use super::tls::connect;
use super::within;

/// Why a new connection is not used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No server answers, or it refuses the connection.
    #[error("{}", ErrorText(.0))]
    Connect(#[from] sqlx::Error),
    /// Other sessions use the server process of this session between its statements.
    #[error(
        "{pooler} is between this program and PostgreSQL, in {mode} mode: between two statements of a session, other sessions use its \
         server process, which gives wrong answers. Set pool_mode = session for this database, or connect to PostgreSQL directly"
    )]
    Shared {
        /// The pooler, as far as it is known.
        pooler: String,
        /// How long it lends a server process.
        mode: PoolingMode,
    },
    /// A later look found another server process, or not what the session left there.
    #[error(
        "a statement of this session reached another server process: a pooler in transaction mode is between this program and \
         PostgreSQL. Set pool_mode = session for this database, or connect to PostgreSQL directly"
    )]
    Moved,
    /// There was no second connection, which is needed to look for a pooler.
    #[error(
        "the database gives no second connection ({0}). The server needs at least 2, and one for each of --pool-size under load"
    )]
    NoSecond(String),
    /// The session has the prepared statements of an earlier one.
    #[error(
        "a pooler lends server processes that have prepared statements of earlier sessions. Set server_reset_query = DISCARD ALL \
         (PgBouncer), or connect to PostgreSQL directly"
    )]
    NotNew,
    /// A setting is not in force, although it was set.
    #[error(
        "the setting {name} of a session is '{found}' although it was set to '{wanted}'. If a pooler is between this program and \
         PostgreSQL, connect to PostgreSQL directly"
    )]
    Setting {
        /// Its name.
        name: &'static str,
        /// The value that was set.
        wanted: String,
        /// The value in force.
        found: String,
    },
}

impl OpenError {
    /// Whether there may only be too many connections: PostgreSQL says so (53300), or a pooler refuses a client (08P01) or lets it wait.
    pub(super) fn is_limit(&self, pooled: bool) -> bool {
        match self {
            Self::Connect(sqlx::Error::Io(error)) => pooled && error.kind() == std::io::ErrorKind::TimedOut,
            Self::Connect(error) => sqlstate(error) == Some("53300") || pooled && is_protocol_violation(error),
            _ => false,
        }
    }
}

/// To callers that know only sqlx's errors, such a connection is a lost one.
impl From<OpenError> for sqlx::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(error) => error,
            other => Self::Io(std::io::Error::other(other)),
        }
    }
}

/// How thoroughly a new connection is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examination {
    /// By itself.
    Alone,
    /// With a second connection if there was a sign of a pooler, and a second connection can be had.
    BesideIfPooled,
    /// With a second connection.
    Beside,
}

/// How the connections of a database are opened.
#[derive(Debug)]
pub struct ConnectionOpener {
    /// With the settings as startup parameters.
    startup: PgConnectOptions,
    /// Without them, and without a parameter of sqlx's own that PgBouncer refuses.
    bare: PgConnectOptions,
    settings: Arc<[SessionSetting]>,
    connect_timeout: Duration,
    /// The server refuses the startup parameters.
    refused: AtomicBool,
    /// There was a sign of a pooler.
    pooled: AtomicBool,
}

/// An open connection, and what it must show again later.
#[derive(Debug)]
pub struct OpenedSession {
    /// The connection.
    pub connection: PgConnection,
    /// Whether its transactions can change nothing.
    pub read_only: bool,
    /// A second connection has shown that it has its server process to itself.
    pub has_own_process: bool,
    /// `None`: it is not examined.
    proof: Option<SessionProof>,
}

impl ConnectionOpener {
    /// Opens connections with these settings, and examines each. Without settings it examines none.
    #[must_use]
    pub fn new(given: PgConnectOptions, settings: Vec<SessionSetting>, connect_timeout: Duration) -> Self {
        Self {
            startup: given.clone().options(settings.iter().map(|setting| (setting.name, setting.value.clone()))),
            bare: given.extra_float_digits(None),
            settings: settings.into(),
            connect_timeout,
            refused: AtomicBool::new(false),
            pooled: AtomicBool::new(false),
        }
    }

    /// The same with more settings. What is known of the server stays known.
    #[must_use]
    pub fn with_more(&self, more: &[SessionSetting]) -> Self {
        Self {
            startup: self.startup.clone().options(more.iter().map(|setting| (setting.name, setting.value.clone()))),
            bare: self.bare.clone(),
            settings: [&self.settings, more].concat().into(),
            connect_timeout: self.connect_timeout,
            refused: AtomicBool::new(self.refused.load(Ordering::Relaxed)),
            pooled: AtomicBool::new(self.is_pooled()),
        }
    }

    /// The options that the server accepts. If it refuses startup parameters, the settings are not among them.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        if self.refused.load(Ordering::Relaxed) { &self.bare } else { &self.startup }
    }

    /// Whether there was a sign of a pooler.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Opens a connection, and examines it.
    ///
    /// # Errors
    /// [`OpenError`]. The connection is closed.
    pub async fn open(&self, examination: Examination) -> Result<OpenedSession, OpenError> {
        // Boxed: it is large and seldom needed, and otherwise the future of every attempt would have room for it.
        Box::pin(self.open_unboxed(examination)).await
    }

    async fn open_unboxed(&self, examination: Examination) -> Result<OpenedSession, OpenError> {
        let started = Instant::now();
        let mut connection = self.connect().await?;
        if self.settings.is_empty() {
            return Ok(OpenedSession { connection, read_only: false, has_own_process: false, proof: None });
        }
        let marker = Uuid::new_v4().simple().to_string();
        let looking = examination::look(&mut connection, &marker, &self.settings);
        let first = within(self.connect_timeout, looking).await?;
        // A pooler opened a server process that is older than the connection.
        let older = first.age.is_some_and(|age| age > started.elapsed());
        if older || !first.in_force || self.refused.load(Ordering::Relaxed) {
            self.pooled.store(true, Ordering::Relaxed);
        }
        // This comes before anything is set, because the other clients of a shared server process would get it.
        let beside =
            examination == Examination::Beside || examination == Examination::BesideIfPooled && self.is_pooled();
        let has_own_process = beside && Box::pin(self.demand_exclusive(&mut connection, examination)).await?;
        if !first.in_force {
            within(self.connect_timeout, examination::set(&mut connection, &self.settings)).await?;
        }
        let proof = Some(SessionProof::new(first.process, marker, Arc::clone(&self.settings)));
        let mut opened = OpenedSession { connection, read_only: false, has_own_process, proof };
        match tokio::time::timeout(self.connect_timeout, opened.examine()).await {
            Ok(examined) => examined.map(|()| opened),
            Err(_elapsed) => Err(OpenError::Connect(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
        }
    }

    /// Whether a second connection has shown that the first has its server process to itself.
    async fn demand_exclusive(
        &self,
        connection: &mut PgConnection,
        examination: Examination,
    ) -> Result<bool, OpenError> {
        match Box::pin(sharing::examine_beside(connection, self.connect())).await? {
            Verdict::Exclusive => Ok(true),
            Verdict::Shared(mode) => {
                let pooler = sharing::name_of_pooler(&self.bare).await;
                Err(OpenError::Shared { pooler, mode })
            }
            Verdict::NoSecond(reason) if examination == Examination::Beside => Err(OpenError::NoSecond(reason)),
            Verdict::NoSecond(reason) => {
                tracing::debug!(reason, "no second connection to look for a pooler that shares server processes");
                Ok(false)
            }
        }
    }

    /// A connection that is not examined. If the server refuses the startup parameters, they are left out.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        if self.refused.load(Ordering::Relaxed) {
            return within(self.connect_timeout, connect(&self.bare)).await;
        }
        let refusal = match within(self.connect_timeout, connect(&self.startup)).await {
            Err(error) if !self.settings.is_empty() && is_protocol_violation(&error) => error,
            connected => return connected,
        };
        match within(self.connect_timeout, connect(&self.bare)).await {
            Ok(connection) => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(connection)
            }
            // The server said more the first time.
            Err(sqlx::Error::Io(_)) => Err(refusal),
            Err(error) => Err(error),
        }
    }
}

impl OpenedSession {
    /// Examines the session again; one that is not examined is only pinged.
    ///
    /// # Errors
    /// [`OpenError`]: the connection must not be used again.
    pub async fn examine(&mut self) -> Result<(), OpenError> {
        match &self.proof {
            Some(proof) => self.read_only = proof.demand(&mut self.connection).await?,
            None => self.connection.ping().await?,
        }
        Ok(())
    }
}

/// 08P01: PgBouncer refuses a startup parameter, a transaction in statement mode, or a client too many.
pub(super) fn is_protocol_violation(error: &sqlx::Error) -> bool {
    sqlstate(error) == Some("08P01")
}
