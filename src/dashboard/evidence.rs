//! Claim beside evidence, in the few lines of a cell: decided once, for the matrix and for the page of an approach.

use maud::{Markup, html};

use super::archive::entry::{ApproachCost, ExplorationSummary};
use super::archive::evidence::{Evidence, RunEvidence};
use crate::explore::findings::{ExplorationVerdict as Proof, Servers, Subject};
use crate::explore::schedule::Schedule;
use crate::lab::results::RunVerdict;
use crate::report::figures::{counted, ms, whole};
use crate::strategy::Claim;
use charts::scale::grouped;

/// A line of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceLine {
    /// Its sign and its colour.
    pub tone: EvidenceTone,
    /// What was found.
    pub text: String,
    /// Where to see it.
    pub link: Option<String>,
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceTone {
    /// Nothing is wrong.
    Good,
    /// Something is, as claimed.
    Bad,
    /// Nobody knows.
    Open,
    /// The claim failed.
    Failed,
}

impl EvidenceTone {
    fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad | Self::Failed => "✗",
            Self::Open => "○",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Open => "open",
            Self::Failed => "verdict failed",
        }
    }
}

/// A claim in words.
#[must_use]
pub fn claim(claim: Claim) -> &'static str {
    match claim {
        Claim::Safe => "safe",
        Claim::SafeOnOneServer => "safe on one server",
        Claim::Broken => "broken",
        Claim::Unsupported => "n/a",
    }
}

/// The page of an experiment.
#[must_use]
pub fn experiment(id: &str) -> String {
    format!("/lab/runs/{id}")
}

/// Where an interleaving is played step by step; nowhere, if the player cannot make its conditions.
#[must_use]
pub fn player(subject: &Subject, schedule: &Schedule) -> Option<String> {
    let as_it_is = subject.file.is_none() && subject.isolation.is_none() && subject.without.is_none();
    if !as_it_is || subject.crash.is_some() {
        return None;
    }
    let servers = match subject.servers {
        None | Some(Servers::One) => "one",
        Some(Servers::Each) => "each",
    };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("approach", &subject.approach).append_pair("scenario", &subject.scenario);
    query.append_pair("clients", &subject.clients.to_string()).append_pair("servers", servers);
    query.append_pair("schedule", &schedule.to_string());
    Some(format!("/lab/player?{}", query.finish()))
}

/// What is wrong, as people say it.
#[must_use]
pub fn anomaly(name: &str) -> String {
    name.replace('-', " ")
}

/// The lines of a cell, the gravest first: what enumeration showed, then what load showed.
#[must_use]
pub fn lines(claim: Claim, evidence: &Evidence<'_>) -> Vec<EvidenceLine> {
    let places: &[Option<Servers>] = match claim {
        // What holds on one server and not on two is told apart.
        Claim::SafeOnOneServer => &[Some(Servers::One), Some(Servers::Each)],
        Claim::Safe | Claim::Broken | Claim::Unsupported => &[None],
    };
    let mut lines = Vec::new();
    for place in places {
        let here = |explored: &&(&str, &ExplorationSummary)| place.is_none() || explored.1.subject.servers == *place;
        let all: Vec<&(&str, &ExplorationSummary)> = evidence.explored.iter().filter(here).collect();
        let suffix = place.map(|place| format!(", {place}")).unwrap_or_default();
        lines.extend(enumerated(&all, &suffix));
    }
    lines.extend(raced(claim, &evidence.raced));
    lines
}

/// A line for each thing that explorations of one place prove. Those with a crash count where they contradict a claim.
fn enumerated(all: &[&(&str, &ExplorationSummary)], suffix: &str) -> Vec<EvidenceLine> {
    let mut lines = Vec::new();
    for (id, one) in all.iter().filter(|(_, one)| one.contradiction.is_some()) {
        let (text, link) = match one.verdict {
            Proof::Broken => broken(one),
            _ => ("every interleaving holds".to_owned(), None),
        };
        let crash = one.subject.crash.map(|crash| format!(", {crash}")).unwrap_or_default();
        let text = format!("{text}{crash} ({}{suffix})", one.subject.scenario);
        lines.push(EvidenceLine {
            tone: EvidenceTone::Failed,
            text,
            link: Some(link.unwrap_or_else(|| experiment(id))),
        });
    }
    let plain = || all.iter().filter(|(_, one)| one.contradiction.is_none() && one.subject.crash.is_none());
    let of = |proof: Proof| plain().filter(move |(_, one)| one.verdict == proof);
    // The shortest witness is the easiest to read.
    let length = |one: &ExplorationSummary| one.witness.as_ref().map_or(usize::MAX, |schedule| schedule.0.len());
    if let Some((id, one)) = of(Proof::Broken).min_by_key(|(_, one)| length(one)) {
        let (text, link) = broken(one);
        let others = of(Proof::Broken).count() - 1;
        let more = if others > 0 { format!(" (+{others} more)") } else { String::new() };
        let link = Some(link.unwrap_or_else(|| experiment(id)));
        lines.push(EvidenceLine { tone: EvidenceTone::Bad, text: format!("{text}{suffix}{more}"), link });
    }
    let groups = [
        (Proof::Undecided, EvidenceTone::Open, "undecided"),
        (Proof::HeldSoFar, EvidenceTone::Open, "held so far"),
        (Proof::Proved, EvidenceTone::Good, "proved"),
    ];
    for (proof, tone, word) in groups {
        let Some((newest, _)) = of(proof).map(|(id, one)| (*id, *one)).max_by_key(|(id, _)| *id) else { continue };
        let interleavings = of(proof).map(|(_, one)| one.interleavings).sum();
        let text = format!("{word}: {}, {}{suffix}", counted(interleavings, "interleaving"), clients(of(proof)));
        lines.push(EvidenceLine { tone, text, link: Some(experiment(newest)) });
    }
    lines
}

