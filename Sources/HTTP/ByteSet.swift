// SPDX-License-Identifier: Apache-2.0
// Sets of ASCII bytes as two machine words, and the sets that HTTP's grammar is made of.

/// A set of ASCII bytes; bytes from 0x80 up are never in it.
struct ByteSet: Equatable {
    /// Bit n: byte n.
    var low: UInt64
    /// Bit n: byte 64 + n.
    var high: UInt64

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let word = byte < 64 ? low : high
        return byte < 128 && (word &>> UInt64(byte & 63)) & 1 == 1
    }

    // Written as words, not built from characters, so that they are constants and not lazily initialised globals;
    // a test builds them again from the characters.

    /// `tchar`, RFC 9110 §5.6.2: methods and field names.
    static let token = ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe)
    /// What we take in a request target: printable ASCII but `#`. Wider than RFC 3986: browsers and curl send
    /// `{ } | ^ "` and backslash unescaped in queries, and none of them can end a line or a target.
    static let target = ByteSet(low: 0xffff_fff6_0000_0000, high: 0x7fff_ffff_ffff_ffff)
    /// `reg-name` and IPv4, RFC 3986 §3.2.2.
    static let registeredName = ByteSet(low: 0x2bff_7ff2_0000_0000, high: 0x47ff_fffe_87ff_fffe)
}

/// The bytes with a meaning of their own in HTTP/1.1.
enum Byte {
    static let tab = UInt8(ascii: "\t")
    static let lineFeed = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let colon = UInt8(ascii: ":")
    static let comma = UInt8(ascii: ",")
    static let semicolon = UInt8(ascii: ";")

    /// `field-vchar`, space, tab, `obs-text` (RFC 9110 §5.5): everything but control bytes.
    @inline(__always)
    static func isFieldContent(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != 0x7f || byte == tab
    }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == space || byte == tab }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    @inline(__always)
    static func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// `unreserved`, RFC 3986 §2.3: the same with and without percent-encoding.
    static func isUnreserved(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20) &- 0x61 < 26
            || [UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~")].contains(byte)
    }

    /// The value of a hexadecimal digit.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        if isDigit(byte) { return byte &- 0x30 }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter + 10 : nil
    }
}
