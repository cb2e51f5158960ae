//! Which session waits for which, as a forest. A root waits for no session; below each session are the sessions that wait for it.
//!
//! For each waiting session PostgreSQL names every session for which it waits: the holder of the lock, and those ahead of it in the queue. So a
//! session could have several places in the forest. It has one, as near to a root as possible, and lists the other sessions for which it
//! waits. Sessions that wait in a circle (a deadlock that the detector has not found yet) have no root; then the session of the circle with the
//! smallest pid is one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A session, and the sessions that wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitTree {
    /// The id of its server process.
    pub pid: i32,
    /// The sessions for which it waits, other than the one above it.
    pub also: Vec<i32>,
    /// If it waits in a circle: the pids of the circle, in the direction of waiting.
    pub circle: Vec<i32>,
    /// The sessions that wait for it.
    pub waiters: Vec<WaitTree>,
}

/// The forest of these sessions, each with the pids for which it waits. A pid that is waited for and is none of these sessions is a root.
#[must_use]
pub fn forest(waits: &BTreeMap<i32, Vec<i32>>) -> Vec<WaitTree> {
    let waits: BTreeMap<i32, Vec<i32>> = waits
        .iter()
        .filter(|(_, blockers)| !blockers.is_empty())
        .map(|(pid, blockers)| (*pid, distinct(blockers)))
        .collect();
    let mut waiters: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, blockers) in &waits {
        for blocker in blockers {
            waiters.entry(*blocker).or_default().push(*pid);
        }
    }
    let mut roots: Vec<(i32, Vec<i32>)> =
        waiters.keys().filter(|pid| !waits.contains_key(pid)).map(|pid| (*pid, Vec::new())).collect();
    let mut above: BTreeMap<i32, Option<i32>> = roots.iter().map(|(pid, _)| (*pid, None)).collect();
    spread(&waiters, &mut above, roots.iter().map(|(pid, _)| *pid).collect());
    // A session without a place by now waits in a circle, or for a session of a circle.
    while let Some(pid) = waits.keys().find(|pid| !above.contains_key(pid)) {
        let circle = circle(&waits, *pid);
        let first = circle.first().copied().unwrap_or(*pid);
        above.insert(first, None);
        roots.push((first, circle));
        spread(&waiters, &mut above, vec![first]);
    }
    let places = TreePositions { waits, waiters, above };
    roots.into_iter().map(|(pid, circle)| WaitTree { circle, ..places.node(pid) }).collect()
}

fn distinct(pids: &[i32]) -> Vec<i32> {
    pids.iter().copied().collect::<BTreeSet<i32>>().into_iter().collect()
}

/// Gives a place to each session that waits for one with a place, the nearest first.
fn spread(waiters: &BTreeMap<i32, Vec<i32>>, above: &mut BTreeMap<i32, Option<i32>>, from: Vec<i32>) {
    let mut queue = VecDeque::from(from);
    while let Some(pid) = queue.pop_front() {
        for waiter in waiters.get(&pid).into_iter().flatten() {
            if !above.contains_key(waiter) {
                above.insert(*waiter, Some(pid));
                queue.push_back(*waiter);
            }
        }
    }
}

/// The circle that is reached by going from each session to the first one for which it waits. It begins with its smallest pid.
fn circle(waits: &BTreeMap<i32, Vec<i32>>, from: i32) -> Vec<i32> {
    let mut path = Vec::new();
    let mut pid = from;
    while !path.contains(&pid) {
        path.push(pid);
        match waits.get(&pid).and_then(|blockers| blockers.first()) {
            Some(blocker) => pid = *blocker,
            None => return Vec::new(),
        }
    }
    let begins = path.iter().position(|on| *on == pid).unwrap_or_default();
    let mut circle = path.split_off(begins);
    let smallest = circle.iter().enumerate().min_by_key(|(_, pid)| **pid).map_or(0, |(at, _)| at);
    circle.rotate_left(smallest);
    circle
}

