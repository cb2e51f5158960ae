//! The tables of a file, as PostgreSQL's catalog has them after its setup: what a statement touches beyond the words in it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::explore::error::ExploreError;
use crate::explore::search::access::{Access, Shareable};
use crate::explore::search::independence::{is_about_rows, is_plain_read, names_its_tables};
use crate::explore::sql_words::{TransactionControl, one_statement, statements, transaction_control};

/// The schema of a file's tables, the only one in the `search_path` of its sessions.
pub const SCHEMA: &str = "concurrency_lab_explore_file";

/// The schema of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaCatalog {
    /// The names of its tables, views and sequences.
    relations: BTreeSet<String>,
    /// Each foreign key: the table that refers, and the one that it refers to.
    foreign_keys: Vec<(String, String)>,
    /// Columns that a sequence fills.
    pub by_sequence: BTreeSet<String>,
    /// Tables whose rows belong to other tables too: partitions, and tables that inherit.
    inherits: bool,
    /// Its sequences.
    pub sequences: BTreeSet<String>,
    /// Each table with a column that a sequence fills, and that sequence.
    pub sequences_of: Vec<(String, String)>,
    /// The tables without foreign keys whose only unique index is a primary key of one integer, with that column.
    pub keys: BTreeMap<String, String>,
    /// The isolation level of transactions that name none.
    pub default_isolation: String,
    /// Why the words of a statement do not tell what it touches, such as `its schema has triggers`.
    pub opaque: Option<&'static str>,
}

/// The tables that a statement reads, and those that it changes or locks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Tables that it reads.
    pub reads: BTreeSet<String>,
    /// Tables of which it changes or locks rows.
    pub writes: BTreeSet<String>,
}

/// All rows of the tables.
impl From<Touched> for Access {
    fn from(touched: Touched) -> Self {
        let relations = |tables: BTreeSet<String>| tables.into_iter().map(Shareable::Relation).collect();
        Self { reads: relations(touched.reads), writes: relations(touched.writes) }
    }
}

impl SchemaCatalog {
    /// Reads the catalog.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn read(connection: &mut PgConnection) -> Result<Self, ExploreError> {
        let mut catalog = Self::default();
        let namespace = format!("'{SCHEMA}'::regnamespace");
        let relations: Vec<(String, i8)> = query(
            connection,
            format!("select relname::text, relkind from pg_class where relnamespace = {namespace} and relkind <> 'i' and relkind <> 'I'"),
        )
        .await?;
        if relations.iter().any(|(_, kind)| !matches!(u8::try_from(*kind), Ok(b'r' | b'p' | b'S' | b't' | b'c'))) {
            catalog.opaque = Some("the schema has views or foreign tables");
        }
        let of_kind = |kind: u8| relations.iter().filter(move |(_, of)| u8::try_from(*of) == Ok(kind));
        catalog.sequences = of_kind(b'S').map(|(name, _)| name.clone()).collect();
        catalog.relations = relations.into_iter().map(|(name, _)| name).collect();
        catalog.inherits = query_one(
            connection,
            format!("select exists (select from pg_inherits join pg_class on oid = inhparent where relnamespace = {namespace} and relkind in ('r', 'p'))"),
        )
        .await?;
        catalog.default_isolation =
            query_one(connection, "select current_setting('default_transaction_isolation')".to_owned()).await?;
        catalog.sequences_of = query(
            connection,
            format!(
                "select pg_class.relname::text, sequence.relname::text from pg_depend join pg_attrdef on pg_attrdef.oid = objid \
                 join pg_class on pg_class.oid = adrelid join pg_class sequence on sequence.oid = refobjid and sequence.relkind = 'S' \
                 where classid = 'pg_attrdef'::regclass and refclassid = 'pg_class'::regclass and pg_class.relnamespace = {namespace} \
                 union all \
                 select pg_class.relname::text, sequence.relname::text from pg_depend join pg_class on pg_class.oid = refobjid \
                 join pg_class sequence on sequence.oid = objid and sequence.relkind = 'S' \
                 where classid = 'pg_class'::regclass and deptype = 'i' and pg_class.relnamespace = {namespace}"
            ),
        )
        .await?;
        let keys: Vec<(String, String)> = query(
            connection,
            format!(
                "select relname::text, attname::text from pg_class \
                 join pg_index on indrelid = pg_class.oid and indisprimary and indnkeyatts = 1 \
                 join pg_attribute on attrelid = pg_class.oid and attnum = indkey[0] \
                 where relnamespace = {namespace} and relkind = 'r' and atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) \
                 and (select count(*) from pg_index all_of where all_of.indrelid = pg_class.oid and (indisunique or indisexclusion)) = 1 \
                 and not exists (select from pg_constraint where contype = 'f' and pg_class.oid in (conrelid, confrelid))"
            ),
        )
        .await?;
        catalog.keys = keys.into_iter().collect();
        catalog.foreign_keys = query(
            connection,
            format!(
                "select child.relname::text, parent.relname::text from pg_constraint \
                 join pg_class child on child.oid = conrelid join pg_class parent on parent.oid = confrelid \
                 where contype = 'f' and connamespace = {namespace}"
            ),
        )
        .await?;
        let columns: Vec<(String, bool, Option<String>)> = query(
            connection,
            format!(
                "select attname::text, attidentity <> '', pg_get_expr(adbin, adrelid) from pg_attribute \
                 join pg_class on pg_class.oid = attrelid left join pg_attrdef on adrelid = attrelid and adnum = attnum \
                 where relnamespace = {namespace} and relkind in ('r', 'p') and attnum > 0 and not attisdropped"
            ),
        )
        .await?;
        for (name, identity, default) in columns {
            if default.as_ref().is_some_and(|default| !is_about_rows(&format!("select {default}"))) {
                catalog.opaque = Some("a column has a default that is more than a constant or a sequence");
            }
            if identity || default.is_some_and(|default| default.contains("nextval(")) {
                catalog.by_sequence.insert(name);
            }
        }
        let code: Vec<(bool, bool, bool, bool)> = query(
            connection,
            format!(
                "select exists (select from pg_proc where pronamespace = {namespace}), \
                        exists (select from pg_trigger join pg_class on pg_class.oid = tgrelid \
                                where relnamespace = {namespace} and not tgisinternal), \
                        exists (select from pg_rewrite join pg_class on pg_class.oid = ev_class \
                                where relnamespace = {namespace} and rulename <> '_RETURN'), \
                        exists (select from pg_policy join pg_class on pg_class.oid = polrelid where relnamespace = {namespace})"
            ),
        )
        .await?;
        for (functions, triggers, rules, policies) in code {
            let found = [
                (functions, "the schema has functions"),
                (triggers, "the schema has triggers"),
                (rules, "the schema has rules"),
                (policies, "the schema has policies of row security"),
            ];
            catalog.opaque = found.into_iter().find(|(there, _)| *there).map_or(catalog.opaque, |(_, what)| Some(what));
        }
        Ok(catalog)
    }

    /// What a statement touches; `None` if its words do not tell.
    #[must_use]
    pub fn touched(&self, sql: &str) -> Option<Touched> {
        if self.opaque.is_some() || self.inherits {
            return None;
        }
        if statements(sql).is_empty() || transaction_control(sql) != TransactionControl::None {
            return Some(Touched::default());
        }
        let words = one_statement(sql)?;
        let name = |word: &String| word.trim_matches('"').to_owned();
        let mentioned: BTreeSet<String> = words.iter().map(name).filter(|name| self.relations.contains(name)).collect();
        let mut touched = Touched { reads: mentioned.clone(), writes: BTreeSet::new() };
        if is_plain_read(sql) {
            return Some(touched);
        }
        if !names_its_tables(sql) {
            return None;
        }
        // A subquery with a locking clause locks rows of its tables.
        let locks = words.iter().any(|word| word == "for");
        touched.writes = match words[0].as_str() {
            // Its first table is the one that it changes. (A common table expression would come before it.)
            "insert" | "update" | "delete" if !locks => {
                words.iter().map(name).find(|name| self.relations.contains(name)).into_iter().collect()
            }
            _ => mentioned,
        };
        self.follow_foreign_keys(&mut touched);
        Some(touched)
    }

    /// Adds what foreign keys read and change: the parents of changed rows, and, by their actions, the children, and the children of these.
    fn follow_foreign_keys(&self, touched: &mut Touched) {
        loop {
            let mut grown = false;
            for (child, parent) in &self.foreign_keys {
                if touched.writes.contains(child) {
                    grown |= touched.reads.insert(parent.clone());
                }
                if touched.writes.contains(parent) {
                    grown |= touched.reads.insert(child.clone()) | touched.writes.insert(child.clone());
                }
            }
            if !grown {
                return;
            }
        }
    }
}

