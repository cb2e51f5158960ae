//! What is defined in a database beside its rows, and what belongs to the database itself.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

/// Settings whose value is a list of quoted names, as it is stored.
const OF_LISTS: &str = "'search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries'";

/// Columns, indexes, constraints, views, functions, triggers, rules, policies, rights, types, sequences and schemas, each as SQL or in words. `schemas` is a condition on `nspname`.
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
         union all select 'schema ' || nspname from own \
         union all select format('rule on %I: %s', relname, pg_get_ruledef(pg_rewrite.oid)) from pg_rewrite \
           join relation on relation.oid = ev_class where rulename <> '_RETURN' \
         union all select format('policy %I on %I for %s (%s) using %s check %s to %s', polname, relname, polcmd, polpermissive, \
                                 pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polroles::regrole[]) \
           from pg_policy join relation on relation.oid = polrelid \
         union all select format('row security of %I: %s', relname, concat_ws(', ', case when relrowsecurity then 'on' end, \
                                 case when relforcerowsecurity then 'forced' end)) \
           from pg_class where relnamespace in (select oid from own) and (relrowsecurity or relforcerowsecurity) \
         union all select format('rights on %I: %s', relname, relacl) from pg_class \
           where relnamespace in (select oid from own) and relacl is not null \
         union all select format('rights on columns %I.%I: %s', relname, attname, attacl) from pg_attribute \
           join relation on relation.oid = attrelid where attacl is not null \
         union all select format('rights on function %I: %s', proname, proacl) from pg_proc \
           where pronamespace in (select oid from own) and proacl is not null \
         union all select format('rights on schema %I: %s', nspname, nspacl) from pg_namespace \
           where oid in (select oid from own) and nspacl is not null \
         union all select format('trigger %I on %I: enabled %s', tgname, relname, tgenabled) from pg_trigger \
           join relation on relation.oid = tgrelid where tgenabled <> 'O' \
         union all select format('identity of %I.%I: %s', relname, attname, attidentity) from pg_attribute \
           join relation on relation.oid = attrelid where attidentity <> '' \
         union all select format('domain %I: %s%s%s', typname, format_type(typbasetype, typtypmod), \
                                 case when typnotnull then ' not null' end, ' default ' || typdefault) \
           from pg_type where typnamespace in (select oid from own) and typtype = 'd' \
         union all select format('constraint %I on a domain: %s', conname, pg_get_constraintdef(pg_constraint.oid)) from pg_constraint \
           where connamespace in (select oid from own) and contypid <> 0 \
         union all select format('sequence %I: %s, start %s, by %s, %s to %s, cache %s, cycle %s', relname, format_type(seqtypid, null), \
                                 seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle) \
           from pg_sequence join relation on relation.oid = seqrelid"
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
                                 case when name in ({OF_LISTS}) and value not in ('', '\"\"') then value else quote_literal(case value when '\"\"' then '' else value end) end) \
           from this join pg_db_role_setting on setdatabase = this.oid cross join lateral unnest(setconfig) as setting \
           cross join lateral (select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)) as parts(name, value)"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).bind(database).fetch_all(connection).await
}
