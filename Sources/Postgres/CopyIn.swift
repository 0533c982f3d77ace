// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop
import Glibc

/// A running `COPY … FROM STDIN` (PostgreSQL 15 docs, 34.10.1).
///
/// The rows count once ``finish()`` has returned; ``abort(_:)``, or letting go of the value, undoes them.
package final class CopyIn {
    private let connection: PostgresConnection
    private let operation: Operation
    private var isOpen = true

    /// Bytes given to libpq at a time: bounds its output buffer, which only grows.
    private static let sliceSize = 256 * 1024

    init(connection: PostgresConnection, operation: Operation) {
        self.connection = connection
        self.operation = operation
    }

    deinit {
        if isOpen && connection.activity == .copyingIn { connection.activity = .abandoned }
    }

    /// Sends bytes of the COPY's format, cut anywhere. Returns when they are on their way; waits while the server is
    /// slower than we are. Throws the server's error as soon as it is seen, and the COPY is then over.
    package func send(_ bytes: [UInt8]) async throws(PostgresError) {
        var offset = 0
        while offset < bytes.count {
            let end = min(offset + Self.sliceSize, bytes.count)
            try await sendSlice { handle in
                bytes.withUnsafeBytes { put(handle, UnsafeRawBufferPointer(rebasing: $0[offset..<end])) }
            }
            offset = end
        }
    }

    /// Sends what `writer` holds and empties it, for the rows to come.
    package func send(_ writer: inout BinaryCopyWriter) async throws(PostgresError) {
        precondition(writer.fieldsLeft == 0, "the last row has too few fields")
        var offset = 0
        while offset < writer.byteCount {
            let end = min(offset + Self.sliceSize, writer.byteCount)
            try await sendSlice { handle in
                writer.buffer.withUnsafeBytes { put(handle, UnsafeRawBufferPointer(rebasing: $0[offset..<end])) }
            }
            offset = end
        }
        writer.removeSent()
    }

    /// Ends the COPY and returns the number of rows the server took; throws what it found wrong with any of them.
    @discardableResult
    package func finish() async throws(PostgresError) -> Int {
        try await end(errorMessage: nil)
    }

    /// Sends what is left in `writer` and the trailer, then ``finish()``. The writer starts anew.
    @discardableResult
    package func finish(_ writer: inout BinaryCopyWriter) async throws(PostgresError) -> Int {
        writer.end()
        try await send(&writer)
        writer.start()
        return try await finish()
    }

    /// Gives the COPY up: the server discards its rows, and the transaction around it has failed. The connection is
    /// free again, or closed if the server does not answer.
    package func abort(_ message: String) async {
        do {
            _ = try await end(errorMessage: message)
        } catch {
            // The server reports the abort as an error, 57014; a lost connection undoes the rows as well.
        }
    }

    private func put(_ handle: OpaquePointer, _ bytes: UnsafeRawBufferPointer) -> CInt {
        PQputCopyData(handle, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), CInt(bytes.count))
    }

    private func sendSlice(_ put: (OpaquePointer) -> CInt) async throws(PostgresError) {
        if !isOpen { throw PostgresError(.usage, "the COPY has ended") }
        do throws(PostgresError) {
            if connection.serverHasRefusedCopy() { return try await failEarly() }
            // -1 can only be a connection that libpq already knows to be broken.
            if put(try connection.liveHandle()) != 1 { throw connection.lose() }
            try await connection.flush(operation)
        } catch {
            isOpen = false
            throw error
        }
    }

    /// The server has sent an error and throws the rest of the data away: fetches the error now.
    private func failEarly() async throws(PostgresError) {
        _ = try await end(errorMessage: "the server reported an error")
        throw PostgresError(.usage, "COPY ended without the error it announced")
    }

    private func end(errorMessage: String?) async throws(PostgresError) -> Int {
        if !isOpen { throw PostgresError(.usage, "the COPY has ended") }
        isOpen = false
        if PQputCopyEnd(try connection.liveHandle(), errorMessage) != 1 { throw connection.lose() }
        connection.activity = .statement
        try await connection.flush(operation)
        var rows = 0
        try await connection.collectResults(operation) { rows = Int(String(cString: PQcmdTuples($0.pointer))) ?? 0 }
        return rows
    }
}

extension PostgresConnection {
    /// Starts `COPY … FROM STDIN`. `deadline` is for the whole COPY.
    package func copyIn(_ sql: String, deadline: MonotonicTime? = nil) async throws(PostgresError) -> CopyIn {
        let operation = try await start(.statement, deadline: deadline)
        try await sendQuery(sql, [], .text, operation)
        try await expectCopy(PGRES_COPY_IN, "COPY … FROM STDIN", operation)
        activity = .copyingIn
        return CopyIn(connection: self, operation: operation)
    }

    /// Reads the first result, which must be the start of a COPY in the right direction; returns its number of columns.
    @discardableResult
    func expectCopy(
        _ wanted: ExecStatusType, _ form: String, _ operation: Operation
    ) async throws(PostgresError) -> Int {
        guard let first = try await nextResult(operation) else {
            try finish(PostgresError(.usage, "the server sent no result"))
            throw lose()
        }
        if first.status == wanted { return Int(PQnfields(first.pointer)) }
        let failure =
            first.isError ? PostgresError(result: first.pointer) : PostgresError(.usage, "the statement is not \(form)")
        if first.status == PGRES_COPY_IN || first.status == PGRES_COPY_OUT {
            try await cleanUp(cancelling: first.status != PGRES_COPY_IN)
        } else {
            do {
                try await collectResults(operation) { _ in }
            } catch {
                throw failure
            }
        }
        throw failure
    }

    /// Whether an ErrorResponse waits in the socket. libpq does not look at the server's messages during COPY, so a
    /// COPY that failed on its first row would be sent to its end.
    ///
    /// Looks at the first bytes without taking them (they start a message, as the server has been silent since the COPY
    /// began): type 'E', a plausible length, and the field 'S' that all its errors begin with (docs 55.7). A
    /// look-alike costs no more than an early end. On an encrypted connection it sees nothing.
    func serverHasRefusedCopy() -> Bool {
        guard let handle = try? liveHandle(), PQsslInUse(handle) == 0 else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 6, alignment: 1) { head in
            let flags = CInt(MSG_PEEK) | CInt(MSG_DONTWAIT)
            guard recv(PQsocket(handle), head.baseAddress, 6, flags) == 6 else { return false }
            return head[0] == UInt8(ascii: "E") && head[1] == 0 && head[2] == 0 && head[5] == UInt8(ascii: "S")
        }
    }
}
