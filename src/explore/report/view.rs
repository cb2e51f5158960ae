//! What is said of an exploration in a few words: decided once, for all reports.

use std::path::Path;

use maud::Markup;

use crate::explore::findings::{
    Exploration, ExplorationVerdict, ExploreReport, SampleFigures, Servers, Subject, ViolationWitness,
};
use crate::explore::schedule::Schedule;
use crate::explore::search_order::SearchOrder;
use crate::report::figures::{counted, float, whole};
use crate::report::mark::{self, Mark};
use referee::history::ClaimedSafety;

/// From this estimate on, digits say less than an exponent.
const EXPONENT_MIN: f64 = 1e7;

/// How explorations of the same scenario differ: the approach, and under which conditions.
#[must_use]
pub fn name(subject: &Subject) -> String {
    let isolation = subject.isolation.as_ref().map(|level| format!("at {level}"));
    named(subject, isolation)
}

/// The same where a table shows the isolation level in another place.
#[must_use]
pub fn name_at_any_level(subject: &Subject) -> String {
    named(subject, None)
}

fn named(subject: &Subject, isolation: Option<String>) -> String {
    let title = subject.file.as_ref().map(|_| subject.scenario.clone());
    let approach = (!subject.approach.is_empty()).then(|| subject.approach.clone());
    let servers = subject.servers.map(|servers| servers.to_string());
    let without = subject.without.as_ref().map(|what| format!("without {what}"));
    let crash = subject.crash.map(|crash| crash.to_string());
    let parts: Vec<String> = [title, approach, servers, isolation, without, crash].into_iter().flatten().collect();
    parts.join(", ")
}

/// All of it.
#[must_use]
pub fn title(subject: &Subject) -> String {
    if subject.file.is_some() { name(subject) } else { format!("{}, {}", subject.scenario, name(subject)) }
}

/// The scenario with its number of clients; explore files are one scene.
#[must_use]
pub fn scene(subject: &Subject) -> String {
    if subject.file.is_some() {
        return "explore files".to_owned();
    }
    format!("{}, {}", subject.scenario, counted(subject.clients.into(), "client"))
}

/// Explorations of the same scenario with as many clients, in the order of the report.
#[must_use]
pub fn by_scene(report: &ExploreReport) -> Vec<(String, Vec<&Exploration>)> {
    grouped(&report.explorations.iter().collect::<Vec<_>>())
}

/// These explorations by scenario and number of clients.
#[must_use]
pub fn grouped<'a>(explorations: &[&'a Exploration]) -> Vec<(String, Vec<&'a Exploration>)> {
    let mut scenes: Vec<(String, Vec<&Exploration>)> = Vec::new();
    for exploration in explorations {
        let scene = scene(&exploration.subject);
        match scenes.iter_mut().find(|(known, _)| *known == scene) {
            Some((_, explorations)) => explorations.push(exploration),
            None => scenes.push((scene, vec![exploration])),
        }
    }
    scenes
}

