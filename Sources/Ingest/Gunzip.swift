// SPDX-License-Identifier: Apache-2.0

import CZlib

/// A streaming gzip decoder (RFC 1952), several members in a row included, as `gzip` and `pigz` write them.
final class Gunzip {
    /// Why decoding stopped.
    enum Failure: Error {
        case corrupt(String)
    }

    private let stream: UnsafeMutablePointer<z_stream>
    /// Whether the last member has ended with its checksum right, and another may begin.
    private(set) var isBetweenMembers = false

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 15 window bits + 16: a gzip wrapper and no other.
        let result = tapedeck_inflate_init(stream, 15 + 16)
        precondition(result == Z_OK, "inflateInit2: \(result)")
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Decodes from `input` into `output`; returns how much of each was used.
    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(Failure) -> (consumed: Int, produced: Int) {
        if input.isEmpty { return (0, 0) }
        if isBetweenMembers {
            inflateReset(stream)
            isBetweenMembers = false
        }
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress!.assumingMemoryBound(to: Bytef.self))
        stream.pointee.avail_in = uInt(input.count)
        stream.pointee.next_out = output.baseAddress!.assumingMemoryBound(to: Bytef.self)
        stream.pointee.avail_out = uInt(output.count)
        let result = inflate(stream, Z_NO_FLUSH)
        switch result {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: isBetweenMembers = true
        default:
            throw .corrupt(stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(result)")
        }
        return (input.count - Int(stream.pointee.avail_in), output.count - Int(stream.pointee.avail_out))
    }
}
