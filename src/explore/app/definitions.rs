//! What is defined in a database beside its rows, and what belongs to the database itself.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

/// Settings whose value is a list of quoted names, as it is stored.
const OF_LISTS: &str = "'search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries'";

/// Columns, indexes, constraints, views, functions, triggers, enums and schemas, each as SQL or in words. `schemas` is a condition on `nspname`.
///
/// # Errors
/// An error of the database.
pub async fn definitions(connection: &mut PgConnection, schemas: &str) -> Result<BTreeSet<String>, sqlx::Error> {
    let query = format!(
        "with own as (select oid, nspname from pg_namespace where {schemas}), \
         relation as (select pg_class.oid, relname, relkind from pg_class join own on own.oid = relnamespace) \
         select format('column %I.%I %s%s%s', relname, attname, format_type(atttypid, atttypmod), \
                       case when attnotnull then ' not null' end, ' default ' || pg_get_expr(adbin, adrelid)) \
           from relation join pg_attribute on attrelid = relation.oid and attnum > 0 and not attisdropped \
           left join pg_attrdef on adrelid = attrelid and adnum = attnum where relkind in ('r', 'p') \
         union all select 'table ' || relname from relation where relkind in ('r', 'p', 'f') \
         union all select 'sequence ' || relname from relation where relkind = 'S' \
         union all select pg_get_indexdef(indexrelid) from pg_index join relation on relation.oid = indrelid \
         union all select format('constraint %I on %I: %s', conname, relname, pg_get_constraintdef(pg_constraint.oid)) \
           from pg_constraint join relation on relation.oid = conrelid \
         union all select format('view %I: %s', relname, pg_get_viewdef(oid)) from relation where relkind in ('v', 'm') \
         union all select pg_get_functiondef(pg_proc.oid) from pg_proc join own on own.oid = pronamespace \
           where prokind <> 'a' and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e') \
         union all select pg_get_triggerdef(pg_trigger.oid) from pg_trigger join relation on relation.oid = tgrelid \
           where not tgisinternal \
         union all select format('type %I: %s', typname, string_agg(enumlabel, ', ' order by enumsortorder)) \
           from pg_type join own on own.oid = typnamespace join pg_enum on enumtypid = pg_type.oid group by typname \
         union all select 'schema ' || nspname from own"
    );
    let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await?;
    Ok(found.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// Statements that give a database of this name the owner, rights and settings that this one has.
///
/// # Errors
/// An error of the database.
pub async fn database_settings(connection: &mut PgConnection, database: &str) -> Result<Vec<String>, sqlx::Error> {
    let query = format!(
        "with this as (select oid, datname, datdba, datacl from pg_database where datname = $1) \
         select format('alter database %I owner to %I', datname, pg_get_userbyid(datdba)) from this \
           where pg_get_userbyid(datdba) <> current_user \
         union all select format('revoke all on database %I from public', datname) from this where datacl is not null \
         union all select format('grant %s on database %I to %s%s', privilege_type, datname, \
                                 case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end, \
                                 case when is_grantable then ' with grant option' else '' end) \
           from this cross join lateral aclexplode(datacl) \
         union all select format('alter %sdatabase %I set %I to %s', \
                                 case setrole when 0 then '' else format('role %I in ', pg_get_userbyid(setrole)) end, datname, name, \
                                 case when name in ({OF_LISTS}) then value else quote_literal(value) end) \
           from this join pg_db_role_setting on setdatabase = this.oid cross join lateral unnest(setconfig) as setting \
           cross join lateral (select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)) as parts(name, value)"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).bind(database).fetch_all(connection).await
}
