//! Generated files: the reduced search finds what the full search finds, and plain psql sessions that are driven in the order of an
//! interleaving get the same answers and leave the same rows.
//!
//! `LAB_GENERATED=3000` generates more of them, and `LAB_GENERATED_SEED` others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use concurrency_lab::explore::ExploreError;
use concurrency_lab::explore::file::execution::ScriptExecution;
use concurrency_lab::explore::file::{Script, execution};
use concurrency_lab::explore::findings::Exploration;
use concurrency_lab::explore::schedule::Actor;
use concurrency_lab::explore::search::scheduler::interleavings_without_waits;
use concurrency_lab::explore::search::{Search, SearchPlan, SearchStep};
use concurrency_lab::explore::search_order::SearchOrder;
use concurrency_lab::explore::transcript::{StepOutcome, Transcript, TranscriptStep};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::fixture::explorer_database;
use crate::common::{self, OwnDatabase};

/// Files of a run of the suite.
const FILES: u64 = 16;

/// Interleavings of a generated file that are run at most. Larger ones are left out, and others take their place.
const INTERLEAVINGS_MAX: u64 = 100;

/// Interleavings of a generated file at most if nothing waits. Waits make them fewer, and retries more.
const WITHOUT_WAITS_MAX: f64 = 150.0;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

const TABLES: &str = "create table t (id int primary key, n int not null check (n < 1000)); insert into t values (1, 10), (2, 20); \
     create table u (id int generated always as identity, t_id int references t); \
     create table w (id int primary key, n int not null); insert into w values (1, 10), (2, 20); ";

const STATEMENTS: &[&str] = &[
    "select n from t where id = 1",
    "select sum(n) as sum from t",
    "select count(*) as count from u",
    "select n from t where id = 1 for update",
    "select n from t where id = 2 for share",
    "update t set n = n + 1 where id = 1",
    "update t set n = n * 2 where id = 2",
    "update t set n = n + 5",
    "update t set n = (select sum(n) from t) where id = 1",
    "delete from t where id = 2",
    "insert into t values (3, 30)",
    "insert into t select max(id) + 1, 0 from t",
    "insert into u (t_id) values (1)",
    "insert into u (t_id) select id from t",
    "select pg_advisory_xact_lock(1)",
    "select n from w where id = 1 for update",
    "update w set n = n + 1 where id = 1",
    "update w set n = n * 2 where id = 2",
    "delete from w where id = 2",
];

/// What else a file may have: the SQL that makes it, and statements of sessions that use it.
const EXTRAS: &[(&str, &[&str])] = &[
    ("create sequence s; ", &["select nextval('s') as next", "select last_value from s"]),
    (
        "create function bump() returns trigger language plpgsql as 'begin update t set n = n + 1 where id = 1; return new; end'; \
         create trigger bumps after insert on u for each row execute function bump(); ",
        &["insert into u (t_id) values (2)"],
    ),
    (
        "create function add_one(i int) returns int language sql as 'update t set n = n + 1 where id = i returning n'; ",
        &["select add_one(1)", "select add_one(2)"],
    ),
    (
        "create view v as select sum(n) as sum, (select count(*) from u) as count from t; ",
        &["select sum, count from v"],
    ),
    ("alter table u add column at timestamptz default now(); ", &["select count(distinct at) as moments from u"]),
    ("create table log (at timestamptz default clock_timestamp(), n int); ", &["insert into log (n) select n from t"]),
];

const OUTCOME: &str = "select concat_ws(' ', 't', id, n) as row from t union all select concat_ws(' ', 'u', t_id, count(*)) from u group by t_id union all select concat_ws(' ', 'w', id, n) from w order by 1";

