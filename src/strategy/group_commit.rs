//! # group-commit: one durable commit for all requests that wait for one
//!
//! **Idea.** On a hot row the change is cheap and the COMMIT is slow: each request waits for the disk while it holds
//! the row, and until then the next request cannot lock it. So a request that arrives while a transaction is in flight
//! does not begin its own. The requests that arrived meanwhile share the next transaction. It reads and locks the rows
//! that all of them need, the application decides them one after the other, and the transaction writes each changed row
//! once. Databases do the same below the row lock (PostgreSQL's manual, "Asynchronous Commit" and `commit_delay`;
//! DeWitt et al., "Implementation Techniques for Main Memory Database Systems", 1984). Here it is done above the row
//! lock, so one commit makes hundreds of changes of one row.
//!
//! **Guarantee.** As if the requests of a batch had run alone, in the order in which they arrived at this server. The
//! transaction locks every row of the batch before the first decision and until the commit. The decisions are those of
//! [`domain::state`], each on the state that the one before it left. A refusal is an answer and not an error: it
//! changes nothing and does not affect the other requests. The server answers no request of a batch before the commit
//! is on disk. The same row locks, taken in one order (events, users, counters, each by id), keep other servers out.
//! They also keep out other approaches that lock or compare the same rows. A booking by an approach that leaves the
//! decision to a unique index is not among them.
//!
//! ```text
//!   requests 1 2 3            requests 4 5 6 7 8 arrive
//!   begin                        │
//!   select … for no key update   │ (in the queue)
//!   decide 1, 2, 3               │
//!   update … from unnest(…)      │
//!   commit ───────────────────── ▼
//!   answer 1, 2, 3            begin
//!                             select … for no key update
//!                             …
//! ```
//!
//! **Cost.** Four round trips for a batch of balances of any size (begin, lock, write, commit). Seats need three more,
//! and each further kind of rows its own. The more requests wait, the less each one costs.
//!
//! A batch needs only one round trip if the writer still knows all its balances from earlier batches. The writer then
//! decides on what it knows. One statement, a transaction by itself, locks the rows, compares them with the assumed
//! values, and writes all or nothing: a compare-and-set, as [`super::optimistic_version`] does for one row. If another
//! transaction has changed a row, the batch starts again with the locks.
//!
//! No request waits in order to fill a batch. A request that finds no transaction in flight is a batch of one and costs
//! what [`super::pessimistic`] costs. A request that comes a moment too late waits for up to one more transaction.
//! Requests take no connection; only the writer does.
//!
//! **How it fails.**
//!
//! - If the answer of COMMIT is lost, the outcome is unknown for the whole batch (504).
//! - If another session keeps a row locked, every request that shares a batch with a request for that row waits, until
//!   the lock timeout. Then the batch is made again in halves, with short waits, and only the request for that row gets
//!   503. The same happens with a change that a trigger or a constraint refuses. If many changes of a batch fail, so
//!   may some of their neighbours (503).
//! - If the batch loses a deadlock, the server builds it again from its requests. It can lose one to a reset, which
//!   locks tables; to a transfer of another approach that holds the row of a user in one of its bookings; and to a
//!   request elsewhere that holds one of its idempotency keys, because a batch stores keys last and others claim them
//!   first.
//! - The queue lives in one process. Each of several servers has its own order, and the row locks decide between them.
//!
//! **Bookings** lock the event, and then look for the user's booking in a statement of its own, whose snapshot is newer
//! than the lock. The lock is `for no key update`, because FOR UPDATE would wait for transactions that inserted a
//! booking and hold its event and user FOR KEY SHARE.

use std::collections::BTreeMap;

use async_trait::async_trait;
use uuid::Uuid;

use super::{ApproachInfo, Claim, Claims, Strategy, UserRow};
use crate::session::batch::{Batch, BatchAnswer, BatchEntry};
use crate::session::idempotency_key::{StoredAnswer, json};
use crate::session::memory::BalanceMemory;
use crate::session::statement::{Isolation, Statement};
use crate::session::{AttemptError, Session};
use domain::state::{Change, ChangeResult, RowSet, State};
use domain::{
    Account, BalanceChange, Booked, Booking, Cancellation, Cancelled, Counter, Event, Increment, Transfer, Transferred,
};

