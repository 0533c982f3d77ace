// SPDX-License-Identifier: Apache-2.0
// Both sides of a connection in one thread, over a socket pair.

import Glibc
import TestSupport

@testable import TLS

final class SessionPair {
    let server: TLSSession
    let client: TLSSession
    private let descriptors: [CInt]
    private var serverFailure: TLSError?
    private var clientFailure: TLSError?

    init(_ server: TLSServer, _ client: TLSClient, host: String) throws {
        var pair: [CInt] = [-1, -1]
        precondition(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
        descriptors = pair
        self.server = try server.session(on: pair[0])
        self.client = try client.session(on: pair[1], host: host)
    }

    deinit { for descriptor in descriptors { _ = close(descriptor) } }

    /// Both sides step until neither can go on; returns what each has failed with.
    func shakeHands() -> (server: TLSError?, client: TLSError?) {
        var failures: (server: TLSError?, client: TLSError?) = (nil, nil)
        var done = (server: false, client: false)
        for _ in 0..<20 where !(done.server && done.client) {
            server.becameReadable()
            client.becameReadable()
            if !done.client { (done.client, failures.client) = Self.outcome(client.handshake()) }
            if !done.server { (done.server, failures.server) = Self.outcome(server.handshake()) }
        }
        return failures
    }

    private static func outcome(_ step: TLSSession.Step) -> (Bool, TLSError?) {
        switch step {
        case .done: (true, nil)
        case .failed(let error): (true, error)
        case .ended: (true, TLSError(.closed, "ended"))
        case .wantsRead, .wantsWrite: (false, nil)
        }
    }

    /// Takes `text` from one side to the other.
    static func carry(_ text: String, from sender: TLSSession, to receiver: TLSSession) -> String {
        let bytes = Array(text.utf8)
        guard case .done(bytes.count) = bytes.withUnsafeBytes({ sender.write($0) }) else { return "not written" }
        receiver.becameReadable()
        var buffer = [UInt8](repeating: 0, count: 1000)
        guard case .done(let count) = buffer.withUnsafeMutableBytes({ receiver.read(into: $0) }) else {
            return "not read"
        }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
