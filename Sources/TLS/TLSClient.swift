// SPDX-License-Identifier: Apache-2.0
// The client's side: the server's certificate and its name are always checked.

import COpenSSL
import Glibc

/// What a client needs to speak TLS. There is no way to leave the check of the certificate out: who trusts a
/// self-signed one names its file as an authority.
package final class TLSClient: Sendable {
    private let handle: ContextHandle

    /// - Parameters:
    ///   - authorities: a PEM file of those who may sign servers' certificates; nil for the system's.
    ///   - minimumVersion: the lowest version that is spoken.
    package init(authorities: String? = nil, minimumVersion: TLSVersion = .tls12) throws(TLSError) {
        handle = try ContextHandle(TLS_client_method(), minimum: minimumVersion)
        if let authorities {
            try handle.trust(authorities, setting: "authorities")
        } else if SSL_CTX_set_default_verify_paths(handle.pointer) != 1 {
            throw TLSError(
                .file, "the system's authorities cannot be read", hint: "Install the package ca-certificates.")
        }
        SSL_CTX_set_verify(handle.pointer, SSL_VERIFY_PEER, nil)
        // The length of the name, and the name (RFC 7301 §3.1). Returns 0 where it has worked.
        let offer: [UInt8] = [8] + Array("http/1.1".utf8)
        if SSL_CTX_set_alpn_protos(handle.pointer, offer, CUnsignedInt(offer.count)) != 0 {
            throw TLSError(.failed, "out of memory")
        }
    }

    /// TLS on a connected socket, before its handshake. The certificate must hold `host`, a name or an address.
    package func session(on descriptor: CInt, host: String) throws(TLSError) -> TLSSession {
        let session = try TLSSession(handle.pointer, context: handle, descriptor: descriptor, host: host)
        try session.expect(host)
        return session
    }
}
