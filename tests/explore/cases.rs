//! Small explore files that a naive explorer judges wrongly, each with what is right: `tests/explore/cases/`. Their first lines say why.

use concurrency_lab::explore::ExploreError;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict, FailureKind};
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::explore::search_order::SearchOrder;
use concurrency_lab::explore::transcript::StepOutcome;

use super::fixture::explorer_database;
use crate::common;
use ExplorationVerdict::{Broken, DependsOnTime, NotJudged, Proved};

/// Explores every variant of a file's text.
pub async fn explore_text(text: &str, reduce: bool) -> Vec<Result<Exploration, ExploreError>> {
    explore_as(text, &SearchPlan { reduce, ..SearchPlan::default() }).await
}

async fn explore_as(text: &str, plan: &SearchPlan) -> Vec<Result<Exploration, ExploreError>> {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let script = Script::parse(text).expect("an explore file");
    let mut all = Vec::new();
    for variant in &script.variants {
        let subject = execution::subject(&script, variant, "case.toml");
        all.push(execution::explore(&mut database, &script, variant, subject, plan.clone(), &mut |_| true).await);
    }
    database.close().await.expect("a clean end");
    all
}

fn case(name: &str) -> String {
    std::fs::read_to_string(format!("tests/explore/cases/{name}.toml")).expect("a case")
}

/// Explores a file with one variant.
pub async fn explore_one(text: &str) -> Exploration {
    explore_one_as(text, &SearchPlan::default()).await
}

pub async fn explore_one_as(text: &str, plan: &SearchPlan) -> Exploration {
    explore_as(text, plan).await.remove(0).expect("an exploration")
}

pub fn anomalies(found: &Exploration) -> Vec<&str> {
    let mut names: Vec<&str> =
        found.outcomes.iter().flat_map(|outcome| &outcome.anomalies).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test]
async fn the_snapshot_and_the_commit_of_a_statement_outside_a_transaction_come_apart() {
    let found = explore_one(&case("last-owner")).await;
    assert_eq!((found.verdict, anomalies(&found)), (Broken, vec!["no owner is left"]));
    // The innocent: at SERIALIZABLE one of the two fails.
    let serializable = case("last-owner")
        .replace("[\"delete", "[\"begin isolation level serializable\", \"delete")
        .replace("> 1\"]", "> 1\", \"commit\"]");
    let found = explore_one(&serializable).await;
    assert_eq!((found.verdict, found.conflicts > 0), (Proved, true));
    // Statements on other tables stay one step.
    let apart = r#"
        title = "apart"
        setup = "create table a (n int); create table b (n int); insert into a values (0); insert into b values (0)"
        outcome = "select a.n, b.n as m from a, b"
        [[session]]
        statements = ["update a set n = 1"]
        [[session]]
        statements = ["update b set n = (select count(*) from b)"]
    "#;
    let found = explore_one(apart).await;
    assert_eq!((found.verdict, found.interleavings), (Proved, 2));
}

#[tokio::test]
async fn a_statement_that_changes_several_rows_is_proved_only_within_limits() {
    let found = explore_one(&case("bulk-upsert")).await;
    assert_eq!(found.verdict, Proved);
    let limits = found.limits.join("\n");
    assert!(
        limits.contains("several rows") && limits.contains("A: insert") && limits.contains("B: insert"),
        "{limits}"
    );
    // The innocent: one row each.
    let single = case("bulk-upsert").replace(", (2, 1)) v", ") v").replace(", (1, 1)) v", ") v");
    assert_eq!(explore_one(&single).await.limits, Vec::<String>::new());
}

#[tokio::test]
async fn begin_fixes_the_clock_so_a_reduced_search_leaves_nothing_out() {
    for reduce in [false, true] {
        let found = explore_text(&case("checkpoint-now"), reduce).await.remove(0).expect("an exploration");
        assert_eq!((found.verdict, found.interleavings), (Broken, 35), "reduced: {reduce}");
        assert_eq!(
            found.limits.iter().any(|limit| limit.contains("--reduce left nothing out")),
            reduce,
            "{:?}",
            found.limits
        );
    }
}

#[tokio::test]
async fn comments_do_not_hide_where_a_transaction_begins() {
    let found = explore_one(&case("comment-before-begin")).await;
    assert_eq!((found.verdict, found.gave_up), (Proved, 0));
    assert!(found.conflicts > 0);
}

