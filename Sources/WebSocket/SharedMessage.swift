// SPDX-License-Identifier: Apache-2.0
// A message for many: encoded once, compressed once.

/// A message that a server sends to many clients. Its frame is made when the first one needs it, and shared by all; so is
/// its compressed form, by all that agreed on the same window and no context. Used on one loop's thread.
package final class SharedMessage {
    package let kind: MessageKind
    package let bytes: [UInt8]
    private let codecs: SharedCodecs
    private var plain: [UInt8]?
    /// By the window's bits.
    private var compressed: [Int: [UInt8]] = [:]

    /// - Parameter codecs: the loop's, for clients that take compressed messages.
    package init(_ kind: MessageKind, _ bytes: [UInt8], codecs: SharedCodecs) {
        self.kind = kind
        self.bytes = bytes
        self.codecs = codecs
    }

    /// The frame for a connection with this agreement; uncompressed where messages refer to those before them, because
    /// such a frame would be for one connection only.
    func frame(_ agreement: CompressionAgreement?, threshold: Int) -> [UInt8] {
        guard let agreement, !agreement.serverKeepsContext, bytes.count >= threshold else { return plainFrame() }
        if let known = compressed[agreement.serverWindowBits] { return known }
        // A span of a class's property may not leave its access.
        let bytes = bytes
        let payload = codecs.deflater(windowBits: agreement.serverWindowBits).deflate(bytes.span)
        let frame = Self.frame(kind, payload, isCompressed: true)
        compressed[agreement.serverWindowBits] = frame
        return frame
    }

    private func plainFrame() -> [UInt8] {
        if let plain { return plain }
        let frame = Self.frame(kind, bytes, isCompressed: false)
        plain = frame
        return frame
    }

    private static func frame(_ kind: MessageKind, _ payload: [UInt8], isCompressed: Bool) -> [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(payload.count + FrameHead.longest)
        frame.appendFrame(
            FrameHead(kind == .text ? .text : .binary, length: payload.count, isCompressed: isCompressed), payload.span)
        return frame
    }
}
