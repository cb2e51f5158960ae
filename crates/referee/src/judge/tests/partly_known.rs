//! Histories of which a part is not known: some answers without versions, events without a list of bookings.

use super::simulate::{row_state, title};
use crate::history::{History, HistoryState, ObservedRow, Outcome, Reason, RecordedOperation, Request};
use crate::judge;
use crate::judgement::Anomaly;
use domain::Row;

fn history(before: HistoryState, operations: &[(Request, Outcome)], after: HistoryState) -> History {
    let operation = |(id, &(request, outcome)): (u64, &(Request, Outcome))| RecordedOperation {
        id,
        client: u32::try_from(id).unwrap(),
        request,
        invoked_ns: id * 10,
        returned_ns: id * 10 + 5,
        outcome,
    };
    let operations = (0..).zip(operations).map(operation).collect();
    History { title: title(), before, operations, after: Some(after) }
}

fn found(history: &History) -> Vec<Anomaly> {
    judge(history).findings.iter().map(|finding| finding.anomaly).collect()
}

#[test]
fn versions_count_where_some_answers_have_none() {
    let counter = |value, version| [(Row::Counter(1), row_state(value, Some(version), vec![]))].into();
    let count = Request::Increment { counter: 1 };
    let done = |value, version| Outcome::Done([Some(ObservedRow { value, version }), None]);
    for (operations, end, broken) in [
        // Three writes by the versions, and only two by the value.
        (vec![(count, done(2, Some(2))), (count, Outcome::Unknown), (count, done(3, None))], (3, 4), true),
        (vec![(count, done(2, Some(2))), (count, Outcome::Unknown), (count, done(3, None))], (3, 3), false),
        (vec![(count, done(2, Some(2))), (count, Outcome::Unknown), (count, done(4, None))], (4, 4), false),
        // An acknowledged write, and a row that says that there was none.
        (vec![(count, done(2, None))], (2, 1), true),
    ] {
        let judged = found(&history(counter(1, 1), &operations, counter(end.0, end.1)));
        assert_eq!(!judged.is_empty(), broken, "{operations:?} {end:?}: {judged:?}");
    }
}

#[test]
fn bookings_that_were_not_read_are_not_missing() {
    let event = |left, bookings: Option<Vec<i64>>| {
        let seen = ObservedRow { value: left, version: None };
        HistoryState::from([(Row::Event(1), crate::history::RowState { seen, bookings })])
    };
    let book = |user| Request::Booking { event: 1, user };
    let done = |left| Outcome::Done([Some(ObservedRow { value: left, version: None }), None]);
    let booked = [(book(7), done(1)), (book(8), done(0)), (book(9), Outcome::Refused(Reason::SoldOut))];
    for (before, after, expected) in [
        (None, None, vec![]),
        (Some(vec![]), None, vec![]),
        (None, Some(vec![7, 8]), vec![]),
        (Some(vec![]), Some(vec![7, 8]), vec![]),
        (Some(vec![]), Some(vec![7]), vec![Anomaly::LostWrite, Anomaly::Miscount]),
    ] {
        let judged = found(&history(event(2, before.clone()), &booked, event(0, after.clone())));
        assert_eq!(judged, expected, "{before:?} {after:?}");
    }
    // The user may have booked before.
    let again = [(book(7), Outcome::Refused(Reason::AlreadyBooked))];
    let unread = judge(&history(event(2, None), &again, event(2, None)));
    assert!(unread.findings.is_empty() && unread.undecided[0].contains("the bookings of events/1"), "{unread:?}");
    assert_eq!(
        found(&history(event(2, Some(vec![])), &again, event(2, Some(vec![])))),
        [Anomaly::StaleRefusal],
        "there is no booking"
    );
    // What the answers tell is judged all the same.
    let twice = [(book(7), done(1)), (book(7), done(0))];
    assert_eq!(found(&history(event(2, None), &twice, event(0, None))), [Anomaly::DoubleBooking]);
}
