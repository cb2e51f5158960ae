//! What a page may ask for: a few of the options of `run` and `explore`, within bounds that suit a page.
//!
//! The body is read field by field, so that an error names the field of the form that is wrong.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use strum::VariantNames as _;

use crate::config::THINK_TIME_MAX;
use crate::explore;
use crate::http::answer::Rejection;
use crate::lab::scenario::Scenario;
use crate::strategy::{Approach, Claim};
use domain::Workload;

/// Requests of a round.
pub const REQUESTS: RangeInclusive<u64> = 1..=1_000_000;

/// Clients at the same time.
pub const CONCURRENCY: RangeInclusive<u64> = 1..=2_000;

/// Rounds of each approach.
pub const REPEAT: RangeInclusive<u64> = 1..=20;

/// Seconds of a round.
pub const DURATION_S: RangeInclusive<u64> = 1..=600;

/// Milliseconds of a pause before each statement that writes.
pub const THINK_TIME_MS: RangeInclusive<u64> = 0..=THINK_TIME_MAX.as_secs() * 1_000;

/// Clients of an exploration: with four it would take too long for a page.
pub const CLIENTS: RangeInclusive<u64> = 2..=3;

/// Requests of a whole run at most: about 2 GB of history.
const REQUESTS_IN_TOTAL: u64 = 10_000_000;

/// Seconds of load of a whole run at most. Longer runs are for the command line, which outlives the server.
const SECONDS_IN_TOTAL: u64 = 3_600;

/// Interleavings of an exploration at most: some minutes. Two clients have fewer; three that retry have millions.
pub const INTERLEAVINGS_MAX: u64 = 100_000;

/// The name for all scenarios, and for all approaches.
const ALL: &str = "all";

/// A request for an experiment that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentRequest {
    /// A run or an exploration.
    pub kind: ExperimentKind,
    /// Its title: `withdrawal, pessimistic`.
    pub title: String,
    /// Its settings by name, with units.
    pub settings: Vec<(&'static str, String)>,
    /// The command's arguments, without those that say where to write.
    pub arguments: Vec<String>,
}

/// What kind of experiment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExperimentKind {
    /// A run: load, judged by the referee.
    Run,
    /// An exploration of interleavings.
    Explore,
}

impl ExperimentRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 422, naming the field, its value, and what is allowed.
    pub fn read(body: Map<String, Value>) -> Result<Self, Rejection> {
        let mut fields = UnreadFields { left: body, known: vec!["kind"] };
        let request = match fields.text("kind")?.as_deref() {
            Some("run") => run(&mut fields)?,
            Some("explore") => exploration(&mut fields)?,
            found => return Err(refused("kind", found, "run or explore")),
        };
        match fields.left.keys().next() {
            Some(unknown) => Err(Rejection::invalid(format!(
                "{unknown}: there is no such field for {}; there are {}",
                if request.kind == ExperimentKind::Run { "a run" } else { "an exploration" },
                fields.known.join(", ")
            ))),
            None => Ok(request),
        }
    }

    /// Its name in a sentence: `the run withdrawal, pessimistic`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            ExperimentKind::Run => format!("the run {}", self.title),
            ExperimentKind::Explore => format!("the exploration {}", self.title),
        }
    }
}

fn run(fields: &mut UnreadFields) -> Result<ExperimentRequest, Rejection> {
    let name = fields.text("scenario")?;
    let scenario: Scenario = name
        .as_deref()
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| refused("scenario", name.as_deref(), &Scenario::VARIANTS.join(", ")))?;
    let approaches = fields.approaches()?;
    check_offered(&approaches, scenario.workload(), scenario.into())?;
    let requests = fields.number("requests", &REQUESTS)?;
    let concurrency = fields.number("concurrency", &CONCURRENCY)?.unwrap_or(256);
    let repeat = fields.number("repeat", &REPEAT)?.unwrap_or(1);
    let think_time = fields.number("thinkTimeMs", &THINK_TIME_MS)?.filter(|ms| *ms > 0);
    let duration = fields.number("durationS", &DURATION_S)?;
    let rounds =
        repeat * if approaches.is_empty() { offering_count(scenario.workload()) } else { approaches.len() as u64 };
    let per_round = requests.or_else(|| duration.is_none().then(|| scenario.default_requests()));
    if let Some(per_round) = per_round.filter(|requests| requests * rounds > REQUESTS_IN_TOTAL) {
        return Err(Rejection::invalid(format!(
            "requests: {per_round} in each of {rounds} rounds are {} in total; expected at most {REQUESTS_IN_TOTAL}",
            per_round * rounds
        )));
    }
    if let Some(seconds) = duration.filter(|seconds| seconds * rounds > SECONDS_IN_TOTAL) {
        return Err(Rejection::invalid(format!(
            "durationS: {seconds} s in each of {rounds} rounds are {} s in total; expected at most {SECONDS_IN_TOTAL} s",
            seconds * rounds
        )));
    }
    // A round that ends by time is also bounded by number, because the referee reads its whole history into memory.
    let bound = duration.map(|_| (*REQUESTS.end()).min(REQUESTS_IN_TOTAL / rounds));
    let mut arguments = vec!["run".to_owned(), scenario.to_string(), approach_argument(&approaches)];
    arguments.push(format!("--concurrency={concurrency}"));
    arguments.push(format!("--repeat={repeat}"));
    arguments.extend(requests.or(bound).map(|requests| format!("--requests={requests}")));
    arguments.extend(think_time.map(|ms| format!("--think-time={ms}ms")));
    arguments.extend(duration.map(|seconds| format!("--duration={seconds}s")));
    let mut settings = vec![("approaches", names(&approaches))];
    settings.extend(per_round.map(|requests| ("requests per round", requests.to_string())));
    settings
        .extend(bound.filter(|_| requests.is_none()).map(|bound| ("requests per round", format!("at most {bound}"))));
    settings.extend(duration.map(|seconds| ("duration of a round", format!("{seconds} s"))));
    settings.push(("clients", concurrency.to_string()));
    settings.push(("rounds per approach", repeat.to_string()));
    settings.extend(think_time.map(|ms| ("think time before writes", format!("{ms} ms"))));
    Ok(ExperimentRequest { kind: ExperimentKind::Run, title: title(scenario.into(), &approaches), settings, arguments })
}

