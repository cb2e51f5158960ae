//! Interleavings as they happen, each for something that a timeline must be able to tell.

use crate::explore::schedule::{Actor, Schedule};
use crate::explore::transcript::{Participant, StepOutcome, StepWait, Transcript, TranscriptStep};

const BEGIN: &str = "begin isolation level read committed";
const READ: &str = "select balance, version from users where id = $1";
const LOCK: &str = "select balance, version from users where id = $1 for update";
const WRITE: &str =
    "update users set balance = $2, version = version + 1 where id = $1\n    returning balance, version";

/// A step that succeeds and returns nothing.
pub fn sends(actor: char, name: &str, sql: &str, values: &[&str]) -> TranscriptStep {
    TranscriptStep {
        actor: Actor::of_letter(actor).unwrap(),
        name: name.to_owned(),
        sql: sql.to_owned(),
        values: values.iter().map(ToString::to_string).collect(),
        wait: None,
        returned_with: None,
        outcome: StepOutcome::Done,
        notices: Vec::new(),
        ended: None,
    }
}

/// What else may be said of a step.
trait SampleStepDetails {
    fn gives(self, row: &str) -> Self;
    fn fails(self, sqlstate: &str, message: &str) -> Self;
    fn loses_its_answer(self) -> Self;
    fn waits(self, holders: &str, on: &str, until: usize) -> Self;
    fn ends(self, heard: &str) -> Self;
}

impl SampleStepDetails for TranscriptStep {
    fn gives(mut self, row: &str) -> Self {
        let row = row.split(", ").map(str::to_owned).collect();
        match &mut self.outcome {
            StepOutcome::Rows(rows) => rows.push(row),
            other => *other = StepOutcome::Rows(vec![row]),
        }
        self
    }

    fn fails(self, sqlstate: &str, message: &str) -> Self {
        let outcome = StepOutcome::Error { sqlstate: Some(sqlstate.to_owned()), message: message.to_owned() };
        Self { outcome, ..self }
    }

    fn loses_its_answer(self) -> Self {
        Self { outcome: StepOutcome::Cut, ..self }
    }

    fn waits(self, holders: &str, on: &str, until: usize) -> Self {
        let holders = holders.chars().filter_map(Actor::of_letter).collect();
        Self { wait: Some(StepWait { holders, on: on.to_owned() }), returned_with: Some(until), ..self }
    }

    fn ends(self, heard: &str) -> Self {
        Self { ended: Some(heard.to_owned()), ..self }
    }
}

fn transcript(parts: &[(char, &str)], before: &[&str], mut entries: Vec<TranscriptStep>, after: &[&str]) -> Transcript {
    for (step, entry) in entries.iter_mut().enumerate() {
        entry.returned_with.get_or_insert(step);
    }
    let part = |&(letter, title): &(char, &str)| {
        let actor = Actor::of_letter(letter).unwrap();
        let heard = entries.iter().rev().find(|entry| entry.actor == actor).and_then(|entry| entry.ended.clone());
        Participant { actor, title: title.to_owned(), heard }
    };
    let lines = |rows: &[&str]| rows.iter().map(ToString::to_string).collect();
    Transcript {
        schedule: Schedule(entries.iter().map(|entry| entry.actor).collect()),
        parts: parts.iter().map(part).collect(),
        before: lines(before),
        after: lines(after),
        entries,
    }
}

const TWO_WITHDRAWALS: [(char, &str); 2] = [('A', "withdraw 8 from user 1"), ('B', "withdraw 8 from user 1")];
const TEN: &str = "balance = 10, version = 1";
const TWO: &str = "balance = 2, version = 2";
const DONE: &str = "done: users/1=2 (version 2)";

fn of_two_withdrawals(entries: Vec<TranscriptStep>, after: &str) -> Transcript {
    transcript(&TWO_WITHDRAWALS, &["users/1: balance 10, version 1"], entries, &[after])
}

/// naive: both read before either writes.
pub fn lost_update() -> Transcript {
    let steps = vec![
        sends('A', "read", READ, &["1"]).gives(TEN),
        sends('B', "read", READ, &["1"]).gives(TEN),
        sends('B', "write", WRITE, &["1", "2"]).gives(TWO).ends(DONE),
        sends('A', "write", WRITE, &["1", "2"]).gives("balance = 2, version = 3").ends("done: users/1=2 (version 3)"),
    ];
    of_two_withdrawals(steps, "users/1: balance 2, version 3")
}

/// pessimistic: B waits for the row until A has committed, and then sees what A left.
pub fn lock_wait() -> Transcript {
    let steps = vec![
        sends('A', "begin", BEGIN, &[]),
        sends('A', "lock", LOCK, &["1"]).gives(TEN),
        sends('B', "begin", BEGIN, &[]),
        sends('B', "lock", LOCK, &["1"]).waits("A", "transactionid", 5).gives(TWO),
        sends('A', "write", WRITE, &["1", "2"]).gives(TWO),
        sends('A', "commit", "commit", &[]).ends(DONE),
        sends('B', "rollback", "rollback", &[]).ends("refused: Insufficient funds"),
    ];
    of_two_withdrawals(steps, "users/1: balance 2, version 2")
}

