// SPDX-License-Identifier: Apache-2.0
// What a statement of a Trino client does: the task between its POST and its mailbox.

import EventLoop
import Postgres
import TrinoSQL

/// Runs one query. On the loop that took its POST.
struct TrinoRun {
    let query: TrinoQuery
    let queries: TrinoQueries
    let gate: Gate
    let types: TrinoTypeCatalog
    let configuration: QueryServer.Configuration
    /// The database, which is the catalog that clients see.
    private var database: String { configuration.database }

    private var session: TrinoSession { query.session }

    /// Brings the query to its end, whatever that is.
    func run() async {
        do {
            let statement = try dialect.parse(query.sql)
            try enterTransaction(statement)
            try await execute(statement)
        } catch {
            if let failure = failure(error) { query.fail(failure) }
            if let transaction = session.transaction { queries.abortTransaction(transaction) }
        }
    }

    private var dialect: TrinoDialect {
        TrinoDialect(
            catalog: database, sessionCatalog: session.catalog, schema: session.schema, user: session.user,
            path: session.path ?? "", timeZone: session.effectiveTimeZone ?? "UTC")
    }

    // MARK: Statements

    /// - Parameter isInner: whether it is what EXECUTE runs, which cannot be another EXECUTE.
    private func execute(_ statement: TrinoStatement, isInner: Bool = false) async throws {
        switch statement {
        case .query(let postgres): try await send(postgres)
        case .explain(let form, let postgres): try await explain(form, postgres)
        case .stats(let postgres): try await showStats(postgres)
        case .refused(let error): throw error
        case .execute, .executeImmediate, .prepare, .deallocate, .describeInput, .describeOutput:
            if isInner { throw TrinoFailure(.notSupported, "Invalid statement type for prepared statement") }
            try await executePrepared(statement)
        case .setSession(let name, let value): try await setSession(name, value)
        case .resetSession(let name):
            try checkProperty(name)
            finish("RESET SESSION", [("Clear-Session", name)])
        case .showSession(let pattern): try await showSession(pattern)
        case .use(let catalog, let schema): try await use(catalog, schema)
        case .startTransaction, .commit, .rollback: try changeTransaction(statement)
        case .killQuery(let id, let message): try kill(id, message)
        }
    }

    private func finish(_ updateType: String, _ headers: [(name: String, value: String)] = []) {
        query.finish(
            .init(updateType: updateType, headers: headers.map { .init(name: $0.name, value: $0.value) }))
    }

    // MARK: Rows

    /// Calls `body` with a connection inside a transaction that can only read, set as the session and the statement
    /// ask.
    ///
    /// - Parameter statement: what will be sent there; nil for questions of ours.
    private func withTransaction<T>(
        _ settings: [PostgresQuery.Setting], for statement: String? = nil,
        _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        try await gate.run(query.running, in: .queries, deadline: query.deadline) { connection in
            query.begin()
            let script = prologue(settings) + runtime(for: statement, settings)
            try await connection.script(script, deadline: query.deadline)
            try query.running.checkGoing()
            return try await body(connection)
        }
    }

    private func prologue(_ settings: [PostgresQuery.Setting]) -> String {
        var script = "BEGIN READ ONLY; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'"
        for setting in settings {
            // The search path is a list, whose names are quoted where they must be.
            let value =
                setting.name == "search_path" ? setting.value : PostgresConnection.quotedLiteral(setting.value)
            script += "; SET LOCAL \(setting.name) = \(value)"
        }
        return script
    }

    /// The settings that hold what `system.runtime` shows, where a statement may read it.
    private func runtime(for statement: String?, _ settings: [PostgresQuery.Setting]) -> String {
        guard let statement else { return "" }
        let texts = [statement] + settings.map(\.value)
        guard texts.contains(where: { $0.firstRange(of: TrinoQueries.runtimeSchema) != nil }) else { return "" }
        return queries.runtimeTables(for: query.running.client).map { table in
            "; SET LOCAL tapedeck.trino_\(table.name) = \(PostgresConnection.quotedLiteral(table.rows))"
        }.joined()
    }

