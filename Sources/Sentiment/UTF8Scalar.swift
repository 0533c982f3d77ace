// SPDX-License-Identifier: Apache-2.0

/// Kinds of bytes and of characters, by the definitions that Python's `str` has.
enum ByteClass {
    static let blank: UInt8 = 1
    static let punctuation: UInt8 = 2

    /// What each byte is: a blank (ASCII), punctuation (ASCII's 32 characters), or neither.
    static let table: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 256)
        for byte in Array(0x09...0x0D) + Array(0x1C...0x20) { table[byte] = blank }
        for byte in ##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##.utf8 { table[Int(byte)] = punctuation }
        return table
    }()

    /// How many bytes the blank at `index` has; 0 if none is there. Blanks are what Unicode calls White_Space, and the
    /// separators U+001C to U+001F.
    @inline(__always)
    static func blankLength(_ text: UnsafeRawBufferPointer, at index: Int) -> Int {
        let byte = text[index]
        if byte < 0x80 { return byte == 0x20 || byte &- 0x09 < 5 || byte &- 0x1C < 4 ? 1 : 0 }
        if byte != 0xC2 && (byte < 0xE1 || byte > 0xE3) { return 0 }
        return wideBlankLength(text, at: index)
    }

    private static func wideBlankLength(_ text: UnsafeRawBufferPointer, at index: Int) -> Int {
        let (scalar, length) = UTF8Scalar.decode(text, at: index)
        switch scalar {
        case 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: return length
        default: return 0
        }
    }
}

enum UTF8Scalar {
    /// The code point at `index` and its length in bytes. A byte that begins no UTF-8 is U+FFFD, one byte long.
    @inline(__always)
    static func decode(_ text: UnsafeRawBufferPointer, at index: Int) -> (scalar: UInt32, length: Int) {
        let first = text[index]
        let length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        if first < 0x80 { return (UInt32(first), 1) }
        if first < 0xC0 || index + length > text.count { return (0xFFFD, 1) }
        var scalar = UInt32(first) & (0x7F >> UInt32(length))
        for offset in 1..<length { scalar = scalar << 6 | UInt32(text[index + offset] & 0x3F) }
        return (scalar, length)
    }

    /// Appends `token` in lower case; tells whether it has upper-case letters, and whether it has others with a case.
    static func lowercase(_ token: UnsafeRawBufferPointer, into lower: inout [UInt8]) -> (upper: Bool, other: Bool) {
        var seen: UInt8 = 0
        var index = 0
        while index < token.count {
            let (value, length) = decode(token, at: index)
            let flags = caseFlags(of: value)
            seen |= flags
            if flags & changes != 0, let scalar = Unicode.Scalar(value) {
                lower.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            } else {
                lower.append(contentsOf: UnsafeRawBufferPointer(rebasing: token[index..<(index + length)]))
            }
            index += length
        }
        return (seen & upper != 0, seen & other != 0)
    }

    static let upper: UInt8 = 1
    /// Lower case or title case.
    static let other: UInt8 = 2
    /// Its lower case is something else.
    static let changes: UInt8 = 4

    /// The case of a code point. Scripts without one, and emoji, are known by their ranges: Unicode's own tables take
    /// longer than all the rest of a word.
    @inline(__always)
    static func caseFlags(of value: UInt32) -> UInt8 {
        switch value {
        case 0..<0x3000: lowFlags[Int(value)]
        case 0x3000..<0xA640, 0xAC00..<0xD7A4, 0xFE00..<0xFE10, 0x1F200..<0x1FB00: 0
        default: Unicode.Scalar(value).map(computedFlags) ?? 0
        }
    }

    private static let lowFlags = (UInt32(0)..<0x3000).map { Unicode.Scalar($0).map(computedFlags) ?? 0 }

    /// The case of a code point by Unicode's properties.
    static func computedFlags(_ scalar: Unicode.Scalar) -> UInt8 {
        let properties = scalar.properties
        var flags: UInt8 = properties.isUppercase ? upper : 0
        if properties.isLowercase || properties.generalCategory == .titlecaseLetter { flags |= other }
        if !properties.lowercaseMapping.unicodeScalars.elementsEqual([scalar]) { flags |= changes }
        return flags
    }
}