const LOCK_EVENTS: Statement = Statement::reads(
    "lock-events",
    "select id, capacity, booked, version from events \
     where id = any($1) or id in (select event_id from bookings where id = any($2)) \
     order by id for no key update",
);

const LOCK_USERS: Statement = Statement::reads(
    "lock-users",
    "select id, balance, version from users where id = any($1) order by id for no key update",
);

const LOCK_COUNTERS: Statement = Statement::reads(
    "lock-counters",
    "select id, value, version from counters where id = any($1) order by id for no key update",
);

const READ_GUESTS: Statement =
    Statement::reads("read-guests", "select id, balance, version from users where id = any($1)");

const READ_BOOKINGS: Statement = Statement::reads(
    "read-bookings",
    "select id, event_id, user_id from bookings where id = any($1) \
     union \
     select id, event_id, user_id from bookings join unnest($2::bigint[], $3::bigint[]) as asked (event_id, user_id) using (event_id, user_id)",
);

const RECALL_ANSWERS: Statement =
    Statement::reads("recall-answers", "select key, request, answer from idempotency_keys where key = any($1)");

const WRITE_USERS: Statement = Statement::writes(
    "write-users",
    "update users set balance = new.balance, version = version + new.changes \
     from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as new (id, balance, changes) where users.id = new.id",
);

const WRITE_UNCHANGED_USERS: Statement = Statement::writes(
    "write-unchanged-users",
    "with batch as ( \
         select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
                  as batch (id, balance, version, new_balance, changes) \
     ), locked as ( \
         select id, balance, version from users where id = any($1) order by id for no key update \
     ), as_known as ( \
         select count(*) = cardinality($1) as all_of_them from locked join batch using (id, balance, version) \
     ) \
     update users set balance = batch.new_balance, version = users.version + batch.changes \
     from batch, as_known where as_known.all_of_them and users.id = batch.id and batch.changes > 0 returning users.id",
);

const WRITE_EVENTS: Statement = Statement::writes(
    "write-events",
    "update events set booked = new.booked, version = version + new.changes \
     from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as new (id, booked, changes) where events.id = new.id",
);

const WRITE_COUNTERS: Statement = Statement::writes(
    "write-counters",
    "update counters set value = new.value, version = version + new.changes \
     from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as new (id, value, changes) where counters.id = new.id",
);

const INSERT_BOOKINGS: Statement = Statement::writes(
    "insert-bookings",
    "insert into bookings (id, event_id, user_id) select * from unnest($1::uuid[], $2::bigint[], $3::bigint[])",
);

const DELETE_BOOKINGS: Statement = Statement::writes("delete-bookings", "delete from bookings where id = any($1)");

const STORE_ANSWERS: Statement = Statement::writes(
    "store-answers",
    "insert into idempotency_keys (key, request, answer) select * from unnest($1::uuid[], $2::text[], $3::text[]) order by 1 \
     on conflict do nothing returning key",
);

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("group_commit.rs"),
    aliases: &[],
    idea: "Requests that arrive while a transaction is in flight share the next one and its one durable COMMIT.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: true,
    read_decide_write: false,
    statements: &[
        LOCK_EVENTS,
        LOCK_USERS,
        LOCK_COUNTERS,
        READ_GUESTS,
        READ_BOOKINGS,
        RECALL_ANSWERS,
        WRITE_USERS,
        WRITE_UNCHANGED_USERS,
        WRITE_EVENTS,
        WRITE_COUNTERS,
        INSERT_BOOKINGS,
        DELETE_BOOKINGS,
        STORE_ANSWERS,
    ],
};

/// The approach `group-commit`; see the [module](self).
pub struct GroupCommit;

