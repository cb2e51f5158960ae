//! Chains: the writes of a row in the order in which they were made, each checked against the one before.
//!
//! Where each write has a number, the order is known, and checking is a walk (Gibbons & Korach, "Testing shared
//! memories", 1997: with the order of writes known, linearizability takes O(n log n), without it, it is NP-complete).
//! Versions are such numbers. Where all writes of a row add the same, the values are as good: the third
//! withdrawal of 2 from 10 is the one that leaves 4.
//!
//! A write whose value does not follow from its predecessor's is a *lost update*: it was computed from a
//! value that was no longer there (Adya's G-single; P4 of "A Critique of ANSI SQL Isolation Levels").
//! Numbers that no answer claims are *gaps*, which [`super::gaps`] fills with operations of unknown outcome.

use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, NONE, Partition};
use crate::history::Outcome;
use crate::judgement::Anomaly;
use crate::phrases;
use domain::Row;

/// What numbers the writes of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Their versions.
    Versions,
    /// Their values, for each write adds this, which is not 0.
    Values(i64),
}

/// The writes of one row.
#[derive(Debug, Default)]
pub struct Chain {
    /// The operations, in order.
    pub writes: Vec<u32>,
    /// The value at each place: before the first write, then after each.
    pub values: Vec<i64>,
}

/// Writes that must have been made and that no answer claims.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// The row.
    pub row: u32,
    /// How many writes of the chain come before it.
    pub place: usize,
    /// How many are missing.
    pub missing: u64,
    /// What they add together.
    pub change: i128,
    /// The first return of all writes behind it: these writes were made before.
    pub deadline_ns: u64,
}

/// The chains of all rows, and where in them each operation stands.
#[derive(Debug)]
pub struct Chains {
    /// By row.
    pub of_row: Vec<Chain>,
    /// By operation: of each of its effects, how many writes come before it; [`NONE`] if it is in no chain.
    pub places: Vec<[u32; 2]>,
}

/// A write with its number.
struct Numbered {
    number: i128,
    value: i64,
    at: u32,
}

/// What numbers the writes of a partition, if anything does.
pub fn numbering(index: &HistoryIndex<'_>, partition: &Partition) -> Option<Numbering> {
    let told = |at: u32, versions: bool| match index.operation(at).outcome {
        Outcome::Done(seen) => {
            index.effects(at).all(|(place, _, _)| seen[place].is_some_and(|seen| !versions || seen.version.is_some()))
        }
        _ => true,
    };
    let reports = |&row: &u32| {
        let known = index.row(row);
        known.before.seen.version.is_some() && known.after.is_none_or(|after| after.seen.version.is_some())
    };
    if partition.rows.iter().all(reports) && partition.operations.iter().all(|&at| told(at, true)) {
        return Some(Numbering::Versions);
    }
    let writes = || partition.operations.iter().copied().filter(|&at| !is_refused(index, at));
    let mut steps = writes().flat_map(|at| index.effects(at).map(|(_, _, adds)| adds));
    // A row without writes fits any numbering.
    let step = steps.next().unwrap_or(1);
    let equal = step != 0 && steps.all(|adds| adds == step);
    (partition.rows.len() == 1 && equal && writes().all(|at| told(at, false))).then_some(Numbering::Values(step))
}

/// Whether the versions of a row, as far as they are known, are those that its values demand: each write adds this step, and 1 to the version.
pub fn versions_agree(index: &HistoryIndex<'_>, partition: &Partition, step: i64) -> bool {
    let [row] = partition.rows[..] else { return false };
    let known = index.row(row);
    let start = known.before.seen;
    let written = partition.operations.iter().filter_map(|&at| match index.operation(at).outcome {
        Outcome::Done(seen) => {
            index.effects(at).find(|(_, touched, _)| *touched == row).and_then(|(place, ..)| seen[place])
        }
        _ => None,
    });
    let mut first = None;
    written.chain([start]).chain(known.after.map(|after| after.seen)).all(|seen| {
        let Some(version) = seen.version else { return true };
        let made = if seen.value == start.value { Some(0) } else { value_number(start.value, step, seen.value) };
        let Some(made) = made else { return false };
        *first.get_or_insert(i128::from(version) - made) == i128::from(version) - made
    })
}

