-- SPDX-License-Identifier: Apache-2.0
--
-- What Trino's clients ask about catalogs, schemas, tables and columns: its information_schema, and the schemas jdbc,
-- metadata and runtime of its catalog "system", as views. Translated statements name them; the schemas are called
-- trino_... because PostgreSQL's information_schema is another.
--
-- Each view shows what its reader may select from. Partitions are left out, and so are the schemas of functions.

create schema trino_information_schema;
create schema trino_system_information_schema;
create schema trino_metadata;
create schema trino_jdbc;
create schema trino_runtime;

comment on schema trino_information_schema is 'Trino''s information_schema of the catalog that is this database.';
comment on schema trino_system_information_schema is 'Trino''s information_schema of the catalog system.';
comment on schema trino_metadata is 'Trino''s system.metadata.';
comment on schema trino_jdbc is 'Trino''s system.jdbc: what its JDBC driver reads.';
comment on schema trino_runtime is 'Trino''s system.runtime.';

grant usage on schema trino_information_schema, trino_system_information_schema, trino_metadata, trino_jdbc,
    trino_runtime to tapedeck_reader;

-- Types -------------------------------------------------------------------------------------------------

create function trino_dialect.scalar_type_name(type oid) returns text
language sql immutable parallel safe
return case type
    when 16 then 'boolean' when 21 then 'smallint' when 23 then 'integer' when 20 then 'bigint'
    when 700 then 'real' when 701 then 'double' when 1700 then 'decimal(38,18)' when 17 then 'varbinary'
    when 1082 then 'date' when 1083 then 'time(6)' when 1266 then 'time(6) with time zone'
    when 1114 then 'timestamp(6)' when 1184 then 'timestamp(6) with time zone'
    when 1186 then 'interval day to second' when 2950 then 'uuid' when 114 then 'json' when 3802 then 'json'
    when 869 then 'ipaddress' when 26 then 'bigint' when 28 then 'bigint'
    else 'varchar'
end;
comment on function trino_dialect.scalar_type_name(oid) is
    'Part of type_name: the name of a type that is no array and has its usual precision.';

create function trino_dialect.type_name(type oid, typmod integer) returns text
language sql stable parallel safe
return case
    when type = 1700 and typmod >= 4 then format('decimal(%s,%s)', ((typmod - 4) >> 16) & 65535, (typmod - 4) & 2047)
    when type = 1043 and typmod >= 4 then format('varchar(%s)', typmod - 4)
    when type = 1042 then format('char(%s)', greatest(typmod - 4, 1))
    when type = 1114 and typmod >= 0 then format('timestamp(%s)', typmod)
    when type = 1184 and typmod >= 0 then format('timestamp(%s) with time zone', typmod)
    when type = 1083 and typmod >= 0 then format('time(%s)', typmod)
    when exists (select from pg_type where oid = type and typcategory = 'A' and typelem <> 0)
        then format('array(%s)', trino_dialect.scalar_type_name((select typelem from pg_type where oid = type)))
    else trino_dialect.scalar_type_name(type)
end;
comment on function trino_dialect.type_name(oid, integer) is
    'Part of the metadata: a type of PostgreSQL as Trino calls it.';

create function trino.typeof(x anyelement) returns text language sql stable parallel safe
as $$ select trino_dialect.type_name(pg_typeof(x)::oid, -1) $$;
comment on function trino.typeof(anyelement) is 'Name of the type of x, as Trino calls it.';
create function trino.typeof(x text) returns text language sql stable parallel safe return 'varchar';
comment on function trino.typeof(text) is 'Name of the type of x, as Trino calls it: varchar.';

-- What there is -----------------------------------------------------------------------------------------

create view trino_dialect.schemas as
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
  and n.nspname not in ('information_schema', 'trino', 'trino_dialect', 'tapedeck_sql')
  and has_schema_privilege(n.oid, 'USAGE');

create view trino_dialect.relations as
select
    s.catalog_name,
    s.schema_name,
    c.relname::text as table_name,
    case when c.relkind = 'v' and n.nspname !~ '^trino_' then 'VIEW' else 'BASE TABLE' end as table_type,
    c.relkind,
    c.oid as table_oid
