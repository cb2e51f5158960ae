//! `concurrency-lab serve`.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use nix::sys::resource::{Resource, getrlimit};
use sqlx::postgres::PgConnectOptions;
use strum::VariantNames as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::CliError;
use super::options::{DataDirArgs, DatabaseArgs, LimitArgs, approach, seed_parser};
use super::output::{print, tell};
use super::signals::{Interrupts, parent_gone};
use crate::config::{Limits, SPARE_DATABASE_CONNECTIONS, SPARE_FILE_DESCRIPTORS};
use crate::dashboard::model::permission::{ExperimentPermission, TOKEN_MIN};
use crate::dashboard::service::experiment_databases::ExperimentDatabases;
use crate::dashboard::{Dashboard, DashboardSettings};
use crate::database::seed::Seed;
use crate::database::{ConnectionLimit, Database, ErrorText, SeedOutcome, lost_by_a_crash};
use crate::engine::Engine;
use crate::http::{AppState, HttpService, listener};
use crate::metrics::Metrics;
use crate::server::Server;
use crate::strategy::Approach;
use private_postgres::{self, Cluster, ClusterStatus};

/// Options of `serve`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
pub struct ServeArgs {
    /// The address to listen on. Port 0 picks a free port.
    #[arg(long, env = "LAB_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    data_dir: DataDirArgs,

    /// Use a temporary private database, and stop when standard input ends: for the server that `run` starts.
    #[arg(long, hide = true)]
    temporary: bool,

    /// Stop when standard input ends: for the server that `run` starts on a database that exists.
    #[arg(long, hide = true)]
    attached: bool,

    /// The data for an empty database, and for a /reset without a seed.
    #[arg(long, env = "LAB_SEED", default_value = "withdrawal", value_parser = seed_parser())]
    seed: Seed,

    /// Replace all data by the seed before serving.
    #[arg(long, env = "LAB_RESET", value_parser = BoolishValueParser::new())]
    reset: bool,

    /// The approach for the routes at the root, such as /balance.
    #[arg(long, env = "LAB_ROOT_APPROACH", default_value = "atomic-returning", value_parser = approach)]
    root_approach: Approach,

    /// A host name under which requests are accepted, besides IP addresses and localhost; may be repeated.
    #[arg(long = "allow-host", env = "LAB_ALLOW_HOST", value_name = "NAME", value_delimiter = ',')]
    allow_host: Vec<String>,

    /// Accept the experiment headers (Lab-Trace, Lab-Think-Time, and Lab-Fault, which cuts connections to the database)
    /// also on an address that is not loopback.
    #[arg(long, env = "LAB_HEADERS", value_parser = BoolishValueParser::new())]
    lab_headers: bool,

    /// Count requests, retries and waits, for Prometheus at /metrics.
    #[arg(
        long,
        env = "LAB_METRICS",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        value_name = "BOOL",
        value_parser = BoolishValueParser::new()
    )]
    metrics: bool,

    /// The folder for runs: the dashboard shows the runs in it, and stores its experiments there.
    #[arg(long, env = "LAB_OUT", default_value = "runs", value_name = "DIR")]
    runs: PathBuf,

    /// The token that is required to start or stop an experiment from the dashboard. Without one, experiments can be started only
    /// if the server listens on a loopback address.
    #[arg(long, env = "LAB_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,

    /// The database for the dashboard's experiments. Without it, each one that needs a database starts a temporary PostgreSQL.
    #[arg(long, env = "LAB_EXPERIMENT_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    experiment_database_url: Option<String>,

    #[command(flatten)]
    limits: LimitArgs,
}

impl ServeArgs {
    /// Which requests may start experiments. With `--allow-host`, requests come from a proxy, and so from other machines.
    fn permission(&self, address: SocketAddr) -> Result<ExperimentPermission, CliError> {
        let token = self.admin_token.clone().filter(|token| !token.is_empty());
        if let Some(length) = token.as_ref().map(|token| token.chars().count()).filter(|length| *length < TOKEN_MIN) {
            return Err(CliError::Usage(format!(
                "--admin-token: expected at least {TOKEN_MIN} characters, found {length}; `openssl rand -hex 16` prints a good one"
            )));
        }
        Ok(ExperimentPermission::new(token, address.ip().is_loopback() && self.allow_host.is_empty()))
    }

    /// What other machines can do, if they reach the server, as one line.
    fn exposure(&self, address: SocketAddr, permission: &ExperimentPermission) -> Option<String> {
        if address.ip().is_loopback() && self.allow_host.is_empty() {
            return None;
        }
        let experiments = match permission {
            ExperimentPermission::Token(_) => "start experiments with the --admin-token",
            ExperimentPermission::Open | ExperimentPermission::Closed => {
                "start no experiment, because there is no --admin-token"
            }
        };
        Some(format!(
            "concurrency-lab: warning: other machines that reach {address}, also through a proxy, can read and change all data, \
             reset them, read the results of runs, and {experiments}"
        ))
    }

