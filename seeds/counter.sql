-- One counter that starts from 1.
insert into counters (id, value, version)
values (1, 1, 1)
on conflict (id) do update set value = excluded.value, version = excluded.version;
