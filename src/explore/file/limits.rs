//! What the exploration of a file does not cover, and why a reduced search may leave nothing out.

use std::collections::BTreeSet;

use super::expect::StatementRef;
use super::own_commit::commits_inside;
use super::schema_catalog::SchemaCatalog;
use super::schema_code::calls_nextval;
use super::script::{ScriptStatement, SessionScript};
use crate::explore::schedule::Actor;
use crate::explore::search::independence::{is_about_rows, is_plain_read};
use crate::explore::sql_words::{TransactionControl, one_statement, statements, transaction_control};
use crate::explore::transcript::{StepWait, TranscriptStep};

/// Why no interleavings may be left out, if so: what a statement does beyond its words is not known.
#[must_use]
pub fn irreducible(sessions: &[SessionScript], catalog: &SchemaCatalog) -> Option<String> {
    if let Some(opaque) = catalog.opaque {
        return Some(opaque.to_owned());
    }
    (0..).zip(sessions).find_map(|(client, session)| {
        let actor = Actor::Client(client);
        if session.setup.is_some() {
            return Some(format!("what the statements of {actor} do may depend on its setup"));
        }
        let sent = || session.statements.iter().flat_map(ScriptStatement::sent);
        if let Some(sequence) = sent().find_map(|template| catalog.sequence_read(&template.shape())) {
            return Some(format!(
                "{actor} reads the sequence {sequence}, which shows new values before they are committed"
            ));
        }
        let known = |sql: &str| {
            transaction_control(sql) != TransactionControl::None && one_statement(sql).is_some()
                || is_plain_read(sql)
                || is_about_rows(sql)
        };
        let unknown =
            session.statements.iter().find(|statement| !statement.sent().all(|template| known(&template.shape())))?;
        Some(format!("what {actor}: {} depends on is not known from its words", unknown.name))
    })
}

/// Texts with several statements, which are one step.
#[must_use]
pub fn several_statements(sessions: &[SessionScript]) -> Option<String> {
    let mut found = Vec::new();
    for (client, session) in (0..).zip(sessions) {
        for statement in &session.statements {
            let number = statement.sent().map(|template| statements(&template.shape()).len()).max().unwrap_or(1);
            if number > 1 {
                found.push(format!("{}: {} ({number})", Actor::Client(client), statement.name));
            }
        }
    }
    of_names(&found, |names| {
        format!(
            "each of these texts has several statements and is one step, so that no other session comes between them: {names}"
        )
    })
}

/// Statements that run code with statements of its own.
#[must_use]
pub fn code_inside(sessions: &[SessionScript], catalog: &SchemaCatalog) -> Option<String> {
    runs_code(&statements_that(sessions, |sql| catalog.code.is_run_by(sql)))
}

/// The limit of these statements, each as `A: select`.
#[must_use]
pub fn runs_code(found: &[String]) -> Option<String> {
    of_names(found, |names| {
        format!(
            "each of these statements runs code (DO, a function, a trigger) whose own statements are no steps, so what other sessions do \
             between those was not explored: {names}"
        )
    })
}

/// Statements that may commit in their middle.
#[must_use]
pub fn commits_in_the_middle(sessions: &[SessionScript], catalog: &SchemaCatalog) -> Option<String> {
    let found = statements_that(sessions, |sql| commits_inside(sql, catalog));
    of_names(&found, |names| format!("each of these statements may commit in its middle, and is one step: {names}"))
}

/// Whether a statement takes a value of a sequence by itself.
#[must_use]
pub fn call_nextval(sessions: &[SessionScript]) -> bool {
    !statements_that(sessions, calls_nextval).is_empty()
}

/// The statements of which this is true, each as `A: select`.
fn statements_that(sessions: &[SessionScript], is_so: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (client, session) in (0..).zip(sessions) {
        let those = session.statements.iter().filter(|statement| statement.sent().any(|sent| is_so(&sent.shape())));
        found.extend(those.map(|statement| format!("{}: {}", Actor::Client(client), statement.name)));
    }
    found
}

/// Statements of several rows into whose middle other sessions could come.
#[must_use]
pub fn inside_not_explored(
    of_several_rows: &BTreeSet<StatementRef>,
    sessions: &[SessionScript],
    catalog: &SchemaCatalog,
) -> Option<String> {
    let inside: Vec<String> = of_several_rows
        .iter()
        .filter(|statement| meets_others(statement, sessions, catalog))
        .map(|(actor, name)| format!("{actor}: {name}"))
        .collect();
    of_names(&inside, |names| {
        format!(
            "each of these statements changes or locks several rows, and what other sessions do in the middle of it was not \
             explored: {names}; docs/EXPLORE.md shows how a third session that holds a row explores it"
        )
    })
}

