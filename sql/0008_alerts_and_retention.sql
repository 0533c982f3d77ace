-- SPDX-License-Identifier: Apache-2.0
--
-- What a store needs that runs for years: alerts, the freshness of what it is fed, and an end for what is old.

-- Alerts ------------------------------------------------------------------------------------------------

create table ops.alerts (
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    ts timestamptz not null,
    kind text collate "C" not null,
    value double precision not null,
    threshold double precision not null,
    raised_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    retracted_at timestamptz,
    primary key (symbol, timeframe, ts, kind),
    constraint alerts_kind check (kind in ('drop', 'spike', 'volume', 'range'))
) with (
    -- The newest bar's alert changes with each trade of it; what changes is not indexed.
    fillfactor = 80
);

-- Newest first over all symbols, page by page.
create index alerts_ts on ops.alerts (ts, symbol, timeframe, kind);

comment on table ops.alerts is
    'Bars that went beyond a threshold, once for each bar and kind, however often the bar was corrected. Written in the transaction that writes the bar.';
comment on column ops.alerts.symbol is
    'Instrument, as in market.trades.';
comment on column ops.alerts.timeframe is
    'Length of the bar.';
comment on column ops.alerts.ts is
    'Start of the bar, UTC.';
comment on column ops.alerts.kind is
    'drop, spike (close against open), volume (sum of sizes), range (high against low).';
comment on column ops.alerts.value is
    'What the bar has: percent for drop, spike and range, units for volume.';
comment on column ops.alerts.threshold is
    'What it went beyond, in the same unit.';
comment on column ops.alerts.raised_at is
    'When it was first written, UTC.';
comment on column ops.alerts.changed_at is
    'When it last changed, UTC: the bar went on, or was corrected.';
comment on column ops.alerts.retracted_at is
    'Since when it is untrue, because a late trade has changed its bar; null while it holds.';

create function ops.note_alerts(
    timeframe text, symbols text[], starts timestamptz[],
    alert_symbols text[], alert_starts timestamptz[], kinds text[], amounts double precision[],
    limits double precision[], cool_down interval
) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    alert record;
    raised integer := 0;
    is_new boolean;
begin
    -- Of the bars that have changed, those that no longer deserve their alert.
    update ops.alerts a set retracted_at = now(), changed_at = now()
    from unnest(symbols, starts) as t (symbol, ts)
    where a.symbol = t.symbol and a.timeframe = note_alerts.timeframe and a.ts = t.ts and a.retracted_at is null
      and not exists (
          select from unnest(alert_symbols, alert_starts, kinds) as c (symbol, ts, kind)
          where c.symbol = a.symbol and c.ts = a.ts and c.kind = a.kind);

    -- One after the other, since each is subject to the cool-down of those before it.
    for alert in
        select c.symbol, c.ts, c.kind, c.amount, c.bound
        from unnest(alert_symbols, alert_starts, kinds, amounts, limits) as c (symbol, ts, kind, amount, bound)
        order by c.ts, c.symbol, c.kind
    loop
        insert into ops.alerts as a (symbol, timeframe, ts, kind, value, threshold)
        select alert.symbol, note_alerts.timeframe, alert.ts, alert.kind, alert.amount, alert.bound
        where exists (
                select from ops.alerts e
                where e.symbol = alert.symbol and e.timeframe = note_alerts.timeframe and e.ts = alert.ts
                  and e.kind = alert.kind)
           or not exists (
                select from ops.alerts e
                where e.symbol = alert.symbol and e.timeframe = note_alerts.timeframe and e.kind = alert.kind
                  and e.retracted_at is null and e.ts > alert.ts - cool_down and e.ts < alert.ts + cool_down)
        on conflict on constraint alerts_pkey do update
            set value = excluded.value, threshold = excluded.threshold, changed_at = now(), retracted_at = null
            where a.value is distinct from excluded.value or a.retracted_at is not null
        returning xmax = 0 into is_new;
        if is_new then
            raised := raised + 1;
        end if;
    end loop;
    return raised;
end
$$;

revoke all on function ops.note_alerts(
    text, text[], timestamptz[], text[], timestamptz[], text[], double precision[], double precision[], interval
) from public;

