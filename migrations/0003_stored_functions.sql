-- The approach stored-function: each function locks, decides and changes in one round trip. `outcome` is 'done' or the
-- refusal; a function that refuses has changed nothing. Names resolve by the session's search_path.

create function lab_change_balance(wanted_user bigint, amount bigint)
returns table (outcome text, new_balance bigint, new_version bigint) language plpgsql as $$
declare
    account users%rowtype;
begin
    select * into account from users where id = wanted_user for update;
    if not found then
        return query select 'user not found', 0::bigint, 0::bigint;
    elsif account.balance < 0 - amount::numeric then
        return query select 'insufficient funds', 0::bigint, 0::bigint;
    else
        -- A sum that does not fit a bigint raises 22003.
        return query update users set balance = account.balance + amount, version = version + 1
                     where id = wanted_user returning 'done', balance, version;
    end if;
end $$;

create function lab_transfer(payer_id bigint, payee_id bigint, amount bigint)
returns table (outcome text, payer_balance bigint, payer_version bigint, payee_balance bigint, payee_version bigint)
language plpgsql as $$
declare
    payer users%rowtype;
    payee users%rowtype;
begin
    -- Both rows in the order of their ids, whoever pays: opposite transfers do not deadlock.
    perform from users where id in (payer_id, payee_id) order by id for update;
    select * into payer from users where id = payer_id;
    select * into payee from users where id = payee_id;
    if payer.id is null or payee.id is null then
        return query select 'user not found', 0::bigint, 0::bigint, 0::bigint, 0::bigint;
    elsif payer.balance < amount then
        return query select 'insufficient funds', 0::bigint, 0::bigint, 0::bigint, 0::bigint;
    else
        update users set balance = payee.balance + amount, version = version + 1 where id = payee_id returning * into payee;
        update users set balance = payer.balance - amount, version = version + 1 where id = payer_id returning * into payer;
        return query select 'done', payer.balance, payer.version, payee.balance, payee.version;
    end if;
end $$;

create function lab_book(wanted_event bigint, wanted_user bigint)
returns table (outcome text, booking_id uuid, seats_left bigint, new_version bigint) language plpgsql as $$
declare
    event events%rowtype;
    made uuid;
begin
    select * into event from events where id = wanted_event for update;
    if not found then
        return query select 'event not found', null::uuid, 0::bigint, 0::bigint;
    elsif not exists (select from users where id = wanted_user) then
        return query select 'user not found', null::uuid, 0::bigint, 0::bigint;
    elsif exists (select from bookings where event_id = wanted_event and user_id = wanted_user) then
        return query select 'already booked', null::uuid, 0::bigint, 0::bigint;
    elsif event.booked >= event.capacity then
        return query select 'sold out', null::uuid, 0::bigint, 0::bigint;
    else
        insert into bookings (event_id, user_id) values (wanted_event, wanted_user) returning id into made;
        return query update events set booked = event.booked + 1, version = version + 1
                     where id = wanted_event returning 'done', made, capacity - booked, version;
    end if;
end $$;

create function lab_increment(wanted_counter bigint)
returns table (outcome text, new_value bigint, new_version bigint) language plpgsql as $$
declare
    counter counters%rowtype;
begin
    select * into counter from counters where id = wanted_counter for update;
    if not found then
        return query select 'counter not found', 0::bigint, 0::bigint;
    else
        return query update counters set value = counter.value + 1, version = version + 1
                     where id = wanted_counter returning 'done', value, version;
    end if;
end $$;
