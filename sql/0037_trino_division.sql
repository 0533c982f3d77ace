-- SPDX-License-Identifier: Apache-2.0
--
-- Doubles and reals divide as IEEE 754 says: by zero it is infinity, or NaN of zero and NaN, and no error.

create function trino_dialect.quotient(x double precision, y double precision) returns double precision
language sql immutable parallel safe
return case when y = 0
    then x * case y::text when '-0' then '-Infinity'::double precision else 'Infinity'::double precision end
    else x / y end;
comment on function trino_dialect.quotient(double precision, double precision) is
    'Part of double / double: by zero it is infinity, or NaN of zero and NaN.';
create function trino_dialect.quotient(x real, y real) returns real language sql immutable parallel safe
return case when y = 0
    then x * case y::text when '-0' then '-Infinity'::real else 'Infinity'::real end
    else x / y end;
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
