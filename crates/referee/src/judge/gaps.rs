//! Gaps: writes that must have been made, for the numbers go on behind them, and that no answer claims.
//!
//! Operations of unknown outcome have to explain them: as many as are missing, with the change that is missing,
//! and of a transfer both halves or none. Such an operation can have been made before a write that returned at `t` only if it
//! was called by `t`; so in the order of the gaps' deadlines the candidates of each gap contain those of the ones before. Equal
//! candidates are told apart by nothing but their calls, and taking the first called first leaves the most room. So
//! only *how many* of each kind fill each gap has to be searched, which is exact; and with one kind on a
//! row, or two that add different amounts, there is only one answer to find.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::bookings::Bookings;
use super::chain::Gap;
use super::history_index::{HistoryIndex, NONE, Partition};

/// Steps at most that one case may take: about 50 ms.
const STEPS_MAX: u32 = 1_000_000;
/// Ways at most to fill one gap that are kept to be tried.
const WAYS_MAX: usize = 256;
/// Kinds at most that fill one gap together: each is a frame on the stack.
const KINDS_MAX: usize = 256;

/// What came of it.
#[derive(Debug)]
pub enum Filling {
    /// Operations that fill them all.
    Filled(Fillers),
    /// No choice fills these, by their places in the order given, whatever fills the others.
    Impossible(Vec<usize>),
    /// Each can be filled, but not all together.
    Contradictory,
    /// Too many possibilities to try them all.
    GaveUp,
}

/// Which operations fill which gaps.
#[derive(Debug)]
pub struct Fillers {
    /// For each gap, in the order given.
    pub of_gap: Vec<Vec<u32>>,
    /// Rows whose end is not known, with transfers whose other half fills a gap: they come after all else.
    pub at_end: Vec<(u32, u32)>,
}

/// Operations of unknown outcome that do the same to the same rows.
#[derive(Debug)]
struct FillerKind {
    rows: [u32; 2],
    adds: [i64; 2],
    /// In the order of their calls.
    operations: Vec<u32>,
}

/// How many of a kind fill a gap, with the half that falls on the gap's row.
#[derive(Debug, Clone, Copy)]
struct Pick {
    kind: usize,
    half: usize,
    /// Those whose other half, if they have one, is still to be placed.
    fresh: usize,
    /// Those whose other half fills an earlier gap.
    owed: usize,
}

struct Solver<'d, 'h> {
    docket: &'d HistoryIndex<'h>,
    kinds: Vec<FillerKind>,
    /// By row: kind and half, ascending by what it adds.
    on_row: FxHashMap<u32, Vec<(usize, usize)>>,
    /// Of each kind, how many are used.
    taken: Vec<usize>,
    /// Of each kind and half, how many must fill a gap that is still to come.
    owed: Vec<[usize; 2]>,
    /// By row: what is missing in the gaps to come, less what is owed to them.
    room: FxHashMap<u32, i128>,
    steps: u32,
    /// Whether a bound has cut off possibilities.
    cut: bool,
}

/// Fills the gaps of a case.
pub fn fill(docket: &HistoryIndex<'_>, case: &Partition, bookings: &Bookings, gaps: &[Gap]) -> Filling {
    let mut solver = Solver::new(docket, case, bookings);
    for &row in case.rows.iter().filter(|&&row| docket.row(row).after.is_none()) {
        // More can have come after the last write that is known than there are operations.
        solver.room.insert(row, wide(usize::MAX));
    }
    for gap in gaps {
        *solver.room.entry(gap.row).or_default() += i128::from(gap.missing);
    }
    let alone = |place: &usize| solver.ways(&gaps[*place], 1).is_empty();
    let impossible: Vec<usize> = (0..gaps.len()).filter(alone).collect();
    if solver.cut && !impossible.is_empty() {
        return Filling::GaveUp;
    }
    if !impossible.is_empty() {
        return Filling::Impossible(impossible);
    }
    let mut order: Vec<usize> = (0..gaps.len()).collect();
    order.sort_by_key(|&place| gaps[place].deadline_ns);
    match solver.solve(gaps, &order) {
        Some(picks) => Filling::Filled(solver.name(gaps.len(), &order, &picks)),
        None if solver.cut => Filling::GaveUp,
        None => Filling::Contradictory,
    }
}

