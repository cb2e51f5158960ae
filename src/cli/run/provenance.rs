//! The conditions that a run records with its figures: the machine, and the options.

use std::fs;
use std::time::Duration;

use super::RunArgs;
use crate::http::environment::COMMIT;
use crate::lab::results::{Environment, RunSettings, ServerEnvironment};
use crate::lab::scenario::Scenario;

/// The machine and the program.
pub fn environment(arguments: &RunArgs, server: Option<ServerEnvironment>) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: COMMIT.map(str::to_owned),
        command_line: std::env::args().map(|argument| without_password(&argument)).collect(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        processor: processor(),
        cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        targets: arguments.target.iter().map(|url| without_password(url)).collect(),
        server,
    }
}

/// The name of the processor, if the system has it.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// An argument without the password of a URL, which a report must not show.
fn without_password(argument: &str) -> String {
    let (option, value) =
        argument.split_once('=').filter(|(option, _)| option.starts_with("--")).unwrap_or(("", argument));
    let Ok(mut url) = url::Url::parse(value) else { return argument.to_owned() };
    // libpq and sqlx also read a password from the query.
    let in_query = url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"));
    if url.password().is_none() && !in_query {
        return argument.to_owned();
    }
    if in_query {
        url.set_query(None);
    }
    if url.password().is_some() && url.set_password(Some("…")).is_err() {
        return format!("{option}=…");
    }
    if option.is_empty() { url.to_string() } else { format!("{option}={url}") }
}

/// The options, as far as the scenario uses them.
pub fn settings(arguments: &RunArgs, scenario: Scenario) -> RunSettings {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    RunSettings {
        requests: arguments.requests(scenario),
        duration_ms: arguments.duration.map(ms),
        warmup_ms: arguments.warmup.map_or(0, ms),
        repeat: arguments.repeat,
        concurrency: arguments.concurrency,
        rate_per_s: arguments.rate,
        amount: (scenario == Scenario::Withdrawal).then(|| arguments.amount()),
        hot_rows: scenario.hot_rows().map(|_| arguments.hot_rows(scenario)),
        zipf: arguments.zipf.filter(|_| scenario.hot_rows().is_some()),
        think_time_ms: arguments.think_time.map(ms),
        random_seed: arguments.random_seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        for (argument, expected) in [
            ("--target=http://127.0.0.1:3000", "--target=http://127.0.0.1:3000"),
            ("postgres://me:secret@host/db", "postgres://me:%E2%80%A6@host/db"),
            ("--database-url=postgres://me:secret@host/db", "--database-url=postgres://me:%E2%80%A6@host/db"),
            ("postgres://host/db?user=me&password=secret", "postgres://host/db"),
            ("--sweep=pool-size=2,4", "--sweep=pool-size=2,4"),
            ("withdrawal", "withdrawal"),
        ] {
            assert_eq!(without_password(argument), expected);
        }
    }
}