    /// The settings of the dashboard. An empty variable, as in compose files, counts as none.
    fn dashboard(&self, address: SocketAddr) -> Result<DashboardSettings, CliError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let databases = match given(&self.experiment_database_url) {
            None => ExperimentDatabases::temporary(self.database.postgres_bin.clone()),
            Some(url) => ExperimentDatabases::given(Database::parse_url(&url).map_err(|_| {
                CliError::Usage(
                    "--experiment-database-url is not a PostgreSQL URL; expected postgres://user@host/database"
                        .to_owned(),
                )
            })?),
        };
        let permission = self.permission(address)?;
        Ok(DashboardSettings { runs: self.runs.clone(), permission, databases })
    }
}

/// The database of the server: a private PostgreSQL, or one at a URL.
enum ServeDatabase {
    Private(Cluster),
    Given(PgConnectOptions),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the address, the database or PostgreSQL's programs cannot be used.
pub async fn serve(arguments: ServeArgs) -> Result<(), CliError> {
    let mut limits = arguments.limits.limits()?;
    limits.client_connections = client_connections(&limits)?;
    // The address comes first: if it is in use, the command fails at once and leaves nothing behind.
    let listener = listener::bind(arguments.listen).map_err(|error| {
        CliError::Environment(format!(
            "cannot listen on {}: {error}; choose another address with --listen",
            arguments.listen
        ))
    })?;
    let address = listener.local_addr().map_err(|error| CliError::Environment(error.to_string()))?;
    // Before a database is started.
    arguments.permission(address)?;

    let interrupts = Interrupts::listen();
    // Dropping a PostgreSQL that is starting stops it.
    let source = tokio::select! {
        source = open(&arguments, &limits) => source?,
        () = interrupts.clone().reach(1) => return Ok(()),
    };
    let served = tokio::select! {
        served = serve_from(&source, &arguments, &limits, listener, address, &interrupts) => served,
        // A second signal ends the server without waiting for requests in flight.
        () = interrupts.clone().reach(2) => {
            tell("concurrency-lab: second signal: stopping without waiting for requests in flight");
            Ok(())
        }
    };
    let ServeDatabase::Private(cluster) = source else { return served };
    // An error of the server comes before an error of its database.
    served.and(cluster.stop().await.map_err(CliError::from))
}

async fn serve_from(
    source: &ServeDatabase,
    arguments: &ServeArgs,
    limits: &Limits,
    listener: tokio::net::TcpListener,
    address: SocketAddr,
    interrupts: &Interrupts,
) -> Result<(), CliError> {
    let options = match source {
        ServeDatabase::Private(cluster) => cluster.connect_options(),
        ServeDatabase::Given(options) => options.clone(),
    };
    let (database, seeded) = tokio::select! {
        prepared = Database::prepare(options, limits, arguments.seed, arguments.reset) => prepared?,
        () = interrupts.clone().reach(1) => return Ok(()),
    };
    warn_about_seed(seeded, arguments.seed);
    warn_about_connections(&database, limits);
    warn_about_durability(&database).await;
    let metrics = if arguments.metrics { Metrics::on(Approach::VARIANTS) } else { Metrics::off() };
    let engine = Engine::new(Server::new(database, limits, metrics), *limits);
    let app = Arc::new(AppState {
        engine: engine.clone(),
        seed: arguments.seed,
        root_approach: arguments.root_approach,
        allowed_hosts: arguments.allow_host.clone(),
        lab_headers: arguments.lab_headers || address.ip().is_loopback(),
    });
    let closing = CancellationToken::new();
    let settings = arguments.dashboard(address)?;
    if let Some(exposure) = arguments.exposure(address, &settings.permission) {
        tell(&exposure);
    }
    let dashboard = Dashboard::new(&app, settings, closing.clone());
    announce(source, address)?;
    let _key_sweep = AbortOnDropHandle::new(tokio::spawn(forget_keys(engine.clone())));

    let mut failed = None;
    listener::serve(listener, HttpService::with_pages(app, dashboard.routes()), limits, async {
        failed = tokio::select! {
            () = interrupts.clone().reach(1) => None,
            () = parent_gone(), if arguments.temporary || arguments.attached => None,
            reason = database_failed(source) => Some(reason),
        };
        closing.cancel();
    })
    .await;
    dashboard.close().await;
    tracing::info!("waiting for operations in flight");
    if tokio::time::timeout(limits.drain, engine.drain()).await.is_err() {
        tracing::warn!("stopping although some operations did not finish within {} s", limits.drain.as_secs());
    }
    let Some(reason) = failed else { return Ok(()) };
    Err(CliError::Environment(format!(
        "the temporary PostgreSQL has failed and stays down, so the server has stopped: {reason}. Start the server again"
    )))
}

/// Deletes idempotency keys that are too old, until it is dropped.
async fn forget_keys(engine: Engine) {
    loop {
        tokio::time::sleep(engine.limits().idempotency_sweep).await;
        match engine.server().database().forget_old_keys(engine.limits()).await {
            Ok(deleted) => tracing::debug!(deleted, "deleted old idempotency keys"),
            Err(error) => {
                tracing::warn!(error = %ErrorText(&error), "cannot delete old idempotency keys; the server tries again later");
            }
        }
    }
}

async fn open(arguments: &ServeArgs, limits: &Limits) -> Result<ServeDatabase, CliError> {
    if let (Some(url), false) = (arguments.database.url(), arguments.temporary) {
        return Ok(ServeDatabase::Given(Database::parse_url(url)?));
    }
    let pool_size = u32::try_from(limits.pool_size).unwrap_or(u32::MAX);
    let max_connections = pool_size.saturating_add(SPARE_DATABASE_CONNECTIONS);
    if arguments.temporary {
        let cluster = Cluster::start_temporary(arguments.database.postgres_bin.as_deref(), max_connections).await?;
        return Ok(ServeDatabase::Private(cluster));
    }
    let options = private_postgres::ClusterOptions {
        data_dir: arguments.data_dir.path()?,
        bin_dir: arguments.database.postgres_bin.clone(),
        max_connections,
    };
    Ok(ServeDatabase::Private(Cluster::start(&options).await?))
}

/// Prints the line with the address. A parent process that asked for port 0 reads it too.
fn announce(source: &ServeDatabase, address: SocketAddr) -> Result<(), CliError> {
    let database = match source {
        ServeDatabase::Private(cluster) => format!("private PostgreSQL in {}", cluster.data_dir().display()),
        ServeDatabase::Given(options) => format!("PostgreSQL at {}:{}", options.get_host(), options.get_port()),
    };
    print(&format!("listening on http://{address} ({database})"))
}

fn warn_about_seed(seeded: SeedOutcome, wanted: Seed) {
    let SeedOutcome::Differently(found) = seeded else { return };
    let found = found.map_or("a seed of another version".to_owned(), |seed| format!("--seed {seed}"));
    tell(&format!(
        "concurrency-lab: warning: the database has the data of {found}, not of --seed {wanted}. They are kept; \
         `serve --reset --seed {wanted}` or POST /reset replaces them."
    ));
}

fn warn_about_connections(database: &Database, limits: &Limits) {
    let (size, limit) = (database.pool().size(), database.connection_limit());
    if size >= limits.pool_size {
        return;
    }
    let ConnectionLimit { max_connections, reserved, of_role, of_database } = limit;
    let of = |name, limit: Option<i32>| limit.map(|limit| format!(", {name} {limit}")).unwrap_or_default();
    tell(&format!(
        "concurrency-lab: warning: PostgreSQL allows this role {} connections (max_connections {max_connections}, of which {reserved} \
         are reserved{}{}), fewer than --pool-size {} and a few beside it need. The pool has {size}; requests wait for them.",
        limit.usable(),
        of("limit of the role", of_role),
        of("limit of the database", of_database),
        limits.pool_size,
    ));
}

/// Names the settings of PostgreSQL by which a crash can take back a change that was answered with 200.
async fn warn_about_durability(database: &Database) {
    match database.settings().await {
        Ok((_, settings)) => {
            if let Some(found) = lost_by_a_crash(&settings) {
                tell(&format!("concurrency-lab: warning: PostgreSQL has {found}"));
            }
        }
        Err(error) => tracing::warn!(%error, "cannot read the settings of the database"),
    }
}

/// The number of client connections that the limit of open files allows.
fn client_connections(limits: &Limits) -> Result<usize, CliError> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| CliError::Environment(error.to_string()))?;
    let kept = SPARE_FILE_DESCRIPTORS + limits.pool_size as u64;
    let room = usize::try_from(soft.saturating_sub(kept)).unwrap_or(usize::MAX);
    if room == 0 {
        return Err(CliError::Environment(format!(
            "the limit of {soft} open files allows no client connection; raise it with `ulimit -n`"
        )));
    }
    Ok(room.min(limits.client_connections))
}

/// Resolves when a temporary PostgreSQL has failed and stays down; the reason as text. One whose data are kept is restarted until it runs again.
fn database_failed(source: &ServeDatabase) -> impl Future<Output = String> + use<> {
    let status = match source {
        ServeDatabase::Private(cluster) => Some(cluster.status()),
        ServeDatabase::Given(_) => None,
    };
    async move {
        if let Some(mut status) = status
            && let Ok(failed) = status.wait_for(|status| matches!(status, ClusterStatus::Failed(_))).await
            && let ClusterStatus::Failed(reason) = &*failed
        {
            return reason.clone();
        }
        std::future::pending().await
    }
}
