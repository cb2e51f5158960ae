//! A statement: its name, its SQL, and what it does to the data.

use std::fmt::Debug;

use serde::Serialize;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Encode, Postgres, Type};

pub use crate::database::isolation::Isolation;

/// What a statement does to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Reads, and may lock what it reads.
    Reads,
    /// Changes rows. Outside a transaction it commits by itself, so if its answer is lost, its outcome is unknown.
    Writes,
    /// Begins or ends a transaction.
    Controls,
}

/// One SQL statement that a strategy sends: the const in its file, the line in a trace, the unit of an interleaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// A short name that is unique within its strategy; also the metric name in `Server-Timing`.
    pub name: &'static str,
    /// The text that is sent, with `$1` … as parameters.
    pub sql: &'static str,
    /// What it does to the data.
    pub effect: Effect,
}

impl Statement {
    /// A statement that reads (and perhaps locks).
    #[must_use]
    pub const fn reads(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql, effect: Effect::Reads }
    }

    /// A statement that changes rows.
    #[must_use]
    pub const fn writes(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql, effect: Effect::Writes }
    }

    const fn controls(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql, effect: Effect::Controls }
    }
}

/// Ends a transaction and makes its changes durable. If its answer is lost, the outcome is unknown.
pub const COMMIT: Statement = Statement::controls("commit", "commit");

/// The COMMIT of a statement outside a transaction, where it is made a step of its own.
pub const ITS_COMMIT: Statement = Statement::controls("its-commit", "commit -- of that statement, by itself");

/// Ends a transaction and undoes its changes.
pub const ROLLBACK: Statement = Statement::controls("rollback", "rollback");

/// After a batch has waited for a lock, its parts do not wait as long again.
pub const WAIT_BRIEFLY: Statement = Statement::controls("wait-briefly", "set local lock_timeout = '50ms'");

/// Not SQL: a session waits for the mutex of a row in this process.
pub const LOCK_IN_PROCESS: Statement =
    Statement::controls("lock-in-process", "-- takes the mutex of a row in this process");

/// Not SQL: a session puts its change into the queue for the next batch, and waits for the answer.
pub const JOIN_BATCH: Statement = Statement::controls("join-batch", "-- joins the queue for the next batch");

/// Not SQL: the writer takes all changes that wait in the queue.
pub const TAKE_BATCH: Statement = Statement::controls("take-batch", "-- takes what waits in the queue");

impl Isolation {
    /// The statement that begins a transaction at this level.
    #[must_use]
    pub const fn begin(self) -> &'static Statement {
        const READ_COMMITTED: Statement = Statement::controls("begin", "begin isolation level read committed");
        const REPEATABLE_READ: Statement = Statement::controls("begin", "begin isolation level repeatable read");
        const SERIALIZABLE: Statement = Statement::controls("begin", "begin isolation level serializable");
        match self {
            Self::ReadCommitted => &READ_COMMITTED,
            Self::RepeatableRead => &REPEATABLE_READ,
            Self::Serializable => &SERIALIZABLE,
        }
    }
}

/// The values of a statement's parameters: a tuple, `$1` first.
pub trait Parameters {
    /// Encodes the values in order.
    ///
    /// # Errors
    /// A value that cannot be encoded.
    fn encode(self) -> Result<PgArguments, BoxDynError>;

    /// The values in order, as text for people.
    fn texts(&self) -> Vec<String>;
}

macro_rules! tuple_parameters {
    ($($value:ident),+) => {
        impl<$($value),+> Parameters for ($($value,)+)
        where
            $($value: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send + Debug),+
        {
            #[allow(non_snake_case, reason = "the tuple's types name its values")]
            fn encode(self) -> Result<PgArguments, BoxDynError> {
                let ($($value,)+) = self;
                let mut arguments = PgArguments::default();
                $(arguments.add($value)?;)+
                Ok(arguments)
            }

            #[allow(non_snake_case, reason = "the tuple's types name its values")]
            fn texts(&self) -> Vec<String> {
                let ($($value,)+) = self;
                vec![$(format!("{:?}", $value)),+]
            }
        }
    };
}

tuple_parameters!(A);
tuple_parameters!(A, B);
tuple_parameters!(A, B, C);
tuple_parameters!(A, B, C, D);
tuple_parameters!(A, B, C, D, E);
