// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// A `PGresult`, freed exactly once: here, or by whoever took it with ``release()``.
final class OwnedResult {
    let pointer: OpaquePointer
    private var isOwner = true

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { if isOwner { PQclear(pointer) } }

    var status: ExecStatusType { PQresultStatus(pointer) }

    /// Whether the server, or libpq on its behalf, reports a failure.
    var isError: Bool {
        switch status {
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE, PGRES_NONFATAL_ERROR, PGRES_PIPELINE_ABORTED: true
        default: false
        }
    }

    var commandTag: String { String(cString: PQcmdStatus(pointer)) }

    var columns: [ColumnDescription] { columnDescriptions(of: pointer) }

    /// Gives the pointer up; the caller frees it.
    func release() -> OpaquePointer {
        isOwner = false
        return pointer
    }
}

func columnDescriptions(of result: OpaquePointer) -> [ColumnDescription] {
    (0..<PQnfields(result)).map { column in
        ColumnDescription(
            // The columns of a COPY have no names.
            name: PQfname(result, column).map { String(cString: $0) } ?? "",
            type: TypeOID(rawValue: PQftype(result, column)),
            typeModifier: PQfmod(result, column),
            format: PQfformat(result, column) == 1 ? .binary : .text,
            tableOID: PQftable(result, column), tableColumn: PQftablecol(result, column))
    }
}

/// The bytes of a value, or nil for NULL; owned by the result, and followed by a zero byte that is not counted.
@inline(__always)
func valueBytes(_ result: OpaquePointer, row: Int32, column: Int32) -> UnsafeRawBufferPointer? {
    if PQgetisnull(result, row, column) != 0 { return nil }
    return UnsafeRawBufferPointer(
        start: PQgetvalue(result, row, column), count: Int(PQgetlength(result, row, column)))
}