comment on function ops.note_alerts(
    text, text[], timestamptz[], text[], timestamptz[], text[], double precision[], double precision[], interval
) is
    'Writes the alerts of bars that have changed (symbols, starts): those that hold now are given by the other arrays, those that were raised before and are not among them are retracted. A new one is left out within cool_down of another of its symbol and kind. Returns how many are new.';

-- Freshness ---------------------------------------------------------------------------------------------

alter table ops.sources add column rate double precision not null default 0;
alter table ops.sources add column silent_after interval not null default '60 seconds';

comment on column ops.sources.rate is
    'Events a second at updated_at, averaged with a weight that falls by e each minute; it goes on falling in silence (ops.source_freshness).';
comment on column ops.sources.silent_after is
    'After how long without an event the source counts as silent; to be set by whoever knows its hours.';

create view ops.source_freshness as
select
    source,
    last_event_ts,
    last_ingested_at,
    now() - last_ingested_at as silent_for,
    coalesce(now() - last_ingested_at > silent_after, true) as is_silent,
    rate * exp(greatest(-700, -extract(epoch from now() - updated_at)::double precision / 60)) as rate,
    events,
    last_error,
    last_error_at
from ops.sources;

comment on view ops.source_freshness is
    'How each source is now: since when it is silent, whether that is too long, and how fast it is.';
comment on column ops.source_freshness.source is 'Name of the source, as in market.trades.';
comment on column ops.source_freshness.last_event_ts is 'Newest event time seen from it, UTC.';
comment on column ops.source_freshness.last_ingested_at is 'When its newest stored event arrived, UTC.';
comment on column ops.source_freshness.silent_for is 'Time since then.';
comment on column ops.source_freshness.is_silent is 'Whether that is longer than silent_after of ops.sources.';
comment on column ops.source_freshness.rate is 'Events a second now, averaged over about a minute.';
comment on column ops.source_freshness.events is 'Events stored from it since the database was created.';
comment on column ops.source_freshness.last_error is 'Message of its last error; null when there was none.';
comment on column ops.source_freshness.last_error_at is 'When its last error happened, UTC.';

create view ops.symbol_freshness as
select symbol, source, ts as last_event_ts, now() - ts as silent_for from market.latest;

comment on view ops.symbol_freshness is
    'How long ago each symbol last traded, and by which source that is known.';
comment on column ops.symbol_freshness.symbol is 'Instrument, as in market.trades.';
comment on column ops.symbol_freshness.source is 'Source of its latest trade.';
comment on column ops.symbol_freshness.last_event_ts is 'When its latest trade happened, UTC.';
comment on column ops.symbol_freshness.silent_for is 'Time since then.';

-- Retention ---------------------------------------------------------------------------------------------

create table ops.retention (
    dataset text collate "C" primary key,
    dropped_before timestamptz not null,
    updated_at timestamptz not null default now()
);

comment on table ops.retention is
    'What is no longer kept. A trade older than what was dropped is refused: whether it had been there cannot be known any more, and its bars must not count it twice.';
comment on column ops.retention.dataset is
    'trades, or bars of less than a minute (fine_bars).';
comment on column ops.retention.dropped_before is
    'Everything before this moment has been dropped, or is being dropped.';
comment on column ops.retention.updated_at is
    'When that last moved, UTC.';

create function ops.ensure_open_trade_partitions(days date[]) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    closed_before timestamptz;
begin
    select dropped_before into closed_before from ops.retention where dataset = 'trades';
    perform ops.ensure_trade_partitions(
        array(select d from unnest(days) as d
              where closed_before is null or (d + 1)::timestamp at time zone 'UTC' > closed_before));
    return closed_before;
end
$$;

revoke all on function ops.ensure_open_trade_partitions(date[]) from public;

comment on function ops.ensure_open_trade_partitions(date[]) is
    'As ops.ensure_trade_partitions, but for days that retention has dropped; returns the moment before which everything has been, or null.';

create function ops.delete_fine_bars(before timestamptz, at_most integer) returns integer
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
            if deleted >= at_most then
                return deleted;
            end if;
        end loop;
    end loop;
    return deleted;
end
$$;

revoke all on function ops.delete_fine_bars(timestamptz, integer) from public;

comment on function ops.delete_fine_bars(timestamptz, integer) is
    'Deletes bars of less than a minute that start before a moment, at_most of them; returns how many. To be called again until it returns less.';

grant select on ops.alerts, ops.retention, ops.source_freshness, ops.symbol_freshness to tapedeck_reader;