    private func send(_ postgres: PostgresQuery) async throws {
        do throws(any Error) {
            try await withTransaction(postgres.settings, for: postgres.text) { connection in
                if let limit = configuration.costLimit { try await checkCost(limit, postgres, connection) }
                let rows = try await connection.stream(postgres.text, deadline: query.deadline)
                var types = try await types(of: rows.columns, postgres)
                if let row = rows.firstRow { for index in types.indices { types[index].nest(as: row.cell(index)) } }
                let names = postgres.columnNames(rows.columns.map(\.name))
                describe(zip(names, types).map { ($0, $1) })
                try await TrinoRows(query, queries, types, configuration, on: gate.loop).send(rows)
            }
        } catch let error as PostgresError {
            throw failure(error, in: postgres)
        }
    }

    /// Refuses a statement that the planner takes for too expensive. What is wrong with it the plan says as it would.
    private func checkCost(
        _ limit: Double, _ postgres: PostgresQuery, _ connection: PostgresConnection
    ) async throws {
        guard let run = StatementKind.run(by: postgres.text) else { return }
        let plan: ResultSet
        do throws(PostgresError) {
            plan = try await connection.query(PlanCost.explain + run, deadline: query.deadline)
        } catch {
            throw PlanCost.placed(error, in: postgres.text, running: run)
        }
        try PlanCost.check(try plan.map { try $0.string(0) }.joined(), limit: limit)
    }

    private func describe(_ columns: [(name: String, type: TrinoType)]) {
        var json: [UInt8] = []
        json.appendColumns(columns, session.typeDialect)
        query.describe(columns: json)
    }

    private func types(of columns: [ColumnDescription], _ postgres: PostgresQuery) async throws -> [TrinoType] {
        var types = try await types.types(of: columns, ask: askForTypes)
        for (index, row) in postgres.rows(columns.count).enumerated() where columns[index].type == .record {
            if let row { types[index] = try await self.row(row.names, row.types, postgres) }
        }
        let isOpen = columns.map { $0.type == .numeric && $0.typeModifier < 0 }
        guard isOpen.contains(true) else { return types }
        let digits = postgres.decimals(columns.count, operands: await askForDigits(postgres))
        for (index, digits) in digits.enumerated() where isOpen[index] {
            if let digits { types[index] = .decimal(precision: digits.precision, scale: digits.scale) }
        }
        return types
    }

    private func row(_ names: [String?], _ types: String, _ postgres: PostgresQuery) async throws -> TrinoType {
        let columns = try await gate.beside(deadline: query.deadline) { connection in
            try await connection.script(prologue(postgres.settings), deadline: query.deadline)
            return try await connection.query(types, deadline: query.deadline).columns
        }
        let fields = try await self.types.types(of: columns, ask: askForTypes)
        return .row(zip(names, fields).map { .init(name: $0, type: $1) })
    }

    /// The types of what decimals are computed of. None where that fails: then the digits are not known.
    private func askForDigits(_ postgres: PostgresQuery) async -> [NumberType?] {
        guard let operands = postgres.decimalOperands else { return [] }
        do {
            return try await gate.beside(deadline: query.deadline) { connection in
                try await connection.script(prologue(postgres.settings), deadline: query.deadline)
                return try await connection.query(operands, deadline: query.deadline).columns.map {
                    NumberType($0.type, modifier: $0.typeModifier)
                }
            }
        } catch {
            return []
        }
    }

    /// The query's own connection is in the middle of its rows.
    private func askForTypes(_ types: [Int64]) async throws -> ResultSet {
        try await gate.beside(deadline: query.deadline) { connection in
            try await connection.query(
                TrinoTypeCatalog.question, [.text("{" + types.map(String.init).joined(separator: ",") + "}")],
                deadline: query.deadline)
        }
    }

