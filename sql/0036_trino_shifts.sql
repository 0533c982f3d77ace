-- SPDX-License-Identifier: Apache-2.0
--
-- Shifts whose number of places is a bigint, and the fields of intervals that 0035 left.

-- The mask of a shift by one would have been a number beyond 64 bits.
create or replace function trino.bitwise_right_shift(x bigint, n bigint) returns bigint language sql immutable parallel safe
return case
    when n >= 64 then 0
    when n = 0 then x
    else (x >> n::integer) & ~((-1)::bigint << (64 - n::integer)) end;

-- What is moved keeps its type, whatever that of the places.
create function trino.bitwise_left_shift(x integer, n bigint) returns integer language sql immutable parallel safe
return trino.bitwise_left_shift(x, least(n, 32)::integer);
comment on function trino.bitwise_left_shift(integer, bigint) is 'Bits moved left by n.';
create function trino.bitwise_left_shift(x smallint, n bigint) returns smallint language sql immutable parallel safe
return trino.bitwise_left_shift(x, least(n, 16)::integer);
comment on function trino.bitwise_left_shift(smallint, bigint) is 'Bits moved left by n.';
create function trino.bitwise_right_shift(x integer, n bigint) returns integer language sql immutable parallel safe
return trino.bitwise_right_shift(x, least(n, 32)::integer);
comment on function trino.bitwise_right_shift(integer, bigint) is 'Bits moved right by n, zeros from the left.';
create function trino.bitwise_right_shift(x smallint, n bigint) returns smallint language sql immutable parallel safe
return trino.bitwise_right_shift(x, least(n, 16)::integer);
comment on function trino.bitwise_right_shift(smallint, bigint) is 'Bits moved right by n, zeros from the left.';
create function trino.bitwise_right_shift_arithmetic(x integer, n bigint) returns integer
language sql immutable parallel safe return case when n is not null then x >> least(n, 31)::integer end;
comment on function trino.bitwise_right_shift_arithmetic(integer, bigint) is 'Bits moved right by n, the sign from the left.';
create function trino.bitwise_right_shift_arithmetic(x smallint, n bigint) returns smallint
language sql immutable parallel safe return case when n is not null then x >> least(n, 15)::integer end;
comment on function trino.bitwise_right_shift_arithmetic(smallint, bigint) is 'Bits moved right by n, the sign from the left.';

create or replace function trino.minute(x interval) returns bigint language sql immutable parallel safe
return extract(minute from justify_hours(x))::bigint;
create or replace function trino.second(x interval) returns bigint language sql immutable parallel safe
return trunc(extract(second from justify_hours(x)))::bigint;
create function trino.millisecond(x interval) returns bigint language sql immutable parallel safe
return trunc(extract(milliseconds from justify_hours(x)))::bigint % 1000;

comment on function trino.minute(interval) is 'Minutes of the interval beside its whole hours, -59 to 59.';
comment on function trino.second(interval) is 'Whole seconds of the interval beside its minutes, -59 to 59.';
comment on function trino.millisecond(interval) is 'Milliseconds of the interval beside its whole seconds, -999 to 999.';
