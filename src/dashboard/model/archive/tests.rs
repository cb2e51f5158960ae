//! The archive, on run folders as they occur.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use strum::IntoEnumIterator as _;
use tempfile::TempDir;

use super::entry::ArchivedResult;
use super::evidence::Evidence;
use super::*;
use crate::explore::findings::CrashKind;
use crate::explore::report::sample as exploration_sample;
use crate::lab::reports::sample as run_sample;
use crate::lab::results::ApproachResult;
use crate::strategy::Approach;
use domain::Workload;

fn put(folder: &TempDir, id: &str, file: &str, text: &str) {
    let path = folder.path().join(id);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(file), text).unwrap();
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
async fn experiments_are_listed_newest_first_and_unreadable_folders_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::new(folder.path().to_owned());
    put_run(&folder, "100-1", &started(run_sample::run(), 10));
    put_run(&folder, "300-1", &started(run_sample::swept(), 30));
    put_exploration(
        &folder,
        "200-1",
        &ExploreReport { started: "2026-11-21T12:00:20Z".to_owned(), ..exploration_sample::report() },
    );
    put(&folder, "broken", read::FILE, "{\"format\":1,");
    put(&folder, "later", read::FILE, "{\"format\":2}");
    put(&folder, "foreign", EXPLORATION, "{\"format\":1}");
    put(&folder, "under-way", "history.jsonl", "");
    put(&folder, "no id", read::FILE, "{}");
    fs::write(folder.path().join("a file"), "").unwrap();
    let listing = archive.list().await;
    assert_eq!(listing.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["300-1", "200-1", "100-1"]);
    let expected = [
        ("broken", "run.json: not a run: EOF"),
        ("foreign", "explore.json: not an exploration: missing field `started`"),
        ("later", "run.json: expected a run of format 1, found format 2"),
        ("no id", "the folder's name must have 1 to 100 characters of"),
        ("under-way", "has neither run.json nor explore.json"),
    ];
    assert_eq!(listing.unreadable.len(), expected.len(), "{:?}", listing.unreadable);
    for ((name, why), (expected_name, expected_why)) in listing.unreadable.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!(why.starts_with(expected_why), "{name}: {why}");
    }
}

#[tokio::test]
async fn no_folder_is_an_empty_archive() {
    let folder = tempfile::tempdir().unwrap();
    let listing = Archive::new(folder.path().join("never")).list().await;
    assert!(listing.entries.is_empty() && listing.unreadable.is_empty());
}

#[tokio::test]
async fn a_file_is_read_again_only_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::new(folder.path().to_owned());
    put_run(&folder, "1-1", &run_sample::run());
    let first = archive.list().await.entries.remove(0);
    assert!(Arc::ptr_eq(&first, &archive.list().await.entries[0]), "remembered");
    put_run(&folder, "1-1", &run_sample::swept());
    let second = archive.list().await.entries.remove(0);
    assert!(matches!(&second.found, ArchivedResult::Run(run) if run.swept), "{second:?}");
    fs::remove_dir_all(folder.path().join("1-1")).unwrap();
    assert!(archive.list().await.entries.is_empty());
}

#[tokio::test]
async fn only_the_newest_are_listed_and_the_others_counted() {
    let folder = tempfile::tempdir().unwrap();
    let small = Run { results: Vec::new(), ..run_sample::nothing() };
    for number in 0..NEWEST + 3 {
        put_run(&folder, &format!("{number:04}"), &small);
        let file = fs::File::options().append(true).open(folder.path().join(format!("{number:04}/run.json"))).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64)).unwrap();
    }
    let listing = Archive::new(folder.path().to_owned()).list().await;
    assert_eq!((listing.entries.len(), listing.left_out), (NEWEST, 3));
    assert!(listing.entries.iter().all(|entry| entry.id.as_str() >= "0003"));
}

