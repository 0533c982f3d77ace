// SPDX-License-Identifier: Apache-2.0
// What has been committed lately, in memory, for all event loops. Usable from any thread.

import EventLoop
import Market
import Synchronization

/// What a part of the tape is about that subscribers cannot be told trade by trade.
struct LiveGap: Sendable {
    /// Why it is not told.
    enum Reason: String, Sendable {
        /// One transaction took in more than can be followed: a file, or what the log held after a pause.
        case bulk
        /// It is no longer kept: the subscriber, or this server, was away for too long.
        case expired
        /// The subscriber took its events more slowly than they came.
        case slow
        /// The store is not the one that the subscriber knows.
        case otherTape = "other_tape"
    }

    var reason: Reason
    /// Trades of all symbols; nil where nobody knows.
    var trades: Int64?
    /// The earliest and the latest time among them, as far as is known.
    var since: Timestamp?
    var until: Timestamp?
    /// How many of each symbol, where it is known.
    var totals: [String: LiveBatch.Total] = [:]
}

/// A bar as it stood after a commit.
struct LiveBar: Sendable {
    var key: LiveBarKey
    /// No trade in the order of time can change it any more; a late one still can, and then it is told again.
    var isClosed: Bool
    /// Open to trade_count, as members of a JSON object, in PostgreSQL's own text.
    var values: [UInt8]
}

/// Which bar.
struct LiveBarKey: Hashable, Sendable {
    var symbol: String
    var timeframe: Timeframe
    var start: Timestamp

    /// When it is over.
    var end: Timestamp { Timestamp(microseconds: start.microseconds + timeframe.microseconds) }
}

/// A piece of the tape: the trades of one transaction, bars that they changed, or a gap.
final class LiveEntry: Sendable {
    enum Content: Sendable {
        case trades(LiveBatch)
        case bars([LiveBar])
        case gap(LiveGap)
    }

    /// The position before its first trade.
    let after: Int64
    /// The position of its last trade; of an entry without trades, the one before it.
    let position: Int64
    let content: Content
    /// Which of its trades or bars are of a symbol, in order.
    let bySymbol: [String: [Int32]]
    /// Whether it belongs to the same transaction as the entry before it.
    let isContinuation: Bool
    /// When its transaction was; nil of what is none.
    let committedAt: Timestamp?
    /// About what it takes in memory.
    let memory: Int

    /// Trades of one entry. A larger transaction becomes several, so that what is encoded at once stays small.
    static let tradeLimit = 1024

    /// The trades of a transaction that follow the position `after`.
    static func entries(_ batch: LiveBatch, after: Int64, committedAt: Timestamp? = nil) -> [LiveEntry] {
        var entries: [LiveEntry] = []
        var start = 0
        while start < batch.trades.count {
            let end = min(start + tradeLimit, batch.trades.count)
            var piece = batch
            if start > 0 || end < batch.trades.count { piece.trades = Array(batch.trades[start..<end]) }
            entries.append(
                LiveEntry(
                    after: after + Int64(start), position: after + Int64(end), .trades(piece),
                    isContinuation: start > 0, committedAt: committedAt))
            start = end
        }
        return entries
    }

    init(
        after: Int64, position: Int64, _ content: Content, isContinuation: Bool = false, committedAt: Timestamp? = nil
    ) {
        self.after = after
        self.position = position
        self.content = content
        self.isContinuation = isContinuation
        self.committedAt = committedAt
        var bySymbol: [String: [Int32]] = [:]
        switch content {
        case .trades(let batch):
            var lists = [[Int32]](repeating: [], count: batch.symbols.count)
            for (index, trade) in batch.trades.enumerated() { lists[Int(trade.symbol)].append(Int32(index)) }
            for (symbol, list) in zip(batch.symbols, lists) where !list.isEmpty { bySymbol[symbol] = list }
            memory = 256 + 64 * batch.trades.count + 160 * batch.symbols.count
        case .bars(let bars):
            for (index, bar) in bars.enumerated() { bySymbol[bar.key.symbol, default: []].append(Int32(index)) }
            memory = 256 + 400 * bars.count
        case .gap(let gap):
            for symbol in gap.totals.keys { bySymbol[symbol] = [] }
            memory = 256 + 160 * gap.totals.count
        }
        self.bySymbol = bySymbol
    }
}

/// Whose bars are wanted, by how many subscribers.
struct BarInterest: Sendable {
    private var all = [Int](repeating: 0, count: Timeframe.allCases.count)
    private var symbols = [[String: Int]](repeating: [:], count: Timeframe.allCases.count)

    mutating func add(_ filter: LiveFilter, _ count: Int) {
        for timeframe in filter.timeframes {
            let index = Int(timeframe.rawValue)
            guard let wanted = filter.symbols else {
                all[index] += count
                continue
            }
            for symbol in wanted {
                let sum = (symbols[index][symbol] ?? 0) + count
                symbols[index][symbol] = sum > 0 ? sum : nil
            }
        }
    }

