//! What if a guard were missing: the approach's code unchanged, with a text taken out of its SQL.

use std::collections::BTreeMap;

use crate::session::probe::Probe;
use crate::session::statement::Statement;
use crate::strategy::Strategy;

/// Statements to send in place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// By the text of those that they replace.
    statements: BTreeMap<&'static str, &'static Statement>,
    told: String,
}

/// The text is in none of the approach's statements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is in none of the statements that the approach sends")]
pub struct TextNotFound {
    text: String,
}

impl Mutation {
    /// Replaces a text by another one in all statements of an approach that have it. What is replaced is kept until the program ends:
    /// a statement is a constant everywhere else, too.
    ///
    /// # Errors
    /// [`TextNotFound`].
    pub fn new(strategy: &dyn Strategy, text: &str, by: &str) -> Result<Self, TextNotFound> {
        let amended = |statement: &'static Statement| -> (&'static str, &'static Statement) {
            let sql: &'static str = Box::leak(statement.sql.replace(text, by).into_boxed_str());
            (statement.sql, Box::leak(Box::new(Statement { sql, ..*statement })))
        };
        let having =
            strategy.info().statements.iter().filter(|statement| !text.is_empty() && statement.sql.contains(text));
        let statements: BTreeMap<_, _> = having.map(amended).collect();
        if statements.is_empty() {
            return Err(TextNotFound { text: text.to_owned() });
        }
        let told = if by.is_empty() { text.trim().to_owned() } else { format!("{} → {}", text.trim(), by.trim()) };
        Ok(Self { statements, told })
    }

    /// What was changed, for reports.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.told
    }

    /// A probe that amends what a session sends.
    #[must_use]
    pub fn probe(&self) -> MutationProbe {
        MutationProbe { amend: self.clone() }
    }
}

/// See [`Mutation::probe`].
#[derive(Debug)]
pub struct MutationProbe {
    amend: Mutation,
}

impl Probe for MutationProbe {
    fn amends(&mut self, statement: &'static Statement) -> Option<&'static Statement> {
        self.amend.statements.get(statement.sql).copied()
    }
}
