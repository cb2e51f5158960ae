//! A connection of a spec: its answers, notices and notifications.
//!
//! sqlx drops notices, and returns rows without the names of their columns if a text has several statements. So a spec has the client of
//! tokio-postgres.

use std::collections::VecDeque;
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};
use tokio_util::task::AbortOnDropHandle;

use super::result_table::ResultTable;

/// Notices and notifications that are kept until they are printed. Those that come after so many between two looks are counted only.
const MESSAGES_MAX: usize = 10_000;

/// The time within which the server must open a connection, answer a question of our own, or accept a cancellation.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What libpq says of a connection that the server closed.
const CLOSED: &str = "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or \
                      while processing the request.\n";

/// An answer to one statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecAnswer {
    /// A command without rows.
    Done,
    /// Rows.
    Rows(ResultTable),
    /// An error, as isolationtester prints it.
    Error(String),
}

/// A notification that a session received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecNotification {
    /// The process of the session that sent it.
    pub process: i32,
    /// Its channel.
    pub channel: String,
    /// Its payload.
    pub payload: String,
}

/// See the [module](self).
pub struct SpecConnection {
    client: Arc<Client>,
    messages: mpsc::Receiver<AsyncMessage>,
    /// How many messages were not kept.
    lost: Arc<AtomicU64>,
    notifications: VecDeque<SpecNotification>,
    /// Its process on the server.
    pub process: i32,
    /// The notices that it has sent so far.
    pub notices: u32,
    _driver: AbortOnDropHandle<()>,
}

impl SpecConnection {
    /// Opens a connection. isolationtester's own settings come with it. `is_shown` says whether its notices and notifications are kept.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses the connection: the reason, in a sentence.
    pub async fn open(options: &PgConnectOptions, application: &str, is_shown: bool) -> Result<Self, String> {
        if matches!(options.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
            return Err("sslmode: expected disable, allow or prefer, because specs have no TLS".to_owned());
        }
        in_time(Self::connect(options, application, is_shown)).await
    }

