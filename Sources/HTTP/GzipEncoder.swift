// SPDX-License-Identifier: Apache-2.0
// Bytes to gzip, piece by piece.

import CZlib

/// A gzip stream (RFC 1952) in the making. Holds about 256 KiB, so a loop uses the same few again and again.
final class GzipEncoder: BodyEncoder {
    private(set) var output: [UInt8] = []

    private let stream: UnsafeMutablePointer<z_stream>
    /// Rows of text compress to a fifth at the lowest level, and higher ones take several times as long for little more.
    private static let level: CInt = 1

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 15 window bits + 16: a gzip wrapper.
        let result = tapedeck_deflate_init(stream, Self.level, 15 + 16)
        precondition(result == Z_OK, "deflateInit2: \(result)")
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    func reset() {
        deflateReset(stream)
        output = emptied(output)
    }

    func encode(_ input: [UInt8], last: Bool) {
        output.removeAll(keepingCapacity: true)
        input.withUnsafeBufferPointer { input in
            stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
            stream.pointee.avail_in = uInt(input.count)
            repeat {
                let room = 16 * 1024
                let start = output.count
                output.append(contentsOf: repeatElement(0, count: room))
                output.withUnsafeMutableBufferPointer { output in
                    stream.pointee.next_out = output.baseAddress! + start
                    stream.pointee.avail_out = uInt(room)
                    let result = deflate(stream, last ? Z_FINISH : Z_SYNC_FLUSH)
                    precondition(result != Z_STREAM_ERROR, "deflate: \(result)")
                }
                output.removeLast(Int(stream.pointee.avail_out))
                // Room that is left means that nothing is left to write (zlib.h, deflate).
            } while stream.pointee.avail_out == 0
        }
        stream.pointee.next_in = nil
    }
}
