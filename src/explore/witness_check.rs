//! A witness of an earlier report, replayed: is it still broken?
//!
//! A schedule alone says little: after a change of the SQL the same letters are another interleaving. So the replay is compared with the
//! transcript of the report, and its end is called mended only if each session has sent the same statements. A session that fails
//! now and did not before sends others from there on (`rollback`, a new attempt), which is no change of its statements.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::Display;

use super::findings::{ExploreVersions, Subject, ViolationWitness};
use super::schedule::{Actor, Schedule};
use super::search::JudgedInterleaving;
use super::transcript::{StepOutcome, Transcript, TranscriptStep};
use crate::report::figures::counted;

/// The version of the JSON format. It is raised when a reader of the version before would misread the new one.
pub const FORMAT: u32 = 1;

/// The replays of the witnesses of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessReport {
    /// [`FORMAT`].
    pub format: u32,
    /// The report, as its path was given.
    pub report: String,
    /// The versions with which the witnesses were replayed.
    pub versions: ExploreVersions,
    /// The witnesses, in the order of the report.
    pub witnesses: Vec<WitnessReplay>,
}

/// The replay of a witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessReplay {
    /// What was explored.
    pub subject: Subject,
    /// The schedule of the witness.
    pub schedule: Schedule,
    /// What was wrong in the report.
    pub reported: Vec<String>,
    /// What the replay shows.
    pub verdict: WitnessVerdict,
    /// Why, in a sentence.
    pub why: String,
    /// What is wrong now.
    pub anomalies: Vec<String>,
    /// What is wrong now, in a sentence.
    pub explanation: String,
    /// What happened now. Missing if the schedule could not be followed.
    pub transcript: Option<Transcript>,
}

/// What the replay of a witness shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessVerdict {
    /// The same is wrong as in the report.
    #[strum(serialize = "still broken")]
    StillBroken,
    /// Something else is wrong.
    #[strum(serialize = "broken in another way")]
    BrokenOtherwise,
    /// The sessions sent the same statements, and nothing is wrong at the end.
    #[strum(serialize = "mended")]
    Mended,
    /// Nothing is wrong, but the sessions sent other statements than in the report. Only a new exploration can say what is true of them.
    #[strum(serialize = "other statements")]
    OtherStatements,
    /// The schedule names a session that waits.
    #[strum(serialize = "cannot be followed")]
    NotFollowed,
    /// Nothing is wrong, but what the report calls wrong is not checked any more.
    #[strum(serialize = "not judged")]
    NotJudged,
}

impl WitnessVerdict {
    /// Whether something is wrong.
    #[must_use]
    pub fn is_broken(self) -> bool {
        matches!(self, Self::StillBroken | Self::BrokenOtherwise)
    }
}

impl WitnessReplay {
    /// The replay of a witness whose end was judged. `silence` says why a good end would say nothing, if that is so.
    #[must_use]
    pub fn of(
        subject: Subject,
        witness: &ViolationWitness,
        judged: JudgedInterleaving,
        silence: Option<String>,
    ) -> Self {
        let (before, now) = (&witness.transcript.entries, &judged.transcript.entries);
        let other = other_statement(before, now);
        let (verdict, why) = if !judged.anomalies.is_empty() {
            let statements = other.map(|what| format!(", with other statements: {what}")).unwrap_or_default();
            if sorted(&judged.anomalies) == sorted(&witness.anomalies) {
                (WitnessVerdict::StillBroken, format!("the end of this interleaving is wrong as before{statements}"))
            } else {
                let found = judged.anomalies.join(", ");
                (WitnessVerdict::BrokenOtherwise, format!("the end of this interleaving is wrong: {found}{statements}"))
            }
        } else if let Some(what) = other {
            (WitnessVerdict::OtherStatements, format!("{what}; explore it again"))
        } else if judged.crash_missed {
            (WitnessVerdict::OtherStatements, "the crash does not happen any more; explore it again".to_owned())
        } else if let Some(why) = silence {
            (WitnessVerdict::NotJudged, why)
        } else {
            let answer = other_answer(before, now).unwrap_or_else(|| "all answers are as before".to_owned());
            (WitnessVerdict::Mended, format!("nothing is wrong at the end of this interleaving; {answer}"))
        };
        Self {
            subject,
            schedule: witness.transcript.schedule.clone(),
            reported: witness.anomalies.clone(),
            verdict,
            why,
            anomalies: judged.anomalies,
            explanation: judged.explanation,
            transcript: Some(judged.transcript),
        }
    }

