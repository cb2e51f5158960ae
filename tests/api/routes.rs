//! Every documented route does what is documented.

use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;
use reqwest::Method;
use serde_json::json;
use strum::IntoEnumIterator;
use tokio::task::JoinSet;

use crate::common::{Answer, Lab, Setup, claiming, offering};

#[tokio::test]
async fn a_balance_is_changed_and_read_with_exact_bodies_on_every_approach() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Balance) {
        let base = format!("/approach/{approach}");
        lab.post(&format!("{base}/reset"), "").await.expect(200, r#"{"seed":"withdrawal"}"#);
        lab.patch(approach, r#"{"userId":1,"amount":-2}"#).await.expect(200, r#"{"balance":9998}"#);
        lab.get(&format!("{base}/balance/1")).await.expect(200, r#"{"userId":1,"balance":9998}"#);
        lab.get(&format!("{base}/balance?userId=1")).await.expect(200, r#"{"userId":1,"balance":9998}"#);
        lab.post(&format!("{base}/deposit"), r#"{"userId":1,"amount":10}"#).await.expect(200, r#"{"balance":10008}"#);
        lab.post(&format!("{base}/withdraw"), r#"{"userId":1,"amount":8}"#).await.expect(200, r#"{"balance":10000}"#);
        lab.patch(approach, r#"{"userId":1,"amount":0}"#).await.expect(200, r#"{"balance":10000}"#);
        assert_eq!(lab.account(1).await.version, 5, "{approach}: each change raises the version, also a change of 0");
    }
}

#[tokio::test]
async fn refusals_have_exact_bodies_and_change_nothing_on_every_approach() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Balance) {
        let before = lab.account(1).await;
        let refused = lab.patch(approach, r#"{"userId":1,"amount":-10001}"#).await;
        refused.expect(409, r#"{"error":"Insufficient funds"}"#);
        assert_eq!(refused.header("lab-attempts"), Some("1"));
        assert_eq!((refused.header("etag"), refused.header("lab-versions")), (None, None), "{approach}");
        let too_much = lab.patch(approach, &format!(r#"{{"userId":1,"amount":{}}}"#, i64::MAX)).await;
        too_much.expect(409, r#"{"error":"Balance out of range"}"#);
        let far_too_little = lab.patch(approach, &format!(r#"{{"userId":1,"amount":{}}}"#, i64::MIN)).await;
        far_too_little.expect(409, r#"{"error":"Insufficient funds"}"#);
        lab.patch(approach, r#"{"userId":9,"amount":1}"#).await.expect(404, r#"{"error":"User not found"}"#);
        lab.get(&format!("/approach/{approach}/balance/9")).await.expect(404, r#"{"error":"User not found"}"#);
        assert_eq!(lab.account(1).await, before, "{approach}");
    }
}

#[tokio::test]
async fn an_alias_has_the_routes_of_its_approach() {
    let lab = Lab::start().await;
    for (alias, name) in
        [("self", "atomic-returning"), ("robust", "pessimistic"), ("transaction-pessimistic-locking", "pessimistic")]
    {
        let path = format!("/approach/{alias}");
        assert_eq!(lab.get(&path).await.json()["name"], name);
        assert_eq!(Approach::find(alias).map(Approach::name), Some(name));
        let changed = Answer::of(lab.json(Method::PATCH, &format!("{path}/balance"), r#"{"userId":1,"amount":0}"#));
        changed.await.expect(200, r#"{"balance":10000}"#);
    }
}

#[tokio::test]
async fn the_root_has_the_routes_of_the_root_approach() {
    let setup = Setup { root_approach: Approach::Pessimistic, ..Setup::default() };
    let lab = Lab::with(setup).await;
    let traced = lab.json(Method::PATCH, "/balance", r#"{"userId":1,"amount":-2}"#).header("lab-trace", "1");
    let traced = Answer::of(traced).await;
    traced.expect(200, r#"{"balance":9998}"#);
    let timing = traced.header("server-timing").expect("a trace");
    assert!(timing.contains("for update"), "the root must be pessimistic: {timing}");
}

/// A client of a plain service, without approaches: a reset, concurrent deposits and withdrawals, and three reads. Its
/// only setting is the base URL.
async fn a_plain_client_ends_at_1500_1250_1000(lab: &Lab, base: &str, reset: &str) {
    lab.post(&format!("{base}{reset}"), "").await.expect(200, r#"{"seed":"mixed"}"#);
    let work = [
        (1, "deposit", 10, 100),
        (1, "withdraw", 5, 100),
        (2, "deposit", 20, 50),
        (2, "withdraw", 15, 50),
        (3, "deposit", 1, 200),
        (3, "withdraw", 2, 100),
    ];
    let mut tasks = JoinSet::new();
    for (user, action, amount, times) in work {
        for _ in 0..times {
            let body = json!({"userId": user, "amount": amount}).to_string();
            let request = lab.json(Method::POST, &format!("{base}/{action}"), &body);
            tasks.spawn(async move { Answer::of(request).await.status });
        }
    }
    for status in tasks.join_all().await {
        assert_eq!(status, 200, "{base}");
    }
    for (user, balance) in [(1, 1500), (2, 1250), (3, 1000)] {
        let answer = lab.get(&format!("{base}/balance/{user}")).await;
        answer.expect(200, &format!(r#"{{"userId":{user},"balance":{balance}}}"#));
    }
}

#[tokio::test]
async fn a_plain_client_works_at_the_root_with_the_seed_of_the_server() {
    let lab = Lab::with(Setup { seed: Seed::Mixed, ..Setup::default() }).await;
    a_plain_client_ends_at_1500_1250_1000(&lab, "", "/reset").await;
}

#[tokio::test]
async fn a_plain_client_works_under_every_safe_approach() {
    let lab = Lab::start().await;
    let safe = claiming(Workload::Balance, Claim::Safe).chain(claiming(Workload::Balance, Claim::SafeOnOneServer));
    for approach in safe {
        a_plain_client_ends_at_1500_1250_1000(&lab, &format!("/approach/{approach}"), "/reset?seed=mixed").await;
    }
}

#[tokio::test]
async fn reset_takes_a_seed_by_body_or_query_and_starts_versions_from_1() {
    let lab = Lab::start().await;
    let base = "/approach/naive/reset";
    lab.patch(Approach::Naive, r#"{"userId":1,"amount":-2}"#).await.expect(200, r#"{"balance":9998}"#);
    lab.post(base, r#"{"seed":"mixed"}"#).await.expect(200, r#"{"seed":"mixed"}"#);
    let account = lab.account(3).await;
    assert_eq!((account.balance, account.version), (1000, 1));
    lab.post(&format!("{base}?seed=bench"), "").await.expect(200, r#"{"seed":"bench"}"#);
    assert_eq!(lab.account(1000).await.balance, 1_000_000_000_000);
    lab.post(&format!("{base}?seed=mixed"), r#"{"seed":"mixed"}"#).await.expect(200, r#"{"seed":"mixed"}"#);
    lab.post(base, "{}").await.expect(200, r#"{"seed":"withdrawal"}"#);
    lab.post(base, " \n").await.expect(200, r#"{"seed":"withdrawal"}"#);
    lab.get("/balance/2").await.expect(404, r#"{"error":"User not found"}"#);
    // No content type and no body.
    Answer::of(lab.request(Method::POST, "/reset")).await.expect(200, r#"{"seed":"withdrawal"}"#);
}

#[tokio::test]
async fn the_catalogue_lists_names_aliases_ideas_claims_and_sql() {
    let lab = Lab::start().await;
    let catalogue = lab.get("/approaches").await.json();
    let entries = catalogue["approaches"].as_array().expect("a list").clone();
    assert_eq!(entries.len(), Approach::iter().count());
    for (entry, approach) in entries.iter().zip(Approach::iter()) {
        assert_eq!(entry["name"], approach.name());
        assert_eq!(entry["url"], format!("/approach/{approach}"));
        assert!(entry["idea"].as_str().is_some_and(|idea| idea.len() > 20));
        assert!(entry["sql"].is_null(), "the SQL is in the approach's own entry");
        let own = lab.get(entry["url"].as_str().expect("a url")).await.json();
        assert_eq!(
            (&own["name"], &own["claims"], &own["aliases"]),
            (&entry["name"], &entry["claims"], &entry["aliases"])
        );
        let sql = own["sql"].as_array().expect("its SQL");
        assert_eq!(sql.len(), approach.info().statements.len());
        assert!(sql.iter().all(|statement| statement["sql"].is_string() && statement["name"].is_string()));
    }
    let claim =
        |name: &str| entries.iter().find(|entry| entry["name"] == name).map(|entry| entry["claims"]["balance"].clone());
    assert_eq!(claim("naive"), Some(json!("broken")));
    assert_eq!(claim("pessimistic"), Some(json!("safe")));
}

#[tokio::test]
async fn health_readiness_and_ceiling_answer() {
    let lab = Lab::start().await;
    lab.get("/healthz").await.expect(200, r#"{"status":"ok"}"#);
    lab.get("/readyz").await.expect(200, r#"{"status":"ready"}"#);
    let ceiling = |body: &str| Answer::of(lab.json(Method::PATCH, "/ceiling/balance", body));
    ceiling(r#"{"userId":1,"amount":-2}"#).await.expect(200, r#"{"balance":10000}"#);
    assert_eq!(ceiling(r#"{"userId":0,"amount":-2}"#).await.status, 422);
    assert_eq!(lab.account(1).await.version, 1, "the ceiling touches no database");
}
