// SPDX-License-Identifier: Apache-2.0
// How OpenSSL reaches the socket: a BIO that calls recv and send.
//
// OpenSSL's own socket BIO uses write(2), which raises SIGPIPE when the peer is gone, and cannot say that the kernel's
// buffer is empty, which saves one system call for each request.

import COpenSSL
import Glibc

/// What the BIO knows of its socket. Allocated by the session, which outlives the BIO.
struct SocketState {
    let descriptor: CInt
    /// The last receive emptied the kernel's buffer, and no readiness has been reported since.
    var isDrained = false
    /// The peer's end was received.
    var hasEnded = false
    /// The very first byte received: tells a TLS client from one that speaks plain HTTP.
    var firstByte: UInt8?

    init(descriptor: CInt) { self.descriptor = descriptor }
}

enum SocketBIO {
    /// The BIO's methods: made once, for the life of the process.
    // Rule for `nonisolated(unsafe)`: written by this initialiser only, which runs once; BIO_METHOD is read-only after.
    nonisolated(unsafe) private static let method: OpaquePointer = {
        let kind = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR
        guard let method = BIO_meth_new(kind, "tapedeck socket") else { preconditionFailure("out of memory") }
        BIO_meth_set_read(method) { bio, buffer, count in SocketBIO.receive(bio, buffer, count) }
        BIO_meth_set_write(method) { bio, buffer, count in SocketBIO.send(bio, buffer, count) }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in SocketBIO.control(bio, command) }
        return method
    }()

    /// A BIO on `state`, which must outlive it; owned by the caller.
    static func make(_ state: UnsafeMutablePointer<SocketState>) -> OpaquePointer? {
        guard let bio = BIO_new(method) else { return nil }
        BIO_set_data(bio, state)
        BIO_set_init(bio, 1)
        return bio
    }

    private static func state(_ bio: OpaquePointer?) -> UnsafeMutablePointer<SocketState> {
        BIO_get_data(bio).assumingMemoryBound(to: SocketState.self)
    }

    private static func receive(_ bio: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ count: CInt) -> CInt {
        let state = state(bio)
        tapedeck_bio_clear_retry(bio)
        if state.pointee.isDrained {
            tapedeck_bio_retry_read(bio)
            return -1
        }
        while true {
            let received = recv(state.pointee.descriptor, buffer, Int(count), 0)
            if received > 0 {
                state.pointee.isDrained = received < Int(count)
                if state.pointee.firstByte == nil, let first = buffer?.pointee {
                    state.pointee.firstByte = UInt8(bitPattern: first)
                }
                return CInt(received)
            }
            if received == 0 {
                state.pointee.hasEnded = true
                return 0
            }
            if errno == EINTR { continue }
            if errno == EAGAIN {
                state.pointee.isDrained = true
                tapedeck_bio_retry_read(bio)
            }
            return -1
        }
    }

    private static func send(_ bio: OpaquePointer?, _ buffer: UnsafePointer<CChar>?, _ count: CInt) -> CInt {
        let descriptor = state(bio).pointee.descriptor
        tapedeck_bio_clear_retry(bio)
        while true {
            let sent = Glibc.send(descriptor, buffer, Int(count), CInt(MSG_NOSIGNAL))
            if sent >= 0 { return CInt(sent) }
            if errno == EINTR { continue }
            if errno == EAGAIN { tapedeck_bio_retry_write(bio) }
            return -1
        }
    }

    private static func control(_ bio: OpaquePointer?, _ command: CInt) -> Int {
        switch command {
        case BIO_CTRL_FLUSH: 1
        case BIO_CTRL_EOF: state(bio).pointee.hasEnded ? 1 : 0
        default: 0
        }
    }
}