/// Whether it changed nothing.
pub fn is_refused(index: &HistoryIndex<'_>, at: u32) -> bool {
    matches!(index.operation(at).outcome, Outcome::Refused(_))
}

impl Chains {
    /// No chains yet.
    pub fn new(index: &HistoryIndex<'_>) -> Self {
        Self {
            of_row: index.rows.iter().map(|_| Chain::default()).collect(),
            places: vec![[NONE; 2]; index.rows_of.len()],
        }
    }

    /// Makes the chains of a partition, names what does not follow, and returns the gaps.
    pub fn walk(
        &mut self,
        index: &HistoryIndex<'_>,
        partition: &Partition,
        numbering: Numbering,
        findings: &mut FindingCounter,
    ) -> Vec<Gap> {
        let mut numbered: Vec<Vec<Numbered>> = partition.rows.iter().map(|_| Vec::new()).collect();
        for &at in &partition.operations {
            let Outcome::Done(seen) = index.operation(at).outcome else { continue };
            for (place, row, _) in index.effects(at) {
                let (Ok(local), Some(seen)) = (partition.rows.binary_search(&row), seen[place]) else { continue };
                let start = index.row(row).before.seen.value;
                match numbering {
                    Numbering::Versions => {
                        let number = seen.version.map(i128::from).unwrap_or_default();
                        numbered[local].push(Numbered { number, value: seen.value, at });
                    }
                    Numbering::Values(step) => match value_number(start, step, seen.value) {
                        Some(number) => numbered[local].push(Numbered { number, value: seen.value, at }),
                        None => findings.add(index.history, Anomaly::LostUpdate, 1, &[Some(at)], || {
                            let (row, one) = (index.row(row).row, phrases::one(&index.operation(at).request));
                            format!("{one} wrote {}, {}", seen.value, never(row, start, step, seen.value))
                        }),
                    },
                }
            }
        }
        let mut gaps = Vec::new();
        for (&row, mut numbered) in partition.rows.iter().zip(numbered) {
            numbered.sort_by_key(|write| (write.number, index.operation(write.at).invoked_ns));
            let mut walk = Walk { index, row, numbering, chain: Chain::default(), gaps: Vec::new() };
            walk.run(&numbered, findings);
            let Walk { chain, gaps: found, .. } = walk;
            gaps.extend(found);
            self.of_row[row as usize] = chain;
        }
        gaps
    }

    /// Puts operations of unknown outcome into the chain of a row, at these places (in order). Says whether they can have
    /// been made in the order that they are given there.
    pub fn fill(&mut self, index: &HistoryIndex<'_>, row: u32, fillers: Vec<(usize, Vec<u32>)>) -> bool {
        let chain = std::mem::take(&mut self.of_row[row as usize]);
        let mut filled = Chain::default();
        let (mut from, mut possible) = (0, true);
        let mut values = chain.values.iter();
        filled.values.extend(values.next());
        for (place, mut operations) in fillers {
            let adds = |at: u32| index.effects(at).find(|effect| effect.1 == row).map_or(0, |effect| effect.2);
            let called = |at: u32| (index.operation(at).invoked_ns, at);
            // In the order of their calls, or if that falls below 0, what adds before what takes.
            operations.sort_unstable_by_key(|&at| called(at));
            let mut sum = i128::from(chain.values[place]);
            let falls = |&at: &u32| {
                sum += i128::from(adds(at));
                sum < 0
            };
            if operations.iter().any(falls) {
                operations.sort_unstable_by_key(|&at| (adds(at) < 0, called(at)));
            }
            filled.writes.extend(&chain.writes[from..place]);
            filled.values.extend(values.by_ref().take(place - from));
            from = place;
            for at in operations {
                let last = filled.values.last().copied().unwrap_or_default();
                let value = last.checked_add(adds(at));
                possible &= value.is_some_and(|value| value >= 0 || matches!(index.row(row).row, Row::Counter(_)));
                filled.writes.push(at);
                filled.values.push(value.unwrap_or(last));
            }
        }
        filled.writes.extend(&chain.writes[from..]);
        filled.values.extend(values);
        self.of_row[row as usize] = filled;
        possible
    }

