//! Ad hoc.
use concurrency_lab::explore::exploration::explore;
use concurrency_lab::explore::play::ApproachPlay;
use concurrency_lab::explore::repertoire::{pieces, subject};
use concurrency_lab::explore::scenario::Scenario;
use concurrency_lab::explore::search::Plan;
use concurrency_lab::explore::world::World;
use concurrency_lab::strategy::Approach;
use strum::IntoEnumIterator;

use crate::common;

#[tokio::test]
async fn matrix() {
    let cluster = common::cluster().await;
    let options = common::new_database(&cluster).await;
    let mut world = World::open(&options).await.unwrap();
    let reduce = std::env::var("REDUCE").is_ok();
    let only = std::env::var("ONLY").unwrap_or_default();
    for approach in Approach::iter().filter(|approach| approach.name().contains(&only)) {
        for scenario in Scenario::iter() {
            for piece in pieces(approach, scenario, 2) {
                let subject = subject(approach, &piece);
                let plan = Plan { reduce, permute: std::env::var("PERMUTE").is_ok(), ..Plan::default() };
                let mut play = ApproachPlay::new(&mut world, piece);
                let found = explore(&mut play, subject, plan, &mut |_| true).await.unwrap();
                println!(
                    "{:22} {:24} {:?} n={} pruned={} outcomes={} viol={} wait={} dead={} conf={} {} {:?} {:.2}s {:?}",
                    approach.name(),
                    scenario.to_string(),
                    found.subject.servers,
                    found.interleavings,
                    found.pruned,
                    found.outcomes.len(),
                    found.violations,
                    found.waited,
                    found.deadlocks,
                    found.conflicts,
                    found.verdict,
                    found.witness.as_ref().map(|w| (w.anomalies.clone(), w.transcript.schedule.to_string())),
                    found.elapsed_s,
                    found.undecided
                );
                if found.contradicts_claim() {
                    println!("    CONTRADICTS CLAIM {:?}", found.witness);
                }
            }
        }
    }
}
