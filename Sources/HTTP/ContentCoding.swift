// SPDX-License-Identifier: Apache-2.0
// Which compression a client takes (RFC 9110 §12.5.3), and what is worth compressing. Pure.

/// How a body is encoded on its way.
enum ContentCoding: Equatable, CaseIterable {
    case identity, gzip, zstd

    /// Its name in Content-Encoding.
    var name: StaticString {
        switch self {
        case .identity: "identity"
        case .gzip: "gzip"
        case .zstd: "zstd"
        }
    }

    /// The coding for a response to `head`: of those that the client takes, the one it likes best; where it has no
    /// preference, Zstandard (RFC 8878) before gzip before identity. Identity also if it takes nothing that we have: a reply that a client may be able to
    /// read is better than 406, which it would have to read, too.
    static func chosen(for head: RequestHead) -> ContentCoding {
        var weights: [ContentCoding: Int] = [:]
        var other: Int?
        var isGiven = false
        for value in head.values(of: "accept-encoding") {
            for element in value.split(separator: ",") {
                isGiven = true
                let parts = element.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false)
                let name = parts[0].filter { $0 != " " && $0 != "\t" }.lowercased()
                let weight = parts.count == 1 ? 1000 : Self.weight(parts[1])
                switch name {
                case "zstd": weights[.zstd] = weight
                case "gzip", "x-gzip": weights[.gzip] = weight
                case "identity": weights[.identity] = weight
                case "*": other = weight
                default: continue
                }
            }
        }
        // Without the field anything may be sent; most clients that leave it out cannot decode anything.
        if !isGiven { return .identity }
        // "*" is from clients that know nothing newer.
        let zstd = weights[.zstd] ?? 0
        let gzip = weights[.gzip] ?? other ?? 0
        let best = max(zstd, gzip)
        // Identity is acceptable unless it is refused, by itself or by "*;q=0".
        let identity = weights[.identity] ?? (other == 0 ? 0 : nil)
        if best == 0 || best < identity ?? 0 { return .identity }
        return zstd == best ? .zstd : .gzip
    }

    /// `q=0.5` in thousandths (RFC 9110 §12.4.2); 0 for what is none.
    private static func weight(_ parameter: Substring) -> Int {
        let text = parameter.filter { $0 != " " && $0 != "\t" }.lowercased()
        guard text.hasPrefix("q=") else { return 0 }
        let digits = Array(text.utf8.dropFirst(2))
        guard let first = digits.first, first == 0x30 || first == 0x31, digits.count <= 5 else { return 0 }
        guard digits.count == 1 || digits[1] == UInt8(ascii: "."), digits.dropFirst(2).allSatisfy(Byte.isDigit) else {
            return 0
        }
        var weight = Int(first - 0x30)
        for index in 2..<5 { weight = weight * 10 + (index < digits.count ? Int(digits[index] - 0x30) : 0) }
        return min(weight, 1000)
    }

    /// Bytes from which compressing is worth its head and its time: less fits one packet as it is.
    static let minimumBytes = 1024

    /// Whether a response with these fields gets smaller by compression, and may be compressed.
    static func isWorthwhile(_ headers: Headers) -> Bool {
        var isText = false
        for (name, value) in headers.fields {
            if name.equalsIgnoringCase("content-type") {
                isText = isCompressible(value)
            } else if name.equalsIgnoringCase("content-encoding") || name.equalsIgnoringCase("content-range") {
                // Encoded already, or a part of a representation whose bytes are counted as they are.
                return false
            } else if name.equalsIgnoringCase("cache-control") {
                for start in value.utf8.indices
                where value.utf8[start...].starts(withIgnoringCase: "no-transform") { return false }
            }
        }
        return isText
    }

    private static func isCompressible(_ type: String) -> Bool {
        let name = type.utf8.prefix { $0 != UInt8(ascii: ";") && $0 != Byte.space }
        func isNamed(_ lowercase: StaticString) -> Bool {
            name.count == lowercase.utf8CodeUnitCount && name.starts(withIgnoringCase: lowercase)
        }
        if isNamed("application/json") { return true }
        if name.starts(withIgnoringCase: "text/") {
            // Events of a stream are small, and each connection would hold a compressor's memory for hours.
            return !isNamed("text/event-stream")
        }
        if name.suffix(5).starts(withIgnoringCase: "+json") || name.suffix(4).starts(withIgnoringCase: "+xml") {
            return true
        }
        return isNamed("application/x-ndjson") || isNamed("application/javascript") || isNamed("application/xml")
            || isNamed("application/yaml") || isNamed("application/wasm")
    }
}
