-- SPDX-License-Identifier: Apache-2.0
--
-- What is known of instruments beside their trades (quotes, facts), and the tables operators watch.
--
-- Nothing in ops is readable unless it is granted at the end of this file: a record of what happened
-- may be read by all, what could open a door may not.

create table market.quotes (
    symbol text collate "C" not null,
    ts timestamptz not null,
    source text collate "C" not null,
    open double precision,
    high double precision,
    low double precision,
    price double precision,
    previous_close double precision,
    volume double precision,
    currency text,
    primary key (symbol, ts, source)
);

comment on table market.quotes is
    'Snapshots of the trading day of a symbol as a source gave them. A value the source left out is null.';
comment on column market.quotes.symbol is
    'Instrument as its source names it.';
comment on column market.quotes.ts is
    'Moment the quote holds for, UTC.';
comment on column market.quotes.source is
    'Where the quote came from, e.g. yahoo.';
comment on column market.quotes.open is
    'First price of the trading day.';
comment on column market.quotes.high is
    'Highest price of the trading day so far.';
comment on column market.quotes.low is
    'Lowest price of the trading day so far.';
comment on column market.quotes.price is
    'Current price at ts.';
comment on column market.quotes.previous_close is
    'Closing price of the trading day before.';
comment on column market.quotes.volume is
    'Units traded in the trading day so far.';
comment on column market.quotes.currency is
    'Currency of the prices, ISO 4217 code (USD) or the source''s own.';

create table market.instruments (
    symbol text collate "C" primary key,
    name text,
    exchange text,
    type text,
    currency text,
    country text,
    sector text,
    industry text,
    market_cap double precision,
    forward_pe double precision,
    trailing_pe double precision,
    fifty_two_week_high double precision,
    fifty_two_week_low double precision,
    fifty_day_average double precision,
    short_ratio double precision,
    updated_at timestamptz not null default now()
);

comment on table market.instruments is
    'What is known of each instrument now, one row a symbol. A fact no source gives is null.';
comment on column market.instruments.symbol is
    'Instrument, as in market.trades.';
comment on column market.instruments.name is
    'Name of the company, fund or pair.';
comment on column market.instruments.exchange is
    'Exchange it is listed on.';
comment on column market.instruments.type is
    'Kind of instrument, e.g. equity, etf, crypto.';
comment on column market.instruments.currency is
    'Currency of its prices, ISO 4217 code (USD) or the source''s own.';
comment on column market.instruments.country is
    'Country of the company.';
comment on column market.instruments.sector is
    'Sector of the economy the company belongs to.';
comment on column market.instruments.industry is
    'Industry within the sector.';
comment on column market.instruments.market_cap is
    'Market capitalisation: price times shares outstanding, in currency.';
comment on column market.instruments.forward_pe is
    'Price divided by the earnings per share expected for the next twelve months.';
comment on column market.instruments.trailing_pe is
    'Price divided by the earnings per share of the last twelve months.';
comment on column market.instruments.fifty_two_week_high is
    'Highest price of the last 52 weeks, in currency.';
comment on column market.instruments.fifty_two_week_low is
    'Lowest price of the last 52 weeks, in currency.';
comment on column market.instruments.fifty_day_average is
    'Mean closing price of the last 50 trading days, in currency.';
comment on column market.instruments.short_ratio is
    'Shares sold short divided by the mean daily volume: days it would take to buy them back.';
comment on column market.instruments.updated_at is
    'When the facts were last fetched, UTC.';

create table market.instrument_history (
    symbol text collate "C" not null,
    as_of date not null,
    name text,
    exchange text,
    type text,
    currency text,
    country text,
    sector text,
    industry text,
    market_cap double precision,
    forward_pe double precision,
    trailing_pe double precision,
    fifty_two_week_high double precision,
    fifty_two_week_low double precision,
    fifty_day_average double precision,
    short_ratio double precision,
    updated_at timestamptz not null default now(),
    primary key (symbol, as_of)
);

