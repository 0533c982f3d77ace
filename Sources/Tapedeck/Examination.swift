// SPDX-License-Identifier: Apache-2.0
// What `tapedeck doctor` looks at.

import EventLog
import EventLoop
import Glibc
import Market
import Postgres
import Processor
import Store
import TLS

/// One thing that was looked at.
struct Diagnosis: Sendable {
    enum Verdict: String, Sendable {
        case ok
        /// It works, and somebody should know.
        case warning
        /// It does not work, or will not.
        case failure
    }

    /// What was looked at: `store`, `reader`, `log`, …
    var subject: String
    var verdict: Verdict
    /// What was found.
    var finding: String
    /// What to do; nil where there is nothing to do.
    var remedy: String?
}

/// Looks at every dependency and setting, changes nothing, and goes on after whatever it finds.
struct Examination: Sendable {
    private let settings: Settings
    private(set) var diagnoses: [Diagnosis] = []

    init(_ settings: Settings) { self.settings = settings }

    private mutating func note(_ subject: String, _ finding: String) {
        diagnoses.append(Diagnosis(subject: subject, verdict: .ok, finding: finding))
    }

    private mutating func warn(_ subject: String, _ finding: String, _ remedy: String) {
        diagnoses.append(Diagnosis(subject: subject, verdict: .warning, finding: finding, remedy: remedy))
    }

    private mutating func fail(_ subject: String, _ finding: String, _ remedy: String) {
        diagnoses.append(Diagnosis(subject: subject, verdict: .failure, finding: finding, remedy: remedy))
    }

    /// Looks at everything; on a loop of its own.
    mutating func run() async {
        // That they can be read at all has been checked by whoever made them.
        note("settings", "\(Setting.all.count { settings.text($0) != nil }) have values, all of them allowed")
        lookAtMachine()
        lookAtFiles()
        let connections = lookAtDataFolder()
        let embedded = settings.text(.databaseURL) == nil
        let writer = settings.text(.databaseURL) ?? connections?["TAPEDECK_DATABASE_URL"]
        let reader = settings.text(.readerURL) ?? (embedded ? connections?["TAPEDECK_READER_URL"] : nil)
        if embedded && connections == nil { lookAtPrograms() }
        do {
            let loop = try EventLoop(name: "doctor")
            loop.start()
            let begun = self
            let work = Task(executorPreference: loop) { () -> Examination in
                var examination = begun
                await examination.lookAtStores(writer: writer, reader: reader, on: loop)
                return examination
            }
            self = await work.value
        } catch {
            fail("machine", "\(error)", "Free memory or files on this machine.")
        }
    }

    // MARK: The machine

