-- Seats and counters: the other rows that the lab races for.

-- `booked` is a count that is kept beside the booking rows, which are the truth; where the two differ, an approach lost an
-- update. The CHECK is the last net, and the guard of the approach check-constraint.
create table events (
    id       bigint primary key check (id > 0),
    name     text   not null,
    capacity bigint not null check (capacity >= 0),
    booked   bigint not null default 0,
    version  bigint not null default 1,
    constraint events_not_oversold check (booked between 0 and capacity)
) with (fillfactor = 50);

create table bookings (
    id            uuid        primary key default gen_random_uuid(),
    event_id      bigint      not null references events,
    user_id       bigint      not null references users,
    seat          bigint,
    by_constraint boolean     not null default false,
    booking_time  timestamptz not null default now()
);

-- Partial, so that the same table also shows what happens without them: only the approaches that let the database decide
-- set `by_constraint` or fill `seat`.
create unique index bookings_once_a_user on bookings (event_id, user_id) where by_constraint;
create unique index bookings_once_a_seat on bookings (event_id, seat) where seat is not null;

create index bookings_of_event on bookings (event_id, user_id);

create table counters (
    id      bigint primary key check (id > 0),
    value   bigint not null,
    version bigint not null default 1
) with (fillfactor = 50);
