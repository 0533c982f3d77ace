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
create function trino_dialect.to_real(x bigint) returns real language sql immutable parallel safe return x::real;
create function trino_dialect.to_real(x integer) returns real language sql immutable parallel safe return x::real;
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
            ('smallint', 'x::numeric', 'SMALLINT'),
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
            'return %s::smallint', source.type, case source.type when 'text' then 'x' else 'trino_dialect.to_integer(x)' end);
        execute format('comment on function trino_dialect.to_smallint(%s) is %L', source.type,
            'Part of casts: CAST(x AS smallint), rounded half away from zero.');
    end loop;
    -- What is a whole number already is no double on its way.
    for source in
        select * from (values
            ('smallint', 'smallint'), ('integer', 'smallint'), ('bigint', 'smallint'), ('bigint', 'integer')
        ) as sources (name, type)
    loop
        execute format(
            'create function trino_dialect.to_%1$s(x %2$s) returns %1$s language sql immutable parallel safe return x::%1$s',
            source.name, source.type);
        execute format('comment on function trino_dialect.to_%s(%s) is %L', source.name, source.type,
            format('Part of casts: CAST(x AS %s).', source.name));
    end loop;
    foreach source.type in array array['double precision', 'boolean', 'text', 'jsonb'] loop
        execute format('comment on function trino_dialect.to_double(%s) is %L', source.type, 'Part of casts: CAST(x AS double).');
    end loop;
    foreach source.type in array array['real', 'double precision', 'bigint', 'integer', 'numeric', 'boolean', 'text', 'jsonb'] loop
        execute format('comment on function trino_dialect.to_real(%s) is %L', source.type, 'Part of casts: CAST(x AS real).');
    end loop;
    -- Of these some types are cast to in another way than PostgreSQL does.
    for source in
        select type, branches from (values
            (array['double precision', 'real'],
                'when ''bigint''::regtype, ''integer''::regtype, ''smallint''::regtype then sample := trino_dialect.round(value); '
                'when ''numeric''::regtype then sample := value::text; '),
            (array['boolean'],
                'when ''double precision''::regtype, ''real''::regtype, ''numeric''::regtype then sample := value::integer; '),
            (array['time'], 'when ''timestamp''::regtype then sample := trino_dialect.to_timestamp(value); '
                'when ''text''::regtype then sample := trino_dialect.to_varchar(value); '),
            (array['timetz', 'interval', 'uuid', 'inet'],
                'when ''text''::regtype then sample := trino_dialect.to_varchar(value); ')
        ) as sources (types, branches), unnest(types) as type
    loop
        execute format(
            'create or replace function trino_dialect.try_cast(value %s, sample anyelement) returns anyelement '
            'language plpgsql stable parallel unsafe as %L', source.type,
            'begin case pg_typeof(sample) ' || source.branches || 'else sample := value; end case; return sample; '
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
create function trino_dialect.to_timestamp(x time) returns timestamp language sql stable parallel safe
return current_date + x;
comment on function trino_dialect.to_timestamp(time) is 'Part of casts: CAST(x AS timestamp): of today.';
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
begin
    return convert_from(x, 'UTF8');
exception when character_not_in_repertoire or untranslatable_character then
    -- What is well-formed by table 3-7 of the Unicode standard, 15.0, as characters of one byte each.
    return (
        select string_agg(case when m[1] is null then replacement else convert_from(convert_to(m[1], 'LATIN1'), 'UTF8') end, '' order by n)
        from regexp_matches(convert_from(x, 'LATIN1'),
            '((?:[\u0001-\u007f]|[\u00c2-\u00df][\u0080-\u00bf]|\u00e0[\u00a0-\u00bf][\u0080-\u00bf]'
            '|[\u00e1-\u00ec\u00ee\u00ef][\u0080-\u00bf]{2}|\u00ed[\u0080-\u009f][\u0080-\u00bf]'
            '|\u00f0[\u0090-\u00bf][\u0080-\u00bf]{2}|[\u00f1-\u00f3][\u0080-\u00bf]{3}|\u00f4[\u0080-\u008f][\u0080-\u00bf]{2})+)'
            '|[\u0080-\u00ff]', 'g') with ordinality as runs (m, n));
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

create function trino_dialect.percent_decoded(x text) returns text language sql immutable parallel unsafe
return case when strpos(x, '%') = 0 then x when x !~ '%(?![0-9A-Fa-f]{2})' then trino.from_utf8((
    select string_agg(
        case when pg_catalog.left(u.m[1], 1) = '%' then decode(pg_catalog.substr(u.m[1], 2), 'hex') else convert_to(u.m[1], 'UTF8') end,
        ''::bytea order by u.n)
    from regexp_matches(x, '(%[0-9A-Fa-f]{2}|[^%]+)', 'g') with ordinality as u (m, n))) end;
comment on function trino_dialect.percent_decoded(text) is 'Part of the functions of URLs: x with %XX decoded; NULL where that is wrong.';
create or replace function trino.url_extract_path(url text) returns text language sql immutable parallel unsafe
return trino_dialect.percent_decoded(substring(url from '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)'));
create or replace function trino.url_extract_query(url text) returns text language sql immutable parallel unsafe
return trino_dialect.percent_decoded(substring(url from '^[^?#]*\?([^#]*)'));
create or replace function trino.url_extract_fragment(url text) returns text language sql immutable parallel unsafe
return trino_dialect.percent_decoded(substring(url from '^[^#]*#(.*)'));
create or replace function trino.url_extract_parameter(url text, name text) returns text language sql immutable parallel unsafe
return (
    select trino_dialect.percent_decoded(pg_catalog.substr(pair, pg_catalog.strpos(pair || '=', '=') + 1))
    from unnest(string_to_array(substring(url from '^[^?#]*\?([^#]*)'), '&')) with ordinality as pairs (pair, n)
    where pg_catalog.split_part(pair, '=', 1) = name order by n limit 1);

alter function trino.human_readable_seconds(double precision) strict;
alter function trino.hamming_distance(text, text) strict;
alter function trino.json_array_contains(jsonb, anyelement) strict;
alter function trino.json_array_contains(jsonb, text) strict;
alter function trino.json_array_contains(text, anyelement) strict;
alter function trino.json_array_contains(text, text) strict;

-- Where a function is put in place of its call, NULL is a case of its own: one that is strict is called.
alter function trino.split_to_map(text, text, text) strict;
alter function trino.split_to_multimap(text, text, text) strict;
create or replace function trino.split(x text, delimiter text) returns text[] language sql immutable parallel safe
return case when delimiter is null then null when x = '' then array[''] else string_to_array(x, delimiter) end;
create or replace function trino.split(x text, delimiter text, "limit" bigint) returns text[] language sql immutable parallel safe
return (
    select case when cardinality(parts) <= "limit" then parts
        else parts[1:("limit" - 1)::integer] || array_to_string(parts["limit"::integer:], delimiter) end
    from (select trino.split(x, delimiter) as parts) as whole);
create or replace function trino_dialect.split_part(x text, delimiter text, n bigint) returns text
language sql immutable parallel safe
return case
    when delimiter is null then null
    when n < 1 then trino_dialect.fail('Index must be greater than zero', '22023', x)
    when x = '' and n = 1 then ''
    else (string_to_array(x, delimiter))[n::integer] end;
create or replace function trino.from_iso8601_timestamp(text text) returns timestamptz
language sql stable parallel safe
return case
    when text is null then null
    when text ~ '^[+-]?\d{4,}(-\d\d(-\d\d)?)?(T\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?(Z|[+-]\d\d(:?\d\d)?)?$'
    then (case
        when text ~ '^\d{4}(T.*)?$' then regexp_replace(text, '^(\d{4})', '\1-01-01')
        when text ~ '^\d{4}-\d\d(T.*)?$' then regexp_replace(text, '^(\d{4}-\d\d)', '\1-01')
        when text ~ 'T\d\d(Z|[+-].*)?$' then regexp_replace(text, 'T(\d\d)', 'T\1:00')
        else text end)::timestamptz
    else trino_dialect.fail(format('Invalid format: "%s"', text), '22007', null::timestamptz) end;
create or replace function trino.from_iso8601_date(text text) returns date
language sql stable parallel safe
return case
    when text is null then null
    when text ~ '^\d{4}-\d\d-\d\d$' then text::date
    when text ~ '^\d{4}-W\d\d$' then to_date(text || '-1', 'IYYY-"W"IW-ID')
    when text ~ '^\d{4}-W\d\d-\d$' then to_date(text, 'IYYY-"W"IW-ID')
    when text ~ '^\d{4}-\d{3}$' then to_date(text, 'YYYY-DDD')
    when text ~ '^\d{4}-\d\d$' then to_date(text, 'YYYY-MM')
    when text ~ '^\d{4}$' then to_date(text, 'YYYY')
    else trino_dialect.fail(format('Invalid format: "%s"', text), '22007', null::date) end;

-- Regular expressions -----------------------------------------------------------------------------------
--
-- PostgreSQL takes the longest or the shortest match of the whole, by the first quantifier in it; Java each quantifier by
-- itself (PostgreSQL 15 docs, 9.7.3.5). So a pattern that mixes lazy and greedy quantifiers is written with greedy ones
-- alone: what a lazy one repeats is what the rest of the pattern does not begin at, `.*?>\s*` is `(?:(?!>\s*).)*>\s*`.
-- Where that cannot be said, a `+` at the end tells that the whole is to be long, anything else that it is to be short.

create function trino_dialect.regex_without_lazy(pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    tokens text[] := array(
        select m[1] from regexp_matches(pattern,
            '(\\Q(?:[^\\]|\\(?!E))*(?:\\E)?|\\[pP]\{\w+\}|\\.|\[\^?\]?(?:\[[:.=]\w+[:.=]\]|\\.|[^]\\])*\]'
            '|\(\?(?:<?[=!]|:|P?<\w+>)|[*+?][?+]?|\{\d+(?:,\d*)?\}[?+]?|.)', 'g') with ordinality as t (m, n) order by n);
    size constant integer := cardinality(tokens);
    -- What a token is: the opening or the end of a group, a branch, or anything else.
    kinds text[] := array(
        select case when t ~ '^\(' then '(' when t in (')', '|') then t else '' end from unnest(tokens) with ordinality as u (t, n) order by n);
    partners integer[] := array_fill(0, array[size]);
    openings integer[] := '{}';
    depth integer;
    first integer;
    bounds text[];
    tail text;
    atom text;
    is_known boolean;
begin
    if not exists (select from unnest(tokens) as t where t ~ '^(?:[*+?]|\{.*\})\?$')
        or not exists (select from unnest(tokens) as t where t ~ '^(?:[*+?]|\{\d+,\d*\})$') or pattern ~ '\\[1-9]'
    then
        return pattern;
    end if;
    for i in 1..size loop
        if kinds[i] = '(' then
            openings := openings || i;
        elsif kinds[i] = ')' and cardinality(openings) > 0 then
            partners[i] := openings[cardinality(openings)];
            openings := openings[:cardinality(openings) - 1];
        end if;
    end loop;
    for i in reverse size..2 loop
        continue when tokens[i] !~ '^(?:[*+?]|\{.*\})\?$';
        first := case when kinds[i - 1] = ')' then partners[i - 1] else i - 1 end;
        continue when first = 0 or kinds[first] = '(' and tokens[first] <> '(?:';
        -- The rest of the pattern, without the ends of the groups that are open here.
        tail := '';
        depth := 0;
        is_known := true;
        for j in i + 1..size loop
            depth := depth + case kinds[j] when '(' then 1 when ')' then -1 else 0 end;
            if depth < 0 then
                depth := 0;
                exit when partners[j] = 0 or tokens[partners[j]] ~ '^\(\?<?[=!]$';
                is_known := is_known and coalesce(tokens[j + 1], '') !~ '^(?:[*+?]|\{\d)';
            else
                is_known := is_known and (depth > 0 or kinds[j] <> '|');
                tail := tail || tokens[j];
            end if;
        end loop;
        -- The rest is written once more for each.
        continue when not is_known or length(tail) > 500;
        atom := array_to_string(tokens[first:i - 1], '');
        bounds := regexp_match(tokens[i], '\{(\d+)(,?)(\d*)\}');
        bounds := case tokens[i] when '*?' then array['0', ',', ''] when '+?' then array['1', ',', ''] when '??' then array['0', ',', '1']
            else bounds end;
        tokens[first] := case when bounds[1] = '1' then atom when bounds[1] <> '0' then atom || '{' || bounds[1] || '}'
                when tail = '' then atom || '{0}' else '' end
            || case when tail = '' or bounds[2] = '' then '' else '(?:(?!' || tail || ')' || atom || ')'
                || case when bounds[3] = '' then '*' else '{0,' || (bounds[3]::integer - bounds[1]::integer) || '}' end end;
        for j in first + 1..i loop
            tokens[j] := '';
        end loop;
        for j in first..i loop
            kinds[j] := '';
        end loop;
    end loop;
    return array_to_string(tokens, '');
end
$$;
comment on function trino_dialect.regex_without_lazy(text) is
    'Part of the regexp functions: a pattern of Java with greedy quantifiers alone, as far as that is known to mean the same.';

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
    return case when shape ~ '(?:\+|\{\d+,\d*\})$' then '{1,1}' else '{1,1}?' end;
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
create or replace function trino_dialect.regex(pattern text) returns text
language plpgsql immutable strict parallel safe
as $$
declare
    -- Of a pattern with comments the end is not what stands there.
    is_commented constant boolean := pattern ~ '^\^?\(\?[a-zA-Z]*x';
    plain constant text := case when is_commented then pattern else trino_dialect.regex_without_lazy(pattern) end;
    preference constant text := case when is_commented then '' else trino_dialect.regex_preference(plain) end;
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
-- PostgreSQL's of several dimensions, are no elements of these. Functions of the schema trino stay what they are to views
-- of the store's own.

create function trino_dialect.flat(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when pg_catalog.array_ndims(x) > 1
    then trino_dialect.fail('arrays of arrays are not supported here', '0A000', x) else x end $$;
comment on function trino_dialect.flat(anyarray) is 'Part of functions of arrays: x, which is no array of arrays.';

create or replace function trino.array_sort(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) as e order by e nulls last) end $$;
create or replace function trino.array_distinct(x anyarray) returns anyarray language sql immutable parallel safe
as $$ select case when x is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) with ordinality as u (e, n) group by e order by pg_catalog.min(n)) end $$;
create function trino_dialect.array_union(x anycompatiblearray, y anycompatiblearray) returns anycompatiblearray
language sql immutable parallel safe
as $$ select case when x is not null and y is not null then trino.array_distinct(x || y) end $$;
comment on function trino_dialect.array_union(anycompatiblearray, anycompatiblearray) is 'Elements of either, each once.';
create function trino_dialect.array_intersect(x anycompatiblearray, y anycompatiblearray) returns anycompatiblearray
language sql immutable parallel safe
as $$ select case when x is not null and y is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) with ordinality as u (e, n)
    where exists (select from pg_catalog.unnest(trino_dialect.flat(y)) as f where f is not distinct from e)
    group by e order by pg_catalog.min(n)) end $$;
