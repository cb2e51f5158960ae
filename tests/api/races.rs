//! Races over real HTTP, judged by the referee: safe approaches hold, the broken one is shown broken.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::body::Bytes;
use concurrency_lab::lab::load::{self, Plan};
use concurrency_lab::lab::referee::{History, Judgement, State, judge};
use concurrency_lab::strategy::{Approach, Claim, Workload};
use hyper::header::HeaderValue;
use reqwest::Method;

use crate::common::{Lab, Setup, claiming, crowded};

const AMOUNT: i64 = -2;

struct Race {
    approach: Approach,
    requests: u64,
    concurrency: usize,
    think_time: Option<Duration>,
}

impl Race {
    async fn run(&self, servers: &[&Lab]) -> (Judgement, load::Load) {
        let state = async || {
            let account = servers[0].account(1).await;
            State { balance: account.balance, version: Some(account.version) }
        };
        let before = state().await;
        let plan = Plan {
            targets: servers.iter().map(|lab| (lab.address, HeaderValue::from_static("localhost"))).collect(),
            method: Method::PATCH,
            path: format!("/approach/{}/balance", self.approach),
            body: Bytes::from(format!(r#"{{"userId":1,"amount":{AMOUNT}}}"#)),
            requests: self.requests,
            concurrency: self.concurrency,
            think_time: self.think_time,
        };
        let load = load::run(plan, Arc::new(AtomicU64::new(0))).await.expect("a load");
        let after = state().await;
        (judge(&History { before, amount: AMOUNT, heard: load.heard.clone(), after }), load)
    }
}

fn safe() -> impl Iterator<Item = Approach> {
    claiming(Workload::Balance, Claim::Safe)
}

fn broken() -> impl Iterator<Item = Approach> {
    claiming(Workload::Balance, Claim::Broken)
}

/// The classic check.
#[tokio::test(flavor = "multi_thread")]
async fn of_10000_withdrawals_of_2_from_10000_exactly_5000_succeed_on_every_safe_approach() {
    let lab = Lab::start().await;
    for approach in safe().chain(claiming(Workload::Balance, Claim::SafeOnOneServer)) {
        lab.post("/reset", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
        let race = Race { approach, requests: 10_000, concurrency: 256, think_time: None };
        let (judgement, load) = race.run(&[&lab]).await;
        assert_eq!(judgement, Judgement { accepted: 5_000, refused: 5_000, ..Judgement::default() }, "{approach}");
        assert_eq!(lab.account(1).await.balance, 0, "{approach}");
        let insufficient = Bytes::from_static(br#"{"error":"Insufficient funds"}"#);
        assert_eq!(load.answers.get(&(409, insufficient)), Some(&5_000), "{approach}");
        assert_eq!(load.answers.len(), 5_001, "{approach}: 5000 balances, each once, and one refusal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_approaches_are_shown_broken_with_a_think_time() {
    let lab = Lab::start().await;
    for approach in broken() {
        lab.post("/reset", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
        let think_time = Some(Duration::from_millis(5));
        let (judgement, _) = Race { approach, requests: 200, concurrency: 16, think_time }.run(&[&lab]).await;
        assert!(judgement.lost_updates > 0, "{approach}: {judgement:?}");
        assert_eq!(judgement.accepted, 200, "{approach}");
        assert!(lab.account(1).await.balance > 10_000 - 400, "{approach}: more was paid out than the account shows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_are_as_safe_as_one() {
    let first = Lab::start().await;
    let second = first.another(Setup::default()).await;
    for approach in safe() {
        first.post("/reset", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
        let race = Race { approach, requests: 6_000, concurrency: 64, think_time: None };
        let (judgement, _) = race.run(&[&first, &second]).await;
        assert_eq!(judgement, Judgement { accepted: 5_000, refused: 1_000, ..Judgement::default() }, "{approach}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn think_time_and_no_limit_by_row_break_no_safe_approach() {
    let lab = Lab::with(Setup { limits: crowded(), ..Setup::default() }).await;
    for approach in safe() {
        lab.post("/reset", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
        let think_time = Some(Duration::from_millis(1));
        let race = Race { approach, requests: 600, concurrency: 32, think_time };
        let (judgement, load) = race.run(&[&lab]).await;
        assert_eq!(judgement, Judgement { accepted: 600, ..Judgement::default() }, "{approach}");
        if approach == Approach::OptimisticVersion {
            assert!(load.attempts > 600, "with 32 competitors somebody must have retried");
        }
    }
}
