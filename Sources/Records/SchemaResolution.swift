// SPDX-License-Identifier: Apache-2.0
//
// Reading what an older schema wrote: Apache Avro 1.11 specification, "Schema Resolution". The Avro C library resolves no
// defaults ("Reader field … doesn't appear in writer"), which is what adding a field needs, so it is done here. This is the
// slow path: values of the current schema never come through it.

import FoundationEssentials

/// A schema as a tree.
package indirect enum AvroType: Equatable, Sendable {
    case null, boolean, int, long, float, double, bytes, string
    case array(AvroType)
    case union([AvroType])
    case record(name: String, fields: [Field])

    package struct Field: Equatable, Sendable {
        var name: String
        var type: AvroType
    }

    /// A schema from its JSON; nil if it is none, or of a kind that Tapedeck does not use.
    init?(json: String) {
        guard let type = try? JSONDecoder().decode(AvroType.self, from: Data(json.utf8)) else { return nil }
        self = type
    }
}

extension AvroType: Decodable {
    private enum Key: CodingKey { case type, name, namespace, fields, items }

    package init(from decoder: any Decoder) throws {
        if let branches = try? decoder.singleValueContainer().decode([AvroType].self) {
            self = .union(branches)
            return
        }
        if let name = try? decoder.singleValueContainer().decode(String.self) {
            self = try Self.primitive(name, decoder)
            return
        }
        let object = try decoder.container(keyedBy: Key.self)
        switch try object.decode(String.self, forKey: .type) {
        case "array": self = .array(try object.decode(AvroType.self, forKey: .items))
        case "record":
            let name = try object.decode(String.self, forKey: .name)
            let namespace = try object.decodeIfPresent(String.self, forKey: .namespace)
            self = .record(
                name: name.contains(".") ? name : (namespace.map { $0 + "." } ?? "") + name,
                fields: try object.decode([Field].self, forKey: .fields))
        case let name: self = try Self.primitive(name, decoder)
        }
    }

    private static func primitive(_ name: String, _ decoder: any Decoder) throws -> AvroType {
        switch name {
        case "null": .null
        case "boolean": .boolean
        case "int": .int
        case "long": .long
        case "float": .float
        case "double": .double
        case "bytes": .bytes
        case "string": .string
        default:
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "no type that is used here"))
        }
    }
}

extension AvroType.Field: Decodable {}

/// Turns data of one schema into data of another.
package struct SchemaResolution: Sendable {
    let writer: AvroType
    let reader: AvroType
    /// The encoded values of fields that the writer may lack, by name, in whichever record they stand.
    let defaults: [String: [UInt8]]

    /// - Returns: nil if the reader cannot read what the writer wrote.
    package init?(writer: AvroType, reader: AvroType, defaults: [String: [UInt8]] = [:]) {
        self.writer = writer
        self.reader = reader
        self.defaults = defaults
        if !canResolve(writer, reader) { return nil }
    }

    /// A datum of the writer's schema in the reader's; nil if it is damaged.
    package func convert(_ datum: UnsafeRawBufferPointer) -> [UInt8]? {
        var source = AvroReader(datum)
        var target = AvroWriter()
        guard convert(writer, reader, &source, &target), source.isAtEnd else { return nil }
        return target.bytes
    }

    /// Whether some datum of `writer` could be read as `reader`.
    private func canResolve(_ writer: AvroType, _ reader: AvroType) -> Bool {
        switch (writer, reader) {
        case (.union(let branches), _): branches.allSatisfy { canResolve($0, reader) }
        case (_, .union(let branches)): branches.contains { canResolve(writer, $0) }
        case (.array(let from), .array(let to)): canResolve(from, to)
        case (.record(let from, let written), .record(let to, let wanted)):
            from == to
                && wanted.allSatisfy { field in
                    if let source = written.first(where: { $0.name == field.name }) {
                        return canResolve(source.type, field.type)
                    }
                    return defaults[field.name] != nil
                }
        case (.int, .long), (.int, .float), (.int, .double), (.long, .float), (.long, .double), (.float, .double),
            (.string, .bytes), (.bytes, .string):
            true
        default: writer == reader
        }
    }

    private func convert(
        _ writer: AvroType, _ reader: AvroType, _ source: inout AvroReader, _ target: inout AvroWriter
    ) -> Bool {
        switch (writer, reader) {
        case (.union(let branches), _):
            guard let index = source.long(), branches.indices.contains(Int(clamping: index)) else { return false }
            return convert(branches[Int(index)], reader, &source, &target)
        case (_, .union(let branches)):
            // The same type before one that it can be promoted to.
            guard
                let index = branches.firstIndex(of: writer) ?? branches.firstIndex(where: { canResolve(writer, $0) })
            else { return false }
            target.long(Int64(index))
            return convert(writer, branches[index], &source, &target)
        case (.record(_, let written), .record(_, let wanted)):
            return convert(written, wanted, &source, &target)
        case (.array(let from), .array(let to)): return convertArray(from, to, &source, &target)
        default: return convertValue(writer, reader, &source, &target)
        }
    }

    private func convert(
        _ written: [AvroType.Field], _ wanted: [AvroType.Field], _ source: inout AvroReader, _ target: inout AvroWriter
    ) -> Bool {
        var values = defaults
        for field in written {
            var value = AvroWriter()
            // What the reader does not want is read all the same, to get past it.
            let type = wanted.first { $0.name == field.name }?.type ?? field.type
            guard convert(field.type, type, &source, &value) else { return false }
            values[field.name] = value.bytes
        }
        for field in wanted {
            guard let value = values[field.name] else { return false }
            target.bytes.append(contentsOf: value)
        }
        return true
    }

    private func convertArray(
        _ from: AvroType, _ to: AvroType, _ source: inout AvroReader, _ target: inout AvroWriter
    ) -> Bool {
        var items: [[UInt8]] = []
        while true {
            guard var count = source.long(), count != .min else { return false }
            if count == 0 { break }
            if count < 0 {
                guard source.long() != nil else { return false }
                count = -count
            }
            for _ in 0..<count {
                if source.isAtEnd { return false }
                var item = AvroWriter()
                guard convert(from, to, &source, &item) else { return false }
                items.append(item.bytes)
            }
        }
        if !items.isEmpty { target.long(Int64(items.count)) }
        for item in items { target.bytes.append(contentsOf: item) }
        target.bytes.append(0)
        return true
    }

    private func convertValue(
        _ writer: AvroType, _ reader: AvroType, _ source: inout AvroReader, _ target: inout AvroWriter
    ) -> Bool {
        switch writer {
        case .null: return reader == .null
        case .boolean:
            guard let byte = source.byte(), byte <= 1 else { return false }
            target.bytes.append(byte)
        case .int, .long:
            guard let value = source.long() else { return false }
            switch reader {
            case .float: target.float(Float(value))
            case .double: target.double(Double(value))
            default: target.long(value)
            }
        case .float:
            guard let value = source.float() else { return false }
            if reader == .double { target.double(Double(value)) } else { target.float(value) }
        case .double:
            guard let value = source.double() else { return false }
            target.double(value)
        case .bytes, .string:
            guard let value = source.string() else { return false }
            target.string(value)
        default: return false
        }
        return true
    }
}
