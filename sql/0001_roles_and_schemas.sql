-- SPDX-License-Identifier: Apache-2.0
--
-- Who may do what, and where names live.
--
-- Two roles. The writer owns the database and runs the migrations; it needs no superuser rights. The
-- reader can only select: it is what the query server and BI tools connect as, so everything it could
-- misuse is taken away here, in the store, and not left to the programs in front of it.
--
-- Three schemas: market (what users query), ops (what operators need), tapedeck_sql (functions).
-- Migrations name every object with its schema: the search path set below holds only for sessions that
-- begin after this file has committed.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'tapedeck_reader') then
        if not (select rolcreaterole or rolsuper from pg_catalog.pg_roles where rolname = current_user) then
            raise exception 'role tapedeck_reader does not exist and role % may not create it', current_user
                using errcode = 'insufficient_privilege',
                      hint = 'As a superuser run: create role tapedeck_reader login; then migrate again.';
        end if;
        -- No LOGIN: whoever lets the reader in also chooses how it proves who it is.
        create role tapedeck_reader nologin;
    end if;
end
$$;

do $$
begin
    if exists (
        select from pg_catalog.pg_roles
        where rolname = 'tapedeck_reader' and 'default_transaction_read_only=on' = any (rolconfig)
    ) then
        return;
    end if;
    alter role tapedeck_reader set default_transaction_read_only = on;
    -- A reader that goes away inside a transaction would keep vacuum from the rows it might still look
    -- at, and the small hot tables (market.latest, ops.bar_state) grow with every update meanwhile.
    alter role tapedeck_reader set idle_in_transaction_session_timeout = '10min';
exception
    -- Defaults are a convenience (the role has no right to write either way), so their absence must
    -- not stop a migration run by a writer that may not alter other roles.
    when insufficient_privilege then
        raise notice 'role % may not alter tapedeck_reader: its session defaults are left as they are',
            current_user
            using hint = 'As a superuser run: alter role tapedeck_reader set default_transaction_read_only = on;';
end
$$;

create schema if not exists market;
create schema if not exists ops;
create schema if not exists tapedeck_sql;

comment on schema market is
    'Market data: trades, bars, quotes and what is known of each instrument. What users query.';
comment on schema ops is
    'What operators need: log positions, ingest runs, rejected records, freshness, applied migrations.';
comment on schema tapedeck_sql is
    'SQL functions of this field (time_bucket, first, last, vwap, candles, ...), on the search path.';

do $$
begin
    execute format(
        'alter database %I set search_path = market, tapedeck_sql, public', current_database());
    -- Days, buckets and bars are UTC throughout; a session that shows them otherwise has to ask for it.
    execute format('alter database %I set timezone = ''UTC''', current_database());
    execute format(
        'comment on database %I is %L', current_database(),
        'Tapedeck: the recorded market tape, queryable. Times are UTC.');
    -- Temporary tables would let a reader fill the disk and the catalogs. The owner keeps the right.
    execute format('revoke temporary on database %I from public', current_database());
    execute format('grant connect on database %I to tapedeck_reader', current_database());
end
$$;

-- PostgreSQL 15 creates databases so; one upgraded from an older release still lets everyone create.
revoke create on schema public from public;

grant usage on schema market, ops, tapedeck_sql to tapedeck_reader;

-- Whatever later migrations add for users is readable without a thought. In ops nothing is readable
-- unless its own migration says so: tables with secrets belong there too.
alter default privileges in schema market grant select on tables to tapedeck_reader;
alter default privileges in schema tapedeck_sql grant execute on functions to tapedeck_reader;

-- The migrator makes this table before it runs any file, to know which of them to run.
grant select on ops.schema_migrations to tapedeck_reader;

comment on table ops.schema_migrations is
    'The migrations this database has had, one row a file. Written by the migrator alone.';
comment on column ops.schema_migrations.version is
    'Number that starts the file name; migrations are applied in its order.';
comment on column ops.schema_migrations.name is
    'File name of the migration.';
comment on column ops.schema_migrations.checksum is
    'Digest of the file as it was applied: a file that has changed since is refused, files are immutable.';
comment on column ops.schema_migrations.applied_at is
    'When the migration committed (start of its transaction).';
