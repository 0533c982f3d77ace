// SPDX-License-Identifier: Apache-2.0
// The key of a client, as text and as what is stored of it.

import EventLoop
import TLS

/// A key: `tdk_<id>_<secret>`. The id (12 hexadecimal digits) names it in lists and logs; the secret is 256 random bits
/// in base 64 for URLs. Whoever finds the text in a log or a repository can tell by its beginning what it is.
package struct APIKey: Sendable, Equatable {
    /// Names the key; no secret.
    package let id: String
    /// The whole of it, for the one who will use it.
    package let text: String

    private static let prefix = "tdk_"
    private static let idLength = 12
    /// 32 bytes in base 64.
    private static let secretLength = 43

    /// A new key.
    package init() {
        var random = SystemRandomNumberGenerator()
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in random.next() } }
        let digits = Array("0123456789abcdef".utf8)
        id = String(
            decoding: bytes(Self.idLength / 2).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
        text = "\(Self.prefix)\(id)_\(Base64URL.encode(bytes(32)))"
    }

    /// A key that somebody presents; nil if it has not the form of one.
    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        let idEnd = Self.prefix.utf8.count + Self.idLength
        guard bytes.count == idEnd + 1 + Self.secretLength, bytes.starts(with: Self.prefix.utf8),
            bytes[idEnd] == UInt8(ascii: "_")
        else { return nil }
        let id = bytes[Self.prefix.utf8.count..<idEnd]
        guard id.allSatisfy({ $0 &- 0x30 < 10 || $0 &- 0x61 < 6 }) else { return nil }
        let isText = bytes[(idEnd + 1)...].allSatisfy {
            $0 &- 0x30 < 10 || $0 | 0x20 &- 0x61 < 26 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
        }
        guard isText else { return nil }
        self.id = String(decoding: id, as: UTF8.self)
        self.text = String(text)
    }

    /// What is stored: SHA-256 of the text.
    package var hash: [UInt8] { Digest.sha256(Array(text.utf8)) }
}

/// What a key opens.
package enum KeyScope: String, Sendable, CaseIterable {
    /// SQL over HTTP, and the Presto and Trino protocols.
    case sql
    /// REST, Grafana and the live streams.
    case rest
    /// Everything, and the queries of others.
    case admin
}

/// What a key may, as the store has it.
package struct KeyGrant: Sendable, Equatable {
    package var name: String
    package var scopes: Set<KeyScope>
    /// When it ends by itself, in microseconds since 1970; nil for never.
    package var expiresAt: Int64?
    /// Requests a second in the long run; nil for any.
    package var requestsPerSecond: Double?
    var limits: CallerLimits

    package init(
        name: String, scopes: Set<KeyScope>, expiresAt: Int64? = nil, requestsPerSecond: Double? = nil,
        concurrency: Int? = nil, rows: Int? = nil, bytes: Int? = nil, timeout: Duration? = nil
    ) {
        self.name = name
        self.scopes = scopes
        self.expiresAt = expiresAt
        self.requestsPerSecond = requestsPerSecond
        limits = CallerLimits(concurrency: concurrency, rows: rows, bytes: bytes, timeout: timeout)
    }

    /// Its limits, each in words; empty if it has none of its own.
    package var limitsText: [String] {
        var parts: [String] = []
        if let requestsPerSecond { parts.append("\(requestsPerSecond) requests/s") }
        if let concurrency = limits.concurrency { parts.append("\(concurrency) at once") }
        if let rows = limits.rows { parts.append("\(rows) rows") }
        if let bytes = limits.bytes { parts.append("\(bytes) bytes") }
        if let timeout = limits.timeout { parts.append("\(timeout.inNanoseconds / 1_000_000) ms") }
        return parts
    }
}
