// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

/// A statement worth parsing and planning once per connection: prepared there on its first use, under its name.
package struct Statement: Sendable, Hashable {
    /// Unique among the statements a program uses; part of the name in `pg_prepared_statements`.
    package let name: String
    package let sql: String
    /// Of both, worked out once: texts are long, and are looked up with each use.
    private let digest: Int

    package init(name: String, sql: String) {
        self.name = name
        self.sql = sql
        var hasher = Hasher()
        hasher.combine(name)
        hasher.combine(sql)
        digest = hasher.finalize()
    }

    package static func == (a: Statement, b: Statement) -> Bool {
        a.digest == b.digest && a.sql.isSame(as: b.sql) && a.name.isSame(as: b.name)
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}

/// What the server says a statement takes and gives, without running it.
package struct StatementDescription: Sendable, Equatable {
    package var parameterTypes: [TypeOID]
    /// Empty for a statement that returns no rows.
    package var columns: [ColumnDescription]
}

/// The statements prepared on one connection. The same ``Statement`` with parameters of other types is another
/// server-side statement, since the types are fixed when it is prepared.
struct PreparedStatements {
    private struct Variant {
        let types: [UInt32]
        let serverName: String
        var lastUse: UInt64

        /// A NULL has no type of its own and goes with any.
        func accepts(_ parameters: borrowing ParameterBuffer) -> Bool {
            types.count == parameters.count
                && types.indices.allSatisfy { types[$0] == parameters.types[$0] || parameters.isNull($0) }
        }
    }

    private let namePrefix: String
    private var variants: [Statement: [Variant]] = [:]
    /// Uses so far, of statements that are not prepared, too.
    private var clock: UInt64 = 0
    private var made = 0
    private(set) var count = 0
    /// None is out of use before.
    private var nextLook: UInt64 = 0

    /// - Parameter namePrefix: what the server's names begin with, where a session has more than one set of statements.
    init(namePrefix: String = "") { self.namePrefix = namePrefix }

    /// The server's name of the statement prepared for parameters of these types.
    mutating func find(_ statement: Statement, _ parameters: borrowing ParameterBuffer) -> String? {
        clock += 1
        guard let place = variants.index(forKey: statement) else { return nil }
        for index in variants.values[place].indices where variants.values[place][index].accepts(parameters) {
            variants.values[place][index].lastUse = clock
            return variants.values[place][index].serverName
        }
        return nil
    }

    /// A name no other statement of this session has had. At most 63 bytes count as a name (NAMEDATALEN).
    mutating func newName(for statement: Statement) -> String {
        made += 1
        return namePrefix + String(decoding: statement.name.utf8.prefix(32), as: UTF8.self) + "/\(made)"
    }

    mutating func insert(_ statement: Statement, types: [UInt32], serverName: String) {
        count += 1
        variants[statement, default: []].append(Variant(types: types, serverName: serverName, lastUse: clock))
    }

    /// Forgets all variants of a statement and returns the server's names of them.
    mutating func remove(_ statement: Statement) -> [String] {
        let removed = variants.removeValue(forKey: statement) ?? []
        count -= removed.count
        return removed.map(\.serverName)
    }

    /// The statement whose last use, of any variant, lies furthest back.
    var leastRecentlyUsed: Statement? { oldest?.statement }

    /// The same if it is out of use: if others have been used many times as often as there are statements. Where more
    /// than there is room for take turns, each would else drive out one that comes again soon.
    mutating func outOfUse() -> Statement? {
        if clock < nextLook { return nil }
        guard let oldest else { return nil }
        let end = oldest.lastUse + Self.patience * UInt64(count)
        if clock > end { return oldest.statement }
        nextLook = end
        return nil
    }

    /// So many times more statements than there is room for can take turns.
    private static let patience: UInt64 = 16

    /// For how many types of parameters a statement is prepared.
    func variantCount(_ statement: Statement) -> Int { variants[statement]?.count ?? 0 }

    private var oldest: (statement: Statement, lastUse: UInt64)? {
        var found: (statement: Statement, lastUse: UInt64)?
        for (statement, variants) in variants {
            let lastUse = variants.reduce(0) { max($0, $1.lastUse) }
            if lastUse < found?.lastUse ?? .max { found = (statement, lastUse) }
        }
        return found
    }

    mutating func forgetAll() {
        variants.removeAll()
        count = 0
        nextLook = 0
    }
}

extension PostgresConnection {
    /// Runs a prepared statement and returns all its rows; prepares it first if this connection has not.
    ///
    /// See ``query(_:_:resultFormat:deadline:)-(String,_,_,_)`` for the parameters. If the plan has become invalid
    /// (the table changed, the session was reset) outside a transaction, it is prepared again and run once more.
    @discardableResult
    package func query(
        _ statement: Statement, _ parameters: [Parameter] = [], resultFormat: WireFormat = .text,
        deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> ResultSet {
        try await retryingStalePlan(statement, deadline) { operation throws(PostgresError) in
            try await self.sendPrepared(statement, parameters, resultFormat, operation)
            return try await self.collectOne(operation)
        }
    }

    /// The parameter and column types of a statement, which is prepared but not run.
    ///
    /// `parameters` matter only for their types; none leaves the types to the server.
    package func describe(
        _ statement: Statement, _ parameters: [Parameter] = [], deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> StatementDescription {
        let operation = try await start(.statement, deadline: deadline)
        try encode(parameters)
        let name = try await prepare(statement, operation)
        try await send(operation) { PQsendDescribePrepared($0, name) }
        var description = StatementDescription(parameterTypes: [], columns: [])
        try await collectResults(operation) { result in
            description.parameterTypes = (0..<PQnparams(result.pointer)).map {
                TypeOID(rawValue: PQparamtype(result.pointer, $0))
            }
            description.columns = result.columns
        }
        return description
    }

    /// Runs `body` in an operation, and once more if the server says that the prepared plan is no longer good.
    func retryingStalePlan<T>(
        _ statement: Statement, _ deadline: MonotonicTime?,
        _ body: (Operation) async throws(PostgresError) -> T
    ) async throws(PostgresError) -> T {
        let operation = try await start(.statement, deadline: deadline)
        do {
            return try await body(operation)
        } catch {
            // 26000: no such prepared statement. 0A000: "cached plan must not change result type".
            let isStale = error.sqlState == "26000" || (error.sqlState == "0A000" && error.message.contains("plan"))
            guard isStale, isOpen, activity == .idle else { throw error }
            await forget(statement, areGone: error.sqlState == "26000")
            if transactionStatus != .idle { throw error }
        }
        return try await body(try await start(.statement, deadline: operation.deadline))
    }

    /// Forgets a statement here, and on the server unless it is gone there.
    private func forget(_ statement: Statement, areGone: Bool) async {
        let names = prepared.remove(statement)
        if areGone || transactionStatus != .idle { return }
        // Old plans only take memory on the server; not getting rid of one is no failure.
        for name in names { _ = try? await script("DEALLOCATE \(Self.quotedIdentifier(name))") }
    }

    /// Puts a prepared statement on its way, preparing it first if need be.
    func sendPrepared(
        _ statement: Statement, _ values: [Parameter], _ format: WireFormat, _ operation: Operation
    ) async throws(PostgresError) {
        try encode(values)
        let name = try await prepare(statement, operation)
        try await send(operation) { handle in
            let count = CInt(parameters.count)
            return parameters.withArrays { _, values, lengths, formats in
                PQsendQueryPrepared(handle, name, count, values, lengths, formats, format.rawValue)
            }
        }
    }

    /// The server's name of the statement for parameters of the types in the buffer.
    private func prepare(_ statement: Statement, _ operation: Operation) async throws(PostgresError) -> String {
        if let name = prepared.find(statement, parameters) { return name }
        try refuseZeroByte(statement.sql)
        if prepared.count >= settings.preparedStatementLimit, let oldest = prepared.leastRecentlyUsed {
            let names = prepared.remove(oldest).map { "DEALLOCATE \(Self.quotedIdentifier($0))" }
            try await send(operation) { PQsendQuery($0, names.joined(separator: "; ")) }
            try await collectResults(operation) { _ in }
            resume()
        }
        let name = prepared.newName(for: statement)
        let types = parameters.types
        try await send(operation) { handle in
            types.withUnsafeBufferPointer {
                PQsendPrepare(handle, name, statement.sql, CInt($0.count), $0.baseAddress)
            }
        }
        try await collectResults(operation) { _ in }
        resume()
        prepared.insert(statement, types: types, serverName: name)
        return name
    }

    /// Goes on with an operation that takes more than one exchange with the server.
    private func resume() {
        activity = .statement
        cancellation.begin()
    }
}
