-- A thousand users who cannot be emptied within any benchmark: 10^12 each.
insert into users (id, name, balance, version)
select id, 'Bench ' || id, 1000000000000, 1
from generate_series(1, 1000) as id
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;
