//! What the runs of an application's requests and commands have shown, beside their ends: what the verdict does not cover, and what people
//! need to know of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::explore::app::actor_record::{ActorEnd, shortened};
use crate::explore::app::service_attendant::RequestsAttended;
use crate::explore::app::step_rules::StepRules;
use crate::explore::file::clock::{may_read_the_clock, of_words};
use crate::explore::file::execution::snapshot::changes_only_rows;
use crate::explore::file::limits;
use crate::explore::file::schema_code::{SchemaCode, calls_nextval};
use crate::explore::schedule::Actor;
use crate::explore::sql_words::statements;
use crate::report::figures::counted;

/// See the [module](self). Each set is empty if nothing of the kind was seen.
#[derive(Debug, Clone, Default)]
pub struct AppObserved {
    /// The actors that fail when they run alone.
    pub failing: BTreeSet<String>,
    /// The actors that send no statement when they run alone.
    pub silent: BTreeSet<String>,
    /// An actor takes values of sequences by itself.
    pub calls_nextval: bool,
    /// Statements outside a transaction whose commit is no step of its own.
    own_commits: BTreeSet<String>,
    /// Texts of several statements, which are one step.
    several_statements: BTreeSet<String>,
    /// Statements that run code.
    running_code: BTreeSet<String>,
    /// What an interleaving did that the rules of the steps exclude.
    pub surprises: BTreeSet<String>,
    /// Statements whose effect depends on the time that something takes.
    pub by_time: BTreeSet<String>,
    /// Statements that came without a request before the first one was sent.
    pub background: BTreeSet<String>,
    /// Statements that came without a request later.
    strangers: BTreeSet<String>,
    /// Requests that seemed to wait inside the application.
    pub inferred: BTreeSet<Actor>,
    after_answer: BTreeSet<Actor>,
    left_open: BTreeSet<Actor>,
    /// A request left an advisory lock of its session.
    pub left_locks: bool,
    /// Interleavings in which a request was answered 500 or above, by request and status.
    server_errors: BTreeMap<(Actor, u16), u64>,
    /// Interleavings in which a request was refused as in no serial order, by request and status.
    refusals: BTreeMap<(Actor, u16), u64>,
    /// The most connections that the application had.
    connections: usize,
}

impl AppObserved {
    /// Only these timeouts.
    pub fn by_time(by_time: BTreeSet<String>) -> Self {
        Self { by_time, ..Self::default() }
    }

    /// Takes over what an actor did. Returns whether it changed nothing but rows.
    pub fn add_end(&mut self, actor: Actor, end: &ActorEnd, code: &SchemaCode, rules: &StepRules) -> bool {
        let record = &end.record;
        let mut rows_only = true;
        if record.canceled {
            self.by_time.insert(format!("{actor} asks PostgreSQL to cancel a statement, as after a timeout"));
        }
        self.by_time.extend(record.by_time.iter().map(|what| format!("{actor} {what}")));
        let named = |texts: &BTreeSet<String>| texts.iter().map(|text| format!("{actor}: {text}")).collect::<Vec<_>>();
        self.own_commits.extend(named(&record.own_commits));
        self.several_statements.extend(named(&record.several_statements));
        let running = record.texts().filter(|text| code.is_run_by(text));
        self.running_code.extend(running.map(|text| format!("{actor}: {}", shortened(text))));
        if record.has_unknown_text {
            rows_only = false;
            let surprise =
                "sends a statement whose whole text is not known, which it did not do when all ran one after the other";
            if !rules.lookup_is_a_step {
                self.surprises.insert(format!("{actor} {surprise}"));
            }
        }
        for text in record.texts() {
            self.calls_nextval |= calls_nextval(text);
            let of_time =
                statements(text).iter().find_map(|words| Some(format!("{actor}: {} {}", words[0], of_words(words)?)));
            self.by_time.extend(of_time);
            if !changes_only_rows(text) {
                rows_only = false;
                if !rules.lookup_is_a_step {
                    let what = "changes more than rows, which it did not do when all ran one after the other; \
                                look-ups in the system catalogs were no steps";
                    self.surprises.insert(format!("{actor} {what}"));
                }
            }
            if !rules.begin_is_a_step && may_read_the_clock(text) {
                let what = "reads the clock, which it did not do when all ran one after the other; \
                            BEGIN was no step";
                self.surprises.insert(format!("{actor} {what}"));
            }
        }
        rows_only
    }