    async fn connect(
        options: &PgConnectOptions,
        application: &str,
        is_shown: bool,
    ) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = config(options, application).connect(NoTls).await?;
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let driver = tokio::spawn(async move {
            let mut connection = pin!(connection);
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if is_shown && sender.try_send(message).is_err() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Only a superuser may set it. Without it, messages are in the language of the server.
        if let Err(error) = client.batch_execute("set lc_messages = 'C'").await {
            tracing::debug!(error = described(&error), "lc_messages stays as it is");
        }
        let process = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        Ok(Self {
            client: Arc::new(client),
            messages,
            lost,
            notifications: VecDeque::new(),
            process,
            notices: 0,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Whether the server has closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Sends a text. Its answers come when the server is ready for the next one.
    pub fn send(&self, sql: &str) -> AbortOnDropHandle<Vec<SpecAnswer>> {
        let (client, sql) = (Arc::clone(&self.client), sql.to_owned());
        AbortOnDropHandle::new(tokio::spawn(async move { answers(&client, &sql).await }))
    }

    /// Sends a text and waits for its last answer, the only one that libpq's `PQexec` returns.
    pub async fn execute(&self, sql: &str) -> SpecAnswer {
        let mut answers = answers(&self.client, sql).await;
        let failed = answers.iter().position(|answer| matches!(answer, SpecAnswer::Error(_)));
        failed.map(|at| answers.swap_remove(at)).or_else(|| answers.pop()).unwrap_or(SpecAnswer::Done)
    }

    /// Whether one of these processes makes another one wait: the question that isolationtester asks.
    ///
    /// # Errors
    /// When the server does not answer: the reason, in a sentence.
    pub async fn is_blocked(&self, process: i32, processes: &[i32]) -> Result<bool, String> {
        let processes: Vec<String> = processes.iter().map(ToString::to_string).collect();
        let sql =
            format!("select pg_catalog.pg_isolation_test_session_is_blocked({process}, '{{{}}}')", processes.join(","));
        Ok(in_time(self.client.query_one(&sql, &[])).await?.get(0))
    }

    /// Asks the server to cancel what the connection is doing. Nothing happens if it has ended.
    pub async fn cancel(&self) {
        if let Err(error) = in_time(self.client.cancel_token().cancel_query(NoTls)).await {
            tracing::warn!(error, "cannot cancel a step");
        }
    }

    /// The notices that have arrived, as libpq formats them.
    pub fn new_notices(&mut self) -> Vec<String> {
        let mut notices = Vec::new();
        while let Ok(message) = self.messages.try_recv() {
            match message {
                AsyncMessage::Notice(notice) => notices.push(notice_text(&notice)),
                AsyncMessage::Notification(notification) => self.notifications.push_back(SpecNotification {
                    process: notification.process_id(),
                    channel: notification.channel().to_owned(),
                    payload: notification.payload().to_owned(),
                }),
                _ => {}
            }
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let sent = lost.saturating_add(notices.len() as u64);
        self.notices = self.notices.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX));
        if lost > 0 {
            notices.push(format!("({lost} more messages are not shown: at most {MESSAGES_MAX} are kept)"));
        }
        notices
    }

    /// The notifications that have arrived. Call [`Self::new_notices`] before.
    pub fn new_notifications(&mut self) -> impl Iterator<Item = SpecNotification> {
        self.notifications.drain(..)
    }
}

/// The result, or why there is none within [`ANSWER_MAX`].
async fn in_time<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    match timeout(ANSWER_MAX, answer).await {
        Ok(result) => result.map_err(|error| described(&error)),
        Err(_) => Err(format!("the server has not answered within {} s", ANSWER_MAX.as_secs())),
    }
}

/// The settings of PostgreSQL's `pg_regress`, with which the expected outputs were made.
fn config(options: &PgConnectOptions, application: &str) -> Config {
    let url = options.to_url_lossy();
    let mut config = Config::new();
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    config.user(options.get_username()).port(options.get_port());
    match options.get_socket() {
        Some(socket) => config.host_path(socket),
        None => config.host(options.get_host()),
    };
    if let Some(password) = url.password() {
        config.password(decoded(password));
    }
    config.dbname(options.get_database().unwrap_or(options.get_username()));
    config.application_name(application);
    config.options("-c timezone=America/Los_Angeles -c datestyle=Postgres,MDY -c intervalstyle=postgres_verbose");
    config
}

async fn answers(client: &Client, sql: &str) -> Vec<SpecAnswer> {
    let mut answers = Vec::new();
    let mut table: Option<ResultTable> = None;
    let stream = match client.simple_query_raw(sql).await {
        Ok(stream) => stream,
        Err(error) => return vec![failed(&error)],
    };
    let mut stream = pin!(stream);
    loop {
        match stream.try_next().await {
            Ok(Some(SimpleQueryMessage::RowDescription(columns))) => {
                let columns = columns.iter().map(|column| column.name().to_owned()).collect();
                table = Some(ResultTable { columns, rows: Vec::new() });
            }
            Ok(Some(SimpleQueryMessage::Row(row))) => {
                let values = (0..row.len()).map(|at| value(row.try_get(at))).collect();
                if let Some(table) = &mut table {
                    table.rows.push(values);
                }
            }
            Ok(Some(_)) => answers.push(table.take().map_or(SpecAnswer::Done, SpecAnswer::Rows)),
            Ok(None) => return answers,
            // Locks are released only after the error was sent, so the end of the text is awaited.
            Err(error) => {
                table = None;
                let closed = error.is_closed();
                answers.push(failed(&error));
                if closed {
                    return answers;
                }
            }
        }
    }
}

/// A spec may choose another encoding than UTF-8.
fn value(value: Result<Option<&str>, tokio_postgres::Error>) -> Option<String> {
    value.map_or_else(|_| Some("(a value that is not UTF-8)".to_owned()), |value| value.map(str::to_owned))
}

/// An error with its cause: by itself it says only "db error".
fn described(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.severity(), error.message()),
        None => error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}

fn failed(error: &tokio_postgres::Error) -> SpecAnswer {
    SpecAnswer::Error(match error.as_db_error() {
        Some(error) => format!("{}:  {}", error.severity(), error.message()),
        None if error.is_closed() => CLOSED.to_owned(),
        None => error.to_string(),
    })
}

fn notice_text(notice: &DbError) -> String {
    let line = |name: &str, text: Option<&str>| text.map(|text| format!("\n{name}:  {text}")).unwrap_or_default();
    format!(
        "{}:  {}{}{}",
        notice.severity(),
        notice.message(),
        line("DETAIL", notice.detail()),
        line("HINT", notice.hint())
    )
}
