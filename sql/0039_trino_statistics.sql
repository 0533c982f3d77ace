-- SPDX-License-Identifier: Apache-2.0
-- Statistics of tables with many partitions: the tree of partitions is asked for once, and not once for each relation of the
-- database, which took seconds for a year of days.

create or replace function trino_dialect.stats_of(catalog text, schema text, name text)
returns table (
    column_name text, data_size double precision, distinct_values_count double precision,
    nulls_fraction double precision, row_count double precision, low_value text, high_value text)
language sql stable parallel safe
begin atomic
    with known as (select trino_dialect.known_table(catalog, schema, name) as oid offset 0),
    tree as (
        select known.oid::oid from known
        union
        select t.relid::oid from known, pg_catalog.pg_partition_tree(known.oid) as t where t.isleaf
    ),
    parts as (
        select c.oid, n.nspname, c.relname, case when c.reltuples >= 0 then c.reltuples::double precision end as tuples
        from tree
        join pg_catalog.pg_class as c on c.oid = tree.oid
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where c.relkind <> 'p'
    ),
    size as (select sum(tuples) as total from parts),
    columns as (
        select s.attname, sum(s.avg_width * p.tuples) as bytes, sum(s.null_frac * p.tuples) as nulls, sum(p.tuples) as tuples,
            round(max(case when s.n_distinct < 0 then -s.n_distinct * p.tuples else s.n_distinct end)) as distinct_values
        from parts as p
        join pg_catalog.pg_stats as s on s.schemaname = p.nspname and s.tablename = p.relname and not s.inherited
        group by s.attname
    )
    select a.attname::text, c.bytes, c.distinct_values, c.nulls / nullif(c.tuples, 0), null::double precision,
        null::text, null::text
    from known
    join pg_catalog.pg_attribute as a on a.attrelid = known.oid and a.attnum > 0 and not a.attisdropped
    left join columns as c on c.attname = a.attname
    union all
    select null, null, null, null, size.total, null, null from size, known where known.oid is not null;
end;
