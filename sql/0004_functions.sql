-- SPDX-License-Identifier: Apache-2.0
--
-- SQL of this field: buckets of time, first and last by time, volume-weighted prices, candles.
--
-- Bodies are bound when they are created (RETURN, BEGIN ATOMIC), or name the schema of what they use, so
-- no search path can change what they mean. None is SECURITY DEFINER: each sees what its caller sees.
-- Where a function is a single SQL expression it is left non-STRICT and without SET, because only then
-- does the planner inline it.

-- Buckets of time ---------------------------------------------------------------------------------------
--
-- Every bucket is UTC and half-open: [start, start + width). Widths of days or less are counted from
-- Monday 2000-01-03, so that weeks begin on Monday; months and years from 2000-01-01. All of them
-- start at midnight UTC, so the boundaries of every timeframe of market.bars are met.

create function tapedeck_sql.time_bucket_calendar(width interval, ts timestamptz, origin timestamptz)
returns timestamptz
language plpgsql immutable strict parallel safe
as $$
declare
    months constant integer := extract(year from width) * 12 + extract(month from width);
    moment constant timestamp := ts at time zone 'UTC';
    start constant timestamp := origin at time zone 'UTC';
    elapsed integer;
begin
    if months < 1 or width - make_interval(months => months) <> interval '0' then
        raise exception 'time_bucket: width % is not a positive number of months', width
            using errcode = 'invalid_parameter_value',
                  hint = 'Months and years vary in length, so they cannot be combined with days or hours.';
    end if;
    if not isfinite(ts) then
        return ts;
    end if;
    elapsed := (extract(year from moment) - extract(year from start)) * 12
        + extract(month from moment) - extract(month from start);
    -- The last of these months is not complete while its day and time have not come.
    if start + make_interval(months => elapsed) > moment then
        elapsed := elapsed - 1;
    end if;
    return (start + make_interval(months => floor(elapsed / months::double precision)::integer * months))
        at time zone 'UTC';
end
$$;

comment on function tapedeck_sql.time_bucket_calendar(interval, timestamptz, timestamptz) is
    'Start of the bucket of width months or years, counted from origin in UTC, that holds ts. What time_bucket calls for such widths.';

-- A constant width makes the condition constant, and what remains after inlining is date_bin alone.
create function tapedeck_sql.time_bucket(width interval, ts timestamptz, origin timestamptz)
returns timestamptz
language sql immutable parallel safe
return case
    when extract(year from width) = 0 and extract(month from width) = 0 then date_bin(width, ts, origin)
    else tapedeck_sql.time_bucket_calendar(width, ts, origin)
end;

comment on function tapedeck_sql.time_bucket(interval, timestamptz, timestamptz) is
    'Start of the bucket [start, start + width) that holds ts, with buckets counted from origin (a timestamptz, in UTC) instead of the default. Name or cast the argument: origin => ''2024-01-01 09:30Z''.';

create function tapedeck_sql.time_bucket(width interval, ts timestamptz)
returns timestamptz
language sql immutable parallel safe
return case
    when extract(year from width) = 0 and extract(month from width) = 0
        then date_bin(width, ts, timestamptz '2000-01-03 00:00:00+00')
    else tapedeck_sql.time_bucket_calendar(width, ts, timestamptz '2000-01-01 00:00:00+00')
end;

comment on function tapedeck_sql.time_bucket(interval, timestamptz) is
    'Start of the bucket [start, start + width) that holds ts, in UTC whatever the time zone of the session. Weeks begin on Monday, months on the 1st, years on 1 January.';

create function tapedeck_sql.time_bucket(width interval, ts timestamptz, "offset" interval)
returns timestamptz
language sql immutable parallel safe
return (
    tapedeck_sql.time_bucket(width, ((ts at time zone 'UTC') - "offset") at time zone 'UTC')
        at time zone 'UTC' + "offset"
) at time zone 'UTC';

comment on function tapedeck_sql.time_bucket(interval, timestamptz, interval) is
    'Start of the bucket that holds ts, with all buckets moved later by offset: time_bucket(''1 day'', ts, interval ''9 hours'') begins days at 09:00 UTC. Name or cast the argument: "offset" => ''9 hours''.';

-- First and last by time --------------------------------------------------------------------------------
--
-- An aggregate's state has one type for all calls, while the value has any. So the state keeps the value
-- as text, which is exact both ways for every type, and the name of its type beside it:
--
--   ts          time of the value held          never null once there is a state
--   value       the value as text               null is a value like another
--   value_type  its type                        asked only when two times are equal
--
-- Rows of equal ts are decided by the value, or the answer would depend on the order rows are read in,
-- and with parallel workers that changes from run to run.

