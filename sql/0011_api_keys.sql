-- SPDX-License-Identifier: Apache-2.0
--
-- Who may ask the query server, and for what.

create table ops.api_keys (
    key_id text collate "C" primary key,
    name text not null,
    secret_hash bytea not null,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    requests_per_second double precision,
    max_concurrency integer,
    max_rows bigint,
    max_bytes bigint,
    max_ms bigint,
    constraint api_keys_id check (key_id ~ '^[0-9a-f]{12}$'),
    constraint api_keys_name check (char_length(name) between 1 and 100),
    constraint api_keys_hash check (octet_length(secret_hash) = 32),
    constraint api_keys_scopes check (cardinality(scopes) > 0 and scopes <@ array['sql', 'rest', 'admin']),
    constraint api_keys_limits check (requests_per_second > 0 and max_concurrency > 0 and max_rows > 0 and max_bytes > 0
        and max_ms > 0)
);

-- A name means one key at a time: it is how people revoke one.
create unique index api_keys_name on ops.api_keys (name) where revoked_at is null;

comment on table ops.api_keys is
    'Keys of the query server''s clients. Readers cannot see this table; the server asks ops.check_api_key.';
comment on column ops.api_keys.key_id is
    'The part of a key that is no secret: tdk_<key_id>_<secret>.';
comment on column ops.api_keys.name is
    'What people call it; unique among keys that are not revoked.';
comment on column ops.api_keys.secret_hash is
    'SHA-256 of the whole key. The secret has 256 random bits, so that no slower hash is needed; it is shown once and kept nowhere.';
comment on column ops.api_keys.scopes is
    'What it opens: sql (SQL, Presto and Trino), rest (REST, Grafana, live), admin (everything, and the queries of others).';
comment on column ops.api_keys.created_at is
    'When it was made, UTC.';
comment on column ops.api_keys.expires_at is
    'When it ends by itself, UTC; null for never.';
comment on column ops.api_keys.revoked_at is
    'When it was revoked, UTC; null while it is good.';
comment on column ops.api_keys.requests_per_second is
    'Requests a second in the long run, for each server process; null for any.';
comment on column ops.api_keys.max_concurrency is
    'Statements of it that run at once, SQL and lookups each, for each server process; null for the server''s limit.';
comment on column ops.api_keys.max_rows is
    'Rows of one result of SQL; null for the server''s limit.';
comment on column ops.api_keys.max_bytes is
    'Bytes of one result of SQL; null for the server''s limit.';
comment on column ops.api_keys.max_ms is
    'Milliseconds of one statement; null for the server''s limit.';

-- The server connects as a reader, whose sessions run SQL of anybody: so it cannot read the table, and only who has a
-- key's hash already learns what the key may. Hashed once more, so that the time of the comparison tells nothing.
create function ops.check_api_key(key_id text, secret_hash bytea)
returns table (name text, scopes text[], expires_at timestamptz, requests_per_second double precision,
    max_concurrency integer, max_rows bigint, max_bytes bigint, max_ms bigint)
language sql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp
as $$
    select k.name, k.scopes, k.expires_at, k.requests_per_second, k.max_concurrency, k.max_rows, k.max_bytes, k.max_ms
    from ops.api_keys as k
    where k.key_id = $1 and sha256(k.secret_hash) = sha256($2)
      and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
$$;
comment on function ops.check_api_key(text, bytea) is
    'What the key of this hash may; no row if there is none, or it has expired or was revoked.';
revoke execute on function ops.check_api_key(text, bytea) from public;
grant execute on function ops.check_api_key(text, bytea) to tapedeck_reader;