from trino_dialect.schemas as s
join pg_catalog.pg_namespace as n on n.oid = s.schema_oid
join pg_catalog.pg_class as c on c.relnamespace = s.schema_oid
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and not c.relispartition
  and (has_table_privilege(c.oid, 'SELECT') or has_any_column_privilege(c.oid, 'SELECT'));

create view trino_dialect.columns as
select
    r.catalog_name,
    r.schema_name,
    r.table_name,
    a.attname::text as column_name,
    row_number() over (partition by r.table_oid order by a.attnum) as ordinal_position,
    pg_get_expr(d.adbin, d.adrelid) as column_default,
    case when a.attnotnull then 'NO' else 'YES' end as is_nullable,
    trino_dialect.type_name(coalesce(nullif(t.typbasetype, 0), a.atttypid), a.atttypmod) as data_type,
    col_description(r.table_oid, a.attnum) as comment
from trino_dialect.relations as r
join pg_catalog.pg_attribute as a on a.attrelid = r.table_oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type as t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum;

-- PostgreSQL has thousands of functions, most of them parts of types and operators. Shown are those that take and give
-- values that a client can write and read.
create view trino_dialect.functions as
with value_types (oid) as (
    select unnest(array[16, 17, 20, 21, 23, 25, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1700, 2276, 2277, 2283,
        2950, 3802, 5077, 5078, 5079]::oid[])
)
select
    p.proname::text as function_name,
    trino_dialect.type_name(p.prorettype, -1) as return_type,
    coalesce((select string_agg(trino_dialect.type_name(a, -1), ', ' order by n)
        from unnest(p.proargtypes::oid[]) with ordinality as args (a, n)), '') as argument_types,
    case p.prokind when 'a' then 'aggregate' when 'w' then 'window'
        else case when p.proretset then 'table' else 'scalar' end end as function_type,
    p.provolatile <> 'v' as deterministic,
    coalesce(obj_description(p.oid, 'pg_proc'), '') as description
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where case
    when n.nspname in ('trino', 'trino_dialect', 'tapedeck_sql')
        then obj_description(p.oid, 'pg_proc') not like 'Part of %'
            and p.proname not in ('try_cast', 'first_step', 'first_merge', 'last_step', 'last_merge', 'value_of',
                'value_precedes', 'vwap_of', 'time_bucket_calendar')
    when n.nspname = 'pg_catalog'
        then p.prorettype in (select oid from value_types)
            and not exists (select from unnest(p.proargtypes::oid[]) as a where a not in (select oid from value_types))
            and obj_description(p.oid, 'pg_proc')
                !~ '^(implementation of|internal|convert|adjust|aggregate (transition|final|combine|serial|deserial)|window RANGE|hash|less-equal|I/O)'
            and p.proname !~ '^(pg_|lo_|has_|_|in_range|set_|to_reg|gin|ts_|array_(in|out|recv|send))'
            and not exists (select from pg_catalog.pg_operator as o where o.oprcode = p.oid)
    end;

do $$
declare
    name text;
begin
    foreach name in array array['schemas', 'relations', 'columns', 'functions'] loop
        execute format('comment on view trino_dialect.%I is %L', name,
            format('Part of the metadata: all %s that the reader may use, of both catalogs.', name));
        execute format('grant select on trino_dialect.%I to tapedeck_reader', name);
    end loop;
end
$$;

-- information_schema ------------------------------------------------------------------------------------

do $$
declare
    target record;
