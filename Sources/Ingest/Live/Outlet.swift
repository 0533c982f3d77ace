// SPDX-License-Identifier: Apache-2.0

package import EventLog
import Logging
package import Market
import Metrics
import Records
import Synchronization

/// Where a live source hands over what it has read. What it is given is durable when a call returns: in the log or,
/// while the log cannot be reached, in the spool, from which it goes to the log in its order.
///
/// One task of a source delivers records; any of its tasks may note events (``journal``).
package final class Outlet: Sendable {
    /// The source's name, as in its records.
    package let source: String
    /// The ingest run that stamps its records.
    package let run: Int64
    /// Where the source says what happens to itself; those events take the same way as its records.
    package let journal: SourceJournal
    package let progress: IngestProgress
    /// The clock that stamps arrivals.
    package let now: @Sendable () -> Timestamp
    package let metrics: SourceMetrics?

    /// Where what a service refused is told to the operator.
    let logger: Logger
    private let log: any EventLog
    private let queue: DeliveryQueue
    private let spool: Spool
    private let partitions: [String: Int]
    private let losses = Mutex<Loss?>(nil)

    /// Records that nobody could take, and since when.
    private struct Loss {
        var records: Int
        var from: Timestamp
    }

    init(
        source: String, run: Int64, log: any EventLog, spool: Spool, partitions: [String: Int],
        patience: DeliveryQueue.Patience = .init(), logger: Logger, progress: IngestProgress = IngestProgress(),
        metrics: SourceMetrics? = nil, now: @escaping @Sendable () -> Timestamp
    ) {
        self.source = source
        self.run = run
        self.log = log
        self.logger = logger
        self.spool = spool
        self.partitions = partitions
        self.progress = progress
        self.metrics = metrics
        self.now = now
        let queue = DeliveryQueue(log: log, spool: spool, patience: patience, logger: logger, metrics: metrics)
        self.queue = queue
        journal = SourceJournal(
            source: source, run: run, partitions: partitions[SourceJournal.topic] ?? 1, now: now
        ) { append throws(EventLogError) in
            while try await queue.send(append, urgent: true) == .refused {
                guard !Task.isCancelled else {
                    throw EventLogError(.failed, "neither the log nor the spool takes an event")
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// How long to wait before a full spool is asked again.
    private static let pause = Duration.milliseconds(100)

    /// Takes up what an earlier process has left in the spool.
    func start() async { await queue.start() }

    /// Gathers records for ``send(_:)`` or ``offer(_:)``.
    package func delivery() -> Delivery { Delivery(source: source, partitions: partitions) }

    /// How far the source had been read when records with a position were last delivered (``Delivery/position``); nil if
    /// that was never.
    package func position() async throws(EventLogError) -> Int64? {
        if let waiting = try await spool.position(of: source) { return waiting }
        return try await log.sourcePosition(source)
    }

    /// Delivers, and waits while the spool is full: for sources that can be asked later.
    ///
    /// - Throws: `EventLogError` that no waiting can mend; `CancellationError` if the task is cancelled while it waits.
    package func send(_ delivery: Delivery) async throws {
        if delivery.isEmpty { return }
        while try await queue.send(delivery.append) == .refused {
            try Task.checkCancellation()
            try await Task.sleep(for: Self.pause)
        }
        try await delivered(delivery)
    }

    /// Delivers, or, while the spool is full, counts the records as lost, for sources that do not wait. What was lost is
    /// noted as a gap once there is room again.
    ///
    /// - Returns: whether the records are safe.
    @discardableResult
    package func offer(_ delivery: Delivery) async throws(EventLogError) -> Bool {
        if delivery.isEmpty { return true }
        if try await queue.send(delivery.append) == .refused {
            metrics?.lost.add(delivery.count)
            losses.withLock { loss in
                loss = Loss(records: (loss?.records ?? 0) + delivery.count, from: loss?.from ?? delivery.begun ?? now())
            }
            return false
        }
        try await delivered(delivery)
        return true
    }

    private func delivered(_ delivery: Delivery) async throws(EventLogError) {
        progress.appended(delivery.count, last: delivery.lastEvent)
        let loss = losses.withLock { loss in
            defer { loss = nil }
            return loss
        }
        guard let loss else { return }
        try await journal.note(
            .gap, from: loss.from, to: delivery.begun ?? now(),
            message: "\(loss.records) records were lost: the log could not be reached and the spool was full")
    }

    /// Waits at most so long for the spool to become empty. What is left in it is for the next run.
    func close(within time: Duration) async {
        await queue.drain(within: time)
        await spool.close()
    }
}
