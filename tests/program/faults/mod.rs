//! Faults under load: changes with known amounts, every answer logged, and afterwards compared with the tables.
//!
//! For each [family of faults](fault_family), clients send changes by seven approaches, with and without `Idempotency-Key`, while the
//! fault happens again and again. Then the load ends, what is in progress ends, and for each request the tables say how often it was
//! made ([`ledger`]). The promises of docs/RELIABILITY.md are demanded:
//!
//! - an acknowledged change is there;
//! - a change that was answered with 503, refused or never sent is not;
//! - no change is made twice, a repeated one with a key included, and no transfer is half made;
//! - with a key, a client that repeats its request gets to know its outcome;
//! - after the fault every approach acknowledges changes again, within 30 s.
//!
//! The short form is a test as any other. `make faults` runs the long one: `FAULT_SECONDS` is the time for each family, and
//! `FAULT_FAMILY` chooses one of them.

mod fault_family;
mod fault_rig;
mod fault_table;
mod ledger;
mod ledger_tests;
mod load;
mod tampering;

use std::time::{Duration, Instant};

use strum::IntoEnumIterator as _;

use fault_family::{APPROACHES, FaultFamily};
use fault_rig::FaultRig;
use fault_table::{FamilyResult, by_approach, by_family, sum};
use ledger::compare;
use load::{CLIENTS_PER_LANE, Lane, Load};

/// The time for each family in the short form: most faults happen once or twice.
const SHORT_S: u64 = 0;

/// Pairs of a lane, and those for each further second: more than its clients use.
const PAIRS: i64 = 80;
const PAIRS_PER_S: i64 = 40;

/// Acknowledged changes of each lane before the first fault, and after each.
const BETWEEN_FAULTS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_every_fault_the_tables_agree_with_every_answer() {
    let seconds =
        std::env::var("FAULT_SECONDS").map_or(SHORT_S, |text| text.parse().expect("FAULT_SECONDS: whole seconds"));
    let only = std::env::var("FAULT_FAMILY").ok();
    let mut rig = FaultRig::start().await;
    let mut results = Vec::new();
    for family in FaultFamily::iter().filter(|family| only.as_ref().is_none_or(|only| *only == family.to_string())) {
        let result = run_family(&mut rig, family, Duration::from_secs(seconds)).await;
        println!("{family}: {} times, recovery at most {:?}", result.faults, result.slowest_recovery);
        for contradiction in result.contradictions.iter().take(20) {
            println!("CONTRADICTION {contradiction}");
        }
        results.push(result);
    }
    let lanes = results.first().map_or(0, |result| result.lanes.len());
    println!(
        "\nPostgreSQL {}, {} clients, at least {seconds} s for each fault\n\n{}\n{}",
        rig.version().await,
        lanes * CLIENTS_PER_LANE,
        by_family(&results),
        by_approach(&results)
    );
    demand_promises(&results);
    if only.is_none() {
        // So the faults have happened to requests.
        let total = sum(results.iter().flat_map(|result| &result.lanes).map(|(_, _, counts)| counts));
        assert!(total.not_done > 0 && total.unknown > 0 && total.repeated > 0, "{total:?}");
    }
    rig.demand_no_panic();
}

async fn run_family(rig: &mut FaultRig, family: FaultFamily, time: Duration) -> FamilyResult {
    rig.prepare(family);
    let pairs = PAIRS + PAIRS_PER_S * i64::try_from(time.as_secs()).expect("seconds");
    // Only an approach with a transaction offers keys.
    let with_keys = APPROACHES.iter().filter(|approach| approach.info().crash_atomic).map(|approach| (*approach, true));
    let lanes: Vec<_> = APPROACHES.iter().map(|approach| (*approach, false)).chain(with_keys).collect();
    let first_pair = rig.new_pairs(pairs * i64::try_from(lanes.len()).expect("a few")).await;
    let lanes = (0..).zip(lanes);
    let lanes = lanes.map(|(index, (approach, keys))| Lane::new(approach, keys, first_pair + index * pairs, pairs));
    let lanes = lanes.collect();
    let load = Load::start(lanes, &rig.control);
    load.every_lane_acknowledges(BETWEEN_FAULTS, "before a fault").await;
    let (began, mut faults, mut slowest_recovery) = (Instant::now(), 0, Duration::ZERO);
    while faults == 0 || began.elapsed() < time {
        family.happen(rig, &load, faults).await;
        let over = Instant::now();
        load.every_lane_acknowledges(BETWEEN_FAULTS, &format!("after {family}")).await;
        slowest_recovery = slowest_recovery.max(over.elapsed());
        faults += 1;
    }
    let logs = load.end().await;
    rig.clear_away();
    let rows = rig.final_rows(first_pair).await;
    let (mut lanes, mut contradictions) = (Vec::new(), Vec::new());
    for (lane, log) in logs {
        let of_lane = rows.range(lane.first_pair..lane.first_pair + lane.pairs).map(|(pair, rows)| (*pair, *rows));
        let verdict = compare(&log, &of_lane.collect(), lane.approach.info().crash_atomic);
        lanes.push((lane.approach, lane.keys, verdict.counts));
        let of_lane = |text| format!("{family}, {} (keys: {}): {text}", lane.approach, lane.keys);
        contradictions.extend(verdict.contradictions.into_iter().map(of_lane));
    }
    FamilyResult { family, faults, slowest_recovery, lanes, contradictions }
}

fn demand_promises(results: &[FamilyResult]) {
    for result in results {
        assert!(result.contradictions.is_empty(), "{}: {:#?}", result.family, result.contradictions);
        for (approach, keys, counts) in &result.lanes {
            let lane = format!("{}, {approach} (keys: {keys}): {counts:?}", result.family);
            assert!(counts.acknowledged > 0, "{lane}");
            assert_eq!(counts.unexpected, 0, "{lane}");
            assert!(!keys || counts.unknown == 0, "a repeated request is answered in the end: {lane}");
        }
    }
}
