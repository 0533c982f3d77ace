// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

extension PostgresConnection {
    /// Runs one statement by the extended protocol and returns all its rows.
    ///
    /// - Parameters:
    ///   - sql: one statement; a second one is refused by the server.
    ///   - parameters: the values of `$1`, `$2`, ….
    ///   - resultFormat: text by default; binary saves the server the formatting of numbers and times.
    ///   - deadline: when to give up, or nil for ``ConnectionSettings/operationTimeout`` from now.
    @discardableResult
    package func query(
        _ sql: String, _ parameters: [Parameter] = [], resultFormat: WireFormat = .text,
        deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> ResultSet {
        let operation = try await start(.statement, deadline: deadline)
        try await sendQuery(sql, parameters, resultFormat, operation)
        return try await collectOne(operation)
    }

    /// Runs SQL with any number of statements by the simple protocol, as one transaction unless it says otherwise:
    /// for migrations and session setup. Returns the result of each statement.
    @discardableResult
    package func script(_ sql: String, deadline: MonotonicTime? = nil) async throws(PostgresError) -> [ResultSet] {
        try await script(sql, deadline: deadline, heedsTaskCancellation: true)
    }

    func script(
        _ sql: String, deadline: MonotonicTime?, heedsTaskCancellation: Bool
    ) async throws(PostgresError) -> [ResultSet] {
        let operation = try await start(
            .statement, deadline: deadline, heedsTaskCancellation: heedsTaskCancellation)
        try refuseZeroByte(sql)
        try await send(operation) { PQsendQuery($0, sql) }
        var results: [ResultSet] = []
        try await collectResults(operation) { results.append(ResultSet($0)) }
        return results
    }

    /// Puts an unprepared statement on its way.
    func sendQuery(
        _ sql: String, _ values: [Parameter], _ format: WireFormat, _ operation: Operation
    ) async throws(PostgresError) {
        try refuseZeroByte(sql)
        try encode(values)
        try await send(operation) { handle in
            let count = CInt(parameters.count)
            return parameters.withArrays { types, values, lengths, formats in
                PQsendQueryParams(handle, sql, count, types, values, lengths, formats, format.rawValue)
            }
        }
    }

    /// Fills the parameter buffer; a mistake ends the operation that has just started.
    func encode(_ values: [Parameter]) throws(PostgresError) {
        do {
            try parameters.encode(values)
        } catch {
            end()
            throw error
        }
    }

    /// libpq takes SQL as a C string: a zero byte would cut the statement short in silence.
    func refuseZeroByte(_ sql: String) throws(PostgresError) {
        if !sql.utf8.contains(0) { return }
        end()
        throw PostgresError(.usage, "the SQL text contains a zero byte")
    }

    /// The only result of an extended-protocol statement.
    func collectOne(_ operation: Operation) async throws(PostgresError) -> ResultSet {
        var last: ResultSet?
        try await collectResults(operation) { last = ResultSet($0) }
        guard let last else { throw PostgresError(.usage, "the server sent no result") }
        return last
    }

    /// What a completed statement did to what we remember of the session.
    func noteEffects(ofTag tag: String) {
        if tag == "DISCARD ALL" || tag == "DEALLOCATE ALL" {
            prepared.forgetAll()
            batched.forgetAll()
        }
    }

    // MARK: Fire now, read later

    /// Sends a script without waiting for its outcome, which the next operation reads first: a pool resets a session
    /// this way while nobody waits. False if the connection is busy or broken.
    func sendAhead(_ sql: String) -> Bool {
        guard activity == .idle, cancellation.isSettled, let handle = try? liveHandle() else { return false }
        if PQsendQuery(handle, sql) == 0 || PQflush(handle) < 0 { return false }
        activity = .sentAhead
        return true
    }

    /// Reads the outcome of ``sendAhead(_:)``; a failure of the script closes the connection, whose session is then in
    /// a state nobody asked for.
    func collectSentAhead(_ operation: Operation) async throws(PostgresError) {
        activity = .statement
        try await flush(operation)
        do {
            try await collectResults(operation) { _ in }
        } catch {
            throw lose(error)
        }
    }

    // MARK: Quoting

    /// `name` as an SQL identifier, in double quotes.
    package static func quotedIdentifier(_ name: String) -> String { quoted(name, with: "\"") }

    /// `text` as an SQL literal, for the statements that take no parameters (SET, NOTIFY, COPY, CREATE ROLE).
    package static func quotedLiteral(_ text: String) -> String {
        // E'' so that a backslash means the same whatever standard_conforming_strings says.
        text.utf8.contains(UInt8(ascii: "\\"))
            ? "E"
                + quoted(
                    text.split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\\\"), with: "'")
            : quoted(text, with: "'")
    }

    private static func quoted(_ text: String, with quote: Character) -> String {
        var result = String(quote)
        for scalar in text.unicodeScalars where scalar != "\0" {
            if scalar == quote.unicodeScalars.first { result.append(quote) }
            result.unicodeScalars.append(scalar)
        }
        result.append(quote)
        return result
    }
}