impl<'d, 'h> Solver<'d, 'h> {
    fn new(docket: &'d HistoryIndex<'h>, case: &Partition, bookings: &Bookings) -> Self {
        let mut kinds: Vec<FillerKind> = Vec::new();
        let mut known = FxHashMap::default();
        for &at in &case.operations {
            if !docket.operation(at).outcome.is_open() || !bookings.may_be_made(docket, at) {
                continue;
            }
            let (rows, mut adds) = (docket.rows_of[at as usize], [0; 2]);
            for (place, _, amount) in docket.effects(at) {
                adds[place] = amount;
            }
            let kind = *known.entry((rows, adds)).or_insert_with(|| {
                kinds.push(FillerKind { rows, adds, operations: Vec::new() });
                kinds.len() - 1
            });
            kinds[kind].operations.push(at);
        }
        let mut on_row: FxHashMap<u32, Vec<(usize, usize)>> = FxHashMap::default();
        for (kind, FillerKind { rows, .. }) in kinds.iter().enumerate() {
            for half in (0..2).filter(|&half| rows[half] != NONE) {
                on_row.entry(rows[half]).or_default().push((kind, half));
            }
        }
        for row in on_row.values_mut() {
            row.sort_by_key(|&(kind, half)| kinds[kind].adds[half]);
        }
        let (taken, owed) = (vec![0; kinds.len()], vec![[0; 2]; kinds.len()]);
        Self { docket, kinds, on_row, taken, owed, room: FxHashMap::default(), steps: 0, cut: false }
    }

    /// Depth first over the gaps, in the order of their deadlines.
    fn solve(&mut self, gaps: &[Gap], order: &[usize]) -> Option<Vec<Vec<Pick>>> {
        /// The ways to fill a gap that are left to try, and the one that is being tried.
        struct FillFrame {
            ways: Vec<Vec<Pick>>,
            tried: Option<Vec<Pick>>,
        }
        let mut frames: Vec<FillFrame> = Vec::new();
        while frames.len() < order.len() {
            let gap = &gaps[order[frames.len()]];
            let mut ways = self.ways(gap, WAYS_MAX);
            ways.reverse();
            frames.push(FillFrame { ways, tried: None });
            // Back to the last gap that can be filled in another way.
            loop {
                let depth = frames.len();
                let frame = frames.last_mut()?;
                let gap = &gaps[order[depth - 1]];
                if let Some(picks) = frame.tried.take() {
                    self.apply(gap, &picks, false);
                }
                if let Some(picks) = frame.ways.pop() {
                    let fits = self.apply(gap, &picks, true);
                    frame.tried = Some(picks);
                    if fits {
                        break;
                    }
                } else {
                    frames.pop();
                }
            }
        }
        Some(frames.into_iter().filter_map(|frame| frame.tried).collect())
    }

    /// Books that these fill the gap, or takes it back. Says whether what is owed can still be placed.
    fn apply(&mut self, gap: &Gap, picks: &[Pick], forward: bool) -> bool {
        let sign = if forward { 1 } else { -1 };
        let add = |count: &mut usize, by: usize| *count = if forward { *count + by } else { *count - by };
        let sub = |count: &mut usize, by: usize| *count = if forward { *count - by } else { *count + by };
        let mut fits = true;
        *self.room.entry(gap.row).or_default() -= sign * i128::from(gap.missing);
        for &Pick { kind, half, fresh, owed } in picks {
            add(&mut self.taken[kind], fresh);
            sub(&mut self.owed[kind][half], owed);
            *self.room.entry(gap.row).or_default() += sign * wide(owed);
            let other = self.kinds[kind].rows[1 - half];
            if other != NONE {
                add(&mut self.owed[kind][1 - half], fresh);
                let room = self.room.entry(other).or_default();
                *room -= sign * wide(fresh);
                fits &= *room >= 0;
            }
        }
        fits && self.room.get(&gap.row).is_none_or(|room| *room >= 0)
    }

