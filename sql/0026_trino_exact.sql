-- SPDX-License-Identifier: Apache-2.0
--
-- Where answers to Trino's clients differed from Trino's: arithmetic of dates, zones, casts of texts, reading of times,
-- what is not there in an array or a map, paths into JSON, and regular expressions.

-- Operators ---------------------------------------------------------------------------------------------
--
-- PostgreSQL has these operators with another result. Translated statements put this schema before pg_catalog on their
-- search path; nothing else does, and there is nothing else in it.

create schema trino_operators;
comment on schema trino_operators is
    'Operators that PostgreSQL has with another result than Trino; before pg_catalog for translated statements.';
grant usage on schema trino_operators to tapedeck_reader;

create function trino_dialect.date_plus(x date, y interval) returns date language sql immutable parallel safe
return case when pg_catalog.date_part('epoch', (x + y)::time) = 0 then (x + y)::date
    else trino_dialect.fail('Cannot add hour, minutes or seconds to a date', '22023', x) end;
comment on function trino_dialect.date_plus(date, interval) is 'Part of date + interval: a date again; the interval is of whole days.';
create function trino_dialect.date_minus(x date, y interval) returns date language sql immutable parallel safe
return case when pg_catalog.date_part('epoch', (x - y)::time) = 0 then (x - y)::date
    else trino_dialect.fail('Cannot subtract hour, minutes or seconds from a date', '22023', x) end;
comment on function trino_dialect.date_minus(date, interval) is 'Part of date - interval: a date again; the interval is of whole days.';
create function trino_dialect.plus_date(x interval, y date) returns date language sql immutable parallel safe
return trino_dialect.date_plus(y, x);
comment on function trino_dialect.plus_date(interval, date) is 'Part of interval + date: a date again.';
create function trino_dialect.days_between(x date, y date) returns interval language sql immutable parallel safe
return (x - y) * interval '1 day';
comment on function trino_dialect.days_between(date, date) is 'Part of date - date: an interval of days.';

create operator trino_operators.+ (leftarg = date, rightarg = interval, function = trino_dialect.date_plus);
comment on operator trino_operators.+ (date, interval) is 'A date, later by whole days, months or years.';
create operator trino_operators.- (leftarg = date, rightarg = interval, function = trino_dialect.date_minus);
comment on operator trino_operators.- (date, interval) is 'A date, earlier by whole days, months or years.';
create operator trino_operators.+ (leftarg = interval, rightarg = date, function = trino_dialect.plus_date);
comment on operator trino_operators.+ (interval, date) is 'A date, later by whole days, months or years.';
create operator trino_operators.- (leftarg = date, rightarg = date, function = trino_dialect.days_between);
comment on operator trino_operators.- (date, date) is 'The interval between two dates.';

-- Neither this schema nor those of functions hold anything to query.
create or replace view trino_dialect.schemas as
select
    case when n.nspname in ('trino_system_information_schema', 'trino_jdbc', 'trino_metadata', 'trino_runtime')
        then 'system' else current_database()::text end as catalog_name,
    case n.nspname
        when 'trino_information_schema' then 'information_schema'
        when 'trino_system_information_schema' then 'information_schema'
        when 'trino_jdbc' then 'jdbc' when 'trino_metadata' then 'metadata' when 'trino_runtime' then 'runtime'
        else n.nspname::text end as schema_name,
    n.oid as schema_oid
from pg_catalog.pg_namespace as n
where n.nspname !~ '^pg_'
  and n.nspname not in (
    'information_schema', 'trino', 'trino_dialect', 'trino_operators', 'tapedeck_sql', 'tapedeck_guard')
  and has_schema_privilege(n.oid, 'USAGE');

-- Zones -------------------------------------------------------------------------------------------------
--
-- x AT TIME ZONE z is the same moment, whatever the zone; what reads the parts of it (hour, date_format, CAST to date)
-- is given the zone by the translation, and reads them from the clocks there.

create function trino_dialect.zone_name(zone text) returns text language sql immutable parallel safe
return case when zone ~ '^(UTC|GMT|UT)?[+-]\d{1,2}(:\d\d)?$'
    then translate(pg_catalog.regexp_replace(zone, '^(UTC|GMT|UT)', ''), '+-', '-+') else zone end;
comment on function trino_dialect.zone_name(text) is
    'Part of AT TIME ZONE: the zone as PostgreSQL names it, where the sign of an offset is that of POSIX (west is plus).';

create function trino_dialect.is_zone(zone text) returns boolean language sql immutable parallel safe
return (timestamptz '2000-01-01 00:00:00+00' at time zone trino_dialect.zone_name(zone)) is not null;
comment on function trino_dialect.is_zone(text) is 'Part of AT TIME ZONE: true; an error for a zone that there is not, false for NULL.';

create or replace function trino.at_timezone(ts timestamptz, zone text) returns timestamptz
language sql immutable parallel safe return case when trino_dialect.is_zone(zone) then ts end;
create function trino.at_timezone(ts timestamptz, zone interval) returns timestamptz
language sql immutable parallel safe return case when zone is not null then ts end;
comment on function trino.at_timezone(timestamptz, interval) is
    'The same moment. A time keeps no zone here: it is shown in that of the session.';

create or replace function trino.with_timezone(ts timestamp, zone text) returns timestamptz
language sql immutable parallel safe return ts at time zone trino_dialect.zone_name(zone);

create function trino_dialect.wall_clock(ts timestamptz, zone text) returns timestamp
language sql immutable parallel safe return ts at time zone trino_dialect.zone_name(zone);
comment on function trino_dialect.wall_clock(timestamptz, text) is 'Part of AT TIME ZONE: What clocks in a zone show at a moment.';
create function trino_dialect.wall_clock(ts timestamptz, zone interval) returns timestamp
language sql immutable parallel safe return ts at time zone zone;
comment on function trino_dialect.wall_clock(timestamptz, interval) is 'Part of AT TIME ZONE: What clocks show at a moment that are ahead of UTC by an interval.';

create function trino_dialect.offset_seconds(ts timestamptz, zone text) returns bigint
language sql immutable parallel safe
return extract(epoch from trino_dialect.wall_clock(ts, zone) - (ts at time zone 'UTC'))::bigint;
comment on function trino_dialect.offset_seconds(timestamptz, text) is 'Part of AT TIME ZONE: Seconds by which clocks in a zone are ahead of UTC at a moment.';

create function trino_dialect.timezone_hour(ts timestamptz, zone text) returns bigint
language sql immutable parallel safe return trino_dialect.offset_seconds(ts, zone) / 3600;
comment on function trino_dialect.timezone_hour(timestamptz, text) is 'Part of AT TIME ZONE: Hours of the offset of a zone from UTC.';
create function trino_dialect.timezone_minute(ts timestamptz, zone text) returns bigint
language sql immutable parallel safe return trino_dialect.offset_seconds(ts, zone) / 60 % 60;
comment on function trino_dialect.timezone_minute(timestamptz, text) is 'Part of AT TIME ZONE: Minutes of the offset of a zone from UTC.';

create function trino_dialect.date_trunc(unit text, x timestamptz, zone text) returns timestamptz
language sql stable parallel safe return pg_catalog.date_trunc(unit, x, trino_dialect.zone_name(zone));
comment on function trino_dialect.date_trunc(text, timestamptz, text) is 'Part of AT TIME ZONE: A moment cut to a whole unit on the clocks of a zone.';
create function trino_dialect.date_add(unit text, value bigint, ts timestamptz, zone text) returns timestamptz
language sql immutable parallel safe
return case when lower(unit) in ('day', 'week', 'month', 'quarter', 'year')
    then trino.date_add(unit, value, trino_dialect.wall_clock(ts, zone)) at time zone trino_dialect.zone_name(zone)
    else timestamptz '1970-01-01 00:00:00+00' + (
        trino.date_add(unit, value, ts at time zone 'UTC') - timestamp '1970-01-01 00:00:00') end;
comment on function trino_dialect.date_add(text, bigint, timestamptz, text) is
    'Part of AT TIME ZONE: Adds value units to a moment; days and longer on the clocks of a zone.';
create function trino_dialect.date_diff(unit text, a timestamptz, b timestamptz, zone text) returns bigint
language sql immutable parallel safe
return case when lower(unit) in ('day', 'week', 'month', 'quarter', 'year')
    then trino.date_diff(unit, trino_dialect.wall_clock(a, zone), trino_dialect.wall_clock(b, zone))
    else trino.date_diff(unit, a at time zone 'UTC', b at time zone 'UTC') end;
comment on function trino_dialect.date_diff(text, timestamptz, timestamptz, text) is
    'Part of AT TIME ZONE: Complete units from a to b; days and longer on the clocks of a zone.';
