// SPDX-License-Identifier: Apache-2.0

import EventLog
import Logging
import Market
import Metrics
import Synchronization

/// The way of one source's appends: to the log, or, from the moment that the log does not take one in time, to the
/// spool, from which they go to the log in their order as soon as it takes them again.
actor DeliveryQueue {
    /// How long the log may take for an append before the spool has it, and pauses between attempts.
    struct Patience: Sendable {
        var append = Duration.seconds(2)
        var firstPause = Duration.milliseconds(100)
        var longestPause = Duration.seconds(2)
    }

    /// What became of an append.
    enum Outcome: Sendable { case delivered, spooled, refused }

    private let log: any EventLog
    private let spool: Spool
    private let patience: Patience
    private let logger: Logger
    private let metrics: SourceMetrics?
    /// Whether appends go to the spool, because older ones wait there.
    private(set) var isSpooling: Bool
    /// Spooled appends whose first attempt has not come back yet: it may still succeed.
    private var attempts: [Int64: Attempt] = [:]
    private var drainer: Task<Void, Never>?

    init(
        log: any EventLog, spool: Spool, patience: Patience, logger: Logger, metrics: SourceMetrics?
    ) {
        self.log = log
        self.spool = spool
        self.patience = patience
        self.logger = logger
        self.metrics = metrics
        isSpooling = spool.content.appends > 0
        metrics?.show(spool.content)
    }

    /// Begins with what an earlier process has left in the spool.
    func start() {
        if !isSpooling { return }
        logger.notice("the spool holds \(spool.content.records) records of an earlier run; they go to the log first")
        startDraining()
    }

    /// Makes an append durable, in the log or in the spool; refuses where neither takes it.
    ///
    /// - Parameter urgent: whether it may use the spool's reserve.
    /// - Throws: what no waiting can mend, such as a topic that is not there.
    func send(_ append: Append, urgent: Bool = false) async throws(EventLogError) -> Outcome {
        var attempt: Attempt?
        if !isSpooling {
            let trial = Attempt(append, log)
            switch await trial.result(within: patience.append) {
            case .success:
                metrics?.delivered(append)
                return .delivered
            case .failure(let error) where !error.isRetriable: throw error
            case .failure(let error): logger.warning("the log does not take records, which wait in the spool: \(error)")
            case nil:
                attempt = trial
                logger.warning("the log does not answer; records wait in the spool")
            }
            // Before anything is awaited: whoever comes from now on is behind this one.
            isSpooling = true
        }
        do throws(EventLogError) {
            guard let number = try await spool.put(append, urgent: urgent) else {
                startDraining()
                return .refused
            }
            attempts[number] = attempt
            metrics?.spooled(append, spool.content)
        } catch {
            logger.error("the spool takes no records: \(error)")
            startDraining()
            return .refused
        }
        startDraining()
        return .spooled
    }

    /// Waits for the spool to become empty, at most so long.
    func drain(within time: Duration) async {
        guard let drainer else { return }
        let limit = Task {
            try? await Task.sleep(for: time)
            drainer.cancel()
        }
        await drainer.value
        limit.cancel()
    }

    private func startDraining() {
        if drainer != nil { return }
        drainer = Task { await self.drainAll() }
    }

    private func drainAll() async {
        // In the same step that ends it, so that whoever spools next begins another.
        defer { drainer = nil }
        var pause = patience.firstPause
        while !Task.isCancelled {
            do throws(EventLogError) {
                guard let first = try await spool.first() else {
                    // Nothing may have been put between the question and its answer.
                    if spool.content.appends > 0 { continue }
                    if isSpooling { logger.notice("the log takes records again, and the spool is empty") }
                    isSpooling = false
                    return
                }
                let attempt = attempts.removeValue(forKey: first.id) ?? Attempt(first.append, log)
                try await attempt.result().get()
                try await spool.remove(first.id)
                metrics?.delivered(first.append)
                metrics?.show(spool.content)
                pause = patience.firstPause
            } catch {
                if error.code == .corrupt { await dropDamaged(error) }
                if !error.isRetriable && error.code != .corrupt {
                    logger.error("the log refuses what waits in the spool: \(error)")
                }
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, patience.longestPause)
            }
        }
    }

    /// What the disk has damaged must not hold up what stands behind it. It is counted as lost.
    private func dropDamaged(_ error: EventLogError) async {
        guard let number = try? await spool.firstNumber(), let records = try? await spool.remove(number) else { return }
        logger.error("\(records) records are lost: \(error)")
        metrics?.lost.add(records)
        metrics?.show(spool.content)
    }
}

/// An append under way, for whose end somebody may wait only so long.
private final class Attempt: Sendable {
    private typealias Outcome = Result<Void, EventLogError>

    private struct State {
        var outcome: Outcome?
        var waiters: [Int: CheckedContinuation<Outcome?, Never>] = [:]
        var count = 0
        /// Who does not wait any more, before it has begun to.
        var givenUp: Set<Int> = []
    }

    private let state = Mutex(State())

    init(_ append: Append, _ log: any EventLog) {
        // Not part of the waiting task: cancelling an append would leave unknown what became of it.
        Task {
            let outcome: Outcome
            do throws(EventLogError) {
                try await log.append(append)
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            self.settle(outcome)
        }
    }

    /// The outcome; nil if it has not come within `time`.
    func result(within time: Duration) async -> Result<Void, EventLogError>? {
        let ticket = takeTicket()
        let timer = Task {
            try? await Task.sleep(for: time)
            self.giveUp(ticket)
        }
        defer { timer.cancel() }
        return await wait(ticket)
    }

    /// The outcome; a failure that may pass if the task is cancelled before: a log that hangs holds nobody up who ends.
    func result() async -> Result<Void, EventLogError> {
        let ticket = takeTicket()
        let outcome = await withTaskCancellationHandler {
            await wait(ticket)
        } onCancel: {
            giveUp(ticket)
        }
        return outcome ?? .failure(EventLogError(.failed, "the append was given up", isRetriable: true))
    }

    private func takeTicket() -> Int {
        state.withLock { state in
            state.count += 1
            return state.count
        }
    }

    private func wait(_ ticket: Int) async -> Outcome? {
        await withCheckedContinuation { continuation in
            let (waits, outcome) = state.withLock { state in
                let waits = state.outcome == nil && state.givenUp.remove(ticket) == nil
                if waits { state.waiters[ticket] = continuation }
                return (waits, state.outcome)
            }
            if !waits { continuation.resume(returning: outcome) }
        }
    }

    private func settle(_ outcome: Outcome) {
        let waiters = state.withLock { state in
            state.outcome = outcome
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter.resume(returning: outcome) }
    }

    private func giveUp(_ ticket: Int) {
        let waiter = state.withLock { state in
            let waiter = state.waiters.removeValue(forKey: ticket)
            if waiter == nil && state.outcome == nil { state.givenUp.insert(ticket) }
            return waiter
        }
        waiter?.resume(returning: nil)
    }
}