/// Whether a statement changes or locks rows of a table of which another session changes or locks rows, too.
fn meets_others((actor, name): &StatementRef, sessions: &[SessionScript], catalog: &SchemaCatalog) -> bool {
    let sql_of = |session: &SessionScript| {
        session.statements.iter().find(|statement| statement.name == *name).map(|statement| statement.sql.shape())
    };
    let own = (0..)
        .zip(sessions)
        .find(|(client, _)| Actor::Client(*client) == *actor)
        .and_then(|(_, session)| sql_of(session));
    let Some(own) = own.filter(|sql| !is_plain_read(sql)) else { return false };
    let own = catalog.touched(&own);
    let others = (0..).zip(sessions).filter(|(client, _)| Actor::Client(*client) != *actor);
    others.flat_map(|(_, session)| &session.statements).any(|statement| {
        match (&own, catalog.touched(&statement.sql.shape())) {
            (Some(own), Some(other)) => !own.writes.is_disjoint(&other.writes),
            (_, Some(other)) => !other.writes.is_empty(),
            (_, None) => true,
        }
    })
}

/// Statements that waited for the same session at the same time and are let go at once. The first in a queue for a row waits for the transaction that
/// holds it, and the others wait for the queue (`tuple`). Sessions that all wait for the transaction itself are let go at once.
pub fn add_unordered(found: &mut BTreeSet<String>, entries: &[TranscriptStep]) {
    let waits: Vec<(usize, &TranscriptStep, &StepWait)> = (entries.iter().enumerate())
        .filter_map(|(number, entry)| Some((number, entry, entry.wait.as_ref()?)))
        .filter(|(.., wait)| wait.on != "tuple")
        .collect();
    for (at, (_, one, wait)) in waits.iter().enumerate() {
        for (number, other, other_wait) in &waits[at + 1..] {
            let together = one.returned_with.is_none_or(|returned| returned > *number);
            // Other locks have queues, whose sessions go on at once only if their locks do not exclude each other.
            let at_once =
                wait.on == other_wait.on && (wait.on == "transactionid" || one.returned_with == other.returned_with);
            if together && at_once && wait.holders.iter().any(|holder| other_wait.holders.contains(holder)) {
                let mut names = [one, other].map(|entry| format!("{}: {}", entry.actor, entry.name));
                names.sort();
                found.insert(names.join(" and "));
            }
        }
    }
}

/// What [`add_unordered`] has found, in a sentence.
#[must_use]
pub fn unordered(found: &BTreeSet<String>) -> Option<String> {
    of_names(found, |names| {
        format!(
            "these statements waited for the same session at the same time, and which of them PostgreSQL lets go on first is not \
             controlled: {names}"
        )
    })
}

/// Columns that could not be compared with those of serial orders.
#[must_use]
pub fn not_compared(columns: &BTreeSet<String>) -> Option<String> {
    of_names(columns, |names| {
        format!("not compared with serial orders, because the clock, a sequence or chance gives their values: {names}")
    })
}

/// A sentence about some names; `None` if there are none.
#[must_use]
pub fn of_names<'n>(
    names: impl IntoIterator<Item = &'n String>,
    sentence: impl FnOnce(&str) -> String,
) -> Option<String> {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| sentence(&names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::transcript::StepOutcome;

    #[test]
    fn waits_for_the_same_transaction_have_no_order_and_those_in_a_queue_have() {
        let entry = |client, on: Option<&str>, returned_with| TranscriptStep {
            actor: Actor::Client(client),
            name: "update".to_owned(),
            sql: String::new(),
            values: Vec::new(),
            wait: on.map(|on| StepWait { holders: vec![Actor::Client(0)], on: on.to_owned() }),
            returned_with: Some(returned_with),
            outcome: StepOutcome::Done,
            notices: Vec::new(),
            ended: None,
        };
        for (one, other, expected) in [
            (entry(1, Some("transactionid"), 3), entry(2, Some("transactionid"), 3), true),
            (entry(1, Some("transactionid"), 3), entry(2, Some("tuple"), 4), false),
            (entry(1, Some("relation"), 3), entry(2, Some("relation"), 3), true),
            (entry(1, Some("advisory"), 3), entry(2, Some("advisory"), 4), false),
            (entry(1, Some("transactionid"), 1), entry(2, Some("transactionid"), 3), false),
            (entry(1, None, 1), entry(2, Some("transactionid"), 3), false),
        ] {
            let mut found = BTreeSet::new();
            add_unordered(&mut found, &[entry(0, None, 0), one.clone(), other.clone()]);
            assert_eq!(unordered(&found).is_some(), expected, "{one:?} {other:?}");
        }
    }
}
