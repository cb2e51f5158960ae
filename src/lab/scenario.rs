//! What is sent, and to which data. A scenario is a pure function from a request's number to the request, so a run with
//! the same random seed asks the same, however its clients are scheduled.

use std::ops::RangeInclusive;

use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

use crate::database::seed::Seed;
use domain::Row;
use domain::Workload;
use referee::history::Request;

/// A workload with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Scenario {
    /// Many withdrawals from one user, more than there is money for.
    Withdrawal,
    /// Deposits and withdrawals of three users, which must end at 1500, 1250 and 1000.
    Mixed,
    /// Transfers between random accounts: no money comes or goes.
    Transfer,
    /// More requests than seats, each user twice.
    Booking,
    /// Increments of one counter.
    Counter,
}

/// User, amount, how often: the requests of the scenario mixed.
const MIXED: [(i64, i64, usize); 6] =
    [(1, 10, 100), (1, -5, 100), (2, 20, 50), (2, -15, 50), (3, 1, 200), (3, -2, 100)];

/// Accounts in the seed `transfer`.
const ACCOUNTS: u64 = 100;

/// Users in the seed `bench`.
const BENCH_USERS: u64 = 1_000;

/// Users in the seed `booking`.
const GUESTS: u64 = 1_000;

/// The event with a hundred seats, and the one with a single seat, for which every tenth request is.
const BIG_EVENT: i64 = 2;
const SMALL_EVENT: i64 = 1;

/// The longest transfer: about half of what most accounts start with, so that some are refused.
const TRANSFER_MAX: i64 = 500;

impl Scenario {
    /// What it contends for.
    #[must_use]
    pub fn workload(self) -> Workload {
        match self {
            Self::Withdrawal | Self::Mixed => Workload::Balance,
            Self::Transfer => Workload::Transfer,
            Self::Booking => Workload::Booking,
            Self::Counter => Workload::Counter,
        }
    }

    /// Requests of a round, if nothing else is said.
    #[must_use]
    pub fn default_requests(self) -> u64 {
        match self {
            Self::Mixed => MIXED.iter().map(|(.., times)| *times as u64).sum(),
            _ => 10_000,
        }
    }

    /// Over how many rows the requests may be spread; `None` if the scenario says that itself.
    #[must_use]
    pub fn hot_rows(self) -> Option<RangeInclusive<u64>> {
        match self {
            Self::Withdrawal => Some(1..=BENCH_USERS),
            Self::Transfer => Some(2..=ACCOUNTS),
            Self::Mixed | Self::Booking | Self::Counter => None,
        }
    }

    /// Rows, if nothing else is said.
    #[must_use]
    pub fn default_hot_rows(self) -> u64 {
        match self {
            Self::Transfer => ACCOUNTS,
            _ => 1,
        }
    }
}

/// A scenario with what was left open in it.
#[derive(Debug, Clone)]
pub struct ScenarioWork {
    scenario: Scenario,
    amount: i64,
    hot_rows: u64,
    /// Cumulative weights of the rows by Zipf's law; empty for evenly.
    zipf: Vec<f64>,
    /// The requests of the scenario mixed, shuffled.
    deck: Vec<Request>,
    random_seed: u64,
}

impl ScenarioWork {
    /// A scenario. `amount` counts for `withdrawal` alone; `zipf` is the exponent, 0 for evenly.
    #[must_use]
    pub fn new(scenario: Scenario, amount: i64, hot_rows: u64, zipf: Option<f64>, random_seed: u64) -> Self {
        let mut deck: Vec<Request> = match scenario {
            Scenario::Mixed => MIXED
                .iter()
                .flat_map(|&(user, amount, times)| std::iter::repeat_n(Request::Balance { user, amount }, times))
                .collect(),
            _ => Vec::new(),
        };
        fastrand::Rng::with_seed(random_seed).shuffle(&mut deck);
        let zipf = zipf.map_or_else(Vec::new, |exponent| cumulative_zipf(hot_rows, exponent));
        Self { scenario, amount, hot_rows, zipf, deck, random_seed }
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        self.scenario
    }

    /// The data it starts from. Many rows of withdrawals need many users.
    #[must_use]
    pub fn seed(&self) -> Seed {
        match self.scenario {
            Scenario::Withdrawal if self.hot_rows > 1 => Seed::Bench,
            Scenario::Withdrawal => Seed::Withdrawal,
            Scenario::Mixed => Seed::Mixed,
            Scenario::Transfer => Seed::Transfer,
            Scenario::Booking => Seed::Booking,
            Scenario::Counter => Seed::Counter,
        }
    }