#[tokio::test]
async fn an_id_is_one_plain_name() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::new(folder.path().join("runs"));
    put_run(&folder, "runs/1-1", &run_sample::run());
    put_run(&folder, "outside", &run_sample::run());
    let turn = archive.turn().await.unwrap();
    assert!(matches!(archive.open(&turn, "1-1").await, Ok(Some(OpenedExperiment::Run(_)))));
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
        assert!(matches!(archive.open(&turn, id).await, Ok(None)), "{id:?}");
    }
    assert_eq!(archive.folder_of("../outside"), None);
}

#[tokio::test]
async fn links_pipes_and_devices_are_neither_followed_nor_opened() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    put_run(&folder, "1-1", &run_sample::run());
    put_run(&elsewhere, "secret", &run_sample::run());
    let path = |id: &str| folder.path().join(id);
    symlink(elsewhere.path().join("secret"), path("2-folder")).unwrap();
    for (id, target) in [("3-file", "../1-1/run.json"), ("4-endless", "/dev/zero")] {
        fs::create_dir(path(id)).unwrap();
        symlink(target, path(id).join(read::FILE)).unwrap();
    }
    fs::create_dir(path("5-pipe")).unwrap();
    mkfifo(&path("5-pipe").join(EXPLORATION), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let archive = Archive::new(folder.path().to_owned());
    let listing = archive.list().await;
    assert_eq!(listing.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["1-1"]);
    let link = "is a link; links in this folder are not followed";
    let expected = [
        ("2-folder", link.to_owned()),
        ("3-file", format!("run.json: {link}")),
        ("4-endless", format!("run.json: {link}")),
        ("5-pipe", "explore.json: is not a regular file".to_owned()),
    ];
    assert_eq!(listing.unreadable, expected.map(|(id, why)| (id.to_owned(), why)));
    let turn = archive.turn().await.unwrap();
    for (id, why) in listing.unreadable {
        assert_eq!(archive.open(&turn, &id).await.map(|_| "opened"), Err(why), "{id}");
    }
}

#[tokio::test]
async fn one_request_reads_at_a_time_and_keeps_its_turn_while_it_uses_the_result() {
    let folder = tempfile::tempdir().unwrap();
    put_run(&folder, "1-1", &run_sample::run());
    let archive = Archive::new(folder.path().to_owned());
    let turn = archive.turn().await.unwrap();
    let other = tokio::spawn({
        let archive = archive.clone();
        async move { archive.list().await.entries.len() }
    });
    assert!(matches!(archive.open(&turn, "1-1").await, Ok(Some(_))));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!other.is_finished(), "the other request waits");
    drop(turn);
    assert_eq!(other.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_turn_for_a_bounded_time() {
    let archive = Archive::new(PathBuf::from("/nonexistent"));
    let _turn = archive.turn().await.unwrap();
    let why = "other pages have read results for more than 10 s; load this page again later";
    assert_eq!(archive.list().await.unreadable, [("the run folder".to_owned(), why.to_owned())]);
}

#[tokio::test]
async fn length_number_and_memory_of_results_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "1-long", read::FILE, &" ".repeat(1 + usize::try_from(SHOWN_FILE_BYTES).unwrap()));
    put(&folder, "2-reason", EXPLORATION, &format!("{{\"format\":1,\"{}\":1}}", "x".repeat(1 << 20)));
    let many = run_sample::run().results.into_iter().cycle().take(10_000).collect();
    let many = Run { results: many, ..run_sample::run() };
    let heavy = serde_json::to_string(&Run {
        results: many.results.iter().cloned().map(|result| ApproachResult { rounds: Vec::new(), ..result }).collect(),
        ..many
    });
    put(&folder, "3-many", read::FILE, &heavy.unwrap());
    for number in 0..RUN_FOLDERS + 2 {
        fs::write(folder.path().join(format!("file-{number}")), "").unwrap();
    }
    let archive = Archive::new(folder.path().to_owned());
    let listing = archive.list().await;
    assert!(listing.entries.is_empty());
    let why = |id: &str| {
        let found = listing.unreadable.iter().find(|(name, _)| name == id);
        found.map_or_else(String::new, |(_, why)| why.clone())
    };
    assert!(why("the run folder").starts_with("has more than 10000 files and folders"), "{:?}", listing.unreadable);
    for number in 0..RUN_FOLDERS + 2 {
        fs::remove_file(folder.path().join(format!("file-{number}"))).unwrap();
    }
    let listing = archive.list().await;
    let found: Vec<_> = listing.unreadable.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "1-long: run.json: expected at most 8 MiB, found more");
    assert!(
        found[1].starts_with("2-reason: explore.json: not an exploration: ") && found[1].len() < 600,
        "{}",
        found[1]
    );
    assert!(found[2].starts_with("3-many: has more results than the dashboard lists"), "{}", found[2]);
}

