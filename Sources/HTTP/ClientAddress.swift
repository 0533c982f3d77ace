// SPDX-License-Identifier: Apache-2.0
// Whose request it is, when proxies stand between: X-Forwarded-For and Forwarded (RFC 7239). Pure.

/// The proxies whose word is taken for who the client is.
package struct TrustedProxies: Sendable {
    /// Where they connect from.
    package var ranges: [AddressRange]
    /// Whether their connections begin with a PROXY header; those without one are then closed. From anybody else, such a
    /// header is a malformed request.
    package var sendsProxyHeader: Bool

    package init(_ ranges: [AddressRange] = [], sendsProxyHeader: Bool = false) {
        self.ranges = ranges
        self.sendsProxyHeader = sendsProxyHeader
    }

    func contains(_ address: SocketAddress) -> Bool { ranges.contains { $0.contains(address) } }

    /// The client of a request that came from `peer`.
    ///
    /// Each proxy appends whom it got the request from, so the list is read from its end, for as long as the one who
    /// wrote the entry is trusted: what stands before that may be the client's own invention. `Forwarded` goes before
    /// `X-Forwarded-For`. An entry that is no address (`unknown`, `_hidden`, garbage) ends the walk at whoever sent it.
    func client(of head: RequestHead, from peer: SocketAddress) -> SocketAddress {
        guard !ranges.isEmpty, contains(peer) else { return peer }
        var chain = Self.forwarded(head)
        if chain.isEmpty { chain = Self.xForwardedFor(head) }
        var client = peer
        for entry in chain.reversed() {
            guard let address = entry else { return client }
            client = address
            if !contains(address) { return client }
        }
        return client
    }

    /// The entries of all X-Forwarded-For fields in order; nil where one is no address.
    private static func xForwardedFor(_ head: RequestHead) -> [SocketAddress?] {
        var chain: [SocketAddress?] = []
        for value in head.values(of: "x-forwarded-for") {
            for entry in value.split(separator: ",") { chain.append(node(entry.utf8[...])) }
        }
        return chain
    }

    /// The `for` parameters of all Forwarded fields in order; nil where one is missing or no address.
    private static func forwarded(_ head: RequestHead) -> [SocketAddress?] {
        var chain: [SocketAddress?] = []
        for value in head.values(of: "forwarded") {
            // Neither addresses nor the identifiers of §6 hold a comma or a semicolon, so quoting need not be followed.
            for element in value.split(separator: ",") {
                var entry: SocketAddress?
                for pair in element.split(separator: ";") {
                    let parts = pair.split(separator: "=", maxSplits: 1)
                    guard parts.count == 2, trim(parts[0].utf8[...]).elementsEqual("for".utf8, by: equalIgnoringCase)
                    else {
                        continue
                    }
                    entry = node(parts[1].utf8[...])
                }
                chain.append(entry)
            }
        }
        return chain
    }

    private static func equalIgnoringCase(_ a: UInt8, _ lowercase: UInt8) -> Bool { Byte.lowercased(a) == lowercase }

    private static func trim(_ text: Substring.UTF8View.SubSequence) -> ArraySlice<UInt8> {
        let bytes = Array(text)
        return bytes[bytes.span.trimmed(0..<bytes.count)]
    }

    /// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `"[2001:db8::1]:80"`, `2001:db8::1`.
    private static func node(_ text: Substring.UTF8View.SubSequence) -> SocketAddress? {
        var bytes = trim(text)
        if bytes.count >= 2 && bytes.first == UInt8(ascii: "\"") && bytes.last == UInt8(ascii: "\"") {
            bytes = bytes.dropFirst().dropLast()
        }
        var port = UInt16(0)
        if bytes.first == UInt8(ascii: "[") {
            guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            let rest = bytes[(end + 1)...]
            if !rest.isEmpty {
                guard rest.first == Byte.colon, let number = number(rest.dropFirst()) else { return nil }
                port = number
            }
            bytes = bytes[(bytes.startIndex + 1)..<end]
            guard bytes.contains(Byte.colon) else { return nil }
        } else if let colon = bytes.firstIndex(of: Byte.colon), colon == bytes.lastIndex(of: Byte.colon) {
            guard let number = number(bytes[(colon + 1)...]) else { return nil }
            port = number
            bytes = bytes[..<colon]
        }
        var address = SocketAddress(numeric: Array(bytes))
        address?.port = port
        return address
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt16? {
        guard (1...5).contains(digits.count), digits.allSatisfy(Byte.isDigit) else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self))
    }
}
