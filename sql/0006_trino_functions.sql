-- SPDX-License-Identifier: Apache-2.0
--
-- Functions of Trino and Presto, with their semantics: what BI tools and people write for those.
--
-- Two schemas. In trino is what PostgreSQL has no function of that name for; it stands last on the search path of
-- everybody, so that nothing that worked before means something else now. In trino_dialect is what differs from a
-- function of PostgreSQL of the same name (round, sum, date_trunc, ...), and what those need; it is on no search path:
-- only statements of Trino clients, as the query server translates them, name it.
--
-- Bodies are bound when they are created (RETURN), or name the schema of what they use beyond pg_catalog (functions of
-- any type cannot be bound). What is a single expression is left non-STRICT and without SET, so that the planner inlines
-- it. What catches errors is PARALLEL UNSAFE: a parallel query may start no subtransaction.

create schema trino;
create schema trino_dialect;

comment on schema trino is
    'Functions of Trino and Presto that PostgreSQL has none of that name for; on the search path.';
comment on schema trino_dialect is
    'Functions of Trino and Presto that differ from PostgreSQL''s of the same name, for translated statements of Trino clients; and their parts.';

do $$
begin
    execute format(
        'alter database %I set search_path = market, tapedeck_sql, public, trino', current_database());
end
$$;

grant usage on schema trino, trino_dialect to tapedeck_reader;
alter default privileges in schema trino grant execute on functions to tapedeck_reader;
alter default privileges in schema trino_dialect grant execute on functions to tapedeck_reader;

-- Errors ------------------------------------------------------------------------------------------------

create function trino_dialect.fail(message text, state text, result anyelement) returns anyelement
language plpgsql immutable parallel safe
as $$
begin
    raise exception '%', message using errcode = state;
end
$$;

comment on function trino_dialect.fail(text, text, anyelement) is
    'Part of others: raises an error of the SQLSTATE. result gives it a type, and must depend on an argument of the caller: a call of constants alone is made when the caller is planned.';

-- Parts of a time ---------------------------------------------------------------------------------------
--
-- PostgreSQL's extract gives a numeric with the fraction; Trino's functions a bigint without.

do $$
declare
    part record;
    source text;
begin
    for part in
        select * from (values
            ('year', 'year', 'Year'), ('quarter', 'quarter', 'Quarter of the year, 1 to 4'),
            ('month', 'month', 'Month, 1 to 12'), ('week', 'week', 'ISO week of the year, 1 to 53'),
            ('week_of_year', 'week', 'ISO week of the year, 1 to 53'), ('day', 'day', 'Day of the month'),
            ('day_of_month', 'day', 'Day of the month'),
            ('day_of_week', 'isodow', 'Day of the week, 1 is Monday, 7 is Sunday'),
            ('dow', 'isodow', 'Day of the week, 1 is Monday, 7 is Sunday'), ('day_of_year', 'doy', 'Day of the year'),
            ('doy', 'doy', 'Day of the year'), ('year_of_week', 'isoyear', 'Year that the ISO week belongs to'),
            ('yow', 'isoyear', 'Year that the ISO week belongs to'), ('hour', 'hour', 'Hour, 0 to 23'),
            ('minute', 'minute', 'Minute of the hour'), ('second', 'second', 'Second of the minute, without its fraction')
        ) as parts (name, field, meaning)
    loop
        foreach source in array array['timestamp', 'timestamptz', 'date', 'time', 'interval'] loop
            continue when source = 'date' and part.name in ('hour', 'minute', 'second');
            continue when source = 'time' and part.name not in ('hour', 'minute', 'second');
            continue when source = 'interval' and part.name not in ('year', 'month', 'day', 'hour', 'minute', 'second');
            execute format(
                'create function trino.%I(x %s) returns bigint language sql %s parallel safe '
                'return pg_catalog.floor(extract(%s from x))::bigint',
                part.name, source, case when source = 'timestamptz' then 'stable' else 'immutable' end, part.field);
            execute format(
                'comment on function trino.%I(%s) is %L', part.name, source,
                format('%s of a %s.', part.meaning, case source when 'timestamptz'
                    then 'timestamp with time zone, in the zone of the session' else source end));
        end loop;
    end loop;
end
$$;

create function trino.millisecond(x timestamp) returns bigint language sql immutable parallel safe
return floor(extract(milliseconds from x))::bigint % 1000;
comment on function trino.millisecond(timestamp) is 'Millisecond of the second, 0 to 999.';

create function trino.millisecond(x timestamptz) returns bigint language sql stable parallel safe
return floor(extract(milliseconds from x))::bigint % 1000;
comment on function trino.millisecond(timestamptz) is 'Millisecond of the second, 0 to 999.';

create function trino.timezone_hour(x timestamptz) returns bigint language sql stable parallel safe
return extract(timezone_hour from x)::bigint;
comment on function trino.timezone_hour(timestamptz) is 'Hours of the offset from UTC, in the zone of the session.';

create function trino.timezone_minute(x timestamptz) returns bigint language sql stable parallel safe
return extract(timezone_minute from x)::bigint;
comment on function trino.timezone_minute(timestamptz) is 'Minutes of the offset from UTC, in the zone of the session.';

create function trino.current_timezone() returns text language sql stable parallel safe
return current_setting('TimeZone');
comment on function trino.current_timezone() is 'Time zone of the session.';

create function trino.last_day_of_month(x date) returns date language sql immutable parallel safe
return (date_trunc('month', x::timestamp) + interval '1 month' - interval '1 day')::date;
comment on function trino.last_day_of_month(date) is 'Last day of the month that holds x.';

create function trino.last_day_of_month(x timestamp) returns date language sql immutable parallel safe
return trino.last_day_of_month(x::date);
comment on function trino.last_day_of_month(timestamp) is 'Last day of the month that holds x.';

create function trino.last_day_of_month(x timestamptz) returns date language sql stable parallel safe
return trino.last_day_of_month(x::date);
comment on function trino.last_day_of_month(timestamptz) is 'Last day of the month that holds x, in the zone of the session.';

create function trino_dialect.date(x text) returns date language sql stable parallel safe return x::date;
comment on function trino_dialect.date(text) is 'Cast to date.';
create function trino_dialect.date(x timestamp) returns date language sql immutable parallel safe return x::date;
comment on function trino_dialect.date(timestamp) is 'Cast to date.';
create function trino_dialect.date(x timestamptz) returns date language sql stable parallel safe return x::date;
comment on function trino_dialect.date(timestamptz) is 'Cast to date, in the zone of the session.';

-- Arithmetic of times -----------------------------------------------------------------------------------

