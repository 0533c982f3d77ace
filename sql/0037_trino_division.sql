-- SPDX-License-Identifier: Apache-2.0
--
-- Doubles and reals divide as IEEE 754 says: by zero it is infinity, or NaN of zero and NaN, and no error.

-- One call each: what a planner puts in place of a call has its arguments several times over, and those of a quotient of
-- quotients would be without number.

create function trino_dialect.quotient(x double precision, y double precision) returns double precision
language plpgsql immutable strict parallel safe
as $$
begin
    if y <> 0 then
        return x operator(pg_catalog./) y;
    end if;
    return x * case y::text when '-0' then '-Infinity'::double precision else 'Infinity'::double precision end;
end
$$;
comment on function trino_dialect.quotient(double precision, double precision) is
    'Part of double / double: by zero it is infinity, or NaN of zero and NaN.';
create function trino_dialect.quotient(x real, y real) returns real language plpgsql immutable strict parallel safe
as $$
begin
    if y <> 0 then
        return x operator(pg_catalog./) y;
    end if;
    return x * case y::text when '-0' then '-Infinity'::real else 'Infinity'::real end;
end
$$;
comment on function trino_dialect.quotient(real, real) is
    'Part of real / real: by zero it is infinity, or NaN of zero and NaN.';
create function trino_dialect.quotient(x real, y double precision) returns double precision
language sql immutable parallel safe return trino_dialect.quotient(x::double precision, y);
comment on function trino_dialect.quotient(real, double precision) is 'Part of real / double: as of two doubles.';
create function trino_dialect.quotient(x double precision, y real) returns double precision
language sql immutable parallel safe return trino_dialect.quotient(x, y::double precision);
comment on function trino_dialect.quotient(double precision, real) is 'Part of double / real: as of two doubles.';

create operator trino_operators./ (leftarg = double precision, rightarg = double precision, function = trino_dialect.quotient);
comment on operator trino_operators./ (double precision, double precision) is 'A quotient; infinity or NaN by zero.';
create operator trino_operators./ (leftarg = real, rightarg = real, function = trino_dialect.quotient);
comment on operator trino_operators./ (real, real) is 'A quotient; infinity or NaN by zero.';
create operator trino_operators./ (leftarg = real, rightarg = double precision, function = trino_dialect.quotient);
comment on operator trino_operators./ (real, double precision) is 'A quotient; infinity or NaN by zero.';
create operator trino_operators./ (leftarg = double precision, rightarg = real, function = trino_dialect.quotient);
comment on operator trino_operators./ (double precision, real) is 'A quotient; infinity or NaN by zero.';