#[async_trait]
impl Strategy for GroupCommit {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        match session.join_batch(commit_together, Change::Balance(change)).await? {
            ChangeResult::Balance(account) => Ok(account),
            other => Err(mixed_up(&other)),
        }
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        match session.join_batch(commit_together, Change::Transfer(transfer)).await? {
            ChangeResult::Transfer(transferred) => Ok(transferred),
            other => Err(mixed_up(&other)),
        }
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        match session.join_batch(commit_together, Change::Booking(booking)).await? {
            ChangeResult::Booking(booked) => Ok(booked),
            other => Err(mixed_up(&other)),
        }
    }

    async fn cancel(&self, session: &mut Session, cancellation: Cancellation) -> Result<Cancelled, AttemptError> {
        match session.join_batch(commit_together, Change::Cancellation(cancellation)).await? {
            ChangeResult::Cancellation(cancelled) => Ok(cancelled),
            other => Err(mixed_up(&other)),
        }
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        match session.join_batch(commit_together, Change::Increment(increment)).await? {
            ChangeResult::Increment(counter) => Ok(counter),
            other => Err(mixed_up(&other)),
        }
    }
}

fn mixed_up(answer: &ChangeResult) -> AttemptError {
    AttemptError::Bug(
        format!("a batch answered a request with the result of another kind of change: {answer:?}").into(),
    )
}

/// The whole protocol: one transaction for a batch.
fn commit_together<'a>(session: &'a mut Session, memory: &'a mut BalanceMemory, batch: &'a [BatchEntry]) -> Batch<'a> {
    Box::pin(async move {
        if let Some(answers) = compare_and_set(session, memory, batch).await? {
            return Ok(answers);
        }
        session.begin(Isolation::ReadCommitted).await?;
        let before = lock(session, batch).await?;
        let made_before = recall(session, batch).await?;
        let mut after = before.clone();
        let (answers, made) = decide(batch, &made_before, &mut after)?;
        if after == before {
            session.rollback().await?;
            memory.keep(after.users);
            return Ok(answers);
        }
        write(session, &before, &after).await?;
        store(session, made).await?;
        match session.commit().await {
            Ok(()) => {
                memory.keep(after.users);
                Ok(answers)
            }
            Err(AttemptError::OutcomeUnknown(reason)) => {
                memory.forget();
                Ok(doubted(batch, answers, &made_before, &reason))
            }
            Err(error) => Err(error),
        }
    })
}

/// The same in one round trip, for a batch about balances that this writer knows from earlier batches. The writer
/// decides on what it knows. One statement, a transaction by itself, locks the rows and changes nothing unless all of
/// them still have the known values. `None` means that this is not possible, or that another session has changed a row;
/// the batch then starts again with the locks.
async fn compare_and_set(
    session: &mut Session,
    memory: &mut BalanceMemory,
    batch: &[BatchEntry],
) -> Result<Option<Vec<BatchAnswer>>, AttemptError> {
    let balances_only = |entry: &BatchEntry| matches!(entry.change, Change::Balance(_) | Change::Transfer(_));
    if !batch.iter().all(|entry| balances_only(entry) && entry.key.is_none()) {
        return Ok(None);
    }
    let users = RowSet::these(batch.iter().map(|entry| &entry.change)).users;
    let Some(before) = memory.of(&users) else { return Ok(None) };
    let mut after = State::default();
    after.users.clone_from(&before);
    let nothing = BTreeMap::new();
    let (answers, _) = decide(batch, &nothing, &mut after)?;
    if after.users == before {
        return Ok(None);
    }
    let (balances, versions): (Vec<i64>, Vec<i64>) = before.values().map(|row| (row.balance, row.version)).unzip();
    let (new_balances, changes): (Vec<i64>, Vec<i64>) =
        before.values().zip(after.users.values()).map(|(old, new)| (new.balance, new.version - old.version)).unzip();
    let expected = changes.iter().filter(|changes| **changes > 0).count();
    let written: Result<Vec<(i64,)>, AttemptError> =
        session.fetch_all(&WRITE_UNCHANGED_USERS, (users, balances, versions, new_balances, changes)).await;
    let reason = match written {
        Ok(rows) if rows.len() == expected => {
            memory.keep(after.users);
            return Ok(Some(answers));
        }
        Ok(rows) if rows.is_empty() => {
            memory.contradicted();
            return Ok(None);
        }
        // This must not happen. The statement is a transaction of its own, so it is committed.
        Ok(rows) => {
            tracing::error!(expected, written = rows.len(), "the compare-and-set of a batch wrote a part of its rows");
            "a part of the batch was written".into()
        }
        Err(AttemptError::OutcomeUnknown(reason)) => reason,
        Err(error) => return Err(error),
    };
    memory.forget();
    Ok(Some(doubted(batch, answers, &nothing, &reason)))
}

