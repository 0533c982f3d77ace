-- SPDX-License-Identifier: Apache-2.0
--
-- Technical indicators, computed from the bars when they are asked for.
--
-- Nothing of them is stored: a late trade changes a bar, and every indicator after it, so whatever was kept would
-- have to be written again for each of them. Computed, they are right by construction.
--
-- Which closes count: those of the bars that exist, in their order. A period without trades has no bar, and is not
-- filled: it is no step of any average.
--
-- The recursive ones (exponential averages, Wilder's averages) look back to the first bar, with weights that fall by a
-- constant factor at each step. They are begun 500 bars earlier than needed, where there are so many: the weight of all
-- that is older is below (25/27)^500 = 2e-17 for the slowest of the exponential averages and (13/14)^500 = 8e-17 for
-- Wilder's, less than the rounding of a double.
--
-- The relative strength index is a ratio, and while the price stands still both of its sides shrink alike: it stays what
-- it was at the last change. So the 500 bars are counted from there.

create function tapedeck_sql.indicators_start(symbol text, timeframe text, ts timestamptz) returns timestamptz
language sql stable parallel safe
begin atomic
    select min(w.ts)
    from (
        select e.ts from market.bars e
        where e.symbol = indicators_start.symbol and e.timeframe = indicators_start.timeframe
          and e.ts <= coalesce(
              (
                  -- After 10,000 bars without a change nothing is left of either side in a double.
                  select f.ts
                  from (
                      select g.ts, g.close from market.bars g
                      where g.symbol = indicators_start.symbol and g.timeframe = indicators_start.timeframe
                        and g.ts <= indicators_start.ts
                      order by g.ts desc limit 10000
                  ) as f
                  where f.close <> (
                      select l.close from market.bars l
                      where l.symbol = indicators_start.symbol and l.timeframe = indicators_start.timeframe
                        and l.ts <= indicators_start.ts
                      order by l.ts desc limit 1
                  )
                  order by f.ts desc limit 1
              ), indicators_start.ts)
        order by e.ts desc limit 501
    ) as w;
end;

comment on function tapedeck_sql.indicators_start(text, text, timestamptz) is
    'Where to begin, so that the indicators of the last bar that starts at or before ts are what they are from the first bar on: the start of a bar.';

create function tapedeck_sql.indicators_of(closes double precision[], skip integer)
returns table (
    place integer,
    sma_20 double precision,
    sma_50 double precision,
    ema_12 double precision,
    ema_26 double precision,
    macd double precision,
    macd_signal double precision,
    rsi_14 double precision,
    bollinger_upper double precision,
    bollinger_lower double precision,
    volatility_20 double precision
)
language plpgsql immutable strict parallel safe rows 1000
as $$
declare
    close double precision;
    previous double precision;
    change double precision;
    fast double precision;
    slow double precision;
    signal double precision;
    gain double precision := 0;
    loss double precision := 0;
    deviation double precision;
    unmoved integer := 0;
begin
    place := 0;
    foreach close in array closes loop
        place := place + 1;
        if place = 1 then
            -- An exponential average begins at the first close, and its signal at the first difference, which is 0.
            fast := close;
            slow := close;
            signal := 0;
        else
            -- The weight of the newest of n is 2 / (n + 1); Appel (2005) for MACD: 12, 26 and 9.
            fast := fast + (close - fast) * (2.0::double precision / 13);
            slow := slow + (close - slow) * (2.0::double precision / 27);
            signal := signal + (fast - slow - signal) * 0.2::double precision;
            -- Wilder (1978): the mean of the first 14 changes, then 1/14 of each new one: a running mean whose divisor
            -- stops at 14.
            change := close - previous;
            gain := gain + (greatest(change, 0) - gain) / least(place - 1, 14);
            loss := loss + (greatest(-change, 0) - loss) / least(place - 1, 14);
            unmoved := case when change = 0 then unmoved + 1 else 0 end;
        end if;
        previous := close;
        if place <= skip then
            continue;
        end if;
        ema_12 := case when place >= 12 then fast end;
        ema_26 := case when place >= 26 then slow end;
        macd := case when place >= 26 then fast - slow end;
        macd_signal := case when place >= 34 then signal end;
        -- 100 - 100 / (1 + gain / loss); no number while the price has not moved.
        rsi_14 := case when place >= 15 and unmoved < 10000 then 100 * gain / nullif(gain + loss, 0) end;
        if place >= 20 then
            -- Bollinger (2001): two population deviations around the mean of 20.
            select avg(x), stddev_pop(x) into sma_20, deviation from unnest(closes[place - 19:place]) as x;
            bollinger_upper := sma_20 + 2 * deviation;
            bollinger_lower := sma_20 - 2 * deviation;
        end if;
        if place >= 50 then
            select avg(x) into sma_50 from unnest(closes[place - 49:place]) as x;
        end if;
        if place >= 21 then
            -- Sample deviation of the logarithms of 20 ratios of closes; per bar, not annualised.
            select stddev_samp(ln(b / a)) into volatility_20
            from unnest(closes[place - 20:place - 1], closes[place - 19:place]) as pair (a, b)
            where a > 0 and b > 0;
        end if;
        return next;
    end loop;
end
$$;

comment on function tapedeck_sql.indicators_of(double precision[], integer) is
    'The indicators of consecutive closes, oldest first: one row for each close but the first skip ones, with its place in the array. The columns are those of market.indicators.';

create function tapedeck_sql.indicators(
    symbol text, timeframe text, "from" timestamptz, "to" timestamptz
) returns table (
    ts timestamptz,
    sma_20 double precision,
    sma_50 double precision,
    ema_12 double precision,
    ema_26 double precision,
    macd double precision,
    macd_signal double precision,
    rsi_14 double precision,
    bollinger_upper double precision,
    bollinger_lower double precision,
    volatility_20 double precision
)
language sql stable parallel safe rows 1000
begin atomic
    with series as (
        select array_agg(b.ts order by b.ts) as times, array_agg(b.close order by b.ts) as closes,
            count(*) filter (where b.ts < indicators."from")::integer as skip
        from market.bars b
        where b.symbol = indicators.symbol and b.timeframe = indicators.timeframe
          and tapedeck_sql.timeframe_width(indicators.timeframe) is not null
          and b.ts >= coalesce(
              tapedeck_sql.indicators_start(
                  indicators.symbol, indicators.timeframe, indicators."from" - interval '1 microsecond'),
              indicators."from")
          and b.ts < indicators."to"
    )
    select series.times[i.place], i.sma_20, i.sma_50, i.ema_12, i.ema_26, i.macd, i.macd_signal, i.rsi_14,
        i.bollinger_upper, i.bollinger_lower, i.volatility_20
    from series, tapedeck_sql.indicators_of(series.closes, series.skip) as i
    order by i.place;
end;

comment on function tapedeck_sql.indicators(text, text, timestamptz, timestamptz) is
    'The indicators of the bars of a symbol that start in [from, to), oldest first: indicators(''AAPL'', ''1m'', now() - interval ''1 day'', now()). The fast way to many of them; columns as in market.indicators.';

-- One row at a time: each bar looks at those before it, by the key. So any condition and any LIMIT on the bars means
-- what it says, and the last hundred of a symbol cost the same however long its history is. For long ranges the function
-- above is faster, for it looks at each bar once.
create view market.indicators as
select
    b.symbol,
    b.timeframe,
    b.ts,
    i.sma_20,
    i.sma_50,
    i.ema_12,
    i.ema_26,
    i.macd,
    i.macd_signal,
    i.rsi_14,
    i.bollinger_upper,
    i.bollinger_lower,
    i.volatility_20
from ops.bar_state b
cross join lateral (
    select array_agg(e.close order by e.ts) as closes
    from ops.bar_state e
    where e.symbol = b.symbol and e.timeframe = b.timeframe
      and e.ts >= tapedeck_sql.indicators_start(b.symbol, b.timeframe, b.ts) and e.ts <= b.ts
) as series
cross join lateral tapedeck_sql.indicators_of(series.closes, array_length(series.closes, 1) - 1) as i;

comment on view market.indicators is
    'Technical indicators of each bar, from the closes of the bars up to it; null until there are enough. Computed when read, so late trades correct them too; for long ranges use the function indicators().';
comment on column market.indicators.symbol is
    'Instrument, as in market.trades.';
comment on column market.indicators.timeframe is
    'Length of the bar: 1s 5s 15s 1m 5m 15m 1h 1d.';
comment on column market.indicators.ts is
    'Start of the bar, UTC, as in market.bars.';
comment on column market.indicators.sma_20 is
    'Simple moving average: mean of the last 20 closes.';
comment on column market.indicators.sma_50 is
    'Simple moving average: mean of the last 50 closes.';
comment on column market.indicators.ema_12 is
    'Exponential moving average of the closes, weight 2/13, begun at the first close; from the 12th bar on.';
comment on column market.indicators.ema_26 is
    'Exponential moving average of the closes, weight 2/27, begun at the first close; from the 26th bar on.';
comment on column market.indicators.macd is
    'Moving average convergence/divergence (Appel): ema_12 - ema_26.';
comment on column market.indicators.macd_signal is
    'Exponential moving average of macd, weight 2/10, begun at 0 with the first close; from the 34th bar on.';
comment on column market.indicators.rsi_14 is
    'Relative strength index (Wilder), 0 to 100: 100 x mean gain / (mean gain + mean loss), means over 14 changes and then smoothed by 1/14; null while the price has not moved.';
comment on column market.indicators.bollinger_upper is
    'Upper Bollinger band: sma_20 plus twice the population standard deviation of the last 20 closes.';
comment on column market.indicators.bollinger_lower is
    'Lower Bollinger band: sma_20 minus twice the population standard deviation of the last 20 closes.';
comment on column market.indicators.volatility_20 is
    'Sample standard deviation of the last 20 logarithmic returns, per bar and not annualised; times the square root of the bars in a year it is.';

grant execute on function
    tapedeck_sql.indicators_start(text, text, timestamptz),
    tapedeck_sql.indicators_of(double precision[], integer),
    tapedeck_sql.indicators(text, text, timestamptz, timestamptz)
to tapedeck_reader;
