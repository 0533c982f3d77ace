// SPDX-License-Identifier: Apache-2.0
// The same socket through TLS: the session says what it wants, the socket waits for it.

package import EventLoop
package import TLS

extension StreamSocket {
    /// Speaks TLS from now on, as the server's side; returns when the handshake is done.
    ///
    /// - Throws: why it is not. After ``TLSError/Code/plainHTTP`` the socket speaks plain text, so that the client can
    ///   be told; otherwise there is nothing more to do with it than to close it.
    package func secure(with server: TLSServer, until deadline: MonotonicTime) async throws(TLSError) {
        do throws(TLSError) {
            try await handshake(server.session(on: descriptor), until: deadline)
        } catch {
            if error.code == .plainHTTP { tls = nil }
            throw error
        }
    }

    /// Speaks TLS from now on, as the client's side: returns when the server has shown a certificate that is good, and
    /// good for `host`.
    package func secure(with client: TLSClient, host: String, until deadline: MonotonicTime) async throws(TLSError) {
        try await handshake(client.session(on: descriptor, host: host), until: deadline)
    }

    /// The TLS that was agreed on; nil in plain text.
    package var session: TLSSession? { tls }

    private func handshake(_ session: TLSSession, until deadline: MonotonicTime) async throws(TLSError) {
        tls = session
        while true {
            let outcome: Registration.Outcome
            switch session.handshake() {
            case .done: return
            case .failed(let error): throw error
            case .ended: throw TLSError(.closed, "the peer closed the connection during the handshake")
            case .wantsRead:
                // After a hang-up no further report will come.
                outcome = registration.peerClosed ? .ready : await registration.readable(until: deadline)
                session.becameReadable()
            case .wantsWrite: outcome = await registration.writable(until: deadline)
            }
            switch outcome {
            case .ready: if MonotonicTime.now() > deadline { throw Self.handshakeTimedOut }
            case .timedOut: throw Self.handshakeTimedOut
            case .cancelled: throw TLSError(.closed, "the connection was given up")
            }
        }
    }

    private static let handshakeTimedOut = TLSError(.closed, "the TLS handshake took too long")

    /// ``receive(into:until:)`` through TLS.
    func receive(
        _ session: TLSSession, into buffer: UnsafeMutableRawBufferPointer, until deadline: MonotonicTime
    ) async -> Received {
        var limit = deadline
        while true {
            if cancelled { return .cancelled }
            if registration.peerClosed { session.becameReadable() }
            switch session.read(into: buffer) {
            case .done(let count): return .bytes(count)
            case .ended, .failed: return .end
            case .wantsRead:
                if registration.peerClosed { return .end }
                limit = deadline
            case .wantsWrite:
                // The peer has asked for new keys (RFC 8446 §4.6.3) and takes no answer. Somebody may be waiting for the
                // socket to take more already, and only one can: look again in a while.
                limit = min(deadline, .now() + .milliseconds(20))
            }
            switch await registration.readable(until: limit) {
            case .ready: session.becameReadable()
            case .timedOut: if limit == deadline || .now() >= deadline { return .timedOut }
            case .cancelled: return .cancelled
            }
        }
    }

    /// Sends what the socket takes now of the three parts less their first `sent` bytes; returns how many.
    func attempt(
        _ session: TLSSession, _ first: [UInt8], _ second: [UInt8], _ third: StaticString, skipping sent: Int
    ) throws(HTTPError) -> Int {
        if second.isEmpty && third.utf8CodeUnitCount == 0 {
            return try first.span.withUnsafeBytes { bytes throws(HTTPError) in
                var count = 0
                while sent + count < bytes.count {
                    let piece = UnsafeRawBufferPointer(
                        rebasing: bytes[(sent + count)...].prefix(TLSSession.recordBytes))
                    guard let written = try write(session, piece) else { break }
                    count += written
                }
                return count
            }
        }
        // Gathered into whole records: head, body and tail as records of their own would cost more than the copy. What is
        // tried again is gathered again, from the same place, as TLS demands.
        let total = first.count + second.count + third.utf8CodeUnitCount
        return try withUnsafeTemporaryAllocation(byteCount: TLSSession.recordBytes, alignment: 16) {
            record throws(HTTPError) in
            var count = 0
            while sent + count < total {
                let piece = Self.gather(first, second, third, skipping: sent + count, into: record)
                guard let written = try write(session, piece) else { break }
                count += written
            }
            return count
        }
    }

    /// The number of bytes written; nil if the socket takes none now.
    private func write(_ session: TLSSession, _ bytes: UnsafeRawBufferPointer) throws(HTTPError) -> Int? {
        switch session.write(bytes) {
        case .done(let count): return count
        // A write that wants to read waits for the rest of a message of the peer's: the reader's business.
        case .wantsWrite, .wantsRead: return nil
        case .ended, .failed: throw .clientGone
        }
    }

    private static func gather(
        _ first: [UInt8], _ second: [UInt8], _ third: StaticString, skipping: Int,
        into record: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        var skip = skipping
        var filled = 0
        func add(_ part: UnsafeRawBufferPointer) {
            let skipped = min(skip, part.count)
            skip -= skipped
            let count = min(part.count - skipped, record.count - filled)
            if count == 0 { return }
            UnsafeMutableRawBufferPointer(rebasing: record[filled..<(filled + count)])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: part[skipped..<(skipped + count)]))
            filled += count
        }
        first.withUnsafeBytes { add($0) }
        second.withUnsafeBytes { add($0) }
        add(UnsafeRawBufferPointer(start: third.utf8Start, count: third.utf8CodeUnitCount))
        return UnsafeRawBufferPointer(rebasing: record[..<filled])
    }
}
