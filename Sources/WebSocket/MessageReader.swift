// SPDX-License-Identifier: Apache-2.0
// Bytes to messages: RFC 6455 §5.4-5.6, §8.1, and RFC 7692. Pure: no I/O, no clock.

/// Text or binary.
package enum MessageKind: Sendable { case text, binary }

/// How much a peer may send. Each bound is inclusive.
package struct MessageLimits: Sendable {
    /// Bytes of payload of one frame (1009).
    package var frameBytes = 1 << 20
    /// Bytes of a message, all its fragments together, inflated (1009).
    package var messageBytes = 4 << 20
    /// Frames of a message (1008): empty ones cost as much as others.
    package var fragments = 16_384

    package init() {}
}

/// Reads messages and control frames of the other side from bytes that come in any pieces. What is wrong is found with
/// the first byte that shows it, and the outcome does not depend on how the bytes are cut.
struct MessageReader {
    enum Event: Equatable {
        /// All bytes are used up.
        case needMore
        /// A message, in ``payload``.
        case message(MessageKind)
        /// A ping, whose bytes are in ``control``.
        case ping
        case pong
        /// A close frame, whose code is ``CloseCode/none`` where it has none; its reason is in ``control``.
        case close(CloseCode)
    }

    /// The message that was read last, until the next call.
    private(set) var payload: [UInt8] = []
    /// The payload of the control frame that was read last, of a close frame without its code.
    private(set) var control: [UInt8] = []

    private let role: Role
    private let limits: MessageLimits
    /// Nil where compression was not agreed on.
    private let codecs: ConnectionCodecs?
    /// That of the message under way, if it is compressed.
    private var inflater: Inflater?

    /// The frame under way, and how much of its payload is still to come.
    private var head: FrameHead?
    private var remaining = 0
    /// The message under way.
    private var kind: MessageKind?
    private var isCompressed = false
    private var fragments = 0
    private var compressedBytes = 0
    private var text = UTF8Check()
    /// A compressed piece, unmasked, on its way to the inflater.
    private var compressed: [UInt8] = []

    init(role: Role, limits: MessageLimits, codecs: ConnectionCodecs? = nil) {
        self.role = role
        self.limits = limits
        self.codecs = codecs
    }

    /// Whether a message or a frame has begun and not ended.
    var isUnderWay: Bool { kind != nil || head != nil }

    /// Goes on at `position`, which it moves; to be called again until it needs more.
    mutating func next(_ input: borrowing Span<UInt8>, _ position: inout Int) throws(WebSocketError) -> Event {
        while true {
            if head == nil {
                guard
                    let (found, size) = try FrameHead.parse(
                        input, at: position, role: role, compression: codecs != nil)
                else { return .needMore }
                try begin(found)
                position += size
            }
            guard let head else { continue }
            let count = min(remaining, input.count - position)
            if count > 0 {
                try take(input.extracting(position..<(position + count)), head)
                position += count
                remaining -= count
            }
            if remaining > 0 { return .needMore }
            self.head = nil
            if let event = try end(head) { return event }
        }
    }

    /// Gives memory back that a large message has taken.
    mutating func trim() {
        if kind == nil && payload.capacity > 64 * 1024 { payload = [] }
        if compressed.capacity > 64 * 1024 { compressed = [] }
    }

    // MARK: Frames

    private mutating func begin(_ found: FrameHead) throws(WebSocketError) {
        switch found.opcode {
        case .close, .ping, .pong: control.removeAll(keepingCapacity: true)
        case .text, .binary:
            if kind != nil { throw .violation("a new message inside the fragments of another") }
            kind = found.opcode == .text ? .text : .binary
            isCompressed = found.isCompressed
            inflater = isCompressed ? codecs?.takeInflater() : nil
            fragments = 0
            compressedBytes = 0
            text = UTF8Check()
            payload.removeAll(keepingCapacity: true)
        case .continuation:
            if kind == nil { throw .violation("a continuation of nothing") }
        }
        if !found.opcode.isControl {
            fragments += 1
            if fragments > limits.fragments {
                throw WebSocketError(
                    .violation(.policyViolation), "a message of more than \(limits.fragments) fragments")
            }
            if found.length > limits.frameBytes { throw .tooBig("a frame of more than \(limits.frameBytes) bytes") }
            let before = isCompressed ? compressedBytes : payload.count
            if found.length > limits.messageBytes - before { throw messageTooBig }
        }
        head = found
        remaining = found.length
    }

