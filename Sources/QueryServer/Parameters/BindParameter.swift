// SPDX-License-Identifier: Apache-2.0
// JSON values as `$1`, `$2`, ….

import Postgres

extension Parameter {
    /// The parameter that a JSON value stands for.
    ///
    /// A string is what a literal in quotes is in SQL: its type comes from where it stands. A number is what the same
    /// digits are in SQL: integer, bigint or numeric. An array of numbers or booleans has that type; an array of
    /// strings is again a literal. Objects are JSON text: `$1::jsonb`.
    init(_ value: JSONValue) {
        switch value {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .string(let text): self = .text(text)
        case .number(let digits): self = .text(digits, as: Self.numberType(digits))
        case .object: self = .text(value.text)
        case .array(let elements):
            self = .text(Self.arrayLiteral(elements), as: Self.arrayType(elements))
        }
    }

    /// The type PostgreSQL gives to such a constant (docs 4.1.2.6).
    private static func numberType(_ digits: String) -> TypeOID {
        if Int32(digits) != nil { return .int4 }
        return Int64(digits) != nil ? .int8 : .numeric
    }

    private static func arrayType(_ elements: [JSONValue]) -> TypeOID {
        var found: TypeOID?
        for element in leaves(elements) {
            switch (element, found) {
            case (.null, _): continue
            case (.bool, nil), (.bool, .boolArray?): found = .boolArray
            case (.number(let digits), nil): found = arrayOf[numberType(digits)]
            case (.number(let digits), let wide?) where wide != .boolArray:
                let type = arrayOf[numberType(digits)] ?? numericArray
                if type == numericArray || wide == .int4Array { found = type }
            default: return .unspecified
            }
        }
        return found ?? .unspecified
    }

    private static let numericArray = TypeOID(rawValue: 1231)
    private static let arrayOf: [TypeOID: TypeOID] = [.int4: .int4Array, .int8: .int8Array, .numeric: numericArray]

    private static func leaves(_ elements: [JSONValue]) -> [JSONValue] {
        elements.flatMap { element -> [JSONValue] in
            if case .array(let inner) = element { return leaves(inner) }
            return [element]
        }
    }

    /// The text of an array (PostgreSQL 15 docs, 8.15.2): strings are always quoted.
    private static func arrayLiteral(_ elements: [JSONValue]) -> String {
        let parts = elements.map { element -> String in
            switch element {
            case .null: "NULL"
            case .bool(let value): value ? "t" : "f"
            case .number(let digits): digits
            case .string(let text): quotedElement(text)
            case .array(let inner): arrayLiteral(inner)
            case .object: quotedElement(element.text)
            }
        }
        return "{" + parts.joined(separator: ",") + "}"
    }

    private static func quotedElement(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { quoted.append("\\") }
            quoted.unicodeScalars.append(scalar)
        }
        return quoted + "\""
    }
}

extension JSONValue {
    /// The value as JSON text.
    var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func append(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes.appendText("null")
        case .bool(let value): bytes.appendText(value ? "true" : "false")
        case .number(let digits): bytes.appendText(digits)
        case .string(let text): bytes.appendJSONString(text)
        case .array(let elements):
            bytes.appendText("[")
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.appendText(",") }
                element.append(to: &bytes)
            }
            bytes.appendText("]")
        case .object(let members):
            bytes.appendText("{")
            for (index, member) in members.enumerated() {
                if index > 0 { bytes.appendText(",") }
                bytes.appendJSONString(member.name)
                bytes.appendText(":")
                member.value.append(to: &bytes)
            }
            bytes.appendText("}")
        }
    }
}
