//! The search for a serial order, for histories whose answers do not show the order.
//!
//! Wing & Gong ("Testing and verifying concurrent objects", 1993): take the operations one after the other, each one that no other
//! had to precede, as long as the rule answers what was answered; when nothing fits, go back and take another. Lowe
//! ("Testing for linearizability", 2017) adds that the same set of operations need not be tried twice, which is what makes it fast; and
//! here the set gives the state, for each write adds what it adds wherever it stands. Two things narrow the search
//! further: a refusal that is true now is taken at once, for it changes nothing; and of equal operations of unknown
//! outcome the first called comes first.
//!
//! It is exact unless it gives up. (Sets are told apart by sums of 128 bits: that two of a million collide has a probability below 10⁻²⁶.)

use rustc_hash::{FxHashMap, FxHashSet};

use super::bookings::Bookings;
use super::events::{EventList, call_of, is_call, operation_of, return_of};
use super::history_index::{HistoryIndex, NONE, Partition, number};
use super::replay::Replay;
use crate::history::{Outcome, Request};

/// Operations that all searches of one history look at together, at most: a few seconds.
pub const CHECKS_MAX: u64 = 100_000_000;
/// Steps back at most before each step looks at what it leaves behind.
const STEPS_BACK_BOLD_MAX: u64 = 20_000;
/// A value walked by [`super::bridges`] takes as long as this many looks.
const CHECKS_A_WALK: u64 = 8;
/// Sets of operations that one search remembers, at most: about 130 MB.
const SETS_MAX: usize = 4_000_000;

/// What to ask of an order.
#[derive(Debug, Clone, Copy)]
pub struct OrderDemands<'s> {
    /// What returned before another was called comes before it.
    pub real_time: bool,
    /// It ends in the final state.
    pub final_state: bool,
    /// Operations that are left out.
    pub without: &'s FxHashSet<u32>,
}

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderFound {
    /// An order as demanded.
    Order,
    /// There is none. The operation that the best attempt could not get past, if it was one.
    Nothing(Option<u32>),
    /// It would take too long to say.
    GaveUp,
}

/// Looks for an order of a partition.
pub fn search(
    index: &HistoryIndex<'_>,
    partition: &Partition,
    bookings: &Bookings,
    demands: OrderDemands<'_>,
    checks_left: &mut u64,
) -> OrderFound {
    let mut found = OrderFound::GaveUp;
    // Nearly always the first attempt goes straight through. To look at what each step would leave behind takes longer.
    for steps_back_max in [STEPS_BACK_BOLD_MAX, u64::MAX] {
        let mut search = OrderSearch::new(index, partition, bookings, demands);
        (search.checks_left, search.steps_back_left) = (*checks_left, steps_back_max);
        if steps_back_max == u64::MAX {
            search.replay.build_bridges();
        }
        found = search.run();
        *checks_left = search.checks_left;
        if found != OrderFound::GaveUp {
            break;
        }
    }
    found
}

/// An operation that was taken.
struct TakenOperation {
    local: u32,
    /// 0: it changed nothing, so there is no alternative to it.
    pass: u8,
}

/// First what changes nothing, then what was done, then what may have been.
const PASSES: u8 = 3;

struct OrderSearch<'s, 'h> {
    index: &'s HistoryIndex<'h>,
    demands: OrderDemands<'s>,
    replay: Replay<'s, 'h>,
    /// Of one with unknown outcome: the equal one before it.
    twins: Vec<u32>,
    is_taken: Vec<bool>,
    events: EventList,
    /// Operations left that must be taken.
    left: usize,
    set: u128,
    seen: FxHashSet<u128>,
    checks_left: u64,
    steps_back_left: u64,
}

impl<'s, 'h> OrderSearch<'s, 'h> {
    fn new(index: &'s HistoryIndex<'h>, partition: &Partition, bookings: &Bookings, demands: OrderDemands<'s>) -> Self {
        let is_unknown = |at: u32| index.operation(at).outcome.is_open();
        let operations: Vec<u32> = (partition.operations.iter().copied())
            .filter(|at| !demands.without.contains(at))
            .filter(|&at| !is_unknown(at) || bookings.may_be_made(index, at))
            .collect();
        let times: Vec<(u64, Option<u64>)> = (operations.iter())
            .map(|&at| match index.operation(at) {
                _ if !demands.real_time => (0, None),
                one => (one.invoked_ns, (!is_unknown(at)).then_some(one.returned_ns)),
            })
            .collect();
        let mut twins = vec![NONE; operations.len()];
        let mut last: FxHashMap<([u32; 2], i64), u32> = FxHashMap::default();
        for (local, &at) in (0..).zip(&operations) {
            let request = index.operation(at).request;
            if is_unknown(at) && !matches!(request, Request::Booking { .. }) {
                let adds = index.effects(at).next().map_or(0, |effect| effect.2);
                twins[local as usize] = last.insert((index.rows_of[at as usize], adds), local).unwrap_or(NONE);
            }
        }
        Self {
            index,
            demands,
            left: operations.iter().filter(|&&at| !is_unknown(at)).count(),
            is_taken: vec![false; operations.len()],
            events: EventList::new(&times),
            twins,
            replay: Replay::new(index, partition, operations, demands.final_state),
            set: 0,
            seen: FxHashSet::default(),
            checks_left: 0,
            steps_back_left: 0,
        }
    }