/// A file of one to three sessions.
fn generate(random: &mut fastrand::Rng, on_error: &str) -> String {
    let extras: Vec<_> = EXTRAS.iter().filter(|_| random.u8(..8) == 0).collect();
    let setup: String = [TABLES].into_iter().chain(extras.iter().map(|(setup, _)| *setup)).collect();
    let of_extras = extras.iter().flat_map(|(_, statements)| statements.iter());
    let statements: Vec<&str> = STATEMENTS.iter().chain(of_extras).copied().collect();
    let sessions = [2, 2, 2, 2, 2, 2, 3, 3, 3, 1][random.usize(..10)];
    let mut text = format!("title = \"generated\"\nsetup = {setup:?}\noutcome = {OUTCOME:?}\n");
    for _ in 0..sessions {
        let count = random.usize(1..=if sessions == 3 { 2 } else { 3 });
        let mut sent: Vec<&str> = (0..count).map(|_| statements[random.usize(..statements.len())]).collect();
        if random.u8(..3) == 0 {
            // A read, and a write that rests on it: a lost update if nothing guards it.
            sent = vec!["select n from t where id = 1", "update t set n = {n} + 7 where id = 1"];
        }
        if random.u8(..3) > 0 && sessions < 3 {
            let begins = [
                "begin",
                "begin isolation level repeatable read",
                "begin isolation level serializable",
                "/* app */ start transaction",
            ];
            sent.insert(0, begins[random.usize(..begins.len())]);
            sent.push(["commit", "commit", "commit", "rollback"][random.usize(..4)]);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[session]]\nstatements = {sent:?}\non_error = {on_error:?}");
    }
    text
}