fn exploration(fields: &mut UnreadFields) -> Result<ExperimentRequest, Rejection> {
    let name = fields.text("scenario")?;
    let scenarios = || format!("{ALL}, {}", explore::scenario::ExploreScenario::VARIANTS.join(", "));
    let scenario: Option<explore::scenario::ExploreScenario> = match name.as_deref() {
        Some(ALL) => None,
        Some(name) => Some(name.parse().map_err(|_| refused("scenario", Some(name), &scenarios()))?),
        None => return Err(refused("scenario", None, &scenarios())),
    };
    let approaches = fields.approaches()?;
    if let Some(scenario) = scenario {
        check_offered(&approaches, scenario.workload(), scenario.into())?;
    }
    let clients = fields.number("clients", &CLIENTS)?.unwrap_or(2);
    let reduce = fields.flag("reduce")?.unwrap_or(false);
    let mut arguments = vec!["explore".to_owned()];
    arguments.extend(scenario.map(|scenario| scenario.to_string()));
    arguments.push(approach_argument(&approaches));
    arguments.push(format!("--clients={clients}"));
    arguments.push(format!("--limit={INTERLEAVINGS_MAX}"));
    arguments.extend(reduce.then(|| "--reduce".to_owned()));
    let settings = vec![
        ("approaches", names(&approaches)),
        ("clients", clients.to_string()),
        ("equivalent interleavings", if reduce { "skipped" } else { "included" }.to_owned()),
    ];
    let scenario = scenario.map_or("all scenarios", Into::into);
    Ok(ExperimentRequest { kind: ExperimentKind::Explore, title: title(scenario, &approaches), settings, arguments })
}

/// The fields that are not read yet, and the names of the fields that exist.
struct UnreadFields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl UnreadFields {
    /// Takes a field; `null` counts as missing.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, Rejection> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(refused(name, Some(&other.to_string()), "a text")),
        }
    }

    fn number(&mut self, name: &'static str, allowed: &RangeInclusive<u64>) -> Result<Option<u64>, Rejection> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| allowed.contains(number));
        let allowed = || format!("a whole number from {} to {}", allowed.start(), allowed.end());
        Ok(Some(number.ok_or_else(|| refused(name, Some(&value.to_string()), &allowed()))?))
    }

    fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Rejection> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(refused(name, Some(&other.to_string()), "true or false")),
        }
    }

    /// The distinct approaches; an empty list means all.
    fn approaches(&mut self) -> Result<Vec<Approach>, Rejection> {
        let names = match self.take("approaches") {
            None => return Ok(Vec::new()),
            Some(Value::Array(names)) => names,
            Some(other) => return Err(refused("approaches", Some(&other.to_string()), "a list of names")),
        };
        let mut approaches = Vec::new();
        for name in names {
            let found = name.as_str().and_then(Approach::find);
            let approach =
                found.ok_or_else(|| refused("approaches", Some(&name.to_string()), &Approach::VARIANTS.join(", ")))?;
            if !approaches.contains(&approach) {
                approaches.push(approach);
            }
        }
        Ok(approaches)
    }
}

fn refused(field: &str, found: Option<&str>, allowed: &str) -> Rejection {
    Rejection::invalid(match found {
        // A long value is repeated by its beginning only.
        Some(found) => format!("{field}: expected {allowed}; found {}", found.chars().take(80).collect::<String>()),
        None => format!("{field}: missing; expected {allowed}"),
    })
}