create function trino_dialect.to_iso8601(x timestamptz, zone text) returns text language sql stable parallel safe
return to_char(trino_dialect.wall_clock(x, zone), 'YYYY-MM-DD"T"HH24:MI:SS.MS')
    || case when trino_dialect.offset_seconds(x, zone) = 0 then 'Z' else
        case when trino_dialect.offset_seconds(x, zone) < 0 then '-' else '+' end
        || to_char(abs(trino_dialect.offset_seconds(x, zone)) * interval '1 second', 'HH24:MI') end;
comment on function trino_dialect.to_iso8601(timestamptz, text) is 'Part of AT TIME ZONE: A moment in ISO 8601, with the clock and the offset of a zone.';

-- Differences of times ----------------------------------------------------------------------------------

create or replace function trino_dialect.months_between(a timestamp, b timestamp) returns bigint
language plpgsql immutable strict parallel safe
as $$
declare
    months bigint;
begin
    -- As many one way as the other, though months differ in length.
    if a > b then
        return -trino_dialect.months_between(b, a);
    end if;
    months := (extract(year from b) - extract(year from a)) * 12 + extract(month from b) - extract(month from a);
    -- The last of these months is not complete while its day and time have not come.
    if a + make_interval(months => months::integer) > b then
        return months - 1;
    end if;
    return months;
end
$$;

-- Casts -------------------------------------------------------------------------------------------------

create function trino_dialect.to_date(x text) returns date language sql stable parallel safe
return case when x ~ '^\s*[+-]?\d{4,}-\d{1,2}-\d{1,2}\s*$' then x::date
    when x is not null then trino_dialect.fail('Value cannot be cast to date: ' || x, '22007', null::date) end;
comment on function trino_dialect.to_date(text) is 'Part of casts: CAST(x AS date): year, month and day alone.';
create function trino_dialect.to_date(x timestamp) returns date language sql immutable parallel safe return x::date;
comment on function trino_dialect.to_date(timestamp) is 'Part of casts: CAST(x AS date).';
create function trino_dialect.to_date(x timestamptz) returns date language sql stable parallel safe return x::date;
comment on function trino_dialect.to_date(timestamptz) is 'Part of casts: CAST(x AS date), in the zone of the session.';
create function trino_dialect.to_date(x date) returns date language sql immutable parallel safe return x;
comment on function trino_dialect.to_date(date) is 'Part of casts: CAST(x AS date): x itself.';

create function trino_dialect.to_timestamp(x text) returns timestamp language sql stable parallel safe
return case when x ~ '^\s*[+-]?\d{4,}-\d{1,2}-\d{1,2}([ T]+\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?)?\s*$' then x::timestamp
    when x is not null then trino_dialect.fail('Value cannot be cast to timestamp: ' || x, '22007', null::timestamp) end;
comment on function trino_dialect.to_timestamp(text) is 'Part of casts: CAST(x AS timestamp): a date, and a time of day or none.';
create function trino_dialect.to_timestamp(x timestamp) returns timestamp language sql immutable parallel safe return x;
comment on function trino_dialect.to_timestamp(timestamp) is 'Part of casts: CAST(x AS timestamp): x itself.';
create function trino_dialect.to_timestamp(x timestamptz) returns timestamp language sql stable parallel safe
return x::timestamp;
comment on function trino_dialect.to_timestamp(timestamptz) is 'Part of casts: CAST(x AS timestamp), in the zone of the session.';
create function trino_dialect.to_timestamp(x date) returns timestamp language sql immutable parallel safe
return x::timestamp;
comment on function trino_dialect.to_timestamp(date) is 'Part of casts: CAST(x AS timestamp): the beginning of the day.';

create function trino_dialect.to_timestamptz(x text) returns timestamptz language sql stable parallel safe
return case
    when x ~ '^\s*[+-]?\d{4,}-\d{1,2}-\d{1,2}([ T]+\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?)?\s*([+-]\d\d?(:?\d\d)?|Z|[A-Za-z_]+(/[A-Za-z_+0-9-]+)*|(UTC|GMT|UT)[+-]\d\d?(:\d\d)?)?\s*$'
        then pg_catalog.regexp_replace(x, '(UTC|GMT|UT)([+-])', '\2')::timestamptz
    when x is not null
        then trino_dialect.fail('Value cannot be cast to timestamp with time zone: ' || x, '22007', null::timestamptz) end;
comment on function trino_dialect.to_timestamptz(text) is
    'Part of casts: CAST(x AS timestamp with time zone): a date, a time of day or none, and a zone, or that of the session.';
create function trino_dialect.to_timestamptz(x timestamp) returns timestamptz language sql stable parallel safe
return x::timestamptz;
comment on function trino_dialect.to_timestamptz(timestamp) is 'Part of casts: CAST(x AS timestamp with time zone), in the zone of the session.';
create function trino_dialect.to_timestamptz(x timestamptz) returns timestamptz language sql immutable parallel safe
return x;
comment on function trino_dialect.to_timestamptz(timestamptz) is 'Part of casts: CAST(x AS timestamp with time zone): x itself.';
create function trino_dialect.to_timestamptz(x date) returns timestamptz language sql stable parallel safe
return x::timestamptz;
comment on function trino_dialect.to_timestamptz(date) is 'Part of casts: CAST(x AS timestamp with time zone): the beginning of the day.';

create function trino_dialect.to_time(x text) returns time language sql stable parallel safe
return case when x ~ '^\s*\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?\s*$' then x::time
    when x is not null then trino_dialect.fail('Value cannot be cast to time: ' || x, '22007', null::time) end;
comment on function trino_dialect.to_time(text) is 'Part of casts: CAST(x AS time).';
create function trino_dialect.to_time(x timestamp) returns time language sql immutable parallel safe return x::time;
comment on function trino_dialect.to_time(timestamp) is 'Part of casts: CAST(x AS time).';
create function trino_dialect.to_time(x timestamptz) returns time language sql stable parallel safe return x::time;
comment on function trino_dialect.to_time(timestamptz) is 'Part of casts: CAST(x AS time), in the zone of the session.';
create function trino_dialect.to_time(x time) returns time language sql immutable parallel safe return x;
comment on function trino_dialect.to_time(time) is 'Part of casts: CAST(x AS time): x itself.';

create function trino_dialect.to_boolean(x text) returns boolean language sql immutable parallel safe
return case when lower(x) in ('t', 'true', '1') then true when lower(x) in ('f', 'false', '0') then false
    when x is not null then trino_dialect.fail(format('Cannot cast ''%s'' to boolean', x), '22P02', null::boolean) end;