    /// Takes over what the requests of a run did together. `is_interleaving` says that they did not run one after the other.
    pub fn add_requests(&mut self, attended: &RequestsAttended, is_interleaving: bool) {
        self.inferred.extend(&attended.inferred);
        self.after_answer.extend(&attended.after_answer);
        self.left_open.extend(&attended.left_open);
        self.strangers.extend(attended.strangers.iter().cloned());
        self.by_time.extend(attended.timeouts.iter().cloned());
        self.connections = self.connections.max(attended.connections);
        let errors = attended
            .ends
            .iter()
            .filter_map(|(actor, end)| Some((*actor, end.status().filter(|status| *status >= 500)?)));
        for error in errors.filter(|_| is_interleaving) {
            *self.server_errors.entry(error).or_default() += 1;
        }
    }

    /// In an interleaving these requests were refused as in no serial order, and changed nothing.
    pub fn add_refusals(&mut self, refused: impl Iterator<Item = (Actor, u16)>) {
        for refusal in refused {
            *self.refusals.entry(refusal).or_default() += 1;
        }
    }

    /// What people need to know of the application, beside what each request sends alone.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let after = self.after_answer.iter().map(|actor| format!("{actor} sends statements after it was answered"));
        let errors = self.server_errors.iter().map(|((actor, status), count)| {
            format!("{actor} is answered {status} in {}", counted(*count, "interleaving"))
        });
        let refusals = self.refusals.iter().map(|((actor, status), count)| {
            format!(
                "{actor} is answered {status} in {} where no serial order does so, and changes nothing",
                counted(*count, "interleaving")
            )
        });
        after.chain(errors).chain(refusals).collect()
    }

    /// What the verdict does not cover, a sentence each. `actors` are requests, or commands; `requests` is how many of them are requests.
    #[must_use]
    pub fn limits(&self, actors: &str, requests: usize) -> Vec<String> {
        let failing = limits::of_names(&self.failing, |names| {
            format!(
                "these {actors} fail already when they run alone, so what they do if they succeed is not explored: {names}"
            )
        });
        let silent = limits::of_names(&self.silent, |names| {
            format!("these {actors} send no statement when they run alone, so nothing of them is interleaved: {names}")
        });
        let own_commits = limits::of_names(&self.own_commits, |names| {
            format!(
                "each of these statements is outside a transaction and one step with its commit, so what other {actors} do between the two \
                 was not explored: {names}"
            )
        });
        let several = limits::of_names(&self.several_statements, |names| {
            format!(
                "each of these texts has several statements and is one step, so that nothing else comes between them: {names}"
            )
        });
        let running_code = limits::runs_code(&self.running_code.iter().cloned().collect::<Vec<_>>());
        let background = limits::of_names(&self.background, |names| {
            format!("these statements came before any request was sent, so they are held in no interleaving: {names}")
        });
        let inferred = limits::of_names(&named(&self.inferred), |names| {
            let few = self.connections < requests;
            let pool = if few {
                format!(
                    "; it opened only {}, and a pool with less than one for each request hides what can happen",
                    counted(self.connections as u64, "connection")
                )
            } else {
                String::new()
            };
            format!(
                "that {names} waited inside the application, such as for a mutex or for a connection of its pool, follows only from its silence, \
                 so other interleavings may be possible{pool}"
            )
        });
        let left_open = limits::of_names(&named(&self.left_open), |names| {
            format!("{names} left a transaction open, so the application was started anew after it")
        });
        let left_locks = self.left_locks.then(|| {
            "a request left an advisory lock to its session, so the application was started anew after it".to_owned()
        });
        let by_time = self.by_time.iter().map(|what| format!("it depends on time: {what}"));
        [failing, silent, own_commits, several, running_code, background, inferred, left_open, left_locks]
            .into_iter()
            .flatten()
            .chain(by_time)
            .collect()
    }

    /// Statements that came without a request, and were not seen before the first one was sent.
    #[must_use]
    pub fn unexpected(&self) -> Option<String> {
        limits::of_names(&self.strangers, |names| {
            format!(
                "statements came that belong to no request, such as from a timer or after an answer: {names}; app.ignore excludes those that do \
                 not matter"
            )
        })
    }
}

fn named(actors: &BTreeSet<Actor>) -> Vec<String> {
    actors.iter().map(ToString::to_string).collect()
}
