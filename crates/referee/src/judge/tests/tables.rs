//! Histories that a person can check, good ones and bad ones, each with its name.

use super::simulate::{row_state, title};
use crate::history::{History, HistoryState, ObservedRow, Outcome, Reason, RecordedOperation, Request};
use crate::judge;
use crate::judgement::{Anomaly, Judgement};
use domain::Row;

use Outcome::{NotDone, Refused, Unexpected, Unknown};
use Reason::{AlreadyBooked, InsufficientFunds, OutOfRange, SoldOut};

/// Anomalies with their counts, the state before, the operations, the state after.
type AnomalyCase = (Vec<(Anomaly, u64)>, HistoryState, Vec<OperationRow>, HistoryState);

/// An operation: request, call, return, outcome.
type OperationRow = (Request, u64, u64, Outcome);

fn user(id: i64, amount: i64) -> Request {
    Request::Balance { user: id, amount }
}

fn pay(from: i64, to: i64, amount: i64) -> Request {
    Request::Transfer { from, to, amount }
}

fn book(user: i64) -> Request {
    Request::Booking { event: 1, user }
}

fn count() -> Request {
    Request::Increment { counter: 1 }
}

fn seen(value: i64, version: i64) -> ObservedRow {
    ObservedRow { value, version: Some(version) }
}

fn done(value: i64, version: i64) -> Outcome {
    Outcome::Done([Some(seen(value, version)), None])
}

fn paid(from: (i64, i64), to: (i64, i64)) -> Outcome {
    Outcome::Done([Some(seen(from.0, from.1)), Some(seen(to.0, to.1))])
}

fn users(balances: &[(i64, i64)]) -> HistoryState {
    (1..)
        .zip(balances)
        .map(|(id, &(value, version))| (Row::User(id), row_state(value, Some(version), vec![])))
        .collect()
}

fn event(left: i64, version: i64, bookings: &[i64]) -> HistoryState {
    [(Row::Event(1), row_state(left, Some(version), bookings.to_vec()))].into()
}

fn counter(value: i64, version: i64) -> HistoryState {
    [(Row::Counter(1), row_state(value, Some(version), vec![]))].into()
}

fn history(before: HistoryState, lines: &[OperationRow], after: HistoryState) -> History {
    let operation = |(id, &(request, invoked_ns, returned_ns, outcome)): (u64, &OperationRow)| RecordedOperation {
        id,
        client: u32::try_from(id).unwrap(),
        request,
        invoked_ns,
        returned_ns,
        outcome,
    };
    let operations = (0..).zip(lines).map(operation).collect();
    History { title: title(), before, operations, after: Some(after) }
}

/// As a target without versions tells it.
fn without_versions(mut history: History) -> History {
    for row in history.before.values_mut().chain(history.after.iter_mut().flat_map(|after| after.values_mut())) {
        row.seen.version = None;
    }
    for operation in &mut history.operations {
        if let Outcome::Done(seen) = &mut operation.outcome {
            seen.iter_mut().flatten().for_each(|seen| seen.version = None);
        }
    }
    history
}

/// The anomalies found, with their counts.
fn found(judgement: &Judgement) -> Vec<(Anomaly, u64)> {
    judgement.findings.iter().map(|finding| (finding.anomaly, finding.count)).collect()
}

