// SPDX-License-Identifier: Apache-2.0
// The one way from a client to a connection.

import EventLoop
import HTTP
import Postgres

/// What one event loop has of PostgreSQL, behind the ``Admission`` and the list of ``RunningQueries`` that it shares
/// with the others. On the loop's thread only.
///
/// Every statement for a client passes here: it is listed, waits for its place, and has a connection for as long as it
/// holds the place. There are three pools: one for our own statements, which stay prepared, one for lookups in batches, whose plans
/// are of any number of keys, and one for SQL of users, whose sessions are discarded after each use.
final class Gate {
    let loop: EventLoop
    let admission: Admission
    private let rightOfWay: RightOfWay
    let running: RunningQueries
    private let audit: AuditLog?
    /// What is known of types that are not built in.
    let types = ResultTypes()
    /// This loop's number.
    private let slot: Int
    private let sqlPool: ConnectionPool
    private let restPool: ConnectionPool
    private let lookupPool: ConnectionPool
    /// Lookups by key, of our own statements.
    let lookups: Batcher
    /// Statements of users that have shown themselves quick.
    let repeated: Batcher

    init(
        _ configuration: QueryServer.Configuration, admission: Admission, running: RunningQueries, slot: Int,
        on loop: EventLoop
    ) {
        self.loop = loop
        self.admission = admission
        let rightOfWay = admission.rightOfWay
        self.rightOfWay = rightOfWay
        self.running = running
        self.slot = slot
        audit = configuration.audit
        var reader = configuration.reader
        reader.sessionParameters["default_transaction_read_only"] = "on"
        // Many callers share these sessions: none of them may end one (tapedeck_guard.may_end). A query can change no
        // setting.
        reader.sessionParameters["tapedeck.shared"] = "on"
        // In case this process dies in the middle: then nobody is left to cancel. A query can change it, but not the
        // deadline of the request.
        let limit = configuration.queryTimeoutLimit.inNanoseconds / 1_000_000
        reader.sessionParameters["statement_timeout"] = "\(limit + 5000)"
        // Whoever has a place has a connection of the pool, so nobody waits there but for one that is being made; and
        // one more is for batches or for what is asked beside them.
        func settings(_ connections: Int) -> ConnectionPool.Settings {
            .init(
                maximumConnections: connections + 1, maximumWaiters: connections + 1,
                checkoutTimeout: configuration.connectTimeout)
        }
        var restSettings = settings(configuration.restConnectionsPerLoop)
        restSettings.inspect = { connection throws(PostgresError) in connection.makeBackendPrompt() }
        restPool = ConnectionPool(reader, on: loop, settings: restSettings)
        var lookupReader = reader
        // A plan for a known number of keys looks cheaper than one for any, and would be made anew each time.
        lookupReader.sessionParameters["plan_cache_mode"] = "force_generic_plan"
        var lookupSettings = restSettings
        lookupSettings.maximumConnections = 1
        lookupPool = ConnectionPool(lookupReader, on: loop, settings: lookupSettings)
        lookups = Batcher(lookupPool, .init(time: .seconds(1), bytes: nil, rollsBack: false), on: loop)
        var sqlSettings = settings(configuration.sqlConnectionsPerLoop)
        sqlSettings.reset = ConnectionPool.Settings.resetAll
        sqlSettings.inspect = { connection throws(PostgresError) in
            try await Self.inspect(connection)
            let export = RightOfWay.Export(rightOfWay, on: connection.loop)
            connection.giveWay = { await export.giveWay() }
        }
        // Plans over many partitions are large, and these are plans of anybody's.
        reader.preparedStatementLimit = 16
        // Those that run in batches are quick, and their plans mostly of some ten kilobytes.
        reader.batchedStatementLimit = 128
        reader.rowBytesLimit = configuration.rowBytesLimit
        // Nobody hears of warnings, and a batch ends with one.
        reader.sessionParameters["client_min_messages"] = "error"
        sqlPool = ConnectionPool(reader, on: loop, settings: sqlSettings)
        // More than 32 quick statements give, of 16 KiB as text each, which libpq keeps cell by cell.
        repeated = Batcher(
            sqlPool, .init(time: .milliseconds(50), bytes: 4 * 1024 * 1024, rollsBack: true), on: loop)
    }