/// The verdict, and the distinct outcomes with what is wrong with them; or the mistake in the file.
fn essence(found: &Result<Exploration, ExploreError>) -> (String, BTreeSet<(Vec<String>, bool)>) {
    match found {
        Ok(found) => {
            let outcome = found.outcomes.iter().map(|outcome| (outcome.lines.clone(), outcome.anomalies.is_empty()));
            (found.verdict.to_string(), outcome.collect())
        }
        Err(ExploreError::Script(mistake)) => (mistake.clone(), BTreeSet::new()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_reduced_search_of_generated_files_finds_what_the_full_one_finds() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let mut random = fastrand::Rng::with_seed(setting("LAB_GENERATED_SEED", 1));
    let (mut compared, mut left_out, mut broken) = (0, 0_u64, 0);
    let files = setting("LAB_GENERATED", FILES);
    while compared < files {
        let on_error = ["stop", "continue", "retry"][random.usize(..3)];
        let text = generate(&mut random, on_error);
        let script = Script::parse(&text).expect("a file");
        let variant = &script.variants[0];
        let steps = (0..).map(Actor::Client).zip(variant.sessions.iter().map(|session| session.statements.len()));
        if interleavings_without_waits(&steps.collect()) > WITHOUT_WAITS_MAX {
            continue;
        }
        let subject = || execution::subject(&script, variant, "generated.toml");
        let mut run = 0;
        let mut count = |progress: concurrency_lab::explore::search::SearchProgress| {
            run = progress.interleavings;
            run < INTERLEAVINGS_MAX
        };
        let plan = SearchPlan::default();
        let full = execution::explore(&mut database, &script, variant, subject(), plan, &mut count).await;
        let by_chance = |found: &Exploration| found.limits.iter().any(|limit| limit.contains("is not controlled"));
        if run >= INTERLEAVINGS_MAX || full.as_ref().is_ok_and(by_chance) {
            continue;
        }
        let plan = SearchPlan { reduce: true, ..SearchPlan::default() };
        let reduced = execution::explore(&mut database, &script, variant, subject(), plan, &mut |_| true).await;
        assert_eq!(essence(&full), essence(&reduced), "full and reduced\n{text}");
        compared += 1;
        broken += u64::from(full.as_ref().is_ok_and(|found| found.violations > 0));
        left_out += u64::from(reduced.is_ok_and(|reduced| reduced.interleavings < run));
    }
    database.close().await.expect("a clean end");
    assert!(broken > 0, "some of {files} files are broken");
    assert!(left_out > 0, "the reduced search of some leaves something out");
}

/// A session of psql.
struct Psql {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// How long psql may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What psql prints after each statement.
const MARK: &str = "--done--";

impl Psql {
    fn start(url: &str, actor: Actor) -> Self {
        let mut command = Command::new("sh");
        let program = private_postgres::find_program("psql", None).expect("psql");
        command.args(["-c", r#"exec "$0" "$@" 2>&1"#]).arg(program).args(["-X", "-q", "-A", "-t", url]);
        let options = format!("-c search_path=generated -c deadlock_timeout=1ms -c application_name=psql-{actor}");
        command.env("PGOPTIONS", options).env("PGAPPNAME", format!("psql-{actor}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql");
        let (input, output) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line.expect("a line of psql")).is_err() {
                    return;
                }
            }
        });
        let mut psql = Self { child, input, lines };
        psql.send(r"\set VERBOSITY sqlstate");
        psql.send(r"\pset null null");
        for _ in 0..2 {
            psql.answer().expect("psql answers");
        }
        psql
    }

    fn send(&mut self, sql: &str) {
        let end = if sql.starts_with('\\') { "" } else { ";" };
        writeln!(self.input, "{sql}{end}\n\\echo {MARK}").expect("psql reads");
        self.input.flush().expect("psql reads");
    }

    /// The lines up to the mark; an error if it does not come.
    fn answer(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(ANSWER_MAX) {
                Ok(line) if line.trim_end() == MARK => return Ok(lines),
                Ok(line) => lines.push(line),
                Err(why) => return Err(format!("psql: {why} after {lines:?}")),
            }
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as psql prints it: rows, or an SQLSTATE.
fn as_psql_prints(outcome: &StepOutcome) -> Vec<String> {
    let value = |column: &String| column.split_once(" = ").map_or(column.clone(), |(_, value)| value.to_owned());
    match outcome {
        StepOutcome::Rows(rows) => rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join("|")).collect(),
        StepOutcome::Error { sqlstate, .. } => vec![format!("ERROR:  {}", sqlstate.clone().unwrap_or_default())],
        _ => Vec::new(),
    }
}

/// Notices of psql that are no answers.
fn answers_only(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("WARNING:") && !line.starts_with("NOTICE:")).collect()
}

/// Waits until a psql session waits for a lock.
async fn waits(monitor: &mut PgConnection, actor: Actor) {
    let begun = Instant::now();
    let query =
        "select count(*) from pg_stat_activity where application_name = $1 and wait_event_type in ('Lock', 'IPC')";
    while begun.elapsed() < Duration::from_secs(10) {
        let count: i64 =
            sqlx::query_scalar(query).bind(format!("psql-{actor}")).fetch_one(&mut *monitor).await.expect("a count");
        if count > 0 {
            // Its deadlock check comes 1 ms after its wait began. Only later may another session close a cycle and be the victim.
            tokio::time::sleep(Duration::from_millis(5)).await;
            return;
        }
    }
    panic!("{actor} does not wait in psql");
}

/// Drives psql sessions in the order of an interleaving, and compares.
async fn drive(url: &str, monitor: &mut PgConnection, setup: &str, transcript: &Transcript, text: &str) {
    let fresh = format!(
        "drop schema if exists generated cascade; create schema generated; set search_path = generated; {setup}"
    );
    monitor.execute(sqlx::raw_sql(AssertSqlSafe(fresh))).await.expect("a fresh schema");
    let mut sessions: BTreeMap<Actor, Psql> =
        transcript.parts.iter().map(|part| (part.actor, Psql::start(url, part.actor))).collect();
    let entries = &transcript.entries;
    for (number, entry) in entries.iter().enumerate() {
        let session = sessions.get_mut(&entry.actor).expect("a session");
        for sql in sent(entries, number) {
            session.send(&sql);
        }
        if entry.returned_with != Some(number) {
            waits(monitor, entry.actor).await;
        }
        for (returned, waiting) in
            entries[..=number].iter().enumerate().filter(|(_, entry)| entry.returned_with == Some(number))
        {
            let session = sessions.get_mut(&waiting.actor).expect("a session");
            let count = sent(entries, returned).len();
            let context =
                format!("{} step {}: {}\n{text}\n{entries:#?}", transcript.schedule, returned + 1, waiting.sql);
            let mut lines = Vec::new();
            for _ in 0..count {
                lines.extend(session.answer().unwrap_or_else(|why| panic!("{why}\n{context}")));
            }
            assert_eq!(answers_only(lines), as_psql_prints(&waiting.outcome), "{context}");
        }
    }
    drop(sessions);
    let rows: Vec<String> = sqlx::query_scalar(OUTCOME).fetch_all(&mut *monitor).await.expect("an outcome");
    let after: Vec<String> = transcript.after.iter().map(|line| line.trim_start_matches("row = ").to_owned()).collect();
    assert_eq!(rows, after, "{}\n{text}", transcript.schedule);
}

const OWN_COMMIT: &str = "-- the statement before commits";

/// The step of a statement's own commit, if it has one.
fn own_commit_of(entries: &[TranscriptStep], number: usize) -> Option<usize> {
    let entry = &entries[number];
    let next = (number + 1..entries.len()).find(|next| entries[*next].actor == entry.actor)?;
    (entries[next].sql == OWN_COMMIT).then_some(next)
}

/// What psql is sent for a step.
fn sent(entries: &[TranscriptStep], number: usize) -> Vec<String> {
    let entry = &entries[number];
    if entry.sql == OWN_COMMIT {
        return vec!["commit".to_owned()];
    }
    match own_commit_of(entries, number) {
        Some(_) => vec!["begin".to_owned(), entry.sql.clone()],
        None => vec![entry.sql.clone()],
    }
}

/// Whether two sessions wait at the same time. Then PostgreSQL may let either go on first.
fn several_wait_at_once(transcript: &Transcript) -> bool {
    let waits = |entry: &&TranscriptStep| entry.wait.is_some();
    let entries = transcript.entries.iter().enumerate();
    let ends: Vec<(usize, Option<usize>)> =
        entries.filter(|(_, entry)| waits(entry)).map(|(number, entry)| (number, entry.returned_with)).collect();
    ends.windows(2).any(|pair| pair[0].1.is_none_or(|returned| returned > pair[1].0))
}

#[tokio::test]
async fn psql_sessions_in_the_order_of_an_interleaving_get_the_same_answers() {
    let own = OwnDatabase::new();
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    let mut monitor = PgConnection::connect(&own.url).await.expect("a connection");
    let mut random = fastrand::Rng::with_seed(setting("LAB_GENERATED_SEED", 2));
    let (mut driven, mut waited) = (0, 0);
    let files = setting("LAB_GENERATED", FILES) / 2;
    for number in 0..files {
        let text = generate(&mut random, "continue");
        let script = Script::parse(&text).expect("a file");
        let mut execution =
            ScriptExecution::open(&mut database, &script, &script.variants[0]).await.expect("an execution");
        let plan = SearchPlan {
            order: SearchOrder::Walks,
            seed: Some(number),
            limit: Some(2),
            permute: true,
            ..SearchPlan::default()
        };
        let mut search = Search::new(plan);
        let mut transcripts = Vec::new();
        while let Some(found) = search.next(&mut execution).await.expect("an interleaving") {
            match found {
                SearchStep::Interleaving(judged) => transcripts.push(judged.transcript),
                SearchStep::Undecided(_, why) => panic!("{why}\n{text}"),
            }
        }
        execution.close().await.expect("a clean end");
        for transcript in transcripts {
            if several_wait_at_once(&transcript) {
                continue;
            }
            drive(&own.url, &mut monitor, &script.setup.concat(), &transcript, &text).await;
            driven += 1;
            waited += u64::from(transcript.waited());
        }
    }
    database.close().await.expect("a clean end");
    assert!(driven > files, "{driven} interleavings of {files} files");
    assert!(waited > 0, "some of them wait");
}
