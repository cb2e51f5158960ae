//! The conditions of the measurement. A later reader of the numbers needs them.

use std::process::Command;
use std::time::SystemTime;

use sqlx::{Connection as _, PgConnection};

use crate::environment::BenchEnvironment;
use crate::points::CONNECTIONS;
use crate::{Failure, Options, pools, wrk};

/// Settings of PostgreSQL that determine the cost of a commit.
const SETTINGS: [&str; 4] = ["fsync", "synchronous_commit", "shared_buffers", "max_connections"];

/// The conditions, as pairs of a label and a value.
pub async fn gather(options: &Options, environment: &BenchEnvironment) -> Result<Vec<(&'static str, String)>, Failure> {
    let cores = std::thread::available_parallelism().map_or("?".to_owned(), |cores| cores.to_string());
    Ok(vec![
        ("Date", humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
        ("Commit", commit()),
        ("Machine", format!("{}, {cores} cores, {}", processor(), says("uname", &["-srm"]))),
        ("Load before the start", load()),
        ("Database", postgres(environment).await.map_err(Failure::environment)?),
        ("Tools", format!("{}; {}", environment.wrk.version(), environment.pgbench.version())),
        (
            "Method",
            format!(
                "{} rounds, {} s a point in turns of 1 s, order rotated; medians [min … max]; ratios taken by round; \
                 wrk -t{} -c{} where nothing else is said; pgbench -M prepared over the same Unix socket; pools of {} connections for {} tasks",
                options.rounds(),
                options.seconds(),
                wrk::THREADS,
                CONNECTIONS,
                pools::SIZE,
                pools::TASKS,
            ),
        ),
        (
            "Beware",
            "load, server and PostgreSQL share the machine, perhaps with others: ratios hold, absolutes do not"
                .to_owned(),
        ),
    ])
}

async fn postgres(environment: &BenchEnvironment) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&environment.connect_options()).await?;
    let mut text: String = sqlx::query_scalar("select 'PostgreSQL ' || current_setting('server_version')")
        .fetch_one(&mut connection)
        .await?;
    for name in SETTINGS {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&mut connection).await?;
        text.extend([", ", name, " ", &value]);
    }
    connection.close().await?;
    Ok(text)
}

fn commit() -> String {
    match says("git", &["rev-parse", "--short", "HEAD"]).as_str() {
        "?" => "not a git checkout".to_owned(),
        commit if says("git", &["status", "--porcelain"]).is_empty() => commit.to_owned(),
        commit => format!("{commit} and uncommitted changes"),
    }
}

fn processor() -> String {
    let linux = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    linux.unwrap_or_else(|| says("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn load() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").ok();
    let averages = averages.map(|text| text.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    averages.unwrap_or_else(|| says("uptime", &[]))
}

/// The output of a program, or "?" if it cannot run.
fn says(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(_) | Err(_) => "?".to_owned(),
    }
}
