-- SPDX-License-Identifier: Apache-2.0
--
-- Trino's system.runtime where the reader may not see the sessions of others: what it may see is in
-- tapedeck_guard.pg_stat_activity, where a superuser has put that up, and else in PostgreSQL's own. That schema is made
-- after the migrations and not on every server, so it is named when the function runs.

create function trino_dialect.activity() returns setof pg_catalog.pg_stat_activity
language plpgsql stable parallel restricted
as $$
begin
    return query execute pg_catalog.format('select * from %s',
        case when pg_catalog.to_regclass('tapedeck_guard.pg_stat_activity') is null
            then 'pg_catalog.pg_stat_activity' else 'tapedeck_guard.pg_stat_activity' end);
end
$$;
comment on function trino_dialect.activity() is 'Part of system.runtime: the sessions that the reader may see.';
grant execute on function trino_dialect.activity() to tapedeck_reader;

create or replace view trino_runtime.queries as
select
    case when application_name ~ '^\d{8}_\d{6}_\d{5}_\w+$' then application_name else pid::text end as query_id,
    case state when 'active' then 'RUNNING' else 'FINISHING' end as state,
    usename::text as "user",
    nullif(application_name, '') as source,
    query,
    array['global']::text[] as resource_group_id,
    0::bigint as queued_time_ms,
    0::bigint as analysis_time_ms,
    0::bigint as planning_time_ms,
    xact_start as created,
    query_start as started,
    state_change as last_heartbeat,
    null::timestamptz as "end",
    null::text as error_type,
    null::text as error_code
from trino_dialect.activity()
where datname = current_database() and usename = current_user and state in ('active', 'idle in transaction');

create or replace view trino_runtime.transactions as
select pid::text as transaction_id, 'READ COMMITTED'::text as isolation_level, true as read_only,
    true as auto_commit_context, xact_start as create_time,
    case when state = 'active' then 0 else extract(epoch from clock_timestamp() - state_change)::bigint end as idle_time_secs,
    null::text as written_catalog, array[current_database()::text] as catalogs
from trino_dialect.activity()
where datname = current_database() and usename = current_user and xact_start is not null;

-- Schemas of functions and of walls hold nothing to query.
create or replace view trino_dialect.schemas as
select
    case when n.nspname in ('trino_system_information_schema', 'trino_jdbc', 'trino_metadata', 'trino_runtime')
        then 'system' else current_database()::text end as catalog_name,
    case n.nspname
        when 'trino_information_schema' then 'information_schema'
        when 'trino_system_information_schema' then 'information_schema'
        when 'trino_jdbc' then 'jdbc' when 'trino_metadata' then 'metadata' when 'trino_runtime' then 'runtime'
        else n.nspname::text end as schema_name,
    n.oid as schema_oid
from pg_catalog.pg_namespace as n
where n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'trino', 'trino_dialect', 'tapedeck_sql', 'tapedeck_guard')
  and has_schema_privilege(n.oid, 'USAGE');
