//! What one run of a request or a command sent, and how it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postgres_proxy::{ClientUnit, ClientUnitKind, ConnectionId, KeptText, UnitAnswer};
use serde_json::Value;

use super::app_connection::AppConnection;
use super::request_sending::AppAnswer;
use super::running_command::ExitedCommand;
use super::step_text::{fingerprint, is_described, sql_of};
use crate::explore::file::clock::{TIMEOUTS, was_ended_by_time};
use crate::explore::file::session_end::{ScriptAnswer, SessionResult};
use crate::explore::file::template::{Literal, Variables};
use crate::explore::file::transaction_state::may_change;
use crate::explore::sql_words::{TransactionControl, begins_with, statements, transaction_control};
use crate::explore::transcript::GAVE_UP;
use crate::report::figures::counted;

/// Errors that other sessions cause: after one of them a command may fail without having done anything wrong.
const CAUSED_BY_OTHERS: &[&str] = &["40001", "40P01", "55P03"];

/// Statements of one connection that a summary shows.
const SHOWN_STATEMENTS: usize = 40;

/// Characters of a statement that a summary shows.
const SHOWN_SQL: usize = 90;

/// What a request or a command sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActorRecord {
    /// The units of each connection, in order.
    connections: BTreeMap<ConnectionId, Vec<RecordedUnit>>,
    /// The SQLSTATE of the last error that it was answered.
    last_error: Option<String>,
    /// It has committed a statement that may have changed something.
    changed: bool,
    /// It asked PostgreSQL to cancel a statement.
    pub canceled: bool,
    /// The whole text of some statement is not known.
    pub has_unknown_text: bool,
    /// Statements outside a transaction that may have changed something, whose commit is no step of its own.
    pub own_commits: BTreeSet<String>,
    /// Texts of several statements.
    pub several_statements: BTreeSet<String>,
    /// How it depends on time, such as `sets lock_timeout when it connects`.
    pub by_time: BTreeSet<String>,
}

/// One unit that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RecordedUnit {
    sql: String,
    /// See [`fingerprint`].
    fingerprint: String,
    is_step: bool,
    level: String,
}

/// A request or a command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorEnd {
    /// How it ended.
    pub outcome: ActorOutcome,
    /// What it sent.
    pub record: ActorRecord,
}

/// How a request or a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorOutcome {
    /// A command's process ended so.
    Exited(ExitedCommand),
    /// A request was answered so, or why it was not.
    Answered(Result<AppAnswer, String>),
}

