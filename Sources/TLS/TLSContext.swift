// SPDX-License-Identifier: Apache-2.0
// What the contexts of both sides have in common.

import COpenSSL
import Glibc

/// The lowest version of TLS that is spoken. (1.0 and 1.1 are out of use: RFC 8996.)
package enum TLSVersion: String, Sendable, CaseIterable {
    case tls12 = "1.2"
    case tls13 = "1.3"

    var number: CInt { self == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION }
}

/// An `SSL_CTX`, freed with the object. Made and filled by one thread, then only read.
final class ContextHandle: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: OpenSSL counts references and locks caches of a context itself; nothing else is
    // changed once the owner has been handed out.

    let pointer: OpaquePointer

    init(_ method: OpaquePointer, minimum: TLSVersion) throws(TLSError) {
        ErrorQueue.clear()
        guard let pointer = SSL_CTX_new(method) else { throw .ofConnection(ErrorQueue.take()) }
        self.pointer = pointer
        // A partial write ends after one record; the buffers of an idle connection are given back; a read takes what
        // the kernel has, not a record's head first.
        tapedeck_ctx_set_mode(
            pointer,
            Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS))
        tapedeck_ctx_set_read_ahead(pointer, 1)
        tapedeck_ctx_set_safe_options(pointer)
        // Forward secrecy and authenticated encryption only: Mozilla's intermediate list without finite-field DHE.
        guard tapedeck_ctx_set_min_version(pointer, minimum.number) == 1,
            SSL_CTX_set_cipher_list(pointer, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") == 1,
            tapedeck_ctx_set_groups(pointer, "X25519:P-256:P-384") == 1
        else { throw .ofConnection(ErrorQueue.take()) }
        // Bytes of a peer's chain of certificates.
        tapedeck_ctx_set_max_cert_list(pointer, 64 * 1024)
    }

    deinit { SSL_CTX_free(pointer) }

    /// Takes the certificates in `path` (PEM) as the authorities that may sign the peer's.
    func trust(_ path: String, setting: String) throws(TLSError) {
        try Self.checkReadable(path, "the authorities' certificates (\(setting))")
        ErrorQueue.clear()
        guard SSL_CTX_load_verify_file(pointer, path) == 1 else {
            _ = ErrorQueue.take()
            throw TLSError(.file, "\(path) holds no certificate (\(setting))", hint: "It has to be a PEM file.")
        }
    }

    /// OpenSSL's own words for a missing file are not for people.
    static func checkReadable(_ path: String, _ what: String) throws(TLSError) {
        if access(path, R_OK) != 0 {
            let why = String(cString: strerror(errno))
            throw TLSError(.file, "\(path) cannot be read: \(why)", hint: "It should hold \(what).")
        }
    }
}
