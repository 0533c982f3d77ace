// SPDX-License-Identifier: Apache-2.0
// Bodies in chunks (RFC 9112 §7.1) to bytes. A pure value.
//
//   chunked-body = *( size-in-hex [ ";" extensions ] CRLF data CRLF ) "0" [ extensions ] CRLF *( trailer CRLF ) CRLF

/// Takes the chunk framing off a body that comes in any pieces.
///
/// Extensions and trailers are checked for forbidden bytes, bounded, and dropped.
package struct ChunkedDecoder: Sendable {
    private enum State: Equatable {
        case size(digits: Int)
        case blankAfterSize, extensions, sizeLineFeed
        case data, dataReturn, dataLineFeed
        case trailerStart, trailer, trailerLineFeed, endLineFeed
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
        case .blankAfterSize:
            // BWS before the semicolon is to be understood (RFC 9112 §7.1.1); alone at the line's end it is not.
            try countExtension()
            if byte == Byte.semicolon { state = .extensions } else if !Byte.isBlank(byte) { throw Self.invalidSize }
        case .extensions:
            if byte == Byte.carriageReturn {
                state = .sizeLineFeed
                return
            }
            try countExtension()
            guard Byte.isFieldContent(byte) else { throw .malformed("control byte in a chunk extension") }
        case .sizeLineFeed:
            try expectLineFeed(byte)
            state = remaining == 0 ? .trailerStart : .data
        case .dataReturn:
            guard byte == Byte.carriageReturn else { throw .malformed("chunk data longer than its size") }
            state = .dataLineFeed
        case .dataLineFeed:
            try expectLineFeed(byte)
            state = .size(digits: 0)
        case .trailerStart, .trailer: try stepTrailer(byte)
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
        case Byte.semicolon: state = .extensions
        case Byte.space, Byte.tab: state = .blankAfterSize
        default: throw Self.invalidSize
        }
    }

    private mutating func stepTrailer(_ byte: UInt8) throws(HTTPError) {
        if byte == Byte.carriageReturn {
            state = state == .trailerStart ? .endLineFeed : .trailerLineFeed
            return
        }
        trailerBytes += 1
        guard trailerBytes <= Self.trailerBytesLimit else {
            throw HTTPError(.headTooLarge, code: "head_too_large", message: "too many bytes of trailer fields")
        }
        let valid = state == .trailerStart ? ByteSet.token.contains(byte) : Byte.isFieldContent(byte)
        guard valid else { throw .malformed("invalid trailer field") }
        state = .trailer
    }

    private mutating func countExtension() throws(HTTPError) {
        extensionBytes += 1
        if extensionBytes > Self.extensionBytesLimit { throw .malformed("too many bytes of chunk extensions") }
    }

    private func expectLineFeed(_ byte: UInt8) throws(HTTPError) {
        guard byte == Byte.lineFeed else { throw .malformed("a line does not end with CR LF") }
    }

    private static let invalidSize = HTTPError.malformed("invalid chunk size")
}