    /// Ways to fill a gap by counts of kinds, at most so many.
    fn ways(&mut self, gap: &Gap, most: usize) -> Vec<Vec<Pick>> {
        let on_row = self.on_row.get(&gap.row).cloned().unwrap_or_default();
        let candidates: Vec<Candidate> = on_row
            .iter()
            .filter_map(|&(kind, half)| {
                let called = |at: &u32| self.docket.operation(*at).invoked_ns <= gap.deadline_ns;
                let called = self.kinds[kind].operations.partition_point(called);
                let (mut fresh, owed) = (called.saturating_sub(self.taken[kind]), self.owed[kind][half]);
                let other = self.kinds[kind].rows[1 - half];
                if other != NONE {
                    // Both halves or none: the other one must have a place as well.
                    let room = self.room.get(&other).copied().unwrap_or_default().max(0);
                    fresh = fresh.min(usize::try_from(room).unwrap_or(usize::MAX));
                }
                let adds = i128::from(self.kinds[kind].adds[half]);
                (fresh + owed > 0).then_some(Candidate { kind, half, adds, fresh, owed })
            })
            .collect();
        let enough = candidates.iter().map(|one| wide(one.fresh + one.owed)).sum::<i128>();
        let mut ways =
            Ways { candidates: &candidates, picks: Vec::new(), found: Vec::new(), most, cut: false, steps: 0 };
        ways.steps = self.steps;
        if i128::from(gap.missing) <= enough {
            ways.extend(0, i128::from(gap.missing), gap.change);
        }
        (self.steps, self.cut) = (ways.steps, self.cut | ways.cut);
        ways.found
    }

    /// Which operations fill which gap: of each kind those called first for the first deadlines.
    fn name(&self, gaps: usize, order: &[usize], picks: &[Vec<Pick>]) -> Fillers {
        let mut of_gap = vec![Vec::new(); gaps];
        let mut next: Vec<usize> = vec![0; self.kinds.len()];
        let mut owed: Vec<[VecDeque<u32>; 2]> = self.kinds.iter().map(|_| <[VecDeque<u32>; 2]>::default()).collect();
        for (&place, picks) in order.iter().zip(picks) {
            for pick in picks {
                let of_kind = &self.kinds[pick.kind].operations;
                let fresh = &of_kind[next[pick.kind]..next[pick.kind] + pick.fresh];
                next[pick.kind] += pick.fresh;
                of_gap[place].extend(owed[pick.kind][pick.half].drain(..pick.owed));
                of_gap[place].extend(fresh);
                owed[pick.kind][1 - pick.half].extend(fresh);
            }
        }
        let mut at_end = Vec::new();
        for (kind, owed) in self.kinds.iter().zip(owed) {
            for (row, owed) in kind.rows.into_iter().zip(owed) {
                at_end.extend(owed.into_iter().filter(|_| row != NONE).map(|at| (row, at)));
            }
        }
        Fillers { of_gap, at_end }
    }
}

/// A kind on the row of a gap: how many are left, and what each adds.
struct Candidate {
    kind: usize,
    half: usize,
    adds: i128,
    fresh: usize,
    owed: usize,
}

/// The search for counts that come to a number of writes and a change.
struct Ways<'c> {
    /// Ascending by what they add.
    candidates: &'c [Candidate],
    picks: Vec<Pick>,
    found: Vec<Vec<Pick>>,
    most: usize,
    steps: u32,
    cut: bool,
}

impl Ways<'_> {
    fn extend(&mut self, from: usize, missing: i128, change: i128) {
        if missing == 0 {
            if change == 0 {
                self.found.push(self.picks.clone());
            }
            return;
        }
        let Some(most) = self.candidates.last().map(|last| last.adds) else { return };
        if self.picks.len() >= KINDS_MAX {
            self.cut = true;
            return;
        }
        for at in from..self.candidates.len() {
            let &Candidate { kind, half, adds, fresh, owed } = &self.candidates[at];
            // All that follow add as much or more.
            if missing * adds > change || missing * most < change {
                return;
            }
            let all = (wide(fresh) + wide(owed)).min(missing);
            let mut count = all;
            while count > 0 {
                let whole = usize::try_from(count).unwrap_or(usize::MAX);
                for owed in (whole.saturating_sub(fresh)..=owed.min(whole)).rev() {
                    if self.steps >= STEPS_MAX || self.found.len() >= self.most {
                        self.cut |= self.steps >= STEPS_MAX || self.most > 1;
                        return;
                    }
                    self.steps += 1;
                    self.picks.push(Pick { kind, half, fresh: whole - owed, owed });
                    self.extend(at + 1, missing - count, change - count * adds);
                    self.picks.pop();
                }
                count -= 1;
            }
        }
    }
}

fn wide(count: usize) -> i128 {
    i128::try_from(count).unwrap_or(i128::MAX)
}
