//! The rights of the statements in explore files and specs.
//!
//! A file may come from another person. As a superuser its statements could run any program (`copy … to program`), read and write files, drop
//! other schemas and make roles. So in a PostgreSQL of the lab's own they run as a role that owns a database and has no other right. The
//! explorer's own connections, which reset rows, watch the sessions and terminate them, are not the file's.
//!
//! - A file with `superuser = true` runs with all rights, if the command line says `--trust-file`.
//! - On a database of the user's the statements have the rights of its user. The command says so before it runs them.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use crate::database::connect;

/// The first version in which a role may be allowed to set a parameter.
const GRANTS_PARAMETERS: i32 = 150_000;

/// The rights of a file's statements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileRights {
    /// Those of the owner of a database.
    #[default]
    OwnDatabase,
    /// All. The file says that it needs them, and the user trusts it.
    Superuser,
}

/// The database of a worker.
#[derive(Debug, Clone)]
pub struct WorkerDatabase {
    /// How the explorer connects.
    pub explorer: PgConnectOptions,
    /// How the sessions of a file connect that has no rights elsewhere. Without it, they connect as the explorer.
    pub file_role: Option<PgConnectOptions>,
}

impl From<PgConnectOptions> for WorkerDatabase {
    /// A database of the user's.
    fn from(explorer: PgConnectOptions) -> Self {
        Self { explorer, file_role: None }
    }
}

impl WorkerDatabase {
    /// Creates so many databases in a PostgreSQL of the lab's own, each with a role that owns it.
    ///
    /// # Errors
    /// As the server refuses.
    pub async fn create(superuser: &PgConnectOptions, count: usize) -> Result<Vec<Self>, sqlx::Error> {
        let mut connection = connect(superuser).await?;
        let close = "select format('revoke connect on database %I from public', datname) from pg_database";
        let others: Vec<String> = sqlx::query_scalar(close).fetch_all(&mut connection).await?;
        for statement in others {
            execute(&mut connection, statement).await?;
        }
        let version = "select current_setting('server_version_num')::integer";
        let version: i32 = sqlx::query_scalar(version).fetch_one(&mut connection).await?;
        let mut databases = Vec::new();
        for number in 1..=count {
            let name = format!("explore_{number}");
            let password = Uuid::new_v4().simple().to_string();
            execute(&mut connection, format!("create role {name} login password '{password}'")).await?;
            // A deadlock costs a millisecond instead of a second. A role may not set this by itself, at most where it is granted.
            execute(&mut connection, format!("alter role {name} set deadlock_timeout = '1ms'")).await?;
            if version >= GRANTS_PARAMETERS {
                execute(&mut connection, format!("grant set on parameter deadlock_timeout to {name}")).await?;
            }
            execute(&mut connection, format!("create database {name} owner {name}")).await?;
            execute(&mut connection, format!("revoke connect on database {name} from public")).await?;
            let explorer = superuser.clone().database(&name);
            let file_role = explorer.clone().username(&name).password(&password);
            databases.push(Self { explorer, file_role: Some(file_role) });
        }
        connection.close().await?;
        Ok(databases)
    }

    /// How the statements of a file connect.
    #[must_use]
    pub fn of_file(&self, rights: FileRights) -> &PgConnectOptions {
        self.file_role.as_ref().filter(|_| rights == FileRights::OwnDatabase).unwrap_or(&self.explorer)
    }
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(sql)).await.map(drop)
}

/// What a file's statements may do on a database of the user's, as a sentence.
///
/// # Errors
/// When the database does not answer.
pub async fn rights_on(database: &PgConnectOptions) -> Result<String, sqlx::Error> {
    let mut connection = connect(database).await?;
    let query = "select current_user::text, rolsuper, \
                 pg_has_role(current_user, 'pg_execute_server_program', 'usage') \
                 from pg_roles where rolname = current_user";
    let (user, is_superuser, runs_programs): (String, bool, bool) =
        sqlx::query_as(query).fetch_one(&mut connection).await?;
    connection.close().await?;
    let danger = match (is_superuser, runs_programs) {
        (true, _) => {
            ". It is a superuser, so they can change every database and run programs on the database's machine"
        }
        (false, true) => ". It may run programs on the database's machine, so they can too",
        (false, false) => "",
    };
    Ok(format!("the statements of the files run with the rights of the database's user {user}{danger}"))
}
