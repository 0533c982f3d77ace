// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol, versions 1 and 2: who a proxy's connection is for. A pure value.
// Source: haproxy's proxy-protocol.txt, sections 2.1 and 2.2.
//
//   v1   "PROXY" SP ("TCP4" | "TCP6") SP source SP destination SP source-port SP destination-port CRLF, 107 bytes at most
//        "PROXY UNKNOWN" … CRLF
//
//   v2   offset  bytes
//        0       12     0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
//        12      1      version (2) in the upper half, command (0 LOCAL, 1 PROXY) in the lower
//        13      1      family (0 unspecified, 1 IPv4, 2 IPv6, 3 Unix) in the upper half, 1 stream or 2 datagram below
//        14      2      bytes that follow, in network order
//        16      …      source, destination (4, 16 or 108 bytes each), both ports (2 bytes each; not for Unix), TLVs

/// What a proxy has sent ahead of the client's own bytes.
package enum ProxyHeader {
    /// What the bytes so far amount to.
    package enum Outcome: Equatable, Sendable {
        case needMore
        /// The header has `length` bytes. The client's address; nil if the proxy does not tell (a health check of its
        /// own), and the connection stands for itself.
        case header(length: Int, client: SocketAddress?)
        /// Neither version 1 nor version 2: the connection is to be closed.
        case malformed
    }

    /// The longest header that is taken. Version 1 fits by itself; addresses of version 2 need 232 bytes at most, the
    /// rest is for TLVs, which are skipped.
    package static let lengthLimit = 1024

    private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    private static let lineLimit = 107

    /// Reads the header at the beginning of `input`, which holds all bytes of the connection so far.
    package static func parse(_ input: ArraySlice<UInt8>) -> Outcome {
        guard let first = input.first else { return .needMore }
        return first == signature[0] ? parseBinary(input) : parseLine(input)
    }

    // MARK: Version 1

    private static func parseLine(_ input: ArraySlice<UInt8>) -> Outcome {
        let prefix = Array("PROXY ".utf8)
        let seen = min(prefix.count, input.count)
        guard input.prefix(seen).elementsEqual(prefix[..<seen]) else { return .malformed }
        guard let lineFeed = input.prefix(lineLimit).firstIndex(of: Byte.lineFeed) else {
            return input.count >= lineLimit ? .malformed : .needMore
        }
        guard lineFeed > input.startIndex, input[lineFeed - 1] == Byte.carriageReturn else { return .malformed }
        let length = lineFeed + 1 - input.startIndex
        let line = input[(input.startIndex + prefix.count)..<(lineFeed - 1)]
        let words = line.split(separator: Byte.space, omittingEmptySubsequences: false)
        // "UNKNOWN", whatever follows (§2.1).
        if words.first.map({ $0.elementsEqual("UNKNOWN".utf8) }) == true { return .header(length: length, client: nil) }
        guard words.count == 5, let family = family(words[0]),
            var source = SocketAddress(numeric: Array(words[1])), isFamily(words[1], family),
            SocketAddress(numeric: Array(words[2])) != nil, isFamily(words[2], family),
            let port = port(words[3]), Self.port(words[4]) != nil
        else { return .malformed }
        source.port = port
        return .header(length: length, client: source)
    }

    private enum Family { case v4, v6 }

    private static func family(_ word: ArraySlice<UInt8>) -> Family? {
        if word.elementsEqual("TCP4".utf8) { return .v4 }
        return word.elementsEqual("TCP6".utf8) ? .v6 : nil
    }

    private static func isFamily(_ word: ArraySlice<UInt8>, _ family: Family) -> Bool {
        word.contains(Byte.colon) == (family == .v6)
    }

    /// A decimal port without leading zeros (§2.1).
    private static func port(_ word: ArraySlice<UInt8>) -> UInt16? {
        guard (1...5).contains(word.count), word.allSatisfy(Byte.isDigit), word.count == 1 || word.first != 0x30 else {
            return nil
        }
        return UInt16(String(decoding: word, as: UTF8.self))
    }

    // MARK: Version 2

    private static func parseBinary(_ input: ArraySlice<UInt8>) -> Outcome {
        let seen = min(signature.count, input.count)
        guard input.prefix(seen).elementsEqual(signature[..<seen]) else { return .malformed }
        guard input.count >= 16 else { return .needMore }
        let header = Array(input.prefix(16))
        guard header[12] >> 4 == 2, header[12] & 0xf <= 1 else { return .malformed }
        let length = 16 + (Int(header[14]) << 8 | Int(header[15]))
        guard length <= lengthLimit else { return .malformed }
        guard input.count >= length else { return .needMore }
        // LOCAL: the proxy's own connection (§2.2); what follows is skipped.
        if header[12] & 0xf == 0 { return .header(length: length, client: nil) }
        let body = input.dropFirst(16).prefix(length - 16)
        let size: Int
        switch header[13] {
        case 0x11: size = 4
        case 0x21: size = 16
        // Unspecified, datagrams and Unix sockets have no address that could stand for a client of ours.
        case 0x00, 0x12, 0x22, 0x31, 0x32: return .header(length: length, client: nil)
        default: return .malformed
        }
        guard body.count >= 2 * size + 4 else { return .malformed }
        let ports = body.startIndex + 2 * size
        let port = UInt16(body[ports]) << 8 | UInt16(body[ports + 1])
        return .header(length: length, client: SocketAddress(bytes: body.prefix(size), port: port))
    }
}