    /// Ends the query with rows of ours.
    private func finish(_ columns: [(name: String, type: TrinoType)], _ rows: [[String?]]) async throws {
        describe(columns)
        var chunk: [UInt8] = []
        for (index, row) in rows.enumerated() {
            chunk.appendText(index == 0 ? "[" : ",[")
            for (index, value) in row.enumerated() {
                if index > 0 { chunk.appendText(",") }
                switch (columns[index].type, value) {
                case (.bigint, let value?), (.boolean, let value?), (.double, let value?): chunk.appendText(value)
                default: chunk.appendJSONString(value)
                }
            }
            chunk.appendText("]")
        }
        try await query.finish(chunk, rows: rows.count, limit: queries.readyBytes, on: gate.loop)
    }

    private func explain(_ form: ExplainForm, _ postgres: PostgresQuery) async throws {
        do throws(any Error) {
            let plan = try await withTransaction(postgres.settings, for: postgres.text) { connection in
                if let limit = configuration.costLimit { try await checkCost(limit, postgres, connection) }
                return try await connection.query(postgres.text, deadline: query.deadline).map { try $0.string(0) }
            }
            try await finish(
                [(form.columnName, form.kind == .validate ? .boolean : .varchar(nil))],
                [[form.value(plan, catalog: database)]])
        } catch let error as PostgresError {
            throw failure(error, in: postgres)
        }
    }

    // MARK: Statistics

    /// SHOW STATS of a query: as many rows as the planner expects, and of columns that are a table's own what ANALYZE knows
    /// of them there.
    private func showStats(_ postgres: PostgresQuery) async throws {
        do throws(any Error) {
            let rows = try await withTransaction(postgres.settings) { connection in
                // First, since it says what is wrong with the statement.
                let described = try await connection.describe(
                    Statement(name: "trino_describe", sql: postgres.text), deadline: query.deadline
                ).columns
                let plan = try await connection.query(PlanCost.explain + postgres.text, deadline: query.deadline)
                let count = PlanCost.rows(try plan.map { try $0.string(0) }.joined()).map { Double($0) }
                let names = postgres.columnNames(described.map(\.name))
                let known = try await stats(of: described, expecting: count, connection)
                return zip(names, known).map { name, known in [name] + known + [nil, nil, nil] } + [
                    [nil, nil, nil, nil, count.map { "\($0)" }, nil, nil]
                ]
            }
            try await finish(
                [
                    ("column_name", .varchar(nil)), ("data_size", .double), ("distinct_values_count", .double),
                    ("nulls_fraction", .double), ("row_count", .double), ("low_value", .varchar(nil)),
                    ("high_value", .varchar(nil)),
                ], rows)
        } catch let error as PostgresError {
            throw failure(error, in: postgres)
        }
    }

    /// Bytes, different values and share of NULLs of each column, of so many rows. A table is asked once: its statistics
    /// are those of all its partitions.
    private func stats(
        of columns: [ColumnDescription], expecting count: Double?, _ connection: PostgresConnection
    ) async throws -> [[String?]] {
        var stats = [[String?]](repeating: [nil, nil, nil], count: columns.count)
        guard let count, columns.contains(where: { $0.tableOID != 0 }) else { return stats }
        let found = try await connection.query(
            """
            WITH wanted AS (
                SELECT relation::oid, attribute::smallint, place
                FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (relation, attribute, place)
                WHERE relation <> 0
            ),
            known AS MATERIALIZED (
                SELECT r.relation, s.*
                FROM (SELECT DISTINCT relation FROM wanted) AS r
                JOIN pg_catalog.pg_class AS c ON c.oid = r.relation
                JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
                LATERAL trino_dialect.stats_of(current_database()::text, n.nspname::text, c.relname::text) AS s
            )
            SELECT w.place, s.data_size / nullif(t.row_count, 0) * $3,
                CASE WHEN s.distinct_values_count IS NOT NULL THEN least(s.distinct_values_count, $3) END, s.nulls_fraction
            FROM wanted AS w
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.relation AND a.attnum = w.attribute
            JOIN known AS s ON s.relation = w.relation AND s.column_name = a.attname::text
            JOIN known AS t ON t.relation = w.relation AND t.column_name IS NULL
            """,
            [
                .int64Array(columns.map { Int64($0.tableOID) }), .int64Array(columns.map { Int64($0.tableColumn) }),
                .double(count),
            ],
            deadline: query.deadline)
        for row in found {
            stats[Int(try row.int64(0)) - 1] = try (1...3).map { try row.doubleOrNil($0).map { "\($0)" } }
        }
        return stats
    }

