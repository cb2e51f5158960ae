//! What requests did after a history of answers, learnt from all interleavings. So a replay need not guess from elapsed time whether an
//! application has sent all that it sends now.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// What a request was answered so far.
pub type RequestHistory = Vec<HistoryStep>;

/// A step and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryStep {
    /// The step without its literals, and its command tag or SQLSTATE.
    pub step: String,
    /// A number that tells rows with different values apart, because what an application does next may depend on them.
    pub rows: u64,
}

/// A request, by its place in the file, after a history.
pub type RequestPosition = (usize, RequestHistory);

/// Where all requests are.
pub type AllPositions = Vec<RequestPosition>;

/// How long a request gets that does something new, or nothing at all.
pub const NEW_REACTION: Duration = Duration::from_millis(50);

/// How long a request gets that has done the same before, and at another time more than that.
const LARGER_REACTION: Duration = Duration::from_millis(25);

/// How long a request must be silent where it was not before, until it counts as waiting inside the application.
const NEW_SILENCE: Duration = Duration::from_millis(300);

/// The same where it was known to wait. The slowest known reaction counts four times.
const KNOWN_SILENCE: Duration = Duration::from_millis(30);

/// What a request does at a position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestReaction {
    /// The texts of the steps that it sends at once, sorted.
    pub sent: Vec<String>,
    /// Whether it was answered.
    pub answered: bool,
}

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Reactions {
    known: HashMap<RequestPosition, BTreeSet<RequestReaction>>,
    /// All texts that a request has sent after these steps, whatever their rows were; those that are no steps too. None where it was answered.
    texts: HashMap<(usize, Vec<String>), BTreeSet<String>>,
    slowest: HashMap<RequestPosition, Duration>,
    /// A request was silent while all were there.
    silent: HashSet<(usize, AllPositions)>,
}

/// Whether a text is what a request sends at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It has sent it there before.
    Yes,
    /// It has sent other texts there, and never this one.
    No,
    /// It was never there.
    Unknown,
}

impl Reactions {
    /// How long a request that has done so much must be silent until this is all. Zero if that is known.
    #[must_use]
    pub fn time_for_more(&self, position: &RequestPosition, now: &RequestReaction) -> Duration {
        let Some(known) = self.known.get(position).filter(|known| known.contains(now)) else { return NEW_REACTION };
        // The answer of a request that stands at a step changes nothing.
        let goes_on = |other: &RequestReaction| other.sent != now.sent && other.contains(now);
        let answers = |other: &RequestReaction| now.sent.is_empty() && other != now && other.contains(now);
        if known.iter().any(|other| goes_on(other) || answers(other)) { LARGER_REACTION } else { Duration::ZERO }
    }

    /// This was all, after so much time.
    pub fn learn(&mut self, position: RequestPosition, reaction: RequestReaction, after: Duration) {
        let slowest = self.slowest.entry(position.clone()).or_default();
        *slowest = after.max(*slowest);
        self.texts.entry(steps(&position)).or_default();
        self.known.entry(position).or_default().insert(reaction);
    }

    /// A request has sent a text.
    pub fn sent(&mut self, position: &RequestPosition, text: &str) {
        self.texts.entry(steps(position)).or_default().insert(text.to_owned());
    }

    /// Whether a text is what a request sends at a position.
    #[must_use]
    pub fn fit(&self, position: &RequestPosition, text: &str) -> Fit {
        match self.texts.get(&steps(position)) {
            Some(texts) if texts.contains(text) => Fit::Yes,
            Some(_) => Fit::No,
            None => Fit::Unknown,
        }
    }

    /// How long a request must be silent until it counts as waiting inside the application.
    #[must_use]
    pub fn silence(&self, request: usize, all: &AllPositions, position: &RequestPosition) -> Duration {
        let slowest = self.slowest.get(position).copied();
        match slowest {
            Some(slowest) if self.silent.contains(&(request, all.clone())) => slowest * 4 + KNOWN_SILENCE,
            slowest => NEW_SILENCE.max(slowest.unwrap_or_default() * 5),
        }
    }

