//! What each request asked for, what it was answered, and what the tables say about it afterwards.
//!
//! Requests work on pairs of users, a payer and a payee. Each request of a pair has a digit of its own, and its amount is 4 to the power
//! of that digit. So a balance is a number in base 4 whose digits say how often each request was made: 0, 1, 2 or 3 times. Nothing in
//! the tables is there for the test only, and clients may share a pair.
//!
//! ```text
//!   payee 0 -> 4^0 + 4^2 + 2 * 4^3    digits 0 and 2 were made once, 1 was not made, 3 was made twice
//!   payer 4^31 - 1 -> less 4^2        digit 2 was a transfer
//! ```
//!
//! A request that is made four times looks like the next digit, but then the version of the row does not agree with the digits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use domain::Account;
use uuid::Uuid;

/// Requests of a pair: 31 digits in base 4 fit in a bigint.
pub const DIGITS: i64 = 31;

/// What the payer of a pair has at the start.
pub const FULL: i64 = (1 << 62) - 1;

/// More than any payee has.
const IMPOSSIBLE: i64 = 1 << 62;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// The payee gets the amount.
    Deposit,
    /// The payer gives it to the payee.
    Transfer,
    /// The payee gives more than it has, which must be refused.
    Impossible,
}

/// What an answer says about its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerClass {
    /// 2xx: it was made.
    Acknowledged,
    /// 409: the rows refuse it. Only an impossible request may get it.
    Refused,
    /// 503: it was certainly not made.
    NotDone,
    /// The connection to the server could not be opened, so nothing was sent.
    NotSent,
    /// 504, or no answer: it may have been made.
    Unknown,
    /// Any other status. The server must not give it.
    Unexpected,
}

/// One attempt to get an answer.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub class: AnswerClass,
    /// The answer, or why there is none.
    pub text: String,
    /// From the start of the load to the answer.
    pub answered_after: Duration,
}

/// A request, with all of its attempts. Only a request with a key has more than one.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    pub pair: i64,
    pub digit: i64,
    pub kind: RequestKind,
    pub key: Option<Uuid>,
    pub attempts: Vec<Attempt>,
}

impl LoggedRequest {
    pub fn payer(&self) -> i64 {
        payer(self.pair)
    }

    pub fn payee(&self) -> i64 {
        payee(self.pair)
    }

    /// By how much it changes the payee's balance.
    pub fn amount(&self) -> i64 {
        match self.kind {
            RequestKind::Impossible => -IMPOSSIBLE,
            RequestKind::Deposit | RequestKind::Transfer => 1 << (2 * self.digit),
        }
    }

    fn has(&self, class: AnswerClass) -> bool {
        self.attempts.iter().any(|attempt| attempt.class == class)
    }

    /// How the request ended for its client.
    pub fn end(&self) -> AnswerClass {
        use AnswerClass::{Acknowledged, NotDone, NotSent, Refused, Unexpected, Unknown};
        let ends = match self.kind {
            // Once refused, it is known that no attempt has made it.
            RequestKind::Impossible => [Acknowledged, Refused, Unexpected, Unknown, NotDone],
            _ => [Acknowledged, Unexpected, Unknown, Refused, NotDone],
        };
        ends.into_iter().find(|class| self.has(*class)).unwrap_or(NotSent)
    }

    /// How often the answers allow it to have been made, at least and at most.
    fn allowed(&self) -> (i64, i64) {
        let may_be_made = [AnswerClass::Acknowledged, AnswerClass::Unknown, AnswerClass::Unexpected];
        (self.has(AnswerClass::Acknowledged).into(), may_be_made.into_iter().any(|class| self.has(class)).into())
    }
}

pub fn payer(pair: i64) -> i64 {
    2 * pair - 1
}

pub fn payee(pair: i64) -> i64 {
    2 * pair
}

/// The two rows of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairRows {
    pub payer: Account,
    pub payee: Account,
}

impl PairRows {
    /// The rows before the first request.
    pub fn new() -> Self {
        Self { payer: Account { balance: FULL, version: 1 }, payee: Account { balance: 0, version: 1 } }
    }

    /// How often the digit's amount was taken from the payer, and given to the payee.
    pub fn made(&self, digit: i64) -> (i64, i64) {
        let times = |sum: i64| (sum >> (2 * digit)) & 3;
        (times(FULL.wrapping_sub(self.payer.balance)), times(self.payee.balance))
    }
}

/// How many requests ended in which way, and how many of them contradict the tables.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RequestCounts {
    pub requests: u64,
    /// Attempts beside the first of each request.
    pub repeated: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub not_done: u64,
    pub not_sent: u64,
    pub unknown: u64,
    /// Those of unknown outcome that were made.
    pub unknown_made: u64,
    /// Answered with a status that the server must not give.
    pub unexpected: u64,
    /// Acknowledged, but absent.
    pub lost: u64,
    /// Refused, 503 or never sent, but made.
    pub denied_but_made: u64,
    pub made_twice: u64,
    /// A transfer of which one row shows another number of changes than the other.
    pub half_made: u64,
    /// Rows that are not the sum of any requests, or whose version does not agree.
    pub unexplained_rows: u64,
}