begin
    for target in
        select * from (values
            ('trino_information_schema', 'catalog_name = current_database()'),
            ('trino_system_information_schema', 'catalog_name = ''system''')) as targets (name, condition)
    loop
        execute format(
            'create view %I.schemata as select catalog_name, schema_name from trino_dialect.schemas where %s',
            target.name, target.condition);
        execute format(
            'create view %I.tables as select catalog_name as table_catalog, schema_name as table_schema, table_name, '
            'table_type from trino_dialect.relations where %s', target.name, target.condition);
        execute format(
            'create view %I.columns as select catalog_name as table_catalog, schema_name as table_schema, table_name, '
            'column_name, ordinal_position, column_default, is_nullable, data_type, comment, null::text as extra_info, '
            'comment as column_comment from trino_dialect.columns where %s', target.name, target.condition);
        execute format(
            'create view %I.views as select catalog_name as table_catalog, schema_name as table_schema, table_name, '
            'pg_get_viewdef(table_oid) as view_definition from trino_dialect.relations '
            'where table_type = ''VIEW'' and %s', target.name, target.condition);
        execute format(
            'create view %I.table_privileges as select null::text as grantor, null::text as grantor_type, '
            'current_user::text as grantee, ''USER'' as grantee_type, catalog_name as table_catalog, '
            'schema_name as table_schema, table_name, ''SELECT'' as privilege_type, ''NO'' as is_grantable, '
            'null::text as with_hierarchy from trino_dialect.relations where %s', target.name, target.condition);
        execute format('create view %I.roles as select null::text as role_name where false', target.name);
        execute format('create view %I.enabled_roles as select null::text as role_name where false', target.name);
        execute format(
            'create view %I.applicable_roles as select null::text as grantee, null::text as grantee_type, '
            'null::text as role_name, null::text as is_grantable where false', target.name);
    end loop;
end
$$;

-- system.metadata ---------------------------------------------------------------------------------------

create view trino_metadata.catalogs as
select * from (values
    (current_database()::text, current_database()::text, 'postgresql', 'OPERATIONAL'),
    ('system', 'system', 'system', 'OPERATIONAL')) as catalogs (catalog_name, connector_id, connector_name, state);

create view trino_metadata.table_comments as
select catalog_name, schema_name, table_name, obj_description(table_oid, 'pg_class') as comment
from trino_dialect.relations;

create view trino_metadata.materialized_views as
select catalog_name, schema_name, table_name as name, catalog_name as storage_catalog, schema_name as storage_schema,
    table_name as storage_table, 'UNKNOWN' as freshness, null::timestamptz as last_fresh_time,
    obj_description(table_oid, 'pg_class') as comment, pg_get_viewdef(table_oid) as definition
from trino_dialect.relations
where relkind = 'm';

do $$
declare
    name text;
begin
    foreach name in array array['schema_properties', 'table_properties', 'column_properties', 'analyze_properties',
        'materialized_view_properties']
    loop
        execute format(
            'create view trino_metadata.%I as select null::text as catalog_name, null::text as property_name, '
            'null::text as default_value, null::text as type, null::text as description where false', name);
    end loop;
end
$$;

-- system.jdbc -------------------------------------------------------------------------------------------

create view trino_jdbc.catalogs as
select catalog_name as table_cat from trino_metadata.catalogs;

create view trino_jdbc.schemas as
select schema_name as table_schem, catalog_name as table_catalog from trino_dialect.schemas;

create view trino_jdbc.tables as
select catalog_name as table_cat, schema_name as table_schem, table_name,
    case table_type when 'VIEW' then 'VIEW' else 'TABLE' end as table_type,
    obj_description(table_oid, 'pg_class') as remarks, null::text as type_cat, null::text as type_schem,
    null::text as type_name, null::text as self_referencing_col_name, null::text as ref_generation
from trino_dialect.relations;

create function trino_dialect.jdbc_type(type text) returns bigint language sql immutable parallel safe
return case
    when type = 'boolean' then 16 when type = 'tinyint' then -6 when type = 'smallint' then 5
    when type = 'integer' then 4 when type = 'bigint' then -5 when type = 'real' then 7 when type = 'double' then 8
    when type like 'decimal%' then 3 when type like 'varchar%' then 12 when type like 'char%' then 1
    when type = 'varbinary' then -3 when type = 'date' then 91 when type like 'timestamp%with time zone' then 2014
    when type like 'timestamp%' then 93 when type like 'time(%with time zone' then 2013 when type like 'time%' then 92
    when type like 'array%' then 2003 else 2000 end;
comment on function trino_dialect.jdbc_type(text) is
    'Part of system.jdbc: the number that java.sql.Types gives a type.';

