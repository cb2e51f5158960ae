//! Code in a schema: functions, procedures, triggers, defaults. The statements that it sends are no steps.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::catalog_query::{query, query_one, query_scalars};
use super::clock::Variation;
use crate::explore::error::ExploreError;
use crate::explore::sql_words::{count_anywhere, has_anywhere, statements};

/// What the code in a schema does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaCode {
    /// Functions and procedures of several statements.
    pub routines: BTreeSet<String>,
    /// Tables with triggers that send a statement, or with a default that calls a function.
    pub triggered: BTreeSet<String>,
    /// A change of any table may fire such a trigger, by way of a view or a foreign key.
    pub any_change_fires: bool,
    /// A function, a domain or a view may give a column a value of a sequence.
    pub uses_sequences: bool,
    /// Whether functions, defaults and views read the clock, or use chance.
    pub varies: Variation,
    /// A procedure may end a transaction.
    pub ends_transactions: bool,
}

impl SchemaCode {
    /// Reads it. `schemas` is a condition on `nspname`.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn read(connection: &mut PgConnection, schemas: &str) -> Result<Self, ExploreError> {
        let routines: Vec<(String, String, String)> = query(
            connection,
            format!(
                "select lower(proname), lanname::text, coalesce(pg_get_function_sqlbody(pg_proc.oid), prosrc) from pg_proc \
                 join pg_language on pg_language.oid = prolang join pg_namespace on pg_namespace.oid = pronamespace \
                 where {schemas} and lanname not in ('c', 'internal')"
            ),
        )
        .await?;
        let triggers: Vec<(String, String)> = query(
            connection,
            format!(
                "select lower(relname), prosrc from pg_trigger join pg_class on pg_class.oid = tgrelid \
                 join pg_proc on pg_proc.oid = tgfoid join pg_namespace on pg_namespace.oid = relnamespace \
                 where {schemas} and not tgisinternal"
            ),
        )
        .await?;
        let defaults: Vec<(String, String)> = query(
            connection,
            format!(
                "select lower(relname), pg_get_expr(adbin, adrelid) from pg_attrdef join pg_class on pg_class.oid = adrelid \
                 join pg_namespace on pg_namespace.oid = relnamespace where {schemas}"
            ),
        )
        .await?;
        let views: Vec<String> = query_scalars(
            connection,
            format!(
                "select pg_get_viewdef(pg_class.oid) from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
                 where {schemas} and relkind in ('v', 'm')"
            ),
        )
        .await?;
        let elsewhere: bool = query_one(
            connection,
            format!(
                "select exists (select from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
                                where {schemas} and relkind = 'v') \
                     or exists (select from pg_constraint join pg_namespace on pg_namespace.oid = connamespace \
                                where {schemas} and contype = 'f' and (confdeltype not in ('a', 'r') or confupdtype not in ('a', 'r')))"
            ),
        )
        .await?;
        let hides_sequences: bool = query_one(
            connection,
            format!(
                "select exists (select from pg_type join pg_namespace on pg_namespace.oid = typnamespace \
                                where {schemas} and typtype = 'd' and typdefault like '%nextval(%') \
                     or exists (select from pg_class join pg_namespace on pg_namespace.oid = relnamespace where {schemas} and relkind = 'v') \
                        and exists (select from pg_class join pg_namespace on pg_namespace.oid = relnamespace where {schemas} and relkind = 'S')"
            ),
        )
        .await?;
        let names: BTreeSet<String> = routines.iter().map(|(name, ..)| name.clone()).collect();
        let calls = |text: &str| has_anywhere(text, |word| names.contains(word));
        let fires = |text: &str| sent_by(text) > 0 || calls(text);
        let triggered: BTreeSet<String> =
            triggers.into_iter().filter(|(_, body)| fires(body)).map(|(table, _)| table).collect();
        let bodies = routines.iter().map(|(.., body)| body);
        Ok(Self {
            varies: Variation::of(bodies.chain(defaults.iter().map(|(_, text)| text)).chain(&views)),
            uses_sequences: hides_sequences || routines.iter().any(|(.., body)| calls_nextval(body)),
            ends_transactions: routines.iter().any(|(.., body)| may_end_a_transaction(body)),
            any_change_fires: elsewhere && !triggered.is_empty(),
            triggered: defaults
                .into_iter()
                .filter(|(_, text)| calls(text))
                .map(|(table, _)| table)
                .chain(triggered)
                .collect(),
            routines: routines
                .iter()
                .filter(|(name, language, body)| {
                    let others = has_anywhere(body, |word| word != name && names.contains(word));
                    others || if language == "sql" { statements(body).len() > 1 } else { sent_by(body) > 1 }
                })
                .map(|(name, ..)| name.clone())
                .collect(),
        })
    }

    /// Whether a text runs code that sends statements of its own: a DO, a call, or a trigger.
    #[must_use]
    pub fn is_run_by(&self, sql: &str) -> bool {
        statements(sql).iter().any(|words| {
            let name = |word: &String| word.trim_matches('"').to_lowercase();
            let is_change =
                |word: &String| matches!(word.as_str(), "insert" | "update" | "delete" | "merge" | "truncate" | "copy");
            let calls = words.windows(2).any(|pair| pair[1] == "(" && self.routines.contains(&name(&pair[0])));
            let names_one = || words.iter().any(|word| self.triggered.contains(&name(word)));
            let fires = words.iter().any(is_change) && (self.any_change_fires || names_one());
            matches!(words[0].as_str(), "do" | "call") || calls || fires
        })
    }
}

/// How many statements a body of a function sends, at most.
fn sent_by(body: &str) -> usize {
    let sends = ["select", "insert", "update", "delete", "merge", "perform", "execute", "call", "truncate", "lock"];
    count_anywhere(body, |word| sends.contains(&word))
}

/// Whether a text takes a value of a sequence by itself.
#[must_use]
pub fn calls_nextval(text: &str) -> bool {
    has_anywhere(text, |word| matches!(word, "nextval" | "lastval" | "currval"))
}

/// Whether code ends a transaction by itself, such as a DO that commits.
#[must_use]
pub fn may_end_a_transaction(code: &str) -> bool {
    has_anywhere(code, |word| matches!(word, "commit" | "rollback"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_run_code_are_recognised() {
        let code = SchemaCode {
            routines: ["book".to_owned()].into(),
            triggered: ["log".to_owned()].into(),
            ..SchemaCode::default()
        };
        for (sql, expected) in [
            ("do $$ begin null; end $$", true),
            ("call anything()", true),
            ("select book('a')", true),
            ("select other('a')", false),
            ("select book from t", false),
            ("insert into \"log\" values (1)", true),
            ("select * from log", false),
        ] {
            assert_eq!(code.is_run_by(sql), expected, "{sql}");
        }
        let everywhere = SchemaCode { any_change_fires: true, ..code };
        assert!(everywhere.is_run_by("delete from parents") && !everywhere.is_run_by("select n from parents"));
    }

    #[test]
    fn the_statements_of_a_body_are_counted_generously() {
        for (body, expected) in [
            ("begin return 1; end", 0),
            ("begin update t set n = 1; end", 1),
            ("begin if not exists (select from t) then insert into t values (1); end if; end", 2),
        ] {
            assert_eq!(sent_by(body), expected, "{body}");
        }
        assert!(may_end_a_transaction("do $$ begin Commit; end $$"));
        assert!(!may_end_a_transaction("do $$ begin null; end $$"));
    }
}
