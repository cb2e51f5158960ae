//! The results of the families of faults as Markdown tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use concurrency_lab::strategy::Approach;

use super::fault_family::FaultFamily;
use super::ledger::RequestCounts;

/// What happened in one family.
#[derive(Debug)]
pub struct FamilyResult {
    pub family: FaultFamily,
    /// How often the fault happened.
    pub faults: u32,
    /// The longest time from the end of a fault until every approach had acknowledged changes again.
    pub slowest_recovery: Duration,
    /// By approach, and whether the clients used keys.
    pub lanes: Vec<(Approach, bool, RequestCounts)>,
    pub contradictions: Vec<String>,
}

impl FamilyResult {
    fn sum(&self, keys: bool) -> RequestCounts {
        sum(self.lanes.iter().filter(|(_, with, _)| *with == keys).map(|(_, _, counts)| counts))
    }
}

/// The sum of some counts.
pub fn sum<'a>(all: impl IntoIterator<Item = &'a RequestCounts>) -> RequestCounts {
    let mut total = RequestCounts::default();
    all.into_iter().for_each(|counts| total.add(counts));
    total
}

const COUNTS: &str = "requests | repeated | acknowledged | refused | 503 | not sent | unknown (made) \
                      | lost | 503 but made | made twice | half made | other answers";

fn cells(counts: &RequestCounts) -> String {
    // Rows that no request explains are part of the column that they would be taken for.
    let lost = counts.lost + counts.unexplained_rows;
    [
        counts.requests.to_string(),
        counts.repeated.to_string(),
        counts.acknowledged.to_string(),
        counts.refused.to_string(),
        counts.not_done.to_string(),
        counts.not_sent.to_string(),
        format!("{} ({})", counts.unknown, counts.unknown_made),
        lost.to_string(),
        counts.denied_but_made.to_string(),
        counts.made_twice.to_string(),
        counts.half_made.to_string(),
        counts.unexpected.to_string(),
    ]
    .join(" | ")
}

fn yes(keys: bool) -> &'static str {
    if keys { "yes" } else { "no" }
}

fn head(first: &str) -> String {
    let columns = format!("{first} | {COUNTS}");
    let rule = "---|".repeat(columns.matches('|').count() + 1);
    format!("| {columns} |\n|{rule}\n")
}

/// A row for each family, with and without keys.
pub fn by_family(results: &[FamilyResult]) -> String {
    let mut table = head("fault | times | recovery, slowest | keys");
    for result in results {
        for keys in [false, true] {
            let (what, cells) = (result.family.description(), cells(&result.sum(keys)));
            let (times, recovery) = (result.faults, result.slowest_recovery.as_secs_f64());
            let _ = writeln!(table, "| {what} | {times} | {recovery:.1} s | {} | {cells} |", yes(keys));
        }
    }
    table
}

/// A row for each approach, with and without keys, over all families.
pub fn by_approach(results: &[FamilyResult]) -> String {
    let mut approaches: BTreeMap<(String, bool), RequestCounts> = BTreeMap::new();
    for (approach, keys, counts) in results.iter().flat_map(|result| &result.lanes) {
        approaches.entry((approach.to_string(), *keys)).or_default().add(counts);
    }
    let mut table = head("approach | keys");
    for ((approach, keys), counts) in &approaches {
        let _ = writeln!(table, "| {approach} | {} | {} |", yes(*keys), cells(counts));
    }
    let total = sum(approaches.values());
    let _ = writeln!(table, "| all | | {} |", cells(&total));
    table
}
