// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Logging
package import Market
import Records

/// Plays a ``SimulatedMarket`` into the log as it happens.
///
/// How far the market has come is kept in the log with the records: a simulation that was stopped goes on after the last
/// trade that it has appended, with the prices of then, as of now. Its trades' ids say where they stand in the market,
/// beside a few bits for its settings, so no trade of a simulation is ever taken for another.
package struct SimulatedSource: Sendable {
    /// The source of its trades.
    package static let source = "simulate"
    /// Records wait at most this long for others before they are appended.
    private static let linger = Duration.milliseconds(50)
    /// A simulation that is behind by more does not hurry to catch up, and a clock that is put by more is followed.
    private static let tolerance: Int64 = 1_000_000
    /// How often it is complained of that the rate cannot be kept.
    private static let complaintInterval = Duration.seconds(60)

    private let settings: SimulatedMarket.Settings
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
        _ settings: SimulatedMarket.Settings, run: Int64, log: any EventLog, logger: Logger,
        progress: IngestProgress = IngestProgress(), metrics: IngestMetrics? = nil,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.settings = settings
        self.run = run
        self.log = log
        self.logger = logger
        self.progress = progress
        self.metrics = metrics
        self.now = now
    }

    /// Plays until the end of the market or until the task is cancelled; what has come by then is in the log.
    ///
    /// - Returns: how many records were appended.
    @discardableResult
    package func play() async throws -> Int64 {
        defer { progress.finish() }
        let stager = try await Stager(log: log, logger: logger, metrics: metrics)
        let name = "\(Self.source):\(settings.name)"
        let position = try await log.sourcePosition(name)
        var player = Player(name: name, position: position, stager: stager, source: self)
        return try await player.play()
    }

    /// The state of one playing.
    private struct Player {
        let name: String
        let stager: Stager
        let source: SimulatedSource
        private let symbols: [String]
        private let idBase: Int64
        private let clock = ContinuousClock()

        private var market: SimulatedMarket
        private var pending: SimulatedMarket.Trade?
        /// A moment on the machine's two clocks and that of the market.
        private var anchor: (instant: ContinuousClock.Instant, time: Int64, offset: Int64)
        private var position: Int64 = 0
        private var lastEvent: Timestamp?
        private var oldestStaged: ContinuousClock.Instant?
        private var lastComplaint: ContinuousClock.Instant?
        private var appended: Int64 = 0

        init(name: String, position: Int64?, stager: Stager, source: SimulatedSource) {
            self.name = name
            self.stager = stager
            self.source = source
            symbols = (0..<source.settings.symbols).map { SimulatedMarket.symbolName($0) }
            // Twelve bits above the 51 of a position.
            idBase = Int64(TradeIdentity.hash(name.utf8) >> 52) << 51
            market = SimulatedMarket(source.settings, after: position)
            pending = market.next()
            // The wall clock first: whatever comes between the two, no trade is told before its time then.
            let time = source.now().microseconds
            anchor = (clock.now, time, pending?.offset ?? 0)
        }

        mutating func play() async throws -> Int64 {
            while pending != nil && !Task.isCancelled {
                let time = source.now()
                let instant = clock.now
                let due = keepUp(instant, time)
                let arrival = source.now()
                while let trade = pending, trade.offset <= due, !stager.isFull {
                    stage(trade, at: arrival)
                    pending = market.next()
                }
                if oldestStaged == nil && stager.count > 0 { oldestStaged = instant }
                // Trades that are due together are staged together: a sleep costs more than a trade.
                let pause = Duration.microseconds(min(50_000, max(1000, (pending?.offset ?? due) - due)))
                let isLingering = oldestStaged.map { instant + pause - $0 > SimulatedSource.linger } ?? false
                if stager.isFull || isLingering { try await flush() }
                // Cancelled while it waits, the player stops before this trade.
                if let pending, pending.offset > due { try? await Task.sleep(until: instant + pause, clock: clock) }
            }
            try await flush()
            return appended
        }

        /// How far the market has come by now. It goes on from where it is if it is behind, or the clock was put.
        private mutating func keepUp(_ instant: ContinuousClock.Instant, _ time: Timestamp) -> Int64 {
            let passed = (instant - anchor.instant).inMicroseconds
            let due = anchor.offset + passed
            let behind = due - (pending?.offset ?? due)
            let error = (time.microseconds - anchor.time - passed).magnitude
            if behind <= SimulatedSource.tolerance && error <= SimulatedSource.tolerance { return due }
            if behind > SimulatedSource.tolerance { complain(instant) }
            anchor = (instant, time.microseconds, behind > SimulatedSource.tolerance ? due - behind : due)
            return anchor.offset
        }

        private mutating func complain(_ instant: ContinuousClock.Instant) {
            if let lastComplaint, instant - lastComplaint < SimulatedSource.complaintInterval { return }
            lastComplaint = instant
            source.logger.warning(
                "the simulation is slower than \(source.settings.rate) trades/s: this machine or the log cannot keep up"
            )
        }

        private mutating func stage(_ trade: SimulatedMarket.Trade, at arrival: Timestamp) {
            var staged = StagedTrade(
                run: source.run, source: SimulatedSource.source, position: trade.position, ingestedAt: .epoch)
            let ts = Timestamp(microseconds: anchor.time + trade.offset - anchor.offset)
            staged.symbol = symbols[trade.symbol]
            staged.ts = ts
            staged.price = trade.price
            staged.size = trade.size
            staged.tradeID = idBase | trade.position
            stager.stage(staged, at: arrival)
            position = trade.position
            lastEvent = ts
        }

        private mutating func flush() async throws {
            let count = stager.count
            if count == 0 { return }
            try await stager.flush(position: (name, position))
            appended += Int64(count)
            oldestStaged = nil
            source.progress.appended(count, last: lastEvent)
        }
    }
}
