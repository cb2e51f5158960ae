//! Mistakes in a file: statements that fail wherever they run.
//!
//! A statement may fail in one order and work in another; that is a finding. One that fails alike in every interleaving and every serial
//! order says nothing about concurrency: its table does not exist, or it is misspelt.

use std::collections::BTreeMap;

use super::script::{OnError, SessionScript};
use super::session_end::SessionResult;
use crate::explore::schedule::Actor;

/// Errors that other sessions cause: serialization failures, deadlocks, locks that are not available, canceled statements, and
/// whatever follows a failure in the same transaction.
const CAUSED_BY_OTHERS: &[&str] = &["25P02", "25P03", "25P04", "40001", "40P01", "55P03", "57014"];

/// What every statement came to so far.
#[derive(Debug, Clone, Default)]
pub struct FailureLog {
    /// The error, if all of its runs failed with the same SQLSTATE.
    statements: BTreeMap<(Actor, String), AllRuns>,
}

#[derive(Debug, Clone)]
enum AllRuns {
    Failed { sqlstate: String, message: String },
    Mixed,
}

impl FailureLog {
    /// Adds what a session's statements came to.
    pub fn add(&mut self, actor: Actor, result: &SessionResult) {
        for sent in &result.sent {
            let key = (actor, sent.name.clone());
            let run = match &sent.error {
                None => AllRuns::Mixed,
                Some((sqlstate, message)) => AllRuns::Failed { sqlstate: sqlstate.clone(), message: message.clone() },
            };
            let all = match (self.statements.remove(&key), run) {
                (None, run) => run,
                (Some(AllRuns::Failed { sqlstate: before, .. }), AllRuns::Failed { sqlstate, message })
                    if before == sqlstate =>
                {
                    AllRuns::Failed { sqlstate, message }
                }
                _ => AllRuns::Mixed,
            };
            self.statements.insert(key, all);
        }
    }

    /// The first statement that failed alike in all runs, as an error for the author of the file.
    #[must_use]
    pub fn mistake(&self, sessions: &[SessionScript]) -> Option<String> {
        for (client, session) in (0..).zip(sessions) {
            for statement in &session.statements {
                let name = &statement.name;
                let Some(AllRuns::Failed { sqlstate, message }) =
                    self.statements.get(&(Actor::Client(client), name.clone()))
                else {
                    continue;
                };
                // A session that goes on after errors may want one: but none about names and syntax.
                let goes_on =
                    matches!(session.on_error, OnError::Continue | OnError::Savepoint) || statement.on_error.is_some();
                let wanted = goes_on && !sqlstate.starts_with("42");
                if CAUSED_BY_OTHERS.contains(&sqlstate.as_str()) || wanted {
                    continue;
                }
                return Some(format!(
                    "{} fails in every interleaving and every serial order: {message}",
                    place(sessions, Actor::Client(client), name)
                ));
            }
        }
        None
    }
}

/// A statement for an error: `session A, statement 1 (update, line 7)`.
#[must_use]
pub fn place(sessions: &[SessionScript], actor: Actor, name: &str) -> String {
    let session = (0..).zip(sessions).find(|(client, _)| Actor::Client(*client) == actor).map(|(_, session)| session);
    let statement = session.and_then(|session| {
        session.statements.iter().zip(1..).find(|(statement, _): &(_, u32)| statement.name == name)
    });
    match statement {
        Some((statement, number)) => format!("session {actor}, statement {number} ({name}, line {})", statement.line),
        None => format!("session {actor}, {name}"),
    }
}
