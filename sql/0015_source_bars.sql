-- SPDX-License-Identifier: Apache-2.0
--
-- Price bars that sources made themselves. They never mix with market.bars, which is made of market.trades.

create table market.source_bars (
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    ts timestamptz not null,
    source text collate "C" not null,
    open double precision not null,
    high double precision not null,
    low double precision not null,
    close double precision not null,
    volume double precision,
    currency text,
    updated_at timestamptz not null,
    primary key (symbol, timeframe, ts, source)
) with (fillfactor = 90);

comment on table market.source_bars is
    'Price bars as sources give them ready-made, e.g. Yahoo: of trades that were never here. Bars made of market.trades are in market.bars.';
comment on column market.source_bars.symbol is
    'Instrument, as in market.instruments.';
comment on column market.source_bars.timeframe is
    'Length of the bar as the source has it: 2m, 15m, 1d. Name one, or a time is met several times.';
comment on column market.source_bars.ts is
    'Start of the bar, UTC, inclusive.';
comment on column market.source_bars.source is
    'Who made the bar, e.g. yahoo.';
comment on column market.source_bars.open is
    'First price, in currency.';
comment on column market.source_bars.high is
    'Highest price, in currency.';
comment on column market.source_bars.low is
    'Lowest price, in currency.';
comment on column market.source_bars.close is
    'Last price, in currency; of a bar that is not over, so far.';
comment on column market.source_bars.volume is
    'Units traded; null where the source does not know, 0 for indices and currencies.';
comment on column market.source_bars.currency is
    'Currency of the prices; null when unknown.';
comment on column market.source_bars.updated_at is
    'When the bar as it stands was read from the source, UTC.';

grant select on market.source_bars to tapedeck_reader;

comment on column ops.source_events.kind is
    'connected, subscribed, unsubscribed, disconnected, error, gap, gap_filled, market_opened, market_closed.';
