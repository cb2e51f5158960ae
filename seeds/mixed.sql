-- Three users with 1000 each, for deposits and withdrawals that must end at 1500, 1250 and 1000.
insert into users (id, name, balance, version)
values (1, 'Ada Lovelace', 1000, 1), (2, 'Grace Hopper', 1000, 1), (3, 'Edsger Dijkstra', 1000, 1)
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;
