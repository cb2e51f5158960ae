//! What a database error means for an attempt: the one place where SQLSTATE becomes an [`AttemptError`].
//!
//! Two things decide: what the server said, and whether the statement was *decisive*, that is, whether its
//! success alone makes the change durable (COMMIT, or a writing statement outside a transaction).
//!
//! | SQLSTATE | meaning here |
//! |---|---|
//! | 40001 `serialization_failure`, 40P01 `deadlock_detected` | the attempt lost a race and was rolled back: repeat it whole |
//! | class 23 (`check_violation`, `unique_violation`, `foreign_key_violation` …) | a constraint refused; the strategy says which refusal that is |
//! | 22003 `numeric_value_out_of_range` | the new value does not fit |
//! | 55P03 `lock_not_available` (`lock_timeout`) | not done |
//! | 57014 `query_canceled` (`statement_timeout`, or an administrator; only the text says which) | not done |
//! | 25P03 (`idle_in_transaction_session_timeout`), 53300 (`too_many_connections`), 57P03 (starting up) | not done |
//! | 25006 (`read_only_sql_transaction`), 0A000 (`feature_not_supported`: SERIALIZABLE on a standby, an outdated plan) | not done |
//! | 26000, 42P05 (a prepared statement that is missing, or that is there already) | not done |
//! | class 53 (insufficient resources) with severity ERROR | not done |
//! | class 08 (connection exceptions) and 58 (errors of the system), XX000 (`internal_error`) | unknown if the statement was decisive; otherwise not done, and XX000 a bug |
//! | any other FATAL or PANIC, a lost connection, an answer that cannot be read | unknown if the statement was decisive, else not done |
//! | everything else with severity ERROR | a bug in this program |
//!
//! An ERROR of PostgreSQL is a promise that the statement was rolled back. A FATAL is not: a backend that is told to die
//! while it commits may have committed. Nor is an ERROR of a proxy that lost PostgreSQL, for which proxies use class 08, class 58
//! and XX000. Source: the manual's chapters on error codes (appendix A) and on the
//! frontend/backend protocol, and "Serialization Failure Handling" (mvcc-serialization-failure-handling).
//!
//! Some errors say that the session is not what it was, or not what is needed: it is read-only, or a pooler has changed it. Its
//! connection is not used again, and the others of its age are examined first ([`crate::database::pool`]).

use std::borrow::Cow;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::AttemptError;

/// Turns a failed statement into the end of its attempt.
#[must_use]
pub fn classify(error: &sqlx::Error, decisive: bool) -> AttemptError {
    match error {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(answer) => {
                classify_answer(answer.code(), answer.severity(), answer.constraint(), answer.message(), decisive)
            }
            None => lost(error.to_string(), decisive),
        },
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            lost(error.to_string(), decisive)
        }
        // An answer that cannot be read.
        other if decisive => AttemptError::OutcomeUnknown(other.to_string().into()),
        other => AttemptError::Bug(other.to_string().into()),
    }
}

fn classify_answer(
    code: &str,
    severity: PgSeverity,
    constraint: Option<&str>,
    message: &str,
    decisive: bool,
) -> AttemptError {
    let fatal = matches!(severity, PgSeverity::Fatal | PgSeverity::Panic);
    match code {
        "40001" => AttemptError::Conflict(Cow::Borrowed("Serialization failure")),
        "40P01" => AttemptError::Conflict(Cow::Borrowed("Deadlock")),
        "22003" => AttemptError::OutOfRange,
        _ if code.starts_with("23") && !fatal => {
            AttemptError::Constraint(constraint.unwrap_or_default().to_owned().into())
        }
        "55P03" => AttemptError::LockTimeout,
        "57014" => AttemptError::NotDone(format!("Statement cancelled: {message}").into()),
        // Only a session that is idle inside a transaction gets it, before its next statement is run.
        "25P03" => AttemptError::NotDone(Cow::Borrowed("Idle in transaction for too long")),
        // No session was opened, or the session may not write, or another session's statements are in its way.
        "57P03" | "53300" | "25006" | "0A000" | "26000" | "42P05" => {
            AttemptError::NotDone(format!("Database unavailable: {message}").into())
        }
        // This comes before class 53: a disk that is full while COMMIT is written is a PANIC, and the record may be there.
        _ if fatal => lost(format!("{code} {message}"), decisive),
        _ if code.starts_with("08") || code.starts_with("58") => lost(format!("{code} {message}"), decisive),
        "XX000" if decisive => AttemptError::OutcomeUnknown(format!("{code} {message}").into()),
        _ if code.starts_with("53") => AttemptError::NotDone(format!("Database has no room: {message}").into()),
        _ => AttemptError::Bug(format!("{code} {message}").into()),
    }
}