    // MARK: Prepared statements

    /// Bytes of an `Added-Prepare` header: the client sends it back with each request, whose head has a limit.
    static let preparedBytes = 8 * 1024

    private func executePrepared(_ statement: TrinoStatement) async throws {
        switch statement {
        case .execute(let name, let arguments):
            let sql = try prepared(name)
            query.running.executes(sql)
            try await execute(try dialect.parse(sql, arguments: arguments), isInner: true)
        case .executeImmediate(let sql, let arguments):
            try await execute(try dialect.parse(sql, arguments: arguments), isInner: true)
        case .prepare(let name, let sql):
            let text = PercentText.encode(name) + "=" + PercentText.encode(sql)
            if text.utf8.count > Self.preparedBytes {
                throw TrinoFailure(
                    .queryTextTooLarge,
                    "A prepared statement may have \(Self.preparedBytes) bytes with its name, percent-encoded; use EXECUTE IMMEDIATE"
                )
            }
            finish("PREPARE", [("Added-Prepare", text)])
        case .deallocate(let name):
            _ = try prepared(name)
            finish("DEALLOCATE", [("Deallocated-Prepare", PercentText.encode(name))])
        case .describeInput(let name): try await describeInput(try prepared(name))
        case .describeOutput(let name): try await describeOutput(try prepared(name))
        default: throw TrinoFailure(.notSupported, "Invalid statement type for prepared statement")
        }
    }

    private func prepared(_ name: String) throws(TrinoFailure) -> String {
        if let sql = session.prepared[name] { return sql }
        throw TrinoFailure(.notFound, "Prepared statement not found: \(name)")
    }

    /// What PostgreSQL takes the parameters for; `unknown` where any type would do, or where it cannot tell.
    private func describeInput(_ sql: String) async throws {
        let columns: [(name: String, type: TrinoType)] = [("Position", .bigint), ("Type", .varchar(nil))]
        let count = try dialect.parameterCount(sql)
        var types = [String](repeating: "unknown", count: count)
        if count > 0, case .query(let postgres) = try dialect.parseOpen(sql) {
            let untyped = try dialect.untypedParameters(sql)
            for (index, type) in try await parameterTypes(postgres).enumerated().prefix(count)
            where !untyped.contains(index) {
                types[index] = TrinoType(type, modifier: -1)?.text(session.typeDialect) ?? "unknown"
            }
        }
        try await finish(columns, types.enumerated().map { ["\($0)", $1] })
    }

    private func parameterTypes(_ postgres: PostgresQuery) async throws -> [TypeOID] {
        do {
            return try await withTransaction(postgres.settings) { connection in
                try await connection.describe(
                    Statement(name: "trino_describe", sql: postgres.text), deadline: query.deadline
                ).parameterTypes
            }
        } catch let error as PostgresError {
            // Which function or operator is meant may depend on what the parameters will be.
            if let state = error.sqlState, ["42P18", "42725", "42883", "42804"].contains(state) { return [] }
            throw failure(error, in: postgres)
        }
    }

    private func describeOutput(_ sql: String) async throws {
        let columns: [(name: String, type: TrinoType)] = [
            ("Column Name", .varchar(nil)), ("Catalog", .varchar(nil)), ("Schema", .varchar(nil)),
            ("Table", .varchar(nil)), ("Type", .varchar(nil)), ("Type Size", .bigint), ("Aliased", .boolean),
        ]
        let count = try dialect.parameterCount(sql)
        guard case .query(let postgres) = try dialect.parse(sql, arguments: Array(repeating: "NULL", count: count))
        else {
            return try await finish(columns, [])
        }
        do throws(any Error) {
            let rows = try await withTransaction(postgres.settings) { connection in
                let described = try await connection.describe(
                    Statement(name: "trino_describe", sql: postgres.text), deadline: query.deadline
                ).columns
                let types = try await types(of: described, postgres)
                let names = postgres.columnNames(described.map(\.name))
                let aliased = postgres.aliased(described.count)
                let tables = try await tables(described, connection)
                return described.indices.map { index -> [String?] in
                    let table = tables[described[index].tableOID]
                    return [
                        names[index], table == nil ? "" : database, table?.schema ?? "", table?.name ?? "",
                        types[index].text(session.typeDialect), "\(types[index].size)", "\(aliased[index])",
                    ]
                }
            }
            try await finish(columns, rows)
        } catch let error as PostgresError {
            throw failure(error, in: postgres)
        }
    }