/// Locks every row that the batch is about and reads what the decisions need, in the one order of all approaches.
async fn lock(session: &mut Session, batch: &[BatchEntry]) -> Result<State, AttemptError> {
    let RowSet { users, guests, events, counters, booked, cancelled } =
        RowSet::these(batch.iter().map(|entry| &entry.change));
    let mut state = State::default();
    if !booked.is_empty() || !cancelled.is_empty() {
        let rows: Vec<(i64, i64, i64, i64)> = session.fetch_all(&LOCK_EVENTS, (events, cancelled.clone())).await?;
        let event = |(id, capacity, booked, version)| (id, Event { capacity, booked, version });
        state.events = rows.into_iter().map(event).collect();
    }
    if !users.is_empty() {
        let rows: Vec<UserRow> = session.fetch_all(&LOCK_USERS, (users,)).await?;
        state.users = rows.into_iter().map(account).collect();
    }
    if !counters.is_empty() {
        let rows: Vec<(i64, i64, i64)> = session.fetch_all(&LOCK_COUNTERS, (counters,)).await?;
        state.counters = rows.into_iter().map(|(id, value, version)| (id, Counter { value, version })).collect();
    }
    if !guests.is_empty() {
        let rows: Vec<UserRow> = session.fetch_all(&READ_GUESTS, (guests,)).await?;
        for (id, guest) in rows.into_iter().map(account) {
            state.users.entry(id).or_insert(guest);
        }
    }
    if !booked.is_empty() || !cancelled.is_empty() {
        let (events, users): (Vec<i64>, Vec<i64>) = booked.into_iter().unzip();
        let rows: Vec<(Uuid, i64, i64)> = session.fetch_all(&READ_BOOKINGS, (cancelled, events, users)).await?;
        for (id, event, user) in rows {
            state.add_booking(id, Booking { event, user });
        }
    }
    Ok(state)
}

/// Stored answers, by idempotency key.
type MadeBefore = BTreeMap<Uuid, StoredAnswer>;

/// Reads the answers that are stored under the keys of the batch. It does so after the locks: a request that makes the
/// same change has committed by then.
async fn recall(session: &mut Session, batch: &[BatchEntry]) -> Result<MadeBefore, AttemptError> {
    let keys: Vec<Uuid> = batch.iter().filter_map(|entry| Some(entry.key.as_ref()?.id)).collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(Uuid, String, String)> = session.fetch_all(&RECALL_ANSWERS, (keys,)).await?;
    Ok(rows.into_iter().map(|(key, request, answer)| (key, StoredAnswer { request, answer })).collect())
}

/// Decides the changes one after the other, and returns the answers and what is to be stored under which key. A key
/// also counts for the later entries of the same batch.
fn decide(
    batch: &[BatchEntry],
    made_before: &MadeBefore,
    state: &mut State,
) -> Result<(Vec<BatchAnswer>, MadeBefore), AttemptError> {
    let (mut answers, mut made) = (Vec::with_capacity(batch.len()), MadeBefore::new());
    for BatchEntry { change, key } in batch {
        if let Some(key) = key
            && let Some(stored) = made_before.get(&key.id).or_else(|| made.get(&key.id))
        {
            answers.push(Err(stored.clone().end_of_attempt(&key.request)));
            continue;
        }
        let answer = state.apply(change, Uuid::new_v4());
        if let (Some(key), Ok(done)) = (key, &answer) {
            made.insert(key.id, StoredAnswer { request: key.request.clone(), answer: json(done)? });
        }
        answers.push(answer.map_err(AttemptError::from));
    }
    Ok((answers, made))
}