#[tokio::test]
async fn a_timeline_has_the_command_tags_of_postgresql() {
    let found = explore_one(&case("compare-and-set")).await;
    let steps = found.witness.iter().flat_map(|witness| &witness.transcript.entries);
    let tags: Vec<&str> = steps
        .filter_map(|step| if let StepOutcome::Tag(tag) = &step.outcome { Some(tag.as_str()) } else { None })
        .collect();
    assert!(tags.contains(&"UPDATE 1") && tags.contains(&"UPDATE 0"), "{:?} {tags:?}", found.verdict);
}

#[tokio::test]
async fn the_shortest_deadlock_is_shown() {
    let found = explore_one(&case("deadlock")).await;
    assert_eq!(found.verdict, Proved, "the victim gave up and changed nothing: {:?}", anomalies(&found));
    let kinds: Vec<FailureKind> = found.examples.iter().map(|example| example.failure).collect();
    assert_eq!(kinds, [FailureKind::Deadlock, FailureKind::GaveUp]);
    assert!(found.examples[0].transcript.deadlocked());
    // The innocent: both lock in one order.
    let ordered = case("deadlock").replace(
        "where id = 2\", \"update t set n = n + 1 where id = 1",
        "where id = 1\", \"update t set n = n + 1 where id = 2",
    );
    let found = explore_one(&ordered).await;
    assert_eq!((found.verdict, found.deadlocks, found.examples.len()), (Proved, 0, 0));
}

#[tokio::test]
async fn all_rows_of_an_invariant_count_and_anything_but_booleans_is_an_error() {
    let text = case("first-row-only");
    let found = explore_one(&text).await;
    assert_eq!((found.verdict, found.violations), (Broken, found.interleavings));
    let explanation = &found.witness.expect("a witness").explanation;
    assert!(explanation.contains("negative balance (false in 1 of 2 rows)"), "{explanation}");
    let innocent = explore_one(&text.replace("(2, -5)", "(2, 5)")).await;
    assert_eq!(innocent.verdict, Proved);
    let null = explore_one(&text.replace("(2, -5)", "(2, null)").replace("n int not null", "n int")).await;
    let explanation = &null.witness.expect("a witness").explanation;
    assert!(explanation.contains("null in 1 of 2 rows"), "{explanation}");
    for (query, message) in [
        ("select n from t order by id", "expected a boolean, found n = "),
        ("select true, true", "expected one boolean column, found 2"),
        ("select true from t where n = 7", "found no row"),
        ("select nothing", "42703"),
    ] {
        let error = explore_text(&text.replace("select n >= 0 from t order by id", query), false).await.remove(0);
        let error = error.expect_err(query).to_string();
        assert!(error.contains("invariant \"negative balance\"") && error.contains(message), "{query}: {error}");
    }
}

#[tokio::test]
async fn what_a_timeout_decides_is_never_called_proved() {
    let found = explore_one(&case("lock-timeout")).await;
    assert_eq!(found.verdict, DependsOnTime);
    assert!(found.limits.iter().any(|limit| limit.contains("B: set sets lock_timeout")), "{:?}", found.limits);
    assert_eq!(anomalies(&found), Vec::<&str>::new());
    let off = explore_one(&case("lock-timeout").replace("'6ms'", "0")).await;
    assert_eq!(off.verdict, Proved, "a timeout that is turned off");
}

#[tokio::test]
async fn without_an_invariant_rows_and_answers_are_compared_with_serial_orders() {
    let text = case("nothing-to-judge");
    let found = explore_one(&text).await;
    assert_eq!((found.verdict, anomalies(&found)), (Broken, vec!["not serializable"]));
    let innocent =
        explore_one(&text.replace("select n from t\", \"update", "select n from t for update\", \"update")).await;
    assert_eq!(innocent.verdict, Proved);
    let not_judged = explore_one(&format!("serial = false\n{text}")).await;
    assert_eq!((not_judged.verdict, not_judged.outcomes.len()), (NotJudged, 3));
}

