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

/// Plays a tape into the log, at its own pace or as fast as it goes, once or in a loop.
///
/// The pace is that of the trades' times; an idle stretch longer than ``Settings/longestPause`` is cut to it. How far
/// the tape has been played is kept in the log with the records, so a replay that was stopped goes on where it was.
///
/// Played as of now, a trade gets the moment at which it is due for its time, `replay` for its source, and an id that
/// counts the trades played since the first one, over all rounds and restarts: what was made out of a tape is never taken
/// for the tape, and no round for another.
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
        /// Whether trades are as of now, instead of their own times.
        package var isAsOfNow: Bool
        /// How often the tape is played; nil is for ever. More than once only as of now: trades of the same times would
        /// be those that are already there.
        package var rounds: Int?

        package init(
            path: String, speed: Double? = 1, symbol: String? = nil, longestPause: Duration = .seconds(2),
            resumes: Bool = true, isAsOfNow: Bool = false, rounds: Int? = 1
        ) {
            self.path = path
            self.speed = speed
            self.symbol = symbol
            self.longestPause = longestPause
            self.resumes = resumes
            self.isAsOfNow = isAsOfNow
            self.rounds = rounds
        }
    }

    /// The source of trades that are played as of now.
    package static let source = "replay"
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

    /// Plays until the end of the last round or until the task is cancelled; what was read before either is in the log.
    ///
    /// - Returns: how many records were appended.
    /// - Throws: ``IngestError`` or `EventLogError`; what was read before it is in the log, too.
    @discardableResult
    package func play() async throws -> Int64 {
        defer { progress.finish() }
        let tape = try open()
        let stager = try await Stager(log: log, logger: logger, metrics: metrics)
        var player = Player(tape: tape, stager: stager, replay: self)
        if let source = player.source, let played = try await log.sourcePosition(source) { player.skip = played }
        return try await player.play()
    }

    private func open() throws(IngestError) -> Tape {
        let tape = try Tape(path: settings.path, run: run, options: .init(symbol: settings.symbol))
        if settings.rounds != 1 && tape.version == nil {
            throw IngestError(
                source: settings.path, message: "cannot be played in a loop, because it can be read only once",
                hint: "save it as a file, or leave out loop")
        }
        return tape
    }

    /// The name under which the position in a tape is kept; nil if it is not. A file that has changed is another tape;
    /// what of it is in the store already is not added again.
    private func source(of tape: Tape) -> String? {
        guard settings.resumes, let version = tape.version else { return nil }
        let suffix = settings.isAsOfNow ? "#now" : ""
        return "replay:\(settings.path)#\(version)#\(settings.symbol ?? "")\(suffix)"
    }

    /// The state of one playing.
    private struct Player {
        let stager: Stager
        let replay: Replay
        var tape: Tape
        /// The name under which the position is kept; nil if it is not.
        var source: String?
        /// Trades of this tape, counted over all rounds, that an earlier replay has played.
        var skip: Int64 = 0

        /// Trades of the tape that are staged, filtered out or skipped, over all rounds: where a later replay goes on.
        private var played: Int64 = 0
        private var appended: Int64 = 0
        private var lastEvent: Timestamp?
        private var oldestStaged: ContinuousClock.Instant?
        private var otherFrames = 0
        private var pace: TapePace
        /// What the ids of trades as of now begin with.
        private var idBase: Int64
        private let clock = ContinuousClock()

        init(tape: Tape, stager: Stager, replay: Replay) {
            self.tape = tape
            self.stager = stager
            self.replay = replay
            source = replay.source(of: tape)
            idBase = Self.idBase(source, run: replay.run)
            pace = TapePace(
                speed: replay.settings.speed, longestPause: replay.settings.longestPause, now: clock.now,
                time: replay.now())
        }

        mutating func play() async throws -> Int64 {
            do {
                var finished = 0
                while true {
                    let isWhole = skip == 0
                    guard let (length, staged) = try await playRound() else { break }
                    // A tape of no trades, or of none of the symbol, would be played in vain for ever.
                    if length == 0 || isWhole && staged == 0 { break }
                    if skip >= length {
                        // Rounds that an earlier replay has finished; it came to somewhere in the one after them.
                        finished += Int(skip / length)
                        played = skip - skip % length
                        skip %= length
                    } else {
                        finished += 1
                        skip = 0
                    }
                    if let rounds = replay.settings.rounds, finished >= rounds { break }
                    finished = try turn(finished)
                }
            } catch let error as IngestError {
                try await flush()
                throw error
            }
            try await flush()
            return appended
        }

        /// Opens the tape for the next round; returns how many are finished, none of a tape that has been replaced.
        private mutating func turn(_ finished: Int) throws(IngestError) -> Int {
            otherFrames += tape.otherFrames
            let next = try replay.open()
            pace.turn()
            let isSame = next.version == tape.version
            tape = next
            if isSame { return finished }
            source = replay.source(of: next)
            idBase = Self.idBase(source, run: replay.run)
            played = 0
            skip = 0
            return 0
        }

        /// Plays the tape from its start but for the trades to skip.
        ///
        /// - Returns: how many trades it has, and how many of them were staged; nil if the task was cancelled.
        private mutating func playRound() async throws -> (length: Int64, staged: Int64)? {
            var index: Int64 = 0
            var staged: Int64 = 0
            while !Task.isCancelled {
                guard var trade = try tape.next() else {
                    if !tape.isWaiting { return (index, staged) }
                    // A pipe is silent: what it said so far need not wait with it.
                    try await flush()
                    continue
                }
                index += 1
                // The tape is read from its start all the same: ids depend on what came before.
                if index <= skip || isFiltered(trade) {
                    played += 1
                    continue
                }
                try await wait(for: trade)
                if Task.isCancelled { break }
                if let ts = trade.ts { lastEvent = ts }
                if replay.settings.isAsOfNow { shift(&trade) }
                stager.stage(trade, at: replay.now())
                staged += 1
                played += 1
                if oldestStaged == nil { oldestStaged = clock.now }
                if stager.isFull || isLingering { try await flush() }
            }
            return nil
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
        private mutating func wait(for trade: StagedTrade) async throws {
            guard let ts = trade.ts else { return }
            pace.advance(to: ts, now: clock.now, time: replay.now())
            let pause = pace.due - clock.now
            if replay.settings.speed == nil || pause < .milliseconds(1) { return }
            if pause > Replay.linger || isLingering { try await flush() }
            // Cancelled while it waits, the player stops before this trade.
            try? await Task.sleep(until: pace.due, clock: clock)
        }

        /// Makes a trade of now out of one of the tape.
        private func shift(_ trade: inout StagedTrade) {
            trade.source = Replay.source
            guard trade.ts != nil else { return }
            trade.ts = pace.time
            trade.tradeID = idBase | (played & (1 << 43 - 1))
        }

        /// Twenty bits that tell replays of different tapes from each other, above 43 that count a tape's trades.
        private static func idBase(_ source: String?, run: Int64) -> Int64 {
            let hash = TradeIdentity.hash((source ?? "\(run)").utf8)
            return Int64(hash >> 44) << 43
        }

        private mutating func flush() async throws {
            let count = stager.count
            let read = tape.progress
            replay.progress.read(read.read, of: read.total)
            replay.progress.passed(frames: otherFrames + tape.otherFrames)
            if count == 0 { return }
            try await stager.flush(position: source.map { ($0, played) })
            appended += Int64(count)
            oldestStaged = nil
            replay.progress.appended(count, last: lastEvent)
        }
    }
}
