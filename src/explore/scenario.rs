//! The scenarios: a few rows, and the change that each client asks for.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

use domain::Workload;
use domain::state::{Change, State};
use domain::{Account, BalanceChange, Booking, Counter, Event, Increment, Transfer};

/// What the clients do at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ExploreScenario {
    /// Withdrawals with money for one of them.
    LastMoney,
    /// Withdrawals with money for all of them.
    MoneyForAll,
    /// The clients alternate between a deposit and a withdrawal.
    DepositAndWithdrawal,
    /// Transfers between two accounts in opposite directions.
    OppositeTransfers,
    /// A transfer and withdrawals from the same account, with money for one of them.
    TransferAndWithdrawal,
    /// Different users book the last seat.
    LastSeat,
    /// One user books the same event several times.
    SameUser,
    /// Increments of one counter.
    Increments,
}

impl ExploreScenario {
    /// The workload whose claims it tests.
    #[must_use]
    pub fn workload(self) -> Workload {
        match self {
            Self::LastMoney | Self::MoneyForAll | Self::DepositAndWithdrawal => Workload::Balance,
            Self::OppositeTransfers | Self::TransferAndWithdrawal => Workload::Transfer,
            Self::LastSeat | Self::SameUser => Workload::Booking,
            Self::Increments => Workload::Counter,
        }
    }

    /// The rows before the first step, for this number of clients.
    #[must_use]
    pub fn rows(self, clients: u8) -> State {
        let account = |balance| Account { balance, version: 1 };
        let users = |ids: RangeInclusive<i64>, balance| ids.map(|id| (id, account(balance))).collect();
        let event = |capacity| [(1, Event { capacity, booked: 0, version: 1 })].into();
        let clients = i64::from(clients);
        match self {
            Self::LastMoney | Self::DepositAndWithdrawal => {
                State::of(users(1..=1, 10), BTreeMap::new(), BTreeMap::new())
            }
            Self::MoneyForAll => State::of(users(1..=1, 10 * clients), BTreeMap::new(), BTreeMap::new()),
            Self::OppositeTransfers | Self::TransferAndWithdrawal => {
                State::of(users(1..=2, 10), BTreeMap::new(), BTreeMap::new())
            }
            Self::LastSeat => State::of(users(1..=clients, 10), event(1), BTreeMap::new()),
            Self::SameUser => State::of(users(1..=1, 10), event(clients), BTreeMap::new()),
            Self::Increments => {
                State::of(BTreeMap::new(), BTreeMap::new(), [(1, Counter { value: 1, version: 1 })].into())
            }
        }
    }

    /// The change that a client asks for. Clients are counted from 0.
    #[must_use]
    pub fn change(self, client: u8) -> Change {
        let balance = |amount| Change::Balance(BalanceChange { user: 1, amount, if_version: None });
        let transfer = |from, to, amount| Change::Transfer(Transfer { from, to, amount });
        let even = client.is_multiple_of(2);
        match self {
            Self::DepositAndWithdrawal if even => balance(5),
            Self::DepositAndWithdrawal => balance(-3),
            Self::OppositeTransfers if even => transfer(1, 2, 3),
            Self::OppositeTransfers => transfer(2, 1, 4),
            Self::TransferAndWithdrawal if client == 0 => transfer(1, 2, 6),
            Self::LastMoney | Self::MoneyForAll | Self::TransferAndWithdrawal => balance(-6),
            Self::LastSeat => Change::Booking(Booking { event: 1, user: i64::from(client) + 1 }),
            Self::SameUser => Change::Booking(Booking { event: 1, user: 1 }),
            Self::Increments => Change::Increment(Increment { counter: 1, if_version: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;
    use uuid::Uuid;

    use super::*;

    /// The number of clients that succeed when they run one after the other distinguishes the scenarios.
    #[test]
    fn the_expected_number_of_clients_succeeds_in_a_serial_order() {
        let successes = |scenario: ExploreScenario, clients| {
            let mut state = scenario.rows(clients);
            let changes = (0..clients).map(|client| (client, scenario.change(client)));
            changes.filter(|(id, change)| state.apply(change, Uuid::from_u128(u128::from(*id) + 1)).is_ok()).count()
        };
        for scenario in ExploreScenario::iter() {
            for clients in 2..=4 {
                let all = usize::from(clients);
                let expected = match scenario {
                    ExploreScenario::LastMoney
                    | ExploreScenario::TransferAndWithdrawal
                    | ExploreScenario::LastSeat
                    | ExploreScenario::SameUser => 1,
                    ExploreScenario::MoneyForAll
                    | ExploreScenario::DepositAndWithdrawal
                    | ExploreScenario::OppositeTransfers
                    | ExploreScenario::Increments => all,
                };
                assert_eq!(successes(scenario, clients), expected, "{scenario} with {clients}");
            }
        }
    }
}