    /// Ends the batches.
    func stop() {
        lookups.stop()
        repeated.stop()
    }

    /// Finds out whether a query can leave something in a session that its transaction's end does not undo: locks of the
    /// session, settings, the seed of `random()`, connections of `dblink`; or can read what others have prepared. Where
    /// it cannot, a session need not be discarded after each query, repeated queries stay prepared, and quick ones run in
    /// batches, whose ROLLBACK would fill a log that takes warnings.
    private static func inspect(_ connection: PostgresConnection) async throws(PostgresError) {
        let found = try await connection.query(
            """
            SELECT FROM pg_proc WHERE proname IN ('pg_advisory_lock', 'pg_advisory_lock_shared',
                'pg_try_advisory_lock', 'pg_try_advisory_lock_shared', 'setseed', 'pg_prepared_statement',
                'dblink_connect', 'dblink_connect_u', 'set_config', 'pg_notify')
                AND has_function_privilege(oid, 'EXECUTE')
            UNION ALL
            SELECT WHERE current_setting('log_min_messages') NOT IN ('error', 'log', 'fatal', 'panic')
            """)
        connection.keepsTraces = !found.isEmpty
    }

    /// Closes the connections.
    func close() async {
        await sqlPool.close(deadline: .now() + .seconds(1))
        await lookupPool.close(deadline: .now() + .seconds(1))
        await restPool.close(deadline: .now() + .seconds(1))
    }

    /// Calls `body` with a connection when it is the query's turn; whatever `body` leaves open is rolled back.
    ///
    /// - Parameter deadline: when a wait ends, for a place or for a connection; the statements have theirs from `body`.
    /// - Throws: ``QueryError`` for a refusal, what `body` throws, or what ended the query: see
    ///   ``RunningQuery/failure(_:)``.
    func run<T>(
        _ query: RunningQuery, in lane: Admission.Lane, deadline: MonotonicTime,
        _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        guard let audit else { return try await admit(query, in: lane, deadline: deadline, body) }
        do {
            let value = try await admit(query, in: lane, deadline: deadline, body)
            audit.note(query, outcome: "ok")
            return value
        } catch {
            audit.note(query, outcome: Self.code(of: error))
            throw error
        }
    }

    /// The rows of a statement of a user that is known for quick, from a batch; nil if it has to go the ordinary way, as
    /// everything has that is to be written down.
    ///
    /// - Throws: what ended the query meanwhile.
    func batched(
        _ query: RunningQuery, _ quick: QuickStatement, _ parameters: [Parameter]
    ) async throws -> BatchedRows? {
        if audit != nil { return nil }
        running.add(query)
        defer { running.remove(query) }
        rightOfWay.enter()
        defer { rightOfWay.leave() }
        if quick.isShareable == nil { await judge(quick) }
        let sharing = quick.isShareable == true
        guard let rows = await repeated.rows(quick.statement, parameters, sharing: sharing) else { return nil }
        try query.checkGoing()
        return rows
    }

    /// Finds out, once, whether a statement says the same to all who ask it at the same moment: whether none of its words
    /// is the name of a function that PostgreSQL calls volatile, such as `random`. Words of comments and strings count,
    /// too, so that nothing need be understood of the statement; what a view hides in its own text does not.
    func judge(_ quick: QuickStatement) async {
        quick.isShareable = false
        let words = Set(
            quick.statement.sql.utf8.split { byte in
                let isLetter = byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
                return !isLetter && !(byte &- 0x30 < 10) && byte != UInt8(ascii: "_") && byte < 0x80
            }.flatMap { [String(Substring($0)), String(Substring($0)).lowercased()] })
        let found = try? await ask(
            Self.volatileFunctions, [.textArray(words.sorted())], deadline: .now() + .seconds(1)
        ) { row throws(PostgresError) in try row.bool(0) }
        quick.isShareable = found == [false]
    }

