-- One user with 10000: enough for exactly 5000 withdrawals of 2.
insert into users (id, name, balance, version)
values (1, 'Ada Lovelace', 10000, 1)
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;
