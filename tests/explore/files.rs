//! Explore files on a real PostgreSQL: the facts on which the strategies rely, and the examples, meet their own expectations.

use std::path::PathBuf;

use concurrency_lab::explore::exploration::ProgressCallback;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::search::SearchPlan;

use super::fixture::explorer_database;
use crate::common;

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Explores every variant of these files, and collects the expectations that are not met.
async fn misses(files: Vec<PathBuf>, reduce: bool) -> Vec<String> {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let mut misses = Vec::new();
    let go_on: ProgressCallback<'_> = &mut |_| true;
    for path in files {
        let script = Script::read(&path).expect("an explore file");
        for variant in &script.variants {
            let context = format!("{} {variant}", path.display());
            let subject = execution::subject(&script, variant, &path.display().to_string());
            let plan = SearchPlan { reduce, ..SearchPlan::default() };
            let found = execution::explore(&mut database, &script, variant, subject, plan, go_on).await;
            let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(found.complete && found.interleavings > 0, "{context}");
            if reduce {
                // A reduced search has other counts, but the same verdict.
                let expected = variant.expect.verdict.to_string() == "holds";
                misses.extend((expected == (found.violations > 0)).then(|| format!("{context}: reduced")));
            }
            misses.extend(found.missed.iter().map(|missed| format!("{context}: {missed}")));
            misses.extend(found.undecided.iter().map(|why| format!("{context}: undecided: {why}")));
        }
    }
    database.close().await.expect("a clean end");
    misses
}

#[tokio::test]
async fn every_file_of_facts_meets_its_expectations() {
    let files = files("tests/explore/facts");
    for item in ["01", "02", "04", "06", "07", "08", "09", "10", "15", "16"] {
        let has = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(item));
        assert!(files.iter().any(has), "no file shows fact {item}");
    }
    assert_eq!(misses(files, false).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_example_meets_its_expectations() {
    assert_eq!(misses(files("examples/explore"), false).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_reduced_search_finds_what_the_full_one_finds() {
    let both = files("tests/explore/facts").into_iter().chain(files("examples/explore")).collect();
    assert_eq!(misses(both, true).await, Vec::<String>::new());
}
