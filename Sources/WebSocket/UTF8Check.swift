// SPDX-License-Identifier: Apache-2.0
// UTF-8 in pieces: the Unicode Standard, table 3-7 (well-formed byte sequences). Pure.

/// Checks bytes that come in any pieces; wrong ones are found with the first byte that cannot be right.
struct UTF8Check: Equatable {
    /// Continuation bytes that the character under way still needs.
    private var needed = 0
    /// What the next one may be: the second byte of some characters has a narrower range (overlong forms, surrogates,
    /// beyond U+10FFFF).
    private var lower: UInt8 = 0x80
    private var upper: UInt8 = 0xBF

    /// Whether the text so far ends with a whole character.
    var isAtBoundary: Bool { needed == 0 }

    /// Takes the next bytes; false if the text cannot become UTF-8 any more.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            if needed == 0 {
                // ASCII, eight bytes at a time.
                while index + 8 <= bytes.count,
                    bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
                {
                    index += 8
                }
                if index == bytes.count { break }
            }
            if !take(bytes[index]) { return false }
            index += 1
        }
        return true
    }

    @inline(__always)
    private mutating func take(_ byte: UInt8) -> Bool {
        if needed > 0 {
            guard lower <= byte && byte <= upper else { return false }
            needed -= 1
            (lower, upper) = (0x80, 0xBF)
            return true
        }
        switch byte {
        case 0x00...0x7F: return true
        case 0xC2...0xDF: needed = 1
        case 0xE0: (needed, lower) = (2, 0xA0)
        case 0xE1...0xEC, 0xEE...0xEF: needed = 2
        case 0xED: (needed, upper) = (2, 0x9F)
        case 0xF0: (needed, lower) = (3, 0x90)
        case 0xF1...0xF3: needed = 3
        case 0xF4: (needed, upper) = (3, 0x8F)
        default: return false
        }
        return true
    }
}