#[test]
fn good_histories_are_accepted_with_and_without_versions() {
    #[rustfmt::skip]
    let table: Vec<(&str, HistoryState, Vec<OperationRow>, HistoryState)> = vec![
        ("nothing", users(&[(10, 1)]), vec![], users(&[(10, 1)])),
        ("answers out of order", users(&[(10, 1)]),
            vec![(user(1, -2), 0, 9, done(6, 3)), (user(1, -2), 0, 9, done(8, 2))], users(&[(6, 3)])),
        ("an unknown one that was made", users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 2, 3, Unknown)], users(&[(6, 3)])),
        ("an unknown one that was not", users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 2, 3, Unknown)], users(&[(8, 2)])),
        ("an unknown one made long after its client gave up", users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, Unknown), (user(1, 5), 5, 6, done(15, 2))], users(&[(13, 3)])),
        ("refused before the deposit", users(&[(1, 1)]),
            vec![(user(1, -2), 0, 5, Refused(InsufficientFunds)), (user(1, 4), 0, 5, done(5, 2))], users(&[(5, 2)])),
        ("refused between two deposits and withdrawals", users(&[(0, 1)]),
            vec![(user(1, 4), 0, 1, done(4, 2)), (user(1, -4), 2, 9, done(0, 3)), (user(1, 6), 2, 9, done(6, 4)),
                 (user(1, -1), 3, 8, Refused(InsufficientFunds))], users(&[(6, 4)])),
        ("given up", users(&[(10, 1)]), vec![(user(1, -2), 0, 1, NotDone)], users(&[(10, 1)])),
        ("nothing added", users(&[(10, 1)]), vec![(user(1, 0), 0, 1, done(10, 2))], users(&[(10, 2)])),
        ("a full account", users(&[(i64::MAX, 1)]), vec![(user(1, 1), 0, 1, Refused(OutOfRange))], users(&[(i64::MAX, 1)])),
        ("transfers there and back", users(&[(5, 1), (5, 1)]),
            vec![(pay(1, 2, 5), 0, 9, paid((0, 2), (10, 2))), (pay(2, 1, 7), 0, 9, paid((3, 3), (7, 3)))],
            users(&[(7, 3), (3, 3)])),
        ("half of an unknown transfer seen on each side", users(&[(5, 1), (5, 1)]),
            vec![(pay(1, 2, 5), 0, 1, Unknown), (pay(2, 1, 7), 2, 9, paid((3, 3), (7, 3)))],
            users(&[(7, 3), (3, 3)])),
        ("the last seat", event(1, 1, &[]),
            vec![(book(7), 0, 1, done(0, 2)), (book(8), 0, 1, Refused(SoldOut)), (book(7), 2, 3, Refused(AlreadyBooked))],
            event(0, 2, &[7])),
        ("booked by an unknown one", event(2, 1, &[]),
            vec![(book(7), 0, 1, Unknown), (book(7), 2, 3, Refused(AlreadyBooked))], event(1, 2, &[7])),
        ("counted", counter(1, 1), vec![(count(), 0, 1, done(2, 2)), (count(), 0, 1, Unknown)], counter(3, 3)),
    ];
    for (name, before, lines, after) in table {
        let history = history(before, &lines, after);
        for history in [without_versions(history.clone()), history] {
            let judgement = judge(&history);
            assert!(!judgement.broken() && judgement.undecided.is_empty(), "{name}: {judgement:#?}");
        }
    }
}

