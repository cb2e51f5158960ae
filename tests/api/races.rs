//! Races over real HTTP, judged by the referee: safe approaches hold, and broken ones are shown broken.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use concurrency_lab::lab::experiment::{Experiment, RunObserver};
use concurrency_lab::lab::plan::{Contestant, RunConditions};
use concurrency_lab::lab::results::{Round, RunVerdict};
use concurrency_lab::lab::routes::ServiceRoutes;
use concurrency_lab::lab::scenario::{Scenario, ScenarioWork};
use concurrency_lab::lab::target::Target;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;
use referee::history::{ClaimedSafety, RoundTitle};
use referee::judgement::Anomaly;

use crate::common::{Lab, Setup, claiming, crowded, directory};

struct Race {
    approach: Approach,
    amount: i64,
    requests: u64,
    concurrency: u32,
    think_time: Option<Duration>,
}

/// An observer that ignores every event.
struct SilentObserver;

impl RunObserver for SilentObserver {
    fn begins(&self, _: &RoundTitle, _: &RunConditions, _: &Arc<AtomicU64>) {}

    fn ends(&self, _: &RoundTitle, _: &Round) {}
}

impl Race {
    /// One round, from a reset to its judgement.
    async fn run(&self, servers: &[&Lab]) -> Round {
        let conditions = RunConditions {
            work: Arc::new(ScenarioWork::new(Scenario::Withdrawal, self.amount, 1, None, 1)),
            requests: Some(self.requests),
            duration: None,
            warmup: Duration::ZERO,
            repeat: 1,
            concurrency: self.concurrency,
            rate_per_s: None,
            think_time: self.think_time,
        };
        let contestant = Contestant {
            name: self.approach.to_string(),
            claim: ClaimedSafety::Safe,
            base: format!("/approach/{}", self.approach),
            routes: Arc::new(ServiceRoutes::ours()),
            trace: false,
        };
        let targets: Vec<_> = servers.iter().map(|lab| Target::parse(&lab.url("")).expect("a URL")).collect();
        let directory = directory();
        let mut experiment =
            Experiment::new(directory.path(), tokio_util::sync::CancellationToken::new(), Arc::new(SilentObserver))
                .expect("its files");
        let mut results = Vec::new();
        experiment.race(&conditions, &targets, &[contestant], None, &mut results).await.expect("a race");
        results[0].rounds.remove(0)
    }
}

/// Whether a round went as expected: this many done, this many refused, and nothing else.
fn is_right(round: &Round, done: u64, refused: u64) -> bool {
    let counts = &round.judgement.counts;
    round.verdict == RunVerdict::Correct
        && (counts.done, counts.refused) == (done, refused)
        && counts.not_done + counts.unknown + counts.unexpected == 0
}

fn safe() -> impl Iterator<Item = Approach> {
    claiming(Workload::Balance, Claim::Safe)
}

fn broken() -> impl Iterator<Item = Approach> {
    claiming(Workload::Balance, Claim::Broken)
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_approaches_are_shown_broken_with_a_think_time() {
    let lab = Lab::start().await;
    for approach in broken() {
        let think_time = Some(Duration::from_millis(5));
        let round = Race { approach, amount: -2, requests: 200, concurrency: 16, think_time }.run(&[&lab]).await;
        assert!(round.judgement.count(Anomaly::LostUpdate) > 0, "{approach}: {:?}", round.judgement);
        assert_eq!(round.judgement.counts.done, 200, "{approach}");
        assert!(lab.account(1).await.balance > 10_000 - 400, "{approach}: more was paid out than the account shows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_are_as_safe_as_one() {
    let first = Lab::start().await;
    let second = first.another(Setup::default()).await;
    for approach in safe() {
        let race = Race { approach, amount: -20, requests: 600, concurrency: 64, think_time: None };
        let round = race.run(&[&first, &second]).await;
        assert!(is_right(&round, 500, 100), "{approach}: {:?}", round.judgement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_think_time_without_a_limit_per_row_breaks_no_safe_approach() {
    let lab = Lab::with(Setup { limits: crowded(), ..Setup::default() }).await;
    for approach in safe() {
        let think_time = Some(Duration::from_millis(1));
        let race = Race { approach, amount: -2, requests: 300, concurrency: 32, think_time };
        let round = race.run(&[&lab]).await;
        assert!(is_right(&round, 300, 0), "{approach}: {:?}", round.judgement);
        if approach == Approach::OptimisticVersion {
            assert!(round.retried > 0, "with 32 competing clients at least one request must have been retried");
        }
    }
}
