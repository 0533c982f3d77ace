// SPDX-License-Identifier: Apache-2.0
// Rows of PostgreSQL on their way into a query's mailbox.

import EventLoop
import Postgres
import TrinoSQL

/// Writes rows as Trino's JSON and hands them over in chunks: when enough are there, or when they have waited.
///
/// On the loop of the task that reads the rows, and of its timers.
final class TrinoRows {
    private let query: TrinoQuery
    private let queries: TrinoQueries
    private let loop: EventLoop
    private let forms: [TrinoForm]
    /// The columns that are arrays, and how many arrays stand in one another there.
    private let arrays: [(column: Int, depth: Int)]
    private var chunk: [UInt8] = []
    private var count = 0
    private var isTimed = false
    private var sent = (rows: 0, bytes: 0)
    private let limits: (rows: Int?, bytes: Int?)

    /// Bytes that are worth handing over.
    private static let chunkBytes = 256 * 1024
    /// How long rows may wait for more, so that a slow query shows its rows as they come.
    private static let patience = Duration.milliseconds(10)

    init(
        _ query: TrinoQuery, _ queries: TrinoQueries, _ types: [TrinoType], _ configuration: QueryServer.Configuration,
        on loop: EventLoop
    ) {
        self.query = query
        self.queries = queries
        self.loop = loop
        let own = query.running.client.limits
        limits = (
            [own.rows, configuration.rowLimit].compactMap(\.self).min(),
            [own.bytes, configuration.byteLimit].compactMap(\.self).min()
        )
        let session = query.session
        arrays = types.enumerated().filter { $0.element.depth > 0 }.map { ($0.offset, $0.element.depth) }
        forms = types.map {
            TrinoForm($0, parametricDatetime: session.parametricDatetime, isUTC: session.isUTC)
        }
    }

    /// Reads `rows` to their end, no faster than the client fetches them, and finishes the query.
    func send(_ rows: RowStream) async throws {
        // Half of what may be ready, so that one half is made while the other is on its way.
        var size = min(Self.chunkBytes, queries.readyBytes / 2)
        while true {
            var next = rows.nextBuffered()
            if next == nil {
                handOverSoon()
                next = try await rows.next()
            }
            guard let row = next else { break }
            if !arrays.isEmpty { try checkArrays(row) }
            append(row)
            try checkLimits()
            if chunk.count >= size {
                let (bytes, rows) = takeChunk()
                size = min(Self.chunkBytes, queries.readyBytes / 2)
                try await query.put(bytes, rows: rows, limit: queries.readyBytes, on: loop)
            }
        }
        let (bytes, count) = takeChunk()
        try await query.finish(bytes, rows: count, limit: queries.readyBytes, on: loop)
    }

    /// The protocol has no way to say that rows are missing, so a result beyond what the server or its client's key allows fails.
    @inline(__always)
    private func checkLimits() throws(TrinoFailure) {
        if let limit = limits.rows, sent.rows + count > limit {
            throw TrinoFailure(
                .genericInsufficientResources, "The result has more than the \(limit) rows that are allowed")
        }
        if let limit = limits.bytes, sent.bytes + chunk.count > limit {
            throw TrinoFailure(
                .genericInsufficientResources, "The result has more than the \(limit) bytes that are allowed")
        }
    }

    /// PostgreSQL's arrays of one type have any number of dimensions; the column has been declared with one.
    private func checkArrays(_ row: some Cells) throws(TrinoFailure) {
        for (column, declared) in arrays {
            guard let depth = TrinoType.depth(ofArray: row.cell(column)), depth != declared else { continue }
            throw TrinoFailure(
                .notSupported,
                "Column \(column + 1) has arrays of \(declared) and of \(depth) dimensions, which are of different types"
            )
        }
    }

    @inline(__always)
    private func append(_ row: some Cells) {
        chunk.append(contentsOf: count == 0 ? Self.firstRow : Self.nextRow)
        for index in 0..<forms.count {
            if index > 0 { chunk.append(UInt8(ascii: ",")) }
            chunk.appendTrino(row.cell(index), as: forms[index])
        }
        chunk.append(UInt8(ascii: "]"))
        count += 1
    }

    private static let firstRow = Array("[".utf8)
    private static let nextRow = Array(",[".utf8)

    private func takeChunk() -> ([UInt8], Int) {
        defer {
            sent = (sent.rows + count, sent.bytes + chunk.count)
            chunk = []
            count = 0
        }
        return (chunk, count)
    }

    /// Before a wait for more rows: those that are here leave after a while even if none come.
    private func handOverSoon() {
        if isTimed || count == 0 { return }
        isTimed = true
        loop.schedule(at: .now() + Self.patience) { [self] in
            isTimed = false
            if count == 0 { return }
            if query.putIfRoom(chunk, rows: count, limit: queries.readyBytes) {
                _ = takeChunk()
            } else if !query.isEnded {
                handOverSoon()
            }
        }
    }
}

extension [UInt8] {
    /// Appends the `columns` of a result.
    mutating func appendColumns(_ columns: [(name: String, type: TrinoType)], _ dialect: TrinoType.Dialect) {
        appendText("[")
        for (index, column) in columns.enumerated() {
            if index > 0 { appendText(",") }
            appendText("{\"name\":")
            appendJSONString(column.name)
            appendText(",\"type\":")
            appendJSONString(column.type.text(dialect))
            appendText(",\"typeSignature\":")
            column.type.appendSignature(dialect, to: &self)
            appendText("}")
        }
        appendText("]")
    }
}