#[test]
fn bad_histories_are_named() {
    use Anomaly::{
        DoubleBooking, DuplicateVersion, InconsistentOrder, LostUpdate, LostWrite, Miscount, MoneyCreated,
        MoneyDestroyed, Overdraft, Oversell, RealTimeViolation, StaleRefusal, UnexpectedAnswer, UnexplainedWrite,
    };
    #[rustfmt::skip]
    let table: Vec<AnomalyCase> = vec![
        (vec![(LostUpdate, 1)], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 9, done(8, 2)), (user(1, -2), 0, 9, done(8, 3))], users(&[(8, 3)])),
        (vec![(LostUpdate, 1), (Overdraft, 1)], users(&[(3, 1)]),
            vec![(user(1, -2), 0, 9, done(1, 2)), (user(1, -2), 0, 9, done(1, 3))], users(&[(1, 3)])),
        (vec![(Overdraft, 1)], users(&[(3, 1)]),
            vec![(user(1, -2), 0, 9, done(1, 2)), (user(1, -2), 0, 9, done(-1, 3))], users(&[(-1, 3)])),
        (vec![(LostUpdate, 1)], counter(1, 1),
            vec![(count(), 0, 9, done(2, 2)), (count(), 0, 9, done(2, 3))], counter(2, 3)),
        (vec![(LostUpdate, 1), (Oversell, 1), (Miscount, 1)], event(1, 1, &[]),
            vec![(book(7), 0, 9, done(0, 2)), (book(8), 0, 9, done(0, 3))], event(0, 3, &[7, 8])),
        (vec![(DoubleBooking, 1)], event(3, 1, &[]),
            vec![(book(7), 0, 9, done(2, 2)), (book(7), 0, 9, done(1, 3))], event(1, 3, &[7, 7])),
        (vec![(MoneyCreated, 7)], users(&[(5, 1), (5, 1)]),
            vec![(pay(1, 2, 7), 0, 9, Refused(InsufficientFunds))], users(&[(5, 1), (12, 2)])),
        (vec![(MoneyDestroyed, 4)], users(&[(5, 1), (5, 1)]),
            vec![(pay(1, 2, 4), 0, 9, Unknown)], users(&[(1, 2), (5, 1)])),
        (vec![(StaleRefusal, 1)], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 2, 3, Refused(InsufficientFunds))], users(&[(8, 2)])),
        (vec![(StaleRefusal, 1)], users(&[(0, 1)]),
            vec![(user(1, 5), 0, 1, done(5, 2)), (user(1, -2), 2, 3, Refused(InsufficientFunds))], users(&[(5, 2)])),
        (vec![(StaleRefusal, 1)], event(2, 1, &[]),
            vec![(book(7), 0, 1, Refused(SoldOut)), (book(8), 2, 3, done(1, 2)), (book(9), 2, 3, done(0, 3))],
            event(0, 3, &[8, 9])),
        (vec![(StaleRefusal, 1)], event(2, 1, &[]),
            vec![(book(7), 0, 1, Refused(AlreadyBooked)), (book(7), 2, 3, done(1, 2))], event(1, 2, &[7])),
        (vec![(RealTimeViolation, 1)], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(6, 3)), (user(1, -2), 2, 3, done(8, 2))], users(&[(6, 3)])),
        (vec![(InconsistentOrder, 1)], users(&[(9, 1), (9, 1)]),
            vec![(pay(1, 2, 1), 0, 9, paid((8, 2), (8, 3))), (pay(2, 1, 2), 0, 9, paid((7, 2), (10, 3)))],
            users(&[(10, 3), (8, 3)])),
        (vec![(DuplicateVersion, 1)], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 0, 1, done(8, 2))], users(&[(8, 2)])),
        (vec![(UnexplainedWrite, 1)], counter(1, 1), vec![(count(), 0, 1, done(2, 2))], counter(3, 3)),
        (vec![(MoneyCreated, 1)], users(&[(10, 1)]), vec![], users(&[(15, 2)])),
        (vec![(LostWrite, 1)], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 2, 3, done(6, 3))], users(&[(8, 2)])),
        (vec![(LostWrite, 1)], users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(8, 2))], users(&[(9, 2)])),
        (vec![(LostWrite, 1), (Miscount, 1)], event(3, 1, &[]), vec![(book(7), 0, 1, done(2, 2))], event(2, 2, &[])),
        (vec![(UnexplainedWrite, 1), (Miscount, 1)], event(3, 1, &[]), vec![], event(3, 1, &[7])),
        (vec![(UnexpectedAnswer, 1)], users(&[(10, 1)]), vec![(user(1, -2), 0, 1, Unexpected)], users(&[(10, 1)])),
        (vec![(UnexpectedAnswer, 1)], users(&[(10, 1)]), vec![(user(1, -2), 0, 1, Refused(SoldOut))], users(&[(10, 1)])),
        (vec![(UnexpectedAnswer, 1)], users(&[(10, 1)]), vec![(user(9, -2), 0, 1, done(8, 2))], users(&[(10, 1)])),
    ];
    for (expected, before, lines, after) in table {
        let judgement = judge(&history(before, &lines, after));
        assert_eq!(found(&judgement), expected, "{lines:?}: {judgement:#?}");
        assert!(judgement.findings.iter().all(|finding| finding.witness.operations.len() <= 2), "{judgement:#?}");
    }
}

