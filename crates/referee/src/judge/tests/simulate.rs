//! A simulated server and its clients: random histories that are correct by construction, and ways to spoil them.

use fastrand::Rng;
use uuid::Uuid;

use super::oracle;
use crate::history::{
    ClaimedSafety, History, HistoryState, ObservedRow, Outcome, Reason, RecordedOperation, Request, RoundTitle,
    RowState,
};
use domain::Row;
use domain::Workload;

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct SimulationPlan {
    pub workload: Workload,
    pub operations: usize,
    pub clients: u32,
    /// Of 100 operations, how many are never answered.
    pub unknown_percent: u32,
    pub versions: bool,
}

/// A title that says nothing.
pub fn title() -> RoundTitle {
    RoundTitle {
        scenario: "test".to_owned(),
        approach: "test".to_owned(),
        claim: ClaimedSafety::Safe,
        servers: 1,
        round: 1,
        point: None,
    }
}

/// A row state.
pub fn row_state(value: i64, version: Option<i64>, bookings: Vec<i64>) -> RowState {
    RowState { seen: ObservedRow { value, version }, bookings: Some(bookings) }
}

fn rows(rng: &mut Rng, plan: SimulationPlan) -> HistoryState {
    let version = plan.versions.then_some(1);
    let edge = rng.u8(..12) == 0;
    let plain = |row, value| (row, row_state(value, version, Vec::new()));
    match plan.workload {
        Workload::Balance => {
            (1..=rng.i64(1..=3)).map(|id| plain(Row::User(id), high(edge) + rng.i64(0..=12))).collect()
        }
        Workload::Transfer => {
            let most = i64::try_from(plan.operations).unwrap_or(9).clamp(2, 4);
            (1..=rng.i64(2..=most)).map(|id| plain(Row::User(id), high(edge && id == 1) + rng.i64(0..=9))).collect()
        }
        Workload::Counter => (1..=rng.i64(1..=2)).map(|id| plain(Row::Counter(id), high(edge) + 10)).collect(),
        Workload::Booking => (1..=rng.i64(1..=2))
            .map(|id| {
                let bookings = if rng.u8(..3) == 0 { vec![rng.i64(1..=4)] } else { Vec::new() };
                (Row::Event(id), row_state(rng.i64(0..=3), version, bookings))
            })
            .collect(),
    }
}

const fn high(edge: bool) -> i64 {
    if edge { i64::MAX - 12 } else { 0 }
}

fn request(rng: &mut Rng, plan: SimulationPlan, rows: &HistoryState) -> Request {
    let ids = i64::try_from(rows.len()).unwrap();
    match plan.workload {
        Workload::Balance => Request::Balance { user: rng.i64(1..=ids), amount: rng.i64(-5..=4) },
        Workload::Transfer if rng.u8(..6) == 0 => Request::Balance { user: rng.i64(1..=ids), amount: rng.i64(-3..=3) },
        Workload::Transfer => {
            let from = rng.i64(1..=ids);
            let to = (from + rng.i64(1..ids) - 1) % ids + 1;
            Request::Transfer { from, to, amount: rng.i64(1..=5) }
        }
        Workload::Counter => Request::Increment { counter: rng.i64(1..=ids) },
        Workload::Booking => Request::Booking { event: rng.i64(1..=ids), user: rng.i64(1..=6) },
    }
}

/// A correct history: clients ask, a server answers at one moment between call and return, some answers are lost.
pub fn correct(rng: &mut Rng, plan: SimulationPlan) -> History {
    let before = rows(rng, plan);
    let requests = (0..plan.operations).map(|_| request(rng, plan, &before)).collect();
    serve(rng, plan, before, requests)
}

