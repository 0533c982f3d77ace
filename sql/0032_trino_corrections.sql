-- SPDX-License-Identifier: Apache-2.0
--
-- What clients of Trino were told otherwise than by Trino: logarithms and powers of decimals, arrays of arrays, texts of
-- arrays, the zone of a session that is an offset. And functions of URLs and keyed hashes that were missing.

-- Doubles -----------------------------------------------------------------------------------------------
--
-- PostgreSQL's of a decimal give a decimal; Trino has them of doubles alone, and with NaN and infinities where PostgreSQL
-- has errors.

-- None is STRICT: PostgreSQL would not take it apart into the statement, and a call costs ten times as much.

create function trino_dialect.sqrt(x double precision) returns double precision language sql immutable parallel safe
return case when x < 0 then 'NaN' else pg_catalog.sqrt(x) end;
comment on function trino_dialect.sqrt(double precision) is 'Square root; NaN of what is negative.';
create function trino_dialect.cbrt(x double precision) returns double precision language sql immutable parallel safe
return pg_catalog.cbrt(x);
comment on function trino_dialect.cbrt(double precision) is 'Cube root.';
create function trino_dialect.ln(x double precision) returns double precision language sql immutable parallel safe
return case when x < 0 then 'NaN' when x = 0 then '-Infinity' else pg_catalog.ln(x) end;
comment on function trino_dialect.ln(double precision) is 'Natural logarithm; -infinity of 0, NaN of what is negative.';
create function trino_dialect.log10(x double precision) returns double precision language sql immutable parallel safe
return case when x < 0 then 'NaN' when x = 0 then '-Infinity' else pg_catalog.log10(x) end;
comment on function trino_dialect.log10(double precision) is 'Logarithm to base 10; -infinity of 0, NaN of what is negative.';
create function trino_dialect.exp(x double precision) returns double precision language sql immutable parallel safe
return case when x > 709.782712893384 and x <> 'NaN' then 'Infinity' when x < -745.13 then 0 else pg_catalog.exp(x) end;
comment on function trino_dialect.exp(double precision) is 'e to the power of x; infinity, or 0, where doubles end.';
create function trino_dialect.power(x double precision, y double precision) returns double precision
language sql immutable parallel safe
return case
    when x = 'NaN' or y = 'NaN' or abs(x) = 'Infinity' or abs(y) = 'Infinity' then pg_catalog.power(x, y)
    when x = 0 and y < 0 then 'Infinity'
    when x < 0 and y <> pg_catalog.trunc(y) then 'NaN'
    -- Where doubles end.
    when abs(x) > 1 and y > 709.782712893384 / pg_catalog.ln(abs(x))
        or abs(x) < 1 and x <> 0 and y < 709.782712893384 / pg_catalog.ln(abs(x))
        then case when x < 0 and y / 2 <> pg_catalog.trunc(y / 2) then '-Infinity'::double precision else 'Infinity' end
    when abs(x) > 1 and y < -745.13 / pg_catalog.ln(abs(x))
        or abs(x) < 1 and x <> 0 and y > -745.13 / pg_catalog.ln(abs(x)) then 0
    else pg_catalog.power(x, y) end;
comment on function trino_dialect.power(double precision, double precision) is
    'x to the power of y; infinity of 0 to a negative power and where doubles end, NaN of what is negative to a fraction.';
create function trino_dialect.pow(x double precision, y double precision) returns double precision
language sql immutable parallel safe return trino_dialect.power(x, y);
comment on function trino_dialect.pow(double precision, double precision) is 'x to the power of y.';
create or replace function trino_dialect.log(base double precision, x double precision) returns double precision
language sql immutable parallel safe
return case when base = 1 then case when x > 1 then 'Infinity'::double precision when x < 1 then '-Infinity' else 'NaN' end
    else trino_dialect.ln(x) / trino_dialect.ln(base) end;
create or replace function trino.log2(x double precision) returns double precision
language sql immutable parallel safe return trino_dialect.ln(x) / pg_catalog.ln(2::double precision);

create function trino.normal_cdf(mean double precision, sd double precision, x double precision) returns double precision
language plpgsql immutable strict parallel safe
as $$
declare
    -- W. J. Cody, "Rational Chebyshev approximation for the error function", 1969: erfc, to the last digits of a double.
    z double precision;
    a double precision;
    part double precision;
    tail double precision;