    private var messageTooBig: WebSocketError { .tooBig("a message of more than \(limits.messageBytes) bytes") }

    private mutating func take(_ piece: Span<UInt8>, _ head: FrameHead) throws(WebSocketError) {
        let phase = head.length - remaining
        if head.opcode.isControl {
            Self.append(piece, to: &control, head.mask, phase)
            if head.opcode == .close { try checkClose() }
        } else if isCompressed {
            compressed.removeAll(keepingCapacity: true)
            Self.append(piece, to: &compressed, head.mask, phase)
            compressedBytes += piece.count
            try inflate { inflater, input, payload, limit in
                input.withUnsafeBytes { inflater.inflate($0, into: &payload, limit: limit) }
            }
        } else {
            let start = payload.count
            Self.append(piece, to: &payload, head.mask, phase)
            try checkText(from: start)
        }
    }

    private static func append(_ piece: Span<UInt8>, to bytes: inout [UInt8], _ mask: UInt32?, _ phase: Int) {
        let start = bytes.count
        piece.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        if let mask { bytes.applyMask(mask, from: start, phase: phase) }
    }

    private mutating func end(_ head: FrameHead) throws(WebSocketError) -> Event? {
        switch head.opcode {
        case .ping: return .ping
        case .pong: return .pong
        case .close: return .close(try closeCode())
        case .text, .binary, .continuation:
            guard head.isFinal, let kind else { return nil }
            if isCompressed {
                try inflate { inflater, _, payload, limit in inflater.endMessage(into: &payload, limit: limit) }
            }
            if kind == .text && !text.isAtBoundary { throw .invalidText }
            self.kind = nil
            if let inflater { codecs?.give(back: inflater) }
            inflater = nil
            return .message(kind)
        }
    }

    // MARK: Payloads

    private mutating func inflate(
        _ body: (Inflater, [UInt8], inout [UInt8], Int) -> Inflater.Outcome
    ) throws(WebSocketError) {
        guard let inflater else { preconditionFailure("a compressed message without an inflater") }
        let start = payload.count
        let outcome = body(inflater, compressed, &payload, limits.messageBytes)
        // What came out before the end of it comes first, however it was cut.
        try checkText(from: start)
        switch outcome {
        case .good: break
        case .tooBig: throw messageTooBig
        case .broken: throw WebSocketError(.violation(.invalidData), "a compressed message that cannot be inflated")
        }
    }

    private mutating func checkText(from start: Int) throws(WebSocketError) {
        guard kind == .text else { return }
        let isGood = payload.withUnsafeBytes { text.take(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        if !isGood { throw .invalidText }
    }

    /// Code and reason of a close frame as far as they have come (§5.5.1, §7.4).
    private func checkClose() throws(WebSocketError) {
        guard control.count >= 2 else { return }
        let code = CloseCode(rawValue: UInt16(control[0]) << 8 | UInt16(control[1]))
        if !code.mayBeSent { throw .violation("close code \(code.rawValue)") }
        var check = UTF8Check()
        let isGood = control.withUnsafeBytes { check.take(UnsafeRawBufferPointer(rebasing: $0[2...])) }
        if !isGood { throw .invalidText }
    }

    private mutating func closeCode() throws(WebSocketError) -> CloseCode {
        if control.isEmpty { return .none }
        if control.count == 1 { throw .violation("a close frame of one byte") }
        let code = CloseCode(rawValue: UInt16(control[0]) << 8 | UInt16(control[1]))
        var check = UTF8Check()
        let isGood = control.withUnsafeBytes { check.take(UnsafeRawBufferPointer(rebasing: $0[2...])) }
        if !isGood || !check.isAtBoundary { throw .invalidText }
        control.removeFirst(2)
        return code
    }
}
