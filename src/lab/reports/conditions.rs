//! What a run ran under, in words. The first two lists are what must be alike for two runs to be compared; the third is what
//! may differ, and what one usually compares: another version, another day, more rounds.

use crate::lab::results::{Run, ServerEnvironment};
use crate::report::figures::{NONE, duration};

/// A condition's name and its value.
pub type Condition = (String, String);

/// What was asked for.
#[must_use]
pub fn settings(run: &Run) -> Vec<Condition> {
    let settings = &run.settings;
    let sweep = run.sweep.as_ref().map(|sweep| format!("{} = {}", sweep.parameter, sweep.values.join(", ")));
    list([
        ("scenario", run.scenario.clone()),
        ("requests a round", maybe(settings.requests)),
        ("duration of a round", settings.duration_ms.map_or(NONE.to_owned(), duration)),
        ("warm-up", duration(settings.warmup_ms)),
        ("clients", settings.concurrency.to_string()),
        ("intended rate", settings.rate_per_s.map_or(NONE.to_owned(), |rate| format!("{rate} req/s"))),
        ("amount", maybe(settings.amount)),
        ("hot rows", maybe(settings.hot_rows)),
        ("Zipf exponent", maybe(settings.zipf)),
        ("think time", settings.think_time_ms.map_or(NONE.to_owned(), duration)),
        ("sweep", maybe(sweep)),
    ])
}

/// What it ran on.
#[must_use]
pub fn environment(run: &Run) -> Vec<Condition> {
    let environment = &run.environment;
    let servers = match environment.targets.len() {
        0 => "one, started by the run".to_owned(),
        given => format!("{given}, given by --target"),
    };
    let mut conditions = list([
        ("system", environment.system.clone()),
        ("processor", maybe(environment.processor.as_ref())),
        ("cores", environment.cores.to_string()),
        ("servers", servers),
    ]);
    if let Some(server) = &environment.server {
        conditions.extend(list([
            ("cores of the server", server.cores.to_string()),
            ("pool size", pool_size(run, server)),
            ("sessions that work on one row at most", row_sessions(server)),
            ("PostgreSQL", server.postgres.clone()),
        ]));
        let settings = server.settings.iter();
        conditions.extend(settings.map(|(name, value)| (format!("PostgreSQL setting {name}"), value.clone())));
    }
    conditions
}

/// Connections of the server's pool; what a server reports holds for the last value of a sweep only.
#[must_use]
pub fn pool_size(run: &Run, server: &ServerEnvironment) -> String {
    let swept = run.sweep.as_ref().is_some_and(|sweep| sweep.parameter == "pool-size");
    if swept { "swept".to_owned() } else { server.pool_size.to_string() }
}

fn row_sessions(server: &ServerEnvironment) -> String {
    if server.row_sessions >= server.pool_size { "no limit".to_owned() } else { server.row_sessions.to_string() }
}

/// Where it comes from.
#[must_use]
pub fn provenance(run: &Run) -> Vec<Condition> {
    let environment = &run.environment;
    let version = |version: &str, commit: Option<&String>| match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    let mut conditions = list([
        ("started", run.started.clone()),
        ("took", format!("{:.0} s", run.elapsed_s)),
        ("version", version(&environment.version, environment.commit.as_ref())),
        ("rounds", run.settings.repeat.to_string()),
        ("random seed", run.settings.random_seed.to_string()),
    ]);
    if let Some(server) = &environment.server {
        conditions.push(("version of the server".to_owned(), version(&server.version, server.commit.as_ref())));
    }
    if !environment.targets.is_empty() {
        conditions.push(("targets".to_owned(), environment.targets.join(", ")));
    }
    conditions
}

/// What was sent, in a line.
#[must_use]
pub fn summary(run: &Run) -> String {
    let rounds = run.settings.repeat;
    let rounds = (rounds > 1).then(|| format!("{rounds} rounds"));
    in_a_line(run, rounds)
}

/// The same without the number of rounds, in which runs that are compared may differ.
#[must_use]
pub fn comparable_summary(run: &Run) -> String {
    in_a_line(run, None)
}

fn in_a_line(run: &Run, rounds: Option<String>) -> String {
    let settings = &run.settings;
    let amount = settings.amount.map(|amount| format!("amount {amount}"));
    let length = match (settings.requests, settings.duration_ms) {
        (Some(requests), None) => Some(format!("{requests} requests a round")),
        (None, Some(ms)) => Some(format!("{} a round", duration(ms))),
        (Some(requests), Some(ms)) => Some(format!("{requests} requests or {} a round", duration(ms))),
        (None, None) => None,
    };
    let swept = |parameter| run.sweep.as_ref().is_some_and(|sweep| sweep.parameter == parameter);
    let clients = (!swept("concurrency")).then(|| format!("{} clients", settings.concurrency));
    let shape = match settings.rate_per_s {
        Some(rate) => format!("open loop at {rate} req/s"),
        None => "closed loop".to_owned(),
    };
    let think_time =
        settings.think_time_ms.filter(|_| !swept("think-time")).map(|ms| format!("think time {}", duration(ms)));
    let parts = [amount, length, rounds, clients, Some(shape), think_time];
    format!("{}: {}", run.scenario, parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn maybe(value: Option<impl ToString>) -> String {
    value.map_or(NONE.to_owned(), |value| value.to_string())
}

fn list<const N: usize>(conditions: [(&str, String); N]) -> Vec<Condition> {
    conditions.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::reports::sample;

    #[test]
    fn a_run_is_summed_up_in_a_line() {
        assert_eq!(summary(&sample::run()), "withdrawal: amount -2, 10s a round, 3 rounds, 256 clients, closed loop");
    }
}