create type tapedeck_sql.value_at as (ts timestamptz, value text, value_type regtype);

comment on type tapedeck_sql.value_at is
    'State of the aggregates first and last: a value, its type and its time.';
comment on column tapedeck_sql.value_at.ts is 'Time of the value held.';
comment on column tapedeck_sql.value_at.value is 'The value as text; may be null.';
comment on column tapedeck_sql.value_at.value_type is 'Type of the value.';

create function tapedeck_sql.value_precedes(a text, b text, value_type regtype) returns boolean
language plpgsql stable parallel safe
as $$
declare
    precedes boolean;
begin
    if a is null or b is null or a = b then
        return false;
    end if;
    if pg_catalog.to_regoperator(pg_catalog.format('pg_catalog.<(%s,%s)', value_type, value_type)) is null then
        return a collate "C" < b collate "C";
    end if;
    execute pg_catalog.format('select $1::%s operator(pg_catalog.<) $2::%s', value_type, value_type)
        into precedes using a, b;
    return precedes;
end
$$;

comment on function tapedeck_sql.value_precedes(text, text, regtype) is
    'Whether value a of value_type (both given as text) sorts before b; bytewise as text for a type without an order of its own. False when either is null.';

create function tapedeck_sql.first_step(state tapedeck_sql.value_at, value anyelement, ts timestamptz)
returns tapedeck_sql.value_at
language plpgsql stable parallel safe
as $$
begin
    if ts is null or ts > state.ts then
        return state;
    end if;
    if ts = state.ts and not (
        (state.value is null and value is not null)
        or tapedeck_sql.value_precedes(value::text, state.value, state.value_type)
    ) then
        return state;
    end if;
    return row(ts, value::text, pg_catalog.pg_typeof(value))::tapedeck_sql.value_at;
end
$$;

comment on function tapedeck_sql.first_step(tapedeck_sql.value_at, anyelement, timestamptz) is
    'Takes one row into the state of the aggregate first.';

create function tapedeck_sql.first_merge(a tapedeck_sql.value_at, b tapedeck_sql.value_at)
returns tapedeck_sql.value_at
language sql stable parallel safe
return case
    when a.ts is null then b
    when b.ts is null or a.ts < b.ts then a
    when b.ts < a.ts then b
    when a.value is null or tapedeck_sql.value_precedes(b.value, a.value, a.value_type) then b
    else a
end;

comment on function tapedeck_sql.first_merge(tapedeck_sql.value_at, tapedeck_sql.value_at) is
    'Joins the states of two parallel workers of the aggregate first.';

create function tapedeck_sql.last_step(state tapedeck_sql.value_at, value anyelement, ts timestamptz)
returns tapedeck_sql.value_at
language plpgsql stable parallel safe
as $$
begin
    if ts is null or ts < state.ts then
        return state;
    end if;
    if ts = state.ts and not (
        (state.value is null and value is not null)
        or tapedeck_sql.value_precedes(state.value, value::text, state.value_type)
    ) then
        return state;
    end if;
    return row(ts, value::text, pg_catalog.pg_typeof(value))::tapedeck_sql.value_at;
end
$$;

comment on function tapedeck_sql.last_step(tapedeck_sql.value_at, anyelement, timestamptz) is
    'Takes one row into the state of the aggregate last.';

create function tapedeck_sql.last_merge(a tapedeck_sql.value_at, b tapedeck_sql.value_at)
returns tapedeck_sql.value_at
language sql stable parallel safe
return case
    when a.ts is null then b
    when b.ts is null or a.ts > b.ts then a
    when b.ts > a.ts then b
    when a.value is null or tapedeck_sql.value_precedes(a.value, b.value, a.value_type) then b
    else a
end;

comment on function tapedeck_sql.last_merge(tapedeck_sql.value_at, tapedeck_sql.value_at) is
    'Joins the states of two parallel workers of the aggregate last.';

-- value and ts are always null here: an aggregate's final function gets its arguments' types, not values.
create function tapedeck_sql.value_of(state tapedeck_sql.value_at, value anyelement, ts timestamptz)
returns anyelement
language plpgsql stable parallel safe
as $$
begin
    value := state.value;
    return value;
end
$$;

comment on function tapedeck_sql.value_of(tapedeck_sql.value_at, anyelement, timestamptz) is
    'The value that a state of first or last holds, in its own type.';

create aggregate tapedeck_sql.first(value anyelement, ts timestamptz) (
    sfunc = tapedeck_sql.first_step,
    stype = tapedeck_sql.value_at,
    combinefunc = tapedeck_sql.first_merge,
    finalfunc = tapedeck_sql.value_of,
    finalfunc_extra,
    parallel = safe
);