comment on table market.instrument_history is
    'The facts of market.instruments as they stood, one row for each symbol and day they were fetched on.';
comment on column market.instrument_history.as_of is
    'UTC day the facts held on; the last fetch of the day counts.';

-- The facts are the same, so their comments are: copied, they cannot drift apart.
do $$
declare
    fact record;
begin
    for fact in
        select attname, col_description(attrelid, attnum) as comment
        from pg_catalog.pg_attribute
        where attrelid = 'market.instruments'::regclass and attnum > 0 and not attisdropped
    loop
        execute format('comment on column market.instrument_history.%I is %L', fact.attname, fact.comment);
    end loop;
end
$$;

-- A condition on symbol reaches the primary keys of both halves. A full join would say the same, but its
-- symbol is an expression: ranges and lists of symbols would read both tables whole.
create view market.symbols as
select
    latest.symbol,
    instruments.name,
    instruments.exchange,
    instruments.type,
    instruments.currency,
    instruments.sector,
    latest.ts as last_ts,
    latest.price as last_price
from market.latest
left join market.instruments on instruments.symbol = latest.symbol
union all
select
    instruments.symbol,
    instruments.name,
    instruments.exchange,
    instruments.type,
    instruments.currency,
    instruments.sector,
    null,
    null
from market.instruments
where not exists (select from market.latest where latest.symbol = instruments.symbol);

comment on view market.symbols is
    'Every symbol that has traded or is known as an instrument, with its latest price. Reads no trades, so it is fast.';
comment on column market.symbols.symbol is
    'Instrument, as in market.trades.';
comment on column market.symbols.name is
    'Name of the company, fund or pair; null when unknown.';
comment on column market.symbols.exchange is
    'Exchange it is listed on; null when unknown.';
comment on column market.symbols.type is
    'Kind of instrument, e.g. equity, etf, crypto; null when unknown.';
comment on column market.symbols.currency is
    'Currency of its prices; null when unknown.';
comment on column market.symbols.sector is
    'Sector of the economy the company belongs to; null when unknown.';
comment on column market.symbols.last_ts is
    'When its latest trade happened, UTC; null when it has not traded.';
comment on column market.symbols.last_price is
    'Price of its latest trade, in currency; null when it has not traded.';

