-- SPDX-License-Identifier: Apache-2.0
--
-- Fields of intervals as Trino counts them: an interval day to second is one length of time, so that 36 hours are a day
-- and twelve hours, however it was written.

create or replace function trino.day(x interval) returns bigint language sql immutable parallel safe
return extract(day from justify_hours(x))::bigint;

create or replace function trino.hour(x interval) returns bigint language sql immutable parallel safe
return extract(hour from justify_hours(x))::bigint;

comment on function trino.day(interval) is 'Whole days of the interval; those of its months do not count.';
comment on function trino.hour(interval) is 'Hours of the interval beside its whole days, -23 to 23.';
