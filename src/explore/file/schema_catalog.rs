//! The tables of a file, as PostgreSQL's catalog has them after its setup: what a statement touches beyond the words in it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;

use super::catalog_query::{query, query_one, query_scalars};
use super::schema_code::SchemaCode;
use crate::explore::error::ExploreError;
use crate::explore::search::access::{Access, Shareable};
use crate::explore::search::independence::{is_about_rows, is_plain_read, names_its_tables};
use crate::explore::sql_words::{
    TransactionControl, Words, has_anywhere, one_statement, statements, transaction_control,
};

/// The schema of a file's tables, the only one in the `search_path` of its sessions.
pub const SCHEMA: &str = "concurrency_lab_explore_file";

/// The condition on `nspname` of schemas that are not PostgreSQL's.
pub const OWN_SCHEMAS: &str = "nspname not in ('pg_catalog', 'information_schema') and nspname not like 'pg\\_temp%' \
                               and nspname not like 'pg\\_toast%'";

/// The schema of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaCatalog {
    /// The names of its tables, views and sequences.
    relations: BTreeSet<String>,
    /// Each foreign key: the table that refers, and the one that it refers to.
    foreign_keys: Vec<(String, String)>,
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
    /// The file names another schema, whose tables are not in this catalog.
    pub names_other_schemas: bool,
    /// The condition on `nspname` of the file's own schema and of those that it names.
    pub schemas: String,
    /// What its functions and triggers do.
    pub code: SchemaCode,
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
    /// Reads the catalog. `texts` is all SQL of the file.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn read(connection: &mut PgConnection, texts: &[String]) -> Result<Self, ExploreError> {
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
        let defaults: Vec<String> = query_scalars(
            connection,
            format!(
                "select pg_get_expr(adbin, adrelid) from pg_attrdef join pg_class on pg_class.oid = adrelid \
                 where relnamespace = {namespace}"
            ),
        )
        .await?;
        if defaults.iter().any(|default| !is_about_rows(&format!("select {default}"))) {
            catalog.opaque = Some("a column has a default that is more than a constant or a sequence");
        }
        catalog.opaque = opaque_by(connection, &namespace).await?.or(catalog.opaque);
        let others: Vec<String> = query_scalars(
            connection,
            format!("select lower(nspname) from pg_namespace where {OWN_SCHEMAS} and nspname <> '{SCHEMA}'"),
        )
        .await?;
        let named = |other: &String| texts.iter().any(|text| has_anywhere(text, |word| word == other));
        let named: Vec<String> = others.into_iter().filter(named).collect();
        let may_name = |word: &str| matches!(word, "schema" | "search_path");
        catalog.names_other_schemas = !named.is_empty() || texts.iter().any(|text| has_anywhere(text, may_name));
        if catalog.names_other_schemas {
            catalog.opaque = Some("the file names another schema, or a search_path");
        }
        let quote = |name: &str| format!("'{}'", name.replace('\'', "''"));
        let quoted: Vec<String> = named.iter().map(String::as_str).chain([SCHEMA]).map(quote).collect();
        catalog.schemas = format!("lower(nspname) in ({})", quoted.join(", "));
        catalog.code = SchemaCode::read(connection, &catalog.schemas).await?;
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
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        touched.writes = match words[0].as_str() {
            // Its first table is the one that it changes. (A common table expression would come before it.) But a subquery with a locking clause
            // locks rows of its tables.
            "insert" | "update" | "delete" if !has("for") => {
                words.iter().map(name).find(|name| self.relations.contains(name)).into_iter().collect()
            }
            _ => mentioned.clone(),
        };
        if has("nextval") {
            touched.writes.extend(self.sequences.iter().cloned());
        }
        if has("insert") || has("default") {
            let filled = self.sequences_of.iter().filter(|(table, _)| mentioned.contains(table));
            touched.writes.extend(filled.map(|(_, sequence)| sequence.clone()));
        }
        self.follow_foreign_keys(&mut touched);
        Some(touched)
    }

    /// The sequence that a statement reads as a table, if it does. Its value is visible to all sessions, also before COMMIT.
    #[must_use]
    pub fn sequence_read(&self, sql: &str) -> Option<&str> {
        let read = |words: &Words| {
            self.sequences.iter().find(|sequence| words.iter().any(|word| word.trim_matches('"') == sequence.as_str()))
        };
        statements(sql).iter().find_map(read).map(String::as_str)
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

/// What in a schema does more than the words of a statement tell.
async fn opaque_by(connection: &mut PgConnection, namespace: &str) -> Result<Option<&'static str>, ExploreError> {
    let code: Vec<(bool, bool, bool, bool, bool)> = query(
        connection,
        format!(
            "select exists (select from pg_proc where pronamespace = {namespace}), \
                    exists (select from pg_trigger join pg_class on pg_class.oid = tgrelid \
                            where relnamespace = {namespace} and not tgisinternal), \
                    exists (select from pg_rewrite join pg_class on pg_class.oid = ev_class \
                            where relnamespace = {namespace} and rulename <> '_RETURN'), \
                    exists (select from pg_policy join pg_class on pg_class.oid = polrelid where relnamespace = {namespace}), \
                    exists (select from pg_type where typnamespace = {namespace} and typtype = 'd')"
        ),
    )
    .await?;
    for (functions, triggers, rules, policies, domains) in code {
        let found = [
            (functions, "the schema has functions"),
            (triggers, "the schema has triggers"),
            (rules, "the schema has rules"),
            (policies, "the schema has policies of row security"),
            (domains, "the schema has domains"),
        ];
        if let Some((_, what)) = found.into_iter().find(|(there, _)| *there) {
            return Ok(Some(what));
        }
    }
    Ok(None)
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
            sequences: names(&["item_seq"]),
            sequences_of: vec![("item".to_owned(), "item_seq".to_owned())],
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
            ("insert into item values (1)", Some((&["item", "orders"], &["item", "item_seq"]))),
            ("update item set id = default", Some((&["item", "orders"], &["item", "item_seq"]))),
            ("update a set n = nextval('item_seq')", Some((&["a"], &["a", "item_seq"]))),
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
