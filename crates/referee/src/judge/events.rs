//! The calls and returns that a search has left, in the order of time.
//!
//! A doubly linked list in an array: what is taken out can be put back in O(1), in the opposite order (Knuth's dancing
//! links; Lowe's and porcupine's search do the same).

use super::history_index::NONE;

/// The list. Event 0 is its head, `2i + 1` the call of operation `i`, `2i + 2` its return, which not all have.
#[derive(Debug)]
pub struct EventList {
    /// Of each event the one before it and the one after it.
    links: Vec<[u32; 2]>,
    /// By operation: the first call of those that return with it or later.
    first_call_ns: Vec<u64>,
}

const HEAD: u32 = 0;

impl EventList {
    /// The events of operations that were called and returned then. At equal times calls come first: only
    /// what returned *before* another was called precedes it.
    pub fn new(times: &[(u64, Option<u64>)]) -> Self {
        let mut sorted: Vec<(u64, bool, u32)> = Vec::new();
        for (local, &(invoked_ns, returned_ns)) in (0..).zip(times) {
            sorted.push((invoked_ns, false, call_of(local)));
            sorted.extend(returned_ns.map(|returned_ns| (returned_ns, true, return_of(local))));
        }
        sorted.sort_unstable();
        let mut first_call_ns = vec![0; times.len()];
        let mut first_ns = u64::MAX;
        for &(_, _, event) in sorted.iter().rev().filter(|event| event.1) {
            first_ns = first_ns.min(times[operation_of(event)].0);
            first_call_ns[operation_of(event)] = first_ns;
        }
        let mut links = vec![[NONE; 2]; 2 * times.len() + 1];
        let mut last = HEAD;
        for (_, _, event) in sorted {
            links[last as usize][1] = event;
            links[event as usize][0] = last;
            last = event;
        }
        Self { links, first_call_ns }
    }

    /// The first event that is left; [`NONE`] if there is none.
    pub fn first(&self) -> u32 {
        self.after(HEAD)
    }

    /// The event after one, also after one that was taken out.
    pub fn after(&self, event: u32) -> u32 {
        self.links[event as usize][1]
    }

    /// The first return that is left.
    pub fn first_return(&self) -> Option<u32> {
        let mut event = self.first();
        while is_call(event) {
            event = self.after(event);
        }
        (event != NONE).then_some(event)
    }

    /// Whether all operations that return with this one or later were called after that time.
    pub fn rest_called_after(&self, local: u32, time_ns: u64) -> bool {
        self.first_call_ns[local as usize] > time_ns
    }

    /// Takes an operation out.
    pub fn take_out(&mut self, local: u32) {
        for event in [call_of(local), return_of(local)] {
            let [before, after] = self.links[event as usize];
            if before != NONE {
                self.links[before as usize][1] = after;
                if after != NONE {
                    self.links[after as usize][0] = before;
                }
            }
        }
    }

    /// Puts back the operation that was taken out last.
    pub fn put_back(&mut self, local: u32) {
        for event in [return_of(local), call_of(local)] {
            let [before, after] = self.links[event as usize];
            if before != NONE {
                self.links[before as usize][1] = event;
                if after != NONE {
                    self.links[after as usize][0] = event;
                }
            }
        }
    }
}

/// The call of an operation.
pub const fn call_of(local: u32) -> u32 {
    2 * local + 1
}

/// The return of an operation.
pub const fn return_of(local: u32) -> u32 {
    2 * local + 2
}

/// Whether an event is a call.
pub const fn is_call(event: u32) -> bool {
    event != NONE && event % 2 == 1
}

/// The operation of an event.
pub const fn operation_of(event: u32) -> usize {
    (event as usize - 1) / 2
}
