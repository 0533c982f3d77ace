-- SPDX-License-Identifier: Apache-2.0
--
-- Functions of Trino, and some of Presto, that were missing: encodings of bytes, vectors, statistics, sums of arrays.

-- Hashes ------------------------------------------------------------------------------------------------

create function trino.sha1(x bytea) returns bytea language plpgsql immutable strict parallel safe
as $$
declare
    -- FIPS 180-4, 6.1. Words have 32 bits and no sign; a bigint has room for their sums.
    mask constant bigint := 4294967295;
    blocks constant bytea := x || '\x80'::bytea || decode(repeat('00', (119 - length(x) % 64) % 64), 'hex')
        || int8send(length(x)::bigint * 8);
    hash bigint[] := array[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    words bigint[];
    a bigint;
    b bigint;
    c bigint;
    d bigint;
    e bigint;
    t bigint;
begin
    for at in 0..length(blocks) - 64 by 64 loop
        for n in 0..15 loop
            words[n] := get_byte(blocks, at + n * 4)::bigint * 16777216 + get_byte(blocks, at + n * 4 + 1) * 65536
                + get_byte(blocks, at + n * 4 + 2) * 256 + get_byte(blocks, at + n * 4 + 3);
        end loop;
        for n in 16..79 loop
            t := words[n - 3] # words[n - 8] # words[n - 14] # words[n - 16];
            words[n] := ((t << 1) | (t >> 31)) & mask;
        end loop;
        a := hash[1];
        b := hash[2];
        c := hash[3];
        d := hash[4];
        e := hash[5];
        for n in 0..79 loop
            t := case n / 20 when 0 then ((b & c) | (~b & d)) + 1518500249 when 1 then (b # c # d) + 1859775393
                when 2 then ((b & c) | (b & d) | (c & d)) + 2400959708 else (b # c # d) + 3395469782 end;
            t := ((((a << 5) | (a >> 27)) & mask) + t + e + words[n]) & mask;
            e := d;
            d := c;
            c := ((b << 30) | (b >> 2)) & mask;
            b := a;
            a := t;
        end loop;
        hash := array[hash[1] + a & mask, hash[2] + b & mask, hash[3] + c & mask, hash[4] + d & mask, hash[5] + e & mask];
    end loop;
    return (select decode(string_agg(lpad(to_hex(u.word), 8, '0'), '' order by u.n), 'hex')
        from unnest(hash) with ordinality as u (word, n));
end
$$;
comment on function trino.sha1(bytea) is 'SHA-1 of bytes, as 20 bytes.';

create or replace function trino_dialect.hashed(hash text, x bytea) returns bytea
language sql immutable strict parallel safe
return case hash when 'md5' then trino_dialect.md5(x) when 'sha1' then trino.sha1(x)
    when 'sha256' then pg_catalog.sha256(x) when 'sha512' then pg_catalog.sha512(x) end;
create function trino.hmac_sha1(x bytea, key bytea) returns bytea language sql immutable strict parallel safe
return trino_dialect.hmac('sha1', 64, x, key);
comment on function trino.hmac_sha1(bytea, bytea) is 'HMAC with SHA-1 (RFC 2104).';

-- Encodings ---------------------------------------------------------------------------------------------

create function trino.to_base32(x bytea) returns text language sql immutable strict parallel safe
return (
    select coalesce(string_agg(pg_catalog.substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567',
        substring(bits from n for 5)::bit(5)::integer + 1, 1), '' order by n), '')
    from (select ('x' || encode(x, 'hex'))::bit varying as bits) as source,
        pg_catalog.generate_series(1, pg_catalog.length(x) * 8, 5) as n)
    || pg_catalog.repeat('=', (array[0, 6, 4, 3, 1])[pg_catalog.length(x) % 5 + 1]);
comment on function trino.to_base32(bytea) is 'Bytes in base 32 (RFC 4648).';

create function trino.from_base32(x text) returns bytea language plpgsql immutable strict parallel safe
as $$
declare
    digits constant text := rtrim(x, '=');
    wrong constant text := substring(digits from '[^A-Z2-7]');
    bits bit varying;
begin
    if length(digits) % 8 in (1, 3, 6) then
        raise exception 'Invalid input length %', length(digits) using errcode = '22023';
    elsif wrong is not null then
        raise exception 'Unrecognized character: %', wrong using errcode = '22023';
    end if;
    bits := (select string_agg(
            (strpos('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', u.digit) - 1)::bit(5)::text, '' order by u.n)::bit varying
        from unnest(string_to_array(digits, null)) with ordinality as u (digit, n));
    -- What is left over at the end is no byte.
    return coalesce((
        select string_agg(set_byte('\x00', 0, substring(bits from n for 8)::bit(8)::integer), ''::bytea order by n)
        from generate_series(1, length(digits) * 5 / 8 * 8, 8) as n), '');
end
$$;
comment on function trino.from_base32(text) is 'Bytes of a text in base 32 (RFC 4648).';

create function trino_dialect.base64_bytes(x text, signs text) returns bytea
language plpgsql immutable strict parallel safe
as $$
declare
    digits constant text := rtrim(x, '=');
    padding constant integer := length(x) - length(digits);
    wrong constant text := substring(digits from '[^A-Za-z0-9' || signs || ']');
begin
    if wrong is not null then
        raise exception 'Illegal base64 character %', to_hex(ascii(wrong)) using errcode = '22023';
    elsif padding > 2 or padding > 0 and length(x) % 4 > 0 then
        raise exception 'Input byte array has wrong 4-byte ending unit' using errcode = '22023';
    elsif length(digits) % 4 = 1 then
        raise exception 'Last unit does not have enough valid bits' using errcode = '22023';
    end if;
    return decode(translate(digits, '_-', '/+') || repeat('=', (4 - length(digits) % 4) % 4), 'base64');
end
$$;
comment on function trino_dialect.base64_bytes(text, text) is
    'Part of from_base64 and from_base64url: bytes of a text whose last two digits are these signs, with = at the end or without.';
create or replace function trino.from_base64(x text) returns bytea language sql immutable parallel safe
return trino_dialect.base64_bytes(x, '+/');
create function trino.from_base64url(x text) returns bytea language sql immutable parallel safe
return trino_dialect.base64_bytes(x, '_-');
comment on function trino.from_base64url(text) is 'Bytes of a text in base 64 for URLs and names of files (RFC 4648).';
create function trino.to_base64url(x bytea) returns text language sql immutable parallel safe
return translate(trino.to_base64(x), '+/', '-_');
comment on function trino.to_base64url(bytea) is 'Bytes in base 64 for URLs and names of files (RFC 4648).';

create function trino.to_big_endian_32(x integer) returns bytea language sql immutable parallel safe return int4send(x);
comment on function trino.to_big_endian_32(integer) is 'A whole number as four bytes, the highest first.';
create function trino.to_big_endian_64(x bigint) returns bytea language sql immutable parallel safe return int8send(x);
comment on function trino.to_big_endian_64(bigint) is 'A whole number as eight bytes, the highest first.';
create function trino.from_big_endian_32(x bytea) returns integer language sql immutable parallel safe
return case when pg_catalog.length(x) = 4 then ('x' || encode(x, 'hex'))::bit(32)::integer
    when x is not null then trino_dialect.fail(
        format('expected 4-byte input, but got instead: %s', pg_catalog.length(x)), '22023', pg_catalog.length(x)) end;
comment on function trino.from_big_endian_32(bytea) is 'The whole number of four bytes, the highest first.';
create function trino.from_big_endian_64(x bytea) returns bigint language sql immutable parallel safe
return case when pg_catalog.length(x) = 8 then ('x' || encode(x, 'hex'))::bit(64)::bigint
    when x is not null then trino_dialect.fail(format('expected 8-byte input, but got instead: %s',
        pg_catalog.length(x)), '22023', pg_catalog.length(x)::bigint) end;
comment on function trino.from_big_endian_64(bytea) is 'The whole number of eight bytes, the highest first.';

create function trino.to_ieee754_32(x real) returns bytea language sql immutable parallel safe return float4send(x);
comment on function trino.to_ieee754_32(real) is 'A real as four bytes (IEEE 754), the highest first.';
create function trino.to_ieee754_64(x double precision) returns bytea language sql immutable parallel safe
return float8send(x);
comment on function trino.to_ieee754_64(double precision) is 'A double as eight bytes (IEEE 754), the highest first.';

-- Of sign, exponent and fraction; every step is exact.
create function trino_dialect.float_of(bits bigint, fraction_bits integer, exponent_max integer) returns double precision
language sql immutable strict parallel safe
return (
    select case
        when exponent = exponent_max then
            case when fraction <> 0 then 'NaN' when bits < 0 then '-Infinity'::double precision else 'Infinity' end
        else case when bits < 0 then -1::double precision else 1 end
            * (case when exponent = 0 then fraction else fraction + (1::bigint << fraction_bits) end)::double precision
            * pg_catalog.power(2::double precision, greatest(exponent, 1) - exponent_max / 2 - fraction_bits) end
    from (select bits >> fraction_bits & exponent_max as exponent, bits & ((1::bigint << fraction_bits) - 1) as fraction)
        as parts);
comment on function trino_dialect.float_of(bigint, integer, integer) is
    'Part of from_ieee754_64 and from_ieee754_32: the number of these bits.';
create function trino.from_ieee754_32(x bytea) returns real language sql immutable parallel safe
return case when pg_catalog.length(x) = 4
    then trino_dialect.float_of(('x' || encode(x, 'hex'))::bit(32)::integer, 23, 255)::real
    when x is not null then trino_dialect.fail('Input floating-point value must be exactly 4 bytes long', '22023',
        pg_catalog.length(x)::real) end;
comment on function trino.from_ieee754_32(bytea) is 'The real of four bytes (IEEE 754), the highest first.';
create function trino.from_ieee754_64(x bytea) returns double precision language sql immutable parallel safe
return case when pg_catalog.length(x) = 8
    then trino_dialect.float_of(('x' || encode(x, 'hex'))::bit(64)::bigint, 52, 2047)
    when x is not null then trino_dialect.fail('Input floating-point value must be exactly 8 bytes long', '22023',
        pg_catalog.length(x)::double precision) end;
comment on function trino.from_ieee754_64(bytea) is 'The double of eight bytes (IEEE 754), the highest first.';

-- Bits --------------------------------------------------------------------------------------------------
--
-- What is moved keeps its type, and has as many bits as that: bitwise_right_shift(-1, 1) of an integer is 2147483647.

create function trino.bitwise_left_shift(x integer, n integer) returns integer language sql immutable parallel safe
return case when n >= 32 then 0 else x << n end;
comment on function trino.bitwise_left_shift(integer, integer) is 'Bits moved left by n.';
create function trino.bitwise_left_shift(x smallint, n integer) returns smallint language sql immutable parallel safe
return case when n >= 16 then 0::smallint else (((x::integer << n) & 65535 # 32768) - 32768)::smallint end;
comment on function trino.bitwise_left_shift(smallint, integer) is 'Bits moved left by n.';
create function trino.bitwise_right_shift(x integer, n integer) returns integer language sql immutable parallel safe
return case when n >= 32 then 0 when n = 0 then x else ((x::bigint & 4294967295) >> n)::integer end;
comment on function trino.bitwise_right_shift(integer, integer) is 'Bits moved right by n, zeros from the left.';
create function trino.bitwise_right_shift(x smallint, n integer) returns smallint language sql immutable parallel safe
return case when n >= 16 then 0::smallint when n = 0 then x else ((x::integer & 65535) >> n)::smallint end;
comment on function trino.bitwise_right_shift(smallint, integer) is 'Bits moved right by n, zeros from the left.';
create function trino.bitwise_right_shift_arithmetic(x bigint, n bigint) returns bigint
language sql immutable parallel safe return case when n is not null then x >> least(n, 63)::integer end;
comment on function trino.bitwise_right_shift_arithmetic(bigint, bigint) is 'Bits moved right by n, the sign from the left.';
create function trino.bitwise_right_shift_arithmetic(x integer, n integer) returns integer
language sql immutable parallel safe return case when n is not null then x >> least(n, 31) end;
comment on function trino.bitwise_right_shift_arithmetic(integer, integer) is 'Bits moved right by n, the sign from the left.';
create function trino.bitwise_right_shift_arithmetic(x smallint, n integer) returns smallint
language sql immutable parallel safe return case when n is not null then x >> least(n, 15) end;
comment on function trino.bitwise_right_shift_arithmetic(smallint, integer) is 'Bits moved right by n, the sign from the left.';

-- Texts -------------------------------------------------------------------------------------------------

create function trino.luhn_check(x text) returns boolean language sql immutable parallel safe
return case
    when x = '' then false
    when x ~ '[^0-9]' then trino_dialect.fail('Input contains non-digit character', '22023', x = '')
    else (
        select sum(case when u.n % 2 = 1 then u.digit::integer else (u.digit::integer * 2 - 1) % 9 + 1 end) % 10 = 0
        from unnest(string_to_array(pg_catalog.reverse(x), null)) with ordinality as u (digit, n)) end;
comment on function trino.luhn_check(text) is 'Whether digits end with the right check digit, by Luhn''s algorithm.';

create function trino.strrpos(x text, part text, instance bigint) returns bigint language sql immutable parallel safe
return case when instance <= 0
    then trino_dialect.fail('''instance'' must be a positive number.', '22023', instance)
    else trino_dialect.strpos(x, part, -instance) end;
comment on function trino.strrpos(text, text, bigint) is
    'Where the instance-th part, from the end, begins in x; 0 if there is none.';
create function trino.strrpos(x text, part text) returns bigint language sql immutable parallel safe
return trino_dialect.strpos(x, part, -1);
comment on function trino.strrpos(text, text) is 'Where the last part begins in x, from 1; 0 if there is none.';

create function trino.parse_data_size(x text) returns numeric language plpgsql immutable strict parallel safe
as $$
declare
    bytes numeric;
begin
    if x !~ '^([0-9]+[.]?[0-9]*|[.][0-9]+)[kMGTPEZY]?B$' then
        raise exception 'Invalid data size: ''%''', x using errcode = '22023';
    end if;
    bytes := trunc(substring(x from '^[0-9.]+')::numeric * 1024::numeric ^ strpos('kMGTPEZY', left(right(x, 2), 1)));
    if bytes >= 10::numeric ^ 38 then
        raise exception 'Value out of range: ''%'' (''%B'')', x, bytes using errcode = '22003';
    end if;
    return bytes;
end
$$;
comment on function trino.parse_data_size(text) is 'Bytes of a size with a unit: 2.3MB; a unit is 1024 of the one before.';

-- Statistics --------------------------------------------------------------------------------------------

create function trino.inverse_normal_cdf(mean double precision, sd double precision, p double precision)
returns double precision language plpgsql immutable strict parallel safe
as $$
declare
    -- M. J. Wichura, "Algorithm AS 241: The percentage points of the normal distribution", 1988: to 16 digits.
    q constant double precision := p - 0.5;
    r double precision;
    x double precision;
begin
    if not (p > 0 and p < 1) then
        raise exception 'p must be 0 > p > 1' using errcode = '22023';
    elsif sd <= 0 or sd = 'NaN' then
        raise exception 'sd must be > 0' using errcode = '22023';
    end if;
    if abs(q) <= 0.425 then
        r := 0.180625 - q * q;
        return mean + sd * q * (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
            + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
            + 133.14166789178437745) * r + 3.387132872796366608)
            / (((((((5226.495278852854561 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
            + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
            + 42.313330701600911252) * r + 1);
    end if;
    r := sqrt(-ln(case when q < 0 then p else 1 - p end));
    if r <= 5 then
        r := r - 1.6;
        x := (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
            + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
            + 4.6303378461565452959) * r + 1.42343711074968357734)
            / (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
            + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
            + 2.05319162663775882187) * r + 1);
    else
        r := r - 5;
        x := (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
            + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
            + 5.4637849111641143699) * r + 6.6579046435011037772)
            / (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
            + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
            + 0.59983220655588793769) * r + 1);
    end if;
    return mean + sd * case when q < 0 then -x else x end;
end
$$;
comment on function trino.inverse_normal_cdf(double precision, double precision, double precision) is
    'The value below which a normal variable of this mean and standard deviation is with probability p.';

create function trino_dialect.wilson_interval(successes bigint, trials bigint, z double precision, side integer)
returns double precision language plpgsql immutable strict parallel safe
as $$
declare
    n constant double precision := trials;
    p double precision;
begin
    if successes < 0 then
        raise exception 'number of successes must not be negative' using errcode = '22023';
    elsif trials <= 0 then
        raise exception 'number of trials must be positive' using errcode = '22023';
    elsif successes > trials then
        raise exception 'number of successes must not be larger than number of trials' using errcode = '22023';
    elsif z < 0 or z = 'NaN' then
        raise exception 'z-score must not be negative' using errcode = '22023';
    end if;
    p := successes / n;
    return (p + z * z / (2 * n) + side * z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n);
end
$$;
comment on function trino_dialect.wilson_interval(bigint, bigint, double precision, integer) is
    'Part of wilson_interval_lower and wilson_interval_upper: the bound below, with a side of -1, or above, with 1.';
create function trino.wilson_interval_lower(successes bigint, trials bigint, z double precision) returns double precision
language sql immutable parallel safe return trino_dialect.wilson_interval(successes, trials, z, -1);
comment on function trino.wilson_interval_lower(bigint, bigint, double precision) is
    'Lower bound of the probability of success, for a z-score (E. B. Wilson, 1927).';
create function trino.wilson_interval_upper(successes bigint, trials bigint, z double precision) returns double precision
language sql immutable parallel safe return trino_dialect.wilson_interval(successes, trials, z, 1);
comment on function trino.wilson_interval_upper(bigint, bigint, double precision) is
    'Upper bound of the probability of success, for a z-score (E. B. Wilson, 1927).';

-- Vectors -----------------------------------------------------------------------------------------------

create function trino.dot_product(x double precision[], y double precision[]) returns double precision
language sql immutable strict parallel safe
return case when pg_catalog.cardinality(x) <> pg_catalog.cardinality(y)
    then trino_dialect.fail('The arguments must have the same length', '22023', pg_catalog.cardinality(x)::double precision)
    else (select coalesce(sum(a * b), 0) from unnest(x, y) as u (a, b)) end;
comment on function trino.dot_product(double precision[], double precision[]) is
    'The sum of the products of elements at the same place; NULLs are 0.';
create function trino.euclidean_distance(x double precision[], y double precision[]) returns double precision
language sql immutable strict parallel safe
return case when pg_catalog.cardinality(x) <> pg_catalog.cardinality(y)
    then trino_dialect.fail('The arguments must have the same length', '22023', pg_catalog.cardinality(x)::double precision)
    else (
        select pg_catalog.sqrt(coalesce(sum((coalesce(a, 0) - coalesce(b, 0)) * (coalesce(a, 0) - coalesce(b, 0))), 0))
        from unnest(x, y) as u (a, b)) end;
comment on function trino.euclidean_distance(double precision[], double precision[]) is
    'How far two points are from each other; NULLs are 0.';

create function trino.cosine_similarity(x double precision[], y double precision[]) returns double precision
language plpgsql immutable strict parallel safe
as $$
declare
    dot double precision;
    xx double precision;
    yy double precision;
begin
    if cardinality(x) <> cardinality(y) then
        raise exception 'The arguments must have the same length' using errcode = '22023';
    elsif array_position(x, null) is not null or array_position(y, null) is not null then
        return null;
    end if;
    select sum(a * b), coalesce(sum(a * a), 0), coalesce(sum(b * b), 0) into dot, xx, yy from unnest(x, y) as u (a, b);
    if xx = 0 or yy = 0 then
        raise exception 'Vector magnitude cannot be zero' using errcode = '22023';
    end if;
    return dot / sqrt(xx * yy);
end
$$;
comment on function trino.cosine_similarity(double precision[], double precision[]) is
    'The cosine of the angle between two vectors; NULL if an element is.';
create function trino_dialect.map_length(x jsonb) returns double precision language sql immutable strict parallel safe
return (
    select case when count(v) = count(*) then pg_catalog.sqrt(coalesce(sum(v * v), 0)) end
    from (select (e.value #>> '{}')::double precision as v from jsonb_each(x) as e (key, value)) as entries);
comment on function trino_dialect.map_length(jsonb) is
    'Part of cosine_similarity: how long a vector is that is given by the names of its dimensions; NULL if a value is.';
create function trino.cosine_similarity(x jsonb, y jsonb) returns double precision
language sql immutable strict parallel safe
return case when trino_dialect.map_length(x) * trino_dialect.map_length(y) = 0 then 'NaN'
    else coalesce((
        select sum((a.value #>> '{}')::double precision * (b.value #>> '{}')::double precision)
        from jsonb_each(x) as a (key, value) inner join jsonb_each(y) as b (key, value) on b.key = a.key), 0)
        / (trino_dialect.map_length(x) * trino_dialect.map_length(y)) end;
comment on function trino.cosine_similarity(jsonb, jsonb) is
    'The cosine of the angle between two vectors that are maps of their dimensions; NULL if a value is.';
create function trino.cosine_distance(x double precision[], y double precision[]) returns double precision
language sql immutable parallel safe return 1 - trino.cosine_similarity(x, y);
comment on function trino.cosine_distance(double precision[], double precision[]) is
    '1 less the cosine of the angle between two vectors; NULL if an element is.';
create function trino.cosine_distance(x jsonb, y jsonb) returns double precision
language sql immutable parallel safe return 1 - trino.cosine_similarity(x, y);
comment on function trino.cosine_distance(jsonb, jsonb) is
    '1 less the cosine of the angle between two vectors that are maps of their dimensions; NULL if a value is.';

-- Arrays and maps ---------------------------------------------------------------------------------------

create function trino.array_histogram(x anyarray) returns jsonb language sql stable parallel safe
as $$ select case when x is not null then coalesce((
    select jsonb_object_agg(e::text, n) from (
        select e, count(*) as n from unnest(x) as e where e is not null group by e) as counts), '{}') end $$;
comment on function trino.array_histogram(anyarray) is 'A map of how often each element occurs.';
create function trino.array_frequency(x anyarray) returns jsonb language sql stable parallel safe
as $$ select trino.array_histogram(x) $$;
comment on function trino.array_frequency(anyarray) is 'A map of how often each element occurs.';

do $$
declare
    element text;
begin
    foreach element in array array['smallint', 'integer', 'bigint'] loop
        execute format(
            'create function trino.array_sum(x %1$s[]) returns bigint language sql immutable strict parallel safe '
            'return (select coalesce(sum(e), 0)::bigint from unnest(x) as e)', element);
        execute format('comment on function trino.array_sum(%s[]) is %L', element,
            'The sum of the elements, without NULLs; 0 of none.');
    end loop;
end
$$;
create function trino.array_sum(x double precision[]) returns double precision
language sql immutable strict parallel safe return (select coalesce(sum(e), 0) from unnest(x) as e);
comment on function trino.array_sum(double precision[]) is 'The sum of the elements, without NULLs; 0 of none.';
create function trino.array_average(x double precision[]) returns double precision
language sql immutable strict parallel safe return (select avg(e) from unnest(x) as e);
comment on function trino.array_average(double precision[]) is 'The mean of the elements, without NULLs; NULL of none.';

create function trino_dialect.array_position(x anycompatiblearray, element anycompatible, instance bigint) returns bigint
language sql immutable parallel safe
as $$ select case
    when instance = 0
        then trino_dialect.fail('0 is an invalid instance position for array_position.', '22023', instance)
    when x is not null and element is not null and instance is not null then coalesce((
        select places[case when instance > 0 then least(instance, 2147483647)
            else greatest(pg_catalog.cardinality(places) + 1 + instance, 0) end::integer]
        from (select pg_catalog.array_positions(x, element) as places) as found), 0) end $$;
comment on function trino_dialect.array_position(anycompatiblearray, anycompatible, bigint) is
    'Where the element stands for the instance-th time, from the end if instance is negative; 0 if it does not.';

create function trino_dialect.map_union_of(maps jsonb[]) returns jsonb language sql immutable parallel safe
return (
    select case when count(u.map) > 0 then coalesce((
        select jsonb_object_agg(e.key, e.value order by n.place)
        from unnest(maps) with ordinality as n (map, place), jsonb_each(n.map) as e (key, value)), '{}') end
    from unnest(maps) as u (map));
comment on function trino_dialect.map_union_of(jsonb[]) is 'Part of map_union.';
create aggregate trino.map_union(jsonb) (
    sfunc = array_append, stype = jsonb[], finalfunc = trino_dialect.map_union_of, combinefunc = array_cat,
    parallel = safe);
comment on aggregate trino.map_union(jsonb) is 'The entries of all maps; of a key in several, that of one of them.';

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
