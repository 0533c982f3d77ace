-- SPDX-License-Identifier: Apache-2.0
--
-- What the dialect of Trino lacked: UNNEST of a map, the higher moments, and statistics of partitioned tables.

-- PostgreSQL chooses among the functions of this name by the type of what they are given, so no statement is rewritten.
create function trino.unnest(x jsonb) returns table (key text, value jsonb)
language sql immutable strict parallel safe rows 10
begin atomic
    select e.key, e.value from pg_catalog.jsonb_each(x) as e (key, value);
end;
comment on function trino.unnest(jsonb) is 'The entries of a map as rows: FROM UNNEST(map) AS t (key, value).';

-- Count, mean, and the sums of the second, third and fourth powers of the distances from it, which are carried on from
-- value to value and merged without the loss of digits that sums of powers have: P. Pébay, "Formulas for robust,
-- one-pass parallel computation of covariances and arbitrary-order statistical moments", SAND2008-6212, 2.1 and 3.1.
create function trino_dialect.moments_merge(a double precision[], b double precision[]) returns double precision[]
language sql immutable strict parallel safe
return case
    when a[1] = 0 then b
    when b[1] = 0 then a
    else (
        select array[
            n,
            a[2] + d * b[1] / n,
            a[3] + b[3] + d * d * a[1] * b[1] / n,
            a[4] + b[4] + d * d * d * a[1] * b[1] * (a[1] - b[1]) / (n * n)
                + 3 * d * (a[1] * b[3] - b[1] * a[3]) / n,
            a[5] + b[5] + d * d * d * d * a[1] * b[1] * (a[1] * a[1] - a[1] * b[1] + b[1] * b[1]) / (n * n * n)
                + 6 * d * d * (a[1] * a[1] * b[3] + b[1] * b[1] * a[3]) / (n * n)
                + 4 * d * (a[1] * b[4] - b[1] * a[4]) / n]
        from (select a[1] + b[1] as n, b[2] - a[2] as d) as step)
    end;
comment on function trino_dialect.moments_merge(double precision[], double precision[]) is
    'Part of skewness and kurtosis: the moments of two parts together.';

create function trino_dialect.moments_step(state double precision[], x double precision) returns double precision[]
language sql immutable strict parallel safe
return trino_dialect.moments_merge(state, array[1, x, 0, 0, 0]::double precision[]);
comment on function trino_dialect.moments_step(double precision[], double precision) is
    'Part of skewness and kurtosis: one more value.';

create function trino_dialect.skewness_of(state double precision[]) returns double precision
language sql immutable strict parallel safe
return case when state[1] >= 3 then sqrt(state[1]) * state[4] / nullif(state[3], 0) ^ 1.5 end;
comment on function trino_dialect.skewness_of(double precision[]) is 'Part of skewness; NULL for fewer than three values.';

create function trino_dialect.kurtosis_of(state double precision[]) returns double precision
language sql immutable strict parallel safe
return case when state[1] >= 4 then
    (state[1] - 1) * state[1] * (state[1] + 1) / ((state[1] - 2) * (state[1] - 3)) * state[5] / nullif(state[3], 0) ^ 2
    - 3 * (state[1] - 1) ^ 2 / ((state[1] - 2) * (state[1] - 3)) end;
comment on function trino_dialect.kurtosis_of(double precision[]) is 'Part of kurtosis; NULL for fewer than four values.';

create aggregate trino.skewness(double precision) (
    sfunc = trino_dialect.moments_step, stype = double precision[], finalfunc = trino_dialect.skewness_of,
    combinefunc = trino_dialect.moments_merge, initcond = '{0,0,0,0,0}', parallel = safe);
comment on aggregate trino.skewness(double precision) is 'Skewness: how far the values lean to one side.';
create aggregate trino.kurtosis(double precision) (
    sfunc = trino_dialect.moments_step, stype = double precision[], finalfunc = trino_dialect.kurtosis_of,
    combinefunc = trino_dialect.moments_merge, initcond = '{0,0,0,0,0}', parallel = safe);
comment on aggregate trino.kurtosis(double precision) is 'Excess kurtosis of a sample: how heavy the tails are.';

-- ANALYZE by autovacuum looks at partitions only, never at the table they make up, so that has no statistics of its own;
-- theirs are put together: shares by their rows, values that differ by the largest number that one of them has.
create or replace function trino_dialect.stats_of(catalog text, schema text, name text)
returns table (
    column_name text, data_size double precision, distinct_values_count double precision,
    nulls_fraction double precision, row_count double precision, low_value text, high_value text)
language sql stable parallel safe
begin atomic
    with known as (select trino_dialect.known_table(catalog, schema, name) as oid offset 0),
    parts as (
        select c.oid, n.nspname, c.relname, greatest(c.reltuples, 0)::double precision as tuples
        from known
        join pg_catalog.pg_class as c on c.oid = known.oid
            or c.oid in (select t.relid from pg_catalog.pg_partition_tree(known.oid) as t where t.isleaf)
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where c.relkind <> 'p'
    ),
    size as (select coalesce(sum(tuples), 0) as total from parts),
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

grant execute on all functions in schema trino, trino_dialect to tapedeck_reader;