impl ActorRecord {
    /// A connection was opened, with these parameters.
    pub fn opened<'p>(&mut self, connection: ConnectionId, parameters: impl Iterator<Item = (&'p str, &'p str)>) {
        self.connections.entry(connection).or_default();
        let timeouts = parameters.filter_map(|(name, value)| timeout_at_start(name, value));
        self.by_time.extend(timeouts.map(|timeout| format!("sets {timeout} when it connects")));
    }

    /// A unit was sent.
    pub fn sent(&mut self, id: ConnectionId, unit: &ClientUnit, connection: &AppConnection, is_step: bool) {
        // The same text is prepared and executed in two units.
        if unit.is_housekeeping() {
            return;
        }
        let whole = |sql: &Option<Arc<KeptText>>| sql.as_ref().is_some_and(|sql| !sql.cut);
        let executions = unit.executions.iter().all(|execution| whole(&execution.sql));
        let all = unit.execution_count <= unit.executions.len() as u64;
        self.has_unknown_text |= !executions || !all || unit.kind == ClientUnitKind::FunctionCall;
        let several = unit.executions.iter().filter_map(|execution| execution.sql.as_ref());
        let several = several.filter(|sql| is_step && statements(&sql.text).len() > 1);
        self.several_statements.extend(several.map(|sql| shortened(&sql.text)));
        let level = connection.level().to_owned();
        self.connections.entry(id).or_default().push(RecordedUnit {
            sql: sql_of(unit),
            fingerprint: fingerprint(unit),
            is_step,
            level,
        });
    }

    /// A unit was answered. `before` is the connection as it was.
    pub fn answered(&mut self, unit: &ClientUnit, answer: &UnitAnswer, before: &AppConnection) {
        if let Some(error) = &answer.error {
            self.last_error = Some(error.sqlstate.clone());
            if was_ended_by_time(&error.sqlstate, &error.message) {
                self.by_time.insert(format!("was ended by a timeout ({})", error.message));
            }
        }
        let outside = before.is_outside_a_transaction() && answer.error.is_none();
        for sql in unit.executions.iter().filter_map(|execution| execution.sql.as_ref()) {
            let is_one = statements(&sql.text).len() <= 1;
            if is_one && outside && transaction_control(&sql.text) == TransactionControl::None && may_change(&sql.text)
            {
                self.own_commits.insert(shortened(&sql.text));
            }
        }
        let mut transaction = before.transaction;
        for execution in &unit.executions {
            match &execution.sql {
                Some(sql) => self.changed |= transaction.follow(&sql.text, answer.error.is_none()).committed_change,
                None => self.changed |= answer.error.is_none(),
            }
        }
        self.changed |= unit.ends_implicit_transaction && answer.error.is_none();
        let commits = |sql: &str| begins_with(sql, &["commit", "end"]) || outside && may_change(sql);
        if answer.error.is_none()
            && unit.executions.iter().filter_map(|run| run.sql.as_ref()).any(|sql| commits(&sql.text))
        {
            // A later attempt has succeeded.
            self.last_error = None;
        }
    }

    /// Its steps with their values, without time and chance, sorted, because it may use other connections next time: what two runs of it have
    /// in common.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        let steps = self.connections.values().flatten().filter(|unit| unit.is_step);
        let mut steps: Vec<String> = steps.map(|unit| unit.fingerprint.clone()).collect();
        steps.sort();
        steps
    }

    /// The texts of SQL that it sent.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.connections.values().flatten().map(|unit| unit.sql.as_str()).filter(|text| !is_described(text))
    }

    /// What it sent, in words: a line, and one for each connection.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let steps = self.connections.values().flatten().filter(|unit| unit.is_step).count();
        let used = self.connections.values().filter(|units| !units.is_empty()).count();
        let connections = counted(used as u64, "connection");
        let mut lines = vec![format!("sends {} on {connections}", counted(steps as u64, "statement"))];
        let of_connections = self.connections.values().filter(|units| !units.is_empty());
        for (number, units) in (1..).zip(of_connections) {
            let mut levels: Vec<&str> = units.iter().map(|unit| unit.level.as_str()).collect();
            levels.sort_unstable();
            levels.dedup();
            let mut texts: Vec<String> = repeated(units).into_iter().take(SHOWN_STATEMENTS).collect();
            if units.len() > SHOWN_STATEMENTS {
                texts.push("…".to_owned());
            }
            lines.push(format!("connection {number}, {}: {}", levels.join(" and "), texts.join("; ")));
        }
        lines
    }
}

/// The beginning of a text, in one line.
#[must_use]
pub fn shortened(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(SHOWN_SQL).collect();
    let rest = if short.len() < line.len() { " …" } else { "" };
    format!("{short}{rest}")
}

/// The timeout that a parameter of a connection's start sets, by itself or among the `options`. 0 turns one off.
#[must_use]
pub fn timeout_at_start(name: &str, value: &str) -> Option<&'static str> {
    let is_on = |value: &str| value.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0');
    let is_set = |timeout: &&&str| {
        **timeout == name && is_on(value)
            || name == "options"
                && value.match_indices(**timeout).any(|(at, _)| {
                    let rest = value[at + timeout.len()..].split_whitespace().next().unwrap_or_default();
                    is_on(rest)
                })
    };
    TIMEOUTS.iter().find(is_set).copied()
}

/// The units, those that are no steps in parentheses; the same text several times in a row is counted.
fn repeated(units: &[RecordedUnit]) -> Vec<String> {
    let mut texts: Vec<(String, usize)> = Vec::new();
    for unit in units {
        let short = shortened(&unit.sql);
        let text = if unit.is_step { short } else { format!("({short})") };
        match texts.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => texts.push((text, 1)),
        }
    }
    let shown = |(text, count): (String, usize)| if count > 1 { format!("{text} × {count}") } else { text };
    texts.into_iter().map(shown).collect()
}

impl ActorEnd {
    /// In words, such as `exit code 0: done` or `200: {"balance":70}`. What failed after an error that other sessions cause has given up.
    #[must_use]
    pub fn heard(&self) -> String {
        let end = match &self.outcome {
            ActorOutcome::Exited(ExitedCommand { code, output }) => match output.last_line() {
                line if line.is_empty() => format!("exit code {code}"),
                line => format!("exit code {code}: {line}"),
            },
            ActorOutcome::Answered(Ok(answer)) => answer.in_words(),
            ActorOutcome::Answered(Err(why)) => format!("no answer: {why}"),
        };
        if self.gave_up() { format!("{GAVE_UP}{end}") } else { end }
    }

