// SPDX-License-Identifier: Apache-2.0
// Pieces of the tape as subscribers get them: server-sent events, and Finnhub's frames. Pure.

import Market

/// The trades of an entry as server-sent events, one after the other.
struct TradeEvents {
    private(set) var bytes: [UInt8] = []
    /// Where each trade's event ends.
    private(set) var ends: [Int] = []

    /// All trades of `batch`, whose first one has the position behind `after`.
    init(_ batch: LiveBatch, after: Int64, tapeID: String, inMilliseconds: Bool) {
        let names = BatchNames(batch)
        bytes.reserveCapacity(200 * batch.trades.count)
        ends.reserveCapacity(batch.trades.count)
        for (index, trade) in batch.trades.enumerated() {
            bytes.appendTradeEvent(
                trade, names, LivePlace(tapeID: tapeID, position: after + Int64(index) + 1), inMilliseconds)
            ends.append(bytes.count)
        }
    }

    /// The bytes of the event of one trade.
    func range(of index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }
}

/// The names of a batch, each as a JSON value.
struct BatchNames {
    var symbols: [[UInt8]]
    var sources: [[UInt8]]
    var conditions: [[UInt8]]

    init(_ batch: LiveBatch) {
        func json(_ text: String) -> [UInt8] {
            var bytes: [UInt8] = []
            bytes.appendJSONString(text)
            return bytes
        }
        symbols = batch.symbols.map(json)
        sources = batch.sources.map(json)
        conditions = batch.conditions.map { set in
            var bytes = Array("[".utf8)
            for (index, text) in set.enumerated() {
                if index > 0 { bytes.appendText(",") }
                bytes.appendJSONString(text)
            }
            bytes.appendText("]")
            return bytes
        }
    }
}

extension [UInt8] {
    /// The event of one trade: the members of REST's trades.
    mutating func appendTradeEvent(
        _ trade: LiveBatch.Trade, _ names: BatchNames, _ place: LivePlace, _ inMilliseconds: Bool
    ) {
        appendText("event: trade\nid: ")
        appendText(place.text)
        appendText("\ndata: {\"symbol\":")
        append(contentsOf: names.symbols[Int(trade.symbol)])
        appendText(",\"ts\":")
        appendMoment(trade.ts, inMilliseconds: inMilliseconds)
        appendText(",\"source\":")
        append(contentsOf: names.sources[Int(trade.source)])
        appendText(",\"trade_id\":\"")
        appendInteger(trade.tradeID)
        appendText("\",\"price\":")
        appendNumber(trade.price)
        appendText(",\"size\":")
        appendNumber(trade.size)
        appendText(",\"conditions\":")
        append(contentsOf: names.conditions[Int(trade.conditions)])
        appendText("}\n\n")
    }

    /// The event of one bar: the members of REST's bars, its timeframe, and whether it is over.
    mutating func appendBarEvent(_ bar: LiveBar, _ place: LivePlace, _ inMilliseconds: Bool) {
        appendText("event: bar\nid: ")
        appendText(place.text)
        appendText("\ndata: {\"symbol\":")
        appendJSONString(bar.key.symbol)
        appendText(",\"timeframe\":\"")
        appendText(bar.key.timeframe.name)
        appendText("\",\"ts\":")
        appendMoment(bar.key.start, inMilliseconds: inMilliseconds)
        appendText(",")
        append(contentsOf: bar.values)
        appendText(bar.isClosed ? ",\"closed\":true}\n\n" : ",\"closed\":false}\n\n")
    }

    /// The event that tells what is not told.
    ///
    /// - Parameters:
    ///   - from: the place after which something is missing; nil if it is on another tape.
    ///   - to: the place from where on everything is told again.
    mutating func appendMissedEvent(
        _ gap: LiveGap, from: LivePlace?, to: LivePlace, inMilliseconds: Bool
    ) {
        appendText("event: missed\nid: ")
        appendText(to.text)
        appendText("\ndata: {\"reason\":\"")
        appendText(gap.reason.rawValue)
        appendText("\",\"trades\":")
        appendText(gap.trades.map { String($0) } ?? "null")
        appendText(",\"from\":")
        appendJSONString(from?.text)
        appendText(",\"to\":")
        appendJSONString(to.text)
        for (name, time) in [("since", gap.since), ("until", gap.until)] {
            appendText(",\"\(name)\":")
            if let time { appendMoment(time, inMilliseconds: inMilliseconds) } else { appendText("null") }
        }
        appendText(",\"symbols\":")
        if gap.totals.isEmpty {
            appendText("null")
        } else {
            for (index, total) in gap.totals.sorted(by: { $0.key < $1.key }).enumerated() {
                appendText(index == 0 ? "{" : ",")
                appendJSONString(total.key)
                appendText(":")
                appendInteger(total.value.count)
            }
            appendText("}")
        }
        appendText("}\n\n")
    }

    /// The event that shows that the stream is alive, and moves the place of a subscriber whose symbols are quiet; the
    /// comment is for those who only look for one.
    mutating func appendHeartbeat(_ place: LivePlace, isConnected: Bool, now: Timestamp, inMilliseconds: Bool) {
        appendText(": heartbeat\nevent: heartbeat\nid: ")
        appendText(place.text)
        appendText("\ndata: {\"ts\":")
        appendMoment(now, inMilliseconds: inMilliseconds)
        appendText(isConnected ? ",\"live\":true}\n\n" : ",\"live\":false}\n\n")
    }

    /// The first event: where the stream begins, and how soon to come back when it breaks.
    mutating func appendReady(_ place: LivePlace, now: Timestamp, inMilliseconds: Bool) {
        appendText("retry: 1000\nevent: ready\nid: ")
        appendText(place.text)
        appendText("\ndata: {\"ts\":")
        appendMoment(now, inMilliseconds: inMilliseconds)
        appendText("}\n\n")
    }

    /// Finnhub's frame of some trades (https://finnhub.io/docs/api/websocket-trades): `c` conditions, `p` price, `s`
    /// symbol, `t` milliseconds, `v` volume. A trade without conditions has null.
    mutating func appendFinnhubFrame(_ batch: LiveBatch, _ indices: some Sequence<Int>, _ names: BatchNames) {
        appendText("{\"data\":[")
        var isFirst = true
        for index in indices {
            let trade = batch.trades[index]
            appendText(isFirst ? "{\"c\":" : ",{\"c\":")
            isFirst = false
            if batch.conditions[Int(trade.conditions)].isEmpty {
                appendText("null")
            } else {
                append(contentsOf: names.conditions[Int(trade.conditions)])
            }
            appendText(",\"p\":")
            appendNumber(trade.price)
            appendText(",\"s\":")
            append(contentsOf: names.symbols[Int(trade.symbol)])
            appendText(",\"t\":")
            appendMoment(trade.ts, inMilliseconds: true)
            appendText(",\"v\":")
            appendNumber(trade.size)
            appendText("}")
        }
        appendText("],\"type\":\"trade\"}")
    }

    /// Finnhub's frame of an error.
    mutating func appendFinnhubError(_ message: String) {
        appendText("{\"msg\":")
        appendJSONString(message)
        appendText(",\"type\":\"error\"}")
    }
}