    /// A request was silent for that long.
    pub fn was_silent(&mut self, request: usize, all: AllPositions) {
        self.silent.insert((request, all));
    }
}

/// A position without the rows that were read.
fn steps((request, history): &RequestPosition) -> (usize, Vec<String>) {
    (*request, history.iter().map(|step| step.step.clone()).collect())
}

impl RequestReaction {
    /// Whether it has all of another one.
    fn contains(&self, other: &Self) -> bool {
        let mut left = self.sent.clone();
        let has = |text: &String| left.iter().position(|own| own == text).map(|at| left.swap_remove(at)).is_some();
        other.sent.iter().all(has) && (self.answered || !other.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(sent: &[&str], answered: bool) -> RequestReaction {
        RequestReaction { sent: sent.iter().map(|text| (*text).to_owned()).collect(), answered }
    }

    fn at(history: &[&str]) -> RequestPosition {
        (0, history.iter().map(|step| HistoryStep { step: (*step).to_owned(), rows: 0 }).collect())
    }

    #[test]
    fn a_known_reaction_needs_no_time_and_one_that_may_grow_some() {
        let mut reactions = Reactions::default();
        let first = at(&[]);
        assert_eq!(reactions.time_for_more(&first, &reaction(&["read"], false)), NEW_REACTION);
        reactions.learn(first.clone(), reaction(&["read"], false), Duration::ZERO);
        assert_eq!(reactions.time_for_more(&first, &reaction(&["read"], false)), Duration::ZERO);
        assert_eq!(reactions.time_for_more(&first, &reaction(&[], true)), NEW_REACTION);
        reactions.learn(first.clone(), reaction(&["count", "read"], false), Duration::ZERO);
        for (now, expected) in [
            (reaction(&["read"], false), LARGER_REACTION),
            (reaction(&["count", "read"], false), Duration::ZERO),
            (reaction(&["count"], false), NEW_REACTION),
        ] {
            assert_eq!(reactions.time_for_more(&first, &now), expected, "{now:?}");
        }
        // An application that answers first and writes later.
        let second = at(&["read: SELECT 1"]);
        reactions.learn(second.clone(), reaction(&["write"], true), Duration::ZERO);
        reactions.learn(second.clone(), reaction(&["write"], false), Duration::ZERO);
        reactions.learn(second.clone(), reaction(&[], true), Duration::ZERO);
        assert_eq!(reactions.time_for_more(&second, &reaction(&["write"], false)), Duration::ZERO);
        assert_eq!(reactions.time_for_more(&second, &reaction(&[], true)), LARGER_REACTION);
    }

    #[test]
    fn a_text_fits_where_it_was_sent_before() {
        let mut reactions = Reactions::default();
        assert_eq!(reactions.fit(&at(&[]), "read"), Fit::Unknown);
        reactions.sent(&at(&[]), "read");
        assert_eq!((reactions.fit(&at(&[]), "read"), reactions.fit(&at(&[]), "write")), (Fit::Yes, Fit::No));
        reactions.learn(at(&["read"]), reaction(&[], true), Duration::ZERO);
        assert_eq!(reactions.fit(&at(&["read"]), "write"), Fit::No);
    }

    #[test]
    fn a_known_silence_is_shorter_and_follows_the_slowest_reaction() {
        let mut reactions = Reactions::default();
        let (position, all) = (at(&[]), vec![at(&[])]);
        assert_eq!(reactions.silence(0, &all, &position), NEW_SILENCE);
        reactions.learn(position.clone(), reaction(&["read"], false), Duration::from_millis(100));
        assert_eq!(reactions.silence(0, &all, &position), Duration::from_millis(500));
        reactions.was_silent(0, all.clone());
        assert_eq!(reactions.silence(0, &all, &position), Duration::from_millis(430));
    }
}