    /// Whether it did not do what it was asked: an exit code other than 0, a status from 400 on, no answer.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match &self.outcome {
            ActorOutcome::Exited(exited) => exited.code != 0,
            ActorOutcome::Answered(answer) => !answer.as_ref().is_ok_and(AppAnswer::is_ok),
        }
    }

    /// The status of an answer, if it was answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.outcome {
            ActorOutcome::Answered(Ok(answer)) => Some(answer.status),
            _ => None,
        }
    }

    fn gave_up(&self) -> bool {
        let by_others = self.record.last_error.as_ref().is_some_and(|last| CAUSED_BY_OTHERS.contains(&last.as_str()));
        self.has_failed() && by_others
    }

    /// The end as that of a session: what it came to is its only answer, so that a value that differs in two runs of the same order is not
    /// compared. Of a refusal only the status is compared, because its text may tell how it came about.
    #[must_use]
    pub fn as_session(&self, actor: &str) -> SessionResult {
        let heard = if self.gave_up() { format!("{GAVE_UP}failed") } else { "ended".to_owned() };
        SessionResult {
            heard,
            answers: vec![ScriptAnswer { statement: "end".to_owned(), rows: vec![self.compared(actor)] }],
            sqlstate: self.record.last_error.clone(),
            changed: self.record.changed,
            sent: Vec::new(),
            variables: Variables::new(),
        }
    }

    /// What it came to, as columns `name = value`.
    #[must_use]
    pub fn compared(&self, actor: &str) -> Vec<String> {
        match &self.outcome {
            ActorOutcome::Exited(exited) => vec![
                format!("{actor}'s exit code = {}", exited.code),
                format!("{actor}'s last line = {}", exited.output.last_line()),
            ],
            ActorOutcome::Answered(Ok(answer)) => {
                let body = if answer.is_ok() { answer.values() } else { Vec::new() };
                let value = |(pointer, value): (String, Value)| format!("{actor}'s body {pointer} = {}", plain(&value));
                let status = format!("{actor}'s status = {}", answer.status);
                [status].into_iter().chain(body.into_iter().map(value)).collect()
            }
            ActorOutcome::Answered(Err(_)) => vec![format!("{actor}'s status = none")],
        }
    }

    /// What invariants can use of it.
    #[must_use]
    pub fn values(&self, actor: &str) -> Variables {
        let named = |name: &str, value: Literal| (format!("{actor}.{name}"), value);
        match &self.outcome {
            ActorOutcome::Exited(exited) => Variables::from([
                named("exit_code", Literal::new("INT4", Some(&exited.code.to_string()))),
                named("last_line", Literal::new("TEXT", Some(&exited.output.last_line()))),
            ]),
            ActorOutcome::Answered(Ok(answer)) => {
                let mut values = Variables::from([
                    named("status", Literal::new("INT4", Some(&answer.status.to_string()))),
                    named("ok", Literal::new("BOOL", Some(if answer.is_ok() { "t" } else { "f" }))),
                ]);
                values.extend(answer.values().into_iter().map(|(pointer, value)| {
                    let literal = match &value {
                        Value::Null => Literal::null(),
                        Value::Bool(yes) => Literal::new("BOOL", Some(if *yes { "t" } else { "f" })),
                        Value::Number(number) => Literal::new("NUMERIC", Some(&number.to_string())),
                        other => Literal::new("TEXT", Some(&plain(other))),
                    };
                    named(&format!("body.{pointer}"), literal)
                }));
                values
            }
            ActorOutcome::Answered(Err(_)) => {
                Variables::from([named("status", Literal::null()), named("ok", Literal::new("BOOL", Some("f")))])
            }
        }
    }
}

/// A value of a body as text; a string without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_the_start_is_found() {
        for (name, value, expected) in [
            ("lock_timeout", "200ms", Some("lock_timeout")),
            ("lock_timeout", "0", None),
            ("options", "-c lock_timeout=200ms", Some("lock_timeout")),
            ("options", "-c search_path=app -cstatement_timeout=5s", Some("statement_timeout")),
            ("options", "-c statement_timeout=0 -c geqo=1", None),
            ("application_name", "lock_timeout=1", None),
        ] {
            assert_eq!(timeout_at_start(name, value), expected, "{name} {value}");
        }
    }
}