/// `lost update, witness AABB`, and where to play it.
fn broken(one: &ExplorationSummary) -> (String, Option<String>) {
    let name = one.anomalies.first().map_or("broken".to_owned(), |name| anomaly(name));
    match &one.witness {
        None => (name, None),
        Some(schedule) => (format!("{name}, witness {schedule}"), player(&one.subject, schedule)),
    }
}

fn clients<'a>(all: impl Iterator<Item = &'a &'a (&'a str, &'a ExplorationSummary)>) -> String {
    let mut numbers: Vec<u32> = all.map(|(_, one)| one.subject.clients).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers[..] {
        [only] => counted(only.into(), "client"),
        _ => format!("{} clients", numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ")),
    }
}

fn raced(claim: Claim, races: &[RunEvidence<'_>]) -> Vec<EvidenceLine> {
    let of = |wanted: fn(RunVerdict) -> bool| races.iter().filter(move |race| wanted(race.verdict));
    let total = races.len();
    let first = |race: Option<&RunEvidence<'_>>| race.map(|race| experiment(race.id));
    let on = |race: Option<&RunEvidence<'_>>| match race {
        Some(race) if race.servers > 1 && claim == Claim::SafeOnOneServer => format!(", on {} servers", race.servers),
        _ => String::new(),
    };
    let runs = counted(total as u64, "run");
    let share = |number: usize| if number == total { runs.clone() } else { format!("{number} of {runs}") };
    let mut lines = Vec::new();
    let broke = of(RunVerdict::is_broken).count();
    if broke > 0 {
        let failed = races.iter().find(|race| race.verdict == RunVerdict::ClaimFailed);
        let shown = failed.or_else(|| of(RunVerdict::is_broken).next());
        let tone = if failed.is_some() { EvidenceTone::Failed } else { EvidenceTone::Bad };
        lines.push(EvidenceLine { tone, text: format!("broken in {}{}", share(broke), on(shown)), link: first(shown) });
    }
    let held: fn(RunVerdict) -> bool = |verdict| matches!(verdict, RunVerdict::Correct | RunVerdict::HeldThisTime);
    let (number, newest) = (of(held).count(), of(held).next());
    // Where some broke, the others are the rest of the sum.
    if number > 0 && broke == 0 {
        let tone = if claim == Claim::Broken { EvidenceTone::Open } else { EvidenceTone::Good };
        lines.push(EvidenceLine {
            tone,
            text: format!("held in {}{}", share(number), on(newest)),
            link: first(newest),
        });
    }
    let open: fn(RunVerdict) -> bool = |verdict| matches!(verdict, RunVerdict::NoEvidence | RunVerdict::Undecided);
    let (number, newest) = (of(open).count(), of(open).next());
    if number > 0 {
        lines.push(EvidenceLine {
            tone: EvidenceTone::Open,
            text: format!("no verdict in {}", share(number)),
            link: first(newest),
        });
    }
    lines
}

/// What a cell shows.
#[must_use]
pub fn cell(of: Claim, why_not: &str, evidence: &Evidence<'_>) -> Markup {
    html! {
        @if of == Claim::Unsupported {
            p.claim.soft title=(why_not) { "n/a" span.hidden { ": " (why_not) } }
        } @else {
            p.claim { span.soft { "claim " } strong { (claim(of)) } }
            @if evidence.contradictions().is_empty() {} @else { p.shout { span.verdict.failed { "CLAIM FAILED" } } }
            ul.evidence-lines {
                @for line in lines(of, evidence) { (told(&line)) }
                @if evidence.is_empty() { li.soft { "nothing found yet" } }
            }
            @if let Some((id, cost)) = &evidence.cost { (price(id, *cost)) }
        }
    }
}

fn told(line: &EvidenceLine) -> Markup {
    let text = html! { span aria-hidden="true" { (line.tone.sign()) } " " (line.text) };
    html! {
        li class=(line.tone.class()) {
            @match &line.link { Some(link) => a href=(link) { (text) }, None => (text) }
        }
    }
}

fn price(id: &str, cost: ApproachCost) -> Markup {
    html! {
        a.cost href=(experiment(id)) {
            span.figure { (grouped(&whole(cost.rate_per_s))) } " req/s"
            span.figure { (grouped(&ms(cost.p99_us))) } " ms p99"
        }
    }
}

#[cfg(test)]
mod tests;
