//! Notices: the session that receives one has it beside the result of its statement, and nothing is compared with it.

use concurrency_lab::explore::file::Script;
use concurrency_lab::explore::file::execution::ScriptExecution;
use concurrency_lab::explore::findings::ExplorationVerdict;
use concurrency_lab::explore::report::timeline::timeline;
use concurrency_lab::explore::search::replay;
use concurrency_lab::explore::transcript::Transcript;

use super::cases::explore_one;
use super::fixture::explorer_database;
use crate::common;

const FILE: &str = r#"
    title = "notices"
    setup = """
    create table accounts (id int primary key, balance int);
    insert into accounts values (1, 10), (2, 10);
    create function low() returns trigger language plpgsql as $$
    begin
        raise notice 'row % is low, at %', new.id, clock_timestamp();
        raise warning 'pay in' using hint = 'soon';
        return null;
    end $$;
    create constraint trigger low after update on accounts deferrable initially deferred
        for each row execute function low();
    """
    outcome = "select id, balance from accounts order by id"
    [[session]]
    setup = "do $$ begin raise notice 'not of a step'; end $$"
    statements = ["begin", "update accounts set balance = 1 where id = 1", "commit"]
    [[session]]
    statements = ["commit", "select 1 / 0", "update accounts set balance = 2 where id = 2"]
    on_error = "continue"
"#;

/// A schedule, run twice: the second time the sessions use the connections of the first.
async fn replayed(schedule: &str) -> [Transcript; 2] {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let script = Script::parse(FILE).expect("an explore file");
    let mut execution = ScriptExecution::open(&mut database, &script, &script.variants[0]).await.expect("an execution");
    let schedule = schedule.parse().expect("a schedule");
    let mut transcripts = Vec::new();
    for _ in 0..2 {
        transcripts.push(replay(&mut execution, &schedule).await.expect("an interleaving").transcript);
    }
    execution.close().await.expect("a clean end");
    database.close().await.expect("a clean end");
    transcripts.try_into().expect("two")
}

#[tokio::test]
async fn a_notice_stands_beside_the_step_that_received_it() {
    for transcript in replayed("ABABAB").await {
        let of_steps: Vec<(String, &[String])> = (transcript.entries.iter())
            .map(|step| (format!("{}: {}", step.actor, step.name), step.notices.as_slice()))
            .collect();
        for (step, notices) in &of_steps {
            match step.as_str() {
                "A: commit" | "B: update: commit" => {
                    let row =
                        if step.starts_with('A') { "NOTICE: row 1 is low, at 2" } else { "NOTICE: row 2 is low, at 2" };
                    assert!(notices.len() == 2 && notices[0].starts_with(row), "{of_steps:?}");
                    assert_eq!(notices[1], "WARNING: pay in; HINT: soon");
                }
                "B: commit" => assert_eq!(**notices, ["WARNING: there is no transaction in progress"], "{of_steps:?}"),
                _ => assert_eq!(**notices, [] as [String; 0], "{step}"),
            }
        }
        let told = timeline(&transcript, None);
        let result = told.lines().position(|line| line.contains("ERROR 22012")).expect("the error of B");
        assert!(told.lines().take(result).any(|line| line.contains("there is no transaction in progress")), "{told}");
        assert!(told.contains("WARNING: pay in; HINT: soon") && !told.contains("not of a step"), "{told}");
    }
}

#[tokio::test]
async fn notices_are_compared_with_nothing() {
    // Each has the time in it, so no two are equal.
    let found = explore_one(FILE).await;
    assert_eq!((found.verdict, found.outcomes.len()), (ExplorationVerdict::Proved, 1), "{:?}", found.witness);
    assert_eq!(found.interleavings, 35, "the commit of B's update is a step");
}