    private mutating func lookAtMachine() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let wanted = settings.integer(.maxConnections) ?? 0
        if limit.rlim_max < UInt(wanted) + 1000 {
            warn(
                "machine",
                "a process may open \(limit.rlim_max) files; \(Setting.maxConnections.environment) is \(wanted)",
                "Raise it (LimitNOFILE= in a unit, ulimit -Hn in a shell), or ask for fewer connections.")
        } else {
            note("machine", "\(sysconf(CInt(_SC_NPROCESSORS_ONLN))) processors, \(limit.rlim_max) open files")
        }
        do {
            try QueryService.checkReach(settings, insecure: false)
            note("listen", settings.string(.listen))
        } catch {
            fail("listen", "\(error)", "Set \(Setting.requireKeys.environment)=on, or listen on 127.0.0.1.")
        }
    }

    private mutating func lookAtFiles() {
        if settings.string(.sentiment) == "off" {
            note("lexicon", "not needed: \(Setting.sentiment.environment)=off")
        } else {
            do {
                _ = try Lexicon.load(settings, additions: [])
                note("lexicon", "found")
            } catch {
                fail(
                    "lexicon", "\(error)",
                    "Posts cannot be scored without it: see above, or set \(Setting.sentiment.environment)=off.")
            }
        }
        if let path = settings.text(.auditLog) {
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
            if access(path, W_OK) == 0 || access(path, F_OK) != 0 && access(folder, W_OK) == 0 {
                note("audit log", path)
            } else {
                fail("audit log", "\(path) cannot be written", "Make its folder, and let this user write there.")
            }
        }
        do {
            guard let tls = try TLSSettings.server(settings) else { return }
            for certificate in tls.certificates {
                let names = certificate.names.joined(separator: ", ")
                if certificate.hasExpired {
                    fail(
                        "tls", "the certificate of \(names) expired on \(certificate.notAfter)",
                        "Renew it, put it at its place, and send SIGHUP.")
                } else {
                    note("tls", "the certificate of \(names) is good until \(certificate.notAfter)")
                }
            }
        } catch {
            fail("tls", "\(error)", "Put the certificate and its key where the settings say.")
        }
    }

    /// The folder of what is embedded. Returns how to reach what runs on it, if something does.
    private mutating func lookAtDataFolder() -> [String: String]? {
        if settings.text(.databaseURL) != nil && settings.text(.eventLog) != nil { return nil }
        let path = settings.string(.dataDir)
        guard access(path, F_OK) == 0 else {
            note("data folder", "\(path) is not there yet; the first start makes it")
            return nil
        }
        guard access(path, W_OK | X_OK) == 0 else {
            fail("data folder", "\(path) cannot be written by this user", "chown it, or run as its owner.")
            return nil
        }
        var disk = statvfs()
        statvfs(path, &disk)
        let free = (Int64(disk.f_bavail) * Int64(disk.f_frsize)) >> 20
        if free < 1024 {
            fail("data folder", "\(free) MiB are free at \(path)", "Free disk, or shorten the retentions.")
        } else if free < 5 * 1024 {
            warn(
                "data folder", "\(free) MiB are free at \(path)",
                "Watch it: the log and PostgreSQL stop on a full disk.")
        } else {
            note("data folder", "\(path), \(free >> 10) GiB free")
        }
        guard settings.text(.databaseURL) == nil, let folder = try? DataFolder(path),
            let connections = folder.readConnections(), let isFree = try? folder.acquire(), !isFree
        else { return nil }
        return connections
    }

    private mutating func lookAtPrograms() {
        do throws(StoreError) {
            note("postgresql", "programs in \(try PrivatePostgres.findBinaries())")
        } catch {
            fail("postgresql", error.message, error.hint ?? "Install postgresql-15.")
        }
    }

    // MARK: The store

    private mutating func lookAtStores(writer: String?, reader: String?, on loop: EventLoop) async {
        var store: PostgresConnection?
        if let writer {
            store = await connect("store", writer, on: loop)
            if let store { await lookAtStore(store) }
        } else {
            warn(
                "store", "nothing runs on \(settings.string(.dataDir)), so the store was not looked at",
                "Start 'tapedeck up' on it, or set \(Setting.databaseURL.environment).")
        }
        if let reader {
            if let connection = await connect("reader", reader, on: loop) {
                await lookAtReader(connection)
                connection.close()
            }
        } else if writer != nil {
            warn(
                "reader", "no reader to look at",
                "Set \(Setting.readerURL.environment) to a URI with the role tapedeck_reader; 'serve' needs it.")
        }
        await lookAtLog(store)
        store?.close()
    }

    private mutating func connect(_ subject: String, _ url: String, on loop: EventLoop) async -> PostgresConnection? {
        do {
            return try await PostgresConnection.connect(
                ConnectionSettings(url, applicationName: "tapedeck doctor", sessionParameters: [:]), on: loop)
        } catch {
            fail(
                subject, "\(error)",
                "Check that the server runs and listens, its pg_hba.conf lets this machine in, and the password in the URI."
            )
            return nil
        }
    }

    private mutating func lookAtStore(_ store: PostgresConnection) async {
        do {
            let row = try await store.query(
                """
                SELECT current_setting('server_version'), current_setting('server_version_num')::bigint, pg_is_in_recovery(),
                    current_setting('fsync') || ' ' || current_setting('full_page_writes'),
                    current_setting('synchronous_commit'), pg_encoding_to_char(encoding),
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                    to_regclass('ops.schema_migrations') IS NOT NULL
                FROM pg_database WHERE datname = current_database()
                """)[0]
            let now = wallClock().microseconds
            let version = try row.string(0)
            if try row.int64(1) < 150_000 {
                fail("store", "PostgreSQL \(version)", "Upgrade to 15 or later.")
            } else {
                note("store", "PostgreSQL \(version)")
            }
            if try row.bool(2) {
                fail(
                    "store", "it is a standby, which nobody can write to",
                    "Name the primary in \(Setting.databaseURL.environment), with target_session_attrs=read-write.")
            }
            if try row.string(3) != "on on" {
                fail(
                    "store", "fsync or full_page_writes is off: a power cut can lose or corrupt what was committed",
                    "Turn both on in postgresql.conf.")
            }
            if try row.string(4) == "off" {
                warn(
                    "store",
                    "synchronous_commit is off: a crash may lose the last moments, which are then read again from the log",
                    "Leave it on unless you mean it; keep the log's retention longer than any outage.")
            }
            if try row.string(5) != "UTF8" {
                fail("store", "its encoding is \(try row.string(5))", "Make the database with ENCODING 'UTF8'.")
            }
            let skew = try row.int64(6) - now
            if abs(skew) > 2_000_000 {
                warn(
                    "store", "its clock and ours are \(abs(skew) / 1_000_000) s apart",
                    "Run NTP on both: trades from the future are refused by our clock.")
            }
            guard try row.bool(7) else {
                return fail("schema", "there is none", "Run 'tapedeck migrate'.")
            }
            try await lookAtSchema(store)
        } catch {
            fail("store", "\(error)", "Connect with psql and see.")
        }
    }

    private mutating func lookAtSchema(_ store: PostgresConnection) async throws {
        let version = try await store.query("SELECT coalesce(max(version), 0)::bigint FROM ops.schema_migrations")[0]
            .int64(0)
        let latest = Int64(Migrator.latestVersion)
        if version < latest {
            return fail("schema", "version \(version); this program needs \(latest)", "Run 'tapedeck migrate'.")
        }
        if version > latest {
            return fail(
                "schema", "version \(version); this program knows \(latest)",
                "Install a tapedeck at least as new as the one that migrated the store.")
        }
        note("schema", "version \(version)")
        let sources = try await store.query(
            """
            SELECT source, coalesce(silent_for::text, 'for ever'), coalesce(last_error, '') FROM ops.source_freshness
            WHERE is_silent ORDER BY source
            """)
        for row in sources {
            let why = try row.string(2).isEmpty ? "" : "; it last said: \(try row.string(2))"
            warn(
                "source \(try row.string(0))", "silent \(try row.string(1))\(why)",
                "See 'tapedeck status'. A tape that has ended, or a closed market, is silent, too.")
        }
        let jobs = try await store.query(
            "SELECT job, coalesce(last_message, '') FROM ops.jobs WHERE last_result = 'failed' ORDER BY job")
        for row in jobs {
            warn(
                "job \(try row.string(0))", "its last run failed: \(try row.string(1))",
                "Run it by hand: tapedeck jobs run \(try row.string(0))")
        }
    }

    private mutating func lookAtReader(_ reader: PostgresConnection) async {
        do {
            let findings = try await Hardening.findings(reader)
            for finding in findings { fail("reader", finding.what, finding.remedy) }
            if findings.isEmpty { note("reader", "the reader can only read") }
            let row = try await reader.query(
                """
                SELECT pg_is_in_recovery(), current_setting('hot_standby_feedback'),
                    coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::double precision,
                    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() END
                """)[0]
            guard try row.bool(0) else { return }
            note("replica", "queries go to a standby")
            let lag = try row.double(2)
            // A primary where nothing happens leaves the time of the last replay where it was.
            if try row.boolOrNil(3) != true && lag > 10 {
                warn(
                    "replica", "it is \(Int(lag)) s behind",
                    "See pg_stat_replication on the primary; long queries hold replay back (max_standby_streaming_delay)."
                )
            }
            if try row.string(1) == "off" {
                warn(
                    "replica", "hot_standby_feedback is off: long queries may be cancelled by vacuum on the primary",
                    "ALTER SYSTEM SET hot_standby_feedback = on, on the standby.")
            }
        } catch {
            fail("reader", "\(error)", "Connect with psql as tapedeck_reader and see.")
        }
    }

    // MARK: The log

    private mutating func lookAtLog(_ store: PostgresConnection?) async {
        let url = settings.text(.eventLog)
        let place = url ?? "sqlite:\(settings.string(.dataDir))/log"
        if let path = place.hasPrefix("sqlite:") ? String(place.dropFirst(7)) : nil, access(path, F_OK) != 0 {
            return note("log", "\(path) is not there yet; the first start makes it")
        }
        do {
            let (log, _) = try await Runtime.openLog(
                settings, folder: url == nil ? settings.string(.dataDir) : nil, logger: Runtime.quietLogger)
            await lookAtTopics(log, store)
            await log.close()
        } catch {
            fail(
                "log", "\(error)",
                place.hasPrefix("kafka:")
                    ? "Check that the brokers answer at their advertised addresses, and \(Setting.kafkaConfig.environment)."
                    : "See that this user may write there, and that the disk is well.")
        }
    }

    private mutating func lookAtTopics(_ log: any EventLog, _ store: PostgresConnection?) async {
        var missing: [String] = []
        for topic in Runtime.topicSettings(settings) {
            do throws(EventLogError) {
                _ = try await log.partitionCount(of: topic.name)
            } catch {
                if error.code != .unknownTopic { return fail("log", "\(error)", "Check the log.") }
                missing.append(topic.name)
            }
        }
        if !missing.isEmpty {
            return fail("log", "it lacks the topics \(missing.joined(separator: ", "))", "Run 'tapedeck topics'.")
        }
        guard let store else { return note("log", "it answers, with all topics") }
        do {
            let roles = [Runtime.topics] + Runtime.kinds(settings).map(\.topics)
            let lags = try await Processor.lags(of: roles, log: log, store: store)
            if let ahead = lags.first(where: { $0.done > $0.end }) {
                return fail(
                    "log", "the store is at \(ahead.done) of \(ahead.partition), which ends at \(ahead.end)",
                    "The topic was made anew or the log restored: see docs/runbook.md, 'The log was lost'.")
            }
            let lag = lags.reduce(0) { $0 + $1.records }
            if lag > 100_000 {
                warn("log", "\(grouped(lag)) records are not in the store yet", "See docs/runbook.md, 'The lag grows'.")
            } else {
                note("log", "it answers, with all topics; lag \(grouped(lag)) records")
            }
        } catch {
            warn("log", "its lag is not known: \(error)", "Put right what is said of the store.")
        }
    }
}
