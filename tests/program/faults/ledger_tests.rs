//! The comparison finds each contradiction, and only those.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::ledger::{AnswerClass, Attempt, DIGITS, LoggedRequest, PairRows, RequestCounts, RequestKind, compare};

const PAIR: i64 = 7;

fn request(digit: i64, kind: RequestKind, classes: &[AnswerClass]) -> LoggedRequest {
    let attempt = |class: &AnswerClass| Attempt { class: *class, text: String::new(), answered_after: Duration::ZERO };
    let key = (classes.len() > 1).then(Uuid::nil);
    LoggedRequest { pair: PAIR, digit, kind, key, attempts: classes.iter().map(attempt).collect() }
}

/// Makes a request in the rows, as the server does.
fn make(rows: &mut PairRows, request: &LoggedRequest, times: i64) {
    rows.payee.balance += times * request.amount();
    rows.payee.version += times;
    if request.kind == RequestKind::Transfer {
        rows.payer.balance -= times * request.amount();
        rows.payer.version += times;
    }
}

fn judged(log: &[LoggedRequest], rows: PairRows) -> RequestCounts {
    let verdict = compare(log, &BTreeMap::from([(PAIR, rows)]), true);
    let counts = verdict.counts;
    let found = counts.lost + counts.denied_but_made + counts.made_twice + counts.half_made + counts.unexplained_rows;
    assert_eq!(found == 0, verdict.contradictions.is_empty(), "{verdict:?}");
    counts
}

/// The contradictions: lost, denied but made, made twice, half made, unexplained rows.
fn contradictions(log: &[LoggedRequest], rows: PairRows) -> [u64; 5] {
    let counts = judged(log, rows);
    [counts.lost, counts.denied_but_made, counts.made_twice, counts.half_made, counts.unexplained_rows]
}

#[test]
fn each_answer_allows_the_numbers_of_changes_that_it_promises() {
    use AnswerClass::{Acknowledged, NotDone, NotSent, Refused, Unexpected, Unknown};
    // The answers, and what is found if the change was made 0, 1, 2 and 3 times.
    let (fine, lost, denied, twice) = ([0; 5], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]);
    let cases: &[(&[AnswerClass], [[u64; 5]; 4])] = &[
        (&[Acknowledged], [lost, fine, twice, twice]),
        (&[Unknown], [fine, fine, twice, twice]),
        (&[Unexpected], [fine, fine, twice, twice]),
        (&[NotDone], [fine, denied, denied, denied]),
        (&[Refused], [fine, denied, denied, denied]),
        (&[NotSent], [fine, denied, denied, denied]),
        (&[NotDone, NotDone], [fine, denied, denied, denied]),
        (&[NotDone, NotSent, Unknown], [fine, fine, twice, twice]),
        (&[NotDone, Unknown, Acknowledged], [lost, fine, twice, twice]),
        (&[Acknowledged, Acknowledged], [lost, fine, twice, twice]),
        (&[Acknowledged, NotDone], [lost, fine, twice, twice]),
    ];
    for (classes, found) in cases {
        for kind in [RequestKind::Deposit, RequestKind::Transfer] {
            for digit in [0, 1, 17, DIGITS - 1] {
                for (times, found) in (0..).zip(found) {
                    // Three times the highest amount is more than a bigint holds.
                    if digit == DIGITS - 1 && times > 1 {
                        continue;
                    }
                    let (request, mut rows) = (request(digit, kind, classes), PairRows::new());
                    make(&mut rows, &request, times);
                    assert_eq!(contradictions(&[request], rows), *found, "{classes:?} {kind:?} {digit} {times}");
                }
            }
        }
    }
}

#[test]
fn a_change_that_is_half_made_is_found_whatever_was_answered() {
    for class in [AnswerClass::Acknowledged, AnswerClass::Unknown, AnswerClass::NotDone] {
        let (transfer, deposit) =
            (request(3, RequestKind::Transfer, &[class]), request(3, RequestKind::Deposit, &[class]));
        let (mut credited, mut debited) = (PairRows::new(), PairRows::new());
        make(&mut credited, &deposit, 1);
        make(&mut debited, &transfer, 1);
        debited.payee = PairRows::new().payee;
        let half = [0, 0, 0, 1, 0];
        assert_eq!(contradictions(std::slice::from_ref(&transfer), credited), half);
        assert_eq!(contradictions(std::slice::from_ref(&transfer), debited), half);
        let mut whole = PairRows::new();
        make(&mut whole, &transfer, 1);
        assert_eq!(contradictions(&[deposit], whole), half, "a deposit takes nothing from the payer");
    }
}

