-- A hundred accounts for transfers: Markov with 5000, Curie with 10000, and 98 more with 1000 each.
insert into users (id, name, balance, version)
select id,
       case id when 1 then 'Markov' when 2 then 'Curie' else 'Account ' || id end,
       case id when 1 then 5000 when 2 then 10000 else 1000 end,
       1
from generate_series(1, 100) as id
on conflict (id) do update set name = excluded.name, balance = excluded.balance, version = excluded.version;