/// Writes each changed row once, and raises its version by the number of its changes.
async fn write(session: &mut Session, before: &State, after: &State) -> Result<(), AttemptError> {
    let users = changed(&before.users, &after.users, |account| (account.balance, account.version));
    if !users.ids.is_empty() {
        session.execute(&WRITE_USERS, (users.ids, users.values, users.changes)).await?;
    }
    let events = changed(&before.events, &after.events, |event| (event.booked, event.version));
    if !events.ids.is_empty() {
        session.execute(&WRITE_EVENTS, (events.ids, events.values, events.changes)).await?;
    }
    let counters = changed(&before.counters, &after.counters, |counter| (counter.value, counter.version));
    if !counters.ids.is_empty() {
        session.execute(&WRITE_COUNTERS, (counters.ids, counters.values, counters.changes)).await?;
    }
    let (had, has) = (before.bookings(), after.bookings());
    let made = has.iter().filter(|(id, _)| !had.contains_key(id));
    let (ids, (events, users)): (Vec<Uuid>, (Vec<i64>, Vec<i64>)) =
        made.map(|(id, booking)| (*id, (booking.event, booking.user))).unzip();
    if !ids.is_empty() {
        session.execute(&INSERT_BOOKINGS, (ids, events, users)).await?;
    }
    let cancelled: Vec<Uuid> = had.keys().filter(|id| !has.contains_key(id)).copied().collect();
    if !cancelled.is_empty() {
        session.execute(&DELETE_BOOKINGS, (cancelled,)).await?;
    }
    Ok(())
}

/// Stores the answers of the changes that have a key.
async fn store(session: &mut Session, made: MadeBefore) -> Result<(), AttemptError> {
    if made.is_empty() {
        return Ok(());
    }
    let count = made.len();
    let (keys, (requests, answers)): (Vec<Uuid>, (Vec<String>, Vec<String>)) =
        made.into_iter().map(|(key, StoredAnswer { request, answer })| (key, (request, answer))).unzip();
    let stored: Vec<(Uuid,)> = session.fetch_all(&STORE_ANSWERS, (keys, requests, answers)).await?;
    if stored.len() < count {
        // Another server has stored a change under one of these keys since this batch read them.
        return Err(AttemptError::Conflict("Another server claimed one of the batch's idempotency keys".into()));
    }
    Ok(())
}

/// The answers of a batch whose commit has an unknown outcome. A refused request has certainly changed nothing, but the
/// state that its refusal rests on may not exist, so it gets "not done". An answer that was stored before the batch
/// stays valid.
fn doubted(
    batch: &[BatchEntry],
    answers: Vec<BatchAnswer>,
    made_before: &MadeBefore,
    reason: &str,
) -> Vec<BatchAnswer> {
    let doubt = |(entry, answer): (&BatchEntry, BatchAnswer)| match answer {
        sure if entry.key.as_ref().is_some_and(|key| made_before.contains_key(&key.id)) => sure,
        Ok(_) | Err(AttemptError::MadeBefore(_)) => Err(AttemptError::OutcomeUnknown(reason.to_owned().into())),
        Err(refused) => Err(AttemptError::NotDone(
            format!("{refused}, but the outcome of the commit that this refusal rests on is unknown").into(),
        )),
    };
    batch.iter().zip(answers).map(doubt).collect()
}

/// The rows that changed, as one array per column.
#[derive(Default)]
struct ChangedRows {
    ids: Vec<i64>,
    values: Vec<i64>,
    changes: Vec<i64>,
}

fn changed<T>(before: &BTreeMap<i64, T>, after: &BTreeMap<i64, T>, seen: impl Fn(&T) -> (i64, i64)) -> ChangedRows {
    let mut rows = ChangedRows::default();
    for ((id, before), after) in before.iter().zip(after.values()) {
        let ((_, old), (value, new)) = (seen(before), seen(after));
        if new > old {
            rows.ids.push(*id);
            rows.values.push(value);
            rows.changes.push(new - old);
        }
    }
    rows
}

fn account(row: UserRow) -> (i64, Account) {
    (row.id, Account { balance: row.balance, version: row.version })
}