    /// The replay of a witness whose schedule could not be followed.
    #[must_use]
    pub fn not_followed(subject: Subject, witness: &ViolationWitness, why: &str) -> Self {
        Self {
            subject,
            schedule: witness.transcript.schedule.clone(),
            reported: witness.anomalies.clone(),
            verdict: WitnessVerdict::NotFollowed,
            why: format!("{why}; explore it again"),
            anomalies: Vec::new(),
            explanation: String::new(),
            transcript: None,
        }
    }
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names
}

/// The first statement of a session that is another one than before, or is missing, in a sentence.
fn other_statement(before: &[TranscriptStep], now: &[TranscriptStep]) -> Option<String> {
    let mut actors: Vec<Actor> = before.iter().chain(now).map(|step| step.actor).collect();
    actors.sort();
    actors.dedup();
    actors.into_iter().find_map(|actor| {
        let of = |steps: &'_ [TranscriptStep]| steps.iter().filter(|step| step.actor == actor).cloned().collect();
        let (before, now): (Vec<TranscriptStep>, Vec<TranscriptStep>) = (of(before), of(now));
        for number in 0..before.len().max(now.len()) {
            // Spaces mean nothing: `--without` may leave one.
            let words = |sql: &str| sql.split_whitespace().collect::<Vec<_>>().join(" ");
            let sent = |step: &TranscriptStep| (step.name.clone(), words(&step.sql), step.values.clone());
            let (then, today) = (before.get(number), now.get(number));
            if then.map(sent) == today.map(sent) {
                if then.zip(today).is_some_and(|(then, today)| fails_now(then, today)) {
                    return None;
                }
                continue;
            }
            let step = number + 1;
            return Some(match (then, today) {
                (Some(_), None) | (None, _) => {
                    format!("{actor} takes {} instead of {}", counted(now.len() as u64, "step"), before.len())
                }
                (Some(then), Some(today)) if then.name != today.name => {
                    format!("step {step} of {actor} is {:?} instead of {:?}", today.name, then.name)
                }
                _ => format!("step {step} of {actor} ({}) sends other SQL or other values", then?.name),
            });
        }
        None
    })
}

/// Whether a statement fails otherwise than before.
fn fails_now(before: &TranscriptStep, now: &TranscriptStep) -> bool {
    matches!(now.outcome, StepOutcome::Error { .. }) && now.outcome != before.outcome
}