#[test]
fn bad_histories_are_named_without_versions() {
    use Anomaly::{
        LostUpdate, LostWrite, MoneyCreated, Overdraft, Oversell, RealTimeViolation, StaleRefusal, UnexplainedWrite,
    };
    const SILENT: Outcome = Outcome::Done([None; 2]);
    #[rustfmt::skip]
    let table: Vec<(Vec<Anomaly>, HistoryState, Vec<OperationRow>, HistoryState)> = vec![
        (vec![LostUpdate], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 9, done(8, 2)), (user(1, -2), 0, 9, done(8, 3))], users(&[(8, 3)])),
        (vec![LostUpdate], users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(7, 2))], users(&[(8, 2)])),
        (vec![LostUpdate], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 9, done(8, 2)), (user(1, 3), 0, 9, done(13, 3))], users(&[(13, 3)])),
        (vec![LostUpdate, Overdraft], users(&[(3, 1)]),
            vec![(user(1, -2), 0, 9, done(1, 2)), (user(1, -2), 0, 9, done(1, 3))], users(&[(1, 3)])),
        (vec![LostUpdate, Overdraft], users(&[(3, 1)]),
            vec![(user(1, -2), 0, 9, SILENT), (user(1, -2), 0, 9, SILENT)], users(&[(1, 3)])),
        (vec![LostUpdate], counter(1, 1), vec![(count(), 0, 9, SILENT), (count(), 0, 9, SILENT)], counter(2, 3)),
        (vec![UnexplainedWrite], counter(1, 1), vec![(count(), 0, 9, SILENT)], counter(3, 3)),
        (vec![Oversell], event(1, 1, &[]), vec![(book(7), 0, 9, SILENT), (book(8), 0, 9, SILENT)], event(-1, 3, &[7, 8])),
        (vec![MoneyCreated], users(&[(5, 1), (5, 1)]),
            vec![(pay(1, 2, 7), 0, 9, Refused(InsufficientFunds))], users(&[(5, 1), (12, 2)])),
        (vec![StaleRefusal], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -3), 2, 3, Refused(InsufficientFunds))], users(&[(8, 2)])),
        (vec![StaleRefusal], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, 1), 0, 1, done(9, 2)), (user(1, -3), 2, 3, Refused(InsufficientFunds))],
            users(&[(9, 2)])),
        (vec![RealTimeViolation], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(6, 3)), (user(1, -2), 2, 3, done(8, 2))], users(&[(6, 3)])),
        (vec![RealTimeViolation], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(9, 3)), (user(1, 1), 2, 3, done(11, 2))], users(&[(9, 3)])),
        (vec![LostWrite], users(&[(10, 1)]),
            vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 2, 3, done(6, 3))], users(&[(8, 2)])),
    ];
    for (expected, before, lines, after) in table {
        let judgement = judge(&without_versions(history(before, &lines, after)));
        let names: Vec<Anomaly> = judgement.findings.iter().map(|finding| finding.anomaly).collect();
        assert_eq!(names, expected, "{lines:?}: {judgement:#?}");
    }
}

#[test]
fn the_witness_is_the_shortest_and_says_what_is_wrong() {
    let lines = [
        (user(1, -2), 0, 90, done(8, 2)),
        (user(1, -2), 1, 91, done(8, 3)),
        (user(1, -2), 92, 95, done(6, 4)),
        (user(1, -2), 93, 96, done(6, 5)),
    ];
    let judgement = judge(&history(users(&[(10, 1)]), &lines, users(&[(6, 5)])));
    assert_eq!(found(&judgement), [(Anomaly::LostUpdate, 2)]);
    let witness = &judgement.findings[0].witness;
    assert_eq!(
        witness.explanation,
        "Two withdrawals both read 8 and both wrote 6, so one is lost (versions 4 and 5 of users/1)"
    );
    let heard: Vec<(u64, &str)> = witness.operations.iter().map(|one| (one.id, one.heard.as_str())).collect();
    assert_eq!(heard, [(2, "done: user 1 has 6 (version 4)"), (3, "done: user 1 has 6 (version 5)")]);
}

