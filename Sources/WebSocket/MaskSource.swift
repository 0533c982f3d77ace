// SPDX-License-Identifier: Apache-2.0
// Masking keys: RFC 6455 §10.3 wants them from a strong source, unpredictable for whoever makes the payload.

import CLinux

/// Random masking keys from the system, fetched many at a time.
struct MaskSource {
    private var keys = [UInt32](repeating: 0, count: 128)
    private var used = 128

    mutating func next() -> UInt32 {
        if used == keys.count {
            keys.withUnsafeMutableBytes { bytes in
                // Up to 256 bytes come whole and without an error (getrandom(2)), but for a signal at boot.
                for start in stride(from: 0, to: bytes.count, by: 256) {
                    let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<min(start + 256, bytes.count)])
                    while getrandom(piece.baseAddress, piece.count, 0) != piece.count {}
                }
            }
            used = 0
        }
        used += 1
        return keys[used - 1]
    }
}