/// The first step with another answer than before, in a sentence.
fn other_answer(before: &[TranscriptStep], now: &[TranscriptStep]) -> Option<String> {
    let (number, now) = (1..).zip(now).find(|(number, now)| {
        let then = before.get(number - 1);
        then.is_none_or(|then| (&then.outcome, &then.wait) != (&now.outcome, &now.wait))
    })?;
    let answer = match &now.outcome {
        StepOutcome::Error { sqlstate: Some(sqlstate), message } => format!("ERROR {sqlstate}: {message}"),
        _ => "another answer than before".to_owned(),
    };
    Some(format!("since step {number} ({} of {}): {answer}", now.name, now.actor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::transcript::Participant;
    use referee::history::ClaimedSafety;

    type StepsChange = fn(&mut Vec<TranscriptStep>);

    fn witness() -> (Subject, ViolationWitness) {
        let subject = Subject {
            scenario: "last money".to_owned(),
            approach: String::new(),
            file: Some("money.toml".to_owned()),
            clients: 2,
            servers: None,
            isolation: None,
            without: None,
            crash: None,
            claim: ClaimedSafety::Broken,
        };
        let step = |client, name: &str| TranscriptStep {
            actor: Actor::Client(client),
            name: name.to_owned(),
            sql: format!("{name} it"),
            values: Vec::new(),
            wait: None,
            returned_with: None,
            outcome: StepOutcome::Done,
            notices: Vec::new(),
            ended: None,
        };
        let entries = vec![step(0, "read"), step(1, "read"), step(1, "write"), step(0, "write")];
        let transcript = Transcript {
            schedule: Schedule(entries.iter().map(|entry| entry.actor).collect()),
            parts: Vec::<Participant>::new(),
            before: Vec::new(),
            entries,
            after: Vec::new(),
        };
        let anomalies = ["lost-update", "overdraft"].map(str::to_owned).to_vec();
        (subject, ViolationWitness { anomalies, explanation: String::new(), crash_after: None, transcript })
    }

    /// The replay of the witness after a change of what happens.
    fn replayed(change: impl FnOnce(&mut JudgedInterleaving), silence: Option<&str>) -> (WitnessVerdict, String) {
        let (subject, witness) = witness();
        let mut judged = JudgedInterleaving {
            transcript: witness.transcript.clone(),
            outcome: Vec::new(),
            anomalies: witness.anomalies.clone(),
            explanation: witness.explanation.clone(),
            crash_missed: false,
            crash_after: None,
        };
        change(&mut judged);
        let replay = WitnessReplay::of(subject, &witness, judged, silence.map(str::to_owned));
        (replay.verdict, replay.why)
    }

    #[test]
    fn a_broken_end_is_broken_whatever_the_statements_are() {
        assert_eq!(replayed(|_| {}, Some("no judge")).0, WitnessVerdict::StillBroken);
        assert_eq!(replayed(|judged| judged.anomalies.reverse(), None).0, WitnessVerdict::StillBroken);
        let (verdict, why) = replayed(
            |judged| {
                judged.anomalies = vec!["oversell".to_owned()];
                judged.transcript.entries[1].sql.push_str(" for update");
            },
            None,
        );
        assert_eq!(verdict, WitnessVerdict::BrokenOtherwise);
        assert!(why.contains("oversell, with other statements: step 1 of B"), "{why}");
    }

    #[test]
    fn an_end_is_mended_only_if_the_statements_are_the_same_and_it_is_still_judged() {
        let good = |judged: &mut JudgedInterleaving| judged.anomalies.clear();
        assert_eq!(replayed(good, None).0, WitnessVerdict::Mended);
        let silent = replayed(good, Some("the file no longer checks \"sum\""));
        assert_eq!(silent, (WitnessVerdict::NotJudged, "the file no longer checks \"sum\"".to_owned()));
        let missed = |judged: &mut JudgedInterleaving| {
            judged.anomalies.clear();
            judged.crash_missed = true;
        };
        assert_eq!(replayed(missed, None).0, WitnessVerdict::OtherStatements);
        let changes: [(&str, StepsChange); 4] = [
            ("step 1 of B (read) sends other SQL or other values", |steps| steps[1].sql.push_str(" for update")),
            ("step 1 of A is \"look\" instead of \"read\"", |steps| steps[0].name = "look".to_owned()),
            ("A takes 1 step instead of 2", |steps| drop(steps.pop())),
            ("B takes 3 steps instead of 2", |steps| steps.push(steps[1].clone())),
        ];
        for (expected, change) in changes {
            let (verdict, why) = replayed(
                |judged| {
                    judged.anomalies.clear();
                    change(&mut judged.transcript.entries);
                },
                None,
            );
            assert_eq!(verdict, WitnessVerdict::OtherStatements, "{why}");
            assert!(why.starts_with(expected), "{why}");
        }
    }

    #[test]
    fn what_a_session_sends_after_a_new_error_is_no_change_of_its_statements() {
        let refuse = |judged: &mut JudgedInterleaving| {
            judged.anomalies.clear();
            let steps = &mut judged.transcript.entries;
            let failed = steps.iter().rposition(|step| step.actor == steps[2].actor).unwrap();
            steps[failed].outcome =
                StepOutcome::Error { sqlstate: Some("23514".to_owned()), message: "violates check".to_owned() };
            let rollback = TranscriptStep { name: "rollback".to_owned(), ..steps[failed].clone() };
            steps.insert(failed + 1, rollback);
        };
        let (verdict, why) = replayed(refuse, None);
        assert_eq!(verdict, WitnessVerdict::Mended, "{why}");
        assert!(why.contains("ERROR 23514: violates check"), "{why}");
    }
}
