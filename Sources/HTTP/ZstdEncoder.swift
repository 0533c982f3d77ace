// SPDX-License-Identifier: Apache-2.0
// Bytes to Zstandard, piece by piece.

import CZstd

/// A Zstandard frame (RFC 8878) in the making. Holds about a MiB, so a loop uses the same few again and again.
final class ZstdEncoder: BodyEncoder {
    private(set) var output: [UInt8] = []

    private let context: OpaquePointer
    /// Rows of text become smaller than by gzip at its lowest level, in less than half its time.
    private static let level: CInt = 1
    /// The window's size, as a power of two: far below what every client must take (8 MiB, RFC 9659 §3).
    private static let windowLog: CInt = 17

    init() {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("out of memory") }
        self.context = context
        for (parameter, value) in [(ZSTD_c_compressionLevel, Self.level), (ZSTD_c_windowLog, Self.windowLog)] {
            let result = ZSTD_CCtx_setParameter(context, parameter, value)
            precondition(ZSTD_isError(result) == 0, "ZSTD_CCtx_setParameter(\(parameter.rawValue))")
        }
    }

    deinit { ZSTD_freeCCtx(context) }

    func reset() {
        ZSTD_CCtx_reset(context, ZSTD_reset_session_only)
        output = emptied(output)
    }

    func encode(_ input: [UInt8], last: Bool) {
        output.removeAll(keepingCapacity: true)
        input.withUnsafeBytes { input in
            var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
            var left = 0
            repeat {
                let room = 16 * 1024
                let start = output.count
                output.append(contentsOf: repeatElement(0, count: room))
                let written = output.withUnsafeMutableBytes { output in
                    var target = ZSTD_outBuffer(dst: output.baseAddress! + start, size: room, pos: 0)
                    left = ZSTD_compressStream2(context, &target, &source, last ? ZSTD_e_end : ZSTD_e_flush)
                    precondition(ZSTD_isError(left) == 0, "ZSTD_compressStream2: \(left)")
                    return target.pos
                }
                output.removeLast(room - written)
                // Bytes that it still holds (zstd.h, ZSTD_compressStream2).
            } while left > 0
        }
    }
}
