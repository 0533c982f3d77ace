// SPDX-License-Identifier: Apache-2.0
// What compresses bodies, and where it waits for the next one.

/// A compressor of bodies, used again and again: made ready by ``reset()``. Loop thread only.
protocol BodyEncoder: AnyObject {
    /// What has been encoded by the last call; the memory is used again.
    var output: [UInt8] { get }

    /// Encodes `input` into ``output``, all of it, so that the receiver can decode as far as it goes.
    func encode(_ input: [UInt8], last: Bool)

    /// Makes ready for another body.
    func reset()
}

extension BodyEncoder {
    /// `output` without its bytes, and without the memory that only a large body needed.
    func emptied(_ output: consuming [UInt8]) -> [UInt8] {
        if output.capacity > 128 * 1024 { return [] }
        output.removeAll(keepingCapacity: true)
        return output
    }
}

/// The encoders of one loop that wait for a body. Loop thread only.
struct EncoderPool {
    private var idle: [ContentCoding: [any BodyEncoder]] = [:]
    /// Most that are kept of each coding; one is a MiB at most.
    static let capacity = 8

    /// - Parameter coding: not ``ContentCoding/identity``.
    mutating func take(_ coding: ContentCoding) -> any BodyEncoder {
        if let encoder = idle[coding]?.popLast() { return encoder }
        return coding == .zstd ? ZstdEncoder() : GzipEncoder()
    }

    mutating func giveBack(_ encoder: any BodyEncoder, _ coding: ContentCoding) {
        guard idle[coding, default: []].count < Self.capacity else { return }
        encoder.reset()
        idle[coding, default: []].append(encoder)
    }
}
