// SPDX-License-Identifier: Apache-2.0
// Which zlib streams a connection uses: its own where messages refer to those before them, else its loop's.

/// The zlib streams that all connections of a loop share, where compression keeps no context: a stream is some 300 KiB,
/// and most connections are silent most of the time. Used on one loop's thread.
package final class SharedCodecs {
    private let level: Int
    private var inflaters: [Inflater] = []
    /// By the window's bits.
    private var deflaters: [Int: Deflater] = [:]

    /// - Parameter level: zlib's, 1…9.
    package init(level: Int = 1) { self.level = level }

    /// An inflater for one message; to be given back when it has ended.
    func takeInflater() -> Inflater { inflaters.popLast() ?? Inflater(keepsContext: false) }

    /// More than a few are only needed while many messages are under way, in fragments.
    func give(back inflater: Inflater) { if inflaters.count < 8 { inflaters.append(inflater) } }

    func deflater(windowBits: Int) -> Deflater {
        if let known = deflaters[windowBits] { return known }
        let deflater = Deflater(windowBits: windowBits, keepsContext: false, level: level)
        deflaters[windowBits] = deflater
        return deflater
    }
}

/// The two directions of one connection.
final class ConnectionCodecs {
    let agreement: CompressionAgreement
    private let role: Role
    private let level: Int
    private let shared: SharedCodecs
    private var ownInflater: Inflater?
    private var ownDeflater: Deflater?

    init(_ agreement: CompressionAgreement, role: Role, level: Int, shared: SharedCodecs) {
        self.agreement = agreement
        self.role = role
        self.level = level
        self.shared = shared
    }

    private var theyKeepContext: Bool { role == .server ? agreement.clientKeepsContext : agreement.serverKeepsContext }
    private var weKeepContext: Bool { role == .server ? agreement.serverKeepsContext : agreement.clientKeepsContext }

    /// The inflater for a message that begins.
    func takeInflater() -> Inflater {
        if !theyKeepContext { return shared.takeInflater() }
        let inflater = ownInflater ?? Inflater(keepsContext: true)
        ownInflater = inflater
        return inflater
    }

    /// The message has ended.
    func give(back inflater: Inflater) { if !theyKeepContext { shared.give(back: inflater) } }

    /// The compressed form of a message.
    func deflate(_ message: borrowing Span<UInt8>) -> [UInt8] {
        let bits = role == .server ? agreement.serverWindowBits : agreement.clientWindowBits
        if !weKeepContext { return shared.deflater(windowBits: bits).deflate(message) }
        let deflater = ownDeflater ?? Deflater(windowBits: bits, keepsContext: true, level: level)
        ownDeflater = deflater
        return deflater.deflate(message)
    }
}