create function trino_dialect.unit(unit text) returns interval language sql immutable parallel safe
return case lower(unit)
    when 'millisecond' then interval '1 millisecond'
    when 'second' then interval '1 second'
    when 'minute' then interval '1 minute'
    when 'hour' then interval '1 hour'
    when 'day' then interval '1 day'
    when 'week' then interval '7 days'
    when 'month' then interval '1 month'
    when 'quarter' then interval '3 months'
    when 'year' then interval '1 year'
    when 'microsecond' then interval '1 microsecond'
    else trino_dialect.fail(format('''%s'' is not a valid TIMESTAMP field', unit), '22023', null::interval)
end;
comment on function trino_dialect.unit(text) is 'Part of date_add and date_diff: the length of a unit.';

create function trino.date_add(unit text, value bigint, ts timestamp) returns timestamp
language sql immutable parallel safe
return ts + value * trino_dialect.unit(unit);
comment on function trino.date_add(text, bigint, timestamp) is
    'Adds value units (millisecond, second, minute, hour, day, week, month, quarter, year) to ts; a day that a month lacks becomes its last.';

create function trino.date_add(unit text, value bigint, ts timestamptz) returns timestamptz
language sql stable parallel safe
return ts + value * trino_dialect.unit(unit);
comment on function trino.date_add(text, bigint, timestamptz) is
    'Adds value units to ts; days and longer in the zone of the session.';

create function trino.date_add(unit text, value bigint, ts date) returns date
language sql immutable parallel safe
return case when lower(unit) in ('day', 'week', 'month', 'quarter', 'year')
    then (ts + value * trino_dialect.unit(unit))::date
    else trino_dialect.fail(format('''%s'' is not a valid DATE field', unit), '22023', null::date) end;
comment on function trino.date_add(text, bigint, date) is
    'Adds value units (day, week, month, quarter, year) to a date.';

create function trino_dialect.months_between(a timestamp, b timestamp) returns bigint
language plpgsql immutable strict parallel safe
as $$
declare
    months bigint := (extract(year from b) - extract(year from a)) * 12 + extract(month from b) - extract(month from a);
begin
    -- The last of these months is not complete while its day and time have not come.
    if a <= b and a + make_interval(months => months::integer) > b then
        return months - 1;
    elsif a > b and a + make_interval(months => months::integer) < b then
        return months + 1;
    end if;
    return months;
end
$$;
comment on function trino_dialect.months_between(timestamp, timestamp) is
    'Part of date_diff: complete months from a to b, negative when b is before a.';

create function trino.date_diff(unit text, a timestamp, b timestamp) returns bigint
language sql immutable parallel safe
return case
    when lower(unit) in ('month', 'quarter', 'year') then trino_dialect.months_between(a, b)
        / case lower(unit) when 'month' then 1 when 'quarter' then 3 else 12 end
    else trunc(extract(epoch from b - a) / extract(epoch from trino_dialect.unit(unit)))::bigint
end;
comment on function trino.date_diff(text, timestamp, timestamp) is
    'Complete units from a to b: date_diff(''hour'', a, b) is b - a in hours, cut to a whole number.';

create function trino.date_diff(unit text, a timestamptz, b timestamptz) returns bigint
language sql stable parallel safe
return case
    when lower(unit) in ('day', 'week', 'month', 'quarter', 'year')
        then trino.date_diff(unit, a::timestamp, b::timestamp)
    else trunc(extract(epoch from b - a) / extract(epoch from trino_dialect.unit(unit)))::bigint
end;
comment on function trino.date_diff(text, timestamptz, timestamptz) is
    'Complete units from a to b; days and longer in the zone of the session.';

create function trino.date_diff(unit text, a date, b date) returns bigint
language sql immutable parallel safe
return case when lower(unit) in ('day', 'week', 'month', 'quarter', 'year')
    then trino.date_diff(unit, a::timestamp, b::timestamp)
    else trino_dialect.fail(format('''%s'' is not a valid DATE field', unit), '22023', null::bigint) end;
comment on function trino.date_diff(text, date, date) is
    'Complete units (day, week, month, quarter, year) from a to b.';

create function trino_dialect.date_trunc(unit text, x timestamp) returns timestamp
language sql immutable parallel safe return pg_catalog.date_trunc(unit, x);
comment on function trino_dialect.date_trunc(text, timestamp) is 'x cut to a whole unit; weeks begin on Monday.';

create function trino_dialect.date_trunc(unit text, x timestamptz) returns timestamptz
language sql stable parallel safe return pg_catalog.date_trunc(unit, x);
comment on function trino_dialect.date_trunc(text, timestamptz) is
    'x cut to a whole unit, in the zone of the session; weeks begin on Monday.';

create function trino_dialect.date_trunc(unit text, x date) returns date
language sql immutable parallel safe return pg_catalog.date_trunc(unit, x::timestamp)::date;
comment on function trino_dialect.date_trunc(text, date) is 'A date cut to a whole unit, a date again.';

create function trino.to_milliseconds(x interval) returns bigint language sql immutable parallel safe
return (extract(epoch from x) * 1000)::bigint;
comment on function trino.to_milliseconds(interval) is 'An interval in milliseconds.';

-- Times as numbers --------------------------------------------------------------------------------------

create function trino.from_unixtime(seconds double precision) returns timestamptz
language sql immutable parallel safe return to_timestamp(seconds);
comment on function trino.from_unixtime(double precision) is 'The time that lies seconds after 1970-01-01 00:00 UTC.';

create function trino.from_unixtime(seconds double precision, zone text) returns timestamptz
language sql immutable parallel safe return to_timestamp(seconds);
comment on function trino.from_unixtime(double precision, text) is
    'The time that lies seconds after 1970-01-01 00:00 UTC. A time keeps no zone here: it is shown in that of the session.';

create function trino.from_unixtime_nanos(nanoseconds numeric) returns timestamptz
language sql immutable parallel safe
return timestamptz '1970-01-01 00:00:00+00' + floor(nanoseconds / 1000)::bigint * interval '1 microsecond';
comment on function trino.from_unixtime_nanos(numeric) is
    'The time that lies nanoseconds after 1970-01-01 00:00 UTC, to the microsecond.';

create function trino.to_unixtime(x timestamp) returns double precision
language sql immutable parallel safe return extract(epoch from x)::double precision;
comment on function trino.to_unixtime(timestamp) is 'Seconds from 1970-01-01 00:00 to x, with their fraction.';

create function trino.to_unixtime(x timestamptz) returns double precision
language sql immutable parallel safe return extract(epoch from x)::double precision;
comment on function trino.to_unixtime(timestamptz) is 'Seconds from 1970-01-01 00:00 UTC to x, with their fraction.';

-- Times as texts ----------------------------------------------------------------------------------------

create function trino.from_iso8601_timestamp(text text) returns timestamptz
language sql stable parallel safe
return case when text ~ '^[+-]?\d{4,}(-\d\d(-\d\d)?)?(T\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?(Z|[+-]\d\d(:?\d\d)?)?$'
    then (case
        when text ~ '^\d{4}(T.*)?$' then regexp_replace(text, '^(\d{4})', '\1-01-01')
        when text ~ '^\d{4}-\d\d(T.*)?$' then regexp_replace(text, '^(\d{4}-\d\d)', '\1-01')
        when text ~ 'T\d\d(Z|[+-].*)?$' then regexp_replace(text, 'T(\d\d)', 'T\1:00')
        else text end)::timestamptz
    else trino_dialect.fail(format('Invalid format: "%s"', text), '22007', null::timestamptz) end;
comment on function trino.from_iso8601_timestamp(text) is
    'Reads an ISO 8601 time such as 2020-05-11T11:15:05Z; without an offset it is in the zone of the session.';

create function trino.from_iso8601_timestamp_nanos(text text) returns timestamptz
language sql stable parallel safe return trino.from_iso8601_timestamp(text);
comment on function trino.from_iso8601_timestamp_nanos(text) is 'Reads an ISO 8601 time, to the microsecond.';

create function trino.from_iso8601_date(text text) returns date
language sql stable parallel safe
return case
    when text ~ '^\d{4}-\d\d-\d\d$' then text::date
    when text ~ '^\d{4}-W\d\d$' then to_date(text || '-1', 'IYYY-"W"IW-ID')
    when text ~ '^\d{4}-W\d\d-\d$' then to_date(text, 'IYYY-"W"IW-ID')
    when text ~ '^\d{4}-\d{3}$' then to_date(text, 'YYYY-DDD')
    when text ~ '^\d{4}-\d\d$' then to_date(text, 'YYYY-MM')
    when text ~ '^\d{4}$' then to_date(text, 'YYYY')
    else trino_dialect.fail(format('Invalid format: "%s"', text), '22007', null::date) end;
comment on function trino.from_iso8601_date(text) is
    'Reads an ISO 8601 date: 2020-05-11, the week date 2020-W20-1, the ordinal date 2020-132.';

create function trino.to_iso8601(x timestamp) returns text language sql stable parallel safe
return to_char(x, 'YYYY-MM-DD"T"HH24:MI:SS.MS');
comment on function trino.to_iso8601(timestamp) is 'The time in ISO 8601, with milliseconds.';
create function trino.to_iso8601(x timestamptz) returns text language sql stable parallel safe
return to_char(x, 'YYYY-MM-DD"T"HH24:MI:SS.MS')
    || case when to_char(x, 'TZH:TZM') = '+00:00' then 'Z' else to_char(x, 'TZH:TZM') end;
comment on function trino.to_iso8601(timestamptz) is 'The time in ISO 8601, with milliseconds and its offset.';
create function trino.to_iso8601(x date) returns text language sql stable parallel safe
return to_char(x, 'YYYY-MM-DD');
comment on function trino.to_iso8601(date) is 'The date in ISO 8601.';

create function trino_dialect.mysql_pattern(format text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    result text := '';
    letter text;
    piece text;
    at integer := 1;
begin
    while at <= length(format) loop
        letter := substr(format, at, 1);
        at := at + 1;
        if letter <> '%' then
            -- Digits and signs stand for themselves outside quotes, too, but letters would be patterns.
            result := result || case
                when letter in ('"', '\') then '"\' || letter || '"'
                when letter ~ '[[:alpha:]]' then '"' || letter || '"'
                else letter end;
            continue;
        end if;
        letter := substr(format, at, 1);
        at := at + 1;
        piece := case letter
            when 'a' then 'Dy' when 'b' then 'Mon' when 'c' then 'FMMM' when 'd' then 'DD' when 'e' then 'FMDD'
            when 'f' then 'US' when 'H' then 'HH24' when 'h' then 'HH12' when 'I' then 'HH12' when 'i' then 'MI'
            when 'j' then 'DDD' when 'k' then 'FMHH24' when 'l' then 'FMHH12' when 'M' then 'FMMonth'
            when 'm' then 'MM' when 'p' then 'AM' when 'r' then 'HH12:MI:SS AM' when 'S' then 'SS' when 's' then 'SS'
            when 'T' then 'HH24:MI:SS' when 'v' then 'IW' when 'W' then 'FMDay' when 'x' then 'IYYY'
            when 'Y' then 'YYYY' when 'y' then 'YY' when '%' then '%'
        end;
        if piece is null then
            raise exception 'Date format specifier %%% is not supported', letter using errcode = '22023';
        end if;
        result := result || piece;
    end loop;
    return result;
end
$$;
comment on function trino_dialect.mysql_pattern(text) is
    'Part of date_format and date_parse: a format of MySQL (%Y-%m-%d) as a pattern of to_char.';

create function trino_dialect.joda_pattern(format text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    result text := '';
    run text;
    piece text;
    rest text := format;
begin
    while rest <> '' loop
        if left(rest, 1) = '''' then
            run := coalesce(substring(rest from '^''(?:[^'']|'''')*'''), rest);
            rest := substr(rest, length(run) + 1);
            -- '' is a quote, inside a quoted text and outside.
            piece := case when run = '''''' then '''' else replace(substr(run, 2, length(run) - 2), '''''', '''') end;
            result := result || '"' || replace(replace(piece, '\', '\\'), '"', '\"') || '"';
            continue;
        end if;
        run := substring(rest from '^(([[:alpha:]])\2*)');
        if run is null then
            result := result || case when left(rest, 1) in ('"', '\') then '"\' || left(rest, 1) || '"' else left(rest, 1) end;
            rest := substr(rest, 2);
            continue;
        end if;
        rest := substr(rest, length(run) + 1);
        piece := case left(run, 1)
            when 'y' then case length(run) when 2 then 'YY' when 1 then 'FMYYYY' else 'YYYY' end
            when 'Y' then case length(run) when 2 then 'YY' when 1 then 'FMYYYY' else 'YYYY' end
            when 'u' then 'YYYY'
            when 'x' then case length(run) when 2 then 'IY' else 'IYYY' end
            when 'M' then case length(run) when 1 then 'FMMM' when 2 then 'MM' when 3 then 'Mon' else 'FMMonth' end
            when 'd' then case length(run) when 1 then 'FMDD' else 'DD' end
            when 'D' then case length(run) when 1 then 'FMDDD' else 'DDD' end
            when 'E' then case when length(run) < 4 then 'Dy' else 'FMDay' end
            when 'e' then 'ID'
            when 'w' then case length(run) when 1 then 'FMIW' else 'IW' end
            when 'H' then case length(run) when 1 then 'FMHH24' else 'HH24' end
            when 'h' then case length(run) when 1 then 'FMHH12' else 'HH12' end
            when 'm' then case length(run) when 1 then 'FMMI' else 'MI' end
            when 's' then case length(run) when 1 then 'FMSS' else 'SS' end
            when 'S' then 'FF' || least(length(run), 6)
            when 'a' then 'AM'
            when 'Z' then case length(run) when 1 then 'TZHTZM' else 'TZH:TZM' end
            when 'z' then 'TZ'
        end;
        if piece is null then
            raise exception 'Invalid format: "%": pattern letter % is not supported', format, left(run, 1)
                using errcode = '22023';
        end if;
        result := result || piece;
    end loop;
    return result;
end
$$;
comment on function trino_dialect.joda_pattern(text) is
    'Part of format_datetime and parse_datetime: a pattern of Joda-Time (yyyy-MM-dd) as one of to_char.';

create function trino.date_format(ts timestamp, format text) returns text language sql stable parallel safe
return to_char(ts, trino_dialect.mysql_pattern(format));
comment on function trino.date_format(timestamp, text) is
    'The time as a text, by a format of MySQL: date_format(ts, ''%Y-%m-%d %H:%i'').';
create function trino.date_format(ts timestamptz, format text) returns text language sql stable parallel safe
return to_char(ts, trino_dialect.mysql_pattern(format));
comment on function trino.date_format(timestamptz, text) is
    'The time as a text, by a format of MySQL, in the zone of the session.';

create function trino.date_parse(text text, format text) returns timestamp language sql stable parallel safe
return to_timestamp(text, trino_dialect.mysql_pattern(format))::timestamp;
comment on function trino.date_parse(text, text) is
    'Reads a time by a format of MySQL: date_parse(''2022/10/20/05'', ''%Y/%m/%d/%H'').';

create function trino.format_datetime(ts timestamp, format text) returns text language sql stable parallel safe
return to_char(ts, trino_dialect.joda_pattern(format));
comment on function trino.format_datetime(timestamp, text) is
    'The time as a text, by a pattern of Joda-Time: format_datetime(ts, ''yyyy-MM-dd HH:mm'').';
create function trino.format_datetime(ts timestamptz, format text) returns text language sql stable parallel safe
return to_char(ts, trino_dialect.joda_pattern(format));
comment on function trino.format_datetime(timestamptz, text) is
    'The time as a text, by a pattern of Joda-Time, in the zone of the session.';

create function trino.parse_datetime(text text, format text) returns timestamptz language sql stable parallel safe
return to_timestamp(text, trino_dialect.joda_pattern(format));
comment on function trino.parse_datetime(text, text) is 'Reads a time by a pattern of Joda-Time.';

create function trino.at_timezone(ts timestamptz, zone text) returns timestamptz
language sql immutable parallel safe return ts;
comment on function trino.at_timezone(timestamptz, text) is
    'The same moment. A time keeps no zone here: it is shown in that of the session.';
create function trino.with_timezone(ts timestamp, zone text) returns timestamptz
language sql immutable parallel safe return ts at time zone zone;
comment on function trino.with_timezone(timestamp, text) is 'The moment at which clocks in zone show ts.';

create function trino.parse_duration(text text) returns interval
language plpgsql immutable strict parallel safe
as $$
declare
    parts constant text[] := regexp_match(text, '^\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)\s*$');
begin
    if parts is null then
        raise exception 'duration is not a valid data duration string: %', text using errcode = '22023';
    end if;
    return case parts[2]
        when 'ns' then parts[1]::double precision / 1000 * interval '1 microsecond'
        when 'us' then parts[1]::double precision * interval '1 microsecond'
        when 'ms' then parts[1]::double precision * interval '1 millisecond'
        when 's' then parts[1]::double precision * interval '1 second'
        when 'm' then parts[1]::double precision * interval '1 minute'
        when 'h' then parts[1]::double precision * interval '1 hour'
        else parts[1]::double precision * interval '24 hours' end;
end
$$;
comment on function trino.parse_duration(text) is 'Reads a duration such as 42.8ms, 3.81d or 5m.';

create function trino.human_readable_seconds(seconds double precision) returns text
language sql immutable parallel safe
return (
    select coalesce(string_agg(format('%s %s%s', n, unit, case when n = 1 then '' else 's' end), ', ' order by place), '0 seconds')
    from (values
        (1, 'week', floor(round(abs(seconds)) / 604800)::bigint),
        (2, 'day', floor(round(abs(seconds)) / 86400)::bigint % 7),
        (3, 'hour', floor(round(abs(seconds)) / 3600)::bigint % 24),
        (4, 'minute', floor(round(abs(seconds)) / 60)::bigint % 60),
        (5, 'second', round(abs(seconds))::bigint % 60)) as parts (place, unit, n)
    where n > 0);
comment on function trino.human_readable_seconds(double precision) is
    'Seconds as a text: human_readable_seconds(3762) is 1 hour, 2 minutes, 42 seconds.';

-- Numbers -----------------------------------------------------------------------------------------------

create function trino_dialect.round(x double precision) returns double precision language sql immutable parallel safe
return sign(x) * floor(abs(x) + 0.5);
comment on function trino_dialect.round(double precision) is 'The nearest whole number, halves away from zero.';
create function trino_dialect.round(x double precision, digits bigint) returns double precision
language sql immutable parallel safe
return case when abs(x) < 1e15 then sign(x) * floor(abs(x) * power(10::double precision, digits) + 0.5)
    / power(10::double precision, digits) else x end;
comment on function trino_dialect.round(double precision, bigint) is 'Rounded to so many decimal digits, halves away from zero.';
create function trino_dialect.round(x real) returns real language sql immutable parallel safe
return (sign(x) * floor(abs(x) + 0.5))::real;
comment on function trino_dialect.round(real) is 'The nearest whole number, halves away from zero.';
create function trino_dialect.round(x numeric) returns numeric language sql immutable parallel safe
return pg_catalog.round(x);
comment on function trino_dialect.round(numeric) is 'The nearest whole number, halves away from zero.';
create function trino_dialect.round(x numeric, digits bigint) returns numeric language sql immutable parallel safe
return pg_catalog.round(x, digits::integer);
comment on function trino_dialect.round(numeric, bigint) is 'Rounded to so many decimal digits, halves away from zero.';
create function trino_dialect.round(x bigint) returns bigint language sql immutable parallel safe return x;
comment on function trino_dialect.round(bigint) is 'x itself.';
create function trino_dialect.round(x integer) returns integer language sql immutable parallel safe return x;
comment on function trino_dialect.round(integer) is 'x itself.';
create function trino_dialect.round(x bigint, digits bigint) returns bigint language sql immutable parallel safe
return pg_catalog.round(x::numeric, digits::integer)::bigint;
comment on function trino_dialect.round(bigint, bigint) is 'Rounded to so many decimal digits.';
create function trino_dialect.round(x integer, digits integer) returns integer language sql immutable parallel safe
return pg_catalog.round(x::numeric, digits)::integer;
comment on function trino_dialect.round(integer, integer) is 'Rounded to so many decimal digits.';

do $$
declare
    name text;
begin
    foreach name in array array['ceil', 'ceiling', 'floor'] loop
        execute format('create function trino_dialect.%I(x double precision) returns double precision language sql immutable parallel safe return pg_catalog.%I(x)', name, name);
        execute format('create function trino_dialect.%I(x numeric) returns numeric language sql immutable parallel safe return pg_catalog.%I(x)', name, name);
        execute format('create function trino_dialect.%I(x bigint) returns bigint language sql immutable parallel safe return x', name);
        execute format('create function trino_dialect.%I(x integer) returns integer language sql immutable parallel safe return x', name);
        execute format('comment on function trino_dialect.%I(double precision) is %L', name, 'The next whole number, of the same type.');
        execute format('comment on function trino_dialect.%I(numeric) is %L', name, 'The next whole number.');
        execute format('comment on function trino_dialect.%I(bigint) is %L', name, 'x itself.');
        execute format('comment on function trino_dialect.%I(integer) is %L', name, 'x itself.');
    end loop;
end
$$;

create function trino.truncate(x double precision) returns double precision language sql immutable parallel safe
return trunc(x);
comment on function trino.truncate(double precision) is 'x without its fraction.';
create function trino.truncate(x numeric) returns numeric language sql immutable parallel safe return trunc(x);
comment on function trino.truncate(numeric) is 'x without its fraction.';
create function trino.truncate(x numeric, digits integer) returns numeric language sql immutable parallel safe
return trunc(x, digits);
comment on function trino.truncate(numeric, integer) is 'x cut to so many decimal digits.';

create function trino_dialect.float_mod(x double precision, y double precision) returns double precision
language sql immutable parallel safe
return x - trunc(x / y) * y;
comment on function trino_dialect.float_mod(double precision, double precision) is
    'Part of mod and %: what is left of x after whole multiples of y, with the sign of x.';
create operator trino.% (
    leftarg = double precision, rightarg = double precision, function = trino_dialect.float_mod);
comment on operator trino.% (double precision, double precision) is 'Remainder of a division of doubles.';
create function trino_dialect.mod(x double precision, y double precision) returns double precision
language sql immutable parallel safe return trino_dialect.float_mod(x, y);
comment on function trino_dialect.mod(double precision, double precision) is 'Remainder of a division.';
create function trino_dialect.mod(x numeric, y numeric) returns numeric
language sql immutable parallel safe return pg_catalog.mod(x, y);
comment on function trino_dialect.mod(numeric, numeric) is 'Remainder of a division.';
create function trino_dialect.mod(x bigint, y bigint) returns bigint
language sql immutable parallel safe return pg_catalog.mod(x, y);
comment on function trino_dialect.mod(bigint, bigint) is 'Remainder of a division.';
create function trino_dialect.mod(x integer, y integer) returns integer
language sql immutable parallel safe return pg_catalog.mod(x, y);
comment on function trino_dialect.mod(integer, integer) is 'Remainder of a division.';

create function trino_dialect.log(base double precision, x double precision) returns double precision
language sql immutable parallel safe return ln(x) / ln(base);
comment on function trino_dialect.log(double precision, double precision) is 'Logarithm of x to a base.';
create function trino.log2(x double precision) returns double precision
language sql immutable parallel safe return ln(x) / ln(2::double precision);
comment on function trino.log2(double precision) is 'Logarithm to base 2.';
create function trino.e() returns double precision language sql immutable parallel safe return exp(1::double precision);
comment on function trino.e() is 'The base of natural logarithms.';
create function trino.infinity() returns double precision language sql immutable parallel safe
return 'Infinity'::double precision;
comment on function trino.infinity() is 'Positive infinity, a double.';
create function trino.nan() returns double precision language sql immutable parallel safe
return 'NaN'::double precision;
comment on function trino.nan() is 'Not a number, a double.';
create function trino.is_nan(x double precision) returns boolean language sql immutable parallel safe
return x = 'NaN'::double precision;
comment on function trino.is_nan(double precision) is 'Whether x is not a number.';
create function trino.is_infinite(x double precision) returns boolean language sql immutable parallel safe
return abs(x) = 'Infinity'::double precision;
comment on function trino.is_infinite(double precision) is 'Whether x is infinite.';
create function trino.is_finite(x double precision) returns boolean language sql immutable parallel safe
return x > '-Infinity'::double precision and x < 'Infinity'::double precision;
comment on function trino.is_finite(double precision) is 'Whether x is a number, and not infinite.';
create function trino.rand() returns double precision language sql volatile parallel restricted return random();
comment on function trino.rand() is 'A random number, 0 <= x < 1.';
create function trino.rand(n bigint) returns bigint language sql volatile parallel restricted
return floor(random() * n)::bigint;
comment on function trino.rand(bigint) is 'A random whole number, 0 <= x < n.';
create function trino_dialect.random() returns double precision language sql volatile parallel restricted
return pg_catalog.random();
comment on function trino_dialect.random() is 'A random number, 0 <= x < 1.';
create function trino_dialect.random(n bigint) returns bigint language sql volatile parallel restricted
return floor(pg_catalog.random() * n)::bigint;
comment on function trino_dialect.random(bigint) is 'A random whole number, 0 <= x < n.';
create function trino_dialect.random(m bigint, n bigint) returns bigint language sql volatile parallel restricted
return m + floor(pg_catalog.random() * (n - m))::bigint;
comment on function trino_dialect.random(bigint, bigint) is 'A random whole number, m <= x < n.';
create function trino.bitwise_and(x bigint, y bigint) returns bigint language sql immutable parallel safe return x & y;
comment on function trino.bitwise_and(bigint, bigint) is 'Bits that both have.';
create function trino.bitwise_or(x bigint, y bigint) returns bigint language sql immutable parallel safe return x | y;
comment on function trino.bitwise_or(bigint, bigint) is 'Bits that either has.';
create function trino.bitwise_xor(x bigint, y bigint) returns bigint language sql immutable parallel safe return x # y;
comment on function trino.bitwise_xor(bigint, bigint) is 'Bits that one has.';
create function trino.bitwise_not(x bigint) returns bigint language sql immutable parallel safe return ~x;
comment on function trino.bitwise_not(bigint) is 'All bits turned.';
create function trino.bitwise_left_shift(x bigint, n bigint) returns bigint language sql immutable parallel safe
return case when n >= 64 then 0 else x << n::integer end;
comment on function trino.bitwise_left_shift(bigint, bigint) is 'Bits moved left by n.';
create function trino.bitwise_right_shift(x bigint, n bigint) returns bigint language sql immutable parallel safe
return case
    when n >= 64 then 0
    when n = 0 then x
    else (x >> n::integer) & ((1::bigint << (64 - n::integer)) - 1) end;
comment on function trino.bitwise_right_shift(bigint, bigint) is 'Bits moved right by n, zeros from the left.';

create function trino.to_base(x bigint, radix bigint) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    digits constant text := '0123456789abcdefghijklmnopqrstuvwxyz';
    rest numeric := abs(x::numeric);
    result text := '';
begin
    if radix not between 2 and 36 then
        raise exception 'Radix must be between 2 and 36' using errcode = '22023';
    end if;
    loop
        result := substr(digits, (rest % radix)::integer + 1, 1) || result;
        rest := div(rest, radix);
        exit when rest = 0;
    end loop;
    return case when x < 0 then '-' else '' end || result;
end
$$;
comment on function trino.to_base(bigint, bigint) is 'x as a text to a base: to_base(9, 2) is 1001.';

create function trino.from_base(text text, radix bigint) returns bigint
language plpgsql immutable strict parallel safe
as $$
declare
    digits constant text := substr('0123456789abcdefghijklmnopqrstuvwxyz', 1, radix::integer);
    result numeric := 0;
    digit text;
    place integer;
begin
    if radix not between 2 and 36 then
        raise exception 'Radix must be between 2 and 36' using errcode = '22023';
    end if;
    foreach digit in array string_to_array(lower(ltrim(text, '-')), null) loop
        place := strpos(digits, digit);
        if place = 0 then
            raise exception 'Not a valid base-% number: %', radix, text using errcode = '22023';
        end if;
        result := result * radix + place - 1;
    end loop;
    if text in ('', '-') then
        raise exception 'Not a valid base-% number: %', radix, text using errcode = '22023';
    end if;
    return case when text like '-%' then -result else result end;
end
$$;
comment on function trino.from_base(text, bigint) is 'A text to a base as a number: from_base(''1001'', 2) is 9.';

create function trino.format_number(x double precision) returns text language sql immutable parallel safe
return (
    with scaled as (
        select case when abs(x) >= 1e12 then 1e12 when abs(x) >= 1e9 then 1e9 when abs(x) >= 1e6 then 1e6
            when abs(x) >= 1e3 then 1e3 else 1 end as scale)
    select trim_scale(round((x / scale)::numeric, case when abs(x / scale) < 10 then 2 when abs(x / scale) < 100 then 1 else 0 end))::text
        || case scale when 1e12 then 'T' when 1e9 then 'B' when 1e6 then 'M' when 1e3 then 'K' else '' end
    from scaled);
comment on function trino.format_number(double precision) is 'x with a unit: format_number(123456) is 123K.';

-- Casts -------------------------------------------------------------------------------------------------

create function trino_dialect.to_bigint(x double precision) returns bigint language sql immutable parallel safe
return trino_dialect.round(x)::bigint;
comment on function trino_dialect.to_bigint(double precision) is 'CAST(x AS bigint): halves away from zero.';
create function trino_dialect.to_bigint(x real) returns bigint language sql immutable parallel safe
return trino_dialect.round(x::double precision)::bigint;
comment on function trino_dialect.to_bigint(real) is 'CAST(x AS bigint): halves away from zero.';
create function trino_dialect.to_bigint(x numeric) returns bigint language sql immutable parallel safe return x::bigint;
comment on function trino_dialect.to_bigint(numeric) is 'CAST(x AS bigint).';
create function trino_dialect.to_bigint(x bigint) returns bigint language sql immutable parallel safe return x;
comment on function trino_dialect.to_bigint(bigint) is 'CAST(x AS bigint).';
create function trino_dialect.to_bigint(x boolean) returns bigint language sql immutable parallel safe
return x::integer::bigint;
comment on function trino_dialect.to_bigint(boolean) is 'CAST(x AS bigint): 1 for true.';
create function trino_dialect.to_bigint(x text) returns bigint language sql immutable parallel safe return x::bigint;
comment on function trino_dialect.to_bigint(text) is 'CAST(x AS bigint).';
create function trino_dialect.to_bigint(x jsonb) returns bigint language sql immutable parallel safe
return (x #>> '{}')::numeric::bigint;
comment on function trino_dialect.to_bigint(jsonb) is 'CAST(x AS bigint) of a JSON number.';
create function trino_dialect.to_integer(x double precision) returns integer language sql immutable parallel safe
return trino_dialect.round(x)::integer;
comment on function trino_dialect.to_integer(double precision) is 'CAST(x AS integer): halves away from zero.';
create function trino_dialect.to_integer(x real) returns integer language sql immutable parallel safe
return trino_dialect.round(x::double precision)::integer;
comment on function trino_dialect.to_integer(real) is 'CAST(x AS integer): halves away from zero.';
create function trino_dialect.to_integer(x numeric) returns integer language sql immutable parallel safe
return x::integer;
comment on function trino_dialect.to_integer(numeric) is 'CAST(x AS integer).';
create function trino_dialect.to_integer(x bigint) returns integer language sql immutable parallel safe return x::integer;
comment on function trino_dialect.to_integer(bigint) is 'CAST(x AS integer).';
create function trino_dialect.to_integer(x integer) returns integer language sql immutable parallel safe return x;
comment on function trino_dialect.to_integer(integer) is 'CAST(x AS integer).';
create function trino_dialect.to_integer(x boolean) returns integer language sql immutable parallel safe
return x::integer;
comment on function trino_dialect.to_integer(boolean) is 'CAST(x AS integer): 1 for true.';
create function trino_dialect.to_integer(x text) returns integer language sql immutable parallel safe return x::integer;
comment on function trino_dialect.to_integer(text) is 'CAST(x AS integer).';
create function trino_dialect.to_integer(x jsonb) returns integer language sql immutable parallel safe
return (x #>> '{}')::numeric::integer;
comment on function trino_dialect.to_integer(jsonb) is 'CAST(x AS integer) of a JSON number.';

create function trino_dialect.to_json(x anyelement) returns jsonb language sql stable parallel safe
as $$ select to_jsonb(x) $$;
comment on function trino_dialect.to_json(anyelement) is 'CAST(x AS json).';
create function trino_dialect.to_json(x text) returns jsonb language sql immutable parallel safe return to_jsonb(x);
comment on function trino_dialect.to_json(text) is 'CAST(x AS json): a JSON string, which is not parsed.';

create function trino_dialect.try_cast(value text, sample anyelement) returns anyelement
language plpgsql stable parallel unsafe
as $$
begin
    sample := value;
    return sample;
exception
    when data_exception or program_limit_exceeded then
        return null;
end
$$;
comment on function trino_dialect.try_cast(text, anyelement) is
    'TRY_CAST of a text to the type of sample: NULL for what it cannot read.';

do $$
declare
    source text;
begin
    foreach source in array array['double precision', 'numeric', 'bigint', 'boolean', 'timestamp', 'timestamptz', 'date', 'jsonb'] loop
        execute format(
            'create function trino_dialect.try_cast(value %s, sample anyelement) returns anyelement '
            'language plpgsql stable parallel unsafe as %L', source,
            case when source in ('double precision', 'numeric') then
                'begin if pg_typeof(sample) in (''bigint''::regtype, ''integer''::regtype, ''smallint''::regtype) then '
                'sample := trino_dialect.round(value); else sample := value; end if; return sample; '
                'exception when data_exception or cannot_coerce or program_limit_exceeded then return null; end'
            else
                'begin sample := value; return sample; '
                'exception when data_exception or cannot_coerce or program_limit_exceeded then return null; end'
            end);
        execute format(
            'comment on function trino_dialect.try_cast(%s, anyelement) is %L', source,
            'TRY_CAST to the type of sample: NULL for what does not fit.');
    end loop;
end
$$;

create function trino_dialect.try_date_parse(value text, format text) returns timestamp
language plpgsql stable parallel unsafe
as $$ begin return trino.date_parse(value, format); exception when data_exception then return null; end $$;
comment on function trino_dialect.try_date_parse(text, text) is 'TRY(date_parse(value, format)).';
create function trino_dialect.try_parse_datetime(value text, format text) returns timestamptz
language plpgsql stable parallel unsafe
as $$ begin return trino.parse_datetime(value, format); exception when data_exception then return null; end $$;
comment on function trino_dialect.try_parse_datetime(text, text) is 'TRY(parse_datetime(value, format)).';
create function trino_dialect.try_from_iso8601_date(value text) returns date
language plpgsql stable parallel unsafe
as $$ begin return trino.from_iso8601_date(value); exception when data_exception then return null; end $$;
comment on function trino_dialect.try_from_iso8601_date(text) is 'TRY(from_iso8601_date(value)).';
create function trino_dialect.try_from_iso8601_timestamp(value text) returns timestamptz
language plpgsql stable parallel unsafe
as $$ begin return trino.from_iso8601_timestamp(value); exception when data_exception then return null; end $$;
comment on function trino_dialect.try_from_iso8601_timestamp(text) is 'TRY(from_iso8601_timestamp(value)).';
create function trino_dialect.try_json_parse(value text) returns jsonb
language plpgsql stable parallel unsafe
as $$ begin return value::jsonb; exception when data_exception then return null; end $$;
comment on function trino_dialect.try_json_parse(text) is 'TRY(json_parse(value)).';

-- Texts -------------------------------------------------------------------------------------------------

create function trino_dialect.length(x text) returns bigint language sql immutable parallel safe
return pg_catalog.length(x);
comment on function trino_dialect.length(text) is 'Characters of a text.';
create function trino_dialect.length(x bytea) returns bigint language sql immutable parallel safe
return pg_catalog.length(x);
comment on function trino_dialect.length(bytea) is 'Bytes.';
create function trino_dialect.strpos(x text, part text) returns bigint language sql immutable parallel safe
return pg_catalog.strpos(x, part);
comment on function trino_dialect.strpos(text, text) is 'Where part begins in x, from 1; 0 if it does not.';
create function trino_dialect.strpos(x text, part text, instance bigint) returns bigint
language plpgsql immutable strict parallel safe
as $$
declare
    text text := case when instance < 0 then reverse(x) else x end;
    wanted constant text := case when instance < 0 then reverse(part) else part end;
    place bigint := 0;
    found bigint;
begin
    for n in 1..abs(instance) loop
        found := pg_catalog.strpos(text, wanted);
        if found = 0 then
            return 0;
        end if;
        place := place + found;
        text := pg_catalog.substr(text, found::integer + 1);
    end loop;
    return case when instance < 0 then pg_catalog.length(x) - place - pg_catalog.length(part) + 2 else place end;
end
$$;
comment on function trino_dialect.strpos(text, text, bigint) is
    'Where the instance-th part begins in x, from 1, from the end if instance is negative; 0 if there is none.';

do $$
declare
    name text;
begin
    foreach name in array array['substr', 'substring'] loop
        execute format(
            'create function trino_dialect.%I(x text, start bigint) returns text language sql immutable parallel safe '
            'return case when start > 0 then pg_catalog.substr(x, least(start, 2147483647)::integer) '
            'when start < 0 and -start <= pg_catalog.length(x) then pg_catalog.right(x, -start::integer) else ''%s'' end',
            name, '');
        execute format(
            'create function trino_dialect.%I(x text, start bigint, length bigint) returns text language sql immutable parallel safe '
            'return case when length <= 0 then '''' else pg_catalog.left(trino_dialect.%I(x, start), least(length, 2147483647)::integer) end', name, name);
        execute format('comment on function trino_dialect.%I(text, bigint) is %L', name,
            'The text from a place on, from 1; from the end if negative.');
        execute format('comment on function trino_dialect.%I(text, bigint, bigint) is %L', name,
            'So many characters of the text from a place on, from 1; from the end if negative.');
    end loop;
end
$$;

create function trino_dialect.split_part(x text, delimiter text, n bigint) returns text
language sql immutable parallel safe
return case
    when n < 1 then trino_dialect.fail('Index must be greater than zero', '22023', x)
    when x = '' and n = 1 then ''
    else (string_to_array(x, delimiter))[n::integer] end;
comment on function trino_dialect.split_part(text, text, bigint) is 'The n-th field, from 1; NULL if there are fewer.';
create function trino.split(x text, delimiter text) returns text[] language sql immutable parallel safe
return case when x = '' then array[''] else string_to_array(x, delimiter) end;
comment on function trino.split(text, text) is 'The fields between delimiters.';
create function trino.split(x text, delimiter text, "limit" bigint) returns text[] language sql immutable parallel safe
return case when cardinality(trino.split(x, delimiter)) <= "limit" then trino.split(x, delimiter)
    else (trino.split(x, delimiter))[1:("limit" - 1)::integer]
        || array_to_string((trino.split(x, delimiter))["limit"::integer:], delimiter) end;
comment on function trino.split(text, text, bigint) is 'At most limit fields; the last has all that is left.';
create function trino.split_to_map(x text, entries text, pairs text) returns jsonb language sql immutable parallel safe
return (select coalesce(jsonb_object_agg(pg_catalog.split_part(entry, pairs, 1),
        pg_catalog.substr(entry, pg_catalog.strpos(entry, pairs) + pg_catalog.length(pairs))), '{}')
    from unnest(string_to_array(x, entries)) as entry);
comment on function trino.split_to_map(text, text, text) is 'A map of what stands between two delimiters: split_to_map(''a=1;b=2'', '';'', ''='').';
create function trino_dialect.replace(x text, part text) returns text language sql immutable parallel safe
return pg_catalog.replace(x, part, '');
comment on function trino_dialect.replace(text, text) is 'The text without a part.';
create function trino_dialect.replace(x text, part text, "with" text) returns text language sql immutable parallel safe
return pg_catalog.replace(x, part, "with");
comment on function trino_dialect.replace(text, text, text) is 'The text with a part replaced, wherever it stands.';
create function trino_dialect.reverse(x text) returns text language sql immutable parallel safe
return pg_catalog.reverse(x);
comment on function trino_dialect.reverse(text) is 'The characters from the last to the first.';
create function trino.codepoint(x text) returns integer language sql immutable parallel safe return ascii(x);
comment on function trino.codepoint(text) is 'Unicode number of a character.';
create function trino.to_utf8(x text) returns bytea language sql immutable parallel safe return convert_to(x, 'UTF8');
comment on function trino.to_utf8(text) is 'The bytes of a text in UTF-8.';
create function trino.from_utf8(x bytea) returns text language sql immutable parallel safe return convert_from(x, 'UTF8');
comment on function trino.from_utf8(bytea) is 'The text of bytes in UTF-8.';
create function trino_dialect.to_hex(x bytea) returns text language sql immutable parallel safe
return upper(encode(x, 'hex'));
comment on function trino_dialect.to_hex(bytea) is 'Bytes as hexadecimal digits.';
create function trino.from_hex(x text) returns bytea language sql immutable parallel safe return decode(x, 'hex');
comment on function trino.from_hex(text) is 'Bytes of hexadecimal digits.';
create function trino.to_base64(x bytea) returns text language sql immutable parallel safe
return pg_catalog.replace(encode(x, 'base64'), e'\n', '');
comment on function trino.to_base64(bytea) is 'Bytes in base 64.';
create function trino.from_base64(x text) returns bytea language sql immutable parallel safe return decode(x, 'base64');
comment on function trino.from_base64(text) is 'Bytes of a text in base 64.';
create function trino_dialect.md5(x bytea) returns bytea language sql immutable parallel safe
return decode(pg_catalog.md5(x), 'hex');
comment on function trino_dialect.md5(bytea) is 'MD5 of bytes, as bytes.';

create function trino.hamming_distance(a text, b text) returns bigint language sql immutable parallel safe
return case when pg_catalog.length(a) <> pg_catalog.length(b)
    then trino_dialect.fail('The input strings to hamming_distance function must have the same length', '22023', pg_catalog.length(a)::bigint)
    else (select count(*) from unnest(string_to_array(a, null), string_to_array(b, null)) as pairs (x, y) where x <> y) end;
comment on function trino.hamming_distance(text, text) is 'In how many places two texts of one length differ.';
create function trino.levenshtein_distance(a text, b text) returns bigint
language plpgsql immutable strict parallel safe
as $$
declare
    x constant text[] := string_to_array(a, null);
    y constant text[] := string_to_array(b, null);
    n constant integer := cardinality(y);
    previous bigint[] := array(select generate_series(0, n));
    line bigint[];
begin
    for i in 1..cardinality(x) loop
        line := array[i];
        for j in 1..n loop
            line[j + 1] := least(line[j] + 1, previous[j + 1] + 1, previous[j] + case when x[i] = y[j] then 0 else 1 end);
        end loop;
        previous := line;
    end loop;
    return previous[n + 1];
end
$$;
comment on function trino.levenshtein_distance(text, text) is
    'How many characters must be changed, added or taken away to get from a to b.';

do $$
declare
    part record;
begin
    for part in
        select * from (values
            ('protocol', '^([a-zA-Z][a-zA-Z0-9+.-]*):'), ('host', '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)'),
            ('path', '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)'), ('query', '^[^?#]*\?([^#]*)'),
            ('fragment', '^[^#]*#(.*)')
        ) as parts (name, pattern)
    loop
        execute format(
            'create function trino.%I(url text) returns text language sql immutable parallel safe return substring(url from %L)',
            'url_extract_' || part.name, part.pattern);
        execute format('comment on function trino.%I(text) is %L', 'url_extract_' || part.name, format('The %s of a URL.', part.name));
    end loop;
end
$$;
create function trino.url_extract_parameter(url text, name text) returns text language sql immutable parallel safe
return (select pg_catalog.substr(pair, pg_catalog.length(name) + 2)
    from unnest(string_to_array(trino.url_extract_query(url), '&')) with ordinality as pairs (pair, n)
    where pg_catalog.split_part(pair, '=', 1) = name order by n limit 1);
comment on function trino.url_extract_parameter(text, text) is 'The first parameter of this name in the query of a URL.';

create function trino.uuid() returns uuid language sql volatile parallel safe return gen_random_uuid();
comment on function trino.uuid() is 'A random UUID.';

-- Regular expressions -----------------------------------------------------------------------------------
--
-- Both kinds have \d \w \s and (?i); a boundary of a word is \b in Java and \y in PostgreSQL.

create function trino_dialect.regex(pattern text) returns text language sql immutable parallel safe
return case when pg_catalog.strpos(pattern, '\b') = 0 then pattern
    else pg_catalog.regexp_replace(pattern, '(?<!\\)((?:\\\\)*)\\b', '\1\\y', 'g') end;
comment on function trino_dialect.regex(text) is 'Part of the regexp functions: a pattern of Java for PostgreSQL.';
create function trino_dialect.grouped_regex(pattern text) returns text language sql immutable parallel safe
return coalesce(substring(pattern from '^\(\?[a-z]+\)'), '') || '('
    || trino_dialect.regex(pg_catalog.regexp_replace(pattern, '^\(\?[a-z]+\)', '')) || ')';
comment on function trino_dialect.grouped_regex(text) is 'Part of the regexp functions: the pattern as a group of its own.';

create function trino_dialect.regexp_like(x text, pattern text) returns boolean language sql immutable parallel safe
return x ~ trino_dialect.regex(pattern);
comment on function trino_dialect.regexp_like(text, text) is 'Whether the pattern occurs in x.';
create function trino.regexp_extract(x text, pattern text) returns text language sql immutable parallel safe
return regexp_substr(x, trino_dialect.regex(pattern));
comment on function trino.regexp_extract(text, text) is 'The first part of x that is as the pattern; NULL if none is.';
create function trino.regexp_extract(x text, pattern text, "group" bigint) returns text language sql immutable parallel safe
return regexp_substr(x, trino_dialect.regex(pattern), 1, 1, '', "group"::integer);
comment on function trino.regexp_extract(text, text, bigint) is 'A group of the first part of x that is as the pattern.';
create function trino.regexp_extract_all(x text, pattern text, "group" bigint) returns text[]
language sql immutable parallel safe
return case when x is not null and pattern is not null then array(
    select match[("group" + 1)::integer] from regexp_matches(x, trino_dialect.grouped_regex(pattern), 'g') as match) end;
comment on function trino.regexp_extract_all(text, text, bigint) is 'A group of all parts of x that are as the pattern.';
create function trino.regexp_extract_all(x text, pattern text) returns text[] language sql immutable parallel safe
return trino.regexp_extract_all(x, pattern, 0);
comment on function trino.regexp_extract_all(text, text) is 'All parts of x that are as the pattern.';
create function trino_dialect.regexp_replace(x text, pattern text) returns text language sql immutable parallel safe
return pg_catalog.regexp_replace(x, trino_dialect.regex(pattern), '', 'g');
comment on function trino_dialect.regexp_replace(text, text) is 'x without the parts that are as the pattern.';
create function trino_dialect.regexp_replace(x text, pattern text, replacement text) returns text
language sql immutable parallel safe
return pg_catalog.regexp_replace(x, trino_dialect.regex(pattern),
    pg_catalog.replace(pg_catalog.regexp_replace(pg_catalog.replace(pg_catalog.replace(replacement, '\$', chr(1)), '\', '\\'), '\$(\d)', '\\\1', 'g'), chr(1), '$'), 'g');
comment on function trino_dialect.regexp_replace(text, text, text) is
    'x with all parts that are as the pattern replaced; $1 in the replacement is the first group.';
create function trino_dialect.regexp_count(x text, pattern text) returns bigint language sql immutable parallel safe
return pg_catalog.regexp_count(x, trino_dialect.regex(pattern));
comment on function trino_dialect.regexp_count(text, text) is 'How often the pattern occurs in x.';
create function trino.regexp_position(x text, pattern text) returns bigint language sql immutable parallel safe
return coalesce(nullif(regexp_instr(x, trino_dialect.regex(pattern)), 0), case when x is not null and pattern is not null then -1 end);
comment on function trino.regexp_position(text, text) is 'Where the pattern first occurs in x, from 1; -1 if it does not.';
create function trino.regexp_split(x text, pattern text) returns text[] language sql immutable parallel safe
return regexp_split_to_array(x, trino_dialect.regex(pattern));
comment on function trino.regexp_split(text, text) is 'The fields between parts that are as the pattern.';

-- Arrays ------------------------------------------------------------------------------------------------

create function trino_dialect.cardinality(x anyarray) returns bigint language sql immutable parallel safe
as $$ select pg_catalog.cardinality(x) $$;
comment on function trino_dialect.cardinality(anyarray) is 'Elements of an array.';
create function trino_dialect.cardinality(x jsonb) returns bigint language sql immutable parallel safe
return case jsonb_typeof(x) when 'object' then (select count(*) from jsonb_object_keys(x)) when 'array' then jsonb_array_length(x) end;
comment on function trino_dialect.cardinality(jsonb) is 'Entries of a map.';
create function trino.contains(x anycompatiblearray, element anycompatible) returns boolean
language sql immutable parallel safe
as $$ select element = any (x) $$;
comment on function trino.contains(anycompatiblearray, anycompatible) is
    'Whether the array has the element; NULL if it has not, but has a NULL.';
create function trino.element_at(x anyarray, place bigint) returns anyelement language sql immutable parallel safe
as $$ select case
    when place > 0 then x[place::integer]
    when place < 0 then x[(cardinality(x) + 1 + place)::integer]
    when place = 0 then trino_dialect.fail('SQL array indices start at 1', '22023', x[1]) end $$;
comment on function trino.element_at(anyarray, bigint) is
    'Element of an array, from 1, from the end if negative; NULL if there are fewer.';
create function trino.element_at(x jsonb, key text) returns jsonb language sql immutable parallel safe return x -> key;
comment on function trino.element_at(jsonb, text) is 'Value of a key of a map; NULL if it has none.';
create function trino.array_join(x anyarray, delimiter text) returns text language sql stable parallel safe
as $$ select array_to_string(x, delimiter) $$;
comment on function trino.array_join(anyarray, text) is 'The elements with a delimiter between them, without NULLs.';
create function trino.array_join(x anyarray, delimiter text, "null" text) returns text language sql stable parallel safe
as $$ select array_to_string(x, delimiter, "null") $$;
comment on function trino.array_join(anyarray, text, text) is 'The elements with a delimiter between them, and a text for NULLs.';
create function trino.array_max(x anyarray) returns anyelement language sql immutable parallel safe
as $$ select case when pg_catalog.array_position(x, null) is null then (select max(e) from unnest(x) as e) end $$;
comment on function trino.array_max(anyarray) is 'The greatest element; NULL if one is NULL.';
create function trino.array_min(x anyarray) returns anyelement language sql immutable parallel safe
as $$ select case when pg_catalog.array_position(x, null) is null then (select min(e) from unnest(x) as e) end $$;
comment on function trino.array_min(anyarray) is 'The smallest element; NULL if one is NULL.';
create function trino.array_sort(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(select e from unnest(x) as e order by e nulls last) end $$;
comment on function trino.array_sort(anyarray) is 'The elements in order, NULLs last.';
create function trino.array_distinct(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(
    select e from unnest(x) with ordinality as u (e, n) group by e order by min(n)) end $$;
comment on function trino.array_distinct(anyarray) is 'Each element once.';
create function trino.array_union(x anyarray, y anyarray) returns anyarray language sql immutable parallel safe
as $$ select trino.array_distinct(x || y) $$;
comment on function trino.array_union(anyarray, anyarray) is 'Elements of either, each once.';
create function trino.array_intersect(x anyarray, y anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null and y is not null then array(
    select e from unnest(x) with ordinality as u (e, n)
    where exists (select from unnest(y) as f where f is not distinct from e) group by e order by min(n)) end $$;
comment on function trino.array_intersect(anyarray, anyarray) is 'Elements of both, each once.';
create function trino.array_except(x anyarray, y anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null and y is not null then array(
    select e from unnest(x) with ordinality as u (e, n)
    where not exists (select from unnest(y) as f where f is not distinct from e) group by e order by min(n)) end $$;
comment on function trino.array_except(anyarray, anyarray) is 'Elements of x that y has not, each once.';
create function trino.arrays_overlap(x anyarray, y anyarray) returns boolean language sql immutable parallel safe
as $$ select case when x && y then true
    when pg_catalog.array_position(x, null) is not null or pg_catalog.array_position(y, null) is not null then null
    else x && y end $$;
comment on function trino.arrays_overlap(anyarray, anyarray) is
    'Whether both have an element that is not NULL; NULL if not, but one has a NULL.';
create function trino_dialect.array_position(x anycompatiblearray, element anycompatible) returns bigint
language sql immutable parallel safe
as $$ select case when x is not null and element is not null then coalesce(pg_catalog.array_position(x, element), 0) end $$;
comment on function trino_dialect.array_position(anycompatiblearray, anycompatible) is 'Where the element first stands, from 1; 0 if nowhere.';
create function trino_dialect.reverse(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(select e from unnest(x) with ordinality as u (e, n) order by n desc) end $$;
comment on function trino_dialect.reverse(anyarray) is 'The elements from the last to the first.';
create function trino_dialect.repeat(element anyelement, n bigint) returns anyarray language sql immutable parallel safe
as $$ select array_fill(element, array[greatest(n, 0)::integer]) $$;
comment on function trino_dialect.repeat(anyelement, bigint) is 'An array of n times the element.';
create function trino_dialect.repeat(element text, n bigint) returns text[] language sql immutable parallel safe
return array_fill(element, array[greatest(n, 0)::integer]);
comment on function trino_dialect.repeat(text, bigint) is 'An array of n times the text.';
create function trino.slice(x anyarray, start bigint, length bigint) returns anyarray language sql immutable parallel safe
as $$ select case
    when start > 0 then x[start::integer:(start + length - 1)::integer]
    when start < 0 then x[(cardinality(x) + 1 + start)::integer:(cardinality(x) + start + length)::integer]
    when start = 0 then trino_dialect.fail('SQL array indices start at 1', '22023', x) end $$;
comment on function trino.slice(anyarray, bigint, bigint) is 'So many elements from a place on, from 1; from the end if negative.';
create function trino.sequence(start bigint, stop bigint) returns bigint[] language sql immutable parallel safe
return case when start is not null and stop is not null
    then array(select generate_series(start, stop, case when start <= stop then 1 else -1 end)) end;
comment on function trino.sequence(bigint, bigint) is 'Whole numbers from start to stop, both included.';
create function trino.sequence(start bigint, stop bigint, step bigint) returns bigint[] language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then array(select generate_series(start, stop, step)) end;
comment on function trino.sequence(bigint, bigint, bigint) is 'Whole numbers from start to stop, by step.';
create function trino.sequence(start date, stop date) returns date[] language sql immutable parallel safe
return case when start is not null and stop is not null
    then array(select day::date from generate_series(start::timestamp, stop::timestamp, case when start <= stop then interval '1 day' else interval '-1 day' end) as day) end;
comment on function trino.sequence(date, date) is 'Days from start to stop, both included.';
create function trino.sequence(start date, stop date, step interval) returns date[] language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then array(select day::date from generate_series(start::timestamp, stop::timestamp, step) as day) end;
comment on function trino.sequence(date, date, interval) is 'Days from start to stop, by step.';
create function trino.sequence(start timestamp, stop timestamp, step interval) returns timestamp[] language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then array(select generate_series(start, stop, step)) end;
comment on function trino.sequence(timestamp, timestamp, interval) is 'Times from start to stop, by step.';

-- Maps are jsonb objects: keys are texts.

create function trino.map(keys anyarray, "values" anycompatiblearray) returns jsonb language sql stable parallel safe
as $$ select case when cardinality(keys) <> cardinality("values")
    then trino_dialect.fail('Key and value arrays must be the same length', '22023', to_jsonb(keys))
    else (select coalesce(jsonb_object_agg(k::text, to_jsonb(v)), '{}') from unnest(keys, "values") as entries (k, v)) end $$;
comment on function trino.map(anyarray, anycompatiblearray) is 'A map of two arrays, as JSON.';
create function trino.map() returns jsonb language sql immutable parallel safe return '{}'::jsonb;
comment on function trino.map() is 'A map without entries.';
create function trino.map_keys(x jsonb) returns text[] language sql immutable parallel safe
return case when x is not null then array(select jsonb_object_keys(x)) end;
comment on function trino.map_keys(jsonb) is 'Keys of a map.';
create function trino.map_values(x jsonb) returns jsonb[] language sql immutable parallel safe
return case when x is not null then array(select value from jsonb_each(x)) end;
comment on function trino.map_values(jsonb) is 'Values of a map.';
create function trino.map_concat(x jsonb, y jsonb) returns jsonb language sql immutable parallel safe return x || y;
comment on function trino.map_concat(jsonb, jsonb) is 'The entries of both; those of the second count where both have a key.';
create function trino.map_entries(x jsonb) returns jsonb language sql immutable parallel safe
return case when x is not null then (select coalesce(jsonb_agg(jsonb_build_array(key, value)), '[]') from jsonb_each(x)) end;
comment on function trino.map_entries(jsonb) is 'The entries of a map as pairs, in JSON.';

-- JSON --------------------------------------------------------------------------------------------------

create function trino_dialect.json_path(path text) returns jsonpath language sql immutable parallel safe
return pg_catalog.regexp_replace(path, '\[\s*["'']([^"'']*)["'']\s*\]', '."\1"', 'g')::jsonpath;
comment on function trino_dialect.json_path(text) is 'Part of the JSON functions: a JSON path, with $["a"] as $."a".';
create function trino.json_parse(x text) returns jsonb language sql immutable parallel safe return x::jsonb;
comment on function trino.json_parse(text) is 'Reads a JSON text.';
create function trino.json_format(x jsonb) returns text language sql immutable parallel safe return x::text;
comment on function trino.json_format(jsonb) is 'JSON as a text.';
create function trino.json_extract(x jsonb, path text) returns jsonb language sql immutable parallel safe
return jsonb_path_query_first(x, trino_dialect.json_path(path), '{}', true);
comment on function trino.json_extract(jsonb, text) is 'What a JSON path leads to: json_extract(x, ''$.a[0]'').';
create function trino.json_extract(x text, path text) returns jsonb language sql immutable parallel safe
return trino.json_extract(x::jsonb, path);
comment on function trino.json_extract(text, text) is 'What a JSON path leads to in a JSON text.';
create function trino.json_extract_scalar(x jsonb, path text) returns text language sql immutable parallel safe
return case when jsonb_typeof(trino.json_extract(x, path)) not in ('object', 'array')
    then trino.json_extract(x, path) #>> '{}' end;
comment on function trino.json_extract_scalar(jsonb, text) is 'The text, number or boolean that a JSON path leads to, as a text.';
create function trino.json_extract_scalar(x text, path text) returns text language sql immutable parallel safe
return trino.json_extract_scalar(x::jsonb, path);
comment on function trino.json_extract_scalar(text, text) is 'The text, number or boolean that a JSON path leads to in a JSON text.';
create function trino_dialect.json_array_length(x jsonb) returns bigint language sql immutable parallel safe
return case when jsonb_typeof(x) = 'array' then jsonb_array_length(x) end;
comment on function trino_dialect.json_array_length(jsonb) is 'Elements of a JSON array; NULL for other JSON.';
create function trino_dialect.json_array_length(x text) returns bigint language sql immutable parallel safe
return trino_dialect.json_array_length(x::jsonb);
comment on function trino_dialect.json_array_length(text) is 'Elements of a JSON array; NULL for other JSON.';
create function trino.json_array_get(x jsonb, place bigint) returns jsonb language sql immutable parallel safe
return case when jsonb_typeof(x) = 'array' then x -> place::integer end;
comment on function trino.json_array_get(jsonb, bigint) is 'Element of a JSON array, from 0, from the end if negative.';
create function trino.json_array_get(x text, place bigint) returns jsonb language sql immutable parallel safe
return trino.json_array_get(x::jsonb, place);
comment on function trino.json_array_get(text, bigint) is 'Element of a JSON array, from 0, from the end if negative.';
create function trino.json_array_contains(x jsonb, element anyelement) returns boolean language sql stable parallel safe
as $$ select case when jsonb_typeof(x) = 'array' then exists (select from jsonb_array_elements(x) as e where e = to_jsonb(element)) end $$;
comment on function trino.json_array_contains(jsonb, anyelement) is 'Whether a JSON array has an element.';
create function trino.json_array_contains(x jsonb, element text) returns boolean language sql stable parallel safe
return case when jsonb_typeof(x) = 'array' then exists (select from jsonb_array_elements(x) as e where e = to_jsonb(element)) end;
comment on function trino.json_array_contains(jsonb, text) is 'Whether a JSON array has a text.';
create function trino.json_array_contains(x text, element anyelement) returns boolean language sql stable parallel safe
as $$ select trino.json_array_contains(x::jsonb, element) $$;
comment on function trino.json_array_contains(text, anyelement) is 'Whether a JSON array has an element.';
create function trino.json_size(x jsonb, path text) returns bigint language sql immutable parallel safe
return case jsonb_typeof(trino.json_extract(x, path))
    when 'array' then jsonb_array_length(trino.json_extract(x, path))
    when 'object' then (select count(*) from jsonb_object_keys(trino.json_extract(x, path)))
    else case when trino.json_extract(x, path) is not null then 0 end end;
comment on function trino.json_size(jsonb, text) is 'Elements or members of what a JSON path leads to; 0 for a scalar.';
create function trino.json_size(x text, path text) returns bigint language sql immutable parallel safe
return trino.json_size(x::jsonb, path);
comment on function trino.json_size(text, text) is 'Elements or members of what a JSON path leads to; 0 for a scalar.';
create function trino.is_json_scalar(x jsonb) returns boolean language sql immutable parallel safe
return jsonb_typeof(x) not in ('object', 'array');
comment on function trino.is_json_scalar(jsonb) is 'Whether JSON is a text, a number, a boolean or null.';
create function trino.is_json_scalar(x text) returns boolean language sql immutable parallel safe
return trino.is_json_scalar(x::jsonb);
comment on function trino.is_json_scalar(text) is 'Whether JSON is a text, a number, a boolean or null.';
create function trino.json_value(x jsonb, path text) returns text language sql immutable parallel safe
return trino.json_extract_scalar(x, path);
comment on function trino.json_value(jsonb, text) is 'JSON_VALUE: the scalar that a JSON path leads to, as a text.';
create function trino.json_value(x text, path text) returns text language sql immutable parallel safe
return trino.json_extract_scalar(x::jsonb, path);
comment on function trino.json_value(text, text) is 'JSON_VALUE: the scalar that a JSON path leads to, as a text.';
create function trino.json_query(x jsonb, path text) returns text language sql immutable parallel safe
return trino.json_extract(x, path)::text;
comment on function trino.json_query(jsonb, text) is 'JSON_QUERY: the JSON that a JSON path leads to, as a text.';
create function trino.json_query(x text, path text) returns text language sql immutable parallel safe
return trino.json_extract(x::jsonb, path)::text;
comment on function trino.json_query(text, text) is 'JSON_QUERY: the JSON that a JSON path leads to, as a text.';
create function trino.json_exists(x jsonb, path text) returns boolean language sql immutable parallel safe
return case when x is not null then coalesce(jsonb_path_exists(x, trino_dialect.json_path(path), '{}', true), false) end;
comment on function trino.json_exists(jsonb, text) is 'JSON_EXISTS: whether a JSON path leads to something.';
create function trino.json_exists(x text, path text) returns boolean language sql immutable parallel safe
return trino.json_exists(x::jsonb, path);
comment on function trino.json_exists(text, text) is 'JSON_EXISTS: whether a JSON path leads to something.';

-- Aggregates --------------------------------------------------------------------------------------------
--
-- Where PostgreSQL's own gives a numeric, Trino gives a bigint or a double. The steps are PostgreSQL's, in C.

create aggregate trino_dialect.sum(bigint) (
    sfunc = int8pl, stype = bigint, combinefunc = int8pl, msfunc = int8pl, minvfunc = int8mi, mstype = bigint, parallel = safe);
comment on aggregate trino_dialect.sum(bigint) is 'Sum, a bigint; an error where it does not fit.';
create aggregate trino_dialect.sum(integer) (sfunc = int4_sum, stype = bigint, combinefunc = int8pl, parallel = safe);
comment on aggregate trino_dialect.sum(integer) is 'Sum, a bigint.';
create aggregate trino_dialect.sum(smallint) (sfunc = int2_sum, stype = bigint, combinefunc = int8pl, parallel = safe);
comment on aggregate trino_dialect.sum(smallint) is 'Sum, a bigint.';
create aggregate trino_dialect.sum(double precision) (
    sfunc = float8pl, stype = double precision, combinefunc = float8pl, parallel = safe);
comment on aggregate trino_dialect.sum(double precision) is 'Sum.';
create aggregate trino_dialect.sum(real) (sfunc = float4pl, stype = real, combinefunc = float4pl, parallel = safe);
comment on aggregate trino_dialect.sum(real) is 'Sum.';
create aggregate trino_dialect.sum(numeric) (
    sfunc = numeric_add, stype = numeric, combinefunc = numeric_add, parallel = safe);
comment on aggregate trino_dialect.sum(numeric) is 'Sum.';
create aggregate trino_dialect.sum(interval) (
    sfunc = interval_pl, stype = interval, combinefunc = interval_pl, parallel = safe);
comment on aggregate trino_dialect.sum(interval) is 'Sum.';

do $$
declare
    part record;
begin
    for part in
        select * from (values
            ('avg', 'float8_avg', 'Mean'), ('stddev', 'float8_stddev_samp', 'Standard deviation of a sample'),
            ('stddev_samp', 'float8_stddev_samp', 'Standard deviation of a sample'),
            ('stddev_pop', 'float8_stddev_pop', 'Standard deviation of all there is'),
            ('variance', 'float8_var_samp', 'Variance of a sample'), ('var_samp', 'float8_var_samp', 'Variance of a sample'),
            ('var_pop', 'float8_var_pop', 'Variance of all there is')
        ) as parts (name, final, meaning)
    loop
        execute format(
            'create aggregate trino_dialect.%I(double precision) (sfunc = float8_accum, stype = double precision[], '
            'finalfunc = %I, combinefunc = float8_combine, initcond = ''{0,0,0}'', parallel = safe)', part.name, part.final);
        execute format('comment on aggregate trino_dialect.%I(double precision) is %L', part.name, part.meaning || ', a double.');
    end loop;
end
$$;

create function trino_dialect.decimal_step(state numeric[], x numeric) returns numeric[]
language sql immutable parallel safe
return case when x is null then state else array[state[1] + 1, state[2] + x, greatest(state[3], scale(x))] end;
comment on function trino_dialect.decimal_step(numeric[], numeric) is 'Part of avg: takes a decimal into {count, sum, scale}.';
create function trino_dialect.decimal_merge(a numeric[], b numeric[]) returns numeric[]
language sql immutable parallel safe
return array[a[1] + b[1], a[2] + b[2], greatest(a[3], b[3])];
comment on function trino_dialect.decimal_merge(numeric[], numeric[]) is 'Part of avg: joins two states.';
create function trino_dialect.decimal_mean(state numeric[]) returns numeric language sql immutable parallel safe
return pg_catalog.round(state[2] / nullif(state[1], 0), state[3]::integer);
comment on function trino_dialect.decimal_mean(numeric[]) is 'Part of avg: the mean of a state, with the scale of what was averaged.';
create aggregate trino_dialect.avg(numeric) (
    sfunc = trino_dialect.decimal_step, stype = numeric[], finalfunc = trino_dialect.decimal_mean,
    combinefunc = trino_dialect.decimal_merge, initcond = '{0,0,0}', parallel = safe);
comment on aggregate trino_dialect.avg(numeric) is 'Mean, with as many decimal digits as the values have.';
create aggregate trino_dialect.avg(interval) (
    sfunc = interval_accum, stype = interval[], finalfunc = interval_avg, combinefunc = interval_combine,
    initcond = '{00:00:00,00:00:00}', parallel = safe);
comment on aggregate trino_dialect.avg(interval) is 'Mean.';

create function trino_dialect.first_of(a anyelement, b anyelement) returns anyelement
language sql immutable strict parallel safe
as $$ select a $$;
comment on function trino_dialect.first_of(anyelement, anyelement) is 'Part of any_value: the first of two.';
create aggregate trino.any_value(anyelement) (
    sfunc = trino_dialect.first_of, stype = anyelement, combinefunc = trino_dialect.first_of, parallel = safe);
comment on aggregate trino.any_value(anyelement) is 'One of the values that are not NULL.';
create aggregate trino.arbitrary(anyelement) (
    sfunc = trino_dialect.first_of, stype = anyelement, combinefunc = trino_dialect.first_of, parallel = safe);
comment on aggregate trino.arbitrary(anyelement) is 'One of the values that are not NULL.';

create function trino_dialect.count_if_step(state bigint, condition boolean) returns bigint
language sql immutable parallel safe return case when condition then state + 1 else state end;
comment on function trino_dialect.count_if_step(bigint, boolean) is 'Part of count_if.';
create aggregate trino.count_if(boolean) (
    sfunc = trino_dialect.count_if_step, stype = bigint, combinefunc = int8pl, initcond = '0', parallel = safe);
comment on aggregate trino.count_if(boolean) is 'Rows whose condition is true.';

-- The three below keep their values, as percentile_disc and count(distinct) do. In statements of Trino clients they are
-- rewritten to those; these are for everybody else.
create function trino_dialect.count_distinct(state anycompatiblearray) returns bigint language sql immutable parallel safe
as $$ select (select count(distinct e) from unnest(state) as e) $$;
comment on function trino_dialect.count_distinct(anycompatiblearray) is 'Part of approx_distinct.';
create aggregate trino.approx_distinct(anycompatible) (
    sfunc = array_append, stype = anycompatiblearray, finalfunc = trino_dialect.count_distinct, initcond = '{}');
comment on aggregate trino.approx_distinct(anycompatible) is 'How many different values there are; exact.';

create function trino_dialect.percentile_step(state double precision[], x double precision, fraction double precision)
returns double precision[] language sql immutable parallel safe
return case
    when x is null then state
    when state is null then array[fraction, x]
    else array_append(state, x) end;
comment on function trino_dialect.percentile_step(double precision[], double precision, double precision) is 'Part of approx_percentile.';
create function trino_dialect.percentile(state double precision[]) returns double precision language sql immutable parallel safe
return (select percentile_disc(state[1]) within group (order by x) from unnest(state[2:]) as x);
comment on function trino_dialect.percentile(double precision[]) is 'Part of approx_percentile.';
create aggregate trino.approx_percentile(double precision, double precision) (
    sfunc = trino_dialect.percentile_step, stype = double precision[], finalfunc = trino_dialect.percentile);
comment on aggregate trino.approx_percentile(double precision, double precision) is
    'The value that a fraction of the others do not exceed: approx_percentile(price, 0.95); exact.';

create function trino_dialect.log_step(state double precision[], x double precision) returns double precision[]
language sql immutable strict parallel safe return array[state[1] + 1, state[2] + ln(x)];
comment on function trino_dialect.log_step(double precision[], double precision) is 'Part of geometric_mean.';
create function trino_dialect.log_mean(state double precision[]) returns double precision
language sql immutable strict parallel safe return exp(state[2] / nullif(state[1], 0));
comment on function trino_dialect.log_mean(double precision[]) is 'Part of geometric_mean.';
create aggregate trino.geometric_mean(double precision) (
    sfunc = trino_dialect.log_step, stype = double precision[], finalfunc = trino_dialect.log_mean, initcond = '{0,0}');
comment on aggregate trino.geometric_mean(double precision) is 'Geometric mean.';

create function trino_dialect.histogram_of(state anycompatiblearray) returns jsonb language sql stable parallel safe
as $$ select (select jsonb_object_agg(e::text, n) from (select e, count(*) as n from unnest(state) as e where e is not null group by e) as counts) $$;
comment on function trino_dialect.histogram_of(anycompatiblearray) is 'Part of histogram.';
create aggregate trino.histogram(anycompatible) (
    sfunc = array_append, stype = anycompatiblearray, finalfunc = trino_dialect.histogram_of, initcond = '{}');
comment on aggregate trino.histogram(anycompatible) is 'A map of how often each value occurs.';

-- The value of the latest and of the earliest row: last and first of tapedeck_sql under the names of Trino.
create aggregate trino.max_by(value anyelement, key timestamptz) (
    sfunc = tapedeck_sql.last_step, stype = tapedeck_sql.value_at, combinefunc = tapedeck_sql.last_merge,
    finalfunc = tapedeck_sql.value_of, finalfunc_extra, parallel = safe);
comment on aggregate trino.max_by(anyelement, timestamptz) is 'The value of the row with the latest time.';
create aggregate trino.min_by(value anyelement, key timestamptz) (
    sfunc = tapedeck_sql.first_step, stype = tapedeck_sql.value_at, combinefunc = tapedeck_sql.first_merge,
    finalfunc = tapedeck_sql.value_of, finalfunc_extra, parallel = safe);
comment on aggregate trino.min_by(anyelement, timestamptz) is 'The value of the row with the earliest time.';

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