create view trino_jdbc.columns as
select
    catalog_name as table_cat, schema_name as table_schem, table_name, column_name,
    trino_dialect.jdbc_type(data_type) as data_type,
    data_type as type_name,
    case
        when data_type = 'boolean' then null
        when data_type = 'smallint' then 5 when data_type = 'integer' then 10 when data_type = 'bigint' then 19
        when data_type = 'real' then 24 when data_type = 'double' then 53 when data_type = 'date' then 14
        when data_type ~ '^(decimal|varchar|char)\(' then substring(data_type from '\d+')::bigint
        when data_type like 'timestamp%with time zone' then 54 when data_type like 'timestamp%' then 32
        when data_type like 'time%' then 15
        else 2147483647 end::bigint as column_size,
    0::bigint as buffer_length,
    case
        when data_type in ('smallint', 'integer', 'bigint') then 0
        when data_type like 'decimal(%' then substring(data_type from ',(\d+)')::bigint
        when data_type like 'time%' then substring(data_type from '\((\d+)')::bigint end::bigint as decimal_digits,
    case when data_type in ('smallint', 'integer', 'bigint') or data_type like 'decimal%' then 10
        when data_type in ('real', 'double') then 2 end::bigint as num_prec_radix,
    case is_nullable when 'NO' then 0 else 1 end::bigint as nullable,
    comment as remarks, null::text as column_def, null::bigint as sql_data_type, null::bigint as sql_datetime_sub,
    case when data_type like 'varchar%' or data_type like 'char%' then 2147483647 end::bigint as char_octet_length,
    ordinal_position, is_nullable, null::text as scope_catalog, null::text as scope_schema, null::text as scope_table,
    null::bigint as source_data_type, 'NO'::text as is_autoincrement, 'NO'::text as is_generatedcolumn
from trino_dialect.columns;

create view trino_jdbc.table_types as
select * from (values ('TABLE'), ('VIEW')) as types (table_type);

create view trino_jdbc.types as
select type as type_name, trino_dialect.jdbc_type(type) as data_type, size::bigint as precision,
    null::text as literal_prefix, null::text as literal_suffix, null::text as create_params, 1::bigint as nullable,
    type in ('varchar', 'char') as case_sensitive, 3::bigint as searchable, null::boolean as unsigned_attribute,
    false as fixed_prec_scale, null::boolean as auto_increment, null::text as local_type_name,
    0::bigint as minimum_scale, scale::bigint as maximum_scale, null::bigint as sql_data_type,
    null::bigint as sql_datetime_sub, radix::bigint as num_prec_radix
from (values
    ('boolean', null, 0, null), ('smallint', 5, 0, 10), ('integer', 10, 0, 10), ('bigint', 19, 0, 10),
    ('real', 24, 0, 2), ('double', 53, 0, 2), ('decimal', 38, 38, 10), ('varchar', 2147483647, 0, null),
    ('char', 65536, 0, null), ('varbinary', 2147483647, 0, null), ('date', 14, 0, null), ('time', 15, 6, null),
    ('timestamp', 32, 6, null), ('timestamp with time zone', 54, 6, null), ('json', 2147483647, 0, null),
    ('uuid', 36, 0, null), ('ipaddress', 2147483647, 0, null), ('array', 2147483647, 0, null)
) as types (type, size, scale, radix);

-- Empty, with the columns that the driver reads. `+` marks a bigint.
do $$
declare
    target record;
begin
    for target in
        select * from (values
            ('procedures', 'procedure_cat procedure_schem procedure_name remarks +procedure_type specific_name'),
            ('procedure_columns', 'procedure_cat procedure_schem procedure_name column_name +column_type +data_type type_name '
                '+precision +length +scale +radix +nullable remarks column_def +sql_data_type +sql_datetime_sub '
                '+char_octet_length +ordinal_position is_nullable specific_name'),
            ('pseudo_columns', 'table_cat table_schem table_name column_name +data_type +column_size +decimal_digits '
                '+num_prec_radix column_usage remarks +char_octet_length is_nullable'),
            ('udts', 'type_cat type_schem type_name class_name +data_type remarks +base_type'),
            ('super_types', 'type_cat type_schem type_name supertype_cat supertype_schem supertype_name'),
            ('super_tables', 'table_cat table_schem table_name supertable_name'),
            ('attributes', 'type_cat type_schem type_name attr_name +data_type attr_type_name +attr_size +decimal_digits '
                '+num_prec_radix +nullable remarks attr_def +sql_data_type +sql_datetime_sub +char_octet_length '
                '+ordinal_position is_nullable scope_catalog scope_schema scope_table +source_data_type')
        ) as targets (name, columns)
    loop
        execute format('create view trino_jdbc.%I as select %s where false', target.name,
            (select string_agg(format('null::%s as %I', case when c like '+%' then 'bigint' else 'text' end, ltrim(c, '+')), ', ' order by n)
                from unnest(string_to_array(target.columns, ' ')) with ordinality as u (c, n)));
    end loop;
