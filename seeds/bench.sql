-- A thousand users with 10^12 each, more than any benchmark can withdraw.
insert into users (id, name, balance, version)
select id, 'Bench ' || id, 1000000000000, 1
from generate_series(1, 1000) as id
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;
