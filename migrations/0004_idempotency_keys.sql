-- The changes that were made under a client's key: stored by the transaction that made them, with the answer.
create table idempotency_keys (
    key     uuid        primary key,
    -- The change, in JSON: the same key with another one is refused.
    request text        not null,
    -- In JSON. Null only within the transaction that claims the key.
    answer  text,
    made_at timestamptz not null default now()
) with (fillfactor = 50);

-- The oldest go first.
create index idempotency_keys_by_age on idempotency_keys (made_at);