impl RequestCounts {
    pub fn add(&mut self, other: &Self) {
        let mut fields = self.fields_mut();
        for (sum, more) in fields.iter_mut().zip(other.fields()) {
            **sum += more;
        }
    }

    fn fields_mut(&mut self) -> [&mut u64; 14] {
        [
            &mut self.requests,
            &mut self.repeated,
            &mut self.acknowledged,
            &mut self.refused,
            &mut self.not_done,
            &mut self.not_sent,
            &mut self.unknown,
            &mut self.unknown_made,
            &mut self.unexpected,
            &mut self.lost,
            &mut self.denied_but_made,
            &mut self.made_twice,
            &mut self.half_made,
            &mut self.unexplained_rows,
        ]
    }

    fn fields(mut self) -> [u64; 14] {
        self.fields_mut().map(|field| *field)
    }

    fn count_end(&mut self, end: AnswerClass, made: bool) {
        self.requests += 1;
        match end {
            AnswerClass::Acknowledged => self.acknowledged += 1,
            AnswerClass::Refused => self.refused += 1,
            AnswerClass::NotDone => self.not_done += 1,
            AnswerClass::NotSent => self.not_sent += 1,
            AnswerClass::Unknown => {
                self.unknown += 1;
                self.unknown_made += u64::from(made);
            }
            AnswerClass::Unexpected => self.unexpected += 1,
        }
    }
}

/// The comparison of a log with the tables.
#[derive(Debug, Default, Clone)]
pub struct LedgerVerdict {
    pub counts: RequestCounts,
    /// What contradicts, in words.
    pub contradictions: Vec<String>,
}

/// Compares all requests of some pairs with the rows of these pairs.
///
/// `versions_agree` is whether each change raises the version by 1 and none is overwritten, which an approach without a transaction does
/// not promise when an operation of unknown outcome is still running.
pub fn compare(log: &[LoggedRequest], rows: &BTreeMap<i64, PairRows>, versions_agree: bool) -> LedgerVerdict {
    let mut verdict = LedgerVerdict::default();
    let mut asked: BTreeMap<i64, Vec<&LoggedRequest>> = BTreeMap::new();
    for request in log {
        asked.entry(request.pair).or_default().push(request);
        match rows.get(&request.pair) {
            Some(rows) => verdict.judge(request, rows),
            None => verdict.contradictions.push(format!("the rows of pair {} are absent", request.pair)),
        }
    }
    for (pair, rows) in rows {
        verdict.judge_rows(*pair, rows, asked.get(pair).map_or(&[], Vec::as_slice), versions_agree);
    }
    verdict
}

impl LedgerVerdict {
    fn judge(&mut self, request: &LoggedRequest, rows: &PairRows) {
        let (debits, credits) = rows.made(request.digit);
        let expected_debits = if request.kind == RequestKind::Transfer { credits } else { 0 };
        let (least, most) = request.allowed();
        let counts = &mut self.counts;
        counts.count_end(request.end(), credits > 0);
        counts.repeated += request.attempts.len().saturating_sub(1) as u64;
        let what = if debits != expected_debits {
            counts.half_made += 1;
            "is half made"
        } else if credits < least {
            counts.lost += 1;
            "was acknowledged, but is lost"
        } else if credits > most && most == 0 {
            counts.denied_but_made += 1;
            "was answered as not made, but is made"
        } else if credits > most {
            counts.made_twice += 1;
            "is made more than once"
        } else {
            return;
        };
        let mut text = format!(
            "{:?} of 4^{} in pair {} (users {} and {}), key {:?}, {what}: {debits} debits, {credits} credits;",
            request.kind,
            request.digit,
            request.pair,
            request.payer(),
            request.payee(),
            request.key
        );
        for attempt in &request.attempts {
            let _ = write!(text, " after {:?} {:?} {};", attempt.answered_after, attempt.class, attempt.text);
        }
        self.contradictions.push(text);
    }

    /// Whether the rows of a pair are the sums of requests that were asked for.
    fn judge_rows(&mut self, pair: i64, rows: &PairRows, asked: &[&LoggedRequest], versions_agree: bool) {
        let mut sums = (0, 0);
        for digit in 0..DIGITS {
            let made = rows.made(digit);
            sums = (sums.0 + made.0, sums.1 + made.1);
            if made != (0, 0) && !asked.iter().any(|request| request.digit == digit) {
                self.unexplained(format!("pair {pair}: 4^{digit} was made, but no client has asked for it: {rows:?}"));
            }
        }
        let negative = rows.payee.balance < 0 || !(0..=FULL).contains(&rows.payer.balance);
        let versions = (rows.payer.version - 1, rows.payee.version - 1);
        if negative || (versions_agree && versions != sums) {
            self.unexplained(format!(
                "pair {pair}: the balances show {sums:?} changes and the versions {versions:?}: {rows:?}"
            ));
        }
    }

    fn unexplained(&mut self, text: String) {
        self.counts.unexplained_rows += 1;
        self.contradictions.push(text);
    }
}