    private func tables(_ columns: [ColumnDescription], _ connection: PostgresConnection) async throws
        -> [UInt32: (schema: String, name: String)]
    {
        let numbers = Set(columns.map(\.tableOID)).filter { $0 != 0 }
        if numbers.isEmpty { return [:] }
        let rows = try await connection.query(
            """
            SELECT c.oid::bigint, n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::bigint[])
            """, [.text("{" + numbers.map(String.init).joined(separator: ",") + "}")], deadline: query.deadline)
        var tables: [UInt32: (schema: String, name: String)] = [:]
        for row in rows {
            tables[UInt32(truncatingIfNeeded: try row.int64(0))] = (try row.string(1), try row.string(2))
        }
        return tables
    }

    // MARK: Session

    /// Refuses a name that is no property of a session. A header that sets one is let pass: it has no effect.
    private func checkProperty(_ name: String) throws(TrinoError) {
        let start = TrinoLocation(line: 1, column: 1)
        if let dot = name.firstIndex(of: ".") {
            let catalog = String(name[..<dot])
            guard catalog == database || catalog == "system" else {
                throw TrinoError(.catalogNotFound, "Catalog '\(catalog)' does not exist", at: start)
            }
        }
        guard TrinoProperty.isKnown(name) else {
            throw TrinoError(.invalidSessionProperty, "Session property '\(name)' does not exist", at: start)
        }
    }

    private func setSession(_ name: String, _ value: String) async throws {
        try checkProperty(name)
        let isKnown = try await isKnownZone(name, value)
        guard TrinoProperty.accepts(name, value), isKnown else {
            throw TrinoFailure(.invalidSessionProperty, "Invalid value for session property '\(name)': \(value)")
        }
        finish("SET SESSION", [("Set-Session", "\(name)=\(PercentText.encode(value))")])
    }

    /// Whether PostgreSQL knows the zone; with another every statement of the session would fail.
    private func isKnownZone(_ name: String, _ value: String) async throws -> Bool {
        guard name == TrinoProperty.timeZone, let zone = try? TrinoSession.timeZone(value) else { return true }
        do {
            _ = try await withTransaction([]) { connection in
                try await connection.query(
                    "SELECT pg_catalog.now() AT TIME ZONE $1::text", [.text(zone)], deadline: query.deadline)
            }
            return true
        } catch let error as PostgresError where error.sqlState == "22023" {
            return false
        }
    }

    private func showSession(_ pattern: TrinoPattern?) async throws {
        let columns: [(name: String, type: TrinoType)] = ["Name", "Value", "Default", "Type", "Description"].map {
            ($0, .varchar(nil))
        }
        let rows = TrinoProperty.list(session, timeout: query.timeout).filter { pattern?.matches($0.name) ?? true }
        try await finish(columns, rows.map { [$0.name, $0.value, $0.standard, "varchar", $0.description] })
    }

    private func use(_ catalog: String?, _ schema: String) async throws {
        guard let catalog = catalog ?? session.catalog else {
            throw TrinoFailure(.missingCatalogName, "Catalog must be specified when session catalog is not set")
        }
        guard catalog == database || catalog == "system" else {
            throw TrinoFailure(.catalogNotFound, "Catalog '\(catalog)' does not exist")
        }
        if catalog == database && schema != "information_schema" {
            let exists = try await withTransaction([]) { connection in
                try await connection.query(
                    "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1", [.text(schema)],
                    deadline: query.deadline
                ).first?.int64(0) == 1
            }
            if !exists { throw TrinoFailure(.schemaNotFound, "Schema does not exist: \(catalog).\(schema)") }
        }
        var headers = [("Set-Schema", schema)]
        if catalog != session.catalog { headers.insert(("Set-Catalog", catalog), at: 0) }
        finish("USE", headers)
    }

