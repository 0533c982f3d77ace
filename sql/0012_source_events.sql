-- SPDX-License-Identifier: Apache-2.0
--
-- What sources say of themselves: connections, errors, and the times of which something is missing.

create table ops.source_events (
    source text collate "C" not null,
    run_id bigint not null,
    sequence bigint not null,
    ts timestamptz not null,
    kind text collate "C" not null,
    symbols text[] not null default '{}',
    from_ts timestamptz,
    to_ts timestamptz,
    message text,
    ingested_at timestamptz not null,
    primary key (source, run_id, sequence),
    constraint source_events_period check (to_ts >= from_ts)
);

-- Newest first; and what retention lets go.
create index source_events_ts on ops.source_events (ts, source);
-- Gaps, and what has filled them.
create index source_events_gaps on ops.source_events (source, from_ts) where kind in ('gap', 'gap_filled');

comment on table ops.source_events is
    'What sources said of themselves, each event once however often the log holds it.';
comment on column ops.source_events.source is
    'Name of the source, as in market.trades.';
comment on column ops.source_events.run_id is
    'Ingest run in which it happened.';
comment on column ops.source_events.sequence is
    'Number of the event among those of its run, from 1.';
comment on column ops.source_events.ts is
    'When it happened, UTC.';
comment on column ops.source_events.kind is
    'connected, subscribed, unsubscribed, disconnected, error, gap, gap_filled.';
comment on column ops.source_events.symbols is
    'What it is about; empty for everything the source is asked for.';
comment on column ops.source_events.from_ts is
    'First moment of a gap, UTC.';
comment on column ops.source_events.to_ts is
    'The moment after a gap, UTC.';
comment on column ops.source_events.message is
    'What it was, in words.';
comment on column ops.source_events.ingested_at is
    'When the source noted it, UTC.';

alter table ops.sources add column state text;
alter table ops.sources add column state_at timestamptz;

comment on column ops.sources.state is
    'connected or disconnected, as the source itself last said; null for one that has no connection, as a file.';
comment on column ops.sources.state_at is
    'Since when, UTC.';
comment on column ops.sources.silent_after is
    'After how long without an event the source counts as silent: TAPEDECK_SILENT_AFTER.';

create or replace view ops.source_freshness as
select
    source,
    last_event_ts,
    last_ingested_at,
    now() - last_ingested_at as silent_for,
    coalesce(now() - last_ingested_at > silent_after, true) as is_silent,
    rate * exp(greatest(-700, -extract(epoch from now() - updated_at)::double precision / 60)) as rate,
    events,
    last_error,
    last_error_at,
    state,
    state_at
from ops.sources;

comment on column ops.source_freshness.state is
    'connected or disconnected, as the source itself last said; null for one that has no connection.';
comment on column ops.source_freshness.state_at is
    'Since when, UTC.';

create view ops.source_gaps as
select
    gap.source,
    gap.from_ts,
    gap.to_ts,
    gap.symbols,
    gap.message,
    (
        select min(filled.ts)
        from ops.source_events as filled
        where filled.kind = 'gap_filled' and filled.source = gap.source
          and filled.from_ts <= gap.from_ts and filled.to_ts >= gap.to_ts
          and (filled.symbols = '{}' or gap.symbols <> '{}' and filled.symbols @> gap.symbols)
    ) as filled_at
from ops.source_events as gap
where gap.kind = 'gap'
union all
select source, state_at, null, '{}', last_error, null
from ops.sources
where state = 'disconnected';

comment on view ops.source_gaps is
    'Times of which records of a source are missing, or may be: those it knows of, and that since which it is disconnected.';
comment on column ops.source_gaps.source is
    'Name of the source, as in market.trades.';
comment on column ops.source_gaps.from_ts is
    'First moment, UTC.';
comment on column ops.source_gaps.to_ts is
    'The moment after it, UTC; null while the source is disconnected.';
comment on column ops.source_gaps.symbols is
    'What is missing; empty for everything the source is asked for.';
comment on column ops.source_gaps.message is
    'Why, in words; null when it is not known.';
comment on column ops.source_gaps.filled_at is
    'When what was missing had been fetched, UTC; null while it has not.';

grant select on ops.source_events, ops.source_gaps to tapedeck_reader;
