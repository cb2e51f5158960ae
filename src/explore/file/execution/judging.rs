//! What is checked at the ends of interleavings, and what a good end therefore says.

use super::ScriptExecution;
use crate::explore::file::end_judgement::WAITS_FOR_EVER;
use crate::explore::file::limits;
use crate::explore::file::script::{NOT_SERIALIZABLE, SerialCheck};
use crate::explore::file::serial_ends::SerialMismatch;

/// Why no end of a file is judged.
const NO_JUDGE: &str = "there is no invariant, and no comparison with serial orders";

impl ScriptExecution<'_> {
    /// Why nothing says whether an end is right, if that is so.
    #[must_use]
    pub fn unjudged(&self) -> Option<String> {
        let has_judge = self.serial != SerialCheck::Off || !self.script.invariants.is_empty();
        let why = || self.no_serial_orders.clone().unwrap_or_else(|| NO_JUDGE.to_owned());
        (!has_judge).then(why)
    }

    /// Whether ends are compared with those of serial orders.
    #[must_use]
    pub fn compares_serial_orders(&self) -> bool {
        self.serial != SerialCheck::Off
    }

    /// Why an end at which nothing is wrong does not say that these anomalies are gone, if that is so.
    #[must_use]
    pub fn silence_about(&self, anomalies: &[String], explanation: &str) -> Option<String> {
        let of_answers =
            explanation == SerialMismatch::ANSWERS_OF_SESSIONS && self.serial != SerialCheck::RowsAndAnswers;
        if of_answers && self.compares_serial_orders() {
            return Some("the file no longer compares the answers of the statements".to_owned());
        }
        if let Some(mistake) = self.log.mistake(&self.sessions) {
            return Some(mistake);
        }
        let not_compared = limits::not_compared(&self.serial_ends.not_compared);
        if anomalies.iter().any(|name| name == NOT_SERIALIZABLE)
            && let Some(not_compared) = not_compared
        {
            return Some(not_compared);
        }
        let is_checked = |name: &String| match name.as_str() {
            WAITS_FOR_EVER => true,
            NOT_SERIALIZABLE => self.compares_serial_orders(),
            name => self.script.invariants.iter().any(|invariant| invariant.name == name),
        };
        let unchecked = anomalies.iter().find(|name| !is_checked(name));
        let by_time = || self.by_the_clock().into_iter().next().map(|what| format!("it depends on time: {what}"));
        self.unjudged().or_else(|| unchecked.map(|name| format!("the file no longer checks {name:?}"))).or_else(by_time)
    }
}