/// What is wrong, each name once: that of the witness first.
#[must_use]
pub fn anomalies(exploration: &Exploration) -> Vec<&str> {
    let witnessed = exploration.witness.iter().flat_map(|witness| &witness.anomalies);
    let others = exploration.outcomes.iter().flat_map(|outcome| &outcome.anomalies);
    let mut names: Vec<&str> = Vec::new();
    for name in witnessed.chain(others) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// The verdict where there is room for it: `proved for 2 clients`, `broken: lost-update`.
#[must_use]
pub fn verdict(exploration: &Exploration) -> String {
    match exploration.verdict {
        ExplorationVerdict::Proved => {
            let limits = if exploration.limits.is_empty() { "" } else { ", within limits" };
            format!("proved for {}{limits}", counted(exploration.subject.clients.into(), "client"))
        }
        _ => short_verdict(exploration),
    }
}

/// The verdict in a cell of a matrix: what else is wrong is counted only.
#[must_use]
pub fn short_verdict(exploration: &Exploration) -> String {
    match exploration.verdict {
        ExplorationVerdict::Proved => "proved".to_owned(),
        ExplorationVerdict::Broken => match anomalies(exploration)[..] {
            [] => "broken".to_owned(),
            [only] => format!("broken: {only}"),
            [first, ref others @ ..] => format!("broken: {first} +{}", others.len()),
        },
        ExplorationVerdict::HeldSoFar => "held so far".to_owned(),
        ExplorationVerdict::Undecided => "undecided".to_owned(),
        ExplorationVerdict::DependsOnTime => "depends on time".to_owned(),
        ExplorationVerdict::NotJudged => "not judged".to_owned(),
    }
}

/// How the verdict of an exploration is shown.
#[must_use]
pub fn mark(exploration: &Exploration) -> Mark {
    Mark { contradicts: exploration.contradicts_claim(), ..mark_of(exploration.verdict) }
}

/// How a verdict is shown.
#[must_use]
pub fn mark_of(verdict: ExplorationVerdict) -> Mark {
    match verdict {
        ExplorationVerdict::Proved => Mark::GOOD,
        ExplorationVerdict::Broken => Mark::BAD,
        ExplorationVerdict::HeldSoFar => Mark::HELD,
        ExplorationVerdict::Undecided | ExplorationVerdict::DependsOnTime | ExplorationVerdict::NotJudged => {
            Mark::UNDECIDED
        }
    }
}

/// How many of which verdict, the worst first; of each, whether it contradicts its claim.
#[must_use]
pub fn verdict_counts(found: &(impl Iterator<Item = (ExplorationVerdict, bool)> + Clone)) -> Markup {
    let failed = found.clone().filter(|(_, contradicts)| *contradicts).count();
    let count = |verdict| found.clone().filter(|(other, contradicts)| *other == verdict && !contradicts).count();
    let verdicts = [
        (ExplorationVerdict::Undecided, "undecided"),
        (ExplorationVerdict::DependsOnTime, "depend on time"),
        (ExplorationVerdict::NotJudged, "not judged"),
        (ExplorationVerdict::Broken, "broken"),
        (ExplorationVerdict::HeldSoFar, "held so far"),
        (ExplorationVerdict::Proved, "proved"),
    ];
    let verdicts = verdicts.map(|(verdict, name)| (mark_of(verdict), count(verdict), name.to_owned()));
    let failed = (Mark::FAILED, failed, "CLAIM FAILED".to_owned());
    mark::verdict_counts(&[failed].into_iter().chain(verdicts).collect::<Vec<_>>())
}

/// How the claim fails, if it does.
#[must_use]
pub fn contradiction(exploration: &Exploration) -> Option<String> {
    let claim = match exploration.subject.claim {
        ClaimedSafety::Safe => "safe",
        ClaimedSafety::SafeOnOneServer => "safe on one server only",
        ClaimedSafety::Broken => "broken",
        ClaimedSafety::Unsupported => return None,
    };
    if !exploration.missed.is_empty() {
        return Some(exploration.missed.join("; "));
    }
    let found = match exploration.verdict {
        ExplorationVerdict::Proved => "no interleaving breaks it",
        _ => "an interleaving breaks it",
    };
    exploration.contradicts_claim().then(|| format!("claimed {claim}, but {found}"))
}

/// How many of its interleavings were run, as an estimate.
#[must_use]
pub fn share(exploration: &Exploration) -> String {
    let run = float(exploration.interleavings);
    let percent = 100.0 * run / exploration.estimate.max(run).max(1.0);
    if percent < 1.0 { "less than 1%".to_owned() } else { format!("about {percent:.0}%") }
}

/// How many interleavings were run, and of how many if not of all.
#[must_use]
pub fn interleavings(exploration: &Exploration) -> String {
    if exploration.complete {
        return exploration.interleavings.to_string();
    }
    let run = exploration.interleavings;
    match &exploration.sample {
        Some(SampleFigures { all_without_waits: None, mean_estimate: None, .. }) => format!("sample of {run}"),
        Some(_) => format!("sample of {run} of ~{}", rounded(exploration.estimate)),
        None => format!("{run} of ~{}", rounded(exploration.estimate.max(float(run)))),
    }
}

fn rounded(number: f64) -> String {
    if number < EXPONENT_MIN { whole(number) } else { format!("{number:.1e}") }
}

/// How many interleavings were run, in a sentence, if not all.
#[must_use]
pub fn incompleteness(exploration: &Exploration) -> Option<String> {
    if exploration.complete {
        return None;
    }
    let run = exploration.interleavings;
    let Some(sample) = &exploration.sample else {
        return Some(format!(
            "{} of the interleavings were run: the first ones, depth first, which are no sample",
            share(exploration)
        ));
    };
    let drawn = match sample.order {
        SearchOrder::Priorities => {
            "by random priorities (PCT), which favour few changes of the client, so that they estimate nothing"
        }
        _ if sample.all_without_waits.is_some() => "by independent random walks, each interleaving equally likely",
        _ => {
            "by independent random walks, not all interleavings equally likely, because some have a wait, a retry or identical clients"
        }
    };
    let all = match (sample.all_without_waits, sample.mean_estimate) {
        (Some(all), _) => format!(
            "; there are {} interleavings if none has a wait, or other steps than those of the sample (multinomial coefficient)",
            rounded(all)
        ),
        (None, Some(mean)) => format!("; the number of all is estimated at {} (mean over the walks)", rounded(mean)),
        (None, None) => String::new(),
    };
    Some(format!("a sample of {}, {} different, was run {drawn}{all}", counted(run, "interleaving"), sample.distinct))
}

/// The command line that runs one interleaving again.
#[must_use]
pub fn replay(subject: &Subject, witness: &ViolationWitness) -> String {
    command(subject, crash_option(subject, witness), "--replay", &witness.transcript.schedule)
}

/// The command line that runs a schedule.
#[must_use]
pub fn replay_of(subject: &Subject, schedule: &Schedule) -> String {
    command(subject, None, "--replay", schedule)
}

/// The options that, beside those of the exploration, run a witness again.
#[must_use]
pub fn replay_options(subject: &Subject, witness: &ViolationWitness) -> String {
    let crash = crash_option(subject, witness).map(|option| option + " ").unwrap_or_default();
    format!("{crash}--replay {}", witness.transcript.schedule)
}

fn crash_option(subject: &Subject, witness: &ViolationWitness) -> Option<String> {
    Some(subject.crash?.option(witness.crash_after?))
}

/// The command line that goes on where an exploration ended.
#[must_use]
pub fn go_on(subject: &Subject, last: &Schedule) -> String {
    command(subject, None, "--after", last)
}

fn command(subject: &Subject, crash: Option<String>, option: &str, schedule: &Schedule) -> String {
    let mut words = vec!["concurrency-lab".to_owned(), "explore".to_owned()];
    if let Some(file) = &subject.file {
        words.push(file.clone());
        // Without it, its permutations would be run.
        words.extend(is_spec(file).then(|| "--all".to_owned()));
        if !subject.approach.is_empty() {
            words.extend(["--variant".to_owned(), subject.approach.clone()]);
        }
    } else {
        words.extend([subject.scenario.clone(), "--approach".to_owned(), subject.approach.clone()]);
        words.extend(["--clients".to_owned(), subject.clients.to_string()]);
    }
    let servers = subject.servers.map(|servers| match servers {
        Servers::One => "one".to_owned(),
        Servers::Each => "each".to_owned(),
    });
    let isolation = subject.isolation.as_ref().map(|level| level.replace(' ', "-"));
    for (option, value) in [("--servers", &servers), ("--isolation", &isolation), ("--without", &subject.without)] {
        words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
    }
    words.extend(crash);
    words.extend([option.to_owned(), schedule.to_string()]);
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Whether a file is one of isolationtester's.
fn is_spec(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "spec")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::findings::CrashKind;
    use crate::explore::report::sample;

    #[test]
    fn a_command_line_is_what_a_shell_takes() {
        let broken = &sample::report().explorations[0];
        let witness = broken.witness.as_ref().unwrap();
        let schedule = &witness.transcript.schedule;
        let mut subject = sample::report().explorations[2].subject.clone();
        let line = "concurrency-lab explore last-money --approach pessimistic --clients 2 --without 'for update'";
        assert_eq!(replay(&subject, witness), format!("{line} --replay {schedule}"));
        subject.crash = Some(CrashKind::Cut);
        let crashed = ViolationWitness { crash_after: Some(2), ..witness.clone() };
        assert_eq!(replay(&subject, &crashed), format!("{line} --crash=cut:2 --replay {schedule}"));
        (subject.without, subject.servers) = (Some("it's".to_owned()), Some(Servers::Each));
        let line =
            "concurrency-lab explore last-money --approach pessimistic --clients 2 --servers each --without 'it'\\''s'";
        assert_eq!(go_on(&subject, schedule), format!("{line} --after {schedule}"));
        let variant = &sample::levels().explorations[1].subject;
        let line = "concurrency-lab explore doctors.toml --variant 'repeatable read'";
        assert_eq!(replay(variant, witness), format!("{line} --replay {schedule}"));
        let spec = Subject { file: Some("a.spec".to_owned()), approach: String::new(), ..variant.clone() };
        assert_eq!(replay(&spec, witness), format!("concurrency-lab explore a.spec --all --replay {schedule}"));
    }

    #[test]
    fn a_sample_says_how_it_was_drawn_and_of_how_many() {
        let walks = SampleFigures {
            order: SearchOrder::Walks,
            seed: 7,
            distinct: 299,
            all_without_waits: Some(420_420.0),
            mean_estimate: Some(420_420.0),
        };
        let waiting = SampleFigures { all_without_waits: None, mean_estimate: Some(1234.5), ..walks.clone() };
        let priorities = SampleFigures { order: SearchOrder::Priorities, mean_estimate: None, ..waiting.clone() };
        for (sample, estimate, cell, sentence) in [
            (
                walks,
                420_420.0,
                "sample of 300 of ~420420",
                "each interleaving equally likely; there are 420420 interleavings if none",
            ),
            (waiting, 1234.5, "sample of 300 of ~1234", "the number of all is estimated at 1234 (mean over the walks)"),
            (priorities, 0.0, "sample of 300", "by random priorities (PCT)"),
        ] {
            let mut exploration = sample::report().explorations.swap_remove(0);
            (exploration.complete, exploration.interleavings) = (false, 300);
            (exploration.sample, exploration.estimate) = (Some(sample), estimate);
            assert_eq!(interleavings(&exploration), cell);
            let found = incompleteness(&exploration).unwrap();
            assert!(
                found.contains("a sample of 300 interleavings, 299 different") && found.contains(sentence),
                "{found}"
            );
        }
    }

    #[test]
    fn an_estimate_is_told_as_far_as_it_says_something() {
        let mut exploration = sample::report().explorations[7].clone();
        assert_eq!(
            (interleavings(&exploration).as_str(), share(&exploration).as_str()),
            ("1000 of ~48620", "about 2%")
        );
        exploration.estimate = 1.23e12;
        assert_eq!(interleavings(&exploration), "1000 of ~1.2e12");
        assert_eq!(share(&exploration), "less than 1%");
        exploration.estimate = 3.0;
        assert_eq!(interleavings(&exploration), "1000 of ~1000", "an estimate is no less than what was run");
    }

    #[test]
    fn an_explore_file_is_named_by_its_title_and_an_approach_by_itself() {
        let explorations = sample::levels().explorations;
        let names = |at: usize| (name(&explorations[at].subject), name_at_any_level(&explorations[at].subject));
        let both = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(names(0), both("on-call doctors, read committed", "on-call doctors, read committed"));
        assert_eq!(names(4), both("read-committed, at read committed", "read-committed"));
    }
}
