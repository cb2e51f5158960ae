//! A claim beside its evidence, in a few lines: a cell of the matrix, and of the page of an approach.

use maud::{Markup, html};

use super::links::{experiment, player};
use crate::dashboard::model::archive::entry::{ApproachCost, ExplorationSummary};
use crate::dashboard::model::archive::evidence::{Evidence, RunEvidence};
use crate::explore::findings::{ExplorationVerdict as Proof, Servers};
use crate::lab::results::RunVerdict;
use crate::report::figures::{counted, ms, whole};
use crate::strategy::Claim;
use charts::scale::grouped;

/// A line of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceLine {
    /// Its symbol and colour.
    pub tone: EvidenceTone,
    /// The finding.
    pub text: String,
    /// The page that shows it.
    pub link: Option<String>,
}

/// How a line is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceTone {
    /// It held.
    Good,
    /// It broke, as claimed.
    Bad,
    /// It is not decided.
    Open,
    /// It contradicts the claim.
    Failed,
}

impl EvidenceTone {
    fn symbol(self) -> &'static str {
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

/// The name of an anomaly in words.
#[must_use]
pub fn anomaly(name: &str) -> String {
    name.replace('-', " ")
}

/// The lines of a cell: the explorations, then the runs, each with the gravest first.
#[must_use]
pub fn lines(claim: Claim, evidence: &Evidence<'_>) -> Vec<EvidenceLine> {
    let settings: &[Option<Servers>] = match claim {
        // The claim differs between one server and several, so each has its own lines.
        Claim::SafeOnOneServer => &[Some(Servers::One), Some(Servers::Each)],
        Claim::Safe | Claim::Broken | Claim::Unsupported => &[None],
    };
    let mut lines = Vec::new();
    for servers in settings {
        let matches =
            |explored: &&(&str, &ExplorationSummary)| servers.is_none() || explored.1.subject.servers == *servers;
        let all: Vec<&(&str, &ExplorationSummary)> = evidence.explored.iter().filter(matches).collect();
        let suffix = servers.map(|servers| format!(", {servers}")).unwrap_or_default();
        lines.extend(exploration_lines(&all, &suffix));
    }
    lines.extend(run_lines(claim, &evidence.runs));
    lines
}

/// A line for each verdict of the explorations. One with a crash counts only if it contradicts the claim.
fn exploration_lines(all: &[&(&str, &ExplorationSummary)], suffix: &str) -> Vec<EvidenceLine> {
    let mut lines = Vec::new();
    for (id, one) in all.iter().filter(|(_, one)| one.contradiction.is_some()) {
        let (text, link) = match one.verdict {
            Proof::Broken => broken(one),
            _ => ("no interleaving breaks it".to_owned(), None),
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
    // The shortest violating interleaving is the easiest to read.
    let length = |one: &ExplorationSummary| one.witness.as_ref().map_or(usize::MAX, |schedule| schedule.0.len());
    if let Some((id, one)) = of(Proof::Broken).min_by_key(|(_, one)| length(one)) {
        let (text, link) = broken(one);
        let others = of(Proof::Broken).count() - 1;
        let more = if others > 0 { format!(" (and {others} more)") } else { String::new() };
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

/// `lost update when the steps run in the order AABB`, and the link to play it.
fn broken(one: &ExplorationSummary) -> (String, Option<String>) {
    let name = one.anomalies.first().map_or("broken".to_owned(), |name| anomaly(name));
    match &one.witness {
        None => (name, None),
        Some(schedule) => {
            (format!("{name} when the steps run in the order {schedule}"), player(&one.subject, schedule))
        }
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

fn run_lines(claim: Claim, runs: &[RunEvidence<'_>]) -> Vec<EvidenceLine> {
    let of = |wanted: fn(RunVerdict) -> bool| runs.iter().filter(move |run| wanted(run.verdict));
    let total = runs.len();
    let link = |run: Option<&RunEvidence<'_>>| run.map(|run| experiment(run.id));
    let on = |run: Option<&RunEvidence<'_>>| match run {
        Some(run) if run.servers > 1 && claim == Claim::SafeOnOneServer => format!(", on {} servers", run.servers),
        _ => String::new(),
    };
    let all = counted(total as u64, "run");
    let share = |number: usize| if number == total { all.clone() } else { format!("{number} of {all}") };
    let mut lines = Vec::new();
    let broke = of(RunVerdict::is_broken).count();
    if broke > 0 {
        let failed = runs.iter().find(|run| run.verdict == RunVerdict::ClaimFailed);
        let shown = failed.or_else(|| of(RunVerdict::is_broken).next());
        let tone = if failed.is_some() { EvidenceTone::Failed } else { EvidenceTone::Bad };
        lines.push(EvidenceLine { tone, text: format!("broken in {}{}", share(broke), on(shown)), link: link(shown) });
    }
    let held: fn(RunVerdict) -> bool = |verdict| matches!(verdict, RunVerdict::Correct | RunVerdict::HeldThisTime);
    let (number, newest) = (of(held).count(), of(held).next());
    // If some broke, the others are the rest, and need no line.
    if number > 0 && broke == 0 {
        let tone = if claim == Claim::Broken { EvidenceTone::Open } else { EvidenceTone::Good };
        lines.push(EvidenceLine { tone, text: format!("held in {}{}", share(number), on(newest)), link: link(newest) });
    }
    let open: fn(RunVerdict) -> bool = |verdict| matches!(verdict, RunVerdict::NoEvidence | RunVerdict::Undecided);
    let (number, newest) = (of(open).count(), of(open).next());
    if number > 0 {
        lines.push(EvidenceLine {
            tone: EvidenceTone::Open,
            text: format!("no verdict in {}", share(number)),
            link: link(newest),
        });
    }
    lines
}

/// The content of a cell.
#[must_use]
pub fn cell(claimed: Claim, why_not: &str, evidence: &Evidence<'_>) -> Markup {
    html! {
        @if claimed == Claim::Unsupported {
            p.claim.soft title=(why_not) { "n/a" span.hidden { ": " (why_not) } }
        } @else {
            p.claim { span.soft { "claim: " } strong { (claim(claimed)) } }
            @if evidence.contradictions().is_empty() {} @else { p.claim-failed { span.verdict.failed { "CLAIM FAILED" } } }
            ul.evidence-lines {
                @for line in lines(claimed, evidence) { (item(&line)) }
                @if evidence.is_empty() { li.soft { "no evidence yet" } }
            }
            @if let Some((id, cost)) = &evidence.cost { (cost_link(id, *cost)) }
        }
    }
}

fn item(line: &EvidenceLine) -> Markup {
    let text = html! { span aria-hidden="true" { (line.tone.symbol()) } " " (line.text) };
    html! {
        li class=(line.tone.class()) {
            @match &line.link { Some(link) => a href=(link) { (text) }, None => (text) }
        }
    }
}

fn cost_link(id: &str, cost: ApproachCost) -> Markup {
    html! {
        a.cost href=(experiment(id)) {
            span.figure { (grouped(&whole(cost.rate_per_s))) } " req/s"
            span.figure { (grouped(&ms(cost.p99_us))) } " ms p99"
        }
    }
}

#[cfg(test)]
mod tests;
