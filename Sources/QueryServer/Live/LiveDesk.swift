// SPDX-License-Identifier: Apache-2.0
// The subscribers of one event loop.

import EventLoop
import Market
import Synchronization
import WebSocket

/// One who watches: what it wants, and how far it has been told. It holds no events. Loop thread only.
final class LiveSubscriber {
    /// What ended a wait.
    enum Wake { case news, heartbeat, ended }

    fileprivate(set) var filter: LiveFilter
    /// The number of the entry to be told next; nil while all that there was has been told.
    fileprivate var next: Int?
    /// Entries of lower numbers are not for it: they were there before it.
    fileprivate var floor: Int
    /// Everything up to this position has been told, or was not for it.
    fileprivate(set) var position: Int64
    /// The time of the last trade that was told.
    fileprivate var lastTold: Timestamp?
    /// When it was last told anything.
    fileprivate var heardAt = MonotonicTime.now()
    fileprivate var isHeartbeatDue = false
    private(set) var isEnded = false
    private var waiter: UnsafeContinuation<Void, Never>?

    fileprivate init(_ filter: LiveFilter, floor: Int, position: Int64) {
        self.filter = filter
        self.floor = floor
        self.position = position
    }

    /// Suspends until there is something to tell, or a heartbeat is due, or ``end()``.
    func wait() async -> Wake {
        while true {
            if isEnded { return .ended }
            if next != nil { return .news }
            if isHeartbeatDue {
                isHeartbeatDue = false
                return .heartbeat
            }
            await withUnsafeContinuation { continuation in
                // Entering a suspension may take a turn of the loop's queue, in which something can have come.
                if isEnded || next != nil || isHeartbeatDue {
                    continuation.resume()
                } else {
                    waiter = continuation
                }
            }
        }
    }

    /// Ends the waits, for good.
    func end() {
        isEnded = true
        wake()
    }

    /// Whether there is something to tell at once.
    var hasNews: Bool { next != nil }

    fileprivate func wake() {
        let waiter = waiter
        self.waiter = nil
        waiter?.resume()
    }
}

