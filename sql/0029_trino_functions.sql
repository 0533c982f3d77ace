-- SPDX-License-Identifier: Apache-2.0
--
-- Functions of Trino that were missing: of arrays, hashes, and a histogram of numbers.

-- Arrays ------------------------------------------------------------------------------------------------

create function trino_dialect.zip_of(variadic arrays jsonb[]) returns jsonb language sql immutable parallel safe
return case when pg_catalog.array_position(arrays, null) is null then coalesce((
    select jsonb_agg((select jsonb_agg(a -> n order by place) from unnest(arrays) with ordinality as u (a, place)) order by n)
    from pg_catalog.generate_series(0, (select max(jsonb_array_length(a)) from unnest(arrays) as a) - 1) as n), '[]') end;
comment on function trino_dialect.zip_of(jsonb[]) is
    'Part of zip: rows of the elements at the same places; NULL where an array has ended. NULL if an array is.';

-- In the order in which Trino gives them: that of the places read from the last to the first.
create function trino.combinations(x anyarray, n bigint) returns anyarray language plpgsql immutable strict parallel safe
as $$
declare
    size integer := cardinality(x);
    places integer[];
    total numeric := 1;
    found x%type := '{}';
    step integer;
begin
    if n < 0 then
        raise exception 'combination size must not be negative: %', n using errcode = '22023';
    elsif n > 5 then
        raise exception 'combination size must not exceed 5: %', n using errcode = '22023';
    elsif n = 0 then
        raise exception 'combinations of no elements are not supported' using errcode = '0A000';
    elsif n > size then
        return found;
    end if;
    for i in 1..n loop
        total := total * (size - n + i) / i;
    end loop;
    if total * n > 100000 then
        raise exception 'combinations exceed max size' using errcode = '22023';
    end if;
    places := array(select generate_series(1, n)) || (size + 1);
    loop
        found := found || array[array(select x[place] from unnest(places[:n]) with ordinality as u (place, i) order by i)];
        -- The first place that has room before the next one goes on, and those before it begin again.
        step := 1;
        while places[step] + 1 >= places[step + 1] loop
            step := step + 1;
            if step > n then
                return found;
            end if;
        end loop;
        places[step] := places[step] + 1;
        for i in 1..step - 1 loop
            places[i] := i;
        end loop;
    end loop;
end
$$;
comment on function trino.combinations(anyarray, bigint) is 'All choices of n elements of an array, 1 to 5, by their places.';

-- Hashes ------------------------------------------------------------------------------------------------
--
-- XXH64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) with seed 0. Its words have 64 bits and no
-- sign; a bigint has the same bits, and so have sums and products once what does not fit is cut off.

create function trino_dialect.word(x numeric) returns bigint language sql immutable strict parallel safe
return (pg_catalog.mod(pg_catalog.mod(x, 18446744073709551616) + 27670116110564327424, 18446744073709551616)
    - 9223372036854775808)::bigint;
comment on function trino_dialect.word(numeric) is 'Part of xxhash64: the lowest 64 bits of a whole number.';
create function trino_dialect.word_rotated(x bigint, bits integer) returns bigint
language sql immutable strict parallel safe
return (x << bits) | ((x >> (64 - bits)) & ((1::bigint << bits) - 1));
comment on function trino_dialect.word_rotated(bigint, integer) is 'Part of xxhash64: bits moved to the left, and around.';
create function trino_dialect.word_mixed(x bigint, lane bigint) returns bigint
language sql immutable strict parallel safe
return trino_dialect.word(trino_dialect.word_rotated(trino_dialect.word(
    x + lane::numeric * -4417276706812531889), 31)::numeric * -7046029288634856825);
comment on function trino_dialect.word_mixed(bigint, bigint) is 'Part of xxhash64: a state after eight more bytes (the round of the specification).';

create function trino_dialect.word_at(x bytea, at integer, bytes integer) returns bigint
language sql immutable strict parallel safe
return (select bit_or(get_byte(x, at + n)::bigint << (8 * n)) from generate_series(0, bytes - 1) as n);
comment on function trino_dialect.word_at(bytea, integer, integer) is 'Part of xxhash64: a number of several bytes, the lowest first.';

create function trino.xxhash64(x bytea) returns bytea language plpgsql immutable strict parallel safe
as $$
declare
    -- The five primes of the specification.
    p1 constant bigint := 'x9E3779B185EBCA87'::bit(64)::bigint;
    p2 constant bigint := 'xC2B2AE3D27D4EB4F'::bit(64)::bigint;
    p3 constant bigint := 'x165667B19E3779F9'::bit(64)::bigint;
    p4 constant bigint := 'x85EBCA77C2B2AE63'::bit(64)::bigint;
    p5 constant bigint := 'x27D4EB2F165667C5'::bit(64)::bigint;
    states bigint[] := array[trino_dialect.word(p1::numeric + p2), p2, 0, trino_dialect.word(-p1::numeric)];
    size integer := length(x);
    at integer := 0;
    lane bigint;
    hash bigint := p5;
