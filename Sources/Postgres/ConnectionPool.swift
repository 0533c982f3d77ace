// SPDX-License-Identifier: Apache-2.0

package import EventLoop

/// Connections of one event loop to one server: made when needed, at most so many, lent to one user at a time.
///
/// There is no background task. Whoever needs a connection makes it; whoever returns one puts the session's reset on
/// its way, and the next user reads the outcome, which also proves that the connection is alive.
///
/// Loop-bound like everything here: no locks.
package final class ConnectionPool {
    /// Limits and habits of a pool.
    package struct Settings: Sendable {
        /// Most connections, those being made included.
        package var maximumConnections: Int
        /// Most users waiting for one; the next is refused with kind `.overloaded`.
        package var maximumWaiters: Int
        /// Longest wait of a user who gives no deadline.
        package var checkoutTimeout: Duration
        /// An idle connection is closed after this time.
        package var idleTimeout: Duration
        /// A connection is not lent again after this age, so that a pool finds its way to a new server.
        package var maximumAge: Duration
        /// The pause after a failed connect, doubled with each further failure up to ``maximumBackoff``. Meanwhile
        /// users are refused with the error of the failure.
        package var initialBackoff: Duration
        package var maximumBackoff: Duration
        /// SQL run on each new connection (one script), e.g. `SET ROLE …`.
        package var setup: String?
        /// Called with each new connection before anybody has it, after ``setup``: to look at it, and at what it may do.
        package var inspect: (@Sendable (PostgresConnection) async throws(PostgresError) -> Void)?
        /// SQL that makes the session as new for the next user (one script), run after each use.
        package var reset: String?

        package init(
            maximumConnections: Int, maximumWaiters: Int = 1000, checkoutTimeout: Duration = .seconds(5),
            idleTimeout: Duration = .seconds(60), maximumAge: Duration = .seconds(3600),
            initialBackoff: Duration = .milliseconds(100), maximumBackoff: Duration = .seconds(5),
            setup: String? = nil, reset: String? = nil,
            inspect: (@Sendable (PostgresConnection) async throws(PostgresError) -> Void)? = nil
        ) {
            precondition(maximumConnections > 0 && maximumWaiters >= 0, "a pool needs room for a connection")
            self.maximumConnections = maximumConnections
            self.maximumWaiters = maximumWaiters
            self.checkoutTimeout = checkoutTimeout
            self.idleTimeout = idleTimeout
            self.maximumAge = maximumAge
            self.initialBackoff = initialBackoff
            self.maximumBackoff = maximumBackoff
            self.setup = setup
            self.reset = reset
            self.inspect = inspect
        }

        /// Everything, prepared statements included.
        package static let resetAll = "DISCARD ALL"

        /// What `DISCARD ALL` does, but for the prepared statements, which are what makes reuse fast (PostgreSQL 15
        /// docs, DISCARD).
        package static let resetKeepingPlans = """
            CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
            SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES
            """
    }

    /// What a pool is doing now, and has done.
    package struct Statistics: Sendable, Equatable {
        package var open = 0
        package var idle = 0
        package var connecting = 0
        package var waiting = 0
        /// Since the start, as all that follow.
        package var checkouts = 0
        package var connects = 0
        package var connectFailures = 0
        /// Users refused because the queue was full.
        package var refused = 0
        /// Users who waited in vain.
        package var timeouts = 0
        /// Idle connections that turned out to be dead.
        package var foundDead = 0

        package init() {}
    }

    package let connectionSettings: ConnectionSettings
    package let settings: Settings
    private let loop: EventLoop

    private var idle: [(connection: PostgresConnection, since: MonotonicTime)] = []
    /// Lent to users, by identity.
    private var lent: [ObjectIdentifier: PostgresConnection] = [:]
    private var connecting = 0
    private var queue = WaiterQueue()
    private var counters = Statistics()
    private var backoff: (until: MonotonicTime, pause: Duration, error: PostgresError)?
    private var isClosed = false
    private var closeWaiter: Waiter?
    private var reaperIsScheduled = false

    /// Makes an empty pool; it connects when somebody needs a connection.
    package init(_ connectionSettings: ConnectionSettings, on loop: EventLoop, settings: Settings) {
        self.connectionSettings = connectionSettings
        self.settings = settings
        self.loop = loop
    }

    package var statistics: Statistics {
        var statistics = counters
        statistics.idle = idle.count
        statistics.open = idle.count + lent.count
        statistics.connecting = connecting
        statistics.waiting = queue.count
        return statistics
    }

    // MARK: Lending

    /// Lends a connection to `body` for as long as it runs, on the loop's thread.
    ///
    /// Waits at most until `deadline` for one, first come first served. Throws kind `.timeout` if none comes free,
    /// `.overloaded` if too many wait already, the connect error if the server cannot be reached, and what `body`
    /// throws. A transaction that `body` left open is rolled back.
    package func withConnection<T>(
        deadline: MonotonicTime? = nil, _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        let connection = try await checkout(deadline: deadline)
        do {
            let value = try await body(connection)
            await giveBack(connection)
            return value
        } catch {
            await giveBack(connection)
            throw error
        }
    }

    /// Borrows a connection; every one must come back through ``giveBack(_:)``. ``withConnection(deadline:_:)`` is the
    /// way that cannot forget it.
    package func checkout(deadline: MonotonicTime? = nil) async throws(PostgresError) -> PostgresConnection {
        loop.preconditionOnLoop()
        let deadline = deadline ?? .now() + settings.checkoutTimeout
        if isClosed { throw Self.closedError }
        // Nobody overtakes those who wait.
        if queue.isEmpty {
            if let connection = await takeIdle(deadline) { return connection }
            if hasRoom {
                connecting += 1
                return try await connect(deadline)
            }
        }
        return try await wait(deadline)
    }

    /// An idle connection that is alive; the most recently used one, so that surplus ones grow old.
    private func takeIdle(_ deadline: MonotonicTime) async -> PostgresConnection? {
        while let (connection, _) = idle.popLast() {
            lend(connection)
            if await connection.isReady(deadline: deadline) { return connection }
            counters.foundDead += 1
            drop(connection)
        }
        return nil
    }

    private var hasRoom: Bool { !isClosed && lent.count + idle.count + connecting < settings.maximumConnections }

    private func lend(_ connection: PostgresConnection) {
        lent[ObjectIdentifier(connection)] = connection
        counters.checkouts += 1
    }

    /// Makes a connection for the caller, for whom room has been claimed by adding one to `connecting`.
    private func connect(_ deadline: MonotonicTime) async throws(PostgresError) -> PostgresConnection {
        let connection: PostgresConnection
        do throws(PostgresError) {
            if let backoff, backoff.until > .now() { throw backoff.error }
            // With the pool's patience and not the caller's: whoever comes next can use what he would not wait for.
            connection = try await makeConnection(max(deadline, .now() + connectionSettings.connectTimeout))
        } catch {
            connecting -= 1
            connectFailed(error)
            throw error
        }
        connecting -= 1
        if isClosed {
            connection.close()
            finishClosing()
            throw Self.closedError
        }
        counters.connects += 1
        backoff = nil
        lend(connection)
        // Whoever waits because of an earlier failure may try now.
        passOn()
        return connection
    }

    private func makeConnection(_ deadline: MonotonicTime) async throws(PostgresError) -> PostgresConnection {
        let connection = try await PostgresConnection.connect(connectionSettings, on: loop, deadline: deadline)
        do {
            if let setup = settings.setup { try await connection.script(setup, deadline: deadline) }
            if let inspect = settings.inspect { try await inspect(connection) }
            return connection
        } catch {
            connection.close()
            throw error
        }
    }

    private func connectFailed(_ error: PostgresError) {
        finishClosing()
        // The caller's own impatience says nothing about the server.
        if error.kind == .cancelled { return passOn() }
        if backoff.map({ $0.until <= .now() }) ?? true {
            counters.connectFailures += 1
            let pause = backoff.map { min($0.pause * 2, settings.maximumBackoff) } ?? settings.initialBackoff
            let until = MonotonicTime.now() + pause
            backoff = (until, pause, error)
            loop.schedule(at: until) { [weak self] in self?.passOn() }
        }
        // With no connection that could come free, waiting is in vain.
        if lent.isEmpty && connecting == 0 { queue.resumeAll(.failure(error)) }
    }

    /// Stands in the queue; is then given a connection, or the right to make one.
    private func wait(_ deadline: MonotonicTime) async throws(PostgresError) -> PostgresConnection {
        if queue.count >= settings.maximumWaiters {
            counters.refused += 1
            throw PostgresError(
                .overloaded, "too many requests wait for a database connection",
                hint: "\(settings.maximumConnections) connections are busy and \(queue.count) requests wait.")
        }
        let started = MonotonicTime.now()
        switch await outcomeOfWait(deadline) {
        case .connection(let connection):
            if await connection.isReady(deadline: deadline) {
                counters.checkouts += 1
                return connection
            }
            counters.foundDead += 1
            // The dead connection's place is taken at once, so that nobody else gets it in between.
            connecting += 1
            drop(connection)
            return try await connect(deadline)
        case .mayConnect: return try await connect(deadline)
        case .failure(let error): throw error
        case .timedOut:
            counters.timeouts += 1
            let waited = (MonotonicTime.now() - started).inNanoseconds / 1_000_000
            throw PostgresError(.timeout, "no database connection came free within \(waited) ms")
        case .cancelled:
            throw PostgresError(.cancelled, "the task was cancelled while waiting for a database connection")
        }
    }

    private func outcomeOfWait(_ deadline: MonotonicTime) async -> WaiterQueue.Outcome {
        let entry = WaiterQueue.Entry()
        let waiter = entry.waiter
        queue.append(entry)
        loop.schedule(at: deadline) { waiter.resume() }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter.arm($0) }
        } onCancel: {
            waiter.resume()
        }
        // Something may have been handed over between the deadline and now: then it is ours.
        if let outcome = entry.outcome { return outcome }
        queue.remove(entry)
        return Task.isCancelled ? .cancelled : .timedOut
    }

    // MARK: Coming back

    /// Takes a connection back: rolls back what is open, resets the session, and hands it to the next user.
    package func giveBack(_ connection: PostgresConnection) async {
        loop.preconditionOnLoop()
        precondition(lent[ObjectIdentifier(connection)] != nil, "a connection that this pool has not lent")
        connection.endLease()
        let usable = await connection.becomeReusable(reset: settings.reset)
        let expired = connection.createdAt + settings.maximumAge < .now()
        if !usable || expired || isClosed { return drop(connection) }
        if queue.resumeFirst(.connection(connection)) { return }
        lent[ObjectIdentifier(connection)] = nil
        idle.append((connection, .now()))
        scheduleReaper()
    }

    /// Closes a connection and lets somebody else make one in its place.
    private func drop(_ connection: PostgresConnection) {
        lent[ObjectIdentifier(connection)] = nil
        connection.close()
        passOn()
        finishClosing()
    }

    /// Room has come up: the first in the queue may make a connection.
    private func passOn() {
        if queue.isEmpty || !hasRoom { return }
        if let backoff, backoff.until > .now() { return }
        connecting += 1
        _ = queue.resumeFirst(.mayConnect)
    }

    // MARK: Growing old

    private func scheduleReaper() {
        if reaperIsScheduled || idle.isEmpty { return }
        reaperIsScheduled = true
        loop.schedule(at: idle[0].since + settings.idleTimeout) { [weak self] in
            self?.reaperIsScheduled = false
            self?.closeIdle(since: .now())
        }
    }

    /// Closes what has been idle for too long; the oldest stand first.
    private func closeIdle(since now: MonotonicTime) {
        let kept = idle.firstIndex { $0.since + settings.idleTimeout > now } ?? idle.count
        for (connection, _) in idle[..<kept] { connection.close() }
        idle.removeSubrange(..<kept)
        scheduleReaper()
    }

    // MARK: Closing

    private static let closedError = PostgresError(.connection, "the pool is closed")

    /// Refuses new users, waits until `deadline` for those who have a connection, then closes everything.
    package func close(deadline: MonotonicTime? = nil) async {
        loop.preconditionOnLoop()
        isClosed = true
        queue.resumeAll(.failure(Self.closedError))
        for (connection, _) in idle { connection.close() }
        idle.removeAll()
        if !lent.isEmpty || connecting > 0 {
            let waiter = Waiter()
            closeWaiter = waiter
            loop.schedule(at: deadline ?? .now() + settings.checkoutTimeout) { waiter.resume() }
            await withUnsafeContinuation { waiter.arm($0) }
        }
        // Their users get kind `.connection` and give back a dead connection.
        for connection in lent.values { connection.close() }
    }

    private func finishClosing() {
        if isClosed && lent.isEmpty && connecting == 0 { closeWaiter?.resume() }
    }
}
