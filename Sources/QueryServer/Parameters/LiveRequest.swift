// SPDX-License-Identifier: Apache-2.0
// What a subscriber wants to hear of.

import HTTP
import Market

/// Which trades and bars.
struct LiveFilter: Sendable, Equatable {
    /// Nil for all.
    var symbols: Set<String>?
    var wantsTrades = true
    /// Of bars; none where no bars are wanted.
    var timeframes: Set<Timeframe> = []
    /// Bars are told only when they are over, and not with each change.
    var wantsClosedOnly = false

    /// Whether a symbol is among those wanted.
    func wants(_ symbol: String) -> Bool { symbols?.contains(symbol) ?? true }
}

/// A place on the tape, as subscribers keep it: opaque to them.
struct LivePlace: Equatable, Sendable {
    var tapeID: String
    /// Of the last trade that was told.
    var position: Int64

    init(tapeID: String, position: Int64) {
        self.tapeID = tapeID
        self.position = position
    }

    /// As it stands in `id:` and `Last-Event-ID`.
    var text: String { "\(tapeID)-\(position)" }

    /// Nil if `text` is not such a text.
    init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...64).contains(parts[0].utf8.count),
            parts[0].utf8.allSatisfy({ $0 &- 0x30 < 10 || $0 &- 0x61 < 26 }), let position = Int64(parts[1]),
            position >= 0
        else { return nil }
        self.init(tapeID: String(parts[0]), position: position)
    }
}

/// A request for `/api/v1/stream`.
struct LiveRequest: Equatable {
    static let names = [
        "symbol", "symbols", "channel", "channels", "timeframe", "timeframes", "bars", "time", "last_event_id",
        "token",
    ]
    private static let channels = ["trades", "bars"]

    var filter = LiveFilter()
    /// Times as epoch milliseconds instead of RFC 3339.
    var timeInMilliseconds: Bool
    /// Where to go on.
    var place: LivePlace?

    /// - Parameter lastEventID: the field `Last-Event-ID`, which goes before the parameter.
    init(
        _ query: QueryParameters, lastEventID: String?, _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        let reader = try ParameterReader(
            query, known: Self.names,
            repeatable: ["symbol", "symbols", "channel", "channels", "timeframe", "timeframes"])
        filter.symbols = try MarketRequest.symbols(reader, limit: configuration.symbolLimit).map { Set($0) }
        let channels = try Self.values(reader, ["channel", "channels"], Self.channels)
        filter.wantsTrades = channels.isEmpty || channels.contains("trades")
        if channels.isEmpty || channels.contains("bars") {
            filter.timeframes = try Self.timeframes(reader)
            if filter.timeframes.isEmpty { filter.timeframes = [.minute1] }
        }
        filter.wantsClosedOnly = try reader.choice("bars", ["all", "closed"]) == "closed"
        timeInMilliseconds = try reader.choice("time", ["iso", "ms"]) == "ms"
        if let text = lastEventID ?? reader.text("last_event_id"), !text.isEmpty {
            guard let place = LivePlace(text) else {
                throw ParameterReader.invalid(
                    "last_event_id", text, allowed: "the id of an event of this stream",
                    hint: "Leave Last-Event-ID out to begin with what comes from now on.")
            }
            self.place = place
        }
    }

    /// Stored timeframes, in any spelling of intervals.
    private static func timeframes(_ reader: ParameterReader) throws(QueryError) -> Set<Timeframe> {
        var timeframes: Set<Timeframe> = []
        for name in ["timeframe", "timeframes"] {
            for text in reader.list(name) {
                let interval = try MarketRequest.interval(text, name, onlyStored: true)
                if let timeframe = interval.timeframe { timeframes.insert(timeframe) }
            }
        }
        return timeframes
    }

    private static func values(
        _ reader: ParameterReader, _ names: [String], _ allowed: [String]
    ) throws(QueryError) -> [String] {
        var values: [String] = []
        for name in names {
            for value in reader.list(name) {
                guard allowed.contains(value) else {
                    throw ParameterReader.invalid(
                        name, value, allowed: "some of \(allowed.joined(separator: ", ")), between commas")
                }
                values.append(value)
            }
        }
        return values
    }
}
