//! The run folder as it may be found.

use std::fs;

use strum::IntoEnumIterator as _;
use tempfile::TempDir;

use super::entry::ArchivedResult;
use super::evidence::Evidence;
use super::*;
use crate::explore::findings::CrashKind;
use crate::explore::report::sample as explored;
use crate::lab::reports::sample as raced;
use crate::strategy::Approach;
use domain::Workload;

fn put(folder: &TempDir, id: &str, file: &str, text: &str) {
    let place = folder.path().join(id);
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(file), text).unwrap();
}

fn put_run(folder: &TempDir, id: &str, run: &Run) {
    put(folder, id, read::FILE, &serde_json::to_string(run).unwrap());
}

fn put_exploration(folder: &TempDir, id: &str, report: &ExploreReport) {
    put(folder, id, EXPLORATION, &serde_json::to_string(report).unwrap());
}

fn started(run: Run, second: u32) -> Run {
    Run { started: format!("2026-11-21T12:00:{second:02}Z"), ..run }
}

#[tokio::test]
async fn good_ones_are_listed_newest_first_and_others_are_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::new(folder.path().to_owned());
    put_run(&folder, "100-1", &started(raced::run(), 10));
    put_run(&folder, "300-1", &started(raced::swept(), 30));
    put_exploration(
        &folder,
        "200-1",
        &ExploreReport { started: "2026-11-21T12:00:20Z".to_owned(), ..explored::report() },
    );
    put(&folder, "broken", read::FILE, "{\"format\":1,");
    put(&folder, "later", read::FILE, "{\"format\":2}");
    put(&folder, "foreign", EXPLORATION, "{\"format\":1}");
    put(&folder, "under-way", "history.jsonl", "");
    put(&folder, "no id", read::FILE, "{}");
    fs::write(folder.path().join("a file"), "").unwrap();
    let shelf = archive.list().await;
    assert_eq!(shelf.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["300-1", "200-1", "100-1"]);
    let expected = [
        ("broken", "run.json: not a run: EOF"),
        ("foreign", "explore.json: not an exploration: missing field `started`"),
        ("later", "run.json: expected a run of format 1, found format 2"),
        ("no id", "the name has to be 1 to 100 of"),
        ("under-way", "neither run.json nor explore.json"),
    ];
    assert_eq!(shelf.unreadable.len(), expected.len(), "{:?}", shelf.unreadable);
    for ((name, why), (expected_name, expected_why)) in shelf.unreadable.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!(why.starts_with(expected_why), "{name}: {why}");
    }
}

#[tokio::test]
async fn no_folder_is_an_empty_archive() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Archive::new(folder.path().join("never")).list().await;
    assert!(shelf.entries.is_empty() && shelf.unreadable.is_empty());
}

#[tokio::test]
async fn a_file_is_read_again_only_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::new(folder.path().to_owned());
    put_run(&folder, "1-1", &raced::run());
    let first = archive.list().await.entries.remove(0);
    assert!(Arc::ptr_eq(&first, &archive.list().await.entries[0]), "remembered");
    put_run(&folder, "1-1", &raced::swept());
    let second = archive.list().await.entries.remove(0);
    assert!(matches!(&second.found, ArchivedResult::Run(raced) if raced.swept), "{second:?}");
    fs::remove_dir_all(folder.path().join("1-1")).unwrap();
    assert!(archive.list().await.entries.is_empty());
}

#[tokio::test]
async fn of_more_than_the_bound_the_newest_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let small = Run { results: Vec::new(), ..raced::nothing() };
    for number in 0..NEWEST + 3 {
        put_run(&folder, &format!("{number:04}"), &small);
        let file = fs::File::options().append(true).open(folder.path().join(format!("{number:04}/run.json"))).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64)).unwrap();
    }
    let shelf = Archive::new(folder.path().to_owned()).list().await;
    assert_eq!((shelf.entries.len(), shelf.left_out), (NEWEST, 3));
    assert!(shelf.entries.iter().all(|entry| entry.id.as_str() >= "0003"));
}

#[tokio::test]
async fn an_id_is_one_plain_name() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::new(folder.path().join("runs"));
    put_run(&folder, "runs/1-1", &raced::run());
    put_run(&folder, "outside", &raced::run());
    assert!(matches!(archive.open("1-1").await, Ok(Some(OpenedExperiment::Run(_)))));
    let long = "x".repeat(ID_MAX + 1);
    for id in [
        "",
        ".",
        "..",
        "../outside",
        "/etc",
        "1-1/",
        "1-1/../1-1",
        "a\\b",
        ".hidden",
        "1\u{0}1",
        "ä",
        "a b",
        &long,
        "2-2",
    ] {
        assert!(matches!(archive.open(id).await, Ok(None)), "{id:?}");
    }
    assert_eq!(archive.folder_of("../outside"), None);
}