end
$$;

-- system.runtime ----------------------------------------------------------------------------------------

create view trino_runtime.nodes as
select 'tapedeck'::text as node_id, null::text as http_uri, current_setting('server_version') as node_version,
    true as coordinator, 'active'::text as state;

-- A connection that runs a statement for a Trino client may carry the id of its query as application_name.
create view trino_runtime.queries as
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
from pg_catalog.pg_stat_activity
where datname = current_database() and usename = current_user and backend_type = 'client backend'
  and state in ('active', 'idle in transaction');

create view trino_runtime.transactions as
select pid::text as transaction_id, 'READ COMMITTED'::text as isolation_level, true as read_only,
    true as auto_commit_context, xact_start as create_time,
    case when state = 'active' then 0 else extract(epoch from clock_timestamp() - state_change)::bigint end as idle_time_secs,
    null::text as written_catalog, array[current_database()::text] as catalogs
from pg_catalog.pg_stat_activity
where datname = current_database() and usename = current_user and xact_start is not null;

create view trino_runtime.tasks as
select 'tapedeck'::text as node_id, query_id || '.0.0' as task_id, query_id || '.0' as stage_id, query_id, state,
    1::bigint as splits, 0::bigint as queued_splits, 1::bigint as running_splits, 0::bigint as completed_splits,
    null::bigint as split_scheduled_time_ms, null::bigint as split_cpu_time_ms, null::bigint as split_blocked_time_ms,
    null::bigint as raw_input_bytes, null::bigint as raw_input_rows, null::bigint as processed_input_bytes,
    null::bigint as processed_input_rows, null::bigint as output_bytes, null::bigint as output_rows,
    null::bigint as physical_input_bytes, null::bigint as physical_written_bytes, created, started as start,
    last_heartbeat, "end"
from trino_runtime.queries;

do $$
declare
    item record;
begin
    for item in
        select n.nspname, c.relname
        from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where n.nspname in ('trino_information_schema', 'trino_system_information_schema', 'trino_metadata',
            'trino_jdbc', 'trino_runtime')
    loop
        execute format('comment on view %I.%I is %L', item.nspname, item.relname,
            format('%s of %s, as Trino has it.', item.relname, replace(item.nspname, 'trino_', '')));
        execute format('grant select on %I.%I to tapedeck_reader', item.nspname, item.relname);
    end loop;
end
$$;

-- SHOW and DESCRIBE -------------------------------------------------------------------------------------

create function trino_dialect.known_schema(catalog text, schema text) returns text
language plpgsql stable parallel safe
as $$
begin
    if not exists (select from trino_metadata.catalogs where catalog_name = catalog) then
        raise exception 'cross-database references are not implemented: "%.%"', catalog, schema
            using errcode = 'feature_not_supported';
    end if;
    if not exists (
        select from trino_dialect.schemas as s where s.catalog_name = catalog and s.schema_name = schema
    ) then
        raise exception 'schema "%" does not exist', schema using errcode = 'invalid_schema_name';
    end if;
    return schema;
end
$$;
comment on function trino_dialect.known_schema(text, text) is 'Part of SHOW: the schema, or an error if there is none.';

create function trino_dialect.known_table(catalog text, schema text, name text) returns oid
language plpgsql stable parallel safe
as $$
declare
    -- Partitions are in no list, but can be read and described.
    found constant oid := (
        select c.oid from pg_catalog.pg_class as c
        join trino_dialect.schemas as s on s.schema_oid = c.relnamespace
        where s.catalog_name = catalog and s.schema_name = schema and c.relname = name
          and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and (has_table_privilege(c.oid, 'SELECT') or has_any_column_privilege(c.oid, 'SELECT')));
