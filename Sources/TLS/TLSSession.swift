// SPDX-License-Identifier: Apache-2.0
// TLS on one connected socket: steps that never block. Whoever owns the socket does the waiting.

import COpenSSL
import Glibc

/// One side of a TLS connection. Used on one thread; it does not own the descriptor, and must not outlive it in use.
///
/// Memory: some 10 KiB of OpenSSL's while idle; buffers of one record each (17 KiB) exist only while a record is
/// incomplete, in either direction.
package final class TLSSession {
    /// What one step came to.
    package enum Step: Sendable, Equatable {
        /// So many bytes of plain text were read or written, at least one; 0 for a handshake that is complete.
        case done(Int)
        /// The socket has nothing more to read now.
        case wantsRead
        /// The socket takes nothing more now. The same step must be tried again, with the same bytes.
        case wantsWrite
        /// The peer has ended: with its close_notify (`clean`), or without, which may be an attacker's doing.
        case ended(clean: Bool)
        case failed(TLSError)
    }

    private let ssl: OpaquePointer
    private let socket: UnsafeMutablePointer<SocketState>
    /// The certificates and tables that OpenSSL's callbacks read, kept for as long as they may be called.
    private let context: AnyObject
    /// The name that the peer's certificate must hold; nil on the server's side.
    private let host: String?
    private var isBroken = false

    /// - Parameters:
    ///   - context: whoever owns `handle`.
    ///   - handle: an `SSL_CTX`, of which the session takes a reference.
    init(_ handle: OpaquePointer, context: AnyObject, descriptor: CInt, host: String?) throws(TLSError) {
        ErrorQueue.clear()
        guard let ssl = SSL_new(handle) else { throw .ofConnection(ErrorQueue.take()) }
        socket = .allocate(capacity: 1)
        socket.initialize(to: SocketState(descriptor: descriptor))
        guard let bio = SocketBIO.make(socket) else {
            SSL_free(ssl)
            socket.deallocate()
            throw TLSError(.failed, "out of memory")
        }
        SSL_set_bio(ssl, bio, bio)
        self.ssl = ssl
        self.context = context
        self.host = host
        if host == nil { SSL_set_accept_state(ssl) } else { SSL_set_connect_state(ssl) }
    }

    deinit {
        SSL_free(ssl)
        socket.deallocate()
    }

    /// The client's side: sets the name that is asked for and checked.
    func expect(_ host: String) throws(TLSError) {
        ErrorQueue.clear()
        let parameters = SSL_get0_param(ssl)
        // An address is not a name: it is not sent (RFC 6066 §3), and looked for among the certificate's addresses.
        var done = X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1
        if !done {
            ErrorQueue.clear()
            // The subject's CN is a name of nothing (RFC 9110 §4.3.4), also where there are no others.
            let flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
            X509_VERIFY_PARAM_set_hostflags(parameters, CUnsignedInt(flags))
            done = tapedeck_set_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1
        }
        if !done { throw TLSError(.wrongHost, "\(host) cannot be the name of a host") }
    }

    // MARK: Steps

    /// Goes on with the handshake; to be called until it is done.
    package func handshake() -> Step {
        if isBroken { return .failed(TLSError(.closed, "the connection is broken")) }
        ErrorQueue.clear()
        let result = SSL_do_handshake(ssl)
        if result == 1 { return .done(0) }
        return step(result)
    }

    /// Reads up to `buffer.count` bytes of plain text.
    package func read(into buffer: UnsafeMutableRawBufferPointer) -> Step {
        if isBroken { return .ended(clean: false) }
        ErrorQueue.clear()
        var count = 0
        let result = SSL_read_ex(ssl, buffer.baseAddress, buffer.count, &count)
        return result == 1 ? .done(count) : step(result)
    }

    /// Writes from the beginning of `bytes`, which are not empty: one record at most. After ``Step/wantsWrite`` the
    /// same bytes, or more that begin with them, must come again.
    package func write(_ bytes: UnsafeRawBufferPointer) -> Step {
        if isBroken { return .ended(clean: false) }
        ErrorQueue.clear()
        var count = 0
        let result = SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count)
        return result == 1 ? .done(count) : step(result)
    }

    /// Says that nothing more will be sent (close_notify), as far as the socket takes it now.
    package func endSending() {
        // Before the handshake is through, and after a failure, there is nothing to end.
        if isBroken || SSL_is_init_finished(ssl) == 0 { return }
        ErrorQueue.clear()
        _ = SSL_shutdown(ssl)
        ErrorQueue.clear()
    }

    /// The socket has been reported readable, or the peer's end has been seen: the next step looks at it again.
    package func becameReadable() { socket.pointee.isDrained = false }

    /// Bytes of a record that fit one write.
    package static let recordBytes = Int(SSL3_RT_MAX_PLAIN_LENGTH)

    private func step(_ result: CInt) -> Step {
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .ended(clean: true)
        case SSL_ERROR_SYSCALL:
            isBroken = true
            ErrorQueue.clear()
            return SSL_is_init_finished(ssl) == 1
                ? .ended(clean: false) : .failed(TLSError(.closed, "the peer broke the connection"))
        default:
            // OpenSSL forbids further calls on it, SSL_shutdown included.
            isBroken = true
            return failure()
        }
    }

    private func failure() -> Step {
        let queued = ErrorQueue.take()
        if SSL_is_init_finished(ssl) == 1 {
            return queued?.reason == SSL_R_UNEXPECTED_EOF_WHILE_READING
                ? .ended(clean: false) : .failed(.ofConnection(queued))
        }
        // A letter: "GET / HTTP/1.1". A handshake begins with 0x16.
        if host == nil, let first = socket.pointee.firstByte, (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first) {
            return .failed(
                TLSError(.plainHTTP, "a plain HTTP request came where TLS is spoken", hint: "Use https://."))
        }
        if queued?.library == ERR_LIB_SSL, queued?.reason == SSL_R_CERTIFICATE_VERIFY_FAILED,
            let why = TLSError.ofVerification(SSL_get_verify_result(ssl), host: host)
        {
            return .failed(why)
        }
        return .failed(.ofConnection(queued))
    }

    // MARK: What was agreed on

    /// `TLSv1.3` or `TLSv1.2`.
    package var version: String { String(cString: SSL_get_version(ssl)) }

    /// The cipher suite, by OpenSSL's name.
    package var cipher: String {
        SSL_get_current_cipher(ssl).flatMap { SSL_CIPHER_get_name($0) }.map { String(cString: $0) } ?? ""
    }

    /// The application protocol that was agreed on (ALPN); nil if the client named none.
    package var applicationProtocol: String? {
        var bytes: UnsafePointer<UInt8>?
        var count: CUnsignedInt = 0
        SSL_get0_alpn_selected(ssl, &bytes, &count)
        return bytes.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self) }
    }

    /// Whether an earlier session was taken up again, without a certificate or a signature.
    package var isResumed: Bool { SSL_session_reused(ssl) == 1 }

    /// The certificate that the peer has shown, and that was verified where ``handshake()`` is done.
    package var peerCertificate: Certificate? {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(certificate) }
        return Certificate(certificate)
    }
}
