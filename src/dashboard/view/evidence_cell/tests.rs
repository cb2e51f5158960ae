//! The lines of a cell.

use std::sync::Arc;

use super::*;
use crate::dashboard::model::archive::entry::ArchiveEntry;
use crate::explore::report::sample;
use crate::lab::reports::sample as run_sample;
use crate::strategy::Approach;
use domain::Workload;

fn texts(approach: Approach, entries: &[Arc<ArchiveEntry>]) -> Vec<(EvidenceTone, String, String)> {
    let evidence = Evidence::of(entries, approach, Workload::Balance);
    let all = lines(approach.info().claims.of(Workload::Balance), &evidence);
    all.into_iter().map(|line| (line.tone, line.text, line.link.unwrap_or_default())).collect()
}

fn line(tone: EvidenceTone, text: &str, link: &str) -> (EvidenceTone, String, String) {
    (tone, text.to_owned(), link.to_owned())
}

#[test]
fn an_exploration_is_shown_with_its_schedule_and_a_link_to_the_player() {
    let entries = [Arc::new(ArchiveEntry::of_exploration("9-1", &sample::report()))];
    let page = "/lab/runs/9-1";
    let naive = "/lab/player?approach=naive&scenario=last-money&clients=2&servers=one&schedule=AABB";
    let schedule = sample::report().explorations[0].witness.as_ref().unwrap().transcript.schedule.to_string();
    let naive = naive.replace("AABB", &schedule);
    let witness = format!("lost update when the steps run in the order {schedule}");
    assert_eq!(texts(Approach::Naive, &entries), [line(EvidenceTone::Bad, &witness, &naive)]);
    assert_eq!(
        texts(Approach::Pessimistic, &entries),
        [line(EvidenceTone::Good, "proved: 20 interleavings, 2 clients", page)]
    );
    let each = naive.replace("naive", "in-process-mutex").replace("servers=one", "servers=each");
    let expected = [
        line(EvidenceTone::Good, "proved: 6 interleavings, 2 clients, one server", page),
        line(EvidenceTone::Bad, &format!("{witness}, a server each"), &each),
    ];
    assert_eq!(texts(Approach::InProcessMutex, &entries), expected);
    let failed = naive.replace("naive", "optimistic-version");
    let expected = [line(EvidenceTone::Failed, &format!("{witness} (last-money)"), &failed)];
    assert_eq!(texts(Approach::OptimisticVersion, &entries), expected);
}

#[test]
fn interleavings_of_several_scenarios_are_added_and_the_shortest_violation_is_shown() {
    let mut report = sample::report();
    let mut again = report.explorations[1].clone();
    again.subject.scenario = "money-for-all".to_owned();
    again.subject.clients = 3;
    let mut longer = report.explorations[0].clone();
    longer.subject.scenario = "money-for-all".to_owned();
    longer.witness.as_mut().unwrap().transcript.schedule = "AAAAAAAABBBB".parse().unwrap();
    report.explorations.extend([again, longer]);
    let entries = [Arc::new(ArchiveEntry::of_exploration("9-1", &report))];
    assert_eq!(texts(Approach::Pessimistic, &entries)[0].1, "proved: 40 interleavings, 2 and 3 clients");
    let naive = &texts(Approach::Naive, &entries)[0].1;
    assert!(naive.ends_with(" (and 1 more)") && !naive.contains("AAAAAAAA"), "{naive}");
}

#[test]
fn runs_are_shown_by_how_many_held() {
    use RunVerdict::{BrokenAsClaimed, ClaimFailed, Correct, HeldThisTime, NoEvidence};
    let verdicts = |verdicts: &[RunVerdict]| -> Vec<Arc<ArchiveEntry>> {
        let run = |(index, verdict): (usize, &RunVerdict)| {
            let mut run = run_sample::run();
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
        assert_eq!(texts(approach, &verdicts(&found)), expected, "{approach} {found:?}");
    }
}

#[test]
fn a_cell_shows_a_contradiction_and_no_cost_of_a_broken_approach() {
    let entries = [
        Arc::new(ArchiveEntry::of_run("5", &run_sample::run())),
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
        absent.contains("n/a") && absent.contains("things that exist once") && !absent.contains("no evidence"),
        "{absent}"
    );
}
