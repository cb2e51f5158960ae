//! What one run of a command sent, and how it ended.

use std::collections::BTreeMap;

use postgres_proxy::{ClientUnit, ConnectionId, UnitAnswer};

use super::app_connection::AppConnection;
use super::running_command::ExitedCommand;
use super::step_text::sql_of;
use crate::explore::file::session_end::{ScriptAnswer, SessionResult};
use crate::explore::file::template::{Literal, Variables};
use crate::explore::transcript::GAVE_UP;
use crate::report::figures::counted;

/// Errors that other sessions cause: after one of them a command may fail without having done anything wrong.
const CAUSED_BY_OTHERS: &[&str] = &["40001", "40P01", "55P03"];

/// Statements of one connection that a summary shows.
const SHOWN_STATEMENTS: usize = 40;

/// Characters of a statement that a summary shows.
const SHOWN_SQL: usize = 90;

/// What a command sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandRecord {
    /// The units of each connection, in order.
    connections: BTreeMap<ConnectionId, Vec<SentUnit>>,
    /// The SQLSTATE of the last error that it was answered.
    last_error: Option<String>,
    /// It has committed a statement that may have changed something.
    changed: bool,
    /// It asked PostgreSQL to cancel a statement.
    pub canceled: bool,
}

/// One unit that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SentUnit {
    sql: String,
    is_step: bool,
    level: String,
}

/// A command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// How its process ended.
    pub exited: ExitedCommand,
    /// What it sent.
    pub record: CommandRecord,
}

impl CommandRecord {
    /// A connection was opened.
    pub fn opened(&mut self, connection: ConnectionId) {
        self.connections.entry(connection).or_default();
    }

    /// A unit was sent.
    pub fn sent(&mut self, id: ConnectionId, unit: &ClientUnit, connection: &AppConnection, is_step: bool) {
        // The same text is prepared and executed in two units.
        if unit.is_housekeeping() {
            return;
        }
        let level = connection.level().to_owned();
        self.connections.entry(id).or_default().push(SentUnit { sql: sql_of(unit), is_step, level });
    }

    /// A unit was answered. `before` is the connection as it was.
    pub fn answered(&mut self, unit: &ClientUnit, answer: &UnitAnswer, before: &AppConnection) {
        if let Some(error) = &answer.error {
            self.last_error = Some(error.sqlstate.clone());
        }
        let mut transaction = before.transaction;
        for execution in &unit.executions {
            match &execution.sql {
                Some(sql) => self.changed |= transaction.follow(&sql.text, answer.error.is_none()).committed_change,
                None => self.changed |= answer.error.is_none(),
            }
        }
        self.changed |= unit.ends_implicit_transaction && answer.error.is_none();
    }

    /// The texts that it sent.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.connections.values().flatten().map(|unit| unit.sql.as_str())
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

/// The units, those that are no steps in parentheses; the same text several times in a row is counted.
fn repeated(units: &[SentUnit]) -> Vec<String> {
    let mut texts: Vec<(String, usize)> = Vec::new();
    for unit in units {
        let line = unit.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = line.chars().take(SHOWN_SQL).collect();
        let rest = if short.len() < line.len() { " …" } else { "" };
        let text = if unit.is_step { format!("{short}{rest}") } else { format!("({short}{rest})") };
        match texts.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => texts.push((text, 1)),
        }
    }
    let shown = |(text, count): (String, usize)| if count > 1 { format!("{text} × {count}") } else { text };
    texts.into_iter().map(shown).collect()
}

impl CommandEnd {
    /// In words, such as `exit code 0: done`. A command that failed after an error that other sessions cause has given up.
    #[must_use]
    pub fn heard(&self) -> String {
        let ExitedCommand { code, output } = &self.exited;
        let line = output.last_line();
        let end = if line.is_empty() { format!("exit code {code}") } else { format!("exit code {code}: {line}") };
        if self.gave_up() { format!("{GAVE_UP}{end}") } else { end }
    }

    fn gave_up(&self) -> bool {
        let by_others = self.record.last_error.as_ref().is_some_and(|last| CAUSED_BY_OTHERS.contains(&last.as_str()));
        self.exited.code != 0 && by_others
    }

    /// The end as that of a session: exit code and last line are its only answer, so that a last line that differs in two runs of the
    /// same order is not compared.
    #[must_use]
    pub fn as_session(&self, actor: &str) -> SessionResult {
        let answer = vec![
            format!("{actor}'s exit code = {}", self.exited.code),
            format!("{actor}'s last line = {}", self.exited.output.last_line()),
        ];
        let heard = if self.gave_up() { format!("{GAVE_UP}failed") } else { "ended".to_owned() };
        SessionResult {
            heard,
            answers: vec![ScriptAnswer { statement: "end".to_owned(), rows: vec![answer] }],
            sqlstate: self.record.last_error.clone(),
            changed: self.record.changed,
            sent: Vec::new(),
            variables: Variables::new(),
        }
    }

    /// What invariants can use of it.
    #[must_use]
    pub fn values(&self, actor: &str) -> Variables {
        let code = Literal::new("INT4", Some(&self.exited.code.to_string()));
        let line = Literal::new("TEXT", Some(&self.exited.output.last_line()));
        Variables::from([(format!("{actor}.exit_code"), code), (format!("{actor}.last_line"), line)])
    }
}