fn offers(approach: Approach, workload: Workload) -> bool {
    approach.info().claims.of(workload) != Claim::Unsupported
}

fn offering_count(workload: Workload) -> u64 {
    <Approach as strum::IntoEnumIterator>::iter().filter(|approach| offers(*approach, workload)).count() as u64
}

/// Checks that each named approach offers the scenario.
fn check_offered(approaches: &[Approach], workload: Workload, scenario: &str) -> Result<(), Rejection> {
    let Some(lacking) = approaches.iter().find(|approach| !offers(**approach, workload)) else { return Ok(()) };
    let offering = <Approach as strum::IntoEnumIterator>::iter().filter(|approach| offers(*approach, workload));
    Err(Rejection::invalid(format!(
        "approaches: {lacking} does not offer {scenario}; those that do are {}",
        offering.map(Approach::name).collect::<Vec<_>>().join(", ")
    )))
}

fn approach_argument(approaches: &[Approach]) -> String {
    let names: Vec<&str> = approaches.iter().map(|approach| approach.name()).collect();
    format!("--approach={}", if names.is_empty() { ALL.to_owned() } else { names.join(",") })
}

fn names(approaches: &[Approach]) -> String {
    if approaches.is_empty() {
        return ALL.to_owned();
    }
    approaches.iter().map(|approach| approach.name()).collect::<Vec<_>>().join(", ")
}

fn title(scenario: &str, approaches: &[Approach]) -> String {
    match approaches {
        [] => format!("{scenario}, all approaches"),
        [one] => format!("{scenario}, {one}"),
        several => format!("{scenario}, {} approaches", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<ExperimentRequest, String> {
        let Value::Object(fields) = body else { panic!("the body of a test is an object") };
        ExperimentRequest::read(fields).map_err(|refused| {
            assert_eq!(refused.status, 422);
            refused.message
        })
    }

    #[test]
    fn a_refusal_names_the_field_its_value_and_what_is_allowed() {
        let run = |field: &str, value: Value| json!({"kind": "run", "scenario": "withdrawal", field: value});
        let table = [
            (json!({}), "kind: missing; expected run or explore"),
            (json!({"kind": "race"}), "kind: expected run or explore; found race"),
            (json!({"kind": 1}), "kind: expected a text; found 1"),
            (json!({"kind": "run"}), "scenario: missing; expected withdrawal, mixed"),
            (json!({"kind": "run", "scenario": "all"}), "scenario: expected withdrawal, mixed"),
            (json!({"kind": "explore", "scenario": "withdrawal"}), "scenario: expected all, last-money"),
            (run("requests", json!(0)), "requests: expected a whole number from 1 to 1000000; found 0"),
            (run("requests", json!("10")), "requests: expected a whole number from 1 to 1000000; found \"10\""),
            (run("requests", json!(2.5)), "found 2.5"),
            (run("concurrency", json!(2_001)), "concurrency: expected a whole number from 1 to 2000; found 2001"),
            (run("repeat", json!(-1)), "repeat: expected a whole number from 1 to 20; found -1"),
            (run("thinkTimeMs", json!(1_001)), "thinkTimeMs: expected a whole number from 0 to 1000"),
            (run("durationS", json!(601)), "durationS: expected a whole number from 1 to 600"),
            (run("approaches", json!("naive")), "approaches: expected a list of names; found \"naive\""),
            (run("approaches", json!(["naiv"])), "approaches: expected naive, read-committed"),
            (
                run("approaches", json!(["unique-constraint"])),
                "unique-constraint does not offer withdrawal; those that do are naive",
            ),
            (run("approaches", json!(["--target=http://example.org"])), "approaches: expected naive"),
            (
                run("target", json!("http://example.org")),
                "target: there is no such field for a run; there are kind, scenario",
            ),
            (run("clients", json!(2)), "clients: there is no such field for a run"),
            (
                json!({"kind": "explore", "scenario": "all", "clients": 4}),
                "clients: expected a whole number from 2 to 3; found 4",
            ),
            (json!({"kind": "explore", "scenario": "all", "reduce": "yes"}), "reduce: expected true or false"),
            (
                json!({"kind": "explore", "scenario": "increments", "approaches": ["check-constraint"]}),
                "check-constraint does not offer increments",
            ),
            (
                json!({"kind": "run", "scenario": "withdrawal", "requests": 1_000_000, "repeat": 2}),
                "requests: 1000000 in each of 24 rounds are 24000000 in total; expected at most 10000000",
            ),
            (
                json!({"kind": "run", "scenario": "withdrawal", "durationS": 600}),
                "durationS: 600 s in each of 12 rounds are 7200 s in total; expected at most 3600 s",
            ),
        ];
        for (body, expected) in table {
            let found = read(body.clone()).expect_err(&body.to_string());
            assert!(found.contains(expected), "{body}: {found}");
        }
    }
}
