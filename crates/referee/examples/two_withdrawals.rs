//! Two threads withdraw from one account, and the referee judges what they were answered.
//!
//! `cargo run -p referee --example two_withdrawals` prints both verdicts; `cargo test -p referee` runs the tests below.

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use referee::history::{History, ObservedRow, Outcome, Reason, Request};
use referee::{Judgement, Row, judge};

/// The code under test: an account whose every change raises its version by 1.
struct Account {
    /// The balance and its version.
    state: Mutex<(i64, i64)>,
    /// Between the read and the write of a racy withdrawal: both threads have read before one of them writes.
    both_have_read: Barrier,
}

/// A withdrawal: the new balance and its version, or a refusal.
type Withdraw = fn(&Account, i64) -> Result<(i64, i64), Reason>;

/// Reads, decides and writes under one lock.
fn locked(account: &Account, amount: i64) -> Result<(i64, i64), Reason> {
    let mut state = account.state.lock().expect("no thread has panicked");
    if state.0 < amount {
        return Err(Reason::InsufficientFunds);
    }
    *state = (state.0 - amount, state.1 + 1);
    Ok(*state)
}

/// Releases the lock between the read and the write.
fn racy(account: &Account, amount: i64) -> Result<(i64, i64), Reason> {
    let (balance, _) = *account.state.lock().expect("no thread has panicked");
    account.both_have_read.wait();
    if balance < amount {
        return Err(Reason::InsufficientFunds);
    }
    let mut state = account.state.lock().expect("no thread has panicked");
    *state = (balance - amount, state.1 + 1);
    Ok(*state)
}

/// Lets two threads withdraw 6 from 10 at once, records what happens, and judges it.
fn race(withdraw: Withdraw) -> Judgement {
    const AMOUNT: i64 = 6;
    let account = Account { state: Mutex::new((10, 1)), both_have_read: Barrier::new(2) };
    let history = History::new("my account").starting_with(Row::User(1), ObservedRow::new(10).at_version(1));
    let recorded = Mutex::new(history);
    let started = Instant::now();
    let now_ns = || u64::try_from(started.elapsed().as_nanos()).expect("a short test");
    thread::scope(|threads| {
        for client in 0..2 {
            let (account, recorded) = (&account, &recorded);
            threads.spawn(move || {
                let invoked_ns = now_ns();
                let answer = withdraw(account, AMOUNT);
                let returned_ns = now_ns();
                let outcome = match answer {
                    Ok((balance, version)) => Outcome::done(ObservedRow::new(balance).at_version(version)),
                    Err(reason) => Outcome::Refused(reason),
                };
                let request = Request::Balance { user: 1, amount: -AMOUNT };
                let mut history = recorded.lock().expect("no thread has panicked");
                history.record(client, request, invoked_ns, returned_ns, outcome);
            });
        }
    });
    let (balance, version) = account.state.into_inner().expect("no thread has panicked");
    let history = recorded.into_inner().expect("no thread has panicked");
    judge(&history.ending_with(Row::User(1), ObservedRow::new(balance).at_version(version)))
}

fn main() {
    println!("With a lock:\n{}", race(locked));
    println!("Without:\n{}", race(racy));
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee::Anomaly;

    #[test]
    fn withdrawals_under_a_lock_are_correct() {
        let judgement = race(locked);
        assert!(!judgement.broken() && judgement.undecided.is_empty(), "{judgement}");
        assert_eq!((judgement.counts.done, judgement.counts.refused), (1, 1));
    }

    #[test]
    fn withdrawals_that_read_before_they_lock_lose_an_update() {
        let judgement = race(racy);
        assert_eq!(judgement.count(Anomaly::LostUpdate), 1, "{judgement}");
        assert_eq!(judgement.count(Anomaly::Overdraft), 1, "{judgement}");
    }
}
