// SPDX-License-Identifier: Apache-2.0
// Digests by OpenSSL, of which this module is the one importer.

import COpenSSL

/// Digests of bytes that are there as a whole.
package enum Digest {
    /// SHA-1 (20 bytes): for protocols that prescribe it (RFC 6455), never for security.
    package static func sha1(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, EVP_sha1(), 20) }

    /// SHA-256 (32 bytes).
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, EVP_sha256(), 32) }

    private static func digest(_ bytes: [UInt8], _ algorithm: OpaquePointer?, _ size: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            var written: CUnsignedInt = 0
            let done = EVP_Digest(bytes, bytes.count, buffer.baseAddress, &written, algorithm, nil)
            // It fails only where OpenSSL was built without the algorithm, or is out of memory.
            precondition(done == 1 && Int(written) == size, "EVP_Digest failed")
            count = size
        }
    }
}
