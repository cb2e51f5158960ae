-- A thousand users, one event with one seat and one event with a hundred seats.
insert into users (id, name, balance, version)
select id, 'Guest ' || id, 0, 1
from generate_series(1, 1000) as id
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;

delete from bookings;

insert into events (id, name, capacity, booked, version)
values (1, 'The last seat', 1, 0, 1), (2, 'A hundred seats', 100, 0, 1)
on conflict (id) do update
set name = excluded.name, capacity = excluded.capacity, booked = excluded.booked, version = excluded.version;
