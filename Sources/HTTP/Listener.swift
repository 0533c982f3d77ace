// SPDX-License-Identifier: Apache-2.0
// One event loop's share of a server: it accepts, keeps the connections, and lets them end.

import CLinux
import EventLoop
import Glibc

/// Accepts connections on one loop and runs each as a child task there.
final class Listener: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: `let`s are immutable and Sendable or used on the loop's thread; each `var` is
    // touched on the loop's thread only, which the doors, `serve()` and `drain(until:)`, check.

    let loop: EventLoop
    let configuration: Configuration
    let handler: any Handler
    let observer: (any ServerObserver)?
    /// Where each receive of the loop's connections lands first; see ``StreamSocket/receive(into:until:)``.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)

    let openConnections: OpenConnections
    private var descriptor: CInt
    private var registration: Registration?
    private var connections: [ObjectIdentifier: Connection] = [:]
    /// Connection tasks that have not ended, those that only refuse included.
    private var live = 0
    private var headBeginning = HeadBeginning()
    /// For compressed bodies.
    var encoders = EncoderPool()
    private let idleNanoseconds: UInt64
    private var requestID: UInt64
    private let requestIDStep: UInt64

    private(set) var isDraining = false
    private var cutAt = MonotonicTime.distantFuture
    private var hasEnded = false
    /// Whom the timer of the next sweep finds; nobody when the listener does not serve.
    private final class Sweeping { var listener: Listener? }
    private let sweeping = Sweeping()
    private var isServing = false
    /// Whoever waits for a change of `live` or `cutAt`, and whoever waits for the end.
    private var drainWaiter: Waiter?
    private var endWaiters: [Waiter] = []

    init(
        loop: EventLoop, descriptor: CInt, configuration: Configuration, handler: any Handler,
        observer: (any ServerObserver)?, openConnections: OpenConnections, index: Int, of count: Int
    ) {
        self.loop = loop
        self.descriptor = descriptor
        self.configuration = configuration
        self.handler = handler
        self.observer = observer
        self.openConnections = openConnections
        idleNanoseconds = UInt64(clamping: configuration.idleDeadline.inNanoseconds)
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        // Milliseconds above 20 bits: more than a million requests a millisecond would be needed to meet a later run.
        let milliseconds = UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
        requestID = milliseconds << 20 + UInt64(index)
        requestIDStep = UInt64(count)
    }

    deinit {
        closeListening()
        scratch.deallocate()
    }

    // MARK: Serving

    /// Serves until drained; returns when every connection's task has ended. Cancellation cuts everything off.
    func serve() async {
        loop.preconditionOnLoop()
        isServing = true
        sweeping.listener = self
        await withDiscardingTaskGroup { group in
            let cancellation = Waiter()
            group.addTask { await self.cutWhenCancelled(cancellation) }
            scheduleSweep()
            await accept(&group)
            closeListening()
            await waitUntilEmpty()
            for connection in connections.values { connection.cut() }
            group.cancelAll()
            cancellation.resume()
        }
        hasEnded = true
        sweeping.listener = nil
        for waiter in endWaiters { waiter.resume() }
        endWaiters = []
    }

    /// Stops accepting, closes idle connections, gives the others until `deadline`; returns when all are gone.
    func drain(until deadline: MonotonicTime) async {
        loop.preconditionOnLoop()
        isDraining = true
        cutAt = min(cutAt, deadline)
        registration?.cancelWaits()
        for connection in connections.values { connection.closeIfIdle() }
        drainWaiter?.resume()
        guard isServing else { return closeListening() }
        if hasEnded { return }
        let waiter = Waiter()
        endWaiters.append(waiter)
        await withUnsafeContinuation { waiter.arm($0) }
    }

    private func accept(_ group: inout DiscardingTaskGroup) async {
        guard !isDraining else { return }
        do {
            registration = try loop.register(descriptor, mode: .oneShot)
        } catch {
            observer?.acceptFailed("\(error)")
            return
        }
        while !isDraining {
            guard await registration?.readable() == .ready else { return }
            if let error = acceptBatch(&group) {
                observer?.acceptFailed("\(error)")
                // Descriptors come free when connections close; trying at once would only burn the processor.
                try? await loop.sleep(for: .milliseconds(100))
            }
        }
    }

    /// Accepts who waits, some at a time, so that a flood of connections does not keep the loop from serving those
    /// it has. Returns the error if the system is out of something.
    private func acceptBatch(_ group: inout DiscardingTaskGroup) -> SystemError? {
        for _ in 0..<64 {
            switch Accepted.one(from: descriptor) {
            case .connection(let descriptor, let peer): admit(descriptor, peer, &group)
            case .skipped: continue
            case .none: return nil
            case .exhausted(let error): return error
            }
        }
        return nil
    }

    private func admit(_ descriptor: CInt, _ peer: SocketAddress, _ group: inout DiscardingTaskGroup) {
        // Whose connection a proxy brings, its header tells later, or nobody.
        switch openConnections.admit(configuration.proxies.contains(peer) ? nil : peer) {
        case .full:
            observer?.connectionDropped()
            _ = close(descriptor)
        case .refused(let place, let why):
            live += 1
            group.addTask { await self.run(descriptor, peer, place) { await $0.refuse(why) } }
        case .admitted(let place):
            live += 1
            group.addTask { await self.run(descriptor, peer, place) { await $0.run() } }
        }
    }

    /// A connection's task.
    private func run(
        _ descriptor: CInt, _ peer: SocketAddress, _ place: OpenConnections.Place, _ body: (Connection) async -> Void
    ) async {
        var place = place
        do {
            let connection = try Connection(listener: self, descriptor: descriptor, peer: peer, place: place)
            let key = ObjectIdentifier(connection)
            connections[key] = connection
            if MonotonicTime.now() >= cutAt { connection.cut() }
            await body(connection)
            connections[key] = nil
            place = connection.place
        } catch {
            observer?.acceptFailed("\(error)")
        }
        live -= 1
        openConnections.leave(place)
        if live == 0 { drainWaiter?.resume() }
    }

    // MARK: Handlers that take too long

    /// How often handlers are looked at: one timer for the loop instead of one for each request.
    static let sweepInterval = Duration.milliseconds(500)

    private func scheduleSweep() {
        // Deadlines below a second are for tests.
        let interval = min(Self.sweepInterval, configuration.handlerDeadline)
        // Not `[weak self]`: an object to which weak references exist is retained and released more slowly, and every
        // request does both.
        loop.schedule(at: .now() + interval) { [sweeping] in sweeping.listener?.sweep() }
    }

    private func sweep() {
        let now = loop.now
        for connection in connections.values { connection.expireHandler(at: now) }
        scheduleSweep()
    }

    // MARK: Ending

    private func waitUntilEmpty() async {
        while live > 0 && MonotonicTime.now() < cutAt {
            let waiter = Waiter()
            drainWaiter = waiter
            if cutAt != .distantFuture { loop.schedule(at: cutAt) { waiter.resume() } }
            await withUnsafeContinuation { waiter.arm($0) }
        }
        drainWaiter = nil
    }

    private func cutWhenCancelled(_ waiter: Waiter) async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter.arm($0) }
        } onCancel: {
            waiter.resume()
        }
        // Also reached when `serve()` is over, where it does no harm.
        isDraining = true
        cutAt = .init(nanoseconds: 0)
        registration?.cancelWaits()
        drainWaiter?.resume()
    }

    private func closeListening() {
        registration?.deregister()
        registration = nil
        if descriptor >= 0 { _ = close(descriptor) }
        descriptor = -1
    }

    // MARK: For connections

    /// When a connection that is idle from now on is closed; of each request, so in whole numbers.
    var idleDeadline: MonotonicTime {
        let (sum, overflow) = loop.now.nanoseconds.addingReportingOverflow(idleNanoseconds)
        return overflow ? .distantFuture : MonotonicTime(nanoseconds: sum)
    }

    /// Adds the first lines of a response to `head`.
    func beginHead(_ status: Status, _ head: inout [UInt8]) {
        headBeginning.append(status, at: HeadBeginning.now, serverName: configuration.serverName, to: &head)
    }

    func nextRequestID() -> UInt64 {
        requestID &+= requestIDStep
        return requestID
    }
}
