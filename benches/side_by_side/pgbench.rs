//! The approaches' own statements, sent by pgbench: the cost of PostgreSQL without a server in front of it.
//!
//! The SQL comes from the approaches, so it cannot differ from theirs. The order of the statements is repeated here,
//! because a script cannot call Rust. An approach that decides in the server's memory has no reference.
//!
//! pgbench repeats a transaction at once when PostgreSQL fails it with a serialization failure (`--max-tries`, from
//! version 15 on). The engine does so after a pause.
//!
//! The figure counts changes, by the versions of the rows. A compare-and-set that lost its race (optimistic-version) is
//! a transaction for pgbench, but not a change.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use concurrency_lab::database::SCHEMA;
use concurrency_lab::session::statement::{COMMIT, Isolation};
use concurrency_lab::strategy::Approach;
use private_postgres::Endpoint;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;
use tokio::process::Command;

use crate::points::{Load, Point};
use crate::{Failure, environment};

/// pgbench's threads. pgbench refuses more threads than clients.
const THREADS: u32 = 2;

/// The first version that repeats a transaction after 40001.
const REPEATS_SINCE: u32 = 15;

/// The maximum number of tries, more than any transaction of 32 clients needs.
const MAX_TRIES: u32 = 10_000;

/// The pause between two reads of the data.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// Reads until the data must have stopped changing: a minute, enough to serve a queue of 10000 requests on a slow disk.
const SETTLE_LOOKS: u32 = 1_200;