/// Wakes the subscribers of one loop for what concerns them, and encodes each piece of the tape once for all of them.
final class LiveDesk: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used on the thread of `loop` only; the tape has its own lock.

    /// How long a subscriber is told nothing before a heartbeat.
    private let heartbeat: Duration
    private static let sweepInterval = Duration.seconds(1)
    /// About how many bytes are encoded for one subscriber before they are sent.
    static let pieceBytes = 64 * 1024

    let loop: EventLoop
    let tape: LiveTape
    let metrics: LiveMetrics
    /// What frames for all are compressed with.
    let codecs: SharedCodecs

    private typealias Members = [ObjectIdentifier: LiveSubscriber]
    private var members: Members = [:]
    /// Who wants trades of a symbol, and who wants all; the same of bars.
    private var trades = Index()
    private var bars = Index()
    /// Entries below this number have been shown to everybody.
    private var seen = 0
    /// The position of the last of them.
    private var seenPosition: Int64 = 0
    private var sweepIsScheduled = false
    private var texts = EntryTexts()

    /// Subscribers by what they want.
    private struct Index {
        var all: Members = [:]
        var bySymbol: [String: Members] = [:]

        mutating func add(_ subscriber: LiveSubscriber, _ symbols: Set<String>?) {
            let id = ObjectIdentifier(subscriber)
            guard let symbols else {
                all[id] = subscriber
                return
            }
            for symbol in symbols { bySymbol[symbol, default: [:]][id] = subscriber }
        }

        mutating func remove(_ subscriber: LiveSubscriber, _ symbols: Set<String>?) {
            let id = ObjectIdentifier(subscriber)
            guard let symbols else {
                all[id] = nil
                return
            }
            for symbol in symbols {
                bySymbol[symbol]?[id] = nil
                if bySymbol[symbol]?.isEmpty == true { bySymbol[symbol] = nil }
            }
        }
    }

    init(
        _ tape: LiveTape, heartbeat: Duration, metrics: LiveMetrics, codecs: SharedCodecs, on loop: EventLoop
    ) {
        self.tape = tape
        self.heartbeat = heartbeat
        self.metrics = metrics
        self.codecs = codecs
        self.loop = loop
    }

    // MARK: The desk's task

    /// Wakes subscribers for each new entry, until the tape is closed.
    func run() async {
        seen = tape.range.upperBound
        while !tape.isClosed {
            let waiter = Waiter()
            tape.waitForEntry(seen, waiter)
            await withUnsafeContinuation { waiter.arm($0) }
            dispatch()
        }
        for subscriber in members.values { subscriber.end() }
    }

    private func dispatch() {
        let range = tape.range
        // What was dropped before it was shown is missed by everybody.
        if seen < range.lowerBound {
            for subscriber in members.values { wake(subscriber, seen) }
            seen = range.lowerBound
        }
        while seen < range.upperBound {
            if let entry = tape.entry(seen) {
                wake(for: entry, seen)
                seenPosition = entry.position
            }
            seen += 1
        }
    }

    private func wake(for entry: LiveEntry, _ number: Int) {
        switch entry.content {
        case .trades: wake(trades, entry.bySymbol.keys, number)
        case .bars: wake(bars, entry.bySymbol.keys, number)
        case .gap where entry.bySymbol.isEmpty: for subscriber in members.values { wake(subscriber, number) }
        case .gap:
            wake(trades, entry.bySymbol.keys, number)
            wake(bars, entry.bySymbol.keys, number)
        }
    }

    private func wake(_ index: Index, _ symbols: Dictionary<String, [Int32]>.Keys, _ number: Int) {
        for subscriber in index.all.values { wake(subscriber, number) }
        if index.bySymbol.isEmpty { return }
        for symbol in symbols {
            guard let wanting = index.bySymbol[symbol] else { continue }
            for subscriber in wanting.values { wake(subscriber, number) }
        }
    }

    private func wake(_ subscriber: LiveSubscriber, _ number: Int) {
        guard subscriber.next == nil, number >= subscriber.floor else { return }
        subscriber.next = number
        subscriber.wake()
    }

    /// Once a second, those who have heard nothing for long are shown that the stream is alive.
    private func scheduleSweep() {
        if sweepIsScheduled || members.isEmpty { return }
        sweepIsScheduled = true
        loop.schedule(at: .now() + Self.sweepInterval) { [weak self] in
            guard let self else { return }
            sweepIsScheduled = false
            for subscriber in members.values where subscriber.heardAt + heartbeat <= loop.now {
                subscriber.heardAt = loop.now
                subscriber.isHeartbeatDue = true
                subscriber.wake()
            }
            scheduleSweep()
        }
    }

    // MARK: Coming and going

    /// Adds a subscriber, who is told what comes from now on; or, with a place, what came after it.
    ///
    /// - Returns: the subscriber, and what it must be told to have missed.
    func subscribe(_ filter: LiveFilter, after place: LivePlace? = nil) -> (LiveSubscriber, LiveGap?) {
        loop.preconditionOnLoop()
        let subscriber = LiveSubscriber(filter, floor: tape.range.upperBound, position: tape.position)
        var gap: LiveGap?
        if let place {
            if place.tapeID != tape.tapeID || place.position > tape.position {
                gap = LiveGap(reason: .otherTape)
            } else if let number = tape.place(after: place.position) {
                subscriber.position = place.position
                begin(subscriber, at: number)
            } else {
                let range = tape.range
                let oldest = tape.entry(range.lowerBound)?.after ?? tape.position
                gap = LiveGap(reason: .expired, trades: oldest - place.position)
                subscriber.position = oldest
                begin(subscriber, at: range.lowerBound)
            }
        }
        members[ObjectIdentifier(subscriber)] = subscriber
        enlist(subscriber)
        scheduleSweep()
        return (subscriber, gap)
    }

    private func begin(_ subscriber: LiveSubscriber, at number: Int) {
        subscriber.floor = number
        if number < tape.range.upperBound { subscriber.next = number }
    }

    func unsubscribe(_ subscriber: LiveSubscriber) {
        loop.preconditionOnLoop()
        delist(subscriber)
        members[ObjectIdentifier(subscriber)] = nil
    }

    /// Changes what a subscriber wants.
    func change(_ subscriber: LiveSubscriber, _ filter: LiveFilter) {
        delist(subscriber)
        subscriber.filter = filter
        enlist(subscriber)
    }

    private func enlist(_ subscriber: LiveSubscriber) {
        let filter = subscriber.filter
        if filter.wantsTrades { trades.add(subscriber, filter.symbols) }
        if !filter.timeframes.isEmpty { bars.add(subscriber, filter.symbols) }
        tape.addInterest(filter, 1)
    }

    private func delist(_ subscriber: LiveSubscriber) {
        let filter = subscriber.filter
        if filter.wantsTrades { trades.remove(subscriber, filter.symbols) }
        if !filter.timeframes.isEmpty { bars.remove(subscriber, filter.symbols) }
        tape.addInterest(filter, -1)
    }

    // MARK: What to tell

    /// What a subscriber is to be told next.
    enum News {
        /// A whole entry, for one who wants all of it: to be encoded once for everybody.
        case whole(LiveEntry, number: Int)
        /// Some trades of an entry, by their indices.
        case trades(LiveEntry, number: Int, [Int])
        case bars(LiveEntry, [LiveBar])
        /// Something is not told; `from` is the position after which it is missing.
        case missed(LiveGap, from: Int64, to: Int64)
    }

    /// The next thing to tell a subscriber, who is then taken to know it; nil when it knows everything.
    ///
    /// - Parameter limit: trades at most.
    func next(_ subscriber: LiveSubscriber, limit: Int) -> News? {
        while let number = subscriber.next {
            let range = tape.range
            if number < range.lowerBound {
                guard let news = skip(subscriber, to: range.lowerBound) else { continue }
                return news
            }
            guard number < range.upperBound, let entry = tape.entry(number) else {
                subscriber.next = nil
                return nil
            }
            if let news = take(subscriber, entry, number, limit: limit) {
                subscriber.heardAt = loop.now
                return news
            }
        }
        return nil
    }

    /// It was too slow: what it has not read is no longer there.
    private func skip(_ subscriber: LiveSubscriber, to number: Int) -> News? {
        subscriber.next = number
        guard let oldest = tape.entry(number) else { return nil }
        let from = subscriber.position
        subscriber.position = max(from, oldest.after)
        metrics.told(.slow)
        let gap = LiveGap(
            reason: .slow, trades: max(0, oldest.after - from), since: subscriber.lastTold,
            until: Self.firstTime(oldest))
        return .missed(gap, from: from, to: subscriber.position)
    }

    private static func firstTime(_ entry: LiveEntry) -> Timestamp? {
        if case .trades(let batch) = entry.content { return batch.trades.first?.ts }
        return nil
    }

    private func take(_ subscriber: LiveSubscriber, _ entry: LiveEntry, _ number: Int, limit: Int) -> News? {
        func advance() {
            subscriber.next = number + 1 < tape.range.upperBound ? number + 1 : nil
            subscriber.floor = number + 1
            subscriber.position = max(subscriber.position, entry.position)
            if case .gap(let gap) = entry.content, gap.reason == .otherTape { subscriber.position = entry.position }
        }
        let filter = subscriber.filter
        switch entry.content {
        case .trades(let batch):
            guard filter.wantsTrades else {
                advance()
                return nil
            }
            if filter.symbols == nil && subscriber.position <= entry.after {
                advance()
                subscriber.lastTold = batch.trades.last?.ts
                return .whole(entry, number: number)
            }
            var indices = entry.indices(of: filter.symbols, after: subscriber.position)
            if indices.count > limit {
                indices.removeLast(indices.count - limit)
                subscriber.position = entry.after + Int64(indices[limit - 1]) + 1
            } else {
                advance()
            }
            guard let last = indices.last else { return nil }
            subscriber.lastTold = batch.trades[last].ts
            return .trades(entry, number: number, indices)
        case .bars(let all):
            let told = all.filter {
                filter.timeframes.contains($0.key.timeframe) && ($0.isClosed || !filter.wantsClosedOnly)
                    && filter.wants($0.key.symbol)
            }
            advance()
            return told.isEmpty ? nil : .bars(entry, told)
        case .gap(var gap):
            let from = subscriber.position
            advance()
            if let symbols = filter.symbols, !gap.totals.isEmpty {
                gap.totals = gap.totals.filter { symbols.contains($0.key) }
                if gap.totals.isEmpty { return nil }
                gap.trades = gap.totals.values.reduce(0) { $0 + $1.count }
                gap.since = gap.totals.values.map(\.first).min()
                gap.until = gap.totals.values.map(\.last).max()
            }
            metrics.told(gap.reason)
            return .missed(gap, from: max(from, entry.after), to: entry.position)
        }
    }

    /// Up to where a subscriber knows everything that is for it, once it has been told all there is.
    func place(of subscriber: LiveSubscriber) -> LivePlace {
        let position = subscriber.next == nil ? max(subscriber.position, seenPosition) : subscriber.position
        return LivePlace(tapeID: tape.tapeID, position: position)
    }

    /// The bars that a filter wants and that trades have changed since a place on the tape: of the transaction that
    /// holds its position too, whose bars may not have been told yet. The newest ones, if there are very many.
    func changedBars(_ filter: LiveFilter, since position: Int64) -> [LiveBarKey] {
        if filter.timeframes.isEmpty { return [] }
        let range = tape.range
        var number = tape.place(after: position - 1) ?? range.lowerBound
        while number > range.lowerBound, tape.entry(number)?.isContinuation == true { number -= 1 }
        var keys: Set<LiveBarKey> = []
        while let entry = tape.entry(number) {
            number += 1
            guard case .trades(let batch) = entry.content else { continue }
            for index in entry.indices(of: filter.symbols, after: entry.after) {
                let trade = batch.trades[index]
                for timeframe in filter.timeframes {
                    keys.insert(
                        LiveBarKey(
                            symbol: batch.symbols[Int(trade.symbol)], timeframe: timeframe,
                            start: timeframe.start(of: trade.ts)))
                }
            }
        }
        return keys.sorted(by: LiveBars.precedes).suffix(LiveFeed.barLimit)
    }

    /// The bars that a filter wants, that were open at a place on the tape and have ended since, by the clock or by a later
    /// trade. Whoever comes back may have been told of some, and is told again. The newest ones, if there are very many.
    ///
    /// A bar was open if it is that of a symbol's last trade before the place, as far as that is in memory, or of where the
    /// symbol's time stood then.
    func endedBars(_ filter: LiveFilter, since position: Int64, limit: Int, now: Timestamp) -> [LiveBarKey] {
        let number = tape.place(after: position - 1) ?? tape.range.lowerBound
        guard limit > 0, !filter.timeframes.isEmpty, let committedAt = tape.entry(number)?.committedAt else {
            return []
        }
        let clocks =
            filter.symbols.map { symbols in
                Dictionary(
                    uniqueKeysWithValues: symbols.compactMap { symbol in tape.clock(of: symbol).map { (symbol, $0) } })
            } ?? tape.clocks
        let last = lastTrades(filter, upTo: position, from: number)
        var keys: Set<LiveBarKey> = []
        for (symbol, clock) in clocks {
            let time = clock.time(at: committedAt)
            let before = Timestamp(microseconds: time.microseconds - 2 * SymbolClock.grace)
            for moment in [before, time, last[symbol]].compactMap(\.self) {
                for timeframe in filter.timeframes {
                    let key = LiveBarKey(symbol: symbol, timeframe: timeframe, start: timeframe.start(of: moment))
                    // A bar that begins after the symbol's last trade is not there.
                    if key.start <= clock.latest && clock.isOver(key.end, now: now) { keys.insert(key) }
                }
            }
        }
        return keys.sorted(by: LiveBars.precedes).suffix(limit)
    }

    /// How many entries are looked through for the last trades before a place.
    private static let lookBack = 64

    /// The latest times of the wanted symbols among the entries that end with a position.
    private func lastTrades(_ filter: LiveFilter, upTo position: Int64, from number: Int) -> [String: Timestamp] {
        var times: [String: Timestamp] = [:]
        for number in max(tape.range.lowerBound, number - Self.lookBack)...max(number, tape.range.lowerBound) {
            guard let entry = tape.entry(number), case .trades(let batch) = entry.content else { continue }
            for index in entry.indices(of: filter.symbols, after: entry.after)
            where entry.after + Int64(index) + 1 <= position {
                let trade = batch.trades[index]
                let symbol = batch.symbols[Int(trade.symbol)]
                times[symbol] = max(times[symbol] ?? trade.ts, trade.ts)
            }
        }
        return times
    }

    // MARK: Encoded once

    /// The trades of an entry as events, for all who want them.
    func events(_ entry: LiveEntry, _ number: Int, inMilliseconds: Bool) -> TradeEvents {
        texts.events(entry, number, tapeID: tape.tapeID, inMilliseconds: inMilliseconds)
    }

    /// The trades of a symbol as one of Finnhub's frames, or those of all symbols; for all who want them.
    func frame(_ entry: LiveEntry, _ number: Int, of symbol: String?) -> SharedMessage {
        texts.frame(entry, number, of: symbol, codecs)
    }
}

