// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Logging
package import Market
package import Records
import Synchronization

/// Where a source says what happens to itself: that it is connected, that it was refused, that it missed something.
///
/// Each event is appended to `source_events.staging` at once, and is durable when ``note(_:symbols:from:to:message:at:)``
/// returns; the store has it exactly once. A failure of the log that may pass is tried again, so nothing is lost, and a
/// source that waits here is one that could not append its records either. May be used by several tasks of a source.
///
/// A source that is cut off notes `disconnected` with what it was told; when it hears again, `connected`, and a `gap` from
/// the last record that it has surely appended to the first one after. Nobody notes anything for a process that was
/// killed: at its start a source reads how far it had come (`EventLog.sourcePosition`, if it keeps a time there) and notes
/// the gap itself. Once it has fetched what was missing it notes `gap_filled` with the same symbols over the same time.
package final class SourceJournal: Sendable {
    /// The topic that events are appended to.
    package static let topic = "source_events.staging"
    /// Most bytes of a message that are kept.
    package static let messageLimit = 1024

    package let source: String
    package let run: Int64
    private let append: @Sendable (Append) async throws(EventLogError) -> Void
    private let now: @Sendable () -> Timestamp
    private let partition: TopicPartition
    private let last = Mutex<Int64>(0)

    /// - Parameters:
    ///   - source: its name, as in its records.
    ///   - run: the ingest run; with the events' numbers it makes them what they are, so no two processes may share one.
    ///   - now: the clock.
    package convenience init(
        source: String, run: Int64, log: any EventLog, logger: Logger, now: @escaping @Sendable () -> Timestamp
    ) async throws(EventLogError) {
        self.init(
            source: source, run: run, partitions: try await log.partitionCount(of: Self.topic), now: now
        ) { append throws(EventLogError) in
            try await log.appendPatiently(append, logger)
        }
    }

    /// - Parameters:
    ///   - partitions: how many ``topic`` has.
    ///   - append: makes an append durable.
    init(
        source: String, run: Int64, partitions count: Int, now: @escaping @Sendable () -> Timestamp,
        append: @escaping @Sendable (Append) async throws(EventLogError) -> Void
    ) {
        self.source = source
        self.run = run
        self.append = append
        self.now = now
        var key = source
        partition = TopicPartition(
            Self.topic, key.withUTF8 { partitionNumber(of: UnsafeRawBufferPointer($0), count: count) })
    }

    /// Notes an event; it is durable when this returns.
    ///
    /// - Parameters:
    ///   - symbols: what it is about; none is everything that the source is asked for.
    ///   - from: of a gap, its first moment.
    ///   - to: of a gap, the moment after its last.
    ///   - message: what it was, in words; no keys and tokens, and not the whole of an answer.
    ///   - ts: when it happened; now, unless given.
    package func note(
        _ kind: SourceEventFacts.Kind, symbols: [String] = [], from: Timestamp? = nil, to: Timestamp? = nil,
        message: String? = nil, at ts: Timestamp? = nil
    ) async throws(EventLogError) {
        let arrived = now()
        let sequence = last.withLock { last in
            last += 1
            return last
        }
        let facts = SourceEventFacts(
            kind, sequence: sequence, ts: ts ?? arrived, symbols: symbols, from: from, to: to,
            message: message.map { Self.cut($0) })
        let record = Staged(
            Staging(run: run, source: source, position: sequence, ingestedAt: arrived), facts)
        var append = Append()
        var batch = RecordBatch()
        batch.append(key: source) { record.encode(into: &$0) }
        append.batches[partition] = batch
        try await self.append(append)
    }

    /// A message of at most ``messageLimit`` bytes that PostgreSQL can keep.
    private static func cut(_ message: String) -> String {
        let text = message.utf8.contains(0) ? String(message.map { $0 == "\0" ? "\u{FFFD}" : $0 }) : message
        var bytes = Array(text.utf8.prefix(messageLimit))
        // Not in the middle of a character.
        while true {
            if let whole = String(validating: bytes, as: UTF8.self) { return whole }
            bytes.removeLast()
        }
    }
}

extension EventLog {
    /// Appends; what may pass is tried again with growing pauses, until the task is cancelled.
    ///
    /// - Parameter retrying: called before each repetition.
    func appendPatiently(
        _ append: Append, _ logger: Logger, retrying: () -> Void = {}
    ) async throws(EventLogError) {
        var pause = Duration.milliseconds(50)
        while true {
            do throws(EventLogError) {
                return try await self.append(append)
            } catch  where error.isRetriable && !Task.isCancelled {
                logger.warning("append to the log failed, trying again", metadata: ["error": "\(error)"])
                retrying()
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, .seconds(5))
            }
        }
    }
}
