//! Classifies an interleaving: the oracle decides whether a serial order explains it, and if none does, the lab's referee names the
//! anomaly.

use std::collections::{BTreeMap, BTreeSet};

use super::named_ids::without_ids;
use super::oracle::{ClientAnswer, ClientCall, explains};
use super::run::observations::Observations;
use super::schedule::Actor;
use super::search::JudgedInterleaving;
use super::transcript::{GAVE_UP, Participant, Transcript};
use domain::Refusal;
use domain::Row;
use domain::state::{Change, ChangeResult, State};
use domain::{Booking, Transfer};
use referee::history::{
    self, ClaimedSafety, History, ObservedRow as SeenRow, Outcome, Reason, RecordedOperation, Request, RoundTitle,
    RowState,
};
use referee::judgement::Anomaly;

/// The name of an outcome that no serial order explains and for which the referee has no name.
pub const NOT_SERIALIZABLE: &str = "not-serializable";

/// The name of an outcome in which every client gave up.
pub const ALL_GAVE_UP: &str = "all-gave-up";

/// The name of a crash after which a session still holds a lock.
pub const LOCK_LEFT: &str = "lock-left";

/// The name of a crash after which a repeated request with the same idempotency key does not find the change made once.
pub const NOT_ONCE: &str = "not-once";

/// A change in words.
#[must_use]
pub fn change_text(change: &Change) -> String {
    match request(change) {
        Some(request) => request.to_string(),
        None => "cancels a booking".to_owned(),
    }
}

/// An answer in words.
#[must_use]
pub fn answer_text(change: &Change, answer: &ClientAnswer) -> String {
    match answer {
        ClientAnswer::Done(done) => format!("done: {}", result_text(change, done)),
        ClientAnswer::Refused(refusal) => format!("refused: {refusal}"),
        ClientAnswer::GaveUp(why) => format!("{GAVE_UP}{why}"),
        ClientAnswer::Unknown(why) => format!("unknown: {why}"),
        ClientAnswer::Unexpected(what) => format!("unexpected: {what}"),
    }
}

fn result_text(change: &Change, done: &ChangeResult) -> String {
    let Some(request) = request(change) else { return String::new() };
    let effects = request.effects();
    let shown = effects.iter().zip(answered_rows(done)).filter_map(|((row, _), seen)| Some(seen?.of(*row)));
    shown.collect::<Vec<_>>().join(", ")
}

/// The rows of an answer, in the order of the request's effects.
fn answered_rows(done: &ChangeResult) -> [Option<SeenRow>; 2] {
    let row = |value, version| Some(SeenRow { value, version: Some(version) });
    match done {
        ChangeResult::Balance(account) => [row(account.balance, account.version), None],
        ChangeResult::Transfer(both) => {
            [row(both.from.balance, both.from.version), row(both.to.balance, both.to.version)]
        }
        ChangeResult::Booking(booked) => [row(booked.seats_left, booked.version), None],
        ChangeResult::Cancellation(_) => [None, None],
        ChangeResult::Increment(counter) => [row(counter.value, counter.version), None],
    }
}

/// A change as a request of a history; `None` for a cancellation, which no history has.
fn request(change: &Change) -> Option<Request> {
    Some(match *change {
        Change::Balance(change) => Request::Balance { user: change.user, amount: change.amount },
        Change::Transfer(Transfer { from, to, amount }) => Request::Transfer { from, to, amount },
        Change::Booking(Booking { event, user }) => Request::Booking { event, user },
        Change::Increment(increment) => Request::Increment { counter: increment.counter },
        Change::Cancellation(_) => return None,
    })
}

/// Judges what was observed.
#[must_use]
pub fn judge(before: &State, calls: &[ClientCall], after: &State, seen: Observations) -> JudgedInterleaving {
    let (anomalies, explanation) =
        if explains(before, calls, after) { (Vec::new(), String::new()) } else { name_anomalies(before, calls, after) };
    let heard = calls.iter().map(|call| (&call.change, Some(answer_text(&call.change, &call.answer))));
    let writers = seen.entries.iter().map(|entry| entry.actor).collect::<Vec<_>>();
    let parts = participants(heard, writers);
    let mut transcript = Transcript {
        schedule: seen.schedule,
        parts,
        before: row_lines(before),
        entries: seen.entries,
        after: row_lines(after),
    };
    without_ids(&mut transcript);
    let outcome = transcript.outcome();
    JudgedInterleaving { transcript, outcome, anomalies, explanation, crash_missed: false, crash_after: None }
}

/// The participants: the clients, each with its answer if it has one, and the writers among the other actors.
pub fn participants<'a>(
    clients: impl Iterator<Item = (&'a Change, Option<String>)>,
    others: impl IntoIterator<Item = Actor>,
) -> Vec<Participant> {
    let clients = clients.enumerate().map(|(client, (change, heard))| Participant {
        actor: Actor::Client(u8::try_from(client).unwrap_or(u8::MAX)),
        title: change_text(change),
        heard,
    });
    let writers: BTreeSet<Actor> = others.into_iter().filter(|actor| matches!(actor, Actor::Writer(_))).collect();
    let writers =
        writers.into_iter().map(|actor| Participant { actor, title: "writes the batches".to_owned(), heard: None });
    clients.chain(writers).collect()
}

