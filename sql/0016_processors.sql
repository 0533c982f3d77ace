-- SPDX-License-Identifier: Apache-2.0
--
-- How the processes do that bring the log into this store.

create table ops.processors (
    owner text collate "C" primary key,
    started_at timestamptz not null,
    updated_at timestamptz not null default now(),
    transactions bigint not null,
    records bigint not null,
    rate double precision not null,
    batch_records_median bigint,
    batch_records_largest bigint,
    commit_ms_median double precision,
    commit_ms_p99 double precision,
    commit_ms_longest double precision,
    retries bigint not null,
    last_failure text,
    last_failure_at timestamptz
) with (
    -- A row for each process, updated every five seconds: its versions stay on one page.
    fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000
);

comment on table ops.processors is
    'The processes that bring the log into the store, as each says itself every five seconds; one that ends in order takes its row away, others stay for a day.';
comment on column ops.processors.owner is
    'Its name as in ops.log_offsets: host and process id.';
comment on column ops.processors.started_at is
    'When it started, UTC.';
comment on column ops.processors.updated_at is
    'When it was last heard of, UTC.';
comment on column ops.processors.transactions is
    'Transactions that its sinks have committed since it started.';
comment on column ops.processors.records is
    'Records of the log that those took into the store.';
comment on column ops.processors.rate is
    'Records a second, over the last five seconds.';
comment on column ops.processors.batch_records_median is
    'Records of a transaction: the median of its last thousand; null before the first.';
comment on column ops.processors.batch_records_largest is
    'Records of the largest of them.';
comment on column ops.processors.commit_ms_median is
    'Milliseconds of a transaction, from decoding to COMMIT: the median of its last thousand; null before the first.';
comment on column ops.processors.commit_ms_p99 is
    'Milliseconds that 99 of a hundred of them did not exceed.';
comment on column ops.processors.commit_ms_longest is
    'Milliseconds of the longest of them.';
comment on column ops.processors.retries is
    'Attempts repeated since it started, after a failure that may pass.';
comment on column ops.processors.last_failure is
    'What failed last: validation, store or facts, and why; null if nothing has.';
comment on column ops.processors.last_failure_at is
    'When that was, UTC.';

grant select on ops.processors to tapedeck_reader;