begin
    if sd <= 0 then
        raise exception 'standardDeviation must be > 0' using errcode = '22023';
    end if;
    if x = 'NaN' or mean = 'NaN' or sd = 'NaN' or x = mean and abs(x) = 'Infinity' then
        return 'NaN';
    elsif abs(x - mean) >= 40 * least(sd, 1e300) then
        return case when x < mean then 0 else 1 end;
    end if;
    z := (x - mean) / sd / sqrt(2::double precision);
    a := abs(z);
    if a < 1e-20 then
        return 0.5;
    elsif a <= 0.46875 then
        part := a * a;
        return 0.5 + 0.5 * z * ((((0.185777706184603153 * part + 3.16112374387056560) * part + 113.864154151050156) * part
            + 377.485237685302021) * part + 3209.37758913846947)
            / ((((part + 23.6012909523441209) * part + 244.024637934444173) * part + 1282.61652607737228) * part
            + 2844.23683343917062);
    elsif a <= 4 then
        tail := ((((((((2.15311535474403846e-8 * a + 0.564188496988670089) * a + 8.88314979438837594) * a
            + 66.1191906371416295) * a + 298.635138197400131) * a + 881.952221241769090) * a + 1712.04761263407058) * a
            + 2051.07837782607147) * a + 1230.33935479799725)
            / ((((((((a + 15.7449261107098347) * a + 117.693950891312499) * a + 537.181101862009858) * a
            + 1621.38957456669019) * a + 3290.79923573345963) * a + 4362.61909014324716) * a + 3439.36767414372164) * a
            + 1230.33935480374942);
    elsif a > 26.5 then
        return case when z < 0 then 0 else 1 end;
    else
        part := 1 / (a * a);
        tail := part * (((((0.0163153871373020978 * part + 0.305326634961232344) * part + 0.360344899949804439) * part
            + 0.125781726111229246) * part + 0.0160837851487422766) * part + 0.000658749161529837803)
            / (((((part + 2.56852019228982242) * part + 1.87295284992346725) * part + 0.527905102951428412) * part
            + 0.0605183413124413191) * part + 0.00233520497626869185);
        tail := (0.56418958354775628695 - tail) / a;
    end if;
    tail := exp(-a * a) * tail / 2;
    return case when z < 0 then tail else 1 - tail end;
end
$$;
comment on function trino.normal_cdf(double precision, double precision, double precision) is
    'Probability that a normal variable of this mean and standard deviation is at most x.';

-- Arrays ------------------------------------------------------------------------------------------------

create or replace function trino_dialect.cardinality(x anyarray) returns bigint language sql immutable parallel safe
as $$ select case when x is not null then coalesce(pg_catalog.array_length(x, 1), 0) end $$;

create function trino_dialect.first_of(x anyarray) returns anyelement language sql immutable parallel safe
as $$ select case when pg_catalog.array_ndims(x) > 1
    then trino_dialect.fail('max_by and min_by of arrays are not supported', '0A000', x[1]) else x[1] end $$;
comment on function trino_dialect.first_of(anyarray) is 'Part of max_by and min_by: the first element; not of arrays of arrays, whose elements have no type.';

create or replace function trino_dialect.subscript(x anyarray, place bigint) returns anyelement
language sql immutable parallel safe
as $$ select case
    when pg_catalog.array_ndims(x) > 1
        then trino_dialect.fail('an array that is an element of another cannot be had by itself', '0A000', x[1])
    when place between 1 and pg_catalog.array_length(x, 1) then x[place::integer]
    when x is null or place is null then null
    when place = 0 then trino_dialect.fail('SQL array indices start at 1', '22023', x[1])
    when place < 0 then trino_dialect.fail(pg_catalog.format('Array subscript is negative: %s', place), '22023', x[1])
    else trino_dialect.fail(pg_catalog.format('Array subscript must be less than or equal to array length: %s > %s',
        place, pg_catalog.cardinality(x)), '22023', x[1]) end $$;
create or replace function trino.element_at(x anyarray, place bigint) returns anyelement
language sql immutable parallel safe
as $$ select case
    when pg_catalog.array_ndims(x) > 1
        then trino_dialect.fail('an array that is an element of another cannot be had by itself', '0A000', x[1])
    when place > 0 then x[place::integer]
    when place < 0 then x[(cardinality(x) + 1 + place)::integer]
    when place = 0 then trino_dialect.fail('SQL array indices start at 1', '22023', x[1]) end $$;

create function trino_dialect.concat_ws(delimiter text, variadic texts text[]) returns text
language sql immutable parallel safe
return case when delimiter is not null then pg_catalog.array_to_string(texts, delimiter) end;
comment on function trino_dialect.concat_ws(text, text[]) is 'The texts with a delimiter between them, without NULLs.';
create function trino_dialect.concat_ws(delimiter text, texts anyarray) returns text language sql stable parallel safe
as $$ select case when texts is not null then pg_catalog.array_to_string(texts, delimiter) end $$;
comment on function trino_dialect.concat_ws(text, anyarray) is 'The elements with a delimiter between them, without NULLs.';

-- Times -------------------------------------------------------------------------------------------------

create or replace function trino.current_timezone() returns text language sql stable parallel safe
return pg_catalog.regexp_replace(pg_catalog.current_setting('TimeZone'), '^<([^>]+)>.*$', '\1');