    /// The rows that its requests may change.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let users = |count: u64| (1..=count.cast_signed()).map(Row::User).collect();
        match self.scenario {
            Scenario::Withdrawal | Scenario::Transfer => users(self.hot_rows),
            Scenario::Mixed => users(3),
            Scenario::Booking => vec![Row::Event(SMALL_EVENT), Row::Event(BIG_EVENT)],
            Scenario::Counter => vec![Row::Counter(1)],
        }
    }

    /// One request of each kind that it sends, to see whether a service has routes for them.
    #[must_use]
    pub fn examples(&self) -> Vec<Request> {
        match self.scenario {
            Scenario::Mixed => vec![Request::Balance { user: 1, amount: 10 }, Request::Balance { user: 1, amount: -5 }],
            _ => vec![self.request(0)],
        }
    }

    /// The request with this number.
    #[must_use]
    pub fn request(&self, id: u64) -> Request {
        let mut random = fastrand::Rng::with_seed(self.random_seed ^ id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        match self.scenario {
            Scenario::Withdrawal => Request::Balance { user: self.row(&mut random), amount: self.amount },
            Scenario::Mixed => {
                let at = usize::try_from(id % self.deck.len() as u64).unwrap_or(0);
                self.deck[at]
            }
            Scenario::Transfer => {
                let from = self.row(&mut random);
                let mut to = self.row(&mut random);
                if to == from {
                    to = from % self.hot_rows.cast_signed() + 1;
                }
                Request::Transfer { from, to, amount: random.i64(1..=TRANSFER_MAX) }
            }
            // Requests of one user come in a row, so that they race.
            Scenario::Booking => Request::Booking {
                event: if id.is_multiple_of(10) { SMALL_EVENT } else { BIG_EVENT },
                user: (id / 2 % GUESTS).cast_signed() + 1,
            },
            Scenario::Counter => Request::Increment { counter: 1 },
        }
    }

    /// The id of a row, from 1: evenly, or by Zipf's law with row 1 the hottest.
    fn row(&self, random: &mut fastrand::Rng) -> i64 {
        let row = match self.zipf.last() {
            None => random.u64(0..self.hot_rows),
            Some(total) => {
                let drawn = random.f64() * total;
                self.zipf.partition_point(|weight| *weight <= drawn).min(self.zipf.len() - 1) as u64
            }
        };
        row.cast_signed() + 1
    }
}

/// Zipf's law: row k is hit as often as 1 / k^exponent.
#[expect(clippy::cast_precision_loss, reason = "a thousand rows at most")]
fn cumulative_zipf(rows: u64, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=rows)
        .map(|row| {
            sum += (row as f64).powf(-exponent);
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strum::IntoEnumIterator;

    use super::*;

    fn work(scenario: Scenario) -> ScenarioWork {
        ScenarioWork::new(scenario, -2, scenario.default_hot_rows(), None, 7)
    }

    #[test]
    fn mixed_ends_where_the_contract_says() {
        let mut balances = BTreeMap::from([(1, 1_000), (2, 1_000), (3, 1_000)]);
        let mixed = work(Scenario::Mixed);
        for id in 0..Scenario::Mixed.default_requests() {
            if let Request::Balance { user, amount } = mixed.request(id) {
                *balances.get_mut(&user).unwrap() += amount;
            }
        }
        assert_eq!(balances, BTreeMap::from([(1, 1_500), (2, 1_250), (3, 1_000)]));
    }

    #[test]
    fn requests_change_only_the_rows_of_their_scenario_and_are_the_same_again() {
        for scenario in Scenario::iter() {
            let (work, again) = (work(scenario), work(scenario));
            let rows = work.rows();
            for id in 0..2_000 {
                let request = work.request(id);
                assert_eq!(request, again.request(id));
                assert!(request.effects().iter().all(|(row, _)| rows.contains(row)), "{request}");
                assert_eq!(Workload::from(&request), scenario.workload());
                if let Request::Transfer { from, to, amount } = request {
                    assert!(from != to && amount > 0, "{request}");
                }
            }
        }
    }

    #[test]
    fn each_guest_asks_twice_in_a_row_and_both_events_are_asked_for() {
        let booking = work(Scenario::Booking);
        let requests: Vec<_> = (0..20).map(|id| booking.request(id)).collect();
        let of = |event| {
            requests
                .iter()
                .filter(|request| matches!(request, Request::Booking { event: e, .. } if *e == event))
                .count()
        };
        assert_eq!((of(SMALL_EVENT), of(BIG_EVENT)), (2, 18));
        assert_eq!(booking.request(2), booking.request(3));
    }

    #[test]
    fn zipf_makes_the_first_rows_hot_and_evenly_none() {
        let hits = |zipf| {
            let work = ScenarioWork::new(Scenario::Withdrawal, -2, 100, zipf, 1);
            (0..10_000).filter(|id| matches!(work.request(*id), Request::Balance { user: 1, .. })).count()
        };
        let (even, hot) = (hits(None), hits(Some(1.0)));
        assert!((50..200).contains(&even), "{even}");
        // 1 / (1 + 1/2 + … + 1/100) of all.
        assert!((1_700..2_200).contains(&hot), "{hot}");
    }
}