#[test]
fn an_impossible_request_may_only_be_refused_or_unknown() {
    use AnswerClass::{Acknowledged, NotDone, Refused, Unknown};
    for (classes, lost) in [
        (vec![Refused], 0),
        (vec![Unknown], 0),
        (vec![NotDone], 0),
        (vec![Unknown, Refused], 0),
        (vec![Acknowledged], 1),
        (vec![Unknown, Acknowledged], 1),
    ] {
        let log = [request(4, RequestKind::Impossible, &classes)];
        assert_eq!(contradictions(&log, PairRows::new()), [lost, 0, 0, 0, 0], "{classes:?}");
    }
}

#[test]
fn changes_that_no_client_asked_for_and_versions_that_do_not_agree_are_found() {
    let asked = request(2, RequestKind::Deposit, &[AnswerClass::Acknowledged]);
    let mut fine = PairRows::new();
    make(&mut fine, &asked, 1);
    assert_eq!(contradictions(std::slice::from_ref(&asked), fine), [0; 5]);

    let mut invented = fine;
    make(&mut invented, &request(5, RequestKind::Deposit, &[]), 1);
    assert_eq!(contradictions(std::slice::from_ref(&asked), invented), [0, 0, 0, 0, 1]);
    assert_eq!(contradictions(&[], fine), [0, 0, 0, 0, 1]);

    // Four times is the next digit, which another request has.
    let next = request(3, RequestKind::Deposit, &[AnswerClass::Unknown]);
    let mut four_times = PairRows::new();
    make(&mut four_times, &asked, 5);
    assert_eq!(contradictions(&[asked.clone(), next], four_times), [0, 0, 0, 0, 1]);

    let mut overwritten = fine;
    overwritten.payee.version += 1;
    assert_eq!(contradictions(std::slice::from_ref(&asked), overwritten), [0, 0, 0, 0, 1]);
    let lenient = compare(std::slice::from_ref(&asked), &BTreeMap::from([(PAIR, overwritten)]), false);
    assert!(lenient.contradictions.is_empty(), "{lenient:?}");

    let mut overdrawn = fine;
    overdrawn.payer.balance = -1;
    assert_eq!(contradictions(&[asked], overdrawn)[4], 1);
}

/// Logs and rows as a server leaves them that keeps its promises.
fn honest(random: &mut fastrand::Rng) -> (Vec<LoggedRequest>, PairRows) {
    use AnswerClass::{Acknowledged, NotDone, NotSent, Refused, Unknown};
    let (mut log, mut rows) = (Vec::new(), PairRows::new());
    for digit in 0..random.i64(1..=DIGITS) {
        let kinds = [RequestKind::Deposit, RequestKind::Transfer, RequestKind::Impossible];
        let kind = kinds[random.usize(..kinds.len())];
        let made = kind != RequestKind::Impossible && random.bool();
        let mut classes = vec![];
        for _ in 0..random.usize(..4) {
            classes.push([NotDone, NotSent, Unknown][random.usize(..if made { 3 } else { 2 })]);
        }
        classes.push(match (kind, made) {
            (_, true) => [Acknowledged, Unknown][random.usize(..2)],
            (RequestKind::Impossible, false) => [Refused, NotDone, Unknown][random.usize(..3)],
            (_, false) => [NotDone, NotSent, Unknown][random.usize(..3)],
        });
        let request = request(digit, kind, &classes);
        make(&mut rows, &request, made.into());
        log.push(request);
    }
    (log, rows)
}

#[test]
fn of_random_logs_the_honest_ones_pass_and_each_mutant_is_caught() {
    let mut random = fastrand::Rng::with_seed(16);
    let mut caught = [0; 4];
    for _ in 0..2_000 {
        let (log, rows) = honest(&mut random);
        assert_eq!(contradictions(&log, rows), [0; 5], "{log:?} {rows:?}");
        let request = &log[random.usize(..log.len())];
        let mut mutant = rows;
        let (index, expected) = match (request.kind, request.end()) {
            (RequestKind::Impossible, _) => continue,
            (_, AnswerClass::Acknowledged) if random.bool() => {
                make(&mut mutant, request, -1);
                (0, [1, 0, 0, 0])
            }
            // Twice the highest amount is more than a bigint holds.
            (_, AnswerClass::Acknowledged) if request.digit < DIGITS - 1 => {
                make(&mut mutant, request, 1);
                (2, [0, 0, 1, 0])
            }
            (_, AnswerClass::NotDone | AnswerClass::NotSent) => {
                make(&mut mutant, request, 1);
                (1, [0, 1, 0, 0])
            }
            (RequestKind::Transfer, AnswerClass::Unknown) => {
                let step = if mutant.made(request.digit) == (0, 0) { 1 } else { -1 };
                mutant.payee.balance += step * request.amount();
                mutant.payee.version += step;
                (3, [0, 0, 0, 1])
            }
            _ => continue,
        };
        assert_eq!(contradictions(&log, mutant)[..4], expected, "{request:?} {mutant:?}");
        caught[index] += 1;
    }
    assert!(caught.iter().all(|caught| *caught > 50), "each kind of mutant was made: {caught:?}");
}
