// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import EventLoop
package import Logging
package import Market
package import Metrics
package import Postgres
import Records
import Synchronization

/// The topics that records of a kind pass through, by what they are for.
package struct TopicRoles: Sendable {
    package var staging: String
    package var valid: String
    package var rejected: String

    package init(staging: String, valid: String, rejected: String) {
        self.staging = staging
        self.valid = valid
        self.rejected = rejected
    }

    /// The topics of a kind by its name: `trades.staging`, `trades`, `trades.rejected`.
    package init(kind: String) { self.init(staging: "\(kind).staging", valid: kind, rejected: "\(kind).rejected") }
}

/// A place between two steps where a test may make the processor fail, as if the process had died there.
enum ProcessingStep: CaseIterable, Sendable {
    case validated, forwarded
    case began, advanced, tradesWritten, barsWritten, latestWritten, rejectedWritten, counted, committed
}

/// How far a processor has come; read by whoever shows progress, from any thread.
package final class ProcessorProgress: Sendable {
    private let acceptedCount = Atomic<Int64>(0)
    private let repeatedCount = Atomic<Int64>(0)
    private let rejectedCount = Atomic<Int64>(0)
    private let validatedCount = Atomic<Int64>(0)

    package init() {}

    /// Trades committed to the store since the start.
    package var accepted: Int64 { acceptedCount.load(ordering: .relaxed) }
    /// Trades that the store had already.
    package var alreadyThere: Int64 { repeatedCount.load(ordering: .relaxed) }
    /// Records refused and kept as such.
    package var rejected: Int64 { rejectedCount.load(ordering: .relaxed) }
    /// Records validated.
    package var validated: Int64 { validatedCount.load(ordering: .relaxed) }
    /// Records that have reached the store, one way or another.
    package var settled: Int64 { accepted + alreadyThere + rejected }

    func committed(_ outcome: SinkOutcome) {
        acceptedCount.add(Int64(outcome.accepted), ordering: .relaxed)
        repeatedCount.add(Int64(outcome.alreadyThere), ordering: .relaxed)
        rejectedCount.add(Int64(outcome.rejected), ordering: .relaxed)
    }

    func validated(_ count: Int) { validatedCount.add(Int64(count), ordering: .relaxed) }
}