async fn query_one<T>(connection: &mut PgConnection, sql: String) -> Result<T, ExploreError>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    T: Send + Unpin,
{
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

async fn query<T>(connection: &mut PgConnection, sql: String) -> Result<Vec<T>, ExploreError>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    connection.ping().await?;
    Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_words_of_a_statement_tell_which_tables_it_reads_and_changes() {
        let catalog = SchemaCatalog {
            relations: names(&["a", "c", "item", "orders"]),
            foreign_keys: vec![("item".to_owned(), "orders".to_owned())],
            ..SchemaCatalog::default()
        };
        for (sql, expected) in [
            ("select n from a", Some((&["a"][..], &[][..]))),
            ("/* c */ select 1", Some((&[], &[]))),
            ("update a set n = 1", Some((&["a"], &["a"]))),
            ("insert into a values (now())", Some((&["a"], &["a"]))),
            ("update a set n = f(1)", None),
            ("insert into c select n = 0 from a", Some((&["a", "c"], &["c"]))),
            ("insert into \"c\" values (1)", Some((&["c"], &["c"]))),
            ("select n from a for update", Some((&["a"], &["a"]))),
            ("insert into item values (1)", Some((&["item", "orders"], &["item"]))),
            ("delete from orders", Some((&["item", "orders"], &["item", "orders"]))),
            ("insert into c select n from a for update", Some((&["a", "c"], &["a", "c"]))),
            ("update a set n = (select n from c for share)", Some((&["a", "c"], &["a", "c"]))),
            ("begin", Some((&[], &[]))),
            ("select f()", None),
            ("with x as (delete from a) select 1", None),
            ("update a set n = 1; update c set n = 1", None),
        ] {
            let expected = expected.map(|(reads, writes)| Touched { reads: names(reads), writes: names(writes) });
            assert_eq!(catalog.touched(sql), expected, "{sql}");
        }
        // A foreign key's action may change rows to which another one refers, in whatever order the catalog has them.
        let chain = |keys: [(&str, &str); 2]| SchemaCatalog {
            relations: names(&["item", "note", "orders"]),
            foreign_keys: keys.map(|(child, parent)| (child.to_owned(), parent.to_owned())).into(),
            ..SchemaCatalog::default()
        };
        for keys in [[("note", "item"), ("item", "orders")], [("item", "orders"), ("note", "item")]] {
            let all = names(&["item", "note", "orders"]);
            assert_eq!(chain(keys).touched("delete from orders"), Some(Touched { reads: all.clone(), writes: all }));
        }
        let opaque = SchemaCatalog { opaque: Some("the schema has triggers"), ..catalog };
        assert_eq!(opaque.touched("select n from a"), None);
    }
}
