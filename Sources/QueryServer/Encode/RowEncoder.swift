// SPDX-License-Identifier: Apache-2.0
// Rows as bytes. Pure: a row is whatever gives the bytes of its values.

import Postgres

/// A row's values as PostgreSQL's text, nil for NULL.
protocol Cells {
    func cell(_ column: Int) -> UnsafeRawBufferPointer?
}

extension RowStream.Row: Cells {
    @inline(__always)
    func cell(_ column: Int) -> UnsafeRawBufferPointer? { unsafeBytes(column) }
}

extension BatchedRows.Row: Cells {
    @inline(__always)
    func cell(_ column: Int) -> UnsafeRawBufferPointer? { unsafeBytes(column) }
}

/// Writes the rows of one result in one layout.
struct RowEncoder: Sendable {
    enum Layout: Sendable {
        /// `[1,"a"]`
        case array
        /// `{"n":1,"s":"a"}`
        case object
        /// `{"n":1}`: members that are null are left out.
        case objectWithoutNulls
        /// `1,a` and LF: RFC 4180 has CRLF, but the shell tools that read CSV here would keep the CR
        case csv
    }

    /// A column of the output.
    struct Column: Sendable, Equatable {
        var name: String
        var form: ValueForm
    }

    let columns: [Column]
    private let layout: Layout
    /// What stands before each column's value: `{"name":`, `,"name":`, `,`.
    private let prefixes: [[UInt8]]

    init(_ columns: [Column], layout: Layout) {
        self.columns = columns
        self.layout = layout
        prefixes = columns.enumerated().map { index, column in
            var prefix: [UInt8] = []
            switch layout {
            case .array: prefix.appendText(index == 0 ? "[" : ",")
            case .csv: prefix.appendText(index == 0 ? "" : ",")
            case .object:
                prefix.appendText(index == 0 ? "{" : ",")
                prefix.appendJSONString(column.name)
                prefix.appendText(":")
            case .objectWithoutNulls:
                prefix.appendJSONString(column.name)
                prefix.appendText(":")
            }
            return prefix
        }
    }

    /// The columns of a result, for SQL of users.
    init(_ description: [ColumnDescription], _ types: ResultTypes, layout: Layout, bigintAsString: Bool) {
        self.init(
            description.map { Column(name: $0.name, form: ValueForm(types[$0.type], bigintAsString: bigintAsString)) },
            layout: layout)
    }

    /// Appends one row, without what separates rows in JSON.
    @inline(__always)
    func append(_ row: some Cells, to bytes: inout [UInt8]) {
        if layout == .csv {
            for index in 0..<columns.count {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes.appendCSV(row.cell(index), as: columns[index].form)
            }
            bytes.append(0x0A)
            return
        }
        if layout == .objectWithoutNulls { return appendWithoutNulls(row, to: &bytes) }
        for index in 0..<columns.count {
            bytes.append(contentsOf: prefixes[index])
            bytes.appendJSON(row.cell(index), as: columns[index].form)
        }
        if layout == .array {
            if columns.isEmpty { bytes.append(UInt8(ascii: "[")) }
            bytes.append(UInt8(ascii: "]"))
        } else {
            if columns.isEmpty { bytes.append(UInt8(ascii: "{")) }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    /// What is null in JSON is left out, NaN too.
    private func appendWithoutNulls(_ row: some Cells, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        let first = bytes.count
        for index in 0..<columns.count {
            let start = bytes.count
            if start > first { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: prefixes[index])
            let value = bytes.count
            bytes.appendJSON(row.cell(index), as: columns[index].form)
            if bytes[value...].elementsEqual("null".utf8) { bytes.removeLast(bytes.count - start) }
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// The header line of CSV.
    func appendCSVHeader(to bytes: inout [UInt8]) {
        for (index, column) in columns.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            var name = column.name
            name.withUTF8 { bytes.appendCSVField(UnsafeRawBufferPointer($0)) }
        }
        bytes.append(0x0A)
    }
}