    private static let volatileFunctions = Statement(
        name: "volatile_functions",
        sql: "select exists (select from pg_catalog.pg_proc where proname = any($1) and provolatile = 'v')")

    /// The rows of a lookup of ours, from a batch; nil if it has to go the ordinary way, as in ``batched(_:_:_:)``.
    ///
    /// - Parameter many: see ``Batcher/rows(_:_:many:sharing:)``.
    func lookup(_ statement: Statement, _ parameters: [Parameter], many: Statement?) async -> BatchedRows? {
        if audit != nil { return nil }
        rightOfWay.enter()
        defer { rightOfWay.leave() }
        return await lookups.rows(statement, parameters, many: many, sharing: true)
    }

    /// What the audit log calls a failure.
    private static func code(of error: any Error) -> String {
        switch error {
        case let error as QueryError: error.code
        case let error as PostgresError: error.sqlState ?? "database_unavailable"
        case let error as HTTPError: error.isConnectionLost ? "client_gone" : error.code
        default: "failed"
        }
    }

    private func admit<T>(
        _ query: RunningQuery, in lane: Admission.Lane, deadline: MonotonicTime,
        _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        running.add(query)
        defer { running.remove(query) }
        try await admission.enter(lane, query, loop: slot, on: loop, until: deadline)
        defer { admission.leave(lane, query.client, loop: slot) }
        if query.kind == .sql { query.mark("queue") }
        let pool = lane == .lookups ? restPool : sqlPool
        let connection: PostgresConnection
        do throws(PostgresError) {
            connection = try await pool.checkout(deadline: min(deadline, .now() + pool.settings.checkoutTimeout))
        } catch {
            throw query.failure(QueryError(unavailable: error))
        }
        if query.kind == .sql { query.mark("connection") }
        let cancel = connection.cancelHandle
        query.begin { cancel.cancel() }
        do {
            try query.checkGoing()
            let value = try await body(connection)
            query.release()
            await pool.giveBack(connection)
            return value
        } catch {
            query.release()
            await pool.giveBack(connection)
            throw query.failure(error)
        }
    }

    /// What the pools do and have done: that of SQL of users, and that of our own statements.
    var statistics: (sql: ConnectionPool.Statistics, rest: ConnectionPool.Statistics) {
        var rest = restPool.statistics
        rest += lookupPool.statistics
        return (sqlPool.statistics, rest)
    }

    /// Statements that batches have answered.
    func batched(_ lane: Admission.Lane) -> Int { lane == .lookups ? lookups.answered : repeated.answered }

    /// Whether the database answers.
    func ping(deadline: MonotonicTime) async throws {
        try await beside(deadline: deadline) { connection in
            _ = try await connection.query("SELECT 1", deadline: deadline)
        }
    }

    /// The rows of a short question of ours, as `read` makes them: in a batch with lookups, or, where that has no room for
    /// it, on a connection beside everybody's places.
    func ask<T>(
        _ statement: Statement, _ parameters: [Parameter] = [], deadline: MonotonicTime,
        _ read: (any ColumnAccess) throws(PostgresError) -> T
    ) async throws -> [T] {
        rightOfWay.enter()
        defer { rightOfWay.leave() }
        if let rows = await lookups.rows(statement, parameters, sharing: true) {
            var found: [T] = []
            try rows.forEach { row throws(PostgresError) in found.append(try read(row)) }
            return found
        }
        return try await beside(deadline: deadline) { connection in
            try await connection.query(statement, parameters, deadline: deadline).map { try read($0) }
        }
    }

    /// Calls `body` with a connection beside everybody's places, for a short question of ours.
    func beside<T>(deadline: MonotonicTime, _ body: (PostgresConnection) async throws -> T) async throws -> T {
        try await restPool.withConnection(deadline: deadline, body)
    }
}
