-- SPDX-License-Identifier: Apache-2.0
--
-- Arrays that a query makes out of nothing have at most the 10,000 elements that Trino's have: those of hundreds of
-- millions took the memory of a whole server process.

-- As far as a series is too long, it is not made: in a select list it comes one value at a time.

create function trino_dialect.checked_sequence(elements anyarray, rises boolean, falls boolean) returns anyarray
language sql immutable parallel safe
as $$ select case
    when rises is not true and falls is not true then trino_dialect.fail(
        'sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start',
        '22023', elements)
    when cardinality(elements) > 10000 then trino_dialect.fail(
        'result of sequence function must not have more than 10000 entries', '22023', elements)
    else elements end $$;
comment on function trino_dialect.checked_sequence(anyarray, boolean, boolean) is
    'Part of sequence(): the elements, of which there are no more than 10,000; rises and falls tell whether the step leads from start to stop.';

create or replace function trino.sequence(start bigint, stop bigint) returns bigint[] language sql immutable parallel safe
return case when start is not null and stop is not null
    then trino_dialect.checked_sequence(
        array(select generate_series(start, stop, case when start <= stop then 1 else -1 end) limit 10001), true, true) end;

create or replace function trino.sequence(start bigint, stop bigint, step bigint) returns bigint[]
language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then trino_dialect.checked_sequence(
        array(select generate_series(start, stop, step) limit 10001),
        step > 0 and start <= stop, step < 0 and start >= stop) end;

create or replace function trino.sequence(start date, stop date) returns date[] language sql immutable parallel safe
return case when start is not null and stop is not null
    then trino_dialect.checked_sequence(
        array(select generate_series(start::timestamp, stop::timestamp,
            case when start <= stop then interval '1 day' else interval '-1 day' end)::date limit 10001), true, true) end;

create or replace function trino.sequence(start date, stop date, step interval) returns date[]
language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then trino_dialect.checked_sequence(
        array(select generate_series(start::timestamp, stop::timestamp, step)::date limit 10001),
        step > interval '0' and start <= stop, step < interval '0' and start >= stop) end;

create or replace function trino.sequence(start timestamp, stop timestamp, step interval) returns timestamp[]
language sql immutable parallel safe
return case when start is not null and stop is not null and step is not null
    then trino_dialect.checked_sequence(
        array(select generate_series(start, stop, step) limit 10001),
        step > interval '0' and start <= stop, step < interval '0' and start >= stop) end;

create function trino_dialect.repetitions(n bigint) returns integer
language sql immutable parallel safe
as $$ select case
    when n > 10000 then trino_dialect.fail(
        'count argument of repeat function must be less than or equal to 10000', '22023', least(n, 0)::integer)
    when n < 0 then trino_dialect.fail(
        'count argument of repeat function must be greater than or equal to 0', '22023', least(n, 0)::integer)
    else n::integer end $$;
comment on function trino_dialect.repetitions(bigint) is 'Part of repeat(): how often, from 0 to 10,000.';

create or replace function trino_dialect.repeat(element anyelement, n bigint) returns anyarray
language sql immutable parallel safe
as $$ select array_fill(element, array[trino_dialect.repetitions(n)]) $$;

create or replace function trino_dialect.repeat(element text, n bigint) returns text[] language sql immutable parallel safe
return array_fill(element, array[trino_dialect.repetitions(n)]);

grant execute on function trino_dialect.checked_sequence(anyarray, boolean, boolean), trino_dialect.repetitions(bigint)
to tapedeck_reader;