    var isNone: Bool { all.allSatisfy { $0 == 0 } && symbols.allSatisfy(\.isEmpty) }

    /// The timeframes in which bars of a symbol are wanted.
    func timeframes(of symbol: String) -> [Timeframe] {
        Timeframe.allCases.filter { all[Int($0.rawValue)] > 0 || symbols[Int($0.rawValue)][symbol] != nil }
    }
}

/// Where a symbol's own time stands.
struct SymbolClock: Sendable {
    /// The latest trade.
    var latest: Timestamp
    /// How far it was behind the wall clock when it was committed: little for a live source, years for a replay.
    var lag: Int64

    /// Whether a bar that ends then is over: a later trade has come, or, at the pace at which the symbol's time has
    /// been running, would have come by now.
    func isOver(_ end: Timestamp, now: Timestamp) -> Bool {
        latest >= end || now.microseconds - lag >= end.microseconds + Self.grace
    }

    /// Where the symbol's time stood then.
    func time(at moment: Timestamp) -> Timestamp { Timestamp(microseconds: moment.microseconds - lag) }

    /// How long after its end a bar is waited for.
    static let grace: Int64 = 1_000_000
}

/// The newest pieces of the tape, up to a number of bytes, and who waits for the next one.
///
/// ``LiveFeed`` appends, on its loop; a ``LiveDesk`` for each loop reads. Subscribers hold no events of their own, only
/// a place in here, so what one of them has not read yet costs nothing.
final class LiveTape: Sendable {
    private struct State {
        /// The entries kept; `first` is the number of the one at `head`.
        var entries: [LiveEntry?] = []
        var head = 0
        var first = 0
        var memory = 0
        var tapeID = ""
        var position: Int64 = 0
        /// The feed has caught up with the store since it was last asked to.
        var isFollowed = false
        /// The store can be reached.
        var isConnected = false
        var isClosed = false
        var subscribers = 0
        var subscribersOfClient: [String: Int] = [:]
        var interest = BarInterest()
        /// Since when somebody has wanted bars that the feed may not have looked for.
        var newInterest: Timestamp?
        var clocks: [String: SymbolClock] = [:]
        var readers: [Waiter] = []
        var followers: [Waiter] = []
        var feed: Waiter?

        var end: Int { first + entries.count - head }
    }

    private let state = Mutex(State())
    /// Most bytes of entries kept.
    let memoryLimit: Int

    init(memoryLimit: Int) { self.memoryLimit = memoryLimit }

    // MARK: For the feed

    /// Adds entries and wakes who waits for them.
    func append(_ added: [LiveEntry]) {
        if added.isEmpty { return }
        let waiting = state.withLock { state in
            for entry in added {
                state.entries.append(entry)
                state.memory += entry.memory
                state.position = entry.position
            }
            // The newest entry stays, whatever its size.
            while state.memory > memoryLimit && state.entries.count - state.head > 1 {
                state.memory -= state.entries[state.head]?.memory ?? 0
                state.entries[state.head] = nil
                state.head += 1
                state.first += 1
            }
            if state.head > 1024 && state.head > state.entries.count / 2 {
                state.entries.removeFirst(state.head)
                state.head = 0
            }
            defer { state.readers = [] }
            return state.readers
        }
        for waiter in waiting { waiter.resume() }
    }

    /// Begins anew at a position of a tape: what is in memory is of no use.
    func restart(_ tapeID: String, at position: Int64) {
        state.withLock { state in
            state.first = state.end
            state.entries = []
            state.head = 0
            state.memory = 0
            state.tapeID = tapeID
            state.position = position
            state.clocks = [:]
        }
    }

    /// Notes that the feed has caught up; or that it follows no more.
    func setFollowed(_ isFollowed: Bool) {
        let waiting = state.withLock { state in
            state.isFollowed = isFollowed
            defer { if isFollowed { state.followers = [] } }
            return isFollowed ? state.followers : []
        }
        for waiter in waiting { waiter.resume() }
    }

    func setConnected(_ isConnected: Bool) { state.withLock { $0.isConnected = isConnected } }

    /// Notes the latest trades of a batch.
    func noteClocks(_ batch: LiveBatch, committedAt: Timestamp) {
        state.withLock { state in
            for trade in batch.trades {
                let symbol = batch.symbols[Int(trade.symbol)]
                if let known = state.clocks[symbol], known.latest >= trade.ts { continue }
                state.clocks[symbol] = SymbolClock(
                    latest: trade.ts, lag: committedAt.microseconds - trade.ts.microseconds)
            }
        }
    }

    var interest: BarInterest { state.withLock { $0.interest } }

    var subscriberCount: Int { state.withLock { $0.subscribers } }

    /// Has `waiter` resumed when there is somebody to follow the tape for; at once if there is, or it is closed.
    func waitForDemand(_ waiter: Waiter) {
        let isThere = state.withLock { state in
            state.feed = waiter
            return state.subscribers > 0 || state.isClosed
        }
        if isThere { waiter.resume() }
    }

