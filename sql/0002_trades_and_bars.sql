-- SPDX-License-Identifier: Apache-2.0
--
-- The tape itself, and what is kept up to date from it in the same transactions: bars and the latest
-- trade of each symbol.
--
-- Order of trades. Wherever "first", "last", "open" or "close" matter, trades of a symbol are ordered by
-- (ts, trade_id, source), which is total and does not depend on arrival. Text that takes part in a key is
-- COLLATE "C" (bytewise): the same order as programs that compare bytes, the same on every operating
-- system, and cheaper to compare.

create table market.trades (
    symbol text collate "C" not null,
    ts timestamptz not null,
    source text collate "C" not null,
    trade_id bigint not null,
    price double precision not null,
    size double precision not null,
    conditions text[] not null default '{}',
    ingested_at timestamptz not null default now(),
    primary key (symbol, ts, source, trade_id),
    -- Validation stands before this table; these stop only what would poison every sum it enters.
    -- NaN sorts above Infinity, so the upper bound refuses it as well.
    constraint trades_price_finite check (price > '-Infinity' and price < 'Infinity'),
    constraint trades_size_finite check (size >= 0 and size < 'Infinity')
) partition by range (ts);

-- For questions about a stretch of time and all symbols ("the last minute"): rows arrive nearly in order of
-- time, so a summary of each 256 KiB finds them, at a price COPY does not notice.
create index trades_ts on market.trades using brin (ts) with (pages_per_range = 32, autosummarize = on);

comment on table market.trades is
    'Every trade on the tape, once. Partitioned by UTC day of ts (market.trades_YYYYMMDD); give a range of ts and only its days are read.';
comment on column market.trades.symbol is
    'Instrument as its source names it, e.g. AAPL or BINANCE:BTCUSDT.';
comment on column market.trades.ts is
    'When the trade happened (event time at the venue), microseconds, UTC.';
comment on column market.trades.source is
    'Where the trade came from, e.g. finnhub.';
comment on column market.trades.trade_id is
    'Number that tells trades of the same symbol, ts and source apart: the venue''s where it is unique, else assigned at ingest.';
comment on column market.trades.price is
    'Price of one unit, in the currency of the instrument.';
comment on column market.trades.size is
    'Units traded (shares, coins, contracts); may be fractional, 0 or more.';
comment on column market.trades.conditions is
    'Trade condition codes as the venue gave them; empty when it gave none.';
comment on column market.trades.ingested_at is
    'When this row was written (start of the transaction that stored it).';

create function ops.ensure_trade_partitions(days date[]) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Each partition takes about seven locks, held to the end of the transaction, out of a table shared by
    -- all sessions (max_locks_per_transaction x max_connections): a whole archive at once exhausts it.
    days_max constant integer := 366;
    missing date[];
    day date;
    partition_name text;
    created integer := 0;