/// Takes records from the log to the store: staged ones are validated, valid ones and rejected ones are committed.
///
/// Two loops side by side, each the owner of its own place in the log. What may pass (a lost connection, a deadlock, a
/// full disk) is tried again with growing pauses, for ever; what cannot is thrown.
package struct Processor: Sendable {
    package struct Configuration: Sendable {
        package var topics: TopicRoles
        package var rules = TradeRules()
        /// Kinds of records that are validated beside trades.
        package var kinds: [any RecordKind] = []
        package var alertRules = AlertRules()
        package var silence = SilencePolicy()
        /// How posts are read; nil leaves them in the log.
        package var posts: PostAnalysis?
        /// About how many bytes of records one transaction takes at most.
        package var batchBytes = 8 << 20
        /// The name under which partitions are claimed, for operators.
        package var owner: String
        /// How long a transaction under way may go on when it is asked to stop.
        package var patience = Duration.seconds(2)

        package init(topics: TopicRoles, owner: String) {
            self.topics = topics
            self.owner = owner
        }
    }

    /// Session parameters of the store's connection. Every statement of the sink looks up rows by key: a nested loop over
    /// an index is right, however many rows the planner imagines in a temporary table or an array.
    package static let sessionParameters = [
        "TimeZone": "UTC", "DateStyle": "ISO", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
    ]

    static let validatorGroup = "tapedeck.validate"
    static let sinkGroup = "tapedeck.sink"
    static let factGroup = "tapedeck.sink.facts"
    /// How long to wait for records before looking whether to stop.
    private static let wait = Duration.milliseconds(100)

    let configuration: Configuration
    let log: any EventLog
    let store: ConnectionSettings
    let loop: EventLoop
    let logger: Logger
    let now: @Sendable () -> Timestamp
    package let progress: ProcessorProgress
    package let metrics: ProcessorMetrics
    /// What it says of itself in the store.
    let work = RecentWork()
    /// Called at each step; for tests.
    var atStep: (@Sendable (ProcessingStep) throws -> Void)?

    /// - Parameters:
    ///   - store: the writer's database.
    ///   - loop: the event loop that the tasks run on.
    ///   - metrics: where it counts what it does.
    ///   - now: the clock that times in the future are judged by.
    package init(
        _ configuration: Configuration, log: any EventLog, store: ConnectionSettings, loop: EventLoop,
        logger: Logger, progress: ProcessorProgress = ProcessorProgress(),
        metrics: MetricsRegistry = MetricsRegistry(), now: @escaping @Sendable () -> Timestamp
    ) {
        self.configuration = configuration
        self.log = log
        self.store = store
        self.loop = loop
        self.logger = logger
        self.progress = progress
        self.metrics = ProcessorMetrics(metrics, work)
        self.now = now
    }

    /// Processes until the task is cancelled: then what is under way is finished first, a transaction or an append, and
    /// the groups are left. What takes longer than ``Configuration/patience`` is broken off, and done again after the
    /// next start.
    ///
    /// - Throws: what no repetition can mend, with what to do about it.
    package func run() async throws {
        let stop = StopRequest()
        let patience = configuration.patience
        let work = Task(executorPreference: loop) { try await process(stop) }
        try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            stop.set()
            Task.detached {
                try? await Task.sleep(for: patience)
                work.cancel()
            }
        }
    }

    private func process(_ stop: StopRequest) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask(executorPreference: loop) {
                try await self.retrying("validation", stop) { try await validate(stop) }
            }
            group.addTask(executorPreference: loop) { try await self.retrying("store", stop) { try await sink(stop) } }
            if !configuration.kinds.isEmpty {
                group.addTask(executorPreference: loop) {
                    try await self.retrying("facts", stop) { try await sinkFacts(stop) }
                }
            }
            group.addTask(executorPreference: loop) { await observe(stop) }
            // The first failure ends all of them.
            while try await group.next() != nil {}
        }
    }

    private func retrying(_ what: String, _ stop: StopRequest, _ body: () async throws -> Void) async throws {
        var pause = Duration.milliseconds(100)
        while !stop.isSet {
            let start = MonotonicTime.now()
            do {
                try await body()
                return
            } catch {
                if stop.isSet { return }
                guard PermanentFailure.mayPass(error) else {
                    throw (error as? PostgresError).map { PermanentFailure(stage: what, failure: $0) } ?? error
                }
                metrics.retries[what].add()
                work.failed(what, error, at: now())
                // What ran for a while has recovered in between.
                if MonotonicTime.now() - start > .seconds(30) { pause = .milliseconds(100) }
                logger.warning("\(what) failed, trying again", metadata: ["error": "\(error)", "pause": "\(pause)"])
            }
            await rest(pause, stop)
            pause = min(pause * 2, .seconds(10))
        }
    }

    /// Waits, but not for longer than until it is asked to stop.
    func rest(_ pause: Duration, _ stop: StopRequest) async {
        let end = MonotonicTime.now() + pause
        while !stop.isSet, MonotonicTime.now() < end {
            try? await loop.sleep(for: min(.milliseconds(100), end - MonotonicTime.now()))
        }
    }

    // MARK: Validation

    private func validate(_ stop: StopRequest) async throws {
        var sorters: [String: any RecordSorting] = [:]
        sorters[configuration.topics.staging] = try await validator(
            TradeKind(topics: configuration.topics, rules: configuration.rules))
        for kind in configuration.kinds { sorters[kind.topics.staging] = try await validator(kind) }
        let consumer = try await log.consumer(group: Self.validatorGroup, topics: sorters.keys.sorted())
        try await closing(consumer) { try await validate(consumer, sorters, stop) }
    }

    private func validator(_ kind: some RecordKind) async throws -> any RecordSorting {
        RecordValidator(
            kind, validPartitions: try await log.partitionCount(of: kind.topics.valid),
            rejectedPartitions: try await log.partitionCount(of: kind.topics.rejected))
    }

    /// Leaves the group however `body` ends, so that others may take over at once.
    private func closing(_ consumer: any EventLogConsumer, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            await consumer.close()
            throw error
        }
        await consumer.close()
    }

    private func validate(
        _ consumer: any EventLogConsumer, _ sorters: [String: any RecordSorting], _ stop: StopRequest
    ) async throws {
        while !stop.isSet {
            switch try await consumer.next(byteLimit: configuration.batchBytes, wait: Self.wait) {
            case .assigned(let partitions):
                for partition in partitions {
                    consumer.start(
                        partition, at: try await log.committedOffset(group: Self.validatorGroup, partition: partition))
                }
            case .revoked, .idle: break
            case .records(let batches):
                var append = Append()
                var offsets: [TopicPartition: Int64] = [:]
                var counts: [String: (valid: Int, rejected: Int)] = [:]
                let now = now()
                let start = MonotonicTime.now()
                for batch in batches {
                    guard let sorter = sorters[batch.partition.topic] else { continue }
                    let count = sorter.sort(batch, into: &append, now: now)
                    offsets[batch.partition] = batch.nextOffset
                    let before = counts[batch.partition.topic] ?? (0, 0)
                    counts[batch.partition.topic] = (before.valid + count.valid, before.rejected + count.rejected)
                }
                append.consumed = (Self.validatorGroup, offsets)
                try atStep?(.validated)
                try await log.append(append)
                try atStep?(.forwarded)
                progress.validated(counts.values.reduce(0) { $0 + $1.valid + $1.rejected })
                metrics.validated(counts, in: .now() - start)
            }
        }
    }

    // MARK: The store

    private func connectSink() async throws -> PostgresConnection {
        do {
            let connection = try await PostgresConnection.connect(store, on: loop)
            metrics.storeIsUp.set(1)
            return connection
        } catch {
            metrics.storeIsUp.set(0)
            throw error
        }
    }

    private func sink(_ stop: StopRequest) async throws {
        let connection = try await connectSink()
        defer { connection.close() }
        let sink = TradeSink(
            connection: connection, topics: configuration.topics, logID: log.identity, owner: configuration.owner,
            metrics: metrics, alertRules: configuration.alertRules, silence: configuration.silence, now: now,
            atStep: atStep)
        let consumer = try await log.consumer(
            group: Self.sinkGroup, topics: [configuration.topics.valid, configuration.topics.rejected])
        try await closing(consumer) { try await run(sink, consumer, stop) }
    }

    /// What comes by the minute: posts, instruments, quotes, what sources say of themselves.
    private func sinkFacts(_ stop: StopRequest) async throws {
        let connection = try await connectSink()
        defer { connection.close() }
        let sink = FactSink(
            connection: connection, analysis: configuration.posts, logID: log.identity, owner: configuration.owner,
            metrics: metrics, silence: configuration.silence, now: now, atStep: atStep)
        let consumer = try await log.consumer(
            group: Self.factGroup, topics: FactSink.topics(of: configuration.kinds, configuration.posts))
        try await closing(consumer) {
            while !stop.isSet {
                switch try await consumer.next(byteLimit: configuration.batchBytes, wait: Self.wait) {
                case .assigned(let partitions):
                    for (partition, offset) in try await sink.claim(partitions) {
                        consumer.start(partition, at: offset)
                    }
                case .revoked(let partitions): sink.release(partitions)
                case .idle: break
                case .records(let batches): progress.committed(try await sink.commit(batches))
                }
            }
        }
    }

    private func run(_ sink: TradeSink, _ consumer: any EventLogConsumer, _ stop: StopRequest) async throws {
        while !stop.isSet {
            switch try await consumer.next(byteLimit: configuration.batchBytes, wait: Self.wait) {
            case .assigned(let partitions):
                for (partition, offset) in try await sink.claim(partitions) { consumer.start(partition, at: offset) }
            case .revoked(let partitions): sink.release(partitions)
            case .idle: break
            case .records(let batches): progress.committed(try await sink.commit(batches))
            }
        }
    }
}
