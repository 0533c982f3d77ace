-- SPDX-License-Identifier: Apache-2.0
--
-- What has just been committed, for those who watch it live.
--
-- The sink's transaction leaves one row here and sends one NOTIFY. A server that has subscribers reads the rows after
-- its position and tells them; a notification only wakes it, so one that is forged or lost does no harm.
--
-- Positions are one sequence without holes, in the order of commits, however many sinks there are: the counter's row is
-- locked by the last statement before COMMIT, in the same message to the server, and let go by the commit. A sequence
-- would not do: its numbers appear in the order in which they were taken, and a reader that has seen 8 would never
-- look for the 7 that commits after it. NOTIFY takes such a lock at commit in any case (src/backend/commands/async.c,
-- PreCommit_Notify), so the counter costs no concurrency that was there.

create table ops.live_head (
    is_only boolean primary key default true,
    tape_id text not null default substr(gen_random_uuid()::text, 1, 8),
    position bigint not null default 0,
    constraint live_head_is_only check (is_only)
) with (
    -- One row, updated by each transaction of a sink: all of its versions stay on one page, and none is indexed anew.
    fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000
);

insert into ops.live_head default values;

comment on table ops.live_head is
    'How many trades have been committed since the store was made: the last position in ops.live_batches. One row.';
comment on column ops.live_head.is_only is
    'True: there is one row.';
comment on column ops.live_head.tape_id is
    'Random name of this sequence of positions: one of another store means nothing here.';
comment on column ops.live_head.position is
    'Position of the trade committed last; the first one had 1.';

create table ops.live_batches (
    position bigint primary key,
    trade_count integer not null,
    first_ts timestamptz not null,
    last_ts timestamptz not null,
    committed_at timestamptz not null default clock_timestamp(),
    content bytea not null,
    constraint live_batches_trade_count check (trade_count > 0)
) with (
    -- Rows come and go by the thousand.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000
);

-- It is read within milliseconds and gone within minutes: compressing it would cost both sides more than it saves.
alter table ops.live_batches alter column content set storage external;

comment on table ops.live_batches is
    'The trades of each transaction of the last quarter of an hour, in the order of commits: what live subscribers are told.';
comment on column ops.live_batches.position is
    'Position of the last trade of the transaction; its others have the trade_count - 1 numbers before.';
comment on column ops.live_batches.trade_count is
    'Trades that the transaction has added.';
comment on column ops.live_batches.first_ts is
    'Earliest ts among them.';
comment on column ops.live_batches.last_ts is
    'Latest ts among them.';
comment on column ops.live_batches.committed_at is
    'When the transaction was about to commit, UTC.';
comment on column ops.live_batches.content is
    'The trades, or, of a transaction too large to be followed, how many there are of each symbol; the layout is in Sources/Market/LiveBatch.swift.';

create function ops.publish_trades(
    trades integer, first_ts timestamptz, last_ts timestamptz, content bytea
) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    last_position bigint;
begin
    update ops.live_head set position = position + trades returning position into last_position;
    insert into ops.live_batches (position, trade_count, first_ts, last_ts, content)
    values (last_position, trades, first_ts, last_ts, content);
    perform pg_notify('tapedeck_live', last_position::text);
    return last_position;
end
$$;

revoke all on function ops.publish_trades(integer, timestamptz, timestamptz, bytea) from public;

comment on function ops.publish_trades(integer, timestamptz, timestamptz, bytea) is
    'Tells live subscribers what the transaction has added, when it commits; returns the position of its last trade. To be followed by COMMIT in the same message, since every other sink waits for it.';

create function ops.trim_live_batches(age interval) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted bigint;
begin
    delete from ops.live_batches where committed_at < now() - age;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

revoke all on function ops.trim_live_batches(interval) from public;

comment on function ops.trim_live_batches(interval) is
    'Deletes the rows of ops.live_batches that are older than that; returns how many.';

grant select on ops.live_head, ops.live_batches to tapedeck_reader;
