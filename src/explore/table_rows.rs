//! The rows of the explorer's tables as a [`State`]: read from the database, and written to it.

use std::fmt::Write as _;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use domain::state::State;
use domain::{Account, Booking, Counter, Event};

/// Reads all committed rows. The query waits for no lock.
///
/// # Errors
/// An error of the database.
pub async fn read(connection: &mut PgConnection) -> Result<State, sqlx::Error> {
    let found: Vec<(i32, i64, i64, i64, i64, Option<Uuid>)> = sqlx::query_as(
        "select 1, id, balance, 0::bigint, version, null::uuid from users \
         union all select 2, id, capacity, booked, version, null from events \
         union all select 3, id, value, 0, version, null from counters \
         union all select 4, event_id, user_id, 0, 0, id from bookings",
    )
    .fetch_all(connection)
    .await?;
    let mut rows = State::default();
    for (kind, id, value, booked, version, booking) in found {
        match (kind, booking) {
            (1, _) => drop(rows.users.insert(id, Account { balance: value, version })),
            (2, _) => drop(rows.events.insert(id, Event { capacity: value, booked, version })),
            (3, _) => drop(rows.counters.insert(id, Counter { value, version })),
            (_, Some(booking)) => rows.add_booking(booking, Booking { event: id, user: value }),
            (_, None) => {}
        }
    }
    Ok(rows)
}

/// The SQL that replaces all rows by these. Existing rows are updated in place, so that the tables are as small after a hundred
/// thousand interleavings as before the first.
#[must_use]
pub fn replace_sql(rows: &State) -> String {
    let users = rows.users.iter().map(|(id, user)| (*id, format!("'user', {}, {}", user.balance, user.version)));
    let events = rows.events.iter();
    let events =
        events.map(|(id, event)| (*id, format!("'event', {}, {}, {}", event.capacity, event.booked, event.version)));
    let counters = rows.counters.iter().map(|(id, counter)| (*id, format!("{}, {}", counter.value, counter.version)));
    let mut sql = String::from("begin; delete from bookings; delete from idempotency_keys; ");
    sql += &replace_table_sql("users", &["name", "balance", "version"], users);
    sql += &replace_table_sql("events", &["name", "capacity", "booked", "version"], events);
    sql += &replace_table_sql("counters", &["value", "version"], counters);
    for (id, Booking { event, user }) in rows.bookings() {
        // Writing to a String cannot fail.
        let _ = write!(sql, "insert into bookings (id, event_id, user_id) values ('{id}', {event}, {user}); ");
    }
    sql + "commit"
}

fn replace_table_sql(table: &str, columns: &[&str], rows: impl Iterator<Item = (i64, String)>) -> String {
    let (ids, values): (Vec<String>, Vec<String>) =
        rows.map(|(id, values)| (id.to_string(), format!("({id}, {values})"))).unzip();
    if ids.is_empty() {
        return format!("delete from {table}; ");
    }
    let of = |table: &str| columns.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
    format!(
        "delete from {table} where id not in ({ids}); \
         insert into {table} (id, {names}) values {values} on conflict (id) do update set ({names}) = ({new}) \
         where ({old}) is distinct from ({new}); ",
        ids = ids.join(", "),
        names = columns.join(", "),
        values = values.join(", "),
        old = of(table),
        new = of("excluded"),
    )
}