comment on function trino_dialect.to_boolean(text) is 'Part of casts: CAST(x AS boolean): t, true and 1, f, false and 0, in any case.';
create function trino_dialect.to_boolean(x boolean) returns boolean language sql immutable parallel safe return x;
comment on function trino_dialect.to_boolean(boolean) is 'Part of casts: CAST(x AS boolean): x itself.';
create function trino_dialect.to_boolean(x jsonb) returns boolean language sql immutable parallel safe
return case jsonb_typeof(x) when 'boolean' then x::boolean when 'number' then x::numeric <> 0
    when 'string' then trino_dialect.to_boolean(x #>> '{}') when 'null' then null
    else trino_dialect.fail(format('Cannot cast ''%s'' to boolean', x), '22P02', null::boolean) end;
comment on function trino_dialect.to_boolean(jsonb) is 'Part of casts: CAST(x AS boolean) of a JSON scalar.';

do $$
declare
    source text;
begin
    foreach source in array array['integer', 'bigint', 'numeric', 'double precision'] loop
        execute format(
            'create function trino_dialect.to_boolean(x %s) returns boolean language sql immutable parallel safe return x <> 0',
            source);
        execute format('comment on function trino_dialect.to_boolean(%s) is %L', source, 'Part of casts: CAST(x AS boolean): false for 0.');
    end loop;
    foreach source in array array['integer', 'bigint', 'numeric', 'double precision', 'boolean', 'text', 'jsonb'] loop
        execute format(
            'create function trino_dialect.to_tinyint(x %s) returns smallint language sql immutable parallel safe '
            'return case when trino_dialect.to_bigint(x) between -128 and 127 then trino_dialect.to_bigint(x)::smallint '
            'when x is not null then trino_dialect.fail(''Out of range for tinyint: '' || x::text, %L, null::smallint) end',
            source, case source when 'text' then '22P02' else '22003' end);
        execute format('comment on function trino_dialect.to_tinyint(%s) is %L', source,
            'Part of casts: CAST(x AS tinyint), a smallint of -128 to 127.');
    end loop;
end
$$;

create function trino_dialect.fitting_tinyint(x smallint) returns smallint language sql immutable parallel safe
return case when x between -128 and 127 then x end;
comment on function trino_dialect.fitting_tinyint(smallint) is 'Part of TRY_CAST to tinyint: NULL for what does not fit.';
create function trino_dialect.fitting_decimal(x numeric, digits integer, scale integer) returns numeric
language sql immutable parallel safe
return case when abs(pg_catalog.round(x, scale)) < 10::numeric ^ (digits - scale) then x end;
comment on function trino_dialect.fitting_decimal(numeric, integer, integer) is 'Part of TRY_CAST to decimal: NULL for what does not fit.';

create or replace function trino_dialect.try_cast(value text, sample anyelement) returns anyelement
language plpgsql stable parallel unsafe
as $$
begin
    -- Statements of their own: what is constant in an expression is made when that is planned, and would fail.
    case pg_typeof(sample)
        when 'date'::regtype then sample := trino_dialect.to_date(value);
        when 'timestamp'::regtype then sample := trino_dialect.to_timestamp(value);
        when 'timestamptz'::regtype then sample := trino_dialect.to_timestamptz(value);
        when 'time'::regtype then sample := trino_dialect.to_time(value);
        when 'boolean'::regtype then sample := trino_dialect.to_boolean(value);
        else sample := value;
    end case;
    return sample;
exception
    when data_exception or program_limit_exceeded then
        return null;
end
$$;

create function trino_dialect.try_cast(value anyarray, sample anycompatiblearray) returns anycompatiblearray
language plpgsql stable parallel unsafe
as $$
begin
    sample := value;
    return sample;
exception
    when data_exception or cannot_coerce or program_limit_exceeded then
        return null;
end
$$;
comment on function trino_dialect.try_cast(anyarray, anycompatiblearray) is
    'Part of casts: TRY_CAST of an array to the type of sample: NULL where one element does not fit.';

-- Reading times -----------------------------------------------------------------------------------------
--
-- PostgreSQL's to_timestamp takes whatever begins as the pattern says, in any punctuation, and puts what is not in it in
-- the year 1 before Christ. So the text is compared with a regular expression first, and a year is put before it. For a
-- constant format the planner makes all that once. The text also gets a word before it, by which the server knows whose
-- error it is where a month has no such day.

create function trino_dialect.reader_of(tokens text[]) returns text[]
language plpgsql immutable strict parallel safe
as $$
declare
    months constant text := '(?:january|february|march|april|may|june|july|august|september|october|november|december)';
    month constant text := '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)';
    days constant text := '(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)';
    expression text := '';
    pattern text := '';
    part text;
    kind text;
    has_year boolean := false;
    has_day boolean := false;
    n integer := 0;
begin
    foreach part in array tokens loop
        n := n + 1;
        kind := left(part, 1);
        part := substr(part, 2);
        if kind = '=' then
            -- A text as it is.
            expression := expression || regexp_replace(part, '([^[:alnum:][:space:]])', '\\\1', 'g');
            pattern := pattern || case when part ~ '^[[:alpha:]"\\]' or length(part) > 1
                then '"' || replace(replace(part, '\', '\\'), '"', '\"') || '"' else part end;
            continue;
        end if;
        has_year := has_year or part in ('YYYY', 'YY', 'IYYY', 'IY');
        has_day := has_day or part in ('MM', 'Mon', 'Month', 'DD', 'DDD', 'Dy', 'Day', 'IW', 'ID');
        pattern := pattern || part;
        expression := expression || case part
            when 'YYYY' then '[0-9]{4}' when 'IYYY' then '[0-9]{4}' when 'YY' then '[0-9]{2}' when 'IY' then '[0-9]{2}'
            when 'MM' then '(?:0?[1-9]|1[0-2])' when 'Mon' then month when 'Month' then months
            when 'DD' then '(?:0?[1-9]|[12][0-9]|3[01])' when 'DDD' then '[0-9]{1,3}'
            when 'Dy' then '(?:mon|tue|wed|thu|fri|sat|sun)' when 'Day' then days when 'ID' then '[1-7]'
            when 'IW' then '(?:0?[1-9]|[1-4][0-9]|5[0-3])' when 'HH24' then '(?:[01]?[0-9]|2[0-3])'
            when 'HH12' then '(?:0?[1-9]|1[0-2])' when 'MI' then '[0-5]?[0-9]' when 'SS' then '[0-5]?[0-9]'
            when 'US' then case when n = cardinality(tokens) then '[0-9]{1,9}' else '[0-9]{1,6}' end
            when 'AM' then '(?:am|pm)' when 'TZH:TZM' then '[+-][0-9]{2}:?[0-9]{2}'
        end;
    end loop;
    return array['(?i)^' || expression || '$',
        'date_parse ' || case when has_year then '' when has_day then '2000 ' else '1970 ' end,
        '"date_parse "' || case when has_year then '' else 'YYYY ' end || pattern];
end
$$;
comment on function trino_dialect.reader_of(text[]) is
    'Part of date_parse: of the parts of a format (%MM for a field of to_timestamp, =x for a text) the regular expression, what is put before the text, and the pattern for both. Without a year it is 2000, and 1970 for a time of day, as in Joda-Time.';

create function trino_dialect.mysql_reader(format text) returns text[]
language plpgsql immutable strict parallel safe
as $$
declare
    tokens text[] := '{}';
    letter text;
    field text;
    at integer := 1;
begin
    while at <= length(format) loop
        letter := substr(format, at, 1);
        at := at + 1;
        if letter <> '%' then
            tokens := tokens || ('=' || letter);
            continue;
        end if;
        letter := substr(format, at, 1);
        at := at + 1;
        field := case letter
            when 'a' then 'Dy' when 'b' then 'Mon' when 'c' then 'MM' when 'd' then 'DD' when 'e' then 'DD' when 'f' then 'US'
            when 'H' then 'HH24' when 'k' then 'HH24' when 'h' then 'HH12' when 'I' then 'HH12' when 'l' then 'HH12'
            when 'i' then 'MI' when 'j' then 'DDD' when 'M' then 'Month' when 'm' then 'MM' when 'p' then 'AM'
            when 'S' then 'SS' when 's' then 'SS' when 'v' then 'IW' when 'W' then 'Day' when 'x' then 'IYYY'
            when 'Y' then 'YYYY' when 'y' then 'YY'
        end;
        tokens := tokens || case
            when letter = 'T' then array['%HH24', '=:', '%MI', '=:', '%SS']
            when letter = 'r' then array['%HH12', '=:', '%MI', '=:', '%SS', '= ', '%AM']
            when letter = '%' then array['=%']
            when field is not null then array['%' || field] end;
        if tokens is null or field is null and letter not in ('T', 'r', '%') then
            raise exception 'Date format specifier %%% is not supported', letter using errcode = '22023';
        end if;
    end loop;
    return trino_dialect.reader_of(tokens);
end
$$;
comment on function trino_dialect.mysql_reader(text) is 'Part of date_parse: how to read by a format of MySQL; see reader_of.';

create function trino_dialect.joda_reader(format text) returns text[]
language plpgsql immutable strict parallel safe
as $$
declare
    tokens text[] := '{}';
    run text;
    field text;
    rest text := format;
begin
    while rest <> '' loop
        if left(rest, 1) = '''' then
            run := coalesce(substring(rest from '^''(?:[^'']|'''')*'''), rest);
            rest := substr(rest, length(run) + 1);
            tokens := tokens || ('=' || case when run = '''''' then ''''
                else replace(substr(run, 2, length(run) - 2), '''''', '''') end);
            continue;
        end if;
        run := substring(rest from '^(([[:alpha:]])\2*)');
        if run is null then
            tokens := tokens || ('=' || left(rest, 1));
            rest := substr(rest, 2);
            continue;
        end if;
        rest := substr(rest, length(run) + 1);
        field := case left(run, 1)
            when 'y' then case length(run) when 2 then 'YY' else 'YYYY' end
            when 'Y' then case length(run) when 2 then 'YY' else 'YYYY' end
            when 'u' then 'YYYY' when 'x' then case length(run) when 2 then 'IY' else 'IYYY' end
            when 'M' then case when length(run) < 3 then 'MM' when length(run) = 3 then 'Mon' else 'Month' end
            when 'd' then 'DD' when 'D' then 'DDD' when 'E' then case when length(run) < 4 then 'Dy' else 'Day' end
            when 'e' then 'ID' when 'w' then 'IW' when 'H' then 'HH24' when 'h' then 'HH12' when 'm' then 'MI'
            when 's' then 'SS' when 'S' then 'US' when 'a' then 'AM' when 'Z' then 'TZH:TZM'
        end;
        if field is null then
            raise exception 'Invalid format: "%": pattern letter % is not supported', format, left(run, 1)
                using errcode = '22023';
        end if;
        tokens := tokens || ('%' || field);
    end loop;
    return trino_dialect.reader_of(tokens);
end
$$;
comment on function trino_dialect.joda_reader(text) is 'Part of parse_datetime: how to read by a pattern of Joda-Time; see reader_of.';

create or replace function trino.date_parse(text text, format text) returns timestamp language sql stable parallel safe
return case
    when text ~ (trino_dialect.mysql_reader(format))[1] then pg_catalog.to_timestamp(
        (trino_dialect.mysql_reader(format))[2] || text, (trino_dialect.mysql_reader(format))[3])::timestamp
    when text is not null and format is not null
        then trino_dialect.fail(format('Invalid format: "%s"', text), '22023', null::timestamp) end;
create or replace function trino.parse_datetime(text text, format text) returns timestamptz language sql stable parallel safe
return case
    when text ~ (trino_dialect.joda_reader(format))[1] then pg_catalog.to_timestamp(
        (trino_dialect.joda_reader(format))[2] || text, (trino_dialect.joda_reader(format))[3])
    when text is not null and format is not null
        then trino_dialect.fail(format('Invalid format: "%s"', text), '22023', null::timestamptz) end;

create function trino.typeof(x interval) returns text language sql immutable parallel safe
return case when extract(day from x) = 0 and extract(epoch from x::time) = 0 and x <> interval '0'
    and x = justify_days(x) then 'interval year to month' else 'interval day to second' end;
comment on function trino.typeof(interval) is 'Name of the type of x, as Trino calls it: by whether it holds months alone.';

-- Elements ----------------------------------------------------------------------------------------------

create function trino_dialect.subscript(x anyarray, place bigint) returns anyelement language sql immutable parallel safe
as $$ select case
    when place between 1 and pg_catalog.array_length(x, 1) then x[place::integer]
    when x is null or place is null then null
    when place = 0 then trino_dialect.fail('SQL array indices start at 1', '22023', x[1])
    when place < 0 then trino_dialect.fail(pg_catalog.format('Array subscript is negative: %s', place), '22023', x[1])
    else trino_dialect.fail(pg_catalog.format('Array subscript must be less than or equal to array length: %s > %s',
        place, pg_catalog.cardinality(x)), '22023', x[1]) end $$;
comment on function trino_dialect.subscript(anyarray, bigint) is 'Part of subscripts: x[place], from 1; an error where there is no such element.';

create function trino_dialect.subscript(x anyarray, place bigint, inner_place bigint) returns anyelement
language sql immutable parallel safe
as $$ select case
    when place between 1 and pg_catalog.array_length(x, 1) and inner_place between 1 and pg_catalog.array_length(x, 2)
        then x[place::integer][inner_place::integer]
    when x is null or place is null or inner_place is null then null
    else trino_dialect.fail(pg_catalog.format('Array subscript is out of range: [%s][%s]', place, inner_place), '22023', x[1][1]) end $$;
comment on function trino_dialect.subscript(anyarray, bigint, bigint) is
    'Part of subscripts: x[place][inner_place] of an array of arrays; an error where there is no such element.';

create function trino_dialect.subscript(x jsonb, key text) returns jsonb language sql immutable parallel safe
return case when x ? key then x -> key
    when x is not null and key is not null
        then trino_dialect.fail(format('Key not present in map: %s', key), '22023', null::jsonb) end;
comment on function trino_dialect.subscript(jsonb, text) is 'Part of subscripts: x[key] of a map; an error where it has no such key.';
create function trino_dialect.subscript(x jsonb, place bigint) returns jsonb language sql immutable parallel safe
return case
    when jsonb_typeof(x) = 'object' then trino_dialect.subscript(x, place::text)
    when place between 1 and jsonb_array_length(x) then x -> (place - 1)::integer
    when x is not null and place is not null
        then trino_dialect.fail(format('Invalid subscript index: %s. ROW indices start at 1', place), '22023', null::jsonb) end;
comment on function trino_dialect.subscript(jsonb, bigint) is
    'Part of subscripts: x[place] of a row, from 1, and of a map whose keys are numbers; an error where there is no such field or key.';

do $$
declare
    source text;
    outer_type text;
    inner_type text;
begin
    foreach source in array array['jsonb', 'jsonb[]'] loop
        foreach outer_type in array array['bigint', 'text'] loop
            continue when source = 'jsonb[]' and outer_type = 'text';
            foreach inner_type in array array['bigint', 'text'] loop
                execute format(
                    'create function trino_dialect.subscript(x %s, place %s, inner_place %s) returns jsonb '
                    'language sql immutable parallel safe '
                    'return trino_dialect.subscript(trino_dialect.subscript(x, place), inner_place)',
                    source, outer_type, inner_type);
                execute format('comment on function trino_dialect.subscript(%s, %s, %s) is %L', source, outer_type, inner_type,
                    'Part of subscripts: x[place][inner_place] of maps and rows in one another.');
            end loop;
        end loop;
    end loop;
end
$$;

create or replace function trino.map(keys anyarray, "values" anycompatiblearray) returns jsonb
language sql stable parallel safe
as $$ select case
    when pg_catalog.cardinality(keys) <> pg_catalog.cardinality("values")
        then trino_dialect.fail('Key and value arrays must be the same length', '22023', pg_catalog.to_jsonb(keys))
    when (select pg_catalog.count(distinct k) from pg_catalog.unnest(keys) as k) < pg_catalog.cardinality(keys)
        then trino_dialect.fail(pg_catalog.format('Duplicate map keys (%s) are not allowed',
            (select pg_catalog.min(d.k) from (
                select k::text from pg_catalog.unnest(keys) as k group by k having pg_catalog.count(*) > 1) as d (k))),
            '22023', pg_catalog.to_jsonb(keys))
    when keys is not null and "values" is not null then (
        select coalesce(pg_catalog.jsonb_object_agg(k::text, pg_catalog.to_jsonb(v)), '{}')
        from unnest(keys, "values") as entries (k, v)) end $$;

-- JSON --------------------------------------------------------------------------------------------------

create function trino_dialect.json_steps(path text) returns text[]
language plpgsql immutable strict parallel safe
as $$
declare
    steps text[] := '{}';
    step text[];
    rest text := substr(path, 2);
begin
    if left(path, 1) = '$' then
        while rest <> '' loop
            step := regexp_match(rest, '^(?:\.([\w:-]+)|\[\s*(?:([\w-]+)|"((?:[^"\\]|\\["\\])*)"|''([^'']*)'')\s*\])(.*)$', 's');
            exit when step is null;
            steps := steps || coalesce(step[1], step[2], regexp_replace(step[3], '\\(["\\])', '\1', 'g'), step[4]);
            rest := step[5];
        end loop;
        if rest = '' then
            return steps;
        end if;
        -- Steps to several places, which Presto takes and Trino does not.
        if rest ~ '^(\.\.?([\w:-]+|\*)|\[\s*([\w-]+|\*|"([^"\\]|\\["\\])*"|''[^'']*'')\s*\])+$' then
            return null;
        end if;
    end if;
    raise exception 'Invalid JSON path: ''%''', path using errcode = '22023';
end
$$;
comment on function trino_dialect.json_steps(text) is
    'Part of json_extract: the members and places that a path such as $.a["b"][0] leads through; NULL if it leads to several places.';

create function trino_dialect.json_places(path text) returns jsonpath
language plpgsql immutable strict parallel safe
as $$
declare
    result text := 'strict $';
    step text[];
    rest text := substr(path, 2);
begin
    while rest <> '' loop
        step := regexp_match(rest, '^(\.\.?|\[\s*)(?:([\w:-]+)|(\*)|"((?:[^"\\]|\\["\\])*)"|''([^'']*)'')\s*\]?(.*)$', 's');
        rest := step[6];
        result := result || case when step[1] = '..' then '.**' else '' end || case
            when step[3] is not null then case when left(step[1], 1) = '.' then '.*' else '[*]' end
            when step[2] ~ '^\d+$' then '[' || step[2] || ']'
            else '.' || to_jsonb(coalesce(step[2], regexp_replace(step[4], '\\(["\\])', '\1', 'g'), step[5]))::text end;
    end loop;
    return result::jsonpath;
end
$$;
comment on function trino_dialect.json_places(text) is
    'Part of json_extract: a path that leads to several places ($.a[*], $..b) as one of PostgreSQL.';

create or replace function trino.json_extract(x jsonb, path text) returns jsonb language sql immutable parallel safe
return case when trino_dialect.json_steps(path) is not null then x #> trino_dialect.json_steps(path)
    when path is not null then jsonb_path_query_array(x, trino_dialect.json_places(path), '{}', true) end;

-- The functions of the standard have its own paths ('lax $.a', 'strict $.a'), which are PostgreSQL's.

create function trino_dialect.json_items(x jsonb, path text) returns jsonb language sql immutable parallel safe
return jsonb_path_query_array(x, trino_dialect.json_path(path), '{}', true);
comment on function trino_dialect.json_items(jsonb, text) is
    'Part of JSON_VALUE and JSON_QUERY: all that a path of the standard leads to, in an array; empty where it fails.';
create or replace function trino.json_value(x jsonb, path text) returns text language sql immutable parallel safe
return case when jsonb_array_length(trino_dialect.json_items(x, path)) = 1
        and jsonb_typeof(trino_dialect.json_items(x, path) -> 0) not in ('object', 'array')
    then trino_dialect.json_items(x, path) ->> 0 end;
create or replace function trino.json_query(x jsonb, path text) returns text language sql immutable parallel safe
return case when jsonb_array_length(trino_dialect.json_items(x, path)) = 1
    then (trino_dialect.json_items(x, path) -> 0)::text end;

-- Regular expressions -----------------------------------------------------------------------------------

create function trino_dialect.regex_groups(pattern text) returns text[]
language plpgsql immutable strict parallel safe
as $$
declare
    part text;
    names text[] := '{}';
begin
    -- What is escaped, quoted or in brackets opens no group.
    foreach part in array array(
        select m[1] from regexp_matches(
            pattern, '\\Q(?:[^\\]|\\(?!E))*(?:\\E)?|\\.|\[\^?\]?(?:\\.|[^]\\])*\]|\((?:\?P?<[A-Za-z]\w*>|(?!\?))', 'gs') with ordinality as u (m, n)
        order by n) loop
        if left(part, 1) = '(' then
            names := names || coalesce(substring(part from '<(\w+)>'), '');
        end if;
    end loop;
    return names;
end
$$;
comment on function trino_dialect.regex_groups(text) is
    'Part of the regexp functions: the groups of a pattern of Java, by name, or '''' for those without.';

create or replace function trino_dialect.regex(pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    flags constant text := coalesce(substring(pattern from '^\(\?([a-zA-Z]+)\)'), '');
    options text := translate(flags, 'sudUm', '') || case when flags ~ 'm' then 'w' else '' end;
    rest text := case when flags = '' then pattern else substr(pattern, length(flags) + 4) end;
    result text := '';
    part text;
    name text;
    in_class boolean := false;
begin
    -- The shortest way for what means the same in both.
    if rest !~ '[\\.]|\(\?P?<[A-Za-z]' then
        return case when options = '' then '' else '(?' || options || ')' end || rest;
    end if;
    while rest <> '' loop
        part := substring(rest from '^(?:\\Q(?:[^\\]|\\(?!E))*(?:\\E)?|\\[pP]\{\w+\}|\\[pP]\w|\\.|\(\?P?<[A-Za-z]\w*>|.)');
        rest := substr(rest, length(part) + 1);
        if part like '\\Q%' then
            part := regexp_replace(substr(part, 3), '\\E$', '');
            result := result || regexp_replace(part, '([^[:alnum:][:space:]])', '\\\1', 'g');
        elsif part ~ '^\\[pP]' then
            name := regexp_replace(regexp_replace(part, '^\\[pP]\{?', ''), '\}$', '');
            name := case regexp_replace(lower(name), '^(is|in)(?=\w{3})', '')
                when 'l' then 'alpha' when 'alpha' then 'alpha' when 'alphabetic' then 'alpha' when 'letter' then 'alpha'
                when 'lu' then 'upper' when 'upper' then 'upper' when 'uppercase' then 'upper'
                when 'll' then 'lower' when 'lower' then 'lower' when 'lowercase' then 'lower'
                when 'n' then 'digit' when 'nd' then 'digit' when 'digit' then 'digit'
                when 'p' then 'punct' when 'punct' then 'punct' when 'punctuation' then 'punct'
                when 'z' then 'space' when 'zs' then 'space' when 'space' then 'space' when 'white_space' then 'space'
                when 'alnum' then 'alnum' when 'xdigit' then 'xdigit' when 'cntrl' then 'cntrl' when 'cc' then 'cntrl'
                when 'graph' then 'graph' when 'print' then 'print' when 'blank' then 'blank' end;
            if name is null or in_class and part like '\\P%' then
                raise exception 'invalid character property name {%}', substr(part, 3) using errcode = '2201B';
            end if;
            result := result || case
                when in_class then '[:' || name || ':]'
                when part like '\\P%' then '[^[:' || name || ':]]'
                else '[[:' || name || ':]]' end;
        elsif left(part, 1) = '\' then
            result := result || case when in_class then part else case part
                when '\b' then '\y' when '\B' then '\Y' when '\z' then '\Z' when '\h' then '[ \t]' when '\R' then '(?:\r\n|\n|\r)'
                else part end end;
        elsif part like '(%<%' then
            result := result || '(';
        else
            if part = '[' and not in_class then
                in_class := true;
                -- The first ] of a class is one of its characters.
                if rest ~ '^\^?\]' then
                    part := '[' || substring(rest from '^\^?\]');
                    rest := substr(rest, length(part));
                end if;
            elsif part = ']' and in_class then
                in_class := false;
            elsif part = '.' and not in_class and flags !~ 's' then
                part := '[^\n]';
            end if;
            result := result || part;
        end if;
    end loop;
    return case when options = '' then '' else '(?' || options || ')' end || result;
end
$$;

create or replace function trino_dialect.grouped_regex(pattern text) returns text
language sql immutable parallel safe
return pg_catalog.regexp_replace(trino_dialect.regex(pattern), '^(\(\?[a-z]+\))?(.*)$', '\1(\2)', 's');

create function trino_dialect.regexp_replacement(replacement text, pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    names constant text[] := trino_dialect.regex_groups(pattern);
    result text := '';
    part text;
    rest text := replacement;
    place integer;
begin
    while rest <> '' loop
        part := substring(rest from '^(?:\\.|\$\{\w+\}|\$\d|.)');
        rest := substr(rest, length(part) + 1);
        if left(part, 1) = '$' and part <> '$' then
            place := case when part like '${%' then array_position(names, btrim(part, '${}')) else substr(part, 2)::integer end;
            -- As many digits as there is a group of.
            while part not like '${%' and rest ~ '^\d' and place * 10 + left(rest, 1)::integer <= cardinality(names) loop
                place := place * 10 + left(rest, 1)::integer;
                rest := substr(rest, 2);
            end loop;
            if place is null or place > least(cardinality(names), 9) then
                raise exception 'Illegal replacement sequence: unknown group %', part using errcode = '22023';
            end if;
            result := result || case place when 0 then '\&' else '\' || place end;
        elsif part in ('$', '\') then
            raise exception 'Illegal replacement sequence: %', replacement using errcode = '22023';
        else
            result := result || replace(right(part, 1), '\', '\\');
        end if;
    end loop;
    return result;
end
$$;
comment on function trino_dialect.regexp_replacement(text, text) is
    'Part of regexp_replace: a replacement of Java ($1, ${name}, \x) for PostgreSQL.';

create or replace function trino_dialect.regexp_replace(x text, pattern text, replacement text) returns text
language sql immutable parallel safe
return pg_catalog.regexp_replace(x, trino_dialect.regex(pattern), trino_dialect.regexp_replacement(replacement, pattern), 'g');

create function trino_dialect.has_group(pattern text, "group" bigint) returns boolean language sql immutable parallel safe
return case when "group" between 0 and cardinality(trino_dialect.regex_groups(pattern)) then true
    when "group" is not null and pattern is not null
        then trino_dialect.fail(format('Pattern has %s groups. Cannot access group %s',
            cardinality(trino_dialect.regex_groups(pattern)), "group"), '22023', null::boolean) end;
comment on function trino_dialect.has_group(text, bigint) is 'Part of regexp_extract: true; an error for a group that a pattern lacks.';
create or replace function trino.regexp_extract(x text, pattern text, "group" bigint) returns text
language sql immutable parallel safe
return case when trino_dialect.has_group(pattern, "group")
    then regexp_substr(x, trino_dialect.regex(pattern), 1, 1, '', "group"::integer) end;
create or replace function trino.regexp_extract_all(x text, pattern text, "group" bigint) returns text[]
language sql immutable parallel safe
return case when x is not null and trino_dialect.has_group(pattern, "group") then array(
    select match[("group" + 1)::integer] from regexp_matches(x, trino_dialect.grouped_regex(pattern), 'g') as match) end;

-- Statistics --------------------------------------------------------------------------------------------
--
-- Of a table that was never analysed the number of rows is not known; it is not 0.

create or replace function trino_dialect.stats_of(catalog text, schema text, name text)
returns table (
    column_name text, data_size double precision, distinct_values_count double precision,
    nulls_fraction double precision, row_count double precision, low_value text, high_value text)
language sql stable parallel safe
begin atomic
    with known as (select trino_dialect.known_table(catalog, schema, name) as oid offset 0),
    parts as (
        select c.oid, n.nspname, c.relname, case when c.reltuples >= 0 then c.reltuples::double precision end as tuples
        from known
        join pg_catalog.pg_class as c on c.oid = known.oid
            or c.oid in (select t.relid from pg_catalog.pg_partition_tree(known.oid) as t where t.isleaf)
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where c.relkind <> 'p'
    ),
    size as (select sum(tuples) as total from parts),
    columns as (
        select s.attname, sum(s.avg_width * p.tuples) as bytes, sum(s.null_frac * p.tuples) as nulls, sum(p.tuples) as tuples,
            round(max(case when s.n_distinct < 0 then -s.n_distinct * p.tuples else s.n_distinct end)) as distinct_values
        from parts as p
        join pg_catalog.pg_stats as s on s.schemaname = p.nspname and s.tablename = p.relname and not s.inherited
        group by s.attname
    )
    select a.attname::text, c.bytes, c.distinct_values, c.nulls / nullif(c.tuples, 0), null::double precision,
        null::text, null::text
    from known
    join pg_catalog.pg_attribute as a on a.attrelid = known.oid and a.attnum > 0 and not a.attisdropped
    left join columns as c on c.attname = a.attname
    union all
    select null, null, null, null, size.total, null, null from size, known where known.oid is not null;
end;

-- Parts of times ----------------------------------------------------------------------------------------

do $$
declare
    source text;
begin
    -- A constant unit is checked when the statement is planned.
    foreach source in array array['timestamp', 'timestamptz'] loop
        execute format(
            'create or replace function trino_dialect.date_trunc(unit text, x %s) returns %s language sql %s parallel safe '
            'return case when lower(unit) in (''millisecond'', ''second'', ''minute'', ''hour'', ''day'', ''week'', ''month'', ''quarter'', ''year'') '
            'then pg_catalog.date_trunc(unit, x) when unit is not null and x is not null '
            'then trino_dialect.fail(format(''''''%%s'''' is not a valid TIMESTAMP field'', unit), ''22023'', x) end',
            source, source, case source when 'timestamptz' then 'stable' else 'immutable' end);
    end loop;
end
$$;
create or replace function trino_dialect.date_trunc(unit text, x date) returns date
language sql immutable parallel safe
return case when lower(unit) in ('day', 'week', 'month', 'quarter', 'year') then pg_catalog.date_trunc(unit, x::timestamp)::date
    when unit is not null and x is not null
        then trino_dialect.fail(format('''%s'' is not a valid DATE field', unit), '22023', x) end;
create function trino_dialect.date_trunc(unit text, x time) returns time language sql immutable parallel safe
return case when lower(unit) in ('millisecond', 'second', 'minute', 'hour')
    then pg_catalog.date_trunc(unit, x::interval)::time when unit is not null and x is not null
        then trino_dialect.fail(format('''%s'' is not a valid TIME field', unit), '22023', x) end;
comment on function trino_dialect.date_trunc(text, time) is 'A time of day cut to a whole unit, hour at most.';
create function trino.date_add(unit text, value bigint, ts time) returns time language sql immutable parallel safe
return case when lower(unit) in ('millisecond', 'second', 'minute', 'hour') then ts + value * trino_dialect.unit(unit)
    when unit is not null and value is not null and ts is not null
        then trino_dialect.fail(format('''%s'' is not a valid TIME field', unit), '22023', ts) end;
comment on function trino.date_add(text, bigint, time) is 'Adds value units (millisecond, second, minute, hour) to a time of day.';
create function trino_dialect.time_diff(unit text, a time, b time) returns bigint language sql immutable parallel safe
return case when lower(unit) in ('millisecond', 'second', 'minute', 'hour')
    then trunc(extract(epoch from b - a) / extract(epoch from trino_dialect.unit(unit)))::bigint
    when unit is not null and a is not null and b is not null
        then trino_dialect.fail(format('''%s'' is not a valid TIME field', unit), '22023', null::bigint) end;
comment on function trino_dialect.time_diff(text, time, time) is 'Part of date_diff: complete units between two times of day.';
create function trino.date_diff(unit text, a time, b time) returns bigint language sql immutable parallel safe
return trino_dialect.time_diff(unit, a, b);
comment on function trino.date_diff(text, time, time) is 'Complete units (millisecond, second, minute, hour) from a to b.';
create function trino.from_unixtime(seconds double precision, hours bigint, minutes bigint) returns timestamptz
language sql immutable parallel safe return case when hours is not null and minutes is not null then to_timestamp(seconds) end;
comment on function trino.from_unixtime(double precision, bigint, bigint) is
    'The time that lies seconds after 1970-01-01 00:00 UTC. A time keeps no offset here: it is shown in the zone of the session.';

create function trino_dialect.joda_text(ts timestamp, format text) returns text
language plpgsql stable strict parallel safe
as $$
declare
    part text;
    result text := '';
begin
    -- Of hours from 0 to 11 (K) and from 1 to 24 (k) to_char knows nothing.
    foreach part in array array(
        select m[1] from regexp_matches(format, '''(?:[^'']|'''')*''|K+|k+|G+|[^KkG'']+', 'g') as m) loop
        result := result || case left(part, 1)
            when 'K' then lpad((extract(hour from ts)::integer % 12)::text, length(part), '0')
            when 'k' then lpad(((extract(hour from ts)::integer + 23) % 24 + 1)::text, length(part), '0')
            when 'G' then to_char(ts, 'BC')
            else to_char(ts, trino_dialect.joda_pattern(part)) end;
    end loop;
    return result;
end
$$;
comment on function trino_dialect.joda_text(timestamp, text) is
    'Part of format_datetime: by a pattern of Joda-Time that has a letter to_char lacks.';
create or replace function trino.format_datetime(ts timestamp, format text) returns text language sql stable parallel safe
return case when format ~ '[KkG]' then trino_dialect.joda_text(ts, format)
    else to_char(ts, trino_dialect.joda_pattern(format)) end;
create or replace function trino.format_datetime(ts timestamptz, format text) returns text language sql stable parallel safe
return case when format ~ '[KkG]' then trino_dialect.joda_text(ts::timestamp, format)
    else to_char(ts, trino_dialect.joda_pattern(format)) end;

-- JSON, once more ---------------------------------------------------------------------------------------

create function trino_dialect.json_or_null(x text) returns jsonb
language plpgsql immutable strict parallel unsafe
as $$ begin return x::jsonb; exception when data_exception then return null; end $$;
comment on function trino_dialect.json_or_null(text) is 'Part of the JSON functions: a JSON text read; NULL for what is none.';

create or replace function trino.json_extract(x text, path text) returns jsonb language sql immutable parallel unsafe
return trino.json_extract(trino_dialect.json_or_null(x), path);
create or replace function trino.json_extract_scalar(x text, path text) returns text language sql immutable parallel unsafe
return trino.json_extract_scalar(trino_dialect.json_or_null(x), path);
create or replace function trino.json_size(x text, path text) returns bigint language sql immutable parallel unsafe
return trino.json_size(trino_dialect.json_or_null(x), path);
create or replace function trino_dialect.json_array_length(x text) returns bigint language sql immutable parallel unsafe
return trino_dialect.json_array_length(trino_dialect.json_or_null(x));
create or replace function trino.json_array_contains(x text, element anyelement) returns boolean
language sql stable parallel unsafe
as $$ select trino.json_array_contains(trino_dialect.json_or_null(x), element) $$;
create function trino.json_array_contains(x text, element text) returns boolean language sql stable parallel unsafe
return trino.json_array_contains(trino_dialect.json_or_null(x), element);
comment on function trino.json_array_contains(text, text) is 'Whether a JSON array has a text.';

-- What the functions of the standard do where a path leads to nothing or fails: their clauses, as words.
create function trino_dialect.json_places_of(x jsonb, path text, variables jsonb) returns jsonb
language plpgsql immutable parallel unsafe
as $$ begin
    if x is null or path is null then
        return 'null';
    end if;
    return jsonb_path_query_array(x, trino_dialect.json_path(path), coalesce(variables, '{}'));
exception when data_exception then return null; end $$;
comment on function trino_dialect.json_places_of(jsonb, text, jsonb) is
    'Part of JSON_VALUE and its like: all that a path of the standard leads to, in an array; a JSON null for NULL, and NULL where it fails.';
create function trino_dialect.json_places_of(x text, path text, variables jsonb) returns jsonb
language sql immutable parallel unsafe
return case when x is null then jsonb 'null' when trino_dialect.json_or_null(x) is not null
    then trino_dialect.json_places_of(trino_dialect.json_or_null(x), path, variables) end;
comment on function trino_dialect.json_places_of(text, text, jsonb) is
    'Part of JSON_VALUE and its like: all that a path of the standard leads to in a JSON text; NULL for what is none.';

create function trino_dialect.json_value(
    places jsonb, on_empty text, empty_value text, on_error text, error_value text
) returns text language plpgsql immutable parallel safe
as $$
begin
    if jsonb_typeof(places) = 'null' then
        return null;
    elsif jsonb_array_length(places) = 0 then
        if on_empty = 'error' then
            raise exception 'cannot extract SQL scalar from JSON: JSON path found no items' using errcode = '22035';
        end if;
        return case when on_empty = 'default' then empty_value end;
    elsif jsonb_array_length(places) = 1 and jsonb_typeof(places -> 0) not in ('object', 'array') then
        return places ->> 0;
    elsif on_error = 'error' then
        raise exception 'cannot extract SQL scalar from JSON: JSON path failed, or found several items or no scalar'
            using errcode = '22034';
    end if;
    return case when on_error = 'default' then error_value end;
end
$$;
comment on function trino_dialect.json_value(jsonb, text, text, text, text) is
    'Part of JSON_VALUE with clauses: what to do where a path leads to nothing or to no scalar is error, null or default.';

create function trino_dialect.json_query(places jsonb, wrapper text, omits_quotes boolean, on_empty text, on_error text)
returns text language plpgsql immutable parallel safe
as $$
declare
    action text;
begin
    if jsonb_typeof(places) = 'null' then
        return null;
    elsif jsonb_array_length(places) > 0 and (wrapper = 'unconditional' or wrapper = 'conditional'
        and (jsonb_array_length(places) > 1 or jsonb_typeof(places -> 0) not in ('object', 'array')))
    then
        return places::text;
    elsif jsonb_array_length(places) = 1 then
        return case when omits_quotes and jsonb_typeof(places -> 0) = 'string' then places ->> 0 else (places -> 0)::text end;
    end if;
    action := case when jsonb_array_length(places) = 0 then on_empty else on_error end;
    if action = 'error' then
        raise exception 'cannot extract JSON: JSON path failed, or found no item or several' using errcode = '22034';
    end if;
    return case action when 'array' then '[]' when 'object' then '{}' end;
end
$$;
comment on function trino_dialect.json_query(jsonb, text, boolean, text, text) is
    'Part of JSON_QUERY with clauses: what to do where a path leads to nothing or to several is error, null, array or object.';

create function trino_dialect.json_exists(places jsonb, on_error text) returns boolean language sql immutable parallel safe
return case
    when jsonb_typeof(places) = 'array' then jsonb_array_length(places) > 0
    when places is not null or on_error = 'unknown' then null
    when on_error = 'error' then trino_dialect.fail('JSON path failed', '22034', places is null)
    else on_error = 'true' end;
comment on function trino_dialect.json_exists(jsonb, text) is
    'Part of JSON_EXISTS with clauses: what to say where a path fails is true, false, unknown or error.';

create or replace function trino.json_value(x text, path text) returns text language sql immutable parallel unsafe
return trino.json_value(trino_dialect.json_or_null(x), path);
create or replace function trino.json_query(x text, path text) returns text language sql immutable parallel unsafe
return trino.json_query(trino_dialect.json_or_null(x), path);
create or replace function trino.json_exists(x text, path text) returns boolean language sql immutable parallel unsafe
return case when x is not null then coalesce(trino.json_exists(trino_dialect.json_or_null(x), path), false) end;

create function trino_dialect.to_varchar(x anyelement) returns text language sql stable parallel safe
as $$ select x::text $$;
comment on function trino_dialect.to_varchar(anyelement) is 'Part of casts: CAST(x AS varchar).';
create function trino_dialect.to_varchar(x text) returns text language sql immutable parallel safe return x;
comment on function trino_dialect.to_varchar(text) is 'Part of casts: CAST(x AS varchar), x itself.';
create function trino_dialect.to_varchar(x jsonb) returns text language sql immutable parallel safe return x #>> '{}';
comment on function trino_dialect.to_varchar(jsonb) is 'Part of casts: CAST(x AS varchar) of JSON: a JSON text without its quotes.';

create function trino_dialect.to_array(x jsonb, sample anycompatiblearray) returns anycompatiblearray
language plpgsql immutable parallel safe
as $$
begin
    if jsonb_typeof(x) = 'null' then
        return null;
    elsif jsonb_typeof(x) <> 'array' then
        raise exception 'Cannot cast to array: %', x using errcode = '22P02';
    elsif pg_typeof(sample) = 'jsonb[]'::regtype then
        return array(select value from jsonb_array_elements(x) with ordinality as e (value, n) order by n);
    end if;
    sample := array(select value from jsonb_array_elements_text(x) with ordinality as e (value, n) order by n);
    return sample;
end
$$;
comment on function trino_dialect.to_array(jsonb, anycompatiblearray) is
    'Part of casts: CAST of a JSON array to an array of the type of sample.';
create function trino_dialect.to_array(x anyarray, sample anycompatiblearray) returns anycompatiblearray
language plpgsql immutable parallel safe
as $$ begin sample := x; return sample; end $$;
comment on function trino_dialect.to_array(anyarray, anycompatiblearray) is
    'Part of casts: CAST of an array to an array of the type of sample.';
create or replace function trino_dialect.try_cast(value jsonb, sample anyelement) returns anyelement
language plpgsql stable parallel unsafe
as $$
begin
    case
        when jsonb_typeof(value) = 'null' then return null;
        when pg_typeof(sample) = 'jsonb'::regtype then return value;
        when pg_typeof(sample)::text like '%[]' then sample := trino_dialect.to_array(value, sample);
        when jsonb_typeof(value) = 'string' then sample := value #>> '{}';
        else sample := value;
    end case;
    return sample;
exception
    when data_exception or cannot_coerce or program_limit_exceeded then
        return null;
end
$$;

create function trino_dialect.json_without_nulls(x jsonb) returns jsonb language sql immutable parallel safe
return case jsonb_typeof(x)
    when 'array' then (select coalesce(jsonb_agg(value order by n), '[]') from jsonb_array_elements(x) with ordinality as e (value, n)
        where jsonb_typeof(value) <> 'null')
    else (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(x) where jsonb_typeof(value) <> 'null') end;
comment on function trino_dialect.json_without_nulls(jsonb) is 'Part of JSON_OBJECT and JSON_ARRAY: ABSENT ON NULL.';

-- Maps of two arrays that are written where they are read keep the type of their values -------------------

create function trino_dialect.map_value(keys anyarray, "values" anycompatiblearray, key anyelement) returns anycompatible
language sql immutable parallel safe
as $$ select "values"[pg_catalog.array_position(keys, key)] $$;
comment on function trino_dialect.map_value(anyarray, anycompatiblearray, anyelement) is
    'Part of element_at: the value of a key in a map of two arrays; NULL if it has none.';
create function trino_dialect.map_entry(keys anyarray, "values" anycompatiblearray, key anyelement) returns anycompatible
language sql immutable parallel safe
as $$ select case when key is null or pg_catalog.array_position(keys, key) is not null
    then "values"[pg_catalog.array_position(keys, key)]
    else trino_dialect.fail('Key not present in map: ' || key, '22023', "values"[1]) end $$;
comment on function trino_dialect.map_entry(anyarray, anycompatiblearray, anyelement) is
    'Part of subscripts: the value of a key in a map of two arrays; an error if it has none.';
create function trino_dialect.text_entry(x jsonb, key text) returns text language sql immutable parallel safe
return trino_dialect.subscript(x, key) #>> '{}';
comment on function trino_dialect.text_entry(jsonb, text) is 'Part of subscripts: the value of a key in a map of texts; an error if it has none.';

-- Aggregates and windows --------------------------------------------------------------------------------

create function trino_dialect.weighted_percentiles(x anyarray, weights double precision[], fractions double precision[])
returns anyarray language plpgsql immutable parallel safe
as $$
begin
    if exists (select from unnest(fractions) as f where f not between 0 and 1) then
        raise exception 'Percentile must be between 0 and 1' using errcode = '22023';
    elsif exists (select from unnest(weights) as w where w <= 0) then
        raise exception 'percentile weight must be > 0' using errcode = '22023';
    end if;
    return (
        with sums as (
            select v, sum(w) over (order by v, n) as upto, sum(w) over () as total
            from unnest(x, weights) with ordinality as u (v, w, n) where v is not null and w is not null
        )
        select array_agg((
            select v from sums where upto >= f * total order by upto limit 1) order by n)
        from unnest(fractions) with ordinality as wanted (f, n));
end
$$;
comment on function trino_dialect.weighted_percentiles(anyarray, double precision[], double precision[]) is
    'Part of approx_percentile: for each fraction the value up to which the weights make up so much of all.';
create function trino_dialect.weighted_percentile(x anyarray, weights double precision[], fraction double precision)
returns anyelement language sql immutable parallel safe
as $$ select (trino_dialect.weighted_percentiles(x, weights, array[fraction]))[1] $$;
comment on function trino_dialect.weighted_percentile(anyarray, double precision[], double precision) is
    'Part of approx_percentile: the value up to which the weights make up a fraction of all.';
create function trino_dialect.weighted_percentile(x anyarray, weights double precision[], fractions double precision[])
returns anyarray language sql immutable parallel safe
as $$ select trino_dialect.weighted_percentiles(x, weights, fractions) $$;
comment on function trino_dialect.weighted_percentile(anyarray, double precision[], double precision[]) is
    'Part of approx_percentile: the values up to which the weights make up fractions of all.';

create function trino_dialect.later_of(a anyelement, b anyelement) returns anyelement
language sql immutable strict parallel safe as $$ select b $$;
comment on function trino_dialect.later_of(anyelement, anyelement) is 'Part of last_value: the second of two.';
create aggregate trino_dialect.last_known(anyelement) (sfunc = trino_dialect.later_of, stype = anyelement, parallel = safe);
comment on aggregate trino_dialect.last_known(anyelement) is
    'Part of LAST_VALUE and LAG with IGNORE NULLS: the last value that is not NULL.';

create function trino_dialect.entropy_step(state double precision[], n double precision) returns double precision[]
language sql immutable parallel safe
return case when n is null or n = 0 then state
    when n < 0 then trino_dialect.fail('Entropy count argument must be non-negative', '22023', state)
    else array[state[1] + n, state[2] + n * ln(n)] end;
comment on function trino_dialect.entropy_step(double precision[], double precision) is 'Part of entropy.';
create function trino_dialect.entropy_of(state double precision[]) returns double precision
language sql immutable strict parallel safe
return case when state[1] > 0 then greatest((ln(state[1]) - state[2] / state[1]) / ln(2::double precision), 0) else 0 end;
comment on function trino_dialect.entropy_of(double precision[]) is 'Part of entropy.';
create aggregate trino.entropy(double precision) (
    sfunc = trino_dialect.entropy_step, stype = double precision[], finalfunc = trino_dialect.entropy_of, initcond = '{0,0}', parallel = restricted);
comment on aggregate trino.entropy(double precision) is 'Entropy, in bits, of a distribution of which these are the counts.';

create function trino_dialect.multimap_of(keys anycompatiblearray, "values" jsonb[]) returns jsonb
language sql stable parallel safe
as $$ select (select pg_catalog.jsonb_object_agg(k, v) from (
    select k::text as k, pg_catalog.jsonb_agg(v order by n) as v from unnest(keys, "values") with ordinality as u (k, v, n)
    where k is not null group by k::text) as groups) $$;
comment on function trino_dialect.multimap_of(anycompatiblearray, jsonb[]) is 'Part of multimap_agg: a map of arrays of values.';
create function trino_dialect.frequent_of(x anycompatiblearray, buckets bigint) returns jsonb
language sql stable parallel safe
as $$ select (select pg_catalog.jsonb_object_agg(v, n) from (
    select v::text as v, pg_catalog.count(*) as n from unnest(x) as v where v is not null group by v
    order by pg_catalog.count(*) desc, v limit buckets) as top) $$;
comment on function trino_dialect.frequent_of(anycompatiblearray, bigint) is 'Part of approx_most_frequent: the values that occur most often, and how often.';

-- Functions of arrays, texts and bits that were missing -------------------------------------------------

create function trino.flatten(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(select e from unnest(x) with ordinality as u (e, n) order by n) end $$;
comment on function trino.flatten(anyarray) is 'The elements of the arrays in an array.';
create function trino.array_first(x anyarray) returns anyelement language sql immutable parallel safe as $$ select x[1] $$;
comment on function trino.array_first(anyarray) is 'The first element; NULL if there is none.';
create function trino.array_last(x anyarray) returns anyelement language sql immutable parallel safe
as $$ select x[pg_catalog.array_upper(x, 1)] $$;
comment on function trino.array_last(anyarray) is 'The last element; NULL if there is none.';
create function trino.contains_sequence(x anyarray, part anyarray) returns boolean language sql immutable parallel safe
as $$ select case when x is not null and part is not null then pg_catalog.cardinality(part) = 0 or exists (
    select from pg_catalog.generate_series(1, pg_catalog.cardinality(x) - pg_catalog.cardinality(part) + 1) as n
    where x[n:n + pg_catalog.cardinality(part) - 1] = part) end $$;
comment on function trino.contains_sequence(anyarray, anyarray) is 'Whether the elements of part stand in x side by side.';
create function trino.shuffle(x anyarray) returns anyarray language sql volatile parallel restricted
as $$ select case when x is not null then array(select e from unnest(x) as e order by pg_catalog.random()) end $$;
comment on function trino.shuffle(anyarray) is 'The elements in a random order.';
create function trino.ngrams(x anyarray, n bigint) returns anyarray language sql immutable parallel safe
as $$ select case
    when n < 1 then trino_dialect.fail('N must be positive', '22023', x)
    when x is not null and n is not null then (
        select pg_catalog.array_agg(x[i:i + least(n, pg_catalog.cardinality(x))::integer - 1] order by i)
        from pg_catalog.generate_series(1, greatest(pg_catalog.cardinality(x) - n::integer + 1, 1)) as i) end $$;
comment on function trino.ngrams(anyarray, bigint) is 'All runs of n elements that stand side by side.';
create function trino.map_from_entries(x jsonb[]) returns jsonb language sql immutable parallel safe
return case
    when (select count(distinct e ->> 0) from unnest(x) as e) < cardinality(x)
        then trino_dialect.fail('Duplicate map keys are not allowed', '22023', x[1])
    when x is not null then (select coalesce(jsonb_object_agg(e ->> 0, e -> 1), '{}') from unnest(x) as e) end;
comment on function trino.map_from_entries(jsonb[]) is 'A map of pairs of keys and values: map_from_entries(ARRAY[ROW(''a'', 1)]).';
create function trino.multimap_from_entries(x jsonb[]) returns jsonb language sql immutable parallel safe
return case when x is not null then (select coalesce(jsonb_object_agg(k, v), '{}') from (
    select e ->> 0 as k, jsonb_agg(e -> 1 order by n) as v from unnest(x) with ordinality as u (e, n) group by 1) as groups) end;
comment on function trino.multimap_from_entries(jsonb[]) is 'A map of arrays of values, of pairs of keys and values.';
create function trino.split_to_multimap(x text, entries text, pairs text) returns jsonb language sql immutable parallel safe
return (select coalesce(jsonb_object_agg(k, v), '{}') from (
    select pg_catalog.split_part(entry, pairs, 1) as k, jsonb_agg(
        pg_catalog.substr(entry, pg_catalog.strpos(entry, pairs) + pg_catalog.length(pairs)) order by n) as v
    from unnest(string_to_array(x, entries)) with ordinality as u (entry, n) group by 1) as groups);
comment on function trino.split_to_multimap(text, text, text) is
    'A map of arrays of what stands between two delimiters: split_to_multimap(''a=1;a=2'', '';'', ''='').';
create function trino_dialect.bit_count(x bigint, bits bigint) returns bigint language sql immutable parallel safe
return case
    when bits not between 2 and 64 then trino_dialect.fail(format('Bits specified in bit_count must be between 2 and 64, got %s', bits), '22023', x)
    when bits < 64 and x not between -(1::bigint << (bits - 1)::integer) and (1::bigint << (bits - 1)::integer) - 1
        then trino_dialect.fail(format('Number must be representable with the bits specified. %s cannot be represented with %s bits', x, bits), '22023', x)
    when bits = 64 then pg_catalog.bit_count(x::bit(64))
    else pg_catalog.bit_count((x & ((1::bigint << bits::integer) - 1))::bit(64)) end;
comment on function trino_dialect.bit_count(bigint, bigint) is 'Bits that are set in x as a number of so many bits.';
create function trino.soundex(x text) returns text language plpgsql immutable strict parallel safe
as $$
declare
    codes constant text := translate(upper(x), 'BFPVCGJKQSXZDTLMNRAEIOUYHW', '11112222222233455600000077');
    result text := upper(left(x, 1));
    previous text := left(codes, 1);
    code text;
begin
    if x !~ '^[A-Za-z]*$' then
        raise exception 'The character is not mapped: %', substring(x from '[^A-Za-z]') using errcode = '22023';
    end if;
    for n in 2..length(x) loop
        code := substr(codes, n, 1);
        -- H and W do not part two letters of one code; vowels do.
        continue when code = '7';
        if code <> '0' and code <> previous then
            result := result || code;
        end if;
        previous := code;
    end loop;
    return case when x = '' then '' else rpad(left(result, 4), 4, '0') end;
end
$$;
comment on function trino.soundex(text) is 'How a name sounds in English: a letter and three digits.';
create function trino.crc32(x bytea) returns bigint language plpgsql immutable strict parallel safe
as $$
declare
    crc bigint := 4294967295;
begin
    for n in 0..length(x) - 1 loop
        crc := crc # get_byte(x, n);
        for bit in 1..8 loop
            crc := case when crc & 1 = 1 then (crc >> 1) # 3988292384 else crc >> 1 end;
        end loop;
    end loop;
    return crc # 4294967295;
end
$$;
comment on function trino.crc32(bytea) is 'CRC-32 of bytes.';

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
