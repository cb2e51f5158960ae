//! What is wrong at the end of an interleaving of a file.

use super::invariants::BrokenInvariant;
use super::script::NOT_SERIALIZABLE;
use crate::explore::named_ids::without_ids;
use crate::explore::run::observations::Observations;
use crate::explore::schedule::Actor;
use crate::explore::search::JudgedInterleaving;
use crate::explore::transcript::{Participant, Transcript};

/// The name of an end at which a session waits for one that has ended and still holds its locks.
pub const WAITS_FOR_EVER: &str = "waits for ever";

/// What is wrong at an end, the gravest first; nothing, to begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndJudgement {
    anomalies: Vec<String>,
    explanation: String,
}

impl EndJudgement {
    /// These invariants do not hold.
    #[must_use]
    pub fn of_invariants(broken: Vec<BrokenInvariant>) -> Self {
        let found: Vec<String> = broken.iter().map(ToString::to_string).collect();
        let explanation = match found[..] {
            [] => String::new(),
            _ => format!("in the end, an invariant does not hold: {}", found.join(", ")),
        };
        Self { anomalies: broken.into_iter().map(|broken| broken.name).collect(), explanation }
    }

    /// Some wait does not end: the gravest of all.
    pub fn add_endless_wait(&mut self, explanation: &str) {
        self.anomalies.insert(0, WAITS_FOR_EVER.to_owned());
        explanation.clone_into(&mut self.explanation);
    }

    /// No serial order explains the end.
    pub fn add_not_serializable(&mut self, why: &str) {
        self.anomalies.push(NOT_SERIALIZABLE.to_owned());
        if self.explanation.is_empty() {
            why.clone_into(&mut self.explanation);
        }
    }

    /// The interleaving that ended so, with what each client does, `A` first, and the final rows.
    #[must_use]
    pub fn of_interleaving(
        self,
        seen: Observations,
        titles: impl Iterator<Item = String>,
        after: Vec<String>,
    ) -> JudgedInterleaving {
        let part = |(client, title): (u8, String)| {
            let actor = Actor::Client(client);
            let heard = seen.heard.get(&actor).map_or(WAITS_FOR_EVER, String::as_str).to_owned();
            Participant { actor, title, heard: Some(heard) }
        };
        let parts: Vec<Participant> = (0..).zip(titles).map(part).collect();
        let mut transcript =
            Transcript { schedule: seen.schedule, parts, before: Vec::new(), entries: seen.entries, after };
        without_ids(&mut transcript);
        let outcome = transcript.outcome();
        let Self { anomalies, explanation } = self;
        JudgedInterleaving { transcript, outcome, anomalies, explanation, crash_missed: false, crash_after: None }
    }
}
