// SPDX-License-Identifier: Apache-2.0

package import Postgres

/// The walls around `tapedeck_reader`, whoever connects as it and however, and around `tapedeck_server`, as which the
/// query server connects where there is such a role: it has the reader's rights and a password that no reader knows.
///
/// Rights are most of them: the role owns nothing and may only select. What is left is what PostgreSQL gives to
/// everybody: functions that reach other sessions, take locks, write files or WAL, or read what others run. Taking them
/// away needs a superuser, which the private server has; for a server of yours `tapedeck doctor --sql` prints the
/// script, and `tapedeck doctor` tells what is missing.
package enum Hardening {
    /// Functions of `pg_catalog` that nobody but the writer may call, as a regular expression on their names.
    private static let functions = [
        // Locks that outlive statements and fill the shared lock table.
        "pg_(try_)?advisory_.*",
        // Large objects: writes without a table.
        "lo_.*|loread|lowrite",
        // Other sessions: their end, their texts.
        "pg_cancel_backend|pg_terminate_backend|pg_stat_get_activity|pg_stat_get_backend_.*",
        // The session's own settings and statements, behind the back of a statement filter.
        "set_config|setseed|pg_prepared_statement",
        // Messages to those who listen, WAL and transaction numbers at will, files of snapshots.
        "pg_notify|pg_logical_emit_message|txid_current|pg_current_xact_id|pg_export_snapshot",
        // SQL in a text, behind the back of the ceiling of a query's cost.
        "(query|cursor|table|schema|database)_to_xml.*|ts_stat|ts_rewrite",
    ].joined(separator: "|")

    /// Whether a database `d` was opened to readers by name, as each database of Tapedeck's is (migration 1).
    private static let opened = """
        EXISTS (SELECT FROM aclexplode(d.datacl) a JOIN pg_roles r ON r.oid = a.grantee
            WHERE r.rolname IN ('tapedeck_reader', 'tapedeck_server') AND a.privilege_type = 'CONNECT')
        """

    /// SQL for a superuser, run in the database itself after the migrations; each run puts everything right again.
    package static let superuserScript = """
        DO $hardening$
        DECLARE
            f regprocedure;
            columns text;
            path text;
            reader text;
            readers text[] := ARRAY(SELECT rolname FROM pg_roles WHERE rolname IN ('tapedeck_reader', 'tapedeck_server'));
            place record;
            other text;
        BEGIN
            FOR f IN
                SELECT p.oid::regprocedure FROM pg_proc p
                WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.proname ~ '^(\(functions))$'
            LOOP
                EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tapedeck_writer', f);
            END LOOP;
            -- A DO block could set what set_config may not.
            REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
            GRANT USAGE ON LANGUAGE plpgsql TO tapedeck_writer;

            FOREACH reader IN ARRAY readers LOOP
                -- Defaults that every role may change for itself are put back; the others only a superuser changes.
                EXECUTE format('ALTER ROLE %I RESET ALL', reader);
                EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', reader);
                EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''10min''', reader);
                -- The texts of users' mistakes belong to them and not into our log, which they could fill.
                EXECUTE format('ALTER ROLE %I SET log_min_messages = fatal', reader);
                EXECUTE format('ALTER ROLE %I SET log_min_error_statement = panic', reader);
                -- What one session may write to temporary files.
                EXECUTE format('ALTER ROLE %I SET temp_file_limit = ''1GB''', reader);
                -- Some connections are left for those who write, and half of the others for the query server.
                EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', reader, greatest(10,
                    (current_setting('max_connections')::int - 30)
                    / CASE WHEN reader = 'tapedeck_reader' THEN cardinality(readers) ELSE 1 END));
            END LOOP;

            -- These walls are this database's: readers enter no other, but those that were opened to them by name.
            -- Every other role that could enter keeps that.
            FOR place IN
                SELECT d.oid, d.datname FROM pg_database d
                WHERE d.datallowconn AND d.datname <> current_database()
                    AND has_database_privilege('tapedeck_reader', d.oid, 'CONNECT') AND NOT \(opened)
            LOOP
                FOR other IN
                    SELECT r.rolname FROM pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper
                        AND NOT r.rolname = ANY (readers) AND has_database_privilege(r.oid, place.oid, 'CONNECT')
                LOOP
                    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', place.datname, other);
                END LOOP;
                EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', place.datname);
            END LOOP;
            GRANT pg_read_all_stats TO tapedeck_writer;

            -- What readers may see of sessions and do to them, under the names that clients use: before pg_catalog on
            -- their path.
            CREATE SCHEMA IF NOT EXISTS tapedeck_guard;
            COMMENT ON SCHEMA tapedeck_guard IS
                'What readers may see of sessions and do to them, under the names of pg_catalog, on their path before it.';
            GRANT USAGE ON SCHEMA tapedeck_guard TO tapedeck_reader;
            SELECT string_agg(CASE
                    WHEN a.attname IN ('application_name', 'client_addr', 'client_hostname', 'client_port', 'query')
                        THEN format('CASE WHEN mine THEN s.%I %s END', a.attname,
                            CASE a.attname WHEN 'query' THEN 'ELSE ''<insufficient privilege>''' ELSE '' END)
                    WHEN a.attname IN ('datid', 'datname', 'pid', 'leader_pid', 'usesysid', 'usename', 'backend_type')
                        THEN format('s.%I', a.attname)
                    ELSE format('CASE WHEN same_role THEN s.%I END', a.attname) END, ', ' ORDER BY a.attnum)
                INTO columns
                FROM pg_attribute a
                WHERE a.attrelid = 'pg_catalog.pg_stat_activity'::regclass AND a.attnum > 0 AND NOT a.attisdropped;
            EXECUTE format($f$
                CREATE OR REPLACE FUNCTION tapedeck_guard.activity() RETURNS SETOF pg_catalog.pg_stat_activity
                LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                    SELECT %s FROM pg_catalog.pg_stat_activity s,
                        LATERAL (SELECT s.usename = session_user AS same_role) r,
                        LATERAL (SELECT s.pid = pg_backend_pid()
                            OR same_role AND s.client_addr = inet_client_addr()
                                AND current_setting('tapedeck.shared', true) IS DISTINCT FROM 'on' AS mine) m
                $body$ $f$, columns);
            COMMENT ON FUNCTION tapedeck_guard.activity() IS
                'The sessions of the server; texts and addresses only of those made directly from the caller''s address, and through the query server, whose sessions many callers share, of its own alone.';
            CREATE OR REPLACE VIEW tapedeck_guard.pg_stat_activity AS SELECT * FROM tapedeck_guard.activity();
            COMMENT ON VIEW tapedeck_guard.pg_stat_activity IS
                'The sessions of the server; texts and addresses only of those made directly from the caller''s address, and through the query server, whose sessions many callers share, of its own alone.';
            GRANT SELECT ON tapedeck_guard.pg_stat_activity TO tapedeck_reader;

            CREATE OR REPLACE FUNCTION tapedeck_guard.may_end(target integer) RETURNS boolean
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                SELECT current_setting('tapedeck.shared', true) IS DISTINCT FROM 'on'
                    AND (target = pg_backend_pid() OR EXISTS (SELECT FROM pg_catalog.pg_stat_activity s
                        WHERE s.pid = target AND s.usename = session_user AND s.client_addr = inet_client_addr()))
            $body$;
            COMMENT ON FUNCTION tapedeck_guard.may_end(integer) IS
                'Whether the caller may end a session: its own, or one of its role made directly from its address. Nobody may through the query server, whose sessions say tapedeck.shared = on, since many callers share them.';
            CREATE OR REPLACE FUNCTION tapedeck_guard.pg_terminate_backend(pid integer) RETURNS boolean
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
            BEGIN
                IF NOT tapedeck_guard.may_end(pid) THEN
                    RAISE EXCEPTION 'permission denied to end session %', pid USING ERRCODE = '42501',
                        HINT = 'A reader may end sessions made directly from its own address; a query over HTTP ends by DELETE /api/v1/queries/{id}.';
                END IF;
                RETURN pg_catalog.pg_terminate_backend(pid);
            END $body$;
            COMMENT ON FUNCTION tapedeck_guard.pg_terminate_backend(integer) IS
                'Ends a session of the caller''s own; see tapedeck_guard.may_end.';
            CREATE OR REPLACE FUNCTION tapedeck_guard.pg_cancel_backend(pid integer) RETURNS boolean
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
            BEGIN
                IF NOT tapedeck_guard.may_end(pid) THEN
                    RAISE EXCEPTION 'permission denied to cancel the query of session %', pid USING ERRCODE = '42501',
                        HINT = 'A reader may cancel queries of sessions made directly from its own address; a query over HTTP ends by DELETE /api/v1/queries/{id}.';
                END IF;
                RETURN pg_catalog.pg_cancel_backend(pid);
            END $body$;
            COMMENT ON FUNCTION tapedeck_guard.pg_cancel_backend(integer) IS
                'Cancels the query of a session of the caller''s own; see tapedeck_guard.may_end.';

            SELECT substring(setting FROM 'search_path=(.*)') INTO path
                FROM pg_db_role_setting s, unnest(s.setconfig) setting
                WHERE s.setrole = 0 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND setting LIKE 'search_path=%';
            FOREACH reader IN ARRAY readers LOOP
                EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', reader, current_database());
                -- Behind market, which is ours alone and which clients take for the schema to begin with
                -- (current_schema()); before whatever else somebody has put first.
                path := coalesce(path, 'market, tapedeck_sql, public');
                EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %s', reader, current_database(),
                    CASE WHEN path ~ '^market *(,|$)' THEN regexp_replace(path, '^market', 'market, tapedeck_guard, pg_catalog')
                        ELSE 'tapedeck_guard, pg_catalog, ' || path END);
            END LOOP;
        END $hardening$
        """

    /// SQL for the owner of the database, who need not be a superuser: what he may do of the above. What he may not is
    /// left as it is, and ``findings(_:)`` tells.
    package static let ownerScript = """
        DO $hardening$
        BEGIN
            ALTER ROLE tapedeck_reader SET default_transaction_read_only = on;
            ALTER ROLE tapedeck_reader SET idle_in_transaction_session_timeout = '10min';
            IF (SELECT rolconnlimit FROM pg_roles WHERE rolname = 'tapedeck_reader') < 0 THEN
                EXECUTE format('ALTER ROLE tapedeck_reader CONNECTION LIMIT %s',
                    greatest(10, current_setting('max_connections')::int - 30));
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END $hardening$
        """

    /// A wall that is not there.
    package struct Finding: Sendable, Equatable {
        /// What a reader can do.
        package var what: String
        /// What puts it right.
        package var remedy: String
    }

    /// What is missing, seen from a connection of the reader's; empty when all walls stand.
    package static func findings(_ reader: PostgresConnection) async throws(PostgresError) -> [Finding] {
        let script = "run as a superuser: tapedeck doctor --sql | psql DATABASE"
        let rows = try await reader.query(
            """
            SELECT 'it is a superuser, or may create roles or databases, replicate or bypass row security',
                'ALTER ROLE … NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS'
            FROM pg_roles WHERE rolname = session_user
                AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
            UNION ALL
            SELECT 'it is a member of ' || string_agg(roleid::regrole::text, ', '), 'REVOKE these roles from it'
            FROM pg_auth_members WHERE member = session_user::regrole AND roleid::regrole::text <> 'tapedeck_reader'
                HAVING count(*) > 0
            UNION ALL
            SELECT 'it may write to ' || count(*) || ' tables, ' || min(oid::regclass::text) || ' among them',
                'REVOKE the right; the reader needs SELECT alone'
            FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text NOT LIKE 'pg\\_%'
                AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE') HAVING count(*) > 0
            UNION ALL
            SELECT 'it may create objects in schema ' || nspname, format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', nspname)
            FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')
            UNION ALL
            SELECT 'it may create temporary tables', format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', datname)
            FROM pg_database WHERE datname = current_database() AND has_database_privilege(oid, 'TEMPORARY')
            UNION ALL
            SELECT 'it may create schemas', format('REVOKE CREATE ON DATABASE %I FROM PUBLIC', datname)
            FROM pg_database WHERE datname = current_database() AND has_database_privilege(oid, 'CREATE')
            UNION ALL
            SELECT 'it may enter other databases, where these walls do not stand: ' || string_agg(d.datname, ', '), $1
            FROM pg_database d WHERE d.datallowconn AND d.datname <> current_database()
                AND has_database_privilege(d.oid, 'CONNECT') AND NOT \(opened) HAVING count(*) > 0
            UNION ALL
            SELECT 'it may call ' || string_agg(DISTINCT proname, ', '), $1
            FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ $2
                AND has_function_privilege(oid, 'EXECUTE') HAVING count(*) > 0
            UNION ALL
            SELECT 'it may run DO blocks in ' || string_agg(lanname, ', '), $1
            FROM pg_language WHERE lanpltrusted AND lanname <> 'sql' AND has_language_privilege(oid, 'USAGE')
                HAVING count(*) > 0
            UNION ALL
            SELECT 'its sessions are not read-only by default', $1
            WHERE current_setting('default_transaction_read_only') <> 'on'
            UNION ALL
            SELECT 'its temporary files have no limit', $1 WHERE current_setting('temp_file_limit') = '-1'
            UNION ALL
            SELECT 'its idle transactions have no end', $1
            WHERE current_setting('idle_in_transaction_session_timeout') = '0'
            UNION ALL
            SELECT 'it may take every connection of the server', $1
            FROM pg_roles WHERE rolname = session_user AND rolconnlimit < 0
            UNION ALL
            SELECT 'it may prepare transactions, which hold their locks for ever', 'set max_prepared_transactions = 0'
            WHERE current_setting('max_prepared_transactions') <> '0'
            """, [.text(script, as: .text), .text("^(\(functions))$", as: .text)])
        var findings: [Finding] = []
        for row in rows { findings.append(Finding(what: try row.string(0), remedy: try row.string(1))) }
        return findings
    }
}
