-- SPDX-License-Identifier: Apache-2.0
--
-- How far the store is behind the log, for readers that cannot ask the log: a query server knows only the store.

-- Null from processors older than this.
alter table ops.processors add column lag_records bigint;

comment on column ops.processors.lag_records is
    'Records of the log, of all partitions and staged ones included, that the store did not have yet when this processor looked last; each looks at all, so the newest row tells. Null until it has looked, or while the log does not answer.';
