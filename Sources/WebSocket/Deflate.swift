// SPDX-License-Identifier: Apache-2.0
// Messages through zlib, as permessage-deflate wants them: raw DEFLATE, ended by a flush whose last four bytes are left
// out (RFC 7692 §7.2).

import CZlib

/// Inflates messages, one piece at a time.
final class Inflater {
    /// What inflating a piece came to.
    enum Outcome: Equatable { case good, tooBig, broken }

    private var stream = z_stream()
    private let keepsContext: Bool

    /// - Parameter keepsContext: whether a message may refer to those before it.
    init(keepsContext: Bool) {
        self.keepsContext = keepsContext
        // 32 KiB of window, whatever smaller one the peer keeps to. Fails only without memory.
        precondition(tapedeck_inflate_init(&stream, -15) == Z_OK, "inflateInit2 failed")
    }

    deinit { inflateEnd(&stream) }

    /// Adds what `input` inflates to to `output`, which may grow to `limit` bytes in all: what a bomb would make of it is
    /// never made.
    func inflate(_ input: UnsafeRawBufferPointer, into output: inout [UInt8], limit: Int) -> Outcome {
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.avail_in = UInt32(input.count)
        while true {
            let (status, made) = step(into: &output, limit: limit)
            if output.count > limit { return .tooBig }
            switch status {
            // A peer may end a block with BFINAL and go on with another (RFC 7692 §7.2.3.5).
            case Z_STREAM_END: if inflateReset(&stream) != Z_OK { return .broken }
            case Z_OK, Z_BUF_ERROR: break
            default: return .broken
            }
            // All is used up, and nothing more came out of it.
            if stream.avail_in == 0 && made < Self.step { return .good }
            if status == Z_BUF_ERROR { return .good }
        }
    }

    /// Ends a message: adds the four bytes that its sender has left out.
    func endMessage(into output: inout [UInt8], limit: Int) -> Outcome {
        let tail: [UInt8] = [0x00, 0x00, 0xFF, 0xFF]
        let outcome = tail.withUnsafeBytes { inflate($0, into: &output, limit: limit) }
        if !keepsContext { inflateReset(&stream) }
        return outcome
    }

    private static let step = 16 * 1024

    private func step(into output: inout [UInt8], limit: Int) -> (status: CInt, made: Int) {
        // One byte above the limit tells too much from just enough.
        let room = min(Self.step, limit - output.count + 1)
        var status: CInt = 0
        let before = output.count
        output.append(addingCapacity: room) { span in
            span.withUnsafeMutableBufferPointer { buffer, count in
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(room)
                status = CZlib.inflate(&stream, Z_SYNC_FLUSH)
                count = room - Int(stream.avail_out)
            }
        }
        return (status, output.count - before)
    }
}

/// Deflates messages, each as a whole.
final class Deflater {
    private var stream = z_stream()
    private let keepsContext: Bool

    /// - Parameters:
    ///   - windowBits: 9…15, the logarithm of the window's size. (zlib makes no raw stream of 8.)
    ///   - keepsContext: whether messages may refer to those before them.
    init(windowBits: Int, keepsContext: Bool, level: Int) {
        precondition((9...15).contains(windowBits))
        self.keepsContext = keepsContext
        precondition(
            tapedeck_deflate_init(&stream, CInt(level), CInt(-windowBits)) == Z_OK, "deflateInit2 failed")
    }

    deinit { deflateEnd(&stream) }

    /// The compressed form of `message`, without the four bytes at its end.
    func deflate(_ message: borrowing Span<UInt8>) -> [UInt8] {
        // Nothing but the first byte of an empty block (§7.2.3.6); zlib makes no second one in a row.
        if message.isEmpty { return [0] }
        var output: [UInt8] = []
        message.withUnsafeBufferPointer { input in
            stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
            stream.avail_in = UInt32(input.count)
            // The bound is for a stream's end; a flush adds less.
            var room = Int(deflateBound(&stream, UInt(input.count))) + 16
            repeat {
                output.append(addingCapacity: room) { span in
                    span.withUnsafeMutableBufferPointer { buffer, count in
                        stream.next_out = buffer.baseAddress
                        stream.avail_out = UInt32(room)
                        let status = CZlib.deflate(&stream, Z_SYNC_FLUSH)
                        precondition(status == Z_OK || status == Z_BUF_ERROR, "deflate failed with \(status)")
                        count = room - Int(stream.avail_out)
                    }
                }
                room = 1024
            } while stream.avail_out == 0
        }
        if !keepsContext { deflateReset(&stream) }
        // The flush has ended it with 00 00 FF FF, which the receiver adds again.
        output.removeLast(4)
        return output
    }
}