begin
    if found is null then
        perform trino_dialect.known_schema(catalog, schema);
        raise exception 'relation "%.%.%" does not exist', catalog, schema, name using errcode = 'undefined_table';
    end if;
    return found;
end
$$;
comment on function trino_dialect.known_table(text, text, text) is 'Part of SHOW: the table, or an error if there is none.';

create function trino_dialect.columns_of(catalog text, schema text, name text)
returns table (column_name text, data_type text, extra text, comment text, ordinal_position bigint)
language sql stable parallel safe
begin atomic
    select a.attname::text, trino_dialect.type_name(coalesce(nullif(t.typbasetype, 0), a.atttypid), a.atttypmod), '',
        coalesce(col_description(a.attrelid, a.attnum), ''), a.attnum::bigint
    from (select trino_dialect.known_table(catalog, schema, name) as oid offset 0) as known
    join pg_catalog.pg_attribute as a on a.attrelid = known.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type as t on t.oid = a.atttypid;
end;
comment on function trino_dialect.columns_of(text, text, text) is 'Part of SHOW COLUMNS: the columns of a table.';

create function trino_dialect.create_text(kind text, catalog text, schema text, name text) returns text
language plpgsql stable parallel safe
as $$
declare
    found constant oid := trino_dialect.known_table(catalog, schema, name);
    actual constant text := (select case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end
        from pg_catalog.pg_class where oid = found);
    full_name constant text := format('%I.%I.%I', catalog, schema, name);
begin
    if actual <> kind then
        raise exception 'Relation ''%.%.%'' is a %, not a %', catalog, schema, name, actual, kind
            using errcode = 'feature_not_supported';
    end if;
    if kind <> 'table' then
        return format(e'CREATE %s %s AS\n%s', upper(kind), full_name, rtrim(pg_get_viewdef(found), ';'));
    end if;
    return format(e'CREATE TABLE %s (\n%s\n)%s', full_name,
        (select string_agg(format('   %I %s%s%s', a.attname, trino_dialect.type_name(a.atttypid, a.atttypmod),
                case when a.attnotnull then ' NOT NULL' else '' end,
                coalesce(' COMMENT ' || quote_literal(col_description(found, a.attnum)), '')), e',\n' order by a.attnum)
            from pg_catalog.pg_attribute as a
            where a.attrelid = found and a.attnum > 0 and not a.attisdropped),
        coalesce(e'\nCOMMENT ' || quote_literal(obj_description(found, 'pg_class')), ''));
end
$$;
comment on function trino_dialect.create_text(text, text, text, text) is
    'Part of SHOW CREATE: the statement that would make a table or view of this kind.';

create function trino_dialect.stats_of(catalog text, schema text, name text)
returns table (
    column_name text, data_size double precision, distinct_values_count double precision,
    nulls_fraction double precision, row_count double precision, low_value text, high_value text)
language sql stable parallel safe
begin atomic
    -- Estimates of ANALYZE; the rows of a partitioned table are those of its partitions.
    with known as (select trino_dialect.known_table(catalog, schema, name) as oid offset 0),
    size as (
        select coalesce(sum(nullif(c.reltuples, -1)), 0)::double precision as total
        from known, pg_catalog.pg_class as c
        where c.oid = known.oid
           or c.oid in (select i.inhrelid from pg_catalog.pg_inherits as i where i.inhparent = known.oid))
    select a.attname::text, s.avg_width * size.total,
        case when s.n_distinct < 0 then -s.n_distinct * size.total else s.n_distinct end::double precision,
        s.null_frac::double precision, null::double precision, null::text, null::text
    from known
    join pg_catalog.pg_attribute as a on a.attrelid = known.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_class as c on c.oid = known.oid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    cross join size
    left join pg_catalog.pg_stats as s
        on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname
    union all
    select null, null, null, null, size.total, null, null from size, known where known.oid is not null;
end;
comment on function trino_dialect.stats_of(text, text, text) is
    'Part of SHOW STATS: what ANALYZE knows of each column, and a last row with the number of rows.';

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
