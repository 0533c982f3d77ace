-- SPDX-License-Identifier: Apache-2.0
--
-- What lies far enough back is settled, and has a version of its own: it stays the same while the pipeline goes on, and
-- is another as soon as something old has changed. The query server makes the tags of closed ranges of it.
--
-- The boundary is data, not a clock: whoever sees a version sees, in the same row, what it speaks for. So it holds
-- wherever the row is read, on a standby that is hours behind, too, and whatever the clocks of readers say.

alter table ops.live_head add column settled_before timestamptz not null default '-infinity';
-- A number that is drawn, not one that is counted: histories that have parted (a backup that was restored, a standby
-- that was promoted and lacks something) never come to the same one again.
alter table ops.live_head add column settled_version uuid not null default gen_random_uuid();

comment on table ops.live_head is
    'How many trades have been committed since the store was made: the last position in ops.live_batches; and the version of all that is settled. One row.';
comment on column ops.live_head.settled_before is
    'Trades, bars and quotes of before this moment are settled: what changes among them changes settled_version. It only rises, an hour behind the clock of the store.';
comment on column ops.live_head.settled_version is
    'Drawn anew by each transaction that writes, changes or deletes something of before settled_before, when it commits. Where it is the same, what is settled is the same.';

-- One row, locked from here to COMMIT, decides: nobody can have been told that a moment is settled while a transaction
-- that found it unsettled has not committed.
create or replace function ops.publish_trades(
    trades integer, first_ts timestamptz, last_ts timestamptz, content bytea
) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    last_position bigint;
begin
    update ops.live_head set
        position = position + trades,
        settled_version = case when publish_trades.first_ts < settled_before then gen_random_uuid() else settled_version end,
        settled_before = greatest(settled_before, clock_timestamp() - interval '1 hour')
    returning position into last_position;
    insert into ops.live_batches (position, trade_count, first_ts, last_ts, content)
    values (last_position, trades, first_ts, last_ts, content);
    perform pg_notify('tapedeck_live', last_position::text);
    return last_position;
end
$$;

create function ops.note_change(first_ts timestamptz) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    update ops.live_head set
        settled_version = case when first_ts < settled_before then gen_random_uuid() else settled_version end,
        settled_before = greatest(settled_before, clock_timestamp() - interval '1 hour')
$$;

revoke all on function ops.note_change(timestamptz) from public;

comment on function ops.note_change(timestamptz) is
    'To be called by a transaction that has written, changed or deleted trades, bars or quotes, with the earliest ts of those, -infinity for any; without a change infinity, which only has the boundary follow the clock. To be followed by COMMIT, since every sink waits for it. Who corrects rows by hand calls it, too: else caches go on serving what they have.';

create or replace function ops.delete_fine_bars(before timestamptz, at_most integer) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted integer := 0;
    part integer;
    frame text;
    key record;
begin
    -- By symbol and timeframe, from the oldest on: a range of the key, whose pages come free together.
    <<symbols>>
    for key in select symbol from market.latest order by symbol loop
        foreach frame in array array['1s', '5s', '15s'] loop
            delete from ops.bar_state b
            where b.symbol = key.symbol and b.timeframe = frame and b.ts < before
              and b.ts <= (
                  select max(o.ts)
                  from (
                      select e.ts from ops.bar_state e
                      where e.symbol = key.symbol and e.timeframe = frame and e.ts < before
                      order by e.ts limit greatest(at_most - deleted, 0)
                  ) as o);
            get diagnostics part = row_count;
            deleted := deleted + part;
            exit symbols when deleted >= at_most;
        end loop;
    end loop;
    if deleted > 0 then
        perform ops.note_change('-infinity');
    end if;
    return deleted;
end
$$;
