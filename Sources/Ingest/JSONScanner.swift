// SPDX-License-Identifier: Apache-2.0

/// A pull parser over one JSON text (RFC 8259) in a byte buffer that must outlive it: values are visited, not built.
///
/// Every method returns nil or false on invalid JSON; the caller then drops the text as a whole.
struct JSONScanner {
    /// Deepest nesting that is followed.
    static let maximumDepth = 32

    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// What the next value is.
    enum Kind { case object, array, string, number, literal, end }

    mutating func kind() -> Kind {
        skipBlanks()
        guard index < bytes.count else { return .end }
        switch bytes[index] {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: return .literal
        }
    }

    /// Visits the members of an object: `visit` gets each key's raw bytes and must consume the value.
    mutating func object(_ visit: (inout JSONScanner, UnsafeRawBufferPointer) -> Bool) -> Bool {
        guard skip("{") else { return false }
        if skip("}") { return true }
        repeat {
            guard let key = rawString(), skip(":"), visit(&self, key) else { return false }
        } while skip(",")
        return skip("}")
    }

    /// Visits the elements of an array; `visit` must consume each.
    mutating func array(_ visit: (inout JSONScanner) -> Bool) -> Bool {
        guard skip("[") else { return false }
        if skip("]") { return true }
        repeat {
            guard visit(&self) else { return false }
        } while skip(",")
        return skip("]")
    }

    /// The bytes between the quotes of a string, escapes not decoded.
    mutating func rawString() -> UnsafeRawBufferPointer? {
        guard skip("\"") else { return nil }
        let start = index
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                index += 1
                return UnsafeRawBufferPointer(rebasing: bytes[start..<(index - 1)])
            }
            if byte < 0x20 { return nil }
            index += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        return nil
    }

    /// A string with its escapes decoded.
    mutating func string() -> String? {
        guard let raw = rawString() else { return nil }
        return raw.contains(UInt8(ascii: "\\")) ? Self.unescape(raw) : String(validating: raw, as: UTF8.self)
    }

    /// The bytes of a number, checked only for its characters: who reads it decides what it is.
    mutating func number() -> UnsafeRawBufferPointer? {
        skipBlanks()
        let start = index
        while index < bytes.count, Self.isNumberCharacter(bytes[index]) { index += 1 }
        return index > start ? UnsafeRawBufferPointer(rebasing: bytes[start..<index]) : nil
    }

    /// Consumes `null`, if that is next.
    mutating func null() -> Bool { literal("null") }

    /// Consumes `true` or `false`, if one of them is next.
    mutating func boolean() -> Bool? {
        if literal("true") { return true }
        return literal("false") ? false : nil
    }

    /// Consumes any value.
    mutating func skipValue(depth: Int = 0) -> Bool {
        guard depth < Self.maximumDepth else { return false }
        switch kind() {
        case .object: return object { scanner, _ in scanner.skipValue(depth: depth + 1) }
        case .array: return array { $0.skipValue(depth: depth + 1) }
        case .string: return rawString() != nil
        case .number: return number() != nil
        case .literal: return literal("null") || literal("true") || literal("false")
        case .end: return false
        }
    }

    /// Consumes any value; its bytes.
    mutating func rawValue() -> UnsafeRawBufferPointer? {
        skipBlanks()
        let start = index
        return skipValue() ? UnsafeRawBufferPointer(rebasing: bytes[start..<index]) : nil
    }

    /// Whether only blanks are left.
    mutating func isAtEnd() -> Bool {
        skipBlanks()
        return index == bytes.count
    }

    // MARK: Pieces

    private mutating func skipBlanks() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return
            }
        }
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        skipBlanks()
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func literal(_ word: StaticString) -> Bool {
        skipBlanks()
        guard bytes.count - index >= word.utf8CodeUnitCount else { return false }
        for offset in 0..<word.utf8CodeUnitCount where bytes[index + offset] != word.utf8Start[offset] { return false }
        index += word.utf8CodeUnitCount
        return true
    }

    private static func isNumberCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    private static func unescape(_ raw: UnsafeRawBufferPointer) -> String? {
        var units: [UInt8] = []
        var index = 0
        while index < raw.count {
            guard raw[index] == UInt8(ascii: "\\") else {
                units.append(raw[index])
                index += 1
                continue
            }
            guard index + 1 < raw.count else { return nil }
            let escape = raw[index + 1]
            index += 2
            if escape == UInt8(ascii: "u") {
                guard let scalar = scalar(raw, &index) else { return nil }
                units.append(contentsOf: String(Character(scalar)).utf8)
            } else {
                guard let byte = simpleEscapes[escape] else { return nil }
                units.append(byte)
            }
        }
        return String(validating: units, as: UTF8.self)
    }

    private static let simpleEscapes: [UInt8: UInt8] = [
        UInt8(ascii: "\""): UInt8(ascii: "\""), UInt8(ascii: "\\"): UInt8(ascii: "\\"),
        UInt8(ascii: "/"): UInt8(ascii: "/"), UInt8(ascii: "b"): 8, UInt8(ascii: "f"): 12, UInt8(ascii: "n"): 10,
        UInt8(ascii: "r"): 13, UInt8(ascii: "t"): 9,
    ]

    /// The scalar of the four hex digits at `index`, or of a surrogate pair that begins there.
    private static func scalar(_ raw: UnsafeRawBufferPointer, _ index: inout Int) -> Unicode.Scalar? {
        guard let high = hex4(raw, &index) else { return nil }
        if (0xD800..<0xDC00).contains(high) {
            guard index + 2 <= raw.count, raw[index] == UInt8(ascii: "\\"), raw[index + 1] == UInt8(ascii: "u") else {
                return nil
            }
            index += 2
            guard let low = hex4(raw, &index), (0xDC00..<0xE000).contains(low) else { return nil }
            return Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        }
        return Unicode.Scalar(high)
    }

    private static func hex4(_ raw: UnsafeRawBufferPointer, _ index: inout Int) -> UInt32? {
        guard index + 4 <= raw.count else { return nil }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(raw[index])).hexDigitValue else { return nil }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }
}