create function trino_dialect.joda_text(text text, format text) returns text language sql immutable parallel safe
return case when format !~ 'Z$' then text when text ~ 'Z$' then pg_catalog.left(text, -1) || '+00:00'
    else pg_catalog.regexp_replace(text, '([+-][0-9]{2})([0-9]{2})$', '\1:\2') end;
comment on function trino_dialect.joda_text(text, text) is
    'Part of parse_datetime: a Z at the end is the offset of UTC, and an offset may have no colon.';
create or replace function trino.parse_datetime(text text, format text) returns timestamptz language sql stable parallel safe
return case
    when trino_dialect.joda_text(text, format) ~ (trino_dialect.joda_reader(format))[1] then pg_catalog.to_timestamp(
        (trino_dialect.joda_reader(format))[2] || trino_dialect.joda_text(text, format),
        (trino_dialect.joda_reader(format))[3])
    when text is not null and format is not null
        then trino_dialect.fail(format('Invalid format: "%s"', text), '22023', null::timestamptz) end;

-- Texts and bytes ---------------------------------------------------------------------------------------

create function trino.url_encode(x text) returns text language sql immutable strict parallel safe
return coalesce((
    select string_agg(
        case when byte between 48 and 57 or byte between 65 and 90 or byte between 97 and 122 or byte in (42, 45, 46, 95)
            then chr(byte)
        when byte = 32 then '+' else '%' || upper(lpad(to_hex(byte), 2, '0')) end, '' order by n)
    from (
        select n, get_byte(convert_to(x, 'UTF8'), n) as byte
        from generate_series(0, octet_length(convert_to(x, 'UTF8')) - 1) as n) as bytes), '');
comment on function trino.url_encode(text) is 'As a part of a query of a URL: what is no letter, digit or one of *-._ percent-encoded, blanks as +.';

create function trino.url_decode(x text) returns text language plpgsql immutable strict parallel safe
as $$
declare
    bytes bytea;
begin
    if x ~ '%(?![0-9A-Fa-f]{2})' then
        raise exception 'Input string is not encoded in the form of a URL: %', x using errcode = '22023';
    end if;
    select string_agg(
        case when left(u.m[1], 1) = '%' then decode(substr(u.m[1], 2), 'hex') else convert_to(u.m[1], 'UTF8') end,
        ''::bytea order by u.n)
    into bytes
    from regexp_matches(replace(x, '+', ' '), '(%[0-9A-Fa-f]{2}|[^%]+)', 'g') with ordinality as u (m, n);
    return convert_from(coalesce(bytes, ''), 'UTF8');
end
$$;
comment on function trino.url_decode(text) is 'What url_encode has encoded.';

create function trino_dialect.hashed(hash text, x bytea) returns bytea language sql immutable strict parallel safe
return case hash when 'md5' then trino_dialect.md5(x) when 'sha256' then pg_catalog.sha256(x)
    when 'sha512' then pg_catalog.sha512(x) end;
comment on function trino_dialect.hashed(text, bytea) is 'Part of hmac_sha256 and others: the hash of this name.';
create function trino_dialect.padded(key bytea, block integer, pad integer) returns bytea
language plpgsql immutable strict parallel safe
as $$
begin
    key := key || decode(repeat('00', block - length(key)), 'hex');
    for n in 0..block - 1 loop
        key := set_byte(key, n, get_byte(key, n) # pad);
    end loop;
    return key;
end
$$;
comment on function trino_dialect.padded(bytea, integer, integer) is
    'Part of hmac_sha256 and others: a key of the length of a block, each byte XOR another.';
create function trino_dialect.hmac(hash text, block integer, x bytea, key bytea) returns bytea
language plpgsql immutable strict parallel safe
as $$
begin
    if length(key) > block then
        key := trino_dialect.hashed(hash, key);
    end if;
    return trino_dialect.hashed(hash, trino_dialect.padded(key, block, 92)
        || trino_dialect.hashed(hash, trino_dialect.padded(key, block, 54) || x));
end
$$;
comment on function trino_dialect.hmac(text, integer, bytea, bytea) is
    'Part of hmac_sha256 and others: HMAC (RFC 2104) with a hash whose blocks have so many bytes.';
create function trino.hmac_md5(x bytea, key bytea) returns bytea language sql immutable strict parallel safe
return trino_dialect.hmac('md5', 64, x, key);
comment on function trino.hmac_md5(bytea, bytea) is 'HMAC with MD5 (RFC 2104).';
create function trino.hmac_sha256(x bytea, key bytea) returns bytea language sql immutable strict parallel safe
return trino_dialect.hmac('sha256', 64, x, key);
comment on function trino.hmac_sha256(bytea, bytea) is 'HMAC with SHA-256 (RFC 2104).';
create function trino.hmac_sha512(x bytea, key bytea) returns bytea language sql immutable strict parallel safe
return trino_dialect.hmac('sha512', 128, x, key);
comment on function trino.hmac_sha512(bytea, bytea) is 'HMAC with SHA-512 (RFC 2104).';

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