comment on function trino_dialect.array_intersect(anycompatiblearray, anycompatiblearray) is 'Elements of both, each once.';
create function trino_dialect.array_except(x anycompatiblearray, y anycompatiblearray) returns anycompatiblearray
language sql immutable parallel safe
as $$ select case when x is not null and y is not null then array(
    select e from pg_catalog.unnest(trino_dialect.flat(x)) with ordinality as u (e, n)
    where not exists (select from pg_catalog.unnest(trino_dialect.flat(y)) as f where f is not distinct from e)
    group by e order by pg_catalog.min(n)) end $$;
comment on function trino_dialect.array_except(anycompatiblearray, anycompatiblearray) is 'Elements of x that y has not, each once.';
create function trino_dialect.arrays_overlap(x anycompatiblearray, y anycompatiblearray) returns boolean
language sql immutable parallel safe
as $$ select case when trino_dialect.flat(x) && trino_dialect.flat(y) then true
    when pg_catalog.array_position(x, null) is not null or pg_catalog.array_position(y, null) is not null then null
    else x && y end $$;
comment on function trino_dialect.arrays_overlap(anycompatiblearray, anycompatiblearray) is
    'Whether both have an element that is not NULL; NULL if not, but one has a NULL.';

create or replace function trino.array_union(x anyarray, y anyarray) returns anyarray language sql immutable parallel safe
as $$ select trino_dialect.array_union(x, y) $$;
create or replace function trino.array_intersect(x anyarray, y anyarray) returns anyarray language sql immutable parallel safe
as $$ select trino_dialect.array_intersect(x, y) $$;
create or replace function trino.array_except(x anyarray, y anyarray) returns anyarray language sql immutable parallel safe
as $$ select trino_dialect.array_except(x, y) $$;
create or replace function trino.arrays_overlap(x anyarray, y anyarray) returns boolean language sql immutable parallel safe
as $$ select trino_dialect.arrays_overlap(x, y) $$;

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
