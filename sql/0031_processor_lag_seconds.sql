-- SPDX-License-Identifier: Apache-2.0
--
-- How long what is not in the store yet has waited: a thousand records are nothing at noon, and much at night.

-- Null from processors older than this.
alter table ops.processors add column lag_seconds double precision;

comment on column ops.processors.lag_seconds is
    'For how many seconds the oldest record of lag_records had been in its topic, by the time that the log keeps of it; 0 where all was done that was there five seconds before. Posts that nobody reads (TAPEDECK_SENTIMENT=off) are left out. Null where lag_records is.';