struct TreePositions {
    waits: BTreeMap<i32, Vec<i32>>,
    waiters: BTreeMap<i32, Vec<i32>>,
    above: BTreeMap<i32, Option<i32>>,
}

impl TreePositions {
    /// Each session has one place, so the recursion ends.
    fn node(&self, pid: i32) -> WaitTree {
        let above = self.above.get(&pid).copied().flatten();
        let blockers = self.waits.get(&pid).map(Vec::as_slice).unwrap_or_default();
        let also = match above {
            Some(above) => blockers.iter().copied().filter(|blocker| *blocker != above).collect(),
            None => Vec::new(),
        };
        let below = |waiter: &&i32| self.above.get(waiter).copied().flatten() == Some(pid);
        let waiters = self.waiters.get(&pid).into_iter().flatten().filter(below).map(|waiter| self.node(*waiter));
        WaitTree { pid, also, circle: Vec::new(), waiters: waiters.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `1(2(3+1)4)`: 2 and 4 wait for 1, and 3 for 2 and for 1 beside it; `@` begins a circle.
    fn text(nodes: &[WaitTree]) -> String {
        let one = |node: &WaitTree| {
            let also: Vec<String> = node.also.iter().map(|pid| format!("+{pid}")).collect();
            let also = also.concat();
            let circle: Vec<String> = node.circle.iter().map(ToString::to_string).collect();
            let circle = if circle.is_empty() { String::new() } else { format!("@{}", circle.join(">")) };
            let below = if node.waiters.is_empty() { String::new() } else { format!("({})", text(&node.waiters)) };
            format!("{}{also}{circle}{below}", node.pid)
        };
        nodes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_session_has_one_place_as_near_to_a_root_as_possible() {
        type Waits = &'static [(i32, &'static [i32])];
        let table: [(&str, Waits, &str); 11] = [
            ("no sessions", &[], ""),
            ("no session waits", &[(1, &[]), (2, &[])], ""),
            ("one waits", &[(1, &[]), (2, &[1])], "1(2)"),
            ("a chain", &[(1, &[]), (2, &[1]), (3, &[2])], "1(2(3))"),
            ("a queue for a row", &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[2, 3])], "1(2(3 4+3))"),
            ("two blockers", &[(1, &[]), (2, &[]), (3, &[1, 2])], "1(3+2) 2"),
            ("the same twice", &[(2, &[1, 1])], "1(2)"),
            ("a session that is not listed, and a prepared transaction", &[(2, &[9]), (3, &[0])], "0(3) 9(2)"),
            ("a deadlock", &[(1, &[2]), (2, &[1])], "1@1>2(2)"),
            (
                "a deadlock, and sessions that wait for it",
                &[(7, &[2]), (5, &[2]), (2, &[7]), (9, &[5])],
                "2@2>7(5(9) 7)",
            ),
            ("a session that waits for itself", &[(1, &[1])], "1@1"),
        ];
        for (what, waits, expected) in table {
            let waits = waits.iter().map(|(pid, blockers)| (*pid, blockers.to_vec())).collect();
            assert_eq!(text(&forest(&waits)), expected, "{what}");
        }
    }

    fn pids(nodes: &[WaitTree], found: &mut Vec<i32>) {
        for node in nodes {
            found.push(node.pid);
            pids(&node.waiters, found);
        }
    }

    proptest! {
        #[test]
        fn every_waiting_session_and_every_blocker_has_one_place(
            waits in prop::collection::btree_map(0..12, prop::collection::vec(0..14, 0..4), 0..12)
        ) {
            let mut found = Vec::new();
            pids(&forest(&waits), &mut found);
            found.sort_unstable();
            let waiting = waits.iter().filter(|(_, blockers)| !blockers.is_empty());
            let expected: BTreeSet<i32> =
                waiting.flat_map(|(pid, blockers)| blockers.iter().copied().chain([*pid])).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
