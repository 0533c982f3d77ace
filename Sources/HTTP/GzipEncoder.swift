// SPDX-License-Identifier: Apache-2.0
// Bytes to gzip, piece by piece.

import CZlib

/// A gzip stream (RFC 1952) in the making. Holds about 256 KiB, so a loop uses the same few again and again.
final class GzipEncoder {
    /// What has been encoded by the last call; the memory is used again.
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

    /// Makes ready for another body.
    func reset() {
        deflateReset(stream)
        output.removeAll(keepingCapacity: true)
        // What one large body needed is not kept for ever.
        if output.capacity > 128 * 1024 { output = [] }
    }

    /// Encodes `input` into ``output``, all of it, so that the receiver can decode as far as it goes.
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

/// The encoders of one loop that wait for a body. Loop thread only.
struct EncoderPool {
    private var idle: [GzipEncoder] = []
    /// Most that are kept; each is about 256 KiB.
    static let capacity = 8

    mutating func take() -> GzipEncoder { idle.popLast() ?? GzipEncoder() }

    mutating func giveBack(_ encoder: GzipEncoder) {
        guard idle.count < Self.capacity else { return }
        encoder.reset()
        idle.append(encoder)
    }
}