extension LiveEntry {
    /// The trades of some symbols (nil for all) behind a position, in order.
    func indices(of symbols: Set<String>?, after position: Int64) -> [Int] {
        let first = max(0, Int(position - after))
        guard case .trades(let batch) = content else { return [] }
        guard let symbols else { return first < batch.trades.count ? Array(first..<batch.trades.count) : [] }
        var indices: [Int] = []
        var lists = 0
        // The shorter of the two lists of names is gone through.
        let met =
            symbols.count < bySymbol.count
            ? symbols.lazy.compactMap { self.bySymbol[$0] }.map { $0 }
            : bySymbol.lazy.filter { symbols.contains($0.key) }.map(\.value)
        for list in met {
            lists += 1
            for index in list where index >= first { indices.append(Int(index)) }
        }
        if lists > 1 { indices.sort() }
        return indices
    }
}

/// What the newest entries are as bytes, made when the first subscriber needs it.
private struct EntryTexts {
    private struct Texts {
        var number: Int
        var events: TradeEvents?
        var eventsInMilliseconds: TradeEvents?
        var names: BatchNames?
        var frames: [String: SharedMessage] = [:]
        var wholeFrame: SharedMessage?
    }

    /// Entries whose bytes are kept: those of subscribers who keep up.
    private static let kept = 32