/// The state before, the operations, the state after.
type HistoryRow = (HistoryState, Vec<OperationRow>, HistoryState);

/// Broken histories with versions.
fn broken_with_versions() -> Vec<HistoryRow> {
    vec![
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(8, 2)), (user(1, 3), 0, 9, done(13, 3))], users(&[(13, 3)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(7, 2))], users(&[(7, 2)])),
        (users(&[(3, 1)]), vec![(user(1, -4), 0, 9, done(-1, 2))], users(&[(-1, 2)])),
        (event(1, 1, &[]), vec![(book(7), 0, 9, done(0, 2)), (book(8), 0, 9, done(0, 3))], event(0, 3, &[7, 8])),
        (event(3, 1, &[]), vec![(book(7), 0, 9, done(2, 2)), (book(7), 0, 9, done(1, 3))], event(1, 3, &[7, 7])),
        (users(&[(5, 1), (5, 1)]), vec![(pay(1, 2, 7), 0, 9, Refused(InsufficientFunds))], users(&[(5, 1), (12, 2)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, Refused(InsufficientFunds))], users(&[(10, 1)])),
        (event(2, 1, &[]), vec![(book(7), 0, 1, Refused(SoldOut))], event(2, 1, &[])),
        (event(2, 1, &[]), vec![(book(7), 0, 1, Refused(AlreadyBooked))], event(2, 1, &[])),
        (counter(1, 1), vec![(count(), 0, 1, Refused(OutOfRange))], counter(1, 1)),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(6, 3)), (user(1, -2), 2, 3, done(8, 2))], users(&[(6, 3)])),
        (
            users(&[(9, 1), (9, 1)]),
            vec![(pay(1, 2, 1), 0, 9, paid((8, 2), (8, 3))), (pay(2, 1, 2), 0, 9, paid((7, 2), (10, 3)))],
            users(&[(10, 3), (8, 3)]),
        ),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 0, 1, done(8, 2))], users(&[(8, 2)])),
        (counter(1, 1), vec![(count(), 0, 1, done(2, 2))], counter(3, 3)),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, Unknown)], users(&[(5, 2)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(8, 2))], users(&[(10, 1)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(8, 2))], users(&[(9, 2)])),
        (event(3, 1, &[]), vec![(book(7), 0, 1, done(2, 2))], event(2, 2, &[])),
        (event(3, 1, &[]), vec![], event(3, 1, &[7])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, Unexpected)], users(&[(10, 1)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, Refused(SoldOut))], users(&[(10, 1)])),
        (users(&[(10, 1)]), vec![(user(9, -2), 0, 1, done(8, 2))], users(&[(10, 1)])),
    ]
}

/// Broken histories that are judged without their versions.
fn broken_without_versions() -> Vec<HistoryRow> {
    const SILENT: Outcome = Outcome::Done([None; 2]);
    vec![
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(8, 2)), (user(1, -2), 0, 9, done(8, 3))], users(&[(8, 3)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(7, 2))], users(&[(8, 2)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(8, 2)), (user(1, 3), 0, 9, done(13, 3))], users(&[(13, 3)])),
        (
            users(&[(10, 1)]),
            vec![
                (user(1, -2), 0, 9, done(8, 2)),
                (user(1, 3), 0, 9, done(13, 3)),
                (user(1, 1), 0, 9, done(11, 3)),
                (user(1, 1), 0, 9, Unknown),
            ],
            users(&[(13, 3)]),
        ),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 9, done(2, 2)), (user(1, 3), 0, 9, done(13, 3))], users(&[(13, 3)])),
        (
            users(&[(3, 1)]),
            vec![(user(1, -2), 0, 9, SILENT), (user(1, -2), 0, 9, SILENT), (user(1, -2), 0, 9, Unknown)],
            users(&[(1, 3)]),
        ),
        (users(&[(3, 1)]), vec![(user(1, -9), 0, 9, SILENT), (user(1, 4), 0, 9, SILENT)], users(&[(1, 3)])),
        (counter(1, 1), vec![(count(), 0, 9, SILENT), (count(), 0, 9, Unknown)], counter(9, 3)),
        (
            users(&[(10, 1)]),
            vec![(user(1, -3), 2, 3, Refused(InsufficientFunds)), (user(1, 0), 0, 9, SILENT)],
            users(&[(10, 2)]),
        ),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(9, 3)), (user(1, 1), 2, 3, done(11, 2))], users(&[(9, 3)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -2), 2, 3, done(6, 3))], users(&[(8, 2)])),
        (users(&[(10, 1)]), vec![(user(1, -2), 0, 1, done(8, 2)), (user(1, -1), 2, 3, done(7, 3))], users(&[(10, 2)])),
    ]
}