/// A correct history of these requests.
pub fn serve(rng: &mut Rng, plan: SimulationPlan, before: HistoryState, requests: Vec<Request>) -> History {
    let mut clocks = vec![0_u64; plan.clients as usize];
    let (mut operations, mut moments) = (Vec::new(), Vec::new());
    for (id, request) in requests.into_iter().enumerate() {
        let client = rng.usize(..clocks.len());
        let invoked_ns = clocks[client] + rng.u64(0..3);
        let mut moment = invoked_ns + rng.u64(0..6);
        let returned_ns = moment + rng.u64(0..6);
        clocks[client] = returned_ns + 1;
        let outcome = match rng.u32(..100) {
            lost if lost < plan.unknown_percent => {
                // Made late, or never.
                moment = if rng.bool() { u64::MAX } else { invoked_ns + rng.u64(0..30) };
                Outcome::Unknown
            }
            99 => Outcome::NotDone,
            _ => Outcome::Done([None; 2]),
        };
        let client = u32::try_from(client).unwrap();
        operations.push(RecordedOperation { id: id as u64, client, request, invoked_ns, returned_ns, outcome });
        moments.push((moment, rng.u32(..), id));
    }
    moments.sort_unstable();
    let mut history = History { title: title(), before, operations, after: None };
    let mut state = oracle::state(&history);
    for (moment, _, id) in moments {
        let operation = &mut history.operations[id];
        if operation.outcome == Outcome::NotDone || moment == u64::MAX {
            continue;
        }
        let answer = state.apply(&oracle::change(operation.request), Uuid::from_u128(id as u128 + 1));
        if operation.outcome != Outcome::Unknown {
            operation.outcome = told(oracle::outcome(answer), plan.versions);
        }
    }
    let end = |row: &Row| {
        let (value, version, bookings) = oracle::show(&state, *row);
        (*row, row_state(value, plan.versions.then_some(version), bookings))
    };
    history.after = Some(history.before.keys().map(end).collect());
    history
}

/// What a target tells that reports versions, or does not.
fn told(outcome: Outcome, versions: bool) -> Outcome {
    match outcome {
        Outcome::Done(seen) if !versions => {
            Outcome::Done(seen.map(|seen| seen.map(|seen| ObservedRow { version: None, ..seen })))
        }
        other => other,
    }
}

/// Makes one random change to a history. It may be right all the same: the oracle knows.
pub fn spoil(rng: &mut Rng, history: &mut History) {
    let count = history.operations.len();
    if count == 0 {
        return;
    }
    let (one, other) = (rng.usize(..count), rng.usize(..count));
    let by = [-2, -1, 1, 2][rng.usize(..4)];
    match rng.u8(..16) {
        0 | 1 => {
            let (first, second) = (history.operations[one].outcome, history.operations[other].outcome);
            (history.operations[one].outcome, history.operations[other].outcome) = (second, first);
        }
        2 => drop(history.operations.remove(one)),
        3 => {
            let twin = RecordedOperation { id: count as u64, ..history.operations[one] };
            history.operations.push(twin);
        }
        4 => history.operations[one].returned_ns = history.operations[one].invoked_ns,
        5 => {
            let operation = &mut history.operations[one];
            let later = rng.u64(0..20);
            (operation.invoked_ns, operation.returned_ns) =
                (operation.invoked_ns + later, operation.returned_ns + later);
        }
        6 => history.operations[one].invoked_ns = history.operations[one].returned_ns,
        7 | 8 => {
            if let Outcome::Done(seen) = &mut history.operations[one].outcome {
                for seen in seen.iter_mut().flatten().take(1 + rng.usize(..2)) {
                    seen.value = seen.value.saturating_add(by);
                }
            }
        }
        9 => {
            if let Outcome::Done([Some(seen), _]) = &mut history.operations[one].outcome {
                seen.version = seen.version.map(|version| version + by);
            }
        }
        10 => {
            let reasons = match history.operations[one].request {
                Request::Booking { .. } => [Reason::SoldOut, Reason::AlreadyBooked],
                Request::Increment { .. } => [Reason::OutOfRange; 2],
                _ => [Reason::InsufficientFunds, Reason::OutOfRange],
            };
            history.operations[one].outcome = Outcome::Refused(reasons[rng.usize(..2)]);
        }
        11 => history.operations[one].outcome = Outcome::Unknown,
        12 => history.operations[one].outcome = Outcome::NotDone,
        13 => spoil_end(rng, history, by),
        14 => history.after = None,
        _ => {
            if let Outcome::Done(seen) = &mut history.operations[one].outcome {
                seen[rng.usize(..2)] = None;
            }
        }
    }
}

fn spoil_end(rng: &mut Rng, history: &mut History, by: i64) {
    let Some(after) = &mut history.after else { return };
    let at = rng.usize(..after.len());
    let Some(row) = after.values_mut().nth(at) else { return };
    match rng.u8(..4) {
        0 => row.seen.version = row.seen.version.map(|version| version + by),
        1 if row.bookings.as_ref().is_some_and(|bookings| !bookings.is_empty()) => {
            let _one_less = row.bookings.as_mut().and_then(Vec::pop);
        }
        2 => {
            row.seen.value = row.seen.value.saturating_add(by);
            row.seen.version = row.seen.version.map(|version| version + by);
        }
        _ => row.seen.value = row.seen.value.saturating_add(by),
    }
}
