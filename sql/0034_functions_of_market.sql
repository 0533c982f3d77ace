-- SPDX-License-Identifier: Apache-2.0
--
-- The functions of this field in the schema of the tables, too.
--
-- Clients that let their users choose a schema set it as the whole search path (Superset: `set search_path = "market"`), and
-- the functions have to be found there. They are those of tapedeck_sql under the same names: the planner puts what those
-- are in their place, and the aggregates have the same steps.

create function market.time_bucket(width interval, ts timestamptz) returns timestamptz
language sql immutable parallel safe
return tapedeck_sql.time_bucket(width, ts);

create function market.time_bucket(width interval, ts timestamptz, origin timestamptz) returns timestamptz
language sql immutable parallel safe
return tapedeck_sql.time_bucket(width, ts, origin);

create function market.time_bucket(width interval, ts timestamptz, "offset" interval) returns timestamptz
language sql immutable parallel safe
return tapedeck_sql.time_bucket(width, ts, "offset");

create aggregate market.first(value anyelement, ts timestamptz) (
    sfunc = tapedeck_sql.first_step,
    stype = tapedeck_sql.value_at,
    combinefunc = tapedeck_sql.first_merge,
    finalfunc = tapedeck_sql.value_of,
    finalfunc_extra,
    parallel = safe
);

create aggregate market.last(value anyelement, ts timestamptz) (
    sfunc = tapedeck_sql.last_step,
    stype = tapedeck_sql.value_at,
    combinefunc = tapedeck_sql.last_merge,
    finalfunc = tapedeck_sql.value_of,
    finalfunc_extra,
    parallel = safe
);

-- The empty state is the server's, as in tapedeck_sql.
do $$
begin
    execute format(
        'create aggregate market.vwap(price double precision, size double precision) ('
        '    sfunc = pg_catalog.float8_regr_accum,'
        '    stype = double precision[],'
        '    combinefunc = pg_catalog.float8_regr_combine,'
        '    finalfunc = tapedeck_sql.vwap_of,'
        '    initcond = %L,'
        '    parallel = safe'
        ')',
        (select agginitval from pg_catalog.pg_aggregate
         where aggfnoid = 'tapedeck_sql.vwap(double precision, double precision)'::regprocedure));
end
$$;

create function market.candles(symbol text, timeframe text, "from" timestamptz, "to" timestamptz)
returns table (
    ts timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, vwap double precision, trade_count bigint
)
language sql stable parallel safe rows 1000
begin atomic
    select c.ts, c.open, c.high, c.low, c.close, c.volume, c.vwap, c.trade_count
    from tapedeck_sql.candles(candles.symbol, candles.timeframe, candles."from", candles."to") as c;
end;

create function market.indicators(symbol text, timeframe text, "from" timestamptz, "to" timestamptz)
returns table (
    ts timestamptz, sma_20 double precision, sma_50 double precision, ema_12 double precision, ema_26 double precision,
    macd double precision, macd_signal double precision, rsi_14 double precision, bollinger_upper double precision,
    bollinger_lower double precision, volatility_20 double precision
)
language sql stable parallel safe rows 1000
begin atomic
    select i.ts, i.sma_20, i.sma_50, i.ema_12, i.ema_26, i.macd, i.macd_signal, i.rsi_14, i.bollinger_upper,
        i.bollinger_lower, i.volatility_20
    from tapedeck_sql.indicators(indicators.symbol, indicators.timeframe, indicators."from", indicators."to") as i;
end;

-- Each says what that of tapedeck_sql says.
do $$
declare
    twin record;
begin
    for twin in
        select m.oid, m.prokind, obj_description(s.oid, 'pg_proc') as words
        from pg_catalog.pg_proc m
        join pg_catalog.pg_proc s on s.proname = m.proname and s.proargtypes = m.proargtypes
            and s.pronamespace = 'tapedeck_sql'::regnamespace
        where m.pronamespace = 'market'::regnamespace
    loop
        execute format(
            'comment on %s %s is %L', case twin.prokind when 'a' then 'aggregate' else 'function' end,
            twin.oid::regprocedure, twin.words);
    end loop;
end
$$;

grant execute on all functions in schema market to tapedeck_reader;
