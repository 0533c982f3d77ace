// SPDX-License-Identifier: Apache-2.0
// Columns in memory, and the shapes in which Grafana's data sources take them. Pure.

/// What one question of a panel is answered with: columns of the same length, as Grafana's data frames have them.
struct Frame: Equatable {
    /// One column.
    struct Field: Equatable {
        var name: String
        /// What tells it from fields of the same name: the symbol.
        var symbol: String?
        var values: Values
    }

    /// The values of a column, nil for NULL.
    enum Values: Equatable {
        /// Epoch milliseconds.
        case times([Int64?])
        /// Finite ones; NaN and the infinities are nil.
        case numbers([Double?])
        case texts([String?])
        case flags([Bool?])

        /// Grafana's name of the type.
        var type: String {
            switch self {
            case .times: "time"
            case .numbers: "number"
            case .texts: "string"
            case .flags: "boolean"
            }
        }
    }

    var name: String
    var fields: [Field]
    /// Of each field.
    var count: Int

    init(_ name: String, _ fields: [Field], count: Int) {
        self.name = name
        self.fields = fields
        self.count = count
    }

    /// Values in all of its fields.
    var size: Int { count * fields.count }
}

extension [UInt8] {
    /// One value of a column as JSON.
    mutating func appendValue(_ values: Frame.Values, _ row: Int) {
        switch values {
        case .times(let times): if let time = times[row] { appendInteger(time) } else { appendText("null") }
        case .numbers(let numbers): appendNumber(numbers[row])
        case .texts(let texts): appendJSONString(texts[row])
        case .flags(let flags): appendText(flags[row].map { $0 ? "true" : "false" } ?? "null")
        }
    }

    /// `[{"time":…,"close":…},…]`: what Infinity's backend parser takes. Columns have one name each.
    mutating func appendRows(_ frame: Frame) {
        let prefixes = frame.fields.enumerated().map { index, field in
            var prefix: [UInt8] = [index == 0 ? UInt8(ascii: "{") : UInt8(ascii: ",")]
            prefix.appendJSONString(field.name)
            prefix.append(UInt8(ascii: ":"))
            return prefix
        }
        append(UInt8(ascii: "["))
        for row in 0..<frame.count {
            if row > 0 { append(UInt8(ascii: ",")) }
            for (prefix, field) in zip(prefixes, frame.fields) {
                append(contentsOf: prefix)
                appendValue(field.values, row)
            }
            append(UInt8(ascii: "}"))
        }
        append(UInt8(ascii: "]"))
    }

    /// A header and a line for each row (RFC 4180); NULL is nothing.
    mutating func appendCSV(_ frame: Frame) {
        for (place, field) in frame.fields.enumerated() {
            if place > 0 { append(UInt8(ascii: ",")) }
            appendCSVText(field.name)
        }
        append(0x0A)
        for row in 0..<frame.count {
            for (place, field) in frame.fields.enumerated() {
                if place > 0 { append(UInt8(ascii: ",")) }
                switch field.values {
                case .times(let times): if let time = times[row] { appendInteger(time) }
                case .numbers(let numbers): if let number = numbers[row] { appendNumber(number) }
                case .texts(let texts): if let text = texts[row] { appendCSVText(text) }
                case .flags(let flags): if let flag = flags[row] { appendText(flag ? "true" : "false") }
                }
            }
            append(0x0A)
        }
    }

    private mutating func appendCSVText(_ text: String) {
        var text = text
        text.withUTF8 { appendCSVField(UnsafeRawBufferPointer($0)) }
    }

    /// `[{"name":…,"refId":…,"length":…,"fields":[…]},…]`: Grafana's data frames, which its pages take without a word
    /// about columns.
    mutating func appendFrames(_ frames: [Frame], refID: String) {
        append(UInt8(ascii: "["))
        for (index, frame) in frames.enumerated() {
            if index > 0 { append(UInt8(ascii: ",")) }
            appendText("{\"name\":")
            appendJSONString(frame.name)
            appendText(",\"refId\":")
            appendJSONString(refID)
            appendText(",\"length\":\(frame.count),\"fields\":[")
            for (place, field) in frame.fields.enumerated() {
                if place > 0 { append(UInt8(ascii: ",")) }
                appendText("{\"name\":")
                appendJSONString(field.name)
                appendText(",\"type\":\"\(field.values.type)\"")
                if let symbol = field.symbol {
                    appendText(",\"labels\":{\"symbol\":")
                    appendJSONString(symbol)
                    appendText("}")
                }
                appendText(",\"values\":[")
                for row in 0..<frame.count {
                    if row > 0 { append(UInt8(ascii: ",")) }
                    appendValue(field.values, row)
                }
                appendText("]}")
            }
            appendText("]}")
        }
        append(UInt8(ascii: "]"))
    }
}

extension [Frame] {
    /// The frames of several symbols, each with `time` first and the same fields, as one: a row for each time and symbol,
    /// by time and then in the order of the frames. `symbol` is its second column.
    func long() -> Frame {
        guard let first else { return Frame("", [], count: 0) }
        var places: [(time: Int64, frame: Int, row: Int)] = []
        for (index, frame) in enumerated() {
            let times = frame.times
            for row in 0..<frame.count { places.append((times[row], index, row)) }
        }
        places.sort { ($0.time, $0.frame, $0.row) < ($1.time, $1.frame, $1.row) }
        var fields = [
            Frame.Field(name: "time", values: .times(places.map(\.time))),
            Frame.Field(name: "symbol", values: .texts(places.map { self[$0.frame].name })),
        ]
        for place in 1..<Swift.max(1, first.fields.count) {
            let columns = map { $0.numbers(place) }
            fields.append(
                .init(name: first.fields[place].name, values: .numbers(places.map { columns[$0.frame][$0.row] })))
        }
        return Frame("", fields, count: places.count)
    }

    /// The same side by side: a row for each time, with a column for each symbol (and field, if there are several). Of
    /// several values of a symbol at one time the last stands.
    func wide() -> Frame {
        var rows: [Int64: Int] = [:]
        let times = Set(flatMap(\.times)).sorted()
        for (row, time) in times.enumerated() { rows[time] = row }
        var fields = [Frame.Field(name: "time", values: .times(times))]
        for frame in self {
            for place in 1..<Swift.max(1, frame.fields.count) {
                var column = [Double?](repeating: nil, count: times.count)
                for (time, value) in zip(frame.times, frame.numbers(place)) {
                    if let row = rows[time] { column[row] = value }
                }
                let name = frame.fields.count > 2 ? "\(frame.name) \(frame.fields[place].name)" : frame.name
                fields.append(.init(name: name, values: .numbers(column)))
            }
        }
        return Frame("", fields, count: times.count)
    }
}

extension Frame {
    /// The values of the first column, which is the time of each row.
    var times: [Int64] {
        guard case .times(let times) = fields.first?.values else { return [] }
        return times.compactMap(\.self)
    }

    /// A column of numbers; empty if it is none.
    func numbers(_ place: Int) -> [Double?] {
        guard fields.indices.contains(place), case .numbers(let values) = fields[place].values else { return [] }
        return values
    }
}
