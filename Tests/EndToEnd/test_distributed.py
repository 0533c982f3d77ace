# SPDX-License-Identifier: Apache-2.0
"""sql/distributed/citus.sql on the real schema, with Citus' rules for keys in place of Citus."""
import psycopg
import pytest
from conftest import ENVIRONMENT, ROOT, run
from postgres_server import PostgresServer

# https://docs.citusdata.com: "unique constraints must contain the distribution column", foreign keys between
# distributed tables must contain it on both sides, reference tables may refer to reference tables.
RULES = """
create table public.placed (relation regclass primary key, kind text not null, by text, beside regclass);
create function public.create_distributed_table(
    relation regclass, distribution_column text, shard_count integer default null, colocate_with text default 'default')
returns void language plpgsql as $$
begin
    if not exists (select from pg_attribute where attrelid = relation and attname = distribution_column and attnum > 0) then
        raise exception '% has no column %', relation, distribution_column;
    end if;
    if (select relkind from pg_class where oid = relation) not in ('r', 'p') then
        raise exception '% is no table', relation;
    end if;
    if exists (
        select from pg_index i where i.indrelid = relation and i.indisunique and not exists (
            select from unnest(i.indkey) k join pg_attribute a on a.attrelid = relation and a.attnum = k
            where a.attname = distribution_column)) then
        raise exception 'a unique key of % lacks %', relation, distribution_column;
    end if;
    if colocate_with <> 'default' and not exists (
        select from public.placed p join pg_attribute mine on mine.attrelid = create_distributed_table.relation and mine.attname = distribution_column
            join pg_attribute theirs on theirs.attrelid = p.relation and theirs.attname = p.by
        where p.relation = colocate_with::regclass and mine.atttypid = theirs.atttypid and mine.attcollation = theirs.attcollation) then
        raise exception '% cannot lie beside %', relation, colocate_with;
    end if;
    insert into public.placed values (relation, 'distributed', distribution_column, nullif(colocate_with, 'default')::regclass);
end $$;
create function public.create_reference_table(relation regclass) returns void language plpgsql as $$
begin
    insert into public.placed values (relation, 'reference');
end $$;
"""


@pytest.fixture
def server():
    server = PostgresServer().make()
    yield server
    server.close()


def test_every_table_of_the_market_has_its_place_and_keys_allow_it(server):
    run("migrate", env=ENVIRONMENT | {"TAPEDECK_DATABASE_URL": server.url()})
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("set search_path = public, market")
        connection.execute(RULES)
        connection.execute((ROOT / "sql/distributed/citus.sql").read_text())
        left = connection.execute("""
            select oid::regclass::text from pg_class
            where relnamespace = 'market'::regnamespace and relkind in ('r', 'p') and not relispartition
                and oid not in (select relation from placed)""").fetchall()
        assert left == [], "a table of the market without a place"
        broken = connection.execute("""
            select conrelid::regclass::text, confrelid::regclass::text from pg_constraint c
            left join placed a on a.relation = conrelid left join placed b on b.relation = confrelid
            where contype = 'f' and connamespace in ('market'::regnamespace, 'ops'::regnamespace)
                and a.kind is distinct from b.kind""").fetchall()
        assert broken == [], "a foreign key between tables of two kinds"
