// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

extension PostgresConnection {
    /// Runs one statement in a READ ONLY transaction that is rolled back, and streams its rows: all of it in one
    /// exchange with the server (libpq's pipeline mode, PostgreSQL 15 docs, 34.5), where BEGIN, statement and ROLLBACK
    /// one after the other would take three.
    ///
    /// A statement that this connection has met before is prepared, and planned once, if the session is not discarded
    /// after it (``isUntouched``). After a failure the transaction is
    /// still open: a pool rolls it back, and so should anybody else.
    ///
    /// - Parameters:
    ///   - sql: one statement; a second one is refused by the server.
    ///   - deadline: for the whole stream, the caller's own pauses included.
    package func streamReadOnly(
        _ sql: String, _ parameters: [Parameter] = [], deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> RowStream {
        let operation = try await start(.statement, deadline: deadline)
        try refuseZeroByte(sql)
        try encode(parameters)
        let statement = Statement(name: "q", sql: sql)
        let name = prepared.find(statement, self.parameters)
        do {
            if let name { return try await exchange(sql, name, preparing: nil, operation) }
            let isWorthIt = isUntouched && repeated.note(sql)
            // Whether one that fails has been prepared is not known: then the session has something that we do not know of.
            if isWorthIt { isUntouched = false }
            let rows = try await exchange(sql, nil, preparing: isWorthIt ? statement : nil, operation)
            if isWorthIt { isUntouched = true }
            return rows
        } catch {
            // 26000: no such prepared statement. 0A000: "cached plan must not change result type".
            let isStale = error.sqlState == "26000" || (error.sqlState == "0A000" && error.message.contains("plan"))
            guard name != nil, isStale, isOpen, activity == .idle else { throw error }
        }
        _ = prepared.remove(statement)
        try await rollback(deadline: operation.deadline)
        let again = try await start(.statement, deadline: operation.deadline)
        try encode(parameters)
        return try await exchange(sql, nil, preparing: nil, again)
    }

    /// Sends the pipeline and reads up to the statement's first result.
    ///
    /// - Parameters:
    ///   - name: the server's name of the statement, if it is prepared.
    ///   - statement: what to prepare it as, if it is to be.
    private func exchange(
        _ sql: String, _ name: String?, preparing statement: Statement?, _ operation: Operation
    ) async throws(PostgresError) -> RowStream {
        var commands = ["BEGIN READ ONLY"]
        if statement != nil, prepared.count >= settings.preparedStatementLimit,
            let oldest = prepared.leastRecentlyUsed
        {
            commands += prepared.remove(oldest).map { "DEALLOCATE \(Self.quotedIdentifier($0))" }
        }
        let newName = statement.map { prepared.newName(for: $0) }
        try enterPipeline()
        try await send(operation) { handle in
            for command in commands where PQsendQueryParams(handle, command, 0, nil, nil, nil, nil, 0) == 0 { return 0 }
            if let newName, !sendPrepare(handle, newName, sql) { return 0 }
            guard sendExecute(handle, sql, name ?? newName),
                PQsendQueryParams(handle, "ROLLBACK", 0, nil, nil, nil, nil, 0) == 1
            else { return 0 }
            return PQpipelineSync(handle)
        }
        activity = .streaming
        for _ in 0..<(commands.count + (newName == nil ? 0 : 1)) { try await readCommand(operation) }
        if let statement, let newName { prepared.insert(statement, types: parameters.types, serverName: newName) }
        return try await openStream(operation)
    }

    func enterPipeline() throws(PostgresError) {
        if PQenterPipelineMode(try liveHandle()) == 0 { throw lose() }
        isPipelined = true
    }

    func sendPrepare(_ handle: OpaquePointer, _ name: String, _ sql: String) -> Bool {
        parameters.types.withUnsafeBufferPointer {
            PQsendPrepare(handle, name, sql, CInt($0.count), $0.baseAddress) == 1
        }
    }

    func sendExecute(_ handle: OpaquePointer, _ sql: String, _ name: String?) -> Bool {
        let count = CInt(parameters.count)
        return parameters.withArrays { types, values, lengths, formats in
            if let name { return PQsendQueryPrepared(handle, name, count, values, lengths, formats, 0) == 1 }
            return PQsendQueryParams(handle, sql, count, types, values, lengths, formats, 0) == 1
        }
    }

    /// Reads the outcome of a statement that returns no rows; an error ends the pipeline.
    private func readCommand(_ operation: Operation) async throws(PostgresError) {
        while let result = try await nextResult(operation) {
            if !result.isError { continue }
            let failure = PostgresError(result: result.pointer)
            _ = try await readToSync(operation)
            try finish(failure)
        }
        if PQstatus(try liveHandle()) == CONNECTION_BAD { throw lose() }
    }
}

/// Which statements a connection has met, to prepare those that come again: most texts come once, and a plan that
/// nobody uses again is memory of the server's.
struct RepeatedQueries {
    /// Longer texts are not looked at: nobody sends them often.
    private static let longestText = 4096
    private static let capacity = 256

    /// Hashes of the texts, in a ring.
    private var recent: [Int] = []
    private var next = 0

    /// Notes a statement; whether it was met before. Two texts of one hash are taken for one, which costs a plan.
    mutating func note(_ sql: String) -> Bool {
        if sql.utf8.count > Self.longestText { return false }
        let hash = sql.hashValue
        if recent.contains(hash) { return true }
        if recent.count < Self.capacity {
            recent.append(hash)
        } else {
            recent[next] = hash
            next = (next + 1) % Self.capacity
        }
        return false
    }
}
