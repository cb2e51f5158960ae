//! Warnings of PostgreSQL about a commit.
//!
//! PostgreSQL reports some commits as done although they are not what was promised: when the wait for a synchronous standby is cancelled,
//! the change is on one machine only, and the COMMIT ends with a WARNING and no error. sqlx gives a warning to the log of the process,
//! and not to the statement that caused it. But it does so while the statement's future is polled. So [`noticed`] polls that future in
//! a scope of its task, and the layer [`CommitWarnings`] of the log, which sees each event on the thread where it happens, writes the
//! warning into that scope. No other task and no other statement can be in that scope at that moment.
//!
//! A process whose log has no such layer notices no warning. The program always has one (`cli/logging.rs`), whatever its log filter is.
//!
//! The event has no SQLSTATE, and its text is in the server's language. So a warning only leads to the question whether PostgreSQL waits for
//! synchronous standbys at all. A trigger that raises a warning is no reason to doubt a commit.

use std::cell::RefCell;
use std::fmt;

use sqlx::Executor as _;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of sqlx's events for what PostgreSQL says besides its answers.
const TARGET: &str = "sqlx::postgres::notice";

/// Whether PostgreSQL waits for standbys. Empty: it waits for none.
const STANDBYS: &str = "select current_setting('synchronous_standby_names')";

tokio::task_local! {
    static WARNING: RefCell<Option<String>>;
}

/// The layer of the log that notices warnings.
#[derive(Debug, Clone, Copy)]
pub struct CommitWarnings;

impl CommitWarnings {
    /// The layer, with a filter of its own: the filter of the log lines does not hold for it.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
        Self.with_filter(Targets::new().with_target(TARGET, LevelFilter::WARN))
    }
}

impl<S: Subscriber> Layer<S> for CommitWarnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN && event.metadata().target() == TARGET {
            // There is no scope if no statement is to be noticed.
            let _ = WARNING.try_with(|warning| event.record(&mut MessageVisitor(&mut warning.borrow_mut())));
        }
    }
}

/// Keeps the text of an event.
struct MessageVisitor<'a>(&'a mut Option<String>);

impl Visit for MessageVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            *self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = Some(format!("{value:?}"));
        }
    }
}

/// Waits for the answer to a statement that commits, and returns it with the warning that came with it.
pub async fn noticed<T>(answer: impl Future<Output = T>) -> (T, Option<String>) {
    let scoped = async {
        let answer = answer.await;
        (answer, WARNING.with(RefCell::take))
    };
    WARNING.scope(RefCell::new(None), scoped).await
}

/// Why a commit that ended with this warning is in doubt, if it is. It asks on the connection of the commit.
///
/// # Errors
/// As PostgreSQL reports.
pub async fn doubt(connection: &mut PgConnection, warning: &str) -> Result<Option<String>, sqlx::Error> {
    let standbys: String = connection.fetch_one(sqlx::raw_sql(STANDBYS)).await?.try_get(0)?;
    let in_doubt = !standbys.is_empty();
    Ok(in_doubt.then(|| format!("PostgreSQL warned about the commit, which may be on this server alone: {warning}")))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[tokio::test]
    async fn a_warning_is_noticed_by_the_statement_that_caused_it_and_by_no_other() {
        let subscriber = tracing_subscriber::registry().with(CommitWarnings::layer());
        let _guard = tracing::subscriber::set_default(subscriber);
        let warns = |text: &'static str| async move {
            tokio::task::yield_now().await;
            tracing::warn!(target: "sqlx::postgres::notice", message = text);
            tokio::task::yield_now().await;
        };
        let silent = async {
            for _ in 0..5 {
                tracing::info!(target: "sqlx::postgres::notice", message = "no warning");
                tracing::warn!("another target");
                tokio::task::yield_now().await;
            }
        };
        let (one, two, none, ()) =
            tokio::join!(noticed(warns("one")), noticed(warns("two")), noticed(silent), warns("outside"));
        assert_eq!((one.1.as_deref(), two.1.as_deref(), none.1), (Some("one"), Some("two"), None));
    }
}
