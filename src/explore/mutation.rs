//! Mutations: an approach without one of its guards. Its code is unchanged; a text in its SQL is replaced.

use std::collections::BTreeMap;

use crate::session::probe::Probe;
use crate::session::statement::Statement;
use crate::strategy::Strategy;

/// Statements to send in place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The replacement of each statement, by the text of the original.
    statements: BTreeMap<&'static str, &'static Statement>,
    description: String,
}

/// None of the approach's statements contains the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no statement of the approach contains {text:?}")]
pub struct TextNotFound {
    text: String,
}

impl Mutation {
    /// Replaces a text in all statements of an approach that contain it. The replacements are leaked, that is, kept until the program
    /// ends: a statement is a constant everywhere else.
    ///
    /// # Errors
    /// [`TextNotFound`].
    pub fn new(strategy: &dyn Strategy, text: &str, by: &str) -> Result<Self, TextNotFound> {
        let mutated = |statement: &'static Statement| -> (&'static str, &'static Statement) {
            let sql: &'static str = Box::leak(statement.sql.replace(text, by).into_boxed_str());
            (statement.sql, Box::leak(Box::new(Statement { sql, ..*statement })))
        };
        let having =
            strategy.info().statements.iter().filter(|statement| !text.is_empty() && statement.sql.contains(text));
        let statements: BTreeMap<_, _> = having.map(mutated).collect();
        if statements.is_empty() {
            return Err(TextNotFound { text: text.to_owned() });
        }
        let description =
            if by.is_empty() { text.trim().to_owned() } else { format!("{} → {}", text.trim(), by.trim()) };
        Ok(Self { statements, description })
    }

    /// What is replaced, for reports.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// A probe that replaces the statements that a session sends.
    #[must_use]
    pub fn probe(&self) -> MutationProbe {
        MutationProbe { mutation: self.clone() }
    }
}

/// See [`Mutation::probe`].
#[derive(Debug)]
pub struct MutationProbe {
    mutation: Mutation,
}

impl Probe for MutationProbe {
    fn amends(&mut self, statement: &'static Statement) -> Option<&'static Statement> {
        self.mutation.statements.get(statement.sql).copied()
    }
}