fn entries(runs: &[(&str, Run)], reports: &[(&str, ExploreReport)]) -> Vec<Arc<ArchiveEntry>> {
    let runs = runs.iter().map(|(id, run)| ArchiveEntry::of_run(id, run));
    let all = runs.chain(reports.iter().map(|(id, report)| ArchiveEntry::of_exploration(id, report)));
    all.map(Arc::new).collect()
}

#[test]
fn all_runs_count_and_one_of_them_gives_all_costs() {
    use crate::lab::results::RunVerdict::{BrokenAsClaimed, ClaimFailed, Correct};
    let mut failed = run_sample::run();
    failed.results.iter_mut().for_each(|result| result.verdict = ClaimFailed);
    let mut foreign = failed.clone();
    foreign.environment.server = None;
    let mut other = failed.clone();
    other.scenario = "booking".to_owned();
    let mut unknown = failed.clone();
    unknown.scenario = "something".to_owned();
    // Newer, but stopped, or with fewer approaches than another run.
    let mut stopped = run_sample::run();
    stopped.interrupted = true;
    let mut alone = run_sample::run();
    alone.results.retain(|result| result.approach == "pessimistic");
    let all = [
        ("9", stopped),
        ("8", alone),
        ("7", foreign),
        ("6", other),
        ("5", unknown),
        ("4", run_sample::swept()),
        ("3", run_sample::run()),
        ("2", failed),
        ("1", run_sample::run()),
    ];
    let entries = entries(&all, &[]);
    let verdicts = |approach, workload| {
        let evidence = Evidence::of(&entries, approach, workload);
        (evidence.runs.iter().map(|run| (run.id, run.verdict)).collect::<Vec<_>>(), evidence.cost.map(|(id, _)| id))
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
    assert_eq!(verdicts(Approach::Naive, Workload::Balance), (broken, None), "a broken approach has no cost");
    assert_eq!(verdicts(Approach::Pessimistic, Workload::Booking), (vec![("6", ClaimFailed)], None));
    assert_eq!(verdicts(Approach::UniqueConstraint, Workload::Balance), (vec![], None));
}

#[test]
fn the_newest_exploration_of_each_question_counts() {
    let mut newer = exploration_sample::report();
    newer.explorations.truncate(2);
    newer.explorations[1].interleavings = 21;
    let mut crashed = newer.explorations[1].clone();
    crashed.subject.crash = Some(CrashKind::Cut);
    let mut more_clients = newer.explorations[1].clone();
    more_clients.subject.clients = 3;
    newer.explorations.extend([crashed, more_clients]);
    let entries =
        entries(&[], &[("2", newer), ("1", exploration_sample::report()), ("0", exploration_sample::levels())]);
    let found = |approach, workload| {
        let evidence = Evidence::of(&entries, approach, workload);
        let line = |(id, one): &(&str, &entry::ExplorationSummary)| {
            let subject = &one.subject;
            format!(
                "{id} {} {} {:?} {:?} {}",
                subject.scenario, subject.clients, subject.servers, subject.crash, one.interleavings
            )
        };
        evidence.explored.iter().map(line).collect::<Vec<_>>()
    };
    // An exploration without the lock or at another isolation level is not about the approach.
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
fn a_contradiction_is_reported_for_its_cell_alone() {
    let entries = entries(&[], &[("1", exploration_sample::report())]);
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
            "read-committed transfer 1 opposite-transfers, claimed broken, but no interleaving breaks it",
            "optimistic-version balance 1 last-money, claimed safe, but an interleaving breaks it",
        ]
    );
}