/// group-commit: the writer works for both.
pub fn batch() -> Transcript {
    let lock = "select id, balance, version from users where id = any($1) order by id for no key update";
    let write = "update users set balance = new.balance, version = version + new.changes \
                 from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as new (id, balance, changes) where users.id = new.id";
    let join = "-- joins the queue of the writer";
    let steps = vec![
        sends('A', "join", join, &[]).waits("w", "batch", 5).ends(DONE),
        sends('B', "join", join, &[]).waits("w", "batch", 5).ends("refused: Insufficient funds"),
        sends('w', "begin", BEGIN, &[]),
        sends('w', "lock-users", lock, &["{1}"]).gives("id = 1, balance = 10, version = 1"),
        sends('w', "write-users", write, &["{1}", "{2}", "{1}"]),
        sends('w', "commit", "commit", &[]),
    ];
    let parts = [('A', "withdraw 8 from user 1"), ('B', "withdraw 8 from user 1"), ('w', "batches of A and B")];
    transcript(&parts, &["users/1: balance 10, version 1"], steps, &["users/1: balance 2, version 2"])
}

/// Transfers that lock the payer first: a circle, which the detector ends with the step that closes it.
pub fn deadlock() -> Transcript {
    let row = |id: u8| format!("balance = {id}0, version = 1");
    let steps = vec![
        sends('A', "begin", BEGIN, &[]),
        sends('A', "lock", LOCK, &["1"]).gives(&row(1)),
        sends('B', "begin", BEGIN, &[]),
        sends('B', "lock", LOCK, &["2"]).gives(&row(2)),
        sends('A', "lock", LOCK, &["2"]).waits("B", "transactionid", 5).gives(&row(2)),
        sends('B', "lock", LOCK, &["1"]).waits("A", "transactionid", 5).fails("40P01", "deadlock detected"),
        sends('B', "rollback", "rollback", &[]).ends("gave up"),
        sends('A', "write", WRITE, &["1", "5"]).gives("balance = 5, version = 2"),
        sends('A', "write", WRITE, &["2", "25"]).gives("balance = 25, version = 2"),
        sends('A', "commit", "commit", &[]).ends("done: users/1=5 (version 2), users/2=25 (version 2)"),
    ];
    transcript(
        &[('A', "users/1 to users/2: 5"), ('B', "users/2 to users/1: 5")],
        &["users/1: balance 10, version 1", "users/2: balance 20, version 1"],
        steps,
        &["users/1: balance 5, version 2", "users/2: balance 25, version 2"],
    )
}

/// naive: the credit is written, and then the connection is cut.
pub fn cut() -> Transcript {
    let twenty = "balance = 20, version = 1";
    let steps = vec![
        sends('A', "read", READ, &["1"]).gives(TEN),
        sends('A', "read", READ, &["2"]).gives(twenty),
        sends('A', "write", WRITE, &["2", "25"]).loses_its_answer().ends("outcome unknown"),
    ];
    transcript(
        &[('A', "users/1 to users/2: 5")],
        &["users/1: balance 10, version 1", "users/2: balance 20, version 1"],
        steps,
        &["users/1: balance 10, version 1", "users/2: balance 25, version 2"],
    )
}

/// naive: three see the last seat free; identifiers are too long for their columns.
pub fn three_bookings() -> Transcript {
    let read = "select capacity, booked, version from events where id = $1";
    let insert = "insert into bookings (event_id, user_id) values ($1, $2) returning id";
    let write = "update events set booked = $2, version = version + 1 where id = $1 \
                 returning $3::uuid as booking_id, capacity - booked as seats_left, version";
    let ids = [
        "3f2c9b1e-6a40-4d7f-9a55-0c1d2e3f4a5b",
        "8d01e7aa-52bc-4b0e-8f3c-94a6b1c2d3e4",
        "c4b7a690-1f2d-4e8c-b3a1-7f6e5d4c3b2a",
    ];
    let actors = ['A', 'B', 'C'];
    let reads =
        actors.map(|actor| sends(actor, "read-event", read, &["1"]).gives("capacity = 1, booked = 0, version = 1"));
    let inserts = [0, 1, 2].map(|at| {
        let user = (at + 1).to_string();
        sends(actors[at], "insert-booking", insert, &["1", &user]).gives(&format!("id = {}", ids[at]))
    });
    let writes = [0, 1, 2].map(|at| {
        let version = at + 2;
        let row = format!("booking_id = {}, seats_left = 0, version = {version}", ids[at]);
        let heard = format!("done: events/1, 0 left (version {version})");
        sends(actors[at], "write-event", write, &["1", "1", ids[at]]).gives(&row).ends(&heard)
    });
    let after = actors.map(|actor| format!("bookings: event 1, user {}", actor as u8 - b'A' + 1));
    let mut rows = vec!["events/1: capacity 1, booked 1, version 4"];
    rows.extend(after.iter().map(String::as_str));
    let parts = [('A', "events/1 by users/1"), ('B', "events/1 by users/2"), ('C', "events/1 by users/3")];
    let steps = reads.into_iter().chain(inserts).chain(writes).collect();
    transcript(&parts, &["events/1: capacity 1, booked 0, version 1"], steps, &rows)
}

/// An explore file: each doctor relies on the other one to stay on call.
pub fn write_skew() -> Transcript {
    let begin = "begin isolation level repeatable read";
    let count = "select count(*) from doctors where on_call";
    let leave = |name: &str| format!("update doctors set on_call = false where name = '{name}'");
    let steps = vec![
        sends('A', "a1", begin, &[]),
        sends('A', "a2", count, &[]).gives("count = 2"),
        sends('B', "b1", begin, &[]),
        sends('B', "b2", count, &[]).gives("count = 2"),
        sends('B', "b3", &leave("Boyd"), &[]),
        sends('B', "b4", "commit", &[]).ends("committed"),
        sends('A', "a3", &leave("Ames"), &[]),
        sends('A', "a4", "commit", &[]).ends("committed"),
    ];
    transcript(
        &[('A', "Ames leaves"), ('B', "Boyd leaves")],
        &["doctors: Ames, on call", "doctors: Boyd, on call"],
        steps,
        &["doctors: Ames, off", "doctors: Boyd, off"],
    )
}