    // MARK: Transactions and other queries

    private func enterTransaction(_ statement: TrinoStatement) throws {
        guard let transaction = session.transaction else { return }
        try queries.useTransaction(transaction, .now(), isEnd: statement == .commit || statement == .rollback)
    }

    private func changeTransaction(_ statement: TrinoStatement) throws {
        if case .startTransaction = statement {
            if session.transaction != nil { throw TrinoFailure(.notSupported, "Nested transactions not supported") }
            let id = try queries.startTransaction(.now(), by: query.running.client, at: query.running.startedAt)
            finish("START TRANSACTION", [("Started-Transaction-Id", id)])
            return
        }
        guard let transaction = session.transaction else {
            throw TrinoFailure(.notInTransaction, "No transaction in progress")
        }
        queries.endTransaction(transaction)
        finish(statement == .commit ? "COMMIT" : "ROLLBACK", [("Clear-Transaction-Id", "true")])
    }

    private func kill(_ id: String, _ message: String?) throws {
        guard let target = queries.find(id), query.running.client.maySee(target.running.client) else {
            throw TrinoFailure(.notFound, "Target query not found: \(id)")
        }
        if target.isEnded { throw TrinoFailure(.notSupported, "Target query is not running: \(id)") }
        configuration.audit?.noteCancel(of: target.running, by: query.running.client, query.running.trace)
        target.fail(.killed(message))
        finish("CALL")
    }

    // MARK: Failures

    /// The failure of a statement of PostgreSQL, with its place in what the user typed.
    private func failure(_ error: PostgresError, in postgres: PostgresQuery) -> any Error {
        guard error.kind == .server, let state = error.effectiveSQLState else { return error }
        // A setting of ours was refused: the only one that the client chooses is its time zone.
        if error.message.contains("parameter \"TimeZone\"") {
            return TrinoFailure(
                TrinoError(.invalidSessionProperty, "Invalid time zone '\(session.effectiveTimeZone ?? "")'"),
                sqlState: state)
        }
        return TrinoFailure(
            dialect.error(.init(sqlState: state, message: error.message, position: error.position), in: postgres),
            sqlState: state)
    }

    /// What the client is told; nil if the query has ended already.
    private func failure(_ error: any Error) -> TrinoFailure? {
        switch error {
        case let failure as TrinoFailure: return failure
        case let error as TrinoError: return TrinoFailure(error)
        case is CancellationError: return nil
        case let error as QueryError:
            if error.status == 409 { return TrinoFailure(.userCanceled, "Query was canceled") }
            let isQueue = error.status == 429 || error.code == "overloaded"
            let isCost = error.code == "query_too_expensive"
            return TrinoFailure(
                isQueue ? .queryQueueFull : isCost ? .genericInsufficientResources : .genericInternalError,
                [error.message, error.details, error.hint].compactMap { $0 }
                    .map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 }.joined(separator: ". "))
        case let error as PostgresError: return failure(error)
        default: return TrinoFailure(.genericInternalError, "Internal error")
        }
    }

    private func failure(_ error: PostgresError) -> TrinoFailure? {
        switch error.kind {
        case .timeout: return .tooLong(query.timeout)
        case .cancelled: return TrinoFailure(.userCanceled, "Query was canceled")
        case .overloaded: return TrinoFailure(.queryQueueFull, "Too many queries at once")
        case .usage: return TrinoFailure(.notSupported, error.message)
        case .connection:
            var told = failure(QueryError(unavailable: error))
            told?.sqlState = error.sqlState
            return told
        case .server:
            return TrinoFailure(TrinoError(.genericUserError, error.message), sqlState: error.sqlState)
        }
    }
}

extension TrinoFailure {
    static func killed(_ message: String?) -> TrinoFailure {
        let reason = message.flatMap { $0.isEmpty ? nil : $0 }
        return TrinoFailure(
            .administrativelyKilled, "Query killed. " + (reason.map { "Message: \($0)" } ?? "No message provided."))
    }
}