fn entries(runs: &[(&str, Run)], reports: &[(&str, ExploreReport)]) -> Vec<Arc<ArchiveEntry>> {
    let runs = runs.iter().map(|(id, run)| ArchiveEntry::of_run(id, run));
    let all = runs.chain(reports.iter().map(|(id, report)| ArchiveEntry::of_exploration(id, report)));
    all.map(Arc::new).collect()
}

#[test]
fn runs_are_counted_and_one_of_them_says_all_costs() {
    use crate::lab::results::RunVerdict::{BrokenAsClaimed, ClaimFailed, Correct};
    let mut failed = raced::run();
    failed.results.iter_mut().for_each(|result| result.verdict = ClaimFailed);
    let mut foreign = failed.clone();
    foreign.environment.server = None;
    let mut other = failed.clone();
    other.scenario = "booking".to_owned();
    let mut unknown = failed.clone();
    unknown.scenario = "something".to_owned();
    // Newer, but stopped, or with fewer approaches than another.
    let mut stopped = raced::run();
    stopped.interrupted = true;
    let mut alone = raced::run();
    alone.results.retain(|result| result.approach == "pessimistic");
    let all = [
        ("9", stopped),
        ("8", alone),
        ("7", foreign),
        ("6", other),
        ("5", unknown),
        ("4", raced::swept()),
        ("3", raced::run()),
        ("2", failed),
        ("1", raced::run()),
    ];
    let entries = entries(&all, &[]);
    let verdicts = |approach, workload| {
        let evidence = Evidence::of(&entries, approach, workload);
        (evidence.raced.iter().map(|race| (race.id, race.verdict)).collect::<Vec<_>>(), evidence.cost.map(|(id, _)| id))
    };
    let correct =
        vec![("9", Correct), ("8", Correct), ("4", Correct), ("3", Correct), ("2", ClaimFailed), ("1", Correct)];
    assert_eq!(verdicts(Approach::Pessimistic, Workload::Balance), (correct, Some("3")));
    let broken = vec![
        ("9", BrokenAsClaimed),
        ("4", BrokenAsClaimed),
        ("3", BrokenAsClaimed),
        ("2", ClaimFailed),
        ("1", BrokenAsClaimed),
    ];
    assert_eq!(verdicts(Approach::Naive, Workload::Balance), (broken, None), "what is broken has no price");
    assert_eq!(verdicts(Approach::Pessimistic, Workload::Booking), (vec![("6", ClaimFailed)], None));
    assert_eq!(verdicts(Approach::UniqueConstraint, Workload::Balance), (vec![], None));
}

#[test]
fn of_explorations_the_newest_of_each_question_counts() {
    let mut newer = explored::report();
    newer.explorations.truncate(2);
    newer.explorations[1].interleavings = 21;
    let mut crashed = newer.explorations[1].clone();
    crashed.subject.crash = Some(CrashKind::Cut);
    let mut more_clients = newer.explorations[1].clone();
    more_clients.subject.clients = 3;
    newer.explorations.extend([crashed, more_clients]);
    let entries = entries(&[], &[("2", newer), ("1", explored::report()), ("0", explored::levels())]);
    let found = |approach, workload| {
        let evidence = Evidence::of(&entries, approach, workload);
        let told = |(id, one): &(&str, &entry::ExplorationSummary)| {
            let subject = &one.subject;
            format!(
                "{id} {} {} {:?} {:?} {}",
                subject.scenario, subject.clients, subject.servers, subject.crash, one.interleavings
            )
        };
        evidence.explored.iter().map(told).collect::<Vec<_>>()
    };
    // Neither that without its lock nor those at another level are the approach.
    assert_eq!(
        found(Approach::Pessimistic, Workload::Balance),
        ["2 last-money 2 None None 21", "2 last-money 3 None None 21", "2 last-money 2 None Some(Cut) 21"]
    );
    assert_eq!(found(Approach::Pessimistic, Workload::Transfer), Vec::<String>::new());
    let mutex = found(Approach::InProcessMutex, Workload::Balance);
    assert_eq!(mutex.len(), 2, "{mutex:?}");
    assert!(mutex[0].contains("Some(One)") && mutex[1].contains("Some(Each)"), "{mutex:?}");
}

#[test]
fn what_contradicts_a_claim_is_told_for_its_cell_alone() {
    let entries = entries(&[], &[("1", explored::report())]);
    let mut failed = Vec::new();
    for approach in Approach::iter() {
        for workload in Workload::iter() {
            let contradictions = Evidence::of(&entries, approach, workload).contradictions();
            failed.extend(contradictions.into_iter().map(|(id, how)| format!("{approach} {workload} {id} {how}")));
        }
    }
    assert_eq!(
        failed,
        [
            "read-committed transfer 1 opposite-transfers, claimed broken, but every interleaving holds",
            "optimistic-version balance 1 last-money, claimed safe, but an interleaving breaks it",
        ]
    );
}
