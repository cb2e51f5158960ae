//! Commands one after the other: what each does alone, the rules of the steps that follow from it, and the ends of the serial orders.

use std::collections::BTreeMap;

use super::CommandExecution;
use crate::explore::app::command_record::CommandEnd;
use crate::explore::app::step_rules::StepRules;
use crate::explore::error::ExploreError;
use crate::explore::file::clock::may_read_the_clock;
use crate::explore::file::execution::snapshot::changes_only_rows;
use crate::explore::file::script::SerialCheck;
use crate::explore::file::serial::{End, orders};
use crate::explore::file::serial_ends::{CLOCK_STEP, SerialMismatch};
use crate::explore::schedule::Actor;
use crate::explore::search::Execution as _;

/// What several commands came to, one after the other. The error says why one could not be run to its end.
type SerialRun = Result<(End, EndsByActor), String>;

/// How each command ended.
type EndsByActor = BTreeMap<Actor, CommandEnd>;

/// The end of these commands, with these rows.
pub fn end(ends: &EndsByActor, rows: Vec<Vec<String>>) -> End {
    let session = |(actor, end): (&Actor, &CommandEnd)| (*actor, end.as_session(&actor.to_string()));
    End::new(&ends.iter().map(session).collect(), rows)
}

impl CommandExecution<'_> {
    /// Runs each command alone, decides which units are steps, and runs all serial orders, the first of them twice: what then differs cannot
    /// be compared. The inner error says why a command cannot be run to its end.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn run_serial_orders(&mut self) -> Result<Result<(), String>, ExploreError> {
        let all = self.actors();
        let (mut texts, mut has_unknown_text) = (Vec::new(), false);
        for again in [false, true] {
            if again {
                // Times in whole seconds must differ between two runs, too.
                tokio::time::sleep(CLOCK_STEP).await;
            }
            match self.run_all_orders(&all).await? {
                Ok(all_ends) => {
                    for end in all_ends.iter().flat_map(BTreeMap::values) {
                        texts.extend(end.record.texts().map(str::to_owned));
                        has_unknown_text |= end.record.has_unknown_text;
                    }
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        let writes = |text: &String| !text.trim_start().to_ascii_lowercase().starts_with("select");
        let begin_is_a_step = has_unknown_text
            || texts.iter().any(|text| may_read_the_clock(text))
            || self.code.varies.clock && texts.iter().any(writes);
        let lookup_is_a_step = has_unknown_text
            || !texts.iter().all(|text| changes_only_rows(text))
            || self.database.functions_change_more().await?;
        let own_names = std::mem::take(&mut self.rules.own_names);
        self.rules = StepRules { begin_is_a_step, lookup_is_a_step, own_names };
        self.tell_of_each_alone().await
    }

    /// Runs each command alone once more, with the rules of the steps, and describes it.
    async fn tell_of_each_alone(&mut self) -> Result<Result<(), String>, ExploreError> {
        let mut told: Vec<String> = Vec::new();
        for actor in self.actors() {
            let Actor::Client(number) = actor else { continue };
            if let Some(twin) = (0..number).find(|other| self.identical(*other, number)) {
                told.push(format!("{actor} alone: as {}", Actor::Client(twin)));
                continue;
            }
            let ends = match self.run_serially(&[actor]).await? {
                Ok((end, ends)) => {
                    self.serial_ends.add(vec![actor], vec![end]);
                    ends
                }
                Err(why) => return Ok(Err(why)),
            };
            let Some(end) = ends.get(&actor) else { continue };
            self.look_at_alone(number, end)?;
            let lines = end.record.in_words();
            let (first, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
            told.push(format!(
                "{actor} alone ({}): {first}, and ends with {}",
                self.file.commands[usize::from(number)].title(),
                end.heard()
            ));
            told.extend(rest.iter().map(|line| format!("  {line}")));
        }
        self.alone = told;
        Ok(Ok(()))
    }

    /// Notes what is odd about a command that has run alone. One that fails without a statement is misspelt or lacks something.
    fn look_at_alone(&mut self, number: u8, end: &CommandEnd) -> Result<(), ExploreError> {
        let (actor, heard) = (Actor::Client(number), end.heard());
        match (end.record.texts().next().is_some(), end.exited.code) {
            (true, 0) => {}
            (true, _) => drop(self.failing.insert(format!("{actor} ({heard})"))),
            (false, 0) => drop(self.silent.insert(format!("{actor} ({heard})"))),
            (false, _) => {
                let title = self.file.commands[usize::from(number)].title();
                return Err(ExploreError::Script(format!(
                    "command {actor} ({title}): it sends no statement to its database when it runs alone, and ends with {heard}"
                )));
            }
        }
        Ok(())
    }

    /// Runs all serial orders of these commands, and keeps how each ends.
    async fn run_all_orders(&mut self, commands: &[Actor]) -> Result<Result<Vec<EndsByActor>, String>, ExploreError> {
        self.serial_ends.begin();
        let (mut serial, mut of_commands) = (Vec::new(), Vec::new());
        for order in orders(commands) {
            match self.run_serially(&order).await? {
                Ok((end, ends)) => {
                    serial.push(end);
                    of_commands.push(ends);
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        self.serial_ends.add(commands.to_vec(), serial);
        Ok(Ok(of_commands))
    }

    async fn run_known_orders(&mut self, commands: &[Actor]) -> Result<(), ExploreError> {
        self.run_all_orders(commands).await?.map(drop).map_err(ExploreError::Script)
    }

    /// Runs these commands one after the other.
    async fn run_serially(&mut self, order: &[Actor]) -> Result<SerialRun, ExploreError> {
        self.finish(true).await?;
        self.reset().await?;
        let mut ends = BTreeMap::new();
        for actor in order {
            self.start(&[*actor], None)?;
            let Some(attended) = self.finish(false).await? else { continue };
            if let Some((actor, why)) = attended.unfit {
                // It was killed.
                self.rows_only = false;
                return Ok(Err(format!("when the commands run one after the other, {actor}: {why}")));
            }
            ends.extend(attended.ends);
        }
        let rows = self.database.rows(self.file.outcome.as_deref()).await?;
        Ok(Ok((end(&ends, rows.compared), ends)))
    }

    /// Whether an end is that of a serial order of the commands that took part. The error says what no serial order gives.
    pub(super) async fn explain(&mut self, end: &End) -> Result<Result<(), &'static str>, ExploreError> {
        let check = self.file.serial;
        if check == SerialCheck::Off {
            return Ok(Ok(()));
        }
        let participants = end.participants();
        if !self.serial_ends.knows(&participants) {
            for _ in 0..2 {
                self.run_known_orders(&participants).await?;
            }
        }
        let mut explained = self.serial_ends.explain(end, check);
        if explained.is_err() && self.serial_ends.are_of_another_minute() {
            self.run_known_orders(&participants).await?;
            explained = self.serial_ends.explain(end, check);
        }
        if explained.is_err() && (self.code.uses_sequences || self.calls_nextval) {
            let given = self.database.given_by_sequences().await?;
            // A column that is left out for it is named.
            explained = self.serial_ends.explain_without(end, check, &given).or(explained);
        }
        Ok(explained.map_err(|mismatch| match mismatch {
            SerialMismatch::Answers => {
                "a serial order of the commands ends with these rows, but none with these exit codes and last lines"
            }
            SerialMismatch::Rows => "no serial order of the commands ends like this",
        }))
    }
}