    private var slots = [Texts](repeating: Texts(number: -1), count: EntryTexts.kept)

    mutating func events(_ entry: LiveEntry, _ number: Int, tapeID: String, inMilliseconds: Bool) -> TradeEvents {
        let slot = slot(number)
        if slots[slot].number == number {
            let known = inMilliseconds ? slots[slot].eventsInMilliseconds : slots[slot].events
            if let known { return known }
        }
        guard case .trades(let batch) = entry.content else { preconditionFailure("events of an entry without trades") }
        let events = TradeEvents(batch, after: entry.after, tapeID: tapeID, inMilliseconds: inMilliseconds)
        if slots[slot].number == number {
            if inMilliseconds { slots[slot].eventsInMilliseconds = events } else { slots[slot].events = events }
        }
        return events
    }

    mutating func frame(
        _ entry: LiveEntry, _ number: Int, of symbol: String?, _ codecs: SharedCodecs
    ) -> SharedMessage {
        let slot = slot(number)
        var names: BatchNames?
        if slots[slot].number == number {
            let known = symbol == nil ? slots[slot].wholeFrame : symbol.flatMap { slots[slot].frames[$0] }
            if let known { return known }
            names = slots[slot].names
        }
        guard case .trades(let batch) = entry.content else { preconditionFailure("a frame of an entry without trades") }
        let known = names ?? BatchNames(batch)
        if slots[slot].number == number { slots[slot].names = known }
        var bytes: [UInt8] = []
        let indices = symbol.map { entry.bySymbol[$0]?.map { Int($0) } ?? [] } ?? Array(batch.trades.indices)
        bytes.appendFinnhubFrame(batch, indices, known)
        let frame = SharedMessage(.text, bytes, codecs: codecs)
        if slots[slot].number == number {
            if let symbol { slots[slot].frames[symbol] = frame } else { slots[slot].wholeFrame = frame }
        }
        return frame
    }

    /// The slot of a number, which is the number's own unless a newer one has it.
    private mutating func slot(_ number: Int) -> Int {
        let slot = number % Self.kept
        if slots[slot].number < number { slots[slot] = Texts(number: number) }
        return slot
    }
}
