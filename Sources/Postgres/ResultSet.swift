// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// All rows of a statement, in memory.
package final class ResultSet: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: the PGresult is never changed after it is made, and PQclear runs once, in deinit.

    private let result: OpaquePointer

    /// Empty for a statement that returns no rows.
    package let columns: [ColumnDescription]

    init(_ result: OwnedResult) {
        columns = result.columns
        self.result = result.release()
    }

    deinit { PQclear(result) }

    /// Rows returned.
    package var count: Int { Int(PQntuples(result)) }

    package var isEmpty: Bool { count == 0 }

    /// What the server says it did, as in `INSERT 0 5` or `SELECT 3`.
    package var commandTag: String { String(cString: PQcmdStatus(result)) }

    /// Rows inserted, updated, deleted, moved or returned; 0 for statements that do none of it.
    package var affectedRows: Int { Int(String(cString: PQcmdTuples(result))) ?? 0 }

    /// The position of the column of that name, or nil.
    package func column(named name: String) -> Int? { columns.firstIndex { $0.name == name } }

    /// The row at `index` from 0. Its bytes live as long as the result set.
    package subscript(index: Int) -> Row {
        precondition(index >= 0 && index < count, "row \(index) of \(count)")
        return Row(resultSet: self, index: Int32(index))
    }

    /// One row.
    package struct Row: ColumnAccess {
        let resultSet: ResultSet
        let index: Int32

        package var columns: [ColumnDescription] { resultSet.columns }

        package func unsafeBytes(_ column: Int) -> UnsafeRawBufferPointer? {
            resultSet.valueBytes(row: index, column: column)
        }
    }

    fileprivate func valueBytes(row: Int32, column: Int) -> UnsafeRawBufferPointer? {
        Postgres.valueBytes(result, row: row, column: Int32(column))
    }
}

extension ResultSet: RandomAccessCollection {
    package var startIndex: Int { 0 }
    package var endIndex: Int { count }
}