    // MARK: For desks

    var tapeID: String { state.withLock { $0.tapeID } }
    var position: Int64 { state.withLock { $0.position } }
    var isConnected: Bool { state.withLock { $0.isConnected } }
    var isFollowed: Bool { state.withLock { $0.isFollowed } }
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// The numbers of the entries that are kept.
    var range: Range<Int> { state.withLock { $0.first..<$0.end } }

    /// The entry of a number, or nil if it is no longer kept or not there yet.
    func entry(_ number: Int) -> LiveEntry? {
        state.withLock { state in
            guard number >= state.first && number < state.end else { return nil }
            return state.entries[state.head + number - state.first]
        }
    }

    /// The numbers of the entries from the one that holds the trade after `position` on; nil if what came after
    /// `position` is no longer all there.
    func place(after position: Int64) -> Int? {
        state.withLock { state in
            let kept = state.entries[state.head...]
            guard let oldest = kept.first.flatMap({ $0 }) else { return position == state.position ? state.end : nil }
            if position < oldest.after { return nil }
            var low = 0
            var high = kept.count
            while low < high {
                let middle = (low + high) / 2
                if (kept[kept.startIndex + middle]?.position ?? 0) > position {
                    high = middle
                } else {
                    low = middle + 1
                }
            }
            return state.first + low
        }
    }

    func clock(of symbol: String) -> SymbolClock? { state.withLock { $0.clocks[symbol] } }

    /// Those of all symbols.
    var clocks: [String: SymbolClock] { state.withLock { $0.clocks } }

    /// Has `waiter` resumed when there is an entry of number `end` or above; at once if there is, or it is closed.
    func waitForEntry(_ end: Int, _ waiter: Waiter) {
        let isThere = state.withLock { state in
            if state.end > end || state.isClosed { return true }
            state.readers.append(waiter)
            return false
        }
        if isThere { waiter.resume() }
    }

    /// Waits until the feed has caught up, or `deadline`; returns whether it has.
    func waitUntilFollowed(on loop: EventLoop, until deadline: MonotonicTime) async -> Bool {
        let waiter = Waiter()
        let isThere = state.withLock { state in
            if state.isFollowed || state.isClosed { return true }
            state.followers.append(waiter)
            return false
        }
        if !isThere {
            loop.schedule(at: deadline) { waiter.resume() }
            await withUnsafeContinuation { waiter.arm($0) }
            state.withLock { state in state.followers.removeAll { $0 === waiter } }
        }
        return state.withLock { $0.isFollowed && !$0.isClosed }
    }

    /// Counts a subscriber in; the feed begins to follow with the first. Every return is followed by one
    /// ``leave(_:)``.
    ///
    /// - Parameter client: its address.
    /// - Throws: 429 if the client has as many as one may have, 503 if there are as many as there may be.
    func enter(_ client: String, _ limits: LiveLimits) throws(QueryError) {
        let feed = try state.withLock { state throws(QueryError) -> Waiter? in
            let ofClient = state.subscribersOfClient[client] ?? 0
            if ofClient >= limits.subscribersPerClient {
                throw QueryError(
                    429, "too_many_subscribers", "too many live subscriptions of yours",
                    details: "\(ofClient) are open.", hint: "Subscribe to several symbols in one.",
                    retryAfterSeconds: 5)
            }
            if state.subscribers >= limits.subscribers {
                throw QueryError(
                    503, "overloaded", "too many live subscriptions", hint: "Try again in a moment.",
                    retryAfterSeconds: 5)
            }
            state.subscribers += 1
            state.subscribersOfClient[client] = ofClient + 1
            return state.subscribers == 1 ? state.feed : nil
        }
        feed?.resume()
    }

    func leave(_ client: String) {
        state.withLock { state in
            state.subscribers -= 1
            let left = (state.subscribersOfClient[client] ?? 1) - 1
            state.subscribersOfClient[client] = left > 0 ? left : nil
        }
    }

    /// Notes that one more subscriber (or, with -1, one less) wants the bars of a filter.
    func addInterest(_ filter: LiveFilter, _ count: Int) {
        if filter.timeframes.isEmpty { return }
        let now = QueryHandler.now()
        state.withLock { state in
            state.interest.add(filter, count)
            if count > 0 { state.newInterest = state.newInterest ?? now }
        }
    }

    /// Since when somebody new has wanted bars; nil if nobody has since the last time this was asked.
    func takeNewInterest() -> Timestamp? {
        state.withLock { state in
            defer { state.newInterest = nil }
            return state.newInterest
        }
    }

    /// Wakes everybody for the last time.
    func close() {
        let waiting = state.withLock { state in
            state.isClosed = true
            defer {
                state.readers = []
                state.followers = []
            }
            return state.readers + state.followers + [state.feed].compactMap(\.self)
        }
        for waiter in waiting { waiter.resume() }
    }
}