/// Sentences of findings, as a person reads them; sentences.txt has them.
#[test]
fn findings_are_sentences() {
    let mut sentences = String::new();
    for (before, lines, after) in broken_with_versions() {
        sentences += &told(&judge(&history(before, &lines, after)));
    }
    for (before, lines, after) in broken_without_versions() {
        sentences += &told(&judge(&without_versions(history(before, &lines, after))));
    }
    assert_eq!(sentences, include_str!("sentences.txt"), "{sentences}");
}

/// Anomaly and sentence, a line each.
fn told(judgement: &Judgement) -> String {
    judgement.findings.iter().map(|found| format!("{}: {}\n", found.anomaly, found.witness.explanation)).collect()
}

#[test]
fn the_refused_transfer_that_made_the_money_is_shown() {
    let lines = [
        (pay(1, 2, 3), 0, 9, paid((2, 2), (8, 2))),
        (pay(1, 2, 7), 10, 19, Refused(InsufficientFunds)),
        (pay(2, 1, 1), 20, 29, paid((14, 4), (3, 3))),
        (pay(1, 2, 7), 40, 42, Refused(InsufficientFunds)),
    ];
    let judgement = judge(&history(users(&[(5, 1), (5, 1)]), &lines, users(&[(3, 3), (14, 4)])));
    assert_eq!(found(&judgement), [(Anomaly::MoneyCreated, 7)]);
    assert_eq!(judgement.findings[0].witness.operations[0].id, 1, "the other one came too late");
}

#[test]
fn what_the_data_leave_open_is_said() {
    let mut cut = history(users(&[(10, 1)]), &[(user(1, -2), 0, 1, done(8, 2))], users(&[(8, 2)]));
    cut.after = None;
    let judgement = judge(&cut);
    assert!(!judgement.broken());
    assert_eq!(judgement.undecided.len(), 1, "{judgement:#?}");
}

#[test]
fn hostile_numbers_are_judged_too() {
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for start in extremes {
        for value in extremes {
            for amount in extremes {
                let lines = [
                    (user(1, amount), 5, 3, done(value, amount)),
                    (user(1, amount), 0, u64::MAX, done(start, value)),
                    (user(1, value), 0, u64::MAX, Unknown),
                    (user(1, value), 0, u64::MAX, Refused(OutOfRange)),
                    (user(1, amount), 0, 0, Refused(InsufficientFunds)),
                    (pay(1, 1, amount), 0, 1, paid((value, start), (start, value))),
                    (pay(1, 2, amount), 0, 1, paid((value, start), (start, value))),
                    (pay(2, 1, amount), 0, 1, Refused(OutOfRange)),
                    (pay(2, 1, amount), 0, 1, Unknown),
                ];
                let both = |one, other| users(&[(one, other), (other, one)]);
                let history = history(both(start, value), &lines, both(amount, start));
                assert!(judge(&history).broken());
                assert!(judge(&without_versions(history)).broken());
            }
        }
    }
}

#[test]
fn a_judgement_prints_as_in_the_readme() {
    let lines = [(user(1, -6), 0, 90, done(4, 2)), (user(1, -6), 10, 95, done(4, 3))];
    let judgement = judge(&history(users(&[(10, 1)]), &lines, users(&[(4, 3)])));
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(&format!("```text\n{judgement}```")), "{judgement}");
}
