//! What a cell says.

use std::sync::Arc;

use super::super::archive::entry::ArchiveEntry;
use super::*;
use crate::explore::findings::ExploreReport;
use crate::explore::report::sample;
use crate::lab::reports::sample as raced;
use crate::strategy::Approach;
use domain::Workload;

fn said(approach: Approach, entries: &[Arc<ArchiveEntry>]) -> Vec<(EvidenceTone, String, String)> {
    let evidence = Evidence::of(entries, approach, Workload::Balance);
    let all = lines(approach.info().claims.of(Workload::Balance), &evidence);
    all.into_iter().map(|line| (line.tone, line.text, line.link.unwrap_or_default())).collect()
}

fn line(tone: EvidenceTone, text: &str, link: &str) -> (EvidenceTone, String, String) {
    (tone, text.to_owned(), link.to_owned())
}

#[test]
fn enumeration_is_told_with_its_witness_and_where_to_play_it() {
    let entries = [Arc::new(ArchiveEntry::of_exploration("9-1", &sample::report()))];
    let page = "/lab/runs/9-1";
    let naive = "/lab/player?approach=naive&scenario=last-money&clients=2&servers=one&schedule=AABB";
    let schedule = sample::report().explorations[0].witness.as_ref().unwrap().transcript.schedule.to_string();
    let naive = naive.replace("AABB", &schedule);
    let witness = format!("lost update, witness {schedule}");
    assert_eq!(said(Approach::Naive, &entries), [line(EvidenceTone::Bad, &witness, &naive)]);
    assert_eq!(
        said(Approach::Pessimistic, &entries),
        [line(EvidenceTone::Good, "proved: 20 interleavings, 2 clients", page)]
    );
    let each = naive.replace("naive", "in-process-mutex").replace("servers=one", "servers=each");
    let expected = [
        line(EvidenceTone::Good, "proved: 6 interleavings, 2 clients, one server", page),
        line(EvidenceTone::Bad, &format!("{witness}, a server each"), &each),
    ];
    assert_eq!(said(Approach::InProcessMutex, &entries), expected);
    let failed = naive.replace("naive", "optimistic-version");
    let expected = [line(EvidenceTone::Failed, &format!("{witness} (last-money)"), &failed)];
    assert_eq!(said(Approach::OptimisticVersion, &entries), expected);
}

#[test]
fn several_scenarios_are_added_and_the_shortest_witness_is_shown() {
    let mut report = sample::report();
    let mut again = report.explorations[1].clone();
    again.subject.scenario = "money-for-all".to_owned();
    again.subject.clients = 3;
    let mut longer = report.explorations[0].clone();
    longer.subject.scenario = "money-for-all".to_owned();
    longer.witness.as_mut().unwrap().transcript.schedule = "AAAAAAAABBBB".parse().unwrap();
    report.explorations.extend([again, longer]);
    let entries = [Arc::new(ArchiveEntry::of_exploration("9-1", &report))];
    assert_eq!(said(Approach::Pessimistic, &entries)[0].1, "proved: 40 interleavings, 2 and 3 clients");
    let naive = &said(Approach::Naive, &entries)[0].1;
    assert!(naive.ends_with(" (+1 more)") && !naive.contains("AAAAAAAA"), "{naive}");
}

#[test]
fn runs_are_told_by_how_many_held() {
    use RunVerdict::{BrokenAsClaimed, ClaimFailed, Correct, HeldThisTime, NoEvidence};
    let verdicts = |verdicts: &[RunVerdict]| -> Vec<Arc<ArchiveEntry>> {
        let run = |(index, verdict): (usize, &RunVerdict)| {
            let mut run = raced::run();
            run.results.iter_mut().for_each(|result| result.verdict = *verdict);
            Arc::new(ArchiveEntry::of_run(&format!("{}", 9 - index), &run))
        };
        verdicts.iter().enumerate().map(run).collect()
    };
    let table = [
        (Approach::Pessimistic, vec![Correct], vec![line(EvidenceTone::Good, "held in 1 run", "/lab/runs/9")]),
        (Approach::Pessimistic, vec![Correct; 3], vec![line(EvidenceTone::Good, "held in 3 runs", "/lab/runs/9")]),
        (
            Approach::Pessimistic,
            vec![NoEvidence, Correct],
            vec![
                line(EvidenceTone::Good, "held in 1 of 2 runs", "/lab/runs/8"),
                line(EvidenceTone::Open, "no verdict in 1 of 2 runs", "/lab/runs/9"),
            ],
        ),
        (
            Approach::Pessimistic,
            vec![Correct, ClaimFailed, Correct],
            vec![line(EvidenceTone::Failed, "broken in 1 of 3 runs", "/lab/runs/8")],
        ),
        (
            Approach::Naive,
            vec![HeldThisTime, BrokenAsClaimed, BrokenAsClaimed],
            vec![line(EvidenceTone::Bad, "broken in 2 of 3 runs", "/lab/runs/8")],
        ),
        (Approach::Naive, vec![HeldThisTime], vec![line(EvidenceTone::Open, "held in 1 run", "/lab/runs/9")]),
        (Approach::UniqueConstraint, vec![Correct], vec![]),
    ];
    for (approach, found, expected) in table {
        assert_eq!(said(approach, &verdicts(&found)), expected, "{approach} {found:?}");
    }
}

#[test]
fn the_player_is_offered_only_what_it_can_play() {
    let ExploreReport { explorations, .. } = sample::levels();
    let schedule: Schedule = "AB".parse().unwrap();
    let playable: Vec<bool> = explorations.iter().map(|one| player(&one.subject, &schedule).is_some()).collect();
    let as_it_is: Vec<bool> =
        explorations.iter().map(|one| one.subject.file.is_none() && one.subject.isolation.is_none()).collect();
    assert_eq!(playable, as_it_is);
}

#[test]
fn a_cell_shouts_a_contradiction_and_never_prices_what_is_broken() {
    let entries = [
        Arc::new(ArchiveEntry::of_run("5", &raced::run())),
        Arc::new(ArchiveEntry::of_exploration("4", &sample::report())),
    ];
    let shown = |approach: Approach| {
        let evidence = Evidence::of(&entries, approach, Workload::Balance);
        cell(approach.info().claims.balance, approach.info().unsupported_because, &evidence).into_string()
    };
    let failed = shown(Approach::OptimisticVersion);
    assert!(failed.contains("CLAIM FAILED"), "{failed}");
    assert!(shown(Approach::Pessimistic).contains("req/s") && !shown(Approach::Naive).contains("req/s"));
    let absent = shown(Approach::UniqueConstraint);
    assert!(
        absent.contains("n/a") && absent.contains("that exists once") && !absent.contains("nothing found"),
        "{absent}"
    );
}
