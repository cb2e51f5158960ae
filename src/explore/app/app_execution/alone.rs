//! Requests and commands one after the other: what each does alone, the rules of the steps that follow from it, and the ends of the serial
//! orders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::AppExecution;
use crate::explore::app::actor_record::{ActorEnd, ActorRecord, shortened};
use crate::explore::app::step_rules::StepRules;
use crate::explore::app::step_text::{masked, normalized_sql};
use crate::explore::error::ExploreError;
use crate::explore::file::clock::may_read_the_clock;
use crate::explore::file::execution::snapshot::changes_only_rows;
use crate::explore::file::script::SerialCheck;
use crate::explore::file::serial::{End, orders};
use crate::explore::file::serial_ends::{CLOCK_STEP, SerialMismatch};
use crate::explore::run::gate::GateEvent;
use crate::explore::schedule::Actor;
use crate::explore::search::Execution as _;

/// What several actors came to, one after the other. The error says why one could not be run to its end.
type SerialRun = Result<(End, EndsByActor), String>;

/// How each actor ended.
type EndsByActor = BTreeMap<Actor, ActorEnd>;

/// How long the requests may take until it is known where each of them is.
const FIRST_STATEMENTS_MAX: Duration = Duration::from_secs(10);

/// The end of these actors, with these rows.
fn end(ends: &EndsByActor, rows: Vec<Vec<String>>) -> End {
    let session = |(actor, end): (&Actor, &ActorEnd)| (*actor, end.as_session(&actor.to_string()));
    End::new(&ends.iter().map(session).collect(), rows)
}

/// What a request did that was sent first, without time and chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstRun {
    /// Its steps with their values.
    steps: Vec<String>,
    /// What it was answered.
    pub answer: Vec<String>,
}

impl FirstRun {
    /// What a request did, by its end.
    pub fn of(actor: Actor, end: &ActorEnd) -> Self {
        let masked = |column: String| match column.split_once(" = ") {
            Some((name, value)) => format!("{name} = {}", masked(value)),
            None => column,
        };
        let answer = end.compared(&actor.to_string()).into_iter().map(masked).collect();
        Self { steps: end.record.steps(), answer }
    }

    /// Whether the statements are the same but for their values.
    fn has_same_texts(&self, other: &Self) -> bool {
        let texts = |run: &Self| {
            let text = |step: &String| normalized_sql(step.rsplit_once(" (").map_or(step.as_str(), |(text, _)| text));
            let mut texts: Vec<String> = run.steps.iter().map(text).collect();
            texts.sort();
            texts
        };
        texts(self) == texts(other)
    }

    fn in_words(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(|step| shortened(step)).collect();
        let sent = if steps.is_empty() { "no statement".to_owned() } else { steps.join("; ") };
        format!("{sent} ({})", self.answer.join(", "))
    }
}

/// What actors sent.
#[derive(Debug, Default)]
pub struct SentTexts {
    texts: BTreeSet<String>,
    /// The whole text of some statement is not known.
    has_unknown_text: bool,
}

impl SentTexts {
    /// Adds what an actor sent.
    pub fn add(&mut self, record: &ActorRecord) {
        self.texts.extend(record.texts().map(str::to_owned));
        self.has_unknown_text |= record.has_unknown_text;
    }
}

