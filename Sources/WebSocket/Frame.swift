// SPDX-License-Identifier: Apache-2.0
// The head of a frame as bytes and back: RFC 6455 §5.2. Pure.
//
//   byte 0   FIN 0x80, RSV1 0x40, RSV2 0x20, RSV3 0x10, opcode 0x0f
//   byte 1   MASK 0x80, length 0…125, or 126: 2 bytes follow, or 127: 8 bytes follow (big-endian, as short as can be)
//   then     the masking key, 4 bytes, if MASK
//   then     the payload, each byte XOR key[index % 4] if MASK

/// What a frame is (§11.8). 3…7 and 11…15 are reserved, and refused.
package enum Opcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    /// Whether it is about the connection: not fragmented, 125 bytes at most, allowed between the fragments of a message.
    package var isControl: Bool { rawValue >= 8 }
}

/// Whose side of a connection we are on: frames of clients are masked, those of servers are not (§5.1).
package enum Role: Sendable { case client, server }

/// A frame's head.
package struct FrameHead: Sendable, Equatable {
    /// The last frame of its message.
    package var isFinal: Bool
    /// RSV1 of a message's first frame: permessage-deflate (RFC 7692 §6).
    package var isCompressed: Bool
    package var opcode: Opcode
    /// The masking key, its first byte lowest; nil if the payload is not masked.
    package var mask: UInt32?
    /// Bytes of payload.
    package var length: Int

    /// Bytes of the longest head.
    package static let longest = 14
    /// Bytes of payload of the longest control frame (§5.5).
    package static let longestControl = 125

    package init(
        _ opcode: Opcode, length: Int, mask: UInt32? = nil, isFinal: Bool = true, isCompressed: Bool = false
    ) {
        self.opcode = opcode
        self.length = length
        self.mask = mask
        self.isFinal = isFinal
        self.isCompressed = isCompressed
    }

    /// Reads the head that begins at `start`; nil if the bytes do not reach. Each byte is judged as soon as it is there,
    /// so that a frame that will be refused need not be waited for.
    ///
    /// - Parameters:
    ///   - role: ours; the frame is the other's.
    ///   - compression: whether permessage-deflate was agreed on.
    /// - Returns: the head and the number of its bytes.
    static func parse(
        _ input: borrowing Span<UInt8>, at start: Int, role: Role, compression: Bool
    ) throws(WebSocketError) -> (head: FrameHead, size: Int)? {
        let available = input.count - start
        guard available > 0 else { return nil }
        let first = input[start]
        guard let opcode = Opcode(rawValue: first & 0x0f) else { throw .violation("reserved opcode \(first & 0x0f)") }
        if first & 0x30 != 0 { throw .violation("a reserved bit is set") }
        if first & 0x40 != 0 && (!compression || opcode.isControl || opcode == .continuation) {
            throw .violation("the bit for compression is set where it must not be")
        }
        if opcode.isControl && first & 0x80 == 0 { throw .violation("a fragmented control frame") }
        guard available > 1 else { return nil }
        let second = input[start + 1]
        let isMasked = second & 0x80 != 0
        if isMasked != (role == .server) {
            throw .violation(isMasked ? "a server's frame is masked" : "a client's frame is not masked")
        }
        let short = Int(second & 0x7f)
        if opcode.isControl && short > longestControl { throw .violation("a control frame of more than 125 bytes") }
        let extra = short < 126 ? 0 : short == 126 ? 2 : 8
        let size = 2 + extra + (isMasked ? 4 : 0)
        if extra == 8 && available > 2 && input[start + 2] & 0x80 != 0 { throw .violation("a length of 64 bits") }
        guard available >= size else { return nil }
        var length = short
        if extra > 0 {
            length = 0
            for index in 0..<extra { length = length << 8 | Int(input[start + 2 + index]) }
            if length < (extra == 2 ? 126 : 65_536) { throw .violation("a length that is longer than need be") }
        }
        var head = FrameHead(
            opcode, length: length, isFinal: first & 0x80 != 0, isCompressed: first & 0x40 != 0)
        if isMasked {
            var mask: UInt32 = 0
            for index in 0..<4 { mask |= UInt32(input[start + 2 + extra + index]) << UInt32(8 * index) }
            head.mask = mask
        }
        return (head, size)
    }
}

extension [UInt8] {
    /// Adds a frame: its head, and `payload`, masked if the head says so.
    package mutating func appendFrame(_ head: FrameHead, _ payload: borrowing Span<UInt8>) {
        precondition(head.length == payload.count)
        append((head.isFinal ? 0x80 : 0) | (head.isCompressed ? 0x40 : 0) | head.opcode.rawValue)
        let masked: UInt8 = head.mask == nil ? 0 : 0x80
        if head.length < 126 {
            append(masked | UInt8(head.length))
        } else if head.length < 65_536 {
            append(masked | 126)
            append(UInt8(head.length >> 8))
            append(UInt8(truncatingIfNeeded: head.length))
        } else {
            append(masked | 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                append(UInt8(truncatingIfNeeded: head.length >> shift))
            }
        }
        if let mask = head.mask {
            for shift in stride(from: UInt32(0), through: 24, by: 8) {
                append(UInt8(truncatingIfNeeded: mask >> shift))
            }
        }
        let start = count
        payload.withUnsafeBufferPointer { append(contentsOf: $0) }
        if let mask = head.mask { applyMask(mask, from: start, phase: 0) }
    }

    /// XORs everything from index `start` on with the masking key; `phase` bytes of the payload came before. Eight bytes
    /// at a time, which the compiler widens further.
    mutating func applyMask(_ mask: UInt32, from start: Int, phase: Int) {
        let turn = UInt32(phase & 3) * 8
        let key = turn == 0 ? mask : mask >> turn | mask << (32 - turn)
        let wide = UInt64(key) << 32 | UInt64(key)
        withUnsafeMutableBytes { bytes in
            let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[start...])
            var index = 0
            while index + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                bytes.storeBytes(of: word ^ wide.littleEndian, toByteOffset: index, as: UInt64.self)
                index += 8
            }
            while index < bytes.count {
                bytes[index] ^= UInt8(truncatingIfNeeded: key >> UInt32(8 * (index & 3)))
                index += 1
            }
        }
    }
}