comment on aggregate tapedeck_sql.first(anyelement, timestamptz) is
    'The value with the earliest ts: first(price, ts). Rows whose ts is null are ignored; of equal ts the smallest value, null only if there is no other. Null when no row counts.';

create aggregate tapedeck_sql.last(value anyelement, ts timestamptz) (
    sfunc = tapedeck_sql.last_step,
    stype = tapedeck_sql.value_at,
    combinefunc = tapedeck_sql.last_merge,
    finalfunc = tapedeck_sql.value_of,
    finalfunc_extra,
    parallel = safe
);

comment on aggregate tapedeck_sql.last(anyelement, timestamptz) is
    'The value with the latest ts: last(price, ts). Rows whose ts is null are ignored; of equal ts the greatest value, null only if there is no other. Null when no row counts.';

-- Volume-weighted average price -------------------------------------------------------------------------
--
-- PostgreSQL's own transition of the two-variable statistics does the work: it is C, it skips rows with a
-- null, it merges between workers, and it keeps its sums centred, so that a long tape of nearly equal
-- prices loses no digits. With y = price and x = size its state is {N, Sx, Sxx, Sy, Syy, Sxy, ...}, and
--
--   sum(price x size) / sum(size) = (Sxy + Sx Sy / N) / Sx = Sy / N + Sxy / Sx

create function tapedeck_sql.vwap_of(state double precision[]) returns double precision
language sql immutable strict parallel safe
return case when state[1] > 0 and state[2] <> 0 then state[4] / state[1] + state[6] / state[2] end;

comment on function tapedeck_sql.vwap_of(double precision[]) is
    'The volume-weighted average price that a state of the aggregate vwap stands for; null when sizes add up to 0.';

-- The empty state is taken from the server: its length is the server's business and may grow.
do $$
begin
    execute format(
        'create aggregate tapedeck_sql.vwap(price double precision, size double precision) ('
        '    sfunc = pg_catalog.float8_regr_accum,'
        '    stype = double precision[],'
        '    combinefunc = pg_catalog.float8_regr_combine,'
        '    finalfunc = tapedeck_sql.vwap_of,'
        '    initcond = %L,'
        '    parallel = safe'
        ')',
        (select agginitval from pg_catalog.pg_aggregate
         where aggfnoid = 'pg_catalog.regr_sxy(double precision, double precision)'::regprocedure));
end
$$;

comment on aggregate tapedeck_sql.vwap(double precision, double precision) is
    'Volume-weighted average price, sum(price x size) / sum(size). Rows with a null are ignored; null when the sizes add up to 0.';

-- Candles -----------------------------------------------------------------------------------------------

create function tapedeck_sql.timeframe_width(timeframe text) returns interval
language plpgsql immutable strict parallel safe
as $$
declare
    -- The same list as the check on ops.bar_state.
    width constant interval := case timeframe
        when '1s' then interval '1 second'
        when '5s' then interval '5 seconds'
        when '15s' then interval '15 seconds'
        when '1m' then interval '1 minute'
        when '5m' then interval '5 minutes'
        when '15m' then interval '15 minutes'
        when '1h' then interval '1 hour'
        when '1d' then interval '1 day'
    end;
begin
    if width is null then
        raise exception 'unknown timeframe "%"', timeframe
            using errcode = 'invalid_parameter_value',
                  hint = 'Timeframes are 1s, 5s, 15s, 1m, 5m, 15m, 1h and 1d.';
    end if;
    return width;
end
$$;

comment on function tapedeck_sql.timeframe_width(text) is
    'Length of a timeframe of market.bars; an error for any other name.';

-- The second condition is always true: it is there to raise the error. Free of columns, it is checked
-- once a query, before any row is read.
create function tapedeck_sql.candles(
    symbol text, timeframe text, "from" timestamptz, "to" timestamptz
) returns table (
    ts timestamptz,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision,
    vwap double precision,
    trade_count bigint
)
language sql stable parallel safe rows 1000
begin atomic
    select bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap, bars.trade_count
    from market.bars
    where bars.symbol = candles.symbol
      and bars.timeframe = candles.timeframe
      and tapedeck_sql.timeframe_width(candles.timeframe) is not null
      and bars.ts >= candles."from"
      and bars.ts < candles."to"
    order by bars.ts;
end;

comment on function tapedeck_sql.candles(text, text, timestamptz, timestamptz) is
    'Bars of a symbol that start in [from, to), oldest first: candles(''AAPL'', ''1m'', now() - interval ''1 hour'', now()). Columns as in market.bars; a timeframe that is not kept is an error.';

grant execute on all functions in schema tapedeck_sql to tapedeck_reader;
