// SPDX-License-Identifier: Apache-2.0

import Market

/// When each symbol is to be asked for: at the start, at intervals while its market trades, a last time when it has
/// closed, and then not before it opens. A pure value: time is an argument.
struct PollSchedule {
    /// After the close, last prices are still being set for so long.
    static let settling: Int64 = 60_000_000

    private let interval: Int64
    private var due: [String: Timestamp] = [:]
    private let symbols: [String]

    /// - Parameter interval: between two questions for a symbol, in microseconds.
    init(_ symbols: [String], interval: Int64) {
        self.symbols = symbols
        self.interval = interval
    }

    /// The symbols that are to be asked for now, in their order.
    func symbols(dueAt now: Timestamp) -> [String] { symbols.filter { due[$0] ?? .epoch <= now } }

    /// When the next is; nil without symbols.
    var next: Timestamp? { symbols.map { due[$0] ?? .epoch }.min() }

    /// The symbol has been asked for.
    mutating func asked(_ symbol: String, at now: Timestamp) {
        let next = Timestamp(microseconds: now.microseconds + interval)
        guard let market = TradingCalendar.of(symbol) else {
            due[symbol] = next
            return
        }
        switch market.state(at: now) {
        case .open(let end):
            let last = end.map { Timestamp(microseconds: $0.microseconds + Self.settling) }
            due[symbol] = last.map { next >= $0 || next > end ?? $0 ? $0 : next } ?? next
        case .closed(let opening): due[symbol] = opening
        }
    }

    /// The symbol is not asked for before a time.
    mutating func postpone(_ symbol: String, until time: Timestamp) { due[symbol] = time }

    /// All of them are asked for now.
    mutating func hurry() { due = [:] }
}

/// When the facts of an instrument are to be fetched: at the start, and each day when its market has closed.
struct FactSchedule {
    /// How long after a close the day's facts are there.
    static let settling: Int64 = 30 * 60_000_000

    private let symbols: [String]
    private let pause: Int64
    private var fetched: [String: Timestamp] = [:]
    private var failed: Timestamp?

    /// - Parameter pause: how long what else is asked for goes first after a failure, in microseconds.
    init(_ symbols: [String], pause: Int64) {
        self.symbols = symbols
        self.pause = pause
    }

    func symbols(dueAt now: Timestamp) -> [String] {
        if let failed, now.microseconds < failed.microseconds + pause { return [] }
        return symbols.filter { symbol in
            guard let last = fetched[symbol] else { return true }
            // What has no hours of its own has days of UTC.
            guard let market = TradingCalendar.of(symbol), market != .aroundTheClock else { return last.day < now.day }
            let settled = Timestamp(microseconds: now.microseconds - Self.settling)
            return market.lastClose(before: settled).microseconds + Self.settling > last.microseconds
        }
    }

    mutating func fetched(_ symbol: String, at now: Timestamp) { fetched[symbol] = now }

    /// Nobody answered: none is asked for until a pause later.
    mutating func failed(at now: Timestamp) { failed = now }
}

/// The markets of symbols, and which of them has changed its state since it was last looked at.
struct MarketWatch {
    struct Change: Equatable {
        var symbols: [String]
        /// Until when it trades, or does not; nil for ever.
        var until: Timestamp?
        var isOpen: Bool
    }

    private var markets: [(market: TradingCalendar, symbols: [String], wasOpen: Bool?)] = []
    /// Whether a symbol's market has hours that are not known.
    private let isAnyUnknown: Bool

    init(_ symbols: [String]) {
        isAnyUnknown = symbols.contains { TradingCalendar.of($0) == nil }
        for market in TradingCalendar.allCases {
            let own = symbols.filter { TradingCalendar.of($0) == market }
            if !own.isEmpty { markets.append((market, own, nil)) }
        }
    }

    /// What has changed; at first every market that is watched.
    mutating func changes(at now: Timestamp) -> [Change] {
        var changes: [Change] = []
        for index in markets.indices {
            let isOpen: Bool
            let until: Timestamp?
            switch markets[index].market.state(at: now) {
            case .open(let end): (isOpen, until) = (true, end)
            case .closed(let opening): (isOpen, until) = (false, opening)
            }
            if markets[index].wasOpen != isOpen {
                changes.append(Change(symbols: markets[index].symbols, until: until, isOpen: isOpen))
                markets[index].wasOpen = isOpen
            }
        }
        return changes
    }

    /// The first moment from `time` on at which one of them trades, or last prices are being set.
    func firstTrading(from time: Timestamp) -> Timestamp {
        if isAnyUnknown { return time }
        let settling = Timestamp(microseconds: time.microseconds - PollSchedule.settling)
        let moments = markets.map { watched -> Timestamp in
            switch watched.market.state(at: settling) {
            case .open: time
            case .closed(let opening): max(time, opening)
            }
        }
        return moments.min() ?? time
    }
}