begin
    select array_agg(distinct d order by d) into missing
    from unnest(days) as d
    where d is not null
      and not exists (
          select from pg_class
          where oid = to_regclass('market.trades_' || to_char(d, 'YYYYMMDD')) and relispartition);

    -- The usual case, and it takes no lock at all.
    if missing is null then
        return 0;
    end if;
    if cardinality(missing) > days_max then
        raise exception '% partitions of market.trades at once', cardinality(missing)
            using errcode = 'program_limit_exceeded',
                  hint = format('Ask for at most %s missing days in one transaction.', days_max);
    end if;
    if missing[1] < date '0001-01-01' or missing[cardinality(missing)] > date '9999-12-30' then
        raise exception 'no partition of market.trades can hold day %',
            case when missing[1] < date '0001-01-01' then missing[1] else missing[cardinality(missing)] end
            using errcode = 'datetime_field_overflow',
                  hint = 'Days run from 0001-01-01 to 9999-12-30.';
    end if;

    -- One creator at a time; whoever waited finds the work done. This is the lock that ATTACH needs in any
    -- case, held to the end of the transaction. An advisory lock would not do: waiting for one does not
    -- make a session notice tables that others created meanwhile, waiting for a table does.
    lock table only market.trades in share update exclusive mode;

    foreach day in array missing loop
        partition_name := 'trades_' || to_char(day, 'YYYYMMDD');
        if to_regclass('market.' || partition_name) is not null then
            if exists (
                select from pg_class
                where oid = to_regclass('market.' || partition_name) and not relispartition
            ) then
                raise exception 'market.% exists but is not a partition of market.trades', partition_name
                    using errcode = 'duplicate_table',
                          hint = 'Attach it again, or rename it, so that the day has a place for its trades.';
            end if;
            continue;
        end if;

        -- CREATE TABLE ... PARTITION OF would lock market.trades ACCESS EXCLUSIVE: behind one long query
        -- every later one would queue. A table of its own that is attached afterwards needs only SHARE
        -- UPDATE EXCLUSIVE, which neither readers nor writers notice. It is empty, so the scan that
        -- ATTACH makes to prove the range costs nothing and no CHECK is needed to spare it.
        --
        -- Rows come by the million and never change: vacuum on inserts, so that the visibility map
        -- serves index-only scans, and freeze at once, so that no page is ever rewritten for its age.
        execute format(
            'create table market.%I ('
            '    like market.trades including defaults including constraints including comments,'
            '    primary key (symbol, ts, source, trade_id)'
            ') with ('
            '    autovacuum_vacuum_insert_threshold = 100000,'
            '    autovacuum_vacuum_insert_scale_factor = 0.1,'
            '    autovacuum_analyze_threshold = 50000,'
            '    autovacuum_analyze_scale_factor = 0.1,'
            '    autovacuum_freeze_min_age = 0'
            ')', partition_name);
        execute format(
            'comment on table market.%I is %L', partition_name,
            format('Trades of the UTC day %s. A partition of market.trades: query that.', to_char(day, 'YYYY-MM-DD')));
        -- Bounds carry their offset: they are UTC whatever the time zone of the session.
        execute format(
            'alter table market.trades attach partition market.%I for values from (%L) to (%L)',
            partition_name,
            to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00',
            to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
        created := created + 1;
    end loop;
    return created;
end
$$;

revoke all on function ops.ensure_trade_partitions(date[]) from public;

comment on function ops.ensure_trade_partitions(date[]) is
    'Creates the partitions of market.trades that the given UTC days (nulls and repeats are ignored) still lack, without blocking readers or writers; returns how many it created. Any number of sessions may call it at once; call it in a short transaction of its own, since other creators wait for that one to end.';

create table ops.bar_state (
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    ts timestamptz not null,
    open double precision not null,
    high double precision not null,
    low double precision not null,
    close double precision not null,
    volume double precision not null,
    volume_c double precision not null default 0,
    notional double precision not null,
    notional_c double precision not null default 0,
    trade_count bigint not null,
    open_ts timestamptz not null,
    open_id bigint not null,
    open_source text collate "C" not null,
    close_ts timestamptz not null,
    close_id bigint not null,
    close_source text collate "C" not null,
    primary key (symbol, timeframe, ts),
    -- The same list as tapedeck_sql.timeframe_width.
    constraint bar_state_timeframe check (timeframe in ('1s', '5s', '15s', '1m', '5m', '15m', '1h', '1d')),
    constraint bar_state_trade_count check (trade_count > 0)
) with (
    -- The newest bars are updated again and again. No updated column is indexed, so with room on the page
    -- an update is HOT: it touches neither the index nor another page.
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

comment on table ops.bar_state is
    'Running state of every bar, from which market.bars is read: always what a computation over market.trades from scratch gives, however late or out of order trades arrive.';
comment on column ops.bar_state.symbol is
    'Instrument, as in market.trades.';
comment on column ops.bar_state.timeframe is
    'Length of the bar: 1s 5s 15s 1m 5m 15m 1h 1d.';
comment on column ops.bar_state.ts is
    'Start of the bar, UTC, inclusive; it ends before ts + timeframe.';
comment on column ops.bar_state.open is
    'Price of the earliest trade of the bar.';
comment on column ops.bar_state.high is
    'Highest price of the bar.';
comment on column ops.bar_state.low is
    'Lowest price of the bar.';
comment on column ops.bar_state.close is
    'Price of the latest trade of the bar.';
comment on column ops.bar_state.volume is
    'Running sum of size, in units; the sum is volume + volume_c.';
comment on column ops.bar_state.volume_c is
    'Compensation of volume: what rounding has cost it so far, so that the sum does not depend on the order of arrival.';
comment on column ops.bar_state.notional is
    'Running sum of price x size, in the currency of the instrument; the sum is notional + notional_c.';
comment on column ops.bar_state.notional_c is
    'Compensation of notional, as volume_c is of volume.';
comment on column ops.bar_state.trade_count is
    'Number of trades in the bar, at least 1.';
comment on column ops.bar_state.open_ts is
    'ts of the trade that gave open: with open_source and open_id, its place in the order of trades.';
comment on column ops.bar_state.open_id is
    'trade_id of the trade that gave open.';
comment on column ops.bar_state.open_source is
    'source of the trade that gave open, its first eight bytes: it only breaks ties.';
comment on column ops.bar_state.close_ts is
    'ts of the trade that gave close: with close_source and close_id, its place in the order of trades.';
comment on column ops.bar_state.close_id is
    'trade_id of the trade that gave close.';
comment on column ops.bar_state.close_source is
    'source of the trade that gave close, its first eight bytes: it only breaks ties.';

-- A view runs with the rights of its owner, so the reader sees bars and never their bookkeeping.
create view market.bars as
select
    symbol,
    timeframe,
    ts,
    open,
    high,
    low,
    close,
    volume + volume_c as volume,
    (notional + notional_c) / nullif(volume + volume_c, 0) as vwap,
    notional + notional_c as notional,
    trade_count
from ops.bar_state;

comment on view market.bars is
    'Price bars of every symbol in eight timeframes, exact at every moment. A period without trades has no bar.';
comment on column market.bars.symbol is
    'Instrument, as in market.trades.';
comment on column market.bars.timeframe is
    'Length of the bar: 1s 5s 15s 1m 5m 15m 1h 1d. Name one, or every trade is met eight times.';
comment on column market.bars.ts is
    'Start of the bar, UTC, inclusive; it ends before ts + timeframe.';
comment on column market.bars.open is
    'Price of the earliest trade, in the currency of the instrument.';
comment on column market.bars.high is
    'Highest price.';
comment on column market.bars.low is
    'Lowest price.';
comment on column market.bars.close is
    'Price of the latest trade so far.';
comment on column market.bars.volume is
    'Sum of size, in units of the instrument.';
comment on column market.bars.vwap is
    'Volume-weighted average price, notional / volume; null when volume is 0.';
comment on column market.bars.notional is
    'Sum of price x size, in the currency of the instrument.';
comment on column market.bars.trade_count is
    'Number of trades, at least 1.';

create view market.trade_stats_15s as
select
    symbol,
    ts,
    (notional + notional_c) / trade_count as price_volume_multiply,
    (notional + notional_c) / nullif(volume + volume_c, 0) as vwap,
    trade_count
from ops.bar_state
where timeframe = '15s';

comment on view market.trade_stats_15s is
    'Averages over windows of 15 seconds, one row for each symbol and window that had trades.';
comment on column market.trade_stats_15s.symbol is
    'Instrument, as in market.trades.';
comment on column market.trade_stats_15s.ts is
    'Start of the window, UTC, inclusive; it ends before ts + 15 s.';
comment on column market.trade_stats_15s.price_volume_multiply is
    'Mean of price x size over the trades of the window, in the currency of the instrument.';
comment on column market.trade_stats_15s.vwap is
    'Volume-weighted average price; null when nothing but trades of size 0 occurred.';
comment on column market.trade_stats_15s.trade_count is
    'Number of trades in the window, at least 1.';

create table market.latest (
    symbol text collate "C" primary key,
    ts timestamptz not null,
    source text collate "C" not null,
    trade_id bigint not null,
    price double precision not null,
    size double precision not null,
    previous_ts timestamptz,
    previous_source text collate "C",
    previous_trade_id bigint,
    previous_price double precision
) with (
    -- A few thousand rows, each updated many times a second: half-empty pages keep the updates HOT, and
    -- vacuum goes by the number of dead rows alone and without pauses, for the table is tiny.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000
);

comment on table market.latest is
    'The latest trade of each symbol and the one before it, by event time; a late trade does not replace a newer one.';
comment on column market.latest.symbol is
    'Instrument, as in market.trades.';
comment on column market.latest.ts is
    'When the latest trade happened, UTC.';
comment on column market.latest.source is
    'Where the latest trade came from.';
comment on column market.latest.trade_id is
    'trade_id of the latest trade.';
comment on column market.latest.price is
    'Price of the latest trade, in the currency of the instrument.';
comment on column market.latest.size is
    'Units traded in the latest trade.';
comment on column market.latest.previous_ts is
    'When the trade before the latest happened, UTC; null while the symbol has had one trade only.';
comment on column market.latest.previous_source is
    'Where the trade before the latest came from.';
comment on column market.latest.previous_trade_id is
    'trade_id of the trade before the latest.';
comment on column market.latest.previous_price is
    'Price of the trade before the latest; price - previous_price is the last change.';
