-- The classic check: one user with 10000, who can pay 5000 withdrawals of 2 and not one more.
insert into users (id, name, balance, version)
values (1, 'Ada Lovelace', 10000, 1)
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;
