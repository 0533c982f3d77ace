// SPDX-License-Identifier: Apache-2.0
// One connected socket: receive and send with deadlines, in plain text or through TLS (``StreamSocket/secure(with:until:)``).

import CLinux
package import EventLoop
import Glibc
import TLS

/// A connected, non-blocking socket that suspends its user while the kernel is not ready. Loop thread only.
package final class StreamSocket: TurnEnding {
    /// What a receive came to.
    package enum Received: Equatable {
        case bytes(Int)
        /// The peer has closed its side, or the connection is broken.
        case end
        case timedOut
        /// ``cancel()`` was called.
        case cancelled
    }

    let descriptor: CInt
    let registration: Registration
    private let loop: EventLoop
    /// What stands between our bytes and the socket's; nil for plain text.
    var tls: TLSSession?
    /// The last receive emptied the kernel's buffer: what comes later is reported anew (edge mode), so the next
    /// receive waits first and one `recv` per request that would only say EAGAIN is saved.
    private var drained = false
    private(set) var cancelled = false
    private var resets = false
    /// What ``sendLater(_:_:_:)`` was given and the kernel has not taken.
    private var gathered: [UInt8] = []
    /// The loop will say when its turn ends.
    private var awaitsTurnEnd = false
    /// Gathered bytes could not be sent: nothing that follows them may be.
    private var isTorn = false
    /// How slowly the peer may take what is sent.
    var pace: Pace

    /// Takes over `descriptor`, which it closes in any case.
    init(descriptor: CInt, loop: EventLoop, pace: Pace) throws(SystemError) {
        self.descriptor = descriptor
        self.loop = loop
        self.pace = pace
        do {
            registration = try loop.register(descriptor, mode: .edge)
        } catch {
            _ = Glibc.close(descriptor)
            throw error
        }
    }

    /// Whether the peer has closed its sending side or the connection is broken.
    package var peerClosed: Bool { registration.peerClosed }

    /// Whether the connection is broken, so that nothing arrives any more.
    package var isBroken: Bool { registration.isBroken }

    /// Called when ``peerClosed`` becomes true, and when ``isBroken`` does.
    package var onPeerClosed: (() -> Void)? {
        get { registration.onPeerClosed }
        set { registration.onPeerClosed = newValue }
    }

    /// Ends waits under way and later ones.
    package func cancel() {
        cancelled = true
        registration.cancelWaits()
    }

    /// Closes the socket; the last thing done with it.
    package func close() {
        gathered = []
        // A reset must not look like an orderly end.
        if !resets { tls?.endSending() }
        registration.deregister()
        _ = Glibc.close(descriptor)
    }

    /// Tells the peer that nothing more will be sent.
    package func endSending() {
        tls?.endSending()
        _ = shutdown(descriptor, CInt(SHUT_WR))
    }

    /// Sends a few bytes while the connection's buffer is empty: it takes all of them or, broken, none.
    func sendAtOnce(_ bytes: StaticString) {
        if !gathered.isEmpty { return }
        let buffer = UnsafeRawBufferPointer(start: bytes.utf8Start, count: bytes.utf8CodeUnitCount)
        guard let tls else {
            _ = Glibc.send(descriptor, buffer.baseAddress, buffer.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
            return
        }
        // A record that went half way would have to be finished before another: nobody would know of it.
        if case .done = tls.write(buffer) { return }
        cancel()
    }

    /// Gives the peer its whole patience again: another transfer begins.
    package func restartPace() { pace.restart() }

    /// Makes the later ``close()`` a reset, which the peer cannot take for an orderly end; unsent bytes are lost.
    func resetOnClose() {
        resets = true
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    /// Receives at least one byte into `buffer`, or says why not. The bytes are there when this returns and the task
    /// has not been suspended since, so `buffer` may be shared by all connections of the loop.
    @inline(__always)
    package func receive(into buffer: UnsafeMutableRawBufferPointer, until deadline: MonotonicTime) async -> Received {
        if !gathered.isEmpty {
            guard await flushed() else { return cancelled ? .cancelled : .end }
        }
        if let tls { return await receive(tls, into: buffer, until: deadline) }
        // After a hang-up no further report will come: read on until the end shows.
        var mustWait = drained && !registration.peerClosed
        while true {
            if cancelled { return .cancelled }
            if mustWait {
                switch await registration.readable(until: deadline) {
                case .ready: break
                case .timedOut: return .timedOut
                case .cancelled: return .cancelled
                }
            }
            let count = retryingInterrupted { recv(descriptor, buffer.baseAddress, buffer.count, 0) }
            if count > 0 {
                drained = count < buffer.count
                return .bytes(count)
            }
            if count == 0 || errno != EAGAIN { return .end }
            mustWait = true
        }
    }

    /// As ``receive(into:until:)``, but what is received stays in the kernel's buffer; returns when it holds more than
    /// `seen` bytes.
    func peek(into buffer: UnsafeMutableRawBufferPointer, beyond seen: Int, until deadline: MonotonicTime) async
        -> Received
    {
        while true {
            if cancelled { return .cancelled }
            let count = retryingInterrupted { recv(descriptor, buffer.baseAddress, buffer.count, CInt(MSG_PEEK)) }
            if count > seen { return .bytes(count) }
            if count == 0 || count < 0 && errno != EAGAIN || registration.peerClosed { return .end }
            switch await registration.readable(until: deadline) {
            case .ready: break
            case .timedOut: return .timedOut
            case .cancelled: return .cancelled
            }
        }
    }

    /// Takes `count` bytes that ``peek(into:beyond:until:)`` has shown out of the kernel's buffer.
    func skip(_ count: Int, with buffer: UnsafeMutableRawBufferPointer) {
        _ = retryingInterrupted { recv(descriptor, buffer.baseAddress, min(count, buffer.count), 0) }
    }

    /// Sends everything, in order. Suspends while the peer is slow, for what ``pace`` allows, and never past `deadline`.
    ///
    /// The first attempt is made in the caller's own frame: nearly every response goes out whole, and then no async
    /// call is made for it.
    @inline(__always)
    package func send(
        _ first: [UInt8], _ second: [UInt8] = [], _ third: StaticString = "",
        deadline: MonotonicTime = .distantFuture
    ) async throws(HTTPError) {
        if !gathered.isEmpty { try await flush() }
        let total = first.count + second.count + third.utf8CodeUnitCount
        let sent = try attempt(first, second, third, skipping: 0)
        if sent < total { try await sendRest(first, second, third, from: sent, of: total, deadline) }
    }

    // MARK: Several answers in one piece

    /// The bytes that are gathered.
    var gatheredCount: Int { gathered.count }

    /// Sends the three parts together with what follows them: before anything else is sent or waited for, and when the
    /// loop's turn ends at the latest. For answers to requests that came together.
    func sendLater(_ first: [UInt8], _ second: [UInt8], _ third: StaticString) {
        gathered.append(contentsOf: first)
        gathered.append(contentsOf: second)
        gathered.append(third)
        if awaitsTurnEnd { return }
        awaitsTurnEnd = true
        loop.atEndOfTurn(self)
    }

    /// Sends what is gathered, as ``send(_:_:_:deadline:)`` does.
    func flush() async throws(HTTPError) {
        let bytes = gathered
        gathered = []
        let sent = try attempt(bytes, [], "", skipping: 0)
        if sent < bytes.count { try await sendRest(bytes, [], "", from: sent, of: bytes.count, .distantFuture) }
    }

    private func flushed() async -> Bool { (try? await flush()) != nil }

    package func turnEnds() {
        awaitsTurnEnd = false
        sendGathered()
    }

    /// Sends what the kernel takes now of what is gathered; the rest goes when it takes more.
    private func sendGathered() {
        if gathered.isEmpty { return }
        do throws(HTTPError) {
            gathered.removeFirst(try attempt(gathered, [], "", skipping: 0))
        } catch {
            // Whoever sends or receives next hears of it.
            isTorn = true
            gathered = []
        }
        if gathered.isEmpty { return gathered = [] }
        registration.onWritable = { [unowned self] in sendGathered() }
    }

    private func sendRest(
        _ first: [UInt8], _ second: [UInt8], _ third: StaticString, from start: Int, of total: Int,
        _ deadline: MonotonicTime
    ) async throws(HTTPError) {
        var sent = start
        while sent < total {
            let begun = MonotonicTime.now()
            switch await registration.writable(until: min(deadline, begun + pace.left)) {
            case .ready:
                let now = MonotonicTime.now()
                if deadline != .distantFuture && now > deadline { throw .writeTimedOut }
                let count = try attempt(first, second, third, skipping: sent)
                pace.note(waited: now - begun, bytes: count)
                sent += count
            case .timedOut: throw .writeTimedOut
            case .cancelled: throw .shutDown
            }
        }
    }

    /// Sends what the kernel takes now, which may be nothing.
    private func attempt(
        _ first: [UInt8], _ second: [UInt8], _ third: StaticString, skipping sent: Int
    ) throws(HTTPError) -> Int {
        if cancelled { throw .shutDown }
        if isTorn { throw .clientGone }
        if let tls { return try attempt(tls, first, second, third, skipping: sent) }
        let count = retryingInterrupted { transmit(first, second, third, skipping: sent) }
        if count >= 0 { return count }
        if errno != EAGAIN { throw .clientGone }
        return 0
    }

    /// One system call with what is left of the three parts. MSG_NOSIGNAL: a peer that is gone is an error here, and
    /// not the SIGPIPE that would end the process.
    private func transmit(_ first: [UInt8], _ second: [UInt8], _ third: StaticString, skipping sent: Int) -> Int {
        let flags = CInt(MSG_NOSIGNAL)
        return first.withUnsafeBytes { first in
            if second.isEmpty && third.utf8CodeUnitCount == 0 {
                return Glibc.send(descriptor, first.baseAddress! + sent, first.count - sent, flags)
            }
            return second.withUnsafeBytes { second in
                let parts = [
                    UnsafeRawBufferPointer(first), UnsafeRawBufferPointer(second),
                    UnsafeRawBufferPointer(start: third.utf8Start, count: third.utf8CodeUnitCount),
                ]
                return withUnsafeTemporaryAllocation(of: iovec.self, capacity: parts.count) { vector in
                    var skip = sent
                    var used = 0
                    for part in parts {
                        let skipped = min(skip, part.count)
                        skip -= skipped
                        if skipped == part.count { continue }
                        vector[used] = iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: part.baseAddress! + skipped),
                            iov_len: part.count - skipped)
                        used += 1
                    }
                    var message = msghdr()
                    message.msg_iov = vector.baseAddress
                    message.msg_iovlen = used
                    return sendmsg(descriptor, &message, flags)
                }
            }
        }
    }
}