    /// Notes where in the chains of a partition each operation stands.
    pub fn place(&mut self, index: &HistoryIndex<'_>, partition: &Partition) {
        for &row in &partition.rows {
            for (place, &at) in (0..).zip(&self.of_row[row as usize].writes) {
                for (effect, changed) in index.rows_of[at as usize].iter().enumerate() {
                    if *changed == row {
                        self.places[at as usize][effect] = place;
                    }
                }
            }
        }
    }
}

/// Which write leaves this value, counted from the start, if each adds `step`.
fn value_number(start: i64, step: i64, value: i64) -> Option<i128> {
    let change = i128::from(value) - i128::from(start);
    let step = i128::from(step);
    (change % step == 0 && change / step >= 1).then_some(change / step)
}

/// Why a row cannot have a value, as the rest of a sentence.
fn never(row: Row, start: i64, step: i64, value: i64) -> String {
    let number = phrases::number_of(row);
    format!("but the {number} starts at {start} and every write adds {step:+}, so it is never {value} ({row})")
}

/// A walk along one row.
struct Walk<'d, 'h> {
    index: &'d HistoryIndex<'h>,
    row: u32,
    numbering: Numbering,
    chain: Chain,
    gaps: Vec<Gap>,
}

impl Walk<'_, '_> {
    fn run(&mut self, numbered: &[Numbered], findings: &mut FindingCounter) {
        let before = self.index.row(self.row).before.seen;
        let first = match self.numbering {
            Numbering::Versions => before.version.map(i128::from).unwrap_or_default(),
            Numbering::Values(_) => 0,
        };
        self.chain.values.push(before.value);
        let mut last = Numbered { number: first, value: before.value, at: NONE };
        for &Numbered { number, value, at } in numbered {
            if number <= last.number {
                self.name_duplicate(&last, &Numbered { number, value, at }, findings);
                continue;
            }
            let adds = self.adds(at);
            let read = i128::from(value) - i128::from(adds);
            if number - last.number > 1 {
                self.gap(number - last.number - 1, read - i128::from(last.value));
            } else if read != i128::from(last.value) {
                self.name_lost_update(&last, &Numbered { number, value, at }, adds, findings);
            }
            self.chain.writes.push(at);
            self.chain.values.push(value);
            last = Numbered { number, value, at };
        }
        self.end(&last, numbered, findings);
        self.set_deadlines();
    }

    fn adds(&self, at: u32) -> i64 {
        self.index.effects(at).find(|effect| effect.1 == self.row).map_or(0, |effect| effect.2)
    }

    fn gap(&mut self, missing: i128, change: i128) {
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        let place = self.chain.writes.len();
        self.gaps.push(Gap { row: self.row, place, missing, change, deadline_ns: u64::MAX });
    }

    fn name_duplicate(&self, last: &Numbered, write: &Numbered, findings: &mut FindingCounter) {
        let row = self.index.row(self.row).row;
        let operations = [(last.at != NONE).then_some(last.at), Some(write.at)];
        match self.numbering {
            Numbering::Versions => {
                findings.add(self.index.history, Anomaly::DuplicateVersion, 1, &operations, || match operations[0] {
                    Some(_) => {
                        format!("Two answers report the same version of a row (version {} of {row})", write.number)
                    }
                    None => format!(
                        "An answer reports a version that the row had before the first operation (version {} of {row})",
                        write.number
                    ),
                });
            }
            Numbering::Values(step) => findings.add(self.index.history, Anomaly::LostUpdate, 1, &operations, || {
                let read = i128::from(write.value) - i128::from(step);
                let request = &self.index.operation(write.at).request;
                phrases::both_read(row, read, [request; 2], [write.value.into(); 2], "one", &row.to_string())
            }),
        }
    }