/// The end of an attempt whose connection was lost, and the answer with it.
#[must_use]
pub fn lost(reason: String, decisive: bool) -> AttemptError {
    if decisive {
        AttemptError::OutcomeUnknown(reason.into())
    } else {
        AttemptError::NotDone(format!("Database connection lost: {reason}").into())
    }
}

/// Whether the connection can be used again after this error. Only an ERROR leaves it in a known state. These do not:
///
/// - 25P02: the transaction was aborted before, and the session did not know that.
/// - 25006, 0A000: the session is read-only, or is one of a standby. A new connection may reach another server.
/// - 26000, 42P05: the session has not the prepared statements that it made.
/// - class 08 and 58, XX000: something between this program and PostgreSQL may have failed.
#[must_use]
pub fn connection_survives(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_));
    };
    database.try_downcast_ref::<PgDatabaseError>().is_some_and(|answer| survives(answer.code(), answer.severity()))
}

fn survives(code: &str, severity: PgSeverity) -> bool {
    let changed = ["25P02", "25006", "0A000", "26000", "42P05", "XX000"].contains(&code);
    severity == PgSeverity::Error && !changed && !code.starts_with("08") && !code.starts_with("58")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_unknown_only_after_a_decisive_statement() {
        let lost = sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        assert!(matches!(classify(&lost, true), AttemptError::OutcomeUnknown(_)));
        assert!(matches!(classify(&lost, false), AttemptError::NotDone(_)));
        assert!(!connection_survives(&lost));
    }

    type Check<'a> = &'a dyn Fn(&AttemptError) -> bool;

    #[test]
    fn each_sqlstate_means_what_the_table_says() {
        let conflict = |error: &AttemptError| matches!(error, AttemptError::Conflict(_));
        let constraint = |error: &AttemptError| matches!(error, AttemptError::Constraint(_));
        let not_done = |error: &AttemptError| matches!(error, AttemptError::NotDone(_));
        let locked = |error: &AttemptError| matches!(error, AttemptError::LockTimeout);
        let unknown = |error: &AttemptError| matches!(error, AttemptError::OutcomeUnknown(_));
        let bug = |error: &AttemptError| matches!(error, AttemptError::Bug(_));
        let refused = |error: &AttemptError| matches!(error, AttemptError::OutOfRange);
        // SQLSTATE, severity, after a decisive statement, after another one
        let table: &[(&str, PgSeverity, Check<'_>, Check<'_>)] = &[
            ("40001", PgSeverity::Error, &conflict, &conflict),
            ("40P01", PgSeverity::Error, &conflict, &conflict),
            ("22003", PgSeverity::Error, &refused, &refused),
            ("23514", PgSeverity::Error, &constraint, &constraint),
            ("23505", PgSeverity::Error, &constraint, &constraint),
            ("55P03", PgSeverity::Error, &locked, &locked),
            ("57014", PgSeverity::Error, &not_done, &not_done),
            ("53300", PgSeverity::Fatal, &not_done, &not_done),
            ("57P03", PgSeverity::Fatal, &not_done, &not_done),
            ("57P01", PgSeverity::Fatal, &unknown, &not_done),
            ("57P02", PgSeverity::Fatal, &unknown, &not_done),
            ("25P03", PgSeverity::Fatal, &not_done, &not_done),
            ("53100", PgSeverity::Error, &not_done, &not_done),
            ("53100", PgSeverity::Panic, &unknown, &not_done),
            ("XX000", PgSeverity::Panic, &unknown, &not_done),
            ("42P01", PgSeverity::Error, &bug, &bug),
            ("XX000", PgSeverity::Error, &unknown, &bug),
            ("08P01", PgSeverity::Error, &unknown, &not_done),
            ("08006", PgSeverity::Fatal, &unknown, &not_done),
            ("58000", PgSeverity::Error, &unknown, &not_done),
            ("25006", PgSeverity::Error, &not_done, &not_done),
            ("0A000", PgSeverity::Error, &not_done, &not_done),
            ("26000", PgSeverity::Error, &not_done, &not_done),
            ("42P05", PgSeverity::Error, &not_done, &not_done),
        ];
        for (code, severity, decisive, other) in table {
            assert!(decisive(&classify_answer(code, *severity, None, "", true)), "{code} on a decisive statement");
            assert!(other(&classify_answer(code, *severity, None, "", false)), "{code} on another statement");
        }
    }

    #[test]
    fn a_connection_survives_only_an_error_that_says_nothing_about_its_session() {
        for code in ["23505", "40001", "40P01", "55P03", "57014", "22003", "42P01", "53100"] {
            assert!(survives(code, PgSeverity::Error), "{code}");
            assert!(!survives(code, PgSeverity::Fatal), "{code}");
        }
        for code in ["25P02", "25006", "0A000", "26000", "42P05", "XX000", "08P01", "08006", "58000"] {
            assert!(!survives(code, PgSeverity::Error), "{code}");
        }
    }
}
