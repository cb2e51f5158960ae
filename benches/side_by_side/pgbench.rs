//! The approaches' own statements, sent by pgbench: what PostgreSQL costs without a server around it.
//!
//! The SQL is taken from the approaches, so it cannot drift apart; how the statements follow each other is said here
//! again, because a script cannot call Rust. An approach whose protocol needs more than a script can say has no reference.
//!
//! What counts is what changed: rows have versions, and a compare-and-set that lost its race (optimistic-version) is a
//! transaction for pgbench, but not a change.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use concurrency_lab::database::SCHEMA;
use concurrency_lab::postgres::Endpoint;
use concurrency_lab::session::statement::{COMMIT, Isolation};
use concurrency_lab::strategy::Approach;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;
use tokio::process::Command;

use crate::points::Load;
use crate::{Failure, stage};

/// pgbench's threads; more than it has clients it refuses.
const THREADS: u32 = 2;

/// Between two looks at the data; longer than a commit on a slow disk.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// Looks until the data must have come to rest: a queue of 64 requests has long been served.
const SETTLE_LOOKS: u32 = 200;

/// A line of a script.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Commit,
    /// A statement of the approach by its name, with the variables that are its parameters; its row does not matter.
    Send(&'static str, &'static [&'static str]),
    /// The same, and the columns of its row become variables.
    Read(&'static str, &'static [&'static str]),
    /// What the application does in between: `balance := balance + amount`.
    Decide,
}

use Step::{Begin, Commit, Decide, Read, Send};

fn protocol(approach: Approach) -> Option<&'static [Step]> {
    Some(match approach {
        Approach::Naive => &[Read("read", &["id"]), Decide, Send("write", &["id", "balance"])],
        Approach::AtomicReturning => &[Send("change", &["id", "amount"])],
        Approach::Pessimistic => &[Begin, Read("lock", &["id"]), Decide, Send("write", &["id", "balance"]), Commit],
        Approach::OptimisticVersion => &[Read("read", &["id"]), Decide, Send("write", &["id", "balance", "version"])],
        Approach::AdvisoryLock => &[
            Begin,
            Send("lock", &["class", "id"]),
            Read("read", &["id"]),
            Decide,
            Send("write", &["id", "balance"]),
            Commit,
        ],
        #[allow(unreachable_patterns, reason = "approaches yet to come")]
        _ => return None,
    })
}

/// Whether there is a script for an approach.
pub fn knows(approach: Approach) -> bool {
    protocol(approach).is_some()
}

/// The program, and where it connects to.
pub struct Pgbench {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    scripts: TempDir,
    /// One connection that counts.
    counter: PgPool,
}

impl Pgbench {
    /// Nothing is started yet.
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
        Ok(Self { program, environment, scripts, counter: counter.map_err(Failure::environment)? })
    }

    /// Its name and version.
    pub async fn version(&self) -> Result<String, Failure> {
        let said = stage::run(Command::new(&self.program).arg("--version"), Duration::ZERO).await?;
        Ok(said.trim().to_owned())
    }

    /// Changes a second.
    pub async fn measure(&self, approach: Approach, load: Load, clients: u32, time: Duration) -> Result<f64, Failure> {
        let script = self.scripts.path().join("script.sql");
        let text = script_of(approach, load).map_err(Failure::Untrue)?;
        std::fs::write(&script, text).map_err(Failure::environment)?;
        let before = self.changes().await?;
        let mut command = Command::new(&self.program);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--no-vacuum", "--protocol=prepared"]);
        command.arg(format!("--client={clients}")).arg(format!("--jobs={}", THREADS.min(clients)));
        command.arg(format!("--time={}", time.as_secs())).arg("--file").arg(&script);
        let said = stage::run(&mut command, time).await?;
        let changes = self.changes().await? - before;
        changes_per_second(approach, changes, &said).map_err(|reason| Failure::Untrue(format!("{reason}:\n{said}")))
    }

    /// Waits until nothing changes any more: a server finishes what its clients no longer wait for, and the next point
    /// must not pay for it.
    pub async fn settle(&self) -> Result<(), Failure> {
        let mut before = self.changes().await?;
        for _ in 0..SETTLE_LOOKS {
            tokio::time::sleep(SETTLE_PAUSE).await;
            let now = self.changes().await?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
        Err(Failure::Untrue("something else changes the data".to_owned()))
    }

    /// Every change raises its row's version by 1.
    async fn changes(&self) -> Result<i64, Failure> {
        let sum = sqlx::query_scalar("select sum(version)::bigint from users").fetch_one(&self.counter).await;
        sum.map_err(Failure::environment)
    }

    /// Ends its connection.
    pub async fn close(&self) {
        self.counter.close().await;
    }
}

fn script_of(approach: Approach, load: Load) -> Result<String, String> {
    let steps = protocol(approach).ok_or_else(|| format!("no script for {approach}"))?;
    let id = match load {
        Load::Hot => "1",
        Load::Cold => "random(1, 1000)",
    };
    let class = i32::from_be_bytes(*b"clab");
    let mut script = format!("\\set id {id}\n\\set amount -2\n\\set class {class}\n");
    for step in steps {
        let line = match step {
            Begin => format!("{};", Isolation::ReadCommitted.begin().sql),
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

/// The statement with `:name` for `$1`. From the last one, or `$1` would be found in `$10`.
fn with_variables(approach: Approach, name: &str, variables: &[&str]) -> Result<String, String> {
    let statements = approach.card().statements;
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
        .ok_or("pgbench did nothing")?;
    // Without the time that connecting took: our servers are connected, too.
    let rate: f64 = after("tps =").and_then(|rate| rate.parse().ok()).ok_or("pgbench tells no rate")?;
    if changes > transactions || (changes < transactions && approach != Approach::OptimisticVersion) {
        return Err(format!("{transactions} transactions made {changes} changes"));
    }
    Ok(rate * changes as f64 / transactions as f64)
}