/// The referee's names for what is wrong, and its explanation.
fn name_anomalies(before: &State, calls: &[ClientCall], after: &State) -> (Vec<String>, String) {
    if let Some(ClientAnswer::Unexpected(what)) =
        calls.iter().map(|call| &call.answer).find(|answer| matches!(answer, ClientAnswer::Unexpected(_)))
    {
        return (vec!["unexpected-answer".to_owned()], format!("a valid request must not get this answer: {what}"));
    }
    let mut findings = referee::judge(&history(before, calls, after)).findings;
    findings.sort_by_key(|finding| gravity(finding.anomaly));
    let explanation = findings.first().map_or_else(
        || "no serial order of the operations gives these answers and these rows".to_owned(),
        |finding| finding.witness.explanation.clone(),
    );
    let mut anomalies: Vec<String> = findings.iter().map(|finding| finding.anomaly.to_string()).collect();
    if anomalies.is_empty() {
        anomalies.push(NOT_SERIALIZABLE.to_owned());
    }
    (anomalies, explanation)
}

/// The sort key of anomalies: a wrong total or a seat sold twice comes before its cause.
fn gravity(anomaly: Anomaly) -> (bool, Anomaly) {
    let sold_or_made =
        [Anomaly::Oversell, Anomaly::DoubleBooking, Anomaly::MoneyCreated, Anomaly::MoneyDestroyed].contains(&anomaly);
    (!sold_or_made, anomaly)
}

/// What was observed, as a history for the referee. A step counts as a microsecond.
#[must_use]
pub fn history(before: &State, calls: &[ClientCall], after: &State) -> History {
    let ns = |step: usize| u64::try_from(step).unwrap_or(u64::MAX).saturating_mul(1_000);
    let operation = |(client, call): (usize, &ClientCall)| {
        Some(RecordedOperation {
            id: client as u64,
            client: u32::try_from(client).unwrap_or(u32::MAX),
            request: request(&call.change)?,
            invoked_ns: ns(call.began),
            returned_ns: ns(call.ended) + 500,
            outcome: outcome(&call.answer),
        })
    };
    History {
        title: RoundTitle {
            scenario: String::new(),
            approach: String::new(),
            claim: ClaimedSafety::Unsupported,
            servers: 1,
            round: 1,
            point: None,
        },
        before: states(before),
        operations: calls.iter().enumerate().filter_map(operation).collect(),
        after: Some(states(after)),
    }
}

fn outcome(answer: &ClientAnswer) -> Outcome {
    match answer {
        ClientAnswer::Done(done) => Outcome::Done(answered_rows(done)),
        ClientAnswer::Refused(refusal) => match refusal {
            Refusal::InsufficientFunds => Outcome::Refused(Reason::InsufficientFunds),
            Refusal::BalanceOutOfRange | Refusal::CounterOutOfRange => Outcome::Refused(Reason::OutOfRange),
            Refusal::SoldOut => Outcome::Refused(Reason::SoldOut),
            Refusal::AlreadyBooked => Outcome::Refused(Reason::AlreadyBooked),
            // Not possible: the rows exist, and no client names a version.
            Refusal::UserNotFound
            | Refusal::EventNotFound
            | Refusal::BookingNotFound
            | Refusal::CounterNotFound
            | Refusal::VersionMismatch => Outcome::Unexpected,
        },
        ClientAnswer::GaveUp(_) => Outcome::NotDone,
        ClientAnswer::Unknown(_) => Outcome::Unknown,
        ClientAnswer::Unexpected(_) => Outcome::Unexpected,
    }
}

fn states(state: &State) -> history::HistoryState {
    let row = |value, version, bookings| RowState { seen: SeenRow { value, version: Some(version) }, bookings };
    let users = state.users.iter().map(|(id, user)| (Row::User(*id), row(user.balance, user.version, None)));
    let counters =
        state.counters.iter().map(|(id, counter)| (Row::Counter(*id), row(counter.value, counter.version, None)));
    let mut bookings: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for Booking { event, user } in state.bookings().values() {
        bookings.entry(*event).or_default().push(*user);
    }
    for users in bookings.values_mut() {
        users.sort_unstable();
    }
    let events = state.events.iter().map(|(id, event)| {
        let bookings = bookings.get(id).cloned().unwrap_or_default();
        (Row::Event(*id), row(event.capacity - event.booked, event.version, Some(bookings)))
    });
    users.chain(events).chain(counters).collect()
}

/// The rows, a line each.
#[must_use]
pub fn row_lines(state: &State) -> Vec<String> {
    let users =
        state.users.iter().map(|(id, user)| format!("users/{id}: balance {} (version {})", user.balance, user.version));
    let events = state.events.iter().map(|(id, event)| {
        format!("events/{id}: booked {} of {} (version {})", event.booked, event.capacity, event.version)
    });
    let counters = state
        .counters
        .iter()
        .map(|(id, counter)| format!("counters/{id}: value {} (version {})", counter.value, counter.version));
    let mut bookings: Vec<String> = state
        .bookings()
        .values()
        .map(|Booking { event, user }| format!("booking of events/{event} for user {user}"))
        .collect();
    bookings.sort_unstable();
    users.chain(events).chain(counters).chain(bookings).collect()
}