    fn name_lost_update(&self, last: &Numbered, write: &Numbered, adds: i64, findings: &mut FindingCounter) {
        let row = self.index.row(self.row).row;
        let operations = [(last.at != NONE).then_some(last.at), Some(write.at)];
        findings.add(self.index.history, Anomaly::LostUpdate, 1, &operations, || {
            let read = i128::from(write.value) - i128::from(adds);
            let proof = format!("versions {} and {} of {row}", last.number, write.number);
            let request = &self.index.operation(write.at).request;
            if last.at != NONE && i128::from(last.value) - i128::from(self.adds(last.at)) == read {
                let requests = [&self.index.operation(last.at).request, request];
                return phrases::both_read(row, read, requests, [last.value.into(), write.value.into()], "one", &proof);
            }
            format!(
                "{} read {} and wrote {}, but the {} before it was {}, so it should have written {} ({proof})",
                phrases::one(request),
                phrases::value(row, read),
                write.value,
                phrases::number_of(row),
                last.value,
                i128::from(last.value) + i128::from(adds),
            )
        });
    }

    /// What the last write left must be there in the end.
    fn end(&mut self, last: &Numbered, numbered: &[Numbered], findings: &mut FindingCounter) {
        let known = self.index.row(self.row);
        let (row, start) = (known.row, known.before.seen.value);
        let Some(after) = known.after.map(|after| after.seen) else { return };
        let number = match self.numbering {
            Numbering::Versions => after.version.map(i128::from).unwrap_or_default(),
            Numbering::Values(_) if after.value == start => 0,
            Numbering::Values(step) => match value_number(start, step, after.value) {
                Some(number) => number,
                None => {
                    return findings.add(self.index.history, Anomaly::UnexplainedWrite, 1, &[], || {
                        let never = never(row, start, step, after.value);
                        format!("The final {} is {}, {never}", phrases::number_of(row), after.value)
                    });
                }
            },
        };
        let history = self.index.history;
        let change = i128::from(after.value) - i128::from(last.value);
        if number > last.number {
            self.gap(number - last.number, change);
        } else if number < last.number {
            let gone: Vec<&Numbered> = numbered.iter().filter(|write| write.number > number).collect();
            // A writer that goes by values and overwrites is named above already.
            if self.numbering != Numbering::Versions && findings.has(Anomaly::LostUpdate) {
                return;
            }
            let one = gone.first().map(|write| write.at);
            let count = (gone.len() as u64).max(1);
            findings.add(history, Anomaly::LostWrite, count, &[one], || match (self.numbering, one) {
                (Numbering::Versions, Some(at)) => format!(
                    "{} was acknowledged, but it is missing in the final state (which has version {number} of {row})",
                    phrases::one(&self.index.operation(at).request)
                ),
                (Numbering::Versions, None) => format!(
                    "{} has an older version in the end than before the first operation (versions {} and {number} of \
                     {row})",
                    phrases::capital(row),
                    last.number
                ),
                (Numbering::Values(_), _) => format!(
                    "An acknowledged write is missing in the final state: the {} of {} ends at {}",
                    phrases::number_of(row),
                    phrases::small(row),
                    after.value
                ),
            });
        } else if change != 0 {
            let one = (last.at != NONE).then_some(last.at);
            findings.add(history, Anomaly::LostWrite, 1, &[one], || {
                format!(
                    "The {} of {} was {} after its last write and is {} in the end (both are version {number} of {row})",
                    phrases::number_of(row),
                    phrases::small(row),
                    last.value,
                    after.value
                )
            });
        }
    }

    /// A write behind a gap was made before it returned, and the gap's writes before that.
    fn set_deadlines(&mut self) {
        let mut deadline_ns = u64::MAX;
        let mut place = self.chain.writes.len();
        for gap in self.gaps.iter_mut().rev() {
            for &at in &self.chain.writes[gap.place..place] {
                deadline_ns = deadline_ns.min(self.index.operation(at).returned_ns);
            }
            place = gap.place;
            gap.deadline_ns = deadline_ns;
        }
    }
}
