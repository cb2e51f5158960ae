-- The rows that the lab races for, and a note of where its data came from.

-- Money in bigint: whole units, checked arithmetic. The CHECK is the last net below every approach's own guard.
-- Half of each page is left free, so that the next version of a hot row stays on its page (a HOT update) and is
-- pruned there, instead of growing the table and its index.
create table users (
    id      bigint primary key check (id > 0),
    name    text   not null,
    balance bigint not null constraint balance_not_negative check (balance >= 0),
    version bigint not null default 1
) with (fillfactor = 50);

-- Which seed the data came from; no row before the first one. `only_one_row` keeps it one row.
create table seeded (
    only_one_row boolean     primary key default true check (only_one_row),
    seed         text        not null,
    seeded_at    timestamptz not null default now()
);
