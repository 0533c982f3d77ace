-- SPDX-License-Identifier: Apache-2.0
--
-- Trino's system.runtime shows the queries of its clients under the ids by which they are killed. Only the query server
-- knows these: it sends what the caller may see along with a statement that reads these views, as a JSON array in a
-- setting of that transaction. To everybody else the views are empty.

create function trino_dialect.runtime(what text) returns jsonb language sql stable parallel restricted
as $$ select coalesce(nullif(current_setting('tapedeck.trino_' || what, true), ''), '[]')::jsonb $$;
comment on function trino_dialect.runtime(text) is
    'Part of system.runtime: queries or transactions that the query server has sent along, as an array of objects.';
grant execute on function trino_dialect.runtime(text) to tapedeck_reader;

create or replace view trino_runtime.queries as
select
    -- The collation is that of the column it replaces.
    query_id, state, "user" collate "C" as "user", source, query, array['global']::text[] as resource_group_id, queued_time_ms,
    0::bigint as analysis_time_ms, 0::bigint as planning_time_ms, created, started, last_heartbeat, "end", error_type,
    error_code
from jsonb_to_recordset(trino_dialect.runtime('queries')) as q (
    query_id text, state text, "user" text, source text, query text, queued_time_ms bigint, created timestamptz,
    started timestamptz, last_heartbeat timestamptz, "end" timestamptz, error_type text, error_code text);

create or replace view trino_runtime.transactions as
select
    transaction_id, 'READ COMMITTED'::text as isolation_level, true as read_only, false as auto_commit_context,
    create_time, idle_time_secs, null::text as written_catalog, array[current_database()::text] as catalogs
from jsonb_to_recordset(trino_dialect.runtime('transactions')) as t (
    transaction_id text, create_time timestamptz, idle_time_secs bigint);

create or replace view trino_runtime.tasks as
select 'tapedeck'::text as node_id, query_id || '.0.0' as task_id, query_id || '.0' as stage_id, query_id, state,
    1::bigint as splits, (state = 'QUEUED')::integer::bigint as queued_splits,
    (state = 'RUNNING')::integer::bigint as running_splits,
    (state not in ('QUEUED', 'RUNNING'))::integer::bigint as completed_splits,
    null::bigint as split_scheduled_time_ms, null::bigint as split_cpu_time_ms, null::bigint as split_blocked_time_ms,
    null::bigint as raw_input_bytes, null::bigint as raw_input_rows, null::bigint as processed_input_bytes,
    null::bigint as processed_input_rows, null::bigint as output_bytes, null::bigint as output_rows,
    null::bigint as physical_input_bytes, null::bigint as physical_written_bytes, created, started as start,
    last_heartbeat, "end"
from trino_runtime.queries;

drop function trino_dialect.activity();
