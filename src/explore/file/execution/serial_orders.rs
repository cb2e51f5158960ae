//! The serial orders of the sessions, and the question whether an interleaving ends like one of them.

use super::ScriptExecution;
use crate::explore::error::ExploreError;
use crate::explore::file::end_judgement::WAITS_FOR_EVER;
use crate::explore::file::script::{SERIAL_SESSIONS_MAX, SerialCheck};
use crate::explore::file::serial::{End, orders};
use crate::explore::file::serial_ends::{CLOCK_STEP, SerialMismatch};
use crate::explore::new_sequence_values::SequencePositions;
use crate::explore::schedule::Actor;
use crate::explore::search::Execution as _;

/// How often serial orders are run again where chance is involved. A value of two that chance gives is then found in 31 of 32 explorations.
const RUNS_WITH_CHANCE: u32 = 5;

impl ScriptExecution<'_> {
    /// Runs all serial orders of all sessions (each session whole, one after the other) more than once: what then differs cannot be compared.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn run_serial_orders(&mut self) -> Result<(), ExploreError> {
        let all: Vec<Actor> = (0..self.clients()).map(Actor::Client).collect();
        // Of many sessions there are too many orders.
        if all.len() > SERIAL_SESSIONS_MAX {
            for _ in 0..2 {
                if let Some(end) = self.run_serially(&all).await? {
                    self.serial_ends.add(all.clone(), vec![end]);
                }
            }
            return Ok(());
        }
        self.find_serial_ends(&all).await
    }

    pub(super) async fn find_serial_ends(&mut self, sessions: &[Actor]) -> Result<(), ExploreError> {
        if self.serial_ends.knows(sessions) {
            return Ok(());
        }
        self.run_all_orders(sessions).await?;
        if self.serial == SerialCheck::Off {
            return Ok(());
        }
        let again = if self.varies.chance { RUNS_WITH_CHANCE } else { 1 };
        for _ in 0..again {
            if self.varies.clock {
                tokio::time::sleep(CLOCK_STEP).await;
            }
            self.run_all_orders(sessions).await?;
        }
        Ok(())
    }

    async fn run_all_orders(&mut self, sessions: &[Actor]) -> Result<(), ExploreError> {
        self.serial_ends.begin();
        let mut ends = Vec::new();
        for order in orders(sessions) {
            ends.extend(self.run_serially(&order).await?);
        }
        self.serial_ends.add(sessions.to_vec(), ends);
        Ok(())
    }

    /// Runs these sessions one after the other; `None` if one waits for another that has ended, where that does not matter.
    pub(super) async fn run_serially(&mut self, order: &[Actor]) -> Result<Option<End>, ExploreError> {
        let (mut runner, mut settled) = self.start(|actor| order.contains(&actor)).await?;
        for actor in order {
            while settled.is_ok() && runner.next_step(*actor).is_some() {
                settled = runner.step(*actor).await?;
            }
        }
        let seen = runner.end();
        let waits_for_ever = seen.heard.len() < self.sessions.len();
        let mut results = self.finish(waits_for_ever).await?;
        results.retain(|actor, _| order.contains(actor));
        match settled {
            Ok(()) if !waits_for_ever => {}
            _ if self.serial == SerialCheck::Off => return Ok(None),
            settled => {
                let why = settled.err().map_or_else(|| WAITS_FOR_EVER.to_owned(), |why| why.to_string());
                if self.serial_is_optional {
                    self.serial = SerialCheck::Off;
                    self.no_serial_orders =
                        Some(format!("no end is judged, because a serial order of the sessions cannot be run: {why}"));
                    return Ok(None);
                }
                return Err(ExploreError::Script(format!(
                    "a serial order of the sessions cannot be run: {why}; without serial orders, an invariant must say what is right"
                )));
            }
        }
        for (actor, result) in &results {
            self.log.add(*actor, result);
        }
        Ok(Some(End::new(&results, self.final_rows().await?.compared)))
    }

    /// Whether an end is that of a serial order of the sessions that took part. The error says what no serial order gives.
    pub(super) async fn explain(&mut self, end: &End) -> Result<Result<(), &'static str>, ExploreError> {
        let participants = end.participants();
        if self.serial != SerialCheck::Off {
            self.find_serial_ends(&participants).await?;
        }
        // It is also off from now on if one of these orders could not be run.
        if self.serial == SerialCheck::Off {
            return Ok(Ok(()));
        }
        let mut explained = self.serial_ends.explain(end, self.serial);
        if explained.is_err() && self.varies.clock && self.serial_ends.are_of_another_minute() {
            self.run_all_orders(&participants).await?;
            explained = self.serial_ends.explain(end, self.serial);
        }
        if explained.is_err()
            && let Some(positions) = &self.positions
        {
            let now = SequencePositions::read(&mut self.admin, &self.catalog.schemas).await?;
            // A column that is left out for it is named.
            explained = self.serial_ends.explain_without(end, self.serial, &now.given_since(positions)).or(explained);
        }
        Ok(explained.map_err(|mismatch| match mismatch {
            SerialMismatch::Answers => SerialMismatch::ANSWERS_OF_SESSIONS,
            SerialMismatch::Rows => "no serial order of the sessions ends like this",
        }))
    }
}
