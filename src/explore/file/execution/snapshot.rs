//! The rows of a schema as they are after the setup. To put them back is several times as fast as to set the schema up again.
//!
//! Each table is truncated and filled again, so that its rows lie where a setup would put them: a sequential scan finds them in the same order,
//! and the same rows share a page (on which SERIALIZABLE's false conflicts depend). Sequences get their values back. What is not rows stays as
//! it is, so there is a snapshot only where neither the sessions nor the functions of the schema can change anything else.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::explore::file::script::{ScriptStatement, SessionScript};
use crate::explore::file::template::SqlTemplate;
use crate::explore::sql_words::{Words, statements};

/// Statements that change nothing but rows, sequences, and their own session, by their first word.
const OF_ROWS_AND_SESSIONS: &[&str] = &[
    "abort",
    "begin",
    "call",
    "close",
    "commit",
    "copy",
    "deallocate",
    "declare",
    "delete",
    "discard",
    "end",
    "execute",
    "fetch",
    "insert",
    "listen",
    "lock",
    "merge",
    "move",
    "notify",
    "prepare",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "select",
    "set",
    "show",
    "start",
    "table",
    "truncate",
    "unlisten",
    "update",
    "values",
    "with",
];

/// Words in the body of a function that may change more than rows.
const CHANGES_MORE: &str =
    r"\m(create|alter|drop|comment|grant|revoke|execute|analyze|vacuum|cluster|reindex|refresh|lo_\w+)\M";

/// SQL that puts the rows back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSnapshot {
    /// One text of several statements.
    restore: String,
}