/// A line of a script.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(Isolation),
    Commit,
    /// A statement of the approach, by its name, with the variables of its parameters. Its row is ignored.
    Send(&'static str, &'static [&'static str]),
    /// The same, and the columns of its row become variables.
    Read(&'static str, &'static [&'static str]),
    /// The decision of the application: `balance := balance + amount`.
    Decide,
}

use Step::{Begin, Commit, Decide, Read, Send};

/// Read, decide, write in a transaction.
const fn transaction(level: Isolation) -> [Step; 5] {
    [Begin(level), Read("read", &["id"]), Decide, Send("write", &["id", "balance"]), Commit]
}

const READ_COMMITTED: [Step; 5] = transaction(Isolation::ReadCommitted);
const REPEATABLE_READ: [Step; 5] = transaction(Isolation::RepeatableRead);
const SERIALIZABLE: [Step; 5] = transaction(Isolation::Serializable);

fn protocol(approach: Approach) -> Option<&'static [Step]> {
    Some(match approach {
        Approach::Naive => &[Read("read", &["id"]), Decide, Send("write", &["id", "balance"])],
        Approach::ReadCommitted => &READ_COMMITTED,
        Approach::RepeatableRead => &REPEATABLE_READ,
        Approach::Serializable => &SERIALIZABLE,
        Approach::AtomicReturning | Approach::CheckConstraint | Approach::StoredFunction => {
            &[Send("change", &["id", "amount"])]
        }
        Approach::Pessimistic => {
            &[Begin(Isolation::ReadCommitted), Read("lock", &["id"]), Decide, Send("write", &["id", "balance"]), Commit]
        }
        Approach::OptimisticVersion => &[Read("read", &["id"]), Decide, Send("write", &["id", "balance", "version"])],
        Approach::AdvisoryLock => &[
            Begin(Isolation::ReadCommitted),
            Send("lock", &["class", "id"]),
            Read("read", &["id"]),
            Decide,
            Send("write", &["id", "balance"]),
            Commit,
        ],
        // unique-constraint has no balances; in-process-mutex and group-commit decide in the server's memory.
        _ => return None,
    })
}

/// Whether there is a script for an approach.
pub fn knows(approach: Approach) -> bool {
    protocol(approach).is_some()
}

/// Whether PostgreSQL may fail the script's transactions with 40001, so that pgbench must repeat them.
fn repeats(approach: Approach) -> bool {
    matches!(approach, Approach::RepeatableRead | Approach::Serializable)
}

/// The program, and the database that it connects to.
pub struct Pgbench {
    program: PathBuf,
    version: String,
    environment: Vec<(&'static str, String)>,
    scripts: TempDir,
    /// The connection that counts changes.
    counter: PgPool,
}

impl Pgbench {
    /// Prepares the measurement. It starts no process yet.
    pub async fn new(program: PathBuf, endpoint: &Endpoint, options: PgConnectOptions) -> Result<Self, Failure> {
        let Endpoint { socket_dir, user, password, database, port } = endpoint;
        let environment = vec![
            ("PGHOST", socket_dir.display().to_string()),
            ("PGPORT", port.to_string()),
            ("PGUSER", user.clone()),
            ("PGPASSWORD", password.clone()),
            ("PGDATABASE", database.clone()),
            ("PGOPTIONS", format!("-c search_path={SCHEMA}")),
        ];
        let scripts = tempfile::tempdir().map_err(Failure::environment)?;
        let counter = PgPoolOptions::new().max_connections(1).connect_with(options).await;
        let version =
            environment::run(Command::new(&program).arg("--version"), Duration::ZERO).await?.trim().to_owned();
        Ok(Self { program, version, environment, scripts, counter: counter.map_err(Failure::environment)? })
    }

    /// Its name and version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether this version of pgbench can measure a point. True for points that are not measured by pgbench.
    pub fn can(&self, point: Point) -> bool {
        let digits = self.version.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
        let major: u32 = digits.and_then(|digits| digits.parse().ok()).unwrap_or_default();
        !matches!(point, Point::Pgbench { approach, .. } if repeats(approach) && major < REPEATS_SINCE)
    }

    /// Measures changes per second.
    pub async fn measure(&self, approach: Approach, load: Load, clients: u32, time: Duration) -> Result<f64, Failure> {
        let script = self.scripts.path().join("script.sql");
        let text = script_of(approach, load).map_err(Failure::Untrue)?;
        std::fs::write(&script, text).map_err(Failure::environment)?;
        let before = self.changes().await?;
        let mut command = Command::new(&self.program);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--no-vacuum", "--protocol=prepared"]);
        command.arg(format!("--client={clients}")).arg(format!("--jobs={}", THREADS.min(clients)));
        if repeats(approach) {
            command.arg(format!("--max-tries={MAX_TRIES}"));
        }
        command.arg(format!("--time={}", time.as_secs())).arg("--file").arg(&script);
        let said = environment::run(&mut command, time).await?;
        let changes = self.changes().await? - before;
        changes_per_second(approach, changes, &said).map_err(|reason| Failure::Untrue(format!("{reason}:\n{said}")))
    }

    /// Waits until the data no longer change. A server finishes requests that its clients no longer wait for, and these
    /// must not affect the next point.
    pub async fn settle(&self) -> Result<(), Failure> {
        let mut before = self.changes().await?;
        for _ in 0..SETTLE_LOOKS {
            tokio::time::sleep(SETTLE_PAUSE).await;
            let now = self.changes().await?;
            if now == before && !self.busy().await? {
                return Ok(());
            }
            before = now;
        }
        Err(Failure::Untrue("another process changes the data".to_owned()))
    }

    /// Whether a session is active: a commit may take longer than the pause between two reads.
    async fn busy(&self) -> Result<bool, Failure> {
        let busy = "select exists(select from pg_stat_activity where backend_type = 'client backend' \
                    and state <> 'idle' and pid <> pg_backend_pid())";
        sqlx::query_scalar(busy).fetch_one(&self.counter).await.map_err(Failure::environment)
    }

    /// The number of changes: every change raises its row's version by 1.
    async fn changes(&self) -> Result<i64, Failure> {
        let sum = sqlx::query_scalar("select sum(version)::bigint from users").fetch_one(&self.counter).await;
        sum.map_err(Failure::environment)
    }

    /// Closes its connection.
    pub async fn close(&self) {
        self.counter.close().await;
    }
}

fn script_of(approach: Approach, load: Load) -> Result<String, String> {
    let steps = protocol(approach).ok_or_else(|| format!("no script for {approach}"))?;
    let id = match load {
        Load::Hot => "1",
        Load::Cold => "random(1, 1000)",
        Load::Transfers => return Err("no script for transfers".to_owned()),
    };
    let class = i32::from_be_bytes(*b"clab");
    let mut script = format!("\\set id {id}\n\\set amount -2\n\\set class {class}\n");
    for step in steps {
        let line = match step {
            Begin(level) => format!("{};", level.begin().sql),
            Commit => format!("{};", COMMIT.sql),
            Send(name, variables) => format!("{};", with_variables(approach, name, variables)?),
            Read(name, variables) => format!("{} \\gset", with_variables(approach, name, variables)?),
            Decide => "\\set balance :balance + :amount".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(script, "{line}");
    }
    Ok(script)
}

/// The statement with `:name` for `$1`. The last parameter is replaced first, because `$1` is also the start of `$10`.
fn with_variables(approach: Approach, name: &str, variables: &[&str]) -> Result<String, String> {
    let statements = approach.info().statements;
    let statement = statements.iter().find(|statement| statement.name == name);
    let statement = statement.ok_or_else(|| format!("{approach} no longer has a statement {name:?}"))?;
    let numbered = variables.iter().enumerate().rev();
    let sql = numbered.fold(statement.sql.to_owned(), |sql, (index, variable)| {
        sql.replace(&format!("${}", index + 1), &format!(":{variable}"))
    });
    if sql.contains('$') {
        return Err(format!("{approach}: {name:?} has more parameters than its script gives it: {sql}"));
    }
    Ok(sql)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn changes_per_second(approach: Approach, changes: i64, said: &str) -> Result<f64, String> {
    let after = |label: &str| said.lines().find_map(|line| line.strip_prefix(label)?.split_whitespace().next());
    let transactions: i64 = after("number of transactions actually processed:")
        .and_then(|number| number.parse().ok())
        .filter(|transactions| *transactions > 0)
        .ok_or("pgbench reports no transaction count")?;
    // Without the time that connecting took, because the servers are connected before the measurement too.
    let rate: f64 = after("tps =").and_then(|rate| rate.parse().ok()).ok_or("pgbench reports no rate")?;
    if changes > transactions || (changes < transactions && approach != Approach::OptimisticVersion) {
        return Err(format!("{transactions} transactions made {changes} changes"));
    }
    Ok(rate * changes as f64 / transactions as f64)
}