create table ops.log_offsets (
    log_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    next_offset bigint not null,
    epoch bigint not null default 0,
    owner text,
    updated_at timestamptz not null default now(),
    primary key (topic, partition),
    constraint log_offsets_partition check (partition >= 0),
    constraint log_offsets_next_offset check (next_offset >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

comment on table ops.log_offsets is
    'How far each partition of the log has been taken into this database. Moved in the transaction that writes the data, so a record counts exactly once.';
comment on column ops.log_offsets.log_id is
    'The log that next_offset counts in: another log begins at 0, and trades that are there already are not added again.';
comment on column ops.log_offsets.topic is
    'Topic of the log.';
comment on column ops.log_offsets.partition is
    'Partition of the topic, from 0.';
comment on column ops.log_offsets.next_offset is
    'First offset not yet taken in: everything before it is in the database.';
comment on column ops.log_offsets.epoch is
    'Fence: each new owner adds 1, and moves the offset only while the epoch is still its own. A worker that lost the partition cannot commit.';
comment on column ops.log_offsets.owner is
    'Worker that holds the partition (for people to read; the epoch decides); null when none has yet.';
comment on column ops.log_offsets.updated_at is
    'When the row last changed, UTC.';

create table ops.ingest_runs (
    run_id bigint primary key,
    source text,
    accepted bigint not null default 0,
    already_there bigint not null default 0,
    rejected bigint not null default 0,
    bars_touched bigint not null default 0,
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

comment on table ops.ingest_runs is
    'What became of the records of each ingest run. Counters move in the transaction that writes the data, so they are exact after any crash.';
comment on column ops.ingest_runs.run_id is
    'Number of the run, carried by each of its records through the log.';
comment on column ops.ingest_runs.source is
    'The source of the trades it brought, as in market.trades; null if it brought none.';
comment on column ops.ingest_runs.accepted is
    'Records stored as new rows.';
comment on column ops.ingest_runs.already_there is
    'Valid records that were stored before, by this run or another: nothing was added.';
comment on column ops.ingest_runs.rejected is
    'Records refused by validation; the sum over ops.ingest_run_rejects.';
comment on column ops.ingest_runs.bars_touched is
    'Bars created or changed, counted once for each transaction that did so.';
comment on column ops.ingest_runs.started_at is
    'When the first records of the run were taken in, UTC.';
comment on column ops.ingest_runs.updated_at is
    'When the counters last moved, UTC.';

create table ops.ingest_run_rejects (
    run_id bigint not null,
    reason text collate "C" not null,
    count bigint not null default 0,
    primary key (run_id, reason)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

comment on table ops.ingest_run_rejects is
    'Rejected records of each ingest run, counted by reason.';
comment on column ops.ingest_run_rejects.run_id is
    'Run in ops.ingest_runs.';
comment on column ops.ingest_run_rejects.reason is
    'Reason code, as in ops.rejected_records.';
comment on column ops.ingest_run_rejects.count is
    'Records of the run refused for this reason.';

create table ops.rejected_records (
    log_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    "offset" bigint not null,
    reason text collate "C" not null,
    message text not null,
    original bytea not null,
    symbol text collate "C",
    source text collate "C",
    run_id bigint,
    rejected_at timestamptz not null default now(),
    primary key (log_id, topic, partition, "offset")
);

-- Newest first, page by page: the key breaks ties of records refused in one transaction.
create index rejected_records_rejected_at
    on ops.rejected_records (rejected_at, log_id, topic, partition, "offset");

comment on table ops.rejected_records is
    'Records validation refused, each with its reason and its original bytes: nothing is dropped in silence.';
comment on column ops.rejected_records.log_id is
    'The log in which the record stands.';
comment on column ops.rejected_records.topic is
    'Topic the record was read from.';
comment on column ops.rejected_records.partition is
    'Partition of the topic, from 0.';
comment on column ops.rejected_records."offset" is
    'Offset of the record in its partition.';
comment on column ops.rejected_records.reason is
    'Reason code: stable, for programs and statistics.';
comment on column ops.rejected_records.message is
    'The reason in words, for people.';
comment on column ops.rejected_records.original is
    'Where ingest could not read a field: the line or frame as the source sent it. Else: the staged record, in Avro.';
comment on column ops.rejected_records.symbol is
    'Symbol of the record; null when it could not be read.';
comment on column ops.rejected_records.source is
    'Source of the record; null when it could not be read.';
comment on column ops.rejected_records.run_id is
    'Run in ops.ingest_runs; null when it could not be read.';
comment on column ops.rejected_records.rejected_at is
    'When the record was refused, UTC.';

create table ops.sources (
    source text collate "C" primary key,
    last_event_ts timestamptz,
    last_ingested_at timestamptz,
    events bigint not null default 0,
    last_error text,
    last_error_at timestamptz,
    updated_at timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

comment on table ops.sources is
    'Freshness and health of each source, one row a source.';
comment on column ops.sources.source is
    'Name of the source, as in market.trades.';
comment on column ops.sources.last_event_ts is
    'Newest event time seen from it, UTC; null before the first event.';
comment on column ops.sources.last_ingested_at is
    'When an event from it was last stored, UTC; null before the first. now() - last_ingested_at is its silence.';
comment on column ops.sources.events is
    'Events stored from it since the database was created.';
comment on column ops.sources.last_error is
    'Message of its last error, without addresses that carry a key; null when there was none.';
comment on column ops.sources.last_error_at is
    'When its last error happened, UTC; null when there was none.';
comment on column ops.sources.updated_at is
    'When the row last changed, UTC.';

grant select on
    ops.log_offsets,
    ops.ingest_runs,
    ops.ingest_run_rejects,
    ops.rejected_records,
    ops.sources
to tapedeck_reader;
