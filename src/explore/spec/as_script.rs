//! The steps of a spec as those of an explore file, for all of their interleavings.
//!
//! A spec says nothing about which ends are right. So each end is compared with those of the serial orders, as for an explore file without
//! an invariant. The setup of a session becomes its first statement and its teardown its last one, since they often begin and end its
//! transaction. Its permutations are not used: each session sends its steps in the order of the file, each once.

use std::collections::BTreeSet;

use super::grammar::{IsolationSpec, SpecSession};
use crate::explore::file::check_can_be_sent;
use crate::explore::file::expect::{Expect, ExpectedVerdict};
use crate::explore::file::script::{
    OnError, SERIAL_SESSIONS_MAX, SESSIONS_MAX, STATEMENTS_MAX, Script, ScriptStatement, ScriptVariant, SerialCheck,
    SessionScript,
};
use crate::explore::file::template::SqlTemplate;
use crate::explore::file_role::FileRights;

/// The explore file. `title` is its name in the report.
///
/// # Errors
/// What the explorer cannot do, in a sentence.
pub fn script(spec: &IsolationSpec, title: &str) -> Result<Script, String> {
    let count = spec.sessions.len();
    if count > SESSIONS_MAX {
        return Err(format!("expected at most {SESSIONS_MAX} sessions for --all, found {count}"));
    }
    let sessions = spec.sessions.iter().map(session).collect::<Result<_, _>>()?;
    let expect = Expect { verdict: ExpectedVerdict::Any, ..Expect::default() };
    Ok(Script {
        title: title.to_owned(),
        story: String::new(),
        setup: spec.setups.clone(),
        reset: None,
        teardown: spec.teardown.clone(),
        invariants: Vec::new(),
        outcome: None,
        serial: if count > SERIAL_SESSIONS_MAX { SerialCheck::Off } else { SerialCheck::RowsAndAnswers },
        serial_is_optional: true,
        rights: FileRights::OwnDatabase,
        variants: vec![ScriptVariant { isolation: None, sessions, expect, schedules: Vec::new() }],
    })
}

fn session(session: &SpecSession) -> Result<SessionScript, String> {
    let steps = session.steps.iter().map(|step| (step.name.as_str(), step.sql.as_str(), step.line));
    let line = session.steps[0].line;
    let before = session.setup.iter().map(|sql| ("session setup", sql.as_str(), line));
    let after = session.teardown.iter().map(|sql| ("session teardown", sql.as_str(), line));
    let mut names = BTreeSet::new();
    let mut statements = Vec::new();
    for (name, sql, line) in before.chain(steps).chain(after).filter(|(_, sql, _)| !sql.trim().is_empty()) {
        check_can_be_sent(&format!("session {}: {name}", session.name), sql)?;
        let name = if names.insert(name) { name.to_owned() } else { format!("{name} of the file") };
        statements.push(ScriptStatement {
            name,
            sql: SqlTemplate::parse(sql.trim()),
            line,
            own_commit: false,
            rows: None,
            stop_if: None,
            on_error: None,
        });
    }
    if !(1..=STATEMENTS_MAX).contains(&statements.len()) {
        let (name, found) = (&session.name, statements.len());
        return Err(format!("session {name}: expected 1 to {STATEMENTS_MAX} steps with SQL for --all, found {found}"));
    }
    let name = session.name.clone();
    Ok(SessionScript {
        name,
        setup: None,
        statements,
        keeps_values: false,
        on_error: OnError::Continue,
        cut_after: None,
    })
}