    fn run(&mut self) -> OrderFound {
        let mut taken: Vec<TakenOperation> = Vec::new();
        let (mut furthest, mut stuck) = (0, None);
        let (mut pass, mut event) = (0, self.events.first());
        loop {
            if self.left == 0 && self.replay.ends_right() {
                return OrderFound::Order;
            }
            if self.checks_left == 0 || self.steps_back_left == 0 || self.seen.len() > SETS_MAX {
                return OrderFound::GaveUp;
            }
            if let Some((local, pass)) = self.next(pass, event) {
                self.take(local, true);
                if pass > 0 {
                    self.seen.insert(self.set);
                }
                taken.push(TakenOperation { local, pass });
            } else {
                if taken.len() >= furthest {
                    (furthest, stuck) = (taken.len(), self.blocking().or(stuck));
                }
                self.steps_back_left -= 1;
                // Back to the last choice. What changed nothing was none.
                let last = loop {
                    let Some(last) = taken.pop() else { return OrderFound::Nothing(stuck) };
                    self.take(last.local, false);
                    if last.pass > 0 {
                        break last;
                    }
                };
                let by_return = self.goes_by_return(last.pass);
                let tried = if by_return { return_of(last.local) } else { call_of(last.local) };
                (pass, event) = (last.pass, self.events.after(tried));
                continue;
            }
            (pass, event) = (0, self.events.first());
        }
    }

    fn invoked_ns(&self, local: u32) -> u64 {
        self.index.operation(self.replay.operations[local as usize]).invoked_ns
    }

    /// Of what was done, that is tried first which must be done first: it leaves the most room for the others.
    fn goes_by_return(&self, pass: u8) -> bool {
        pass == 1 && self.demands.real_time
    }

    /// The next operation that can be taken, from this pass and event on.
    fn next(&mut self, pass: u8, mut event: u32) -> Option<(u32, u8)> {
        for pass in pass..PASSES {
            let found =
                if self.goes_by_return(pass) { self.next_by_return(event) } else { self.next_by_call(pass, event) };
            if let Some(local) = found {
                return Some((local, pass));
            }
            event = self.events.first();
        }
        None
    }

    fn next_by_call(&mut self, pass: u8, mut event: u32) -> Option<u32> {
        while is_call(event) {
            let local = number(operation_of(event));
            if self.fits(local, pass) {
                return Some(local);
            }
            event = self.events.after(event);
        }
        None
    }

    fn next_by_return(&mut self, mut event: u32) -> Option<u32> {
        let called_by_ns = self.index.operation(self.blocking()?).returned_ns;
        while event != NONE {
            if !is_call(event) {
                let local = number(operation_of(event));
                if self.events.rest_called_after(local, called_by_ns) {
                    return None;
                }
                if self.invoked_ns(local) <= called_by_ns && self.fits(local, 1) {
                    return Some(local);
                }
            }
            event = self.events.after(event);
        }
        None
    }

    /// Whether what it leaves behind on its rows can be come back to.
    fn leaves_nothing_behind(&mut self, local: u32) -> bool {
        let (nothing_behind, walked) = self.replay.leaves_nothing_behind(local);
        self.checks_left = self.checks_left.saturating_sub(CHECKS_A_WALK * walked as u64);
        nothing_behind
    }

    /// The operation whose return comes next: nothing called later may be taken before it.
    fn blocking(&self) -> Option<u32> {
        self.events.first_return().map(|event| self.replay.operations[operation_of(event)])
    }

    fn fits(&mut self, local: u32, pass: u8) -> bool {
        self.checks_left = self.checks_left.saturating_sub(1);
        let at = self.replay.operations[local as usize];
        let operation = self.index.operation(at);
        match (pass, operation.outcome) {
            (0, Outcome::Refused(reason)) => self.replay.answer(local) == Err(reason),
            // To add nothing, where that is not counted, is to read.
            (0, Outcome::Done(_)) => {
                matches!(operation.request, Request::Balance { amount: 0, .. })
                    && !self.replay.counts_writes(local)
                    && self.replay.follows(local)
            }
            (1, Outcome::Done(_)) => {
                self.replay.follows(local)
                    && !self.seen.contains(&(self.set ^ key(local)))
                    && self.leaves_nothing_behind(local)
            }
            (2, Outcome::Unknown | Outcome::Unexpected) => {
                let twin = self.twins[local as usize];
                (twin == NONE || self.is_taken[twin as usize])
                    && self.replay.follows(local)
                    && !self.seen.contains(&(self.set ^ key(local)))
            }
            _ => false,
        }
    }

    /// Takes an operation, or takes it back.
    fn take(&mut self, local: u32, forward: bool) {
        let at = self.replay.operations[local as usize];
        self.is_taken[local as usize] = forward;
        self.set ^= key(local);
        if !self.index.operation(at).outcome.is_open() {
            self.left = if forward { self.left - 1 } else { self.left + 1 };
        }
        if forward {
            self.events.take_out(local);
        } else {
            self.events.put_back(local);
        }
        self.replay.apply(local, forward);
    }
}

/// 128 bits for an operation: two outputs of `SplitMix64`.
fn key(local: u32) -> u128 {
    let mix = |seed: u64| {
        let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let seed = 2 * u64::from(local) + 1;
    (u128::from(mix(seed)) << 64) | u128::from(mix(seed + 1))
}