#[tokio::test]
async fn answers_of_no_serial_order_are_found_where_the_rows_are_right() {
    let text = case("read-skew");
    let found: Vec<Exploration> =
        explore_text(&text, false).await.into_iter().map(|found| found.expect("one")).collect();
    assert_eq!(found.iter().map(|found| found.verdict).collect::<Vec<_>>(), [Broken, Proved]);
    assert!(found.iter().all(|found| found.missed.is_empty()));
    let rows_only =
        text.replace("serial = true", "serial = \"rows\"").split("[expect.").next().expect("its start").to_owned();
    let rows_only: Vec<Exploration> =
        explore_text(&rows_only, false).await.into_iter().map(|found| found.expect("one")).collect();
    assert!(rows_only.iter().all(|found| found.verdict == Proved), "the rows alone are those of a serial order");
}

#[tokio::test]
async fn a_statement_that_fails_everywhere_is_a_mistake_in_the_file() {
    let error = explore_text(&case("typo"), false).await.remove(0).expect_err("a mistake").to_string();
    for part in ["session A, statement 1 (update, line 5)", "42P01", "acounts", "every interleaving"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // The innocent fails in some orders only.
    let text = r#"
        title = "one key"
        setup = "create table t (id int primary key)"
        [[session]]
        statements = ["insert into t values (1)"]
        [[session]]
        statements = ["insert into t values (1)"]
    "#;
    let found = explore_one(text).await;
    assert_eq!(found.verdict, Proved);
    assert_eq!(found.gave_up, found.interleavings);
}

/// `scheduler` has the same for 20 seeds, without a database.
#[tokio::test]
async fn a_sample_finds_what_a_third_of_the_interleavings_shows() {
    let plan = |order, seed| SearchPlan { order, seed: Some(seed), limit: Some(150), ..SearchPlan::default() };
    let text = case("one-third");
    let found = explore_one_as(&text, &plan(SearchOrder::Walks, 1)).await;
    assert!((30..=70).contains(&found.violations), "{} of 150", found.violations);
    let sample = found.sample.expect("how the sample was drawn");
    assert_eq!((found.interleavings, sample.order, sample.seed, found.complete), (150, SearchOrder::Walks, 1, false));
    assert!(sample.distinct > 145, "{} different interleavings", sample.distinct);
    assert!(sample.all_without_waits.is_some_and(|all| (all - 420_420.0).abs() < 0.5), "{sample:?}");
    assert!((found.estimate - 420_420.0).abs() < 0.5, "{}", found.estimate);
    // The mutant: the first interleavings, depth first, share their beginnings.
    let first = explore_one_as(&text, &plan(SearchOrder::DepthFirst, 1)).await;
    assert!(matches!(first.violations, 0 | 150), "{} of 150", first.violations);
    assert_eq!(first.sample, None);
    // Priorities favour few changes of the session; both orders of the two statements occur.
    let found = explore_one_as(&text, &plan(SearchOrder::Priorities, 1)).await;
    assert!((10..140).contains(&found.violations), "{} of 150", found.violations);
    assert_eq!(found.sample.expect("a sample").mean_estimate, None);
}

/// Sessions that wait: the walks have different probabilities, and the mean still estimates the number of interleavings.
#[tokio::test]
async fn a_sample_estimates_the_number_of_interleavings_where_sessions_wait() {
    let text = r#"
        title = "two withdrawals"
        setup = "create table accounts (id int primary key, balance int); insert into accounts values (1, 10)"
        outcome = "select balance from accounts"
        [[session]]
        statements = ["begin", "select balance from accounts for update", "update accounts set balance = balance - 1", "commit"]
        [[session]]
        statements = ["begin", "select balance from accounts for update", "update accounts set balance = balance - 2", "commit"]
    "#;
    let all = explore_one(text).await;
    let plan = SearchPlan { order: SearchOrder::Walks, seed: Some(3), limit: Some(200), ..SearchPlan::default() };
    let found = explore_one_as(text, &plan).await;
    assert_eq!((all.verdict, found.verdict), (Proved, ExplorationVerdict::HeldSoFar));
    let sample = found.sample.expect("a sample");
    assert_eq!(sample.all_without_waits, None, "some wait");
    let (mean, exact) = (sample.mean_estimate.expect("a mean"), all.estimate);
    assert!((mean - exact).abs() < 0.3 * exact, "{mean} for {exact}");
    assert!(sample.distinct <= all.interleavings && sample.distinct * 2 > all.interleavings, "{sample:?}");
}