begin
    while at + 32 <= size loop
        for n in 1..4 loop
            states[n] := trino_dialect.word_mixed(states[n], trino_dialect.word_at(x, at, 8));
            at := at + 8;
        end loop;
    end loop;
    if size >= 32 then
        hash := trino_dialect.word(
            trino_dialect.word_rotated(states[1], 1)::numeric + trino_dialect.word_rotated(states[2], 7)
            + trino_dialect.word_rotated(states[3], 12) + trino_dialect.word_rotated(states[4], 18));
        foreach lane in array states loop
            hash := trino_dialect.word((hash # trino_dialect.word_mixed(0, lane))::numeric * p1 + p4);
        end loop;
    end if;
    hash := trino_dialect.word(hash::numeric + size);
    while at + 8 <= size loop
        hash := hash # trino_dialect.word_mixed(0, trino_dialect.word_at(x, at, 8));
        hash := trino_dialect.word(trino_dialect.word_rotated(hash, 27)::numeric * p1 + p4);
        at := at + 8;
    end loop;
    if at + 4 <= size then
        hash := hash # trino_dialect.word(trino_dialect.word_at(x, at, 4)::numeric * p1);
        hash := trino_dialect.word(trino_dialect.word_rotated(hash, 23)::numeric * p2 + p3);
        at := at + 4;
    end if;
    while at < size loop
        hash := hash # trino_dialect.word(get_byte(x, at)::numeric * p5);
        hash := trino_dialect.word(trino_dialect.word_rotated(hash, 11)::numeric * p1);
        at := at + 1;
    end loop;
    hash := trino_dialect.word((hash # ((hash >> 33) & 2147483647))::numeric * p2);
    hash := trino_dialect.word((hash # ((hash >> 29) & 34359738367))::numeric * p3);
    return int8send(hash # ((hash >> 32) & 4294967295));
end
$$;
comment on function trino.xxhash64(bytea) is 'XXH64 of bytes, as eight bytes.';

-- Equal values have equal hashes, whatever the settings of the session, and a sum has no order. It is not Trino's number.
create function trino_dialect.checksum_step(state numeric, x anyelement) returns numeric
language sql immutable parallel safe
as $$ select coalesce(state, 0) + case when x is null then 7046029288634856825
    else pg_catalog.hash_array_extended(array[x], 0) end $$;
comment on function trino_dialect.checksum_step(numeric, anyelement) is 'Part of checksum: one more value.';
create function trino_dialect.checksum_merge(a numeric, b numeric) returns numeric language sql immutable parallel safe
return case when a is null then b when b is null then a else a + b end;
comment on function trino_dialect.checksum_merge(numeric, numeric) is 'Part of checksum: two parts together.';
create function trino_dialect.checksum_of(state numeric) returns bytea language sql immutable strict parallel safe
return int8send(trino_dialect.word(state));
comment on function trino_dialect.checksum_of(numeric) is 'Part of checksum: eight bytes.';
create aggregate trino.checksum(anyelement) (
    sfunc = trino_dialect.checksum_step, stype = numeric, finalfunc = trino_dialect.checksum_of,
    combinefunc = trino_dialect.checksum_merge, parallel = safe);
comment on aggregate trino.checksum(anyelement) is
    'Eight bytes that are the same for the same values in any order; NULL of no rows. Not those of Trino.';

-- Histogram ---------------------------------------------------------------------------------------------
--
-- Neighbours become one bucket where that adds least to the spread within buckets: of values v and w with weights m and
-- n, (v - w)^2 m n / (m + n) (J. H. Ward, "Hierarchical grouping to optimize an objective function", 1963). As in Trino
-- that happens whenever there are 100 more than may remain, so that long inputs depend on their order.

create function trino_dialect.numeric_histogram_of(buckets bigint, x double precision[], weights double precision[])
returns jsonb language plpgsql immutable parallel safe
as $$
declare
    most constant integer := buckets;
    v double precision[] := '{}';
    m double precision[] := '{}';
    at integer := 1;
    room integer;
    best integer;
    spread double precision;
    least_spread double precision;
begin
    if buckets < 2 then
        raise exception 'numeric_histogram bucket count must be greater than one' using errcode = '22023';
    end if;
    while at <= cardinality(x) loop
        room := most + 100 - cardinality(v);
        select coalesce(array_agg(value order by value), '{}'), coalesce(array_agg(weight order by value), '{}')
        into v, m from (
            select value, sum(weight) as weight from (
                select u.value, u.weight from unnest(v, m) as u (value, weight)
                union all
                select u.value, u.weight from unnest(x[at:at + room - 1], weights[at:at + room - 1]) as u (value, weight)
                where u.value is not null and u.weight is not null
            ) as both_parts group by value
        ) as distinct_values;
        at := at + room;
        while cardinality(v) > most loop
            best := null;
            for i in 1..cardinality(v) - 1 loop
                spread := (v[i + 1] - v[i]) ^ 2 * m[i] * m[i + 1] / (m[i] + m[i + 1]);
                if best is null or spread < least_spread then
                    best := i;
                    least_spread := spread;
                end if;
            end loop;
            v[best] := (v[best] * m[best] + v[best + 1] * m[best + 1]) / (m[best] + m[best + 1]);
            m[best] := m[best] + m[best + 1];
            v := v[:best] || v[best + 2:];
            m := m[:best] || m[best + 2:];
        end loop;
    end loop;
    return (select jsonb_object_agg(u.value, u.weight) from unnest(v, m) as u (value, weight));
end
$$;
comment on function trino_dialect.numeric_histogram_of(bigint, double precision[], double precision[]) is
    'Part of numeric_histogram: a map of the middles of at most so many buckets and their weights; NULL of nothing.';

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
