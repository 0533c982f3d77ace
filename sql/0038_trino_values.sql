-- SPDX-License-Identifier: Apache-2.0
--
-- Values that came out other than Trino's: of casts, white space, arrays and maps whose types differ, NULLs.

-- Casts to numbers --------------------------------------------------------------------------------------
--
-- PostgreSQL makes a decimal of a double's first 15 digits, a smallint of a double rounded to even, and no number of a
-- JSON string or null.

create function trino_dialect.to_double(x double precision) returns double precision language sql immutable parallel safe return x;
create function trino_dialect.to_double(x boolean) returns double precision language sql immutable parallel safe
return x::integer::double precision;
create function trino_dialect.to_double(x text) returns double precision language sql immutable parallel safe
return x::double precision;
create function trino_dialect.to_double(x jsonb) returns double precision language sql immutable parallel safe
return case jsonb_typeof(x) when 'number' then x::double precision when 'string' then (x #>> '{}')::double precision
    when 'boolean' then x::boolean::integer::double precision when 'null' then null
    else trino_dialect.fail('Cannot cast ' || x::text || ' to DOUBLE', '22P02', null::double precision) end;

create function trino_dialect.to_real(x real) returns real language sql immutable parallel safe return x;
create function trino_dialect.to_real(x double precision) returns real language sql immutable parallel safe return x::real;
create function trino_dialect.to_real(x numeric) returns real language sql immutable parallel safe return x::real;
create function trino_dialect.to_real(x boolean) returns real language sql immutable parallel safe return x::integer::real;
create function trino_dialect.to_real(x text) returns real language sql immutable parallel safe return x::real;
create function trino_dialect.to_real(x jsonb) returns real language sql immutable parallel safe
return trino_dialect.to_double(x)::real;

create function trino_dialect.decimal_that_fits(x numeric, digits integer, scale integer, written text) returns numeric
language sql immutable parallel safe
return case when abs(pg_catalog.round(x, scale)) < 10::numeric ^ (digits - scale) then x
    when x is not null then trino_dialect.fail(
        'Cannot cast ' || written || ' to DECIMAL(' || digits::text || ', ' || scale::text || ')', '22P02', x) end;
comment on function trino_dialect.decimal_that_fits(numeric, integer, integer, text) is
    'Part of casts: x, which has so many digits at most; else an error that quotes what was written.';

create function trino_dialect.to_varchar(x inet) returns text language sql immutable parallel safe
return case when masklen(x) = case family(x) when 4 then 32 else 128 end then host(x) else x::text end;
comment on function trino_dialect.to_varchar(inet) is 'Part of casts: CAST(x AS varchar) of an address, without the length of a mask.';

do $$
declare
    source record;
begin
    for source in
        select * from (values
            ('double precision', 'x::text::numeric', 'DOUBLE'), ('real', 'x::text::numeric', 'REAL'),
            ('numeric', 'x', 'DECIMAL'), ('bigint', 'x::numeric', 'BIGINT'), ('integer', 'x::numeric', 'INTEGER'),
            ('text', 'x::numeric', 'VARCHAR')
        ) as sources (type, value, name)
    loop
        execute format(
            'create function trino_dialect.to_decimal(x %s, digits integer, scale integer) returns numeric '
            'language sql immutable parallel safe '
            'return trino_dialect.decimal_that_fits(%s, digits, scale, %L || x::text || '''''''')',
            source.type, source.value, source.name || ' ''');
        execute format('comment on function trino_dialect.to_decimal(%s, integer, integer) is %L', source.type,
            'Part of casts: CAST(x AS decimal(digits, scale)), before it is rounded to the scale.');
    end loop;
    foreach source.type in array array['bigint', 'boolean', 'double precision', 'integer', 'jsonb', 'numeric', 'real', 'text'] loop
        execute format(
            'create function trino_dialect.to_smallint(x %s) returns smallint language sql immutable parallel safe '
            'return trino_dialect.to_integer(x)::smallint', source.type);
        execute format('comment on function trino_dialect.to_smallint(%s) is %L', source.type,
            'Part of casts: CAST(x AS smallint), rounded half away from zero.');
    end loop;
    foreach source.type in array array['double precision', 'boolean', 'text', 'jsonb'] loop
        execute format('comment on function trino_dialect.to_double(%s) is %L', source.type, 'Part of casts: CAST(x AS double).');
    end loop;
    foreach source.type in array array['real', 'double precision', 'numeric', 'boolean', 'text', 'jsonb'] loop
        execute format('comment on function trino_dialect.to_real(%s) is %L', source.type, 'Part of casts: CAST(x AS real).');
    end loop;
    foreach source.type in array array['double precision', 'real'] loop
        execute format(
            'create or replace function trino_dialect.try_cast(value %s, sample anyelement) returns anyelement '
            'language plpgsql stable parallel unsafe as %L', source.type,
            'begin case pg_typeof(sample) when ''bigint''::regtype, ''integer''::regtype, ''smallint''::regtype then '
            'sample := trino_dialect.round(value); when ''numeric''::regtype then sample := value::text; '
            'else sample := value; end case; return sample; '
            'exception when data_exception or cannot_coerce or program_limit_exceeded then return null; end');
        execute format('comment on function trino_dialect.try_cast(%s, anyelement) is %L', source.type,
            'TRY_CAST to the type of sample: NULL for what does not fit.');
    end loop;
    foreach source.type in array array['time', 'timetz', 'interval', 'uuid', 'inet'] loop
        execute format(
            'create function trino_dialect.try_cast(value %s, sample anyelement) returns anyelement '
            'language plpgsql stable parallel unsafe as %L', source.type,
            'begin if pg_typeof(sample) = ''text''::regtype then sample := trino_dialect.to_varchar(value); '
            'else sample := value; end if; return sample; '
            'exception when data_exception or cannot_coerce or program_limit_exceeded then return null; end');
        execute format('comment on function trino_dialect.try_cast(%s, anyelement) is %L', source.type,
            'TRY_CAST to the type of sample: NULL for what does not fit.');
    end loop;
end
$$;

create function trino_dialect.to_decimal(x boolean, digits integer, scale integer) returns numeric
language sql immutable parallel safe
return trino_dialect.to_decimal(x::integer, digits, scale);
comment on function trino_dialect.to_decimal(boolean, integer, integer) is 'Part of casts: CAST(x AS decimal(digits, scale)): 1 or 0.';
create function trino_dialect.to_decimal(x jsonb, digits integer, scale integer) returns numeric
language sql immutable parallel safe
return case jsonb_typeof(x) when 'number' then trino_dialect.to_decimal(x::numeric, digits, scale)
    when 'string' then trino_dialect.to_decimal(x #>> '{}', digits, scale)
    when 'boolean' then trino_dialect.to_decimal(x::boolean, digits, scale) when 'null' then null
    else trino_dialect.fail('Cannot cast ' || x::text || ' to DECIMAL', '22P02', null::numeric) end;
comment on function trino_dialect.to_decimal(jsonb, integer, integer) is 'Part of casts: CAST(x AS decimal(digits, scale)) of a JSON scalar.';

create or replace function trino_dialect.to_array(x jsonb, sample anycompatiblearray) returns anycompatiblearray
language plpgsql immutable parallel safe
as $$
begin
    if x is null or jsonb_typeof(x) = 'null' then
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

-- Casts of times and addresses --------------------------------------------------------------------------

create function trino_dialect.to_time(x timetz) returns time language sql immutable parallel safe return x::time;
comment on function trino_dialect.to_time(timetz) is 'Part of casts: CAST(x AS time): without its offset.';
create function trino_dialect.to_timestamp(x time) returns timestamp language sql immutable parallel safe
return timestamp '1970-01-01' + x;
comment on function trino_dialect.to_timestamp(time) is 'Part of casts: CAST(x AS timestamp): of the first day of the epoch.';
create function trino.typeof(x time) returns text language sql immutable parallel safe
return 'time(' || case when date_part('microseconds', x)::bigint % 1000 = 0 then '3' else '6' end || ')';
comment on function trino.typeof(time) is 'Name of the type of x, as Trino calls it.';
create function trino.typeof(x timetz) returns text language sql immutable parallel safe
return 'time(' || case when date_part('microseconds', x)::bigint % 1000 = 0 then '3' else '6' end || ') with time zone';
comment on function trino.typeof(timetz) is 'Name of the type of x, as Trino calls it.';

create or replace function trino.to_iso8601(x timestamp) returns text language sql stable parallel safe
return to_char(x, 'YYYY-MM-DD"T"HH24:MI:SS.' || case when date_part('microseconds', x)::bigint % 1000 = 0 then 'MS' else 'US' end);
comment on function trino.to_iso8601(timestamp) is 'The time in ISO 8601, with milliseconds, or microseconds where it has some.';
create or replace function trino.to_iso8601(x timestamptz) returns text language sql stable parallel safe
return to_char(x, 'YYYY-MM-DD"T"HH24:MI:SS.' || case when date_part('microseconds', x)::bigint % 1000 = 0 then 'MS' else 'US' end)
    || case when to_char(x, 'TZH:TZM') = '+00:00' then 'Z' else to_char(x, 'TZH:TZM') end;
comment on function trino.to_iso8601(timestamptz) is
    'The time in ISO 8601, with milliseconds, or microseconds where it has some, and its offset.';
create or replace function trino_dialect.to_iso8601(x timestamptz, zone text) returns text language sql stable parallel safe
return to_char(trino_dialect.wall_clock(x, zone), 'YYYY-MM-DD"T"HH24:MI:SS.'
        || case when date_part('microseconds', x)::bigint % 1000 = 0 then 'MS' else 'US' end)
    || case when trino_dialect.offset_seconds(x, zone) = 0 then 'Z' else
        case when trino_dialect.offset_seconds(x, zone) < 0 then '-' else '+' end
        || to_char(abs(trino_dialect.offset_seconds(x, zone)) * interval '1 second', 'HH24:MI') end;

-- Texts and bytes ---------------------------------------------------------------------------------------

-- What Java calls white space, and Trino takes away: PostgreSQL's trim takes blanks.
do $$
declare
    name record;
    spaces constant text := ' ' || e'\t\n\u000B\f\r\u001C\u001D\u001E\u001F\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006'
        || e'\u2008\u2009\u200A\u2028\u2029\u205F\u3000';
begin
    for name in select * from (values ('trim', 'btrim'), ('ltrim', 'ltrim'), ('rtrim', 'rtrim')) as names (trino, postgres) loop
        execute format(
            'create function trino_dialect.%I(x text) returns text language sql immutable parallel safe return pg_catalog.%I(x, %L)',
            name.trino, name.postgres, spaces);
        execute format('comment on function trino_dialect.%I(text) is %L', name.trino, 'x without white space at its ends, or at one.');
        execute format(
            'create function trino_dialect.%I(x text, characters text) returns text language sql immutable parallel safe '
            'return pg_catalog.%I(x, characters)', name.trino, name.postgres);
        execute format('comment on function trino_dialect.%I(text, text) is %L', name.trino, 'x without these characters at its ends, or at one.');
    end loop;
    for name in select * from (values ('substr'), ('substring')) as names (trino) loop
        execute format(
            'create function trino_dialect.%I(x bytea, start bigint) returns bytea language sql immutable parallel safe '
            'return case when start > 0 then pg_catalog.substr(x, least(start, 2147483647)::integer) '
            'when start < 0 and -start <= pg_catalog.length(x) '
            'then pg_catalog.substr(x, (pg_catalog.length(x) + start + 1)::integer) when x is not null then ''''::bytea end', name.trino);
        execute format('comment on function trino_dialect.%I(bytea, bigint) is %L', name.trino,
            'The bytes from a place on, from 1; from the end if negative.');
        execute format(
            'create function trino_dialect.%I(x bytea, start bigint, length bigint) returns bytea language sql immutable parallel safe '
            'return pg_catalog.substr(trino_dialect.%I(x, start), 1, greatest(0, least(length, 2147483647))::integer)', name.trino, name.trino);
        execute format('comment on function trino_dialect.%I(bytea, bigint, bigint) is %L', name.trino,
            'So many bytes from a place on, from 1; from the end if negative.');
    end loop;
end
$$;

create function trino_dialect.reverse(x bytea) returns bytea language sql immutable parallel safe
return case when x is not null then decode(coalesce((
    select string_agg(to_hex_byte, '' order by n desc) from (
        select n, lpad(pg_catalog.to_hex(get_byte(x, n)), 2, '0') as to_hex_byte from generate_series(0, pg_catalog.length(x) - 1) as n) as bytes
    ), ''), 'hex') end;
comment on function trino_dialect.reverse(bytea) is 'The bytes from the last to the first.';

create function trino.from_utf8(x bytea, replacement text) returns text
language plpgsql immutable strict parallel unsafe
as $$
declare
    result text := '';
    at integer := 1;
    count constant integer := length(x);
    first integer;
    size integer;
begin
    begin
        return convert_from(x, 'UTF8');
    exception when character_not_in_repertoire or untranslatable_character or invalid_text_representation then
        null;
    end;
    while at <= count loop
        first := get_byte(x, at - 1);
        size := case when first < 128 then 1 when first between 194 and 223 then 2 when first between 224 and 239 then 3
            when first between 240 and 244 then 4 else 1 end;
        begin
            result := result || convert_from(substr(x, at, size), 'UTF8');
        exception when character_not_in_repertoire or untranslatable_character or invalid_text_representation then
            result := result || replacement;
            size := 1;
        end;
        at := at + size;
    end loop;
    return result;
end
$$;
comment on function trino.from_utf8(bytea, text) is 'The text of bytes in UTF-8, with another for each byte that is none.';
create or replace function trino.from_utf8(x bytea) returns text language sql immutable parallel unsafe
return trino.from_utf8(x, U&'\FFFD');

create function trino.regexp_position(x text, pattern text, start bigint, occurrence bigint) returns bigint
language sql immutable parallel safe
return case
    when start < 1 then trino_dialect.fail('start position cannot be smaller than 1', '22023', start)
    when occurrence < 1 then trino_dialect.fail('occurrence cannot be smaller than 1', '22023', occurrence)
    when start > pg_catalog.length(x) and pattern is not null and occurrence is not null then -1
    else coalesce(nullif(regexp_instr(x, trino_dialect.regex(pattern), start::integer, occurrence::integer), 0),
        case when x is not null and pattern is not null and start is not null and occurrence is not null then -1 end) end;
comment on function trino.regexp_position(text, text, bigint, bigint) is
    'Where the pattern occurs in x from start on, for so many times; -1 if it does not.';
create function trino.regexp_position(x text, pattern text, start bigint) returns bigint language sql immutable parallel safe
return trino.regexp_position(x, pattern, start, 1);
comment on function trino.regexp_position(text, text, bigint) is 'Where the pattern first occurs in x from start on; -1 if it does not.';

create function trino.url_extract_port(url text) returns bigint language sql immutable parallel safe
return substring(url from '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?[^/?#:]*:([0-9]{1,18})(?:[/?#]|$)')::bigint;
comment on function trino.url_extract_port(text) is 'The port of a URL.';
create function trino.ends_with(x text, part text) returns boolean language sql immutable parallel safe
return pg_catalog.right(x, pg_catalog.length(part)) = part;
comment on function trino.ends_with(text, text) is 'Whether x ends with a part.';

create function trino_dialect.percent_decoded(x text) returns text language sql immutable parallel safe
return case when strpos(x, '%') = 0 then x when x !~ '%(?![0-9A-Fa-f]{2})' then trino.url_decode(pg_catalog.replace(x, '+', '%2B')) end;
comment on function trino_dialect.percent_decoded(text) is 'Part of the functions of URLs: x with %XX decoded; NULL where that is wrong.';
create or replace function trino.url_extract_path(url text) returns text language sql immutable parallel safe
return trino_dialect.percent_decoded(substring(url from '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)'));
create or replace function trino.url_extract_query(url text) returns text language sql immutable parallel safe
return trino_dialect.percent_decoded(substring(url from '^[^?#]*\?([^#]*)'));
create or replace function trino.url_extract_fragment(url text) returns text language sql immutable parallel safe
return trino_dialect.percent_decoded(substring(url from '^[^#]*#(.*)'));
create or replace function trino.url_extract_parameter(url text, name text) returns text language sql immutable parallel safe
return (
    select trino_dialect.percent_decoded(pg_catalog.substr(pair, pg_catalog.strpos(pair || '=', '=') + 1))
    from unnest(string_to_array(substring(url from '^[^?#]*\?([^#]*)'), '&')) with ordinality as pairs (pair, n)
    where trino_dialect.percent_decoded(pg_catalog.split_part(pair, '=', 1)) = name order by n limit 1);

alter function trino.human_readable_seconds(double precision) strict;
alter function trino.hamming_distance(text, text) strict;
alter function trino.json_array_contains(jsonb, anyelement) strict;
alter function trino.json_array_contains(jsonb, text) strict;
alter function trino.json_array_contains(text, anyelement) strict;
alter function trino.json_array_contains(text, text) strict;

alter function trino.from_iso8601_timestamp(text) strict;
alter function trino.from_iso8601_timestamp_nanos(text) strict;
alter function trino.from_iso8601_date(text) strict;
alter function trino.split(text, text) strict;
alter function trino.split(text, text, bigint) strict;
alter function trino.split_to_map(text, text, text) strict;
alter function trino.split_to_multimap(text, text, text) strict;
alter function trino_dialect.split_part(text, text, bigint) strict;

-- Regular expressions -----------------------------------------------------------------------------------
--
-- PostgreSQL takes the longest or the shortest match of the whole, by the first quantifier in it; Java each quantifier by
-- itself (PostgreSQL 15 docs, 9.7.3.5). What is lazy at the end of a pattern takes the least. Where a pattern has both
-- kinds, its end says more than its beginning: a greedy quantifier there goes on as long as it can, and what ends with
-- anything else ends as soon as it can.

create function trino_dialect.regex_preference(pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    shape text := pattern;
    flat text;
    before text;
begin
    if pattern !~ '[*+?}]\?' then
        return '';
    end if;
    -- Escapes, classes, the openings of groups and fixed numbers say nothing here.
    shape := regexp_replace(shape, '\\Q.*?(?:\\E|$)', 'q', 'g');
    shape := regexp_replace(shape, '\\[pP]\{\w+\}|\\.', 'e', 'g');
    shape := regexp_replace(shape, '\[\^?\]?(?:\[[:.=]\w+[:.=]\]|[^]])*\]', 'c', 'g');
    shape := regexp_replace(shape, '\(\?(?:<[=!]|[=!:]|P?<\w+>|[a-zA-Z]+\))', '(', 'g');
    shape := regexp_replace(shape, '\{\d+\}\??', '', 'g');
    flat := regexp_replace(shape, '[*+?}]\?', '', 'g');
    if shape !~ '[*+?}]\?' or flat !~ '[*+?]|\{\d*,' then
        return '';
    end if;
    flat := shape;
    loop
        before := flat;
        flat := regexp_replace(flat, '\([^()]*\)', 'g', 'g');
        exit when flat = before;
    end loop;
    -- Branches are the longest as a whole, whatever is in them.
    if flat ~ '\|' then
        return '';
    end if;
    shape := regexp_replace(shape, '\)+$', '');
    return case when shape ~ '(?:[*+}]|[^*+?}]\?)$' then '{1,1}' else '{1,1}?' end;
end
$$;
comment on function trino_dialect.regex_preference(text) is
    'Part of the regexp functions: the quantifier that makes the whole the longest or the shortest, or nothing.';

do $$
begin
    execute replace(
        pg_get_functiondef('trino_dialect.regex(text)'::regprocedure), 'trino_dialect.regex(', 'trino_dialect.regex_of_java(');
end
$$;
comment on function trino_dialect.regex_of_java(text) is
    'Part of the regexp functions: a pattern of Java as PostgreSQL writes it, quantifier by quantifier.';
create function trino_dialect.without_lazy_end(pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    parts text[];
begin
    loop
        parts := regexp_match(pattern, '^((?:.*[^\\])?(?:\\\\)*)(?:(\+|\*|\?)|\{(\d+),\d*\})\?(\)*)$', 's');
        if parts is null then
            return pattern;
        end if;
        pattern := parts[1] || case when parts[2] = '+' then '' when parts[2] is not null then '{0}' else '{' || parts[3] || '}' end
            || parts[4];
    end loop;
end
$$;
comment on function trino_dialect.without_lazy_end(text) is
    'Part of the regexp functions: a pattern that ends with a lazy quantifier, with the least that this takes instead.';
create or replace function trino_dialect.regex(pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    plain constant text := trino_dialect.without_lazy_end(pattern);
    preference constant text := trino_dialect.regex_preference(plain);
    -- PostgreSQL has flags at the very beginning only.
    translated constant text := trino_dialect.regex_of_java(regexp_replace(plain, '^\^(\(\?[a-zA-Z]+\))', '\1^'));
begin
    return case when preference = '' then translated
        else regexp_replace(translated, '^(\(\?[a-z]+\))?(.*)$', '\1(?:\2)' || preference, 's') end;
end
$$;

-- Sequences ---------------------------------------------------------------------------------------------
--
-- Each element is so many months after the first: one month after another gets no further than the shortest.

create function trino_dialect.months_from(start timestamp, stop timestamp, step interval) returns setof timestamp
language sql immutable parallel safe
begin atomic
    select start + n * step
    from generate_series(0, least(10000, ceil(abs(date_part('epoch', stop - start) / date_part('epoch', step)) * 1.1) + 1)::integer) as n
    where case when step > interval '0' then start + n * step <= stop else start + n * step >= stop end;
end;
comment on function trino_dialect.months_from(timestamp, timestamp, interval) is
    'Part of sequence(): times from start to stop, by a step that has months.';
create or replace function trino.sequence(start date, stop date, step interval) returns date[]
language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then trino_dialect.checked_sequence(
        case when date_part('month', step) <> 0 or date_part('year', step) <> 0
            then array(select t::date from trino_dialect.months_from(start::timestamp, stop::timestamp, step) as t)
            else array(select generate_series(start::timestamp, stop::timestamp, step)::date limit 10001) end,
        step > interval '0' and start <= stop, step < interval '0' and start >= stop) end;
create or replace function trino.sequence(start timestamp, stop timestamp, step interval) returns timestamp[]
language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then trino_dialect.checked_sequence(
        case when date_part('month', step) <> 0 or date_part('year', step) <> 0
            then array(select t from trino_dialect.months_from(start, stop, step) as t)
            else array(select generate_series(start, stop, step) limit 10001) end,
        step > interval '0' and start <= stop, step < interval '0' and start >= stop) end;

-- Numbers -----------------------------------------------------------------------------------------------

do $$
declare
    name text;
begin
    foreach name in array array['ceil', 'ceiling', 'floor'] loop
        execute format('create function trino_dialect.%I(x real) returns real language sql immutable parallel safe return pg_catalog.%I(x::double precision)::real', name, name);
        execute format('create function trino_dialect.%I(x smallint) returns smallint language sql immutable parallel safe return x', name);
        execute format('comment on function trino_dialect.%I(real) is %L', name, 'The next whole number, of the same type.');
        execute format('comment on function trino_dialect.%I(smallint) is %L', name, 'x itself.');
    end loop;
end
$$;
do $$
declare
    type text;
begin
    foreach type in array array['bigint', 'integer', 'smallint', 'real', 'double precision', 'numeric'] loop
        execute format('create function trino_dialect.sign(x %1$s) returns %1$s language sql immutable parallel safe '
            'return pg_catalog.sign(x::%2$s)::%1$s', type, case when type in ('real', 'double precision') then 'double precision' else 'numeric' end);
        execute format('comment on function trino_dialect.sign(%s) is %L', type, '-1, 0 or 1, of the type of x.');
    end loop;
end
$$;
create function trino_dialect.width_bucket(x double precision, low double precision, high double precision, buckets bigint)
returns bigint language sql immutable parallel safe
return pg_catalog.width_bucket(x, low, high, buckets::integer);
comment on function trino_dialect.width_bucket(double precision, double precision, double precision, bigint) is
    'The number of the bucket that x is in, of so many equal ones between two bounds.';
create function trino_dialect.width_bucket(x double precision, bins double precision[]) returns bigint
language sql immutable parallel safe
return pg_catalog.width_bucket(x, bins);
comment on function trino_dialect.width_bucket(double precision, double precision[]) is 'How many of the bounds x has reached.';

create aggregate trino.max(boolean) (
    sfunc = pg_catalog.boolor_statefunc, stype = boolean, combinefunc = pg_catalog.boolor_statefunc, parallel = safe);
comment on aggregate trino.max(boolean) is 'Whether one is true.';
create aggregate trino.min(boolean) (
    sfunc = pg_catalog.booland_statefunc, stype = boolean, combinefunc = pg_catalog.booland_statefunc, parallel = safe);
comment on aggregate trino.min(boolean) is 'Whether all are true.';

create function trino.truncate(x real) returns real language sql immutable parallel safe return trunc(x::double precision)::real;
comment on function trino.truncate(real) is 'x without its fraction.';

-- Arrays and maps ---------------------------------------------------------------------------------------
--
-- Elements of two types are compared as what both can be; and the elements of arrays of arrays, which are
-- PostgreSQL's of several dimensions, are no elements of these.

create function trino_dialect.flat(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when pg_catalog.array_ndims(x) > 1
    then trino_dialect.fail('arrays of arrays are not supported here', '0A000', x) else x end $$;
comment on function trino_dialect.flat(anyarray) is 'Part of functions of arrays: x, which is no array of arrays.';

drop function trino.array_union(anyarray, anyarray);
drop function trino.array_intersect(anyarray, anyarray);
drop function trino.array_except(anyarray, anyarray);
drop function trino.arrays_overlap(anyarray, anyarray);
create or replace function trino.array_sort(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) as e order by e nulls last) end $$;
create or replace function trino.array_distinct(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) with ordinality as u (e, n) group by e order by pg_catalog.min(n)) end $$;
create function trino.array_union(x anycompatiblearray, y anycompatiblearray) returns anycompatiblearray
language sql immutable parallel safe
as $$ select case when x is not null and y is not null then trino.array_distinct(x || y) end $$;
comment on function trino.array_union(anycompatiblearray, anycompatiblearray) is 'Elements of either, each once.';
create function trino.array_intersect(x anycompatiblearray, y anycompatiblearray) returns anycompatiblearray
language sql immutable parallel safe
as $$ select case when x is not null and y is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) with ordinality as u (e, n)
    where exists (select from pg_catalog.unnest(trino_dialect.flat(y)) as f where f is not distinct from e)
    group by e order by pg_catalog.min(n)) end $$;
comment on function trino.array_intersect(anycompatiblearray, anycompatiblearray) is 'Elements of both, each once.';
create function trino.array_except(x anycompatiblearray, y anycompatiblearray) returns anycompatiblearray
language sql immutable parallel safe
as $$ select case when x is not null and y is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) with ordinality as u (e, n)
    where not exists (select from pg_catalog.unnest(trino_dialect.flat(y)) as f where f is not distinct from e)
    group by e order by pg_catalog.min(n)) end $$;
comment on function trino.array_except(anycompatiblearray, anycompatiblearray) is 'Elements of x that y has not, each once.';
create function trino.arrays_overlap(x anycompatiblearray, y anycompatiblearray) returns boolean
language sql immutable parallel safe
as $$ select case when trino_dialect.flat(x) && trino_dialect.flat(y) then true
    when pg_catalog.array_position(x, null) is not null or pg_catalog.array_position(y, null) is not null then null
    else x && y end $$;
comment on function trino.arrays_overlap(anycompatiblearray, anycompatiblearray) is
    'Whether both have an element that is not NULL; NULL if not, but one has a NULL.';

create function trino.array_join(x boolean[], delimiter text) returns text language sql immutable parallel safe
return array_to_string(x::text[], delimiter);
comment on function trino.array_join(boolean[], text) is 'true and false with a delimiter between them, without NULLs.';
create function trino.array_join(x boolean[], delimiter text, "null" text) returns text language sql immutable parallel safe
return array_to_string(x::text[], delimiter, "null");
comment on function trino.array_join(boolean[], text, text) is 'true and false with a delimiter between them, and a text for NULLs.';
create function trino.array_join(x jsonb[], delimiter text) returns text language sql immutable parallel safe
return array_to_string(array(select e #>> '{}' from unnest(x) with ordinality as u (e, n) order by n), delimiter);
comment on function trino.array_join(jsonb[], text) is 'JSON scalars with a delimiter between them, without NULLs.';
create function trino.array_join(x jsonb[], delimiter text, "null" text) returns text language sql immutable parallel safe
return array_to_string(array(select e #>> '{}' from unnest(x) with ordinality as u (e, n) order by n), delimiter, "null");
comment on function trino.array_join(jsonb[], text, text) is 'JSON scalars with a delimiter between them, and a text for NULLs.';

create or replace function trino.map(keys anyarray, "values" anycompatiblearray) returns jsonb
language sql stable parallel safe
as $$ select case
    when coalesce(pg_catalog.array_length(keys, 1), 0) <> coalesce(pg_catalog.array_length("values", 1), 0)
        then trino_dialect.fail('Key and value arrays must be the same length', '22023', pg_catalog.to_jsonb(keys))
    when (select pg_catalog.count(distinct k) from pg_catalog.unnest(keys) as k) < pg_catalog.cardinality(keys)
        then trino_dialect.fail(pg_catalog.format('Duplicate map keys (%s) are not allowed',
            (select pg_catalog.min(d.k) from (
                select k::text from pg_catalog.unnest(keys) as k group by k having pg_catalog.count(*) > 1) as d (k))),
            '22023', pg_catalog.to_jsonb(keys))
    when pg_catalog.array_ndims("values") > 1 then (
        select pg_catalog.jsonb_object_agg(k::text, pg_catalog.to_jsonb("values") -> (n - 1)::integer)
        from pg_catalog.unnest(keys) with ordinality as entries (k, n))
    when keys is not null and "values" is not null then (
        select coalesce(pg_catalog.jsonb_object_agg(k::text, pg_catalog.to_jsonb(v)), '{}')
        from unnest(keys, "values") as entries (k, v)) end $$;

create function trino.map_concat(x jsonb, y jsonb, variadic others jsonb[]) returns jsonb language sql immutable parallel safe
return case when x is not null and y is not null and array_position(others, null) is null then (
    select coalesce(jsonb_object_agg(key, value order by n), '{}')
    from unnest(array[x, y] || others) with ordinality as maps (map, n), jsonb_each(map)) end;
comment on function trino.map_concat(jsonb, jsonb, jsonb[]) is 'The entries of all; of those with one key the last counts.';

create function trino.element_at(x jsonb, place bigint) returns jsonb language sql immutable parallel safe
return case jsonb_typeof(x) when 'object' then x -> place::text
    else case when place > 0 then x -> (place - 1)::integer when place < 0 then x -> place::integer
        when place = 0 then trino_dialect.fail('SQL array indices start at 1', '22023', x) end end;
comment on function trino.element_at(jsonb, bigint) is
    'Value of a key of a map whose keys are numbers, and element of an array, from 1, from the end if negative; NULL if there is none.';

drop function trino_dialect.map_value(anyarray, anycompatiblearray, anyelement);
drop function trino_dialect.map_entry(anyarray, anycompatiblearray, anyelement);
create function trino_dialect.map_value(keys anycompatiblearray, "values" anyarray, key anycompatible) returns anyelement
language sql immutable parallel safe
as $$ select "values"[pg_catalog.array_position(keys, key)] $$;
comment on function trino_dialect.map_value(anycompatiblearray, anyarray, anycompatible) is
    'Part of element_at: the value of a key in a map of two arrays; NULL if it has none.';
create function trino_dialect.map_entry(keys anycompatiblearray, "values" anyarray, key anycompatible) returns anyelement
language sql immutable parallel safe
as $$ select case when key is null or pg_catalog.array_position(keys, key) is not null
    then "values"[pg_catalog.array_position(keys, key)]
    else trino_dialect.fail('Key not present in map: ' || key, '22023', "values"[1]) end $$;
comment on function trino_dialect.map_entry(anycompatiblearray, anyarray, anycompatible) is
    'Part of subscripts: the value of a key in a map of two arrays; an error if it has none.';