impl RowSnapshot {
    /// Copies the rows of these schemas into temporary tables of this connection; `None` if they alone do not make the state after the setup,
    /// or if this user may not put them back. `schemas` is a condition on `nspname`.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn take(connection: &mut PgConnection, schemas: &str) -> Result<Option<Self>, sqlx::Error> {
        if has_more_than_rows(connection, schemas).await? || functions_change_more(connection, schemas).await? {
            return Ok(None);
        }
        let query = format!(
            "select format('%I.%I', nspname, relname), \
                    coalesce(string_agg(quote_ident(attname), ', ' order by attnum) filter (where attgenerated = ''), '') \
             from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
             left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped \
             where {schemas} and relkind in ('r', 'p') group by pg_class.oid, nspname, relname, relkind order by pg_class.oid"
        );
        let tables: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await?;
        let Some(tables) = referred_first(tables, &foreign_keys(connection, schemas).await?) else { return Ok(None) };
        let mut restore = vec!["begin".to_owned()];
        if !tables.is_empty() {
            let names: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
            restore.push(format!("truncate {}", names.join(", ")));
        }
        for (number, (name, columns)) in tables.iter().enumerate() {
            // A name that no table of a file has: a temporary table hides one of the same name.
            let copy = format!("pg_temp.\"concurrency-lab snapshot {number}\"");
            let copying =
                format!("drop table if exists {copy}; create temporary table {copy} as select * from only {name}");
            execute(connection, &copying).await?;
            let count = format!("select count(*) from {copy}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await?;
            match columns.as_str() {
                _ if count == 0 => {}
                "" => return Ok(None),
                _ => restore.push(format!(
                    "insert into {name} ({columns}) overriding system value select {columns} from {copy}"
                )),
            }
        }
        restore.extend(set_sequences(connection, schemas).await?);
        restore.push("commit".to_owned());
        let snapshot = Self { restore: restore.join("; ") };
        match snapshot.restore(connection).await {
            Ok(()) => Ok(Some(snapshot)),
            // For example, a table of another schema refers to one of this schema.
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the rows back.
    ///
    /// # Errors
    /// An error of the database. Then the rows are as they were.
    pub async fn restore(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let restored = execute(connection, &self.restore).await;
        if let Err(sqlx::Error::Database(_)) = restored {
            execute(connection, "rollback").await?;
        }
        restored
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop)
}

/// The foreign keys of these schemas: the table that refers, and the one that it refers to.
async fn foreign_keys(connection: &mut PgConnection, schemas: &str) -> Result<Vec<(String, String)>, sqlx::Error> {
    let query = format!(
        "with own as (select oid, nspname from pg_namespace where {schemas}) \
         select format('%I.%I', own.nspname, child.relname), format('%I.%I', of_parent.nspname, parent.relname) \
         from pg_constraint join pg_class child on child.oid = conrelid join pg_class parent on parent.oid = confrelid \
         join own on own.oid = child.relnamespace join pg_namespace of_parent on of_parent.oid = parent.relnamespace \
         where contype = 'f' and child.oid <> parent.oid"
    );
    sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await
}

/// The tables in an order in which each comes after those that it refers to; `None` if they refer to each other in a circle.
fn referred_first(tables: Vec<(String, String)>, foreign_keys: &[(String, String)]) -> Option<Vec<(String, String)>> {
    let (mut ordered, mut rest) = (Vec::with_capacity(tables.len()), tables);
    while !rest.is_empty() {
        let waits = |name: &String| {
            foreign_keys.iter().any(|(child, parent)| child == name && rest.iter().any(|(other, _)| other == parent))
        };
        let (later, next): (Vec<_>, Vec<_>) = rest.iter().cloned().partition(|(name, _)| waits(name));
        if next.is_empty() {
            return None;
        }
        ordered.extend(next);
        rest = later;
    }
    Some(ordered)
}

/// Triggers, materialized views, foreign tables, rules, tables with statistics, which truncating resets, and tables with row security, which may hide
/// rows from their owner.
async fn has_more_than_rows(connection: &mut PgConnection, schemas: &str) -> Result<bool, sqlx::Error> {
    let query = format!(
        "with own as (select oid from pg_namespace where {schemas}), \
         relation as (select * from pg_class where relnamespace in (select oid from own)) \
         select exists (select from relation where relkind in ('m', 'f') \
                        or relkind in ('r', 'p') and (reltuples >= 0 or relrowsecurity)) \
             or exists (select from pg_trigger join relation on relation.oid = tgrelid where not tgisinternal) \
             or exists (select from pg_rewrite join relation on relation.oid = ev_class where rulename <> '_RETURN')"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
}

/// Whether a function of these schemas may change more than rows. `schemas` is a condition on `nspname`.
///
/// # Errors
/// An error of the database.
pub async fn functions_change_more(connection: &mut PgConnection, schemas: &str) -> Result<bool, sqlx::Error> {
    let query = format!(
        "select exists (select from pg_proc join pg_namespace on pg_namespace.oid = pronamespace where {schemas} and prosrc ~* $1)"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).bind(CHANGES_MORE).fetch_one(connection).await
}

/// Statements that give the sequences of these schemas the values that they have now.
async fn set_sequences(connection: &mut PgConnection, schemas: &str) -> Result<Vec<String>, sqlx::Error> {
    let query = format!(
        "select format('%I.%I', nspname, relname) from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
         where {schemas} and relkind = 'S' order by 1"
    );
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *connection).await?;
    let mut statements = Vec::new();
    for name in names {
        let literal = name.replace('\'', "''");
        let sql = format!("select format('select setval(%L, %s, %L)', '{literal}', last_value, is_called) from {name}");
        statements.push(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?);
    }
    Ok(statements)
}

/// Whether these sessions change nothing but rows, sequences, and themselves.
#[must_use]
pub fn change_only_rows(sessions: &[SessionScript]) -> bool {
    let setups = sessions.iter().filter_map(|session| session.setup.clone());
    let sent = sessions.iter().flat_map(|session| &session.statements).flat_map(ScriptStatement::sent);
    setups.chain(sent.map(SqlTemplate::shape)).all(|sql| changes_only_rows(&sql))
}

/// Whether a text changes nothing but rows, sequences, and its own session.
#[must_use]
pub fn changes_only_rows(sql: &str) -> bool {
    let count = |statement: &Words, wanted: &str| statement.iter().filter(|word| *word == wanted).count();
    let statements = statements(sql);
    // A text that cannot be split into statements has none.
    !statements.is_empty()
        && statements.iter().all(|statement| {
            // SELECT … INTO makes a table.
            OF_ROWS_AND_SESSIONS.contains(&statement[0].as_str())
                && count(statement, "into") <= count(statement, "insert") + count(statement, "merge")
                && !statement.iter().any(|word| is_of_large_objects(word))
        })
}

/// Large objects are not rows of a table.
fn is_of_large_objects(word: &str) -> bool {
    word.starts_with("lo_") || matches!(word, "loread" | "lowrite")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        let table = |name: &str| (name.to_owned(), String::new());
        let tables = || vec![table("a"), table("b"), table("c")];
        let key = |child: &str, parent: &str| (child.to_owned(), parent.to_owned());
        let names = |ordered: Option<Vec<(String, String)>>| {
            ordered.map(|tables| tables.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
        };
        for (keys, expected) in [
            (vec![], Some("a b c")),
            (vec![key("a", "b"), key("b", "c")], Some("c b a")),
            (vec![key("a", "elsewhere")], Some("a b c")),
            (vec![key("a", "b"), key("b", "a")], None),
        ] {
            assert_eq!(names(referred_first(tables(), &keys)).as_deref(), expected, "{keys:?}");
        }
    }

    #[test]
    fn a_statement_that_may_change_more_than_rows_is_recognised() {
        for (sql, expected) in [
            ("select 1", true),
            ("/* app */ insert into t values (1)", true),
            ("with x as (select 1 as n) insert into t select n from x", true),
            ("select n into copied from t", false),
            ("with x as (insert into t values (1) returning n) select n into copied from x", false),
            ("begin; update t set n = 1; commit", true),
            ("begin; alter table t add m int; commit", false),
            ("create temporary table mine ()", false),
            ("do 'begin drop table t; end'", false),
            ("analyze t", false),
            ("-- nothing", false),
            ("select 'unterminated", false),
            ("truncate t", true),
            ("select lo_create(0)", false),
        ] {
            assert_eq!(changes_only_rows(sql), expected, "{sql}");
        }
    }
}
