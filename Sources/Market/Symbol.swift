// SPDX-License-Identifier: Apache-2.0

/// The rules of a symbol's name, as in `AAPL`, `BRK.B`, `BINANCE:BTCUSDT`, `IC MARKETS:1`, `EURUSD=X`, `SC/EUR`.
package enum SymbolSyntax {
    /// Longest symbol, in bytes.
    package static let maximumLength = 64

    /// Whether `bytes` are a symbol: 1 to 64 ASCII letters, digits and `. - _ : / ^ = & + @ # $ ! * ~ |`, with single
    /// spaces inside.
    package static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard (1...maximumLength).contains(bytes.count) else { return false }
        guard bytes[0] != space, bytes[bytes.count - 1] != space else { return false }
        var previous: UInt8 = 0
        for byte in bytes {
            if !allowed[Int(byte)] || byte == space && previous == space { return false }
            previous = byte
        }
        return true
    }

    private static let space = UInt8(ascii: " ")

    private static let allowed: [Bool] = {
        var table = [Bool](repeating: false, count: 256)
        let characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:/^=&+@#$!*~| "
        for byte in characters.utf8 { table[Int(byte)] = true }
        return table
    }()
}
