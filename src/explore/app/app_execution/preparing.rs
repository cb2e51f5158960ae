//! The beginning of an execution: the database is made and prepared, the proxies and the application are started.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use postgres_proxy::Owner;
use sqlx::postgres::PgConnectOptions;

use super::AppExecution;
use super::alone::SentTexts;
use super::observed::AppObserved;
use crate::explore::app::app_database::{AppDatabase, SessionDefaults};
use crate::explore::app::app_file::{ActorScript, AppFile};
use crate::explore::app::environment::DatabaseEnvironment;
use crate::explore::app::proxying::start_proxy;
use crate::explore::app::running_command::{CommandGuard, RunningCommand};
use crate::explore::app::service::{AppService, ServiceSurroundings};
use crate::explore::app::step_rules::StepRules;
use crate::explore::error::ExploreError;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::fields::actor;
use crate::explore::file::schema_catalog::OWN_SCHEMAS;
use crate::explore::file::schema_code::SchemaCode;
use crate::explore::file::serial_ends::SerialEnds;

impl<'d> AppExecution<'d> {
    /// Makes the database of the application, prepares it, and starts the proxies and the application.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn open(explorer: &'d mut ExplorerDatabase, file: &'d AppFile) -> Result<Self, ExploreError> {
        let server = explorer.given_options().clone();
        let guard = CommandGuard::start();
        let guard = guard.map_err(|error| {
            ExploreError::Script(format!("sh, which runs the programs, cannot be started: {error}"))
        })?;
        let mut database = AppDatabase::create(&server, explorer.deadlock_timeout()).await?;
        let prepared = prepare(&mut database, explorer, file, &server, &guard).await;
        let Prepared { service, default_level, timeouts } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // The first error says why.
                let _ = database.close().await;
                return Err(error);
            }
        };
        let (owner, events) = Owner::channel();
        let (mut proxies, mut environments) = (BTreeMap::new(), BTreeMap::new());
        for (index, script) in file.actors.iter().enumerate() {
            if let ActorScript::Command(_) = script {
                let proxy = start_proxy(&server, Some(events.clone())).await?;
                let environment = DatabaseEnvironment::new(&server, database.name(), proxy.address());
                environments.insert(actor(index), environment);
                proxies.insert(actor(index), proxy);
            }
        }
        let rules = StepRules::cautious(database.own_names().await?);
        let code = SchemaCode::read(database.admin()?, OWN_SCHEMAS).await?;
        let set = |name: String| format!("{name} is set for all connections of this role");
        let by_time = timeouts.into_iter().map(set).collect();
        Ok(Self {
            explorer,
            file,
            database,
            guard,
            service,
            proxies: Arc::new(proxies),
            environments,
            rules,
            default_level,
            owner: Some(owner),
            under_way: None,
            rows_only: true,
            serial_ends: SerialEnds::default(),
            unordered: BTreeSet::new(),
            prepared: BTreeMap::new(),
            can_warm_up: true,
            first_answers: BTreeMap::new(),
            was_watched: false,
            first_uses: SentTexts::default(),
            first_runs: BTreeMap::new(),
            alone: Vec::new(),
            code,
            observed: AppObserved::by_time(by_time),
        })
    }
}

/// What is there once the database is prepared.
struct Prepared {
    service: Option<AppService>,
    default_level: String,
    timeouts: Vec<String>,
}

async fn prepare(
    database: &mut AppDatabase,
    explorer: &ExplorerDatabase,
    file: &AppFile,
    server: &PgConnectOptions,
    guard: &CommandGuard,
) -> Result<Prepared, ExploreError> {
    if let Some(setup) = &file.setup {
        database.execute_field("app.setup", setup).await?;
    }
    if let Some(program) = &file.prepare {
        run_preparation(database, file, program, server, guard).await?;
    }
    let SessionDefaults { isolation: default_level, timeouts } = database.session_defaults().await?;
    let mut service = None;
    if let Some(script) = &file.service {
        let rules = StepRules::cautious(database.own_names().await?);
        let surroundings = ServiceSurroundings {
            server,
            database: database.name(),
            default_level: default_level.clone(),
            backends: explorer.backends_of_applications(),
            rules,
        };
        let mut opened = AppService::open(script, guard, surroundings).await?;
        // At its first start an application may make its tables.
        if let Err(error) = opened.start().await {
            opened.close().await;
            return Err(error);
        }
        opened.stop().await;
        service = Some(opened);
    }
    if let Some(seed) = &file.seed {
        database.execute_field("app.seed", seed).await?;
    }
    database.keep().await?;
    Ok(Prepared { service, default_level, timeouts })
}

async fn run_preparation(
    database: &AppDatabase,
    file: &AppFile,
    program: &str,
    server: &PgConnectOptions,
    guard: &CommandGuard,
) -> Result<(), ExploreError> {
    // It only forwards; so a program of any kind finds PostgreSQL at an address.
    let proxy = start_proxy(server, None).await?;
    let environment = DatabaseEnvironment::new(server, database.name(), proxy.address());
    let started = RunningCommand::start(guard, program, &file.folder, &environment, []);
    let started = started.map_err(|error| ExploreError::Script(format!("app.prepare: cannot be started: {error}")))?;
    let exited = started.ended().await;
    proxy.stop().await;
    if exited.code != 0 {
        return Err(ExploreError::Script(format!(
            "app.prepare: {program:?} ended with exit code {}; {}",
            exited.code,
            exited.output.shown()
        )));
    }
    Ok(())
}
