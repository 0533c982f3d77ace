// SPDX-License-Identifier: Apache-2.0
// Bodies in chunks (RFC 9112 §7.1) to bytes. A pure value.
//
//   chunked-body = *( size-in-hex extensions CRLF data CRLF ) 1*"0" extensions CRLF *( name ":" value CRLF ) CRLF
//   extensions   = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )

/// Takes the chunk framing off a body that comes in any pieces.
///
/// Extensions and trailers are held against their grammar, bounded, and dropped.
package struct ChunkedDecoder: Sendable {
    private enum State: Equatable {
        case size(digits: Int)
        /// After a blank that only a semicolon may follow.
        case blank
        case nameStart, name, blankAfterName, valueStart, value, quoted, escaped, afterQuoted
        case sizeLineFeed
        case data, dataReturn, dataLineFeed
        case trailerStart, trailerName, trailerValue, trailerLineFeed, endLineFeed
        case done
    }

    /// Most bytes of chunk extensions in one body: without a bound, one-byte chunks with long extensions make the
    /// server read far more than the body it counts.
    package static let extensionBytesLimit = 4 * 1024
    /// Most bytes of trailer fields in one body.
    package static let trailerBytesLimit = 8 * 1024
    /// Most digits of a size: 60 bits, which cannot overflow; leading zeros count.
    package static let sizeDigitsLimit = 15

    private var state = State.size(digits: 0)
    private var remaining = 0
    private var extensionBytes = 0
    private var trailerBytes = 0

    package init() {}

    /// Whether the last chunk and the trailers have been read to their end.
    package var isDone: Bool { state == .done }

    /// Decodes `input` from its start, appends the data to `output`, and returns how many bytes were used: all of
    /// them unless the body ended before, or `output` would exceed `limit` bytes.
    package mutating func decode(
        _ input: borrowing Span<UInt8>, into output: inout [UInt8], limit: Int = .max
    ) throws(HTTPError) -> Int {
        var index = 0
        while index < input.count && state != .done {
            if state == .data {
                let count = min(remaining, input.count - index, limit - output.count)
                if count <= 0 { break }
                input.withUnsafeBufferPointer { output.append(contentsOf: $0[index..<index + count]) }
                index += count
                remaining -= count
                if remaining == 0 { state = .dataReturn }
            } else {
                try step(input[index])
                index += 1
            }
        }
        return index
    }

    private mutating func step(_ byte: UInt8) throws(HTTPError) {
        switch state {
        case .size(let digits): try stepSize(byte, digits)
        case .blank, .nameStart, .name, .blankAfterName, .valueStart, .value, .quoted, .escaped, .afterQuoted:
            try stepExtension(byte)
        case .sizeLineFeed:
            try expectLineFeed(byte)
            state = remaining == 0 ? .trailerStart : .data
        case .dataReturn:
            guard byte == Byte.carriageReturn else { throw .malformed("chunk data longer than its size") }
            state = .dataLineFeed
        case .dataLineFeed:
            try expectLineFeed(byte)
            state = .size(digits: 0)
        case .trailerStart, .trailerName, .trailerValue: try stepTrailer(byte)
        case .trailerLineFeed:
            try expectLineFeed(byte)
            state = .trailerStart
        case .endLineFeed:
            try expectLineFeed(byte)
            state = .done
        case .data, .done: break
        }
    }

    private mutating func stepSize(_ byte: UInt8, _ digits: Int) throws(HTTPError) {
        if let value = Byte.hexValue(byte) {
            guard digits < Self.sizeDigitsLimit else { throw Self.invalidSize }
            remaining = (digits == 0 ? 0 : remaining) << 4 | Int(value)
            state = .size(digits: digits + 1)
            return
        }
        guard digits > 0 else { throw Self.invalidSize }
        switch byte {
        case Byte.carriageReturn: state = .sizeLineFeed
        case Byte.semicolon: state = .nameStart
        case Byte.space, Byte.tab: state = .blank
        default: throw Self.invalidSize
        }
    }

    /// RFC 9112 §7.1.1. What ends the line, or seems to, is nowhere part of an extension, quoted or not.
    private mutating func stepExtension(_ byte: UInt8) throws(HTTPError) {
        if byte == Byte.carriageReturn && (state == .name || state == .value || state == .afterQuoted) {
            state = .sizeLineFeed
            return
        }
        extensionBytes += 1
        if extensionBytes > Self.extensionBytesLimit { throw .malformed("too many bytes of chunk extensions") }
        let isToken = ByteSet.token.contains(byte)
        switch state {
        case .blank where Byte.isBlank(byte), .nameStart where Byte.isBlank(byte),
            .blankAfterName where Byte.isBlank(byte),
            .valueStart where Byte.isBlank(byte), .name where isToken, .value where isToken:
            return
        case .nameStart where isToken: state = .name
        case .name where Byte.isBlank(byte): state = .blankAfterName
        case .name where byte == UInt8(ascii: "="), .blankAfterName where byte == UInt8(ascii: "="): state = .valueStart
        case .valueStart where byte == UInt8(ascii: "\""): state = .quoted
        case .valueStart where isToken: state = .value
        case .value where Byte.isBlank(byte), .afterQuoted where Byte.isBlank(byte): state = .blank
        case .quoted where byte == UInt8(ascii: "\""): state = .afterQuoted
        case .quoted where byte == UInt8(ascii: "\\"): state = .escaped
        case .quoted where Byte.isFieldContent(byte), .escaped where Byte.isFieldContent(byte): state = .quoted
        case .blank where byte == Byte.semicolon, .name where byte == Byte.semicolon,
            .blankAfterName where byte == Byte.semicolon, .value where byte == Byte.semicolon,
            .afterQuoted where byte == Byte.semicolon:
            state = .nameStart
        default: throw .malformed("invalid chunk extension")
        }
    }

    private mutating func stepTrailer(_ byte: UInt8) throws(HTTPError) {
        if byte == Byte.carriageReturn && state != .trailerName {
            state = state == .trailerStart ? .endLineFeed : .trailerLineFeed
            return
        }
        trailerBytes += 1
        guard trailerBytes <= Self.trailerBytesLimit else {
            throw HTTPError(.headTooLarge, code: "head_too_large", message: "too many bytes of trailer fields")
        }
        switch state {
        case .trailerName where byte == Byte.colon: state = .trailerValue
        case .trailerStart where ByteSet.token.contains(byte), .trailerName where ByteSet.token.contains(byte):
            state = .trailerName
        case .trailerValue where Byte.isFieldContent(byte): return
        default: throw .malformed("invalid trailer field")
        }
    }

    private func expectLineFeed(_ byte: UInt8) throws(HTTPError) {
        guard byte == Byte.lineFeed else { throw .malformed("a line does not end with CR LF") }
    }

    private static let invalidSize = HTTPError.malformed("invalid chunk size")
}