impl AppExecution<'_> {
    /// Runs all serial orders twice, because what differs then cannot be compared; decides which units are steps; and runs each actor alone.
    /// The inner error says why one cannot be run to its end.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn run_serial_orders(&mut self) -> Result<Result<(), String>, ExploreError> {
        let all = self.actors();
        if let Some(service) = &self.service {
            // The application starts with it.
            let is_kept = service.is_kept();
            self.reset().await?;
            let only_requests = self.file.actors.iter().all(|actor| actor.request().is_some());
            if is_kept && only_requests {
                self.decide_rules(&SentTexts::default()).await?;
            }
        }
        let mut sent = SentTexts::default();
        for again in [false, true] {
            if again {
                // Times in whole seconds must differ between two runs, too.
                tokio::time::sleep(CLOCK_STEP).await;
            }
            match self.run_all_orders(&all).await? {
                Ok(all_ends) => all_ends.iter().flat_map(BTreeMap::values).for_each(|end| sent.add(&end.record)),
                Err(why) => return Ok(Err(why)),
            }
        }
        self.decide_rules(&sent).await?;
        if let Err(why) = self.tell_of_each_alone().await? {
            return Ok(Err(why));
        }
        self.probe_first_statements().await?;
        Ok(Ok(()))
    }

    /// Decides which units are steps, from what was sent now and at the first use of the application.
    async fn decide_rules(&mut self, sent: &SentTexts) -> Result<(), ExploreError> {
        let has_unknown_text = sent.has_unknown_text || self.first_uses.has_unknown_text;
        let texts = || sent.texts.iter().chain(&self.first_uses.texts);
        let writes = |text: &String| !text.trim_start().to_ascii_lowercase().starts_with("select");
        let begin_is_a_step = has_unknown_text
            || texts().any(|text| may_read_the_clock(text))
            || self.code.varies.clock && texts().any(writes);
        let lookup_is_a_step = has_unknown_text
            || !texts().all(|text| changes_only_rows(text))
            || self.database.functions_change_more().await?;
        let rules = StepRules { begin_is_a_step, lookup_is_a_step, own_names: self.rules.own_names.clone() };
        if rules != self.rules {
            // Other units count as steps now.
            self.rules = rules;
            self.first_runs.clear();
            if let Some(service) = &self.service {
                service.forget_reactions().await?;
            }
        }
        Ok(())
    }

    /// Sends all requests, to see whether one waits inside the application before its first statement. If so, the moment at which each is sent
    /// matters, so it becomes a step.
    async fn probe_first_statements(&mut self) -> Result<(), ExploreError> {
        let requests: Vec<Actor> = self.actors();
        let is_request = |actor: &Actor| self.script(*actor).is_some_and(|(_, script)| script.request().is_some());
        let requests: Vec<Actor> = requests.into_iter().filter(is_request).collect();
        if requests.len() < 2 {
            return Ok(());
        }
        self.finish(true).await?;
        self.reset().await?;
        let (events, mut received) = mpsc::unbounded_channel();
        self.start(&requests, Some(events))?;
        if let Some(under_way) = &mut self.under_way {
            under_way.is_interleaving = false;
        }
        let mut found = BTreeMap::new();
        // The runner that would let steps go is missing, so what lets them go is kept.
        let mut gates = Vec::new();
        let begun = Instant::now();
        while found.len() < requests.len() {
            let left = FIRST_STATEMENTS_MAX.saturating_sub(begun.elapsed());
            let Ok(Some((actor, event))) = timeout(left, received.recv()).await else { break };
            match event {
                GateEvent::Started { go, .. } => gates.push(go),
                GateEvent::Ready { .. } | GateEvent::OperationEnded(_) | GateEvent::Stuck(_) => {
                    found.insert(actor, false);
                }
                GateEvent::WaitsInApplication => drop(found.insert(actor, true)),
                _ => {}
            }
        }
        let waits = found.values().any(|waits| *waits);
        self.finish(true).await?;
        drop(gates);
        if let Some(service) = &mut self.service {
            service.send_is_a_step = waits;
        }
        Ok(())
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
            self.look_at_alone(actor, end)?;
            let lines = end.record.in_words();
            let (first, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
            let (title, how) = self.script(actor).map_or_else(Default::default, |(_, script)| {
                (script.title(), if script.request().is_some() { "is answered" } else { "ends with" })
            });
            told.push(format!("{actor} alone ({title}): {first}, and {how} {}", end.heard()));
            told.extend(rest.iter().map(|line| format!("  {line}")));
        }
        self.alone = told;
        Ok(Ok(()))
    }

    /// Notes what is odd about an actor that has run alone. A command that fails without a statement is misspelt or lacks something.
    fn look_at_alone(&mut self, actor: Actor, end: &ActorEnd) -> Result<(), ExploreError> {
        let heard = end.heard();
        match (end.record.texts().next().is_some(), end.has_failed()) {
            (true, false) => {}
            (true, true) if end.status().is_some_and(|status| status >= 500) => {
                let title = self.script(actor).map(|(_, script)| script.title()).unwrap_or_default();
                return Err(ExploreError::Script(format!(
                    "request {actor} ({title}): it is answered {heard} when it is sent alone"
                )));
            }
            (true, true) => drop(self.observed.failing.insert(format!("{actor} ({heard})"))),
            (false, true) if end.status().is_none() => {
                let (title, kind) = self.script(actor).map_or_else(Default::default, |(_, script)| {
                    (script.title(), if script.request().is_some() { "request" } else { "command" })
                });
                return Err(ExploreError::Script(format!(
                    "{kind} {actor} ({title}): it sends no statement to its database when it runs alone, and ends with {heard}"
                )));
            }
            (false, true) => {
                let title = self.script(actor).map(|(_, script)| script.title()).unwrap_or_default();
                return Err(ExploreError::Script(format!(
                    "request {actor} ({title}): it sends no statement to its database when it is sent alone, and is answered {heard}; is the \
                     request right, and does the application use DATABASE_URL?"
                )));
            }
            (false, false) => drop(self.observed.silent.insert(format!("{actor} ({heard})"))),
        }
        Ok(())
    }

    /// Runs all serial orders of these actors, and keeps how each ends.
    async fn run_all_orders(&mut self, actors: &[Actor]) -> Result<Result<Vec<EndsByActor>, String>, ExploreError> {
        self.serial_ends.begin();
        let (mut serial, mut of_actors) = (Vec::new(), Vec::new());
        for order in orders(actors) {
            match self.run_serially(&order).await? {
                Ok((end, ends)) => {
                    serial.push(end);
                    if let Some(first) = order.first()
                        && let Some(why) = self.differs_from_before(*first, &ends[first]).await?
                    {
                        return Ok(Err(why));
                    }
                    of_actors.push(ends);
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        self.serial_ends.add(actors.to_vec(), serial);
        Ok(Ok(of_actors))
    }

    /// Why a request that runs first, so with the same rows as before, does not do what it did before: the application keeps something in its
    /// memory. What differs by chance alone differs after two fresh starts, too, and is not compared later.
    async fn differs_from_before(&mut self, actor: Actor, end: &ActorEnd) -> Result<Option<String>, ExploreError> {
        if self.script(actor).is_none_or(|(_, script)| script.request().is_none()) {
            return Ok(None);
        }
        let now = FirstRun::of(actor, end);
        let answer = self.first_answers.get(&actor).cloned().unwrap_or_else(|| now.answer.clone());
        let steps = now.steps.clone();
        let before = self.first_runs.entry(actor).or_insert(FirstRun { steps, answer }).clone();
        if before == now {
            return Ok(None);
        }
        let mut fresh = Vec::new();
        for _ in 0..2 {
            if let Some(service) = &mut self.service {
                service.must_restart = true;
            }
            match self.run_serially(&[actor]).await? {
                Ok((_, ends)) => fresh.extend(ends.get(&actor).map(|end| FirstRun::of(actor, end))),
                Err(why) => return Ok(Some(why)),
            }
        }
        let is_chance = fresh.first() != fresh.last();
        if is_chance && before.has_same_texts(&now) {
            return Ok(None);
        }
        let cause = if is_chance {
            "What it sends seems to depend on time or chance"
        } else {
            "The application seems to keep something in its memory, such as a cache; [app] reset = \"restart\" starts it anew before each \
             interleaving"
        };
        Ok(Some(format!(
            "{actor} does not do the same when it is sent again with the same rows: {}, and before: {}. {cause}",
            now.in_words(),
            before.in_words()
        )))
    }

    async fn run_known_orders(&mut self, actors: &[Actor]) -> Result<(), ExploreError> {
        self.run_all_orders(actors).await?.map(drop).map_err(ExploreError::Script)
    }

    /// Runs these actors one after the other.
    async fn run_serially(&mut self, order: &[Actor]) -> Result<SerialRun, ExploreError> {
        self.finish(true).await?;
        self.reset().await?;
        let mut ends = BTreeMap::new();
        for (at, actor) in order.iter().enumerate() {
            self.start(&[*actor], None)?;
            let run = self.finish(false).await?;
            if at + 1 < order.len() && !run.left_open.is_empty() {
                return Ok(Err(format!(
                    "{actor} leaves a transaction open after it is answered, so there is no order in which the others follow it"
                )));
            }
            if let Some((actor, why)) = run.unfit {
                // It was ended by force.
                self.rows_only = false;
                let actors = self.file.actors_in_words();
                return Ok(Err(format!("when the {actors} run one after the other, {actor}: {why}")));
            }
            ends.extend(run.ends);
        }
        let rows = self.database.rows(self.file.outcome.as_deref(), self.rows_only).await?;
        Ok(Ok((end(&ends, rows.compared), ends)))
    }

    /// Whether this end is that of a serial order of the actors that took part, or of the requests that were not refused. The error says what
    /// no serial order gives.
    pub(super) async fn explain(
        &mut self,
        ends: &EndsByActor,
        rows: Vec<Vec<String>>,
    ) -> Result<Result<(), String>, ExploreError> {
        let check = self.file.serial;
        if check == SerialCheck::Off {
            return Ok(Ok(()));
        }
        // Before other orders are run, which take values of sequences, too.
        let uses_sequences = self.code.uses_sequences || self.observed.calls_nextval;
        let given = if uses_sequences { self.database.given_by_sequences().await? } else { BTreeSet::new() };
        let whole = self.explain_end(&end(ends, rows.clone()), check, &given).await?;
        let Err(mismatch) = whole else { return Ok(Ok(())) };
        // A refusal that no serial order gives is allowed if it changed nothing.
        let is_refused = |end: &ActorEnd| end.status().is_some_and(|status| status >= 400);
        let refused: Vec<Actor> = ends.iter().filter(|(_, end)| is_refused(end)).map(|(actor, _)| *actor).collect();
        for left_out in 1..1_u32 << refused.len() {
            let is_left_out = |actor: &Actor| {
                refused.iter().position(|other| other == actor).is_some_and(|at| left_out & (1 << at) > 0)
            };
            let done: EndsByActor = ends
                .iter()
                .filter(|(actor, _)| !is_left_out(actor))
                .map(|(actor, end)| (*actor, end.clone()))
                .collect();
            if self.explain_end(&end(&done, rows.clone()), check, &given).await?.is_ok() {
                let left_out = refused.iter().filter(|actor| is_left_out(actor));
                self.observed.add_refusals(left_out.filter_map(|actor| Some((*actor, ends[actor].status()?))));
                return Ok(Ok(()));
            }
        }
        let actors = self.file.actors_in_words();
        let answers = match actors {
            "commands" => "exit codes and last lines",
            "requests" => "answers",
            _ => "answers, exit codes and last lines",
        };
        Ok(Err(match mismatch {
            SerialMismatch::Answers => {
                format!("a serial order of the {actors} ends with these rows, but none with these {answers}")
            }
            SerialMismatch::Rows => format!("no serial order of the {actors} ends like this"),
        }))
    }

    async fn explain_end(
        &mut self,
        end: &End,
        check: SerialCheck,
        given: &BTreeSet<String>,
    ) -> Result<Result<(), SerialMismatch>, ExploreError> {
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
        if explained.is_err() && !given.is_empty() {
            // A column that is left out for it is named.
            explained = self.serial_ends.explain_without(end, check, given).or(explained);
        }
        Ok(explained)
    }
}
