// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Logging
package import Market
import Records
import Synchronization

/// How far a source has come; read by whoever shows progress, from any thread.
package final class IngestProgress: Sendable {
    private let records = Atomic<Int64>(0)
    private let bytesRead = Atomic<Int64>(0)
    private let bytesTotal = Atomic<Int64>(-1)
    private let lastEvent = Atomic<Int64>(0)
    private let frames = Atomic<Int64>(0)
    private let finished = Atomic<Bool>(false)

    package init() {}

    /// Records appended to the log in this run.
    package var recordCount: Int64 { records.load(ordering: .relaxed) }
    /// The part of the file that has been read, 0 to 1; nil where the size is not known.
    package var fraction: Double? {
        let total = bytesTotal.load(ordering: .relaxed)
        return total > 0 ? min(1, Double(bytesRead.load(ordering: .relaxed)) / Double(total)) : nil
    }
    /// The time of the trade read last.
    package var lastEventTime: Timestamp? {
        let value = lastEvent.load(ordering: .relaxed)
        return value == 0 ? nil : Timestamp(microseconds: value)
    }
    /// Frames that hold no trade: pings, news.
    package var otherFrameCount: Int64 { frames.load(ordering: .relaxed) }
    /// Whether the source has ended.
    package var isFinished: Bool { finished.load(ordering: .relaxed) }

    func appended(_ count: Int, last: Timestamp?) {
        records.add(Int64(count), ordering: .relaxed)
        if let last { lastEvent.store(last.microseconds, ordering: .relaxed) }
    }

    func passed(frames count: Int) { frames.store(Int64(count), ordering: .relaxed) }

    func read(_ bytes: Int64, of total: Int64?) {
        bytesRead.store(bytes, ordering: .relaxed)
        bytesTotal.store(total ?? -1, ordering: .relaxed)
    }

    func finish() { finished.store(true, ordering: .relaxed) }
}

/// Plays a tape into the log, at its own pace or as fast as it goes.
///
/// The pace is that of the trades' times; an idle stretch longer than ``Settings/longestPause`` is cut to it. How far
/// the tape has been played is kept in the log with the records, so a replay that was stopped goes on where it was.
package struct Replay: Sendable {
    package struct Settings: Sendable, Equatable {
        /// The file, or `-`.
        package var path: String
        /// How many seconds of the tape pass in one; nil is as fast as it goes.
        package var speed: Double?
        /// Only trades of this symbol, or, for a file without a symbol column, the symbol of all its trades.
        package var symbol: String?
        /// Longest wait between two trades.
        package var longestPause: Duration
        /// Whether to go on where an earlier replay of the same file stopped.
        package var resumes: Bool

        package init(
            path: String, speed: Double? = 1, symbol: String? = nil, longestPause: Duration = .seconds(2),
            resumes: Bool = true
        ) {
            self.path = path
            self.speed = speed
            self.symbol = symbol
            self.longestPause = longestPause
            self.resumes = resumes
        }
    }

    /// Records wait at most this long for others before they are appended.
    private static let linger = Duration.milliseconds(50)

    private let settings: Settings
    private let run: Int64
    private let log: any EventLog
    private let logger: Logger
    private let metrics: IngestMetrics?
    private let now: @Sendable () -> Timestamp
    package let progress: IngestProgress

    /// - Parameters:
    ///   - run: the number under which the store counts this run's records.
    ///   - now: the clock that stamps arrivals.
    package init(
        _ settings: Settings, run: Int64, log: any EventLog, logger: Logger,
        progress: IngestProgress = IngestProgress(), metrics: IngestMetrics? = nil,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.settings = settings
        self.metrics = metrics
        self.run = run
        self.log = log
        self.logger = logger
        self.progress = progress
        self.now = now
    }

    /// Plays until the end of the tape or until the task is cancelled; what was read before either is in the log.
    ///
    /// - Returns: how many records were appended.
    /// - Throws: ``IngestError`` or `EventLogError`; what was read before it is in the log, too.
    @discardableResult
    package func play() async throws -> Int64 {
        defer { progress.finish() }
        let tape = try Tape(path: settings.path, run: run, options: .init(symbol: settings.symbol))
        let stager = try await Stager(log: log, logger: logger, metrics: metrics)
        // A file that has changed is another tape; what of it is in the store already is not added again.
        let source =
            settings.resumes ? tape.version.map { "replay:\(settings.path)#\($0)#\(settings.symbol ?? "")" } : nil
        var player = Player(tape: tape, stager: stager, source: source, replay: self)
        if let source, let played = try await log.sourcePosition(source) { player.skip = played }
        return try await player.play()
    }

    /// The state of one playing.
    private struct Player {
        let tape: Tape
        let stager: Stager
        /// The name under which the position is kept; nil if it is not.
        let source: String?
        let replay: Replay
        var skip: Int64 = 0

        /// Trades of the tape that are staged, filtered out or skipped: where a later replay goes on.
        private var played: Int64 = 0
        private var appended: Int64 = 0
        private var lastEvent: Timestamp?
        private var oldestStaged: ContinuousClock.Instant?
        private let clock = ContinuousClock()

        init(tape: Tape, stager: Stager, source: String?, replay: Replay) {
            self.tape = tape
            self.stager = stager
            self.source = source
            self.replay = replay
        }

        mutating func play() async throws -> Int64 {
            do {
                while !Task.isCancelled {
                    guard let trade = try tape.next() else {
                        if !tape.isWaiting { break }
                        // A pipe is silent: what it said so far need not wait with it.
                        try await flush()
                        continue
                    }
                    // The tape is read from its start all the same: ids depend on what came before.
                    if played < skip || isFiltered(trade) {
                        played += 1
                        continue
                    }
                    try await pace(trade)
                    if Task.isCancelled { break }
                    stager.stage(trade, at: replay.now())
                    played += 1
                    if let ts = trade.ts { lastEvent = ts }
                    if oldestStaged == nil { oldestStaged = clock.now }
                    if stager.isFull || isLingering { try await flush() }
                }
            } catch let error as IngestError {
                try await flush()
                throw error
            }
            try await flush()
            return appended
        }

        private var isLingering: Bool {
            guard replay.settings.speed != nil, let oldestStaged else { return false }
            return clock.now - oldestStaged > Replay.linger
        }

        private func isFiltered(_ trade: StagedTrade) -> Bool {
            guard let symbol = replay.settings.symbol, let own = trade.symbol else { return false }
            return own != symbol
        }

        /// Waits until the trade is due. What has been staged does not wait with it.
        private mutating func pace(_ trade: StagedTrade) async throws {
            guard let speed = replay.settings.speed, let ts = trade.ts, let lastEvent, ts > lastEvent else { return }
            // Limited before it becomes a Duration, which a tiny speed would overflow.
            let gap = Double(ts.microseconds - lastEvent.microseconds) / speed
            let longest = replay.settings.longestPause
            let pause = gap < 1e12 ? min(.microseconds(gap), longest) : longest
            if pause < .milliseconds(1) { return }
            if pause > Replay.linger || isLingering { try await flush() }
            // Cancelled while it waits, the player stops before this trade.
            try? await Task.sleep(for: pause)
        }

        private mutating func flush() async throws {
            let count = stager.count
            let read = tape.progress
            replay.progress.read(read.read, of: read.total)
            replay.progress.passed(frames: tape.otherFrames)
            if count == 0 { return }
            try await stager.flush(position: source.map { ($0, played) })
            appended += Int64(count)
            oldestStaged = nil
            replay.progress.appended(count, last: lastEvent)
        }
    }
}
