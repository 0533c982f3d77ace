// SPDX-License-Identifier: Apache-2.0
// Parameters as Grafana sends them: macros that nobody has replaced, symbols in its own lists.

import HTTP
import Market

/// The parameters that the questions of panels share.
enum GrafanaParameters {
    /// The most symbols in one reply of series.
    static let symbolLimit = 100
    /// The most values in one reply, which is in memory before its first byte leaves.
    static let valueLimit = 500_000

    /// The pairs without those whose value is a macro of Grafana's that has arrived as it is written, as they do in alert
    /// rules (`$__interval`, `${__from:date}`): what they stand for is then up to us.
    ///
    /// - Throws: ``QueryError`` for a variable of a dashboard in their place: nothing could stand for that.
    static func pairs(_ query: some Sequence<QueryParameters.Pair>) throws(QueryError) -> [QueryParameters.Pair] {
        var pairs: [QueryParameters.Pair] = []
        for pair in query {
            if pair.value.hasPrefix("$__all") || !pair.value.hasPrefix("$") {
                pairs.append(pair)
                continue
            }
            if pair.value.hasPrefix("$__") || pair.value.hasPrefix("${__") { continue }
            // A symbol may begin with a dollar sign, but variables are in small letters.
            guard pair.value.hasPrefix("${") || pair.value.dropFirst().first?.isLowercase == true else {
                pairs.append(pair)
                continue
            }
            throw QueryError(
                400, "unreplaced_variable", "variable \(pair.value.prefix(40)) of \"\(pair.name)\" has no value here",
                details: "Grafana replaces variables of dashboards in panels only.",
                hint: "In an alert rule, write the value itself.")
        }
        return pairs
    }

    /// Of `symbol` and `symbols`, in their order: one, several between commas, or several in any other way in which
    /// Grafana writes the values of a variable: `{A,B}`, `(A|B)`, `A|B`, `'A','B'`, `["A","B"]`. Nil for all: `$__all`, `.*`,
    /// or nothing.
    static func symbols(_ reader: ParameterReader) throws(QueryError) -> [String]? {
        var symbols: [String] = []
        for name in ["symbol", "symbols"] {
            guard let text = reader.text(name) else { continue }
            for symbol in values(text) {
                if ["$__all", ".*"].contains(symbol) { return nil }
                try MarketRequest.check(symbol, name)
                if !symbols.contains(symbol) { symbols.append(symbol) }
            }
        }
        if symbols.count > symbolLimit {
            throw QueryError(400, "too_many_symbols", "more than \(symbolLimit) symbols")
        }
        return symbols.isEmpty ? nil : symbols
    }

    /// The values of a list in any of the formats of a variable: glob, csv, regex, pipe, singlequote, doublequote and json.
    ///
    /// No value has a backslash, which makes what is behind it part of a value: of a regular expression what is special in
    /// it is escaped, of one value too. A `|` stands between values where nothing else could.
    private static func values(_ text: String) -> [String] {
        var text = Substring(text.trimmed)
        var separator: Character = text.contains(",") ? "," : "|"
        switch (text.first, text.last) {
        case ("{", "}"), ("[", "]"): (text, separator) = (text.dropFirst().dropLast(), ",")
        case ("(", ")"): (text, separator) = (text.dropFirst().dropLast(), "|")
        default: break
        }
        var values: [String] = []
        var value = ""
        var quote: Character?
        var isEscaped = false
        for character in text {
            if isEscaped || character == "\\" {
                if isEscaped { value.append(character) }
                isEscaped = !isEscaped
            } else if character == quote {
                quote = nil
            } else if quote == nil && (character == "'" || character == "\"") && value.trimmed.isEmpty {
                quote = character
            } else if quote == nil && character == separator {
                values.append(value.trimmed)
                value = ""
            } else {
                value.append(character)
            }
        }
        values.append(value.trimmed)
        return values.filter { !$0.isEmpty }
    }

    /// What a panel is told that cannot be of all symbols, or is of none.
    static func needsSymbol(_ reader: ParameterReader, allowed: String) -> QueryError {
        for name in ["symbol", "symbols"] {
            if let text = reader.text(name) { return ParameterReader.invalid(name, text, allowed: allowed) }
        }
        return ParameterReader.missing("symbol", allowed: allowed)
    }

    /// Refuses an answer of more values than may be in memory.
    static func check(size: Int) throws(QueryError) {
        if size > valueLimit {
            throw QueryError(
                400, "too_many_values", "more than \(valueLimit) values",
                hint: "Ask for fewer symbols or fields, or a smaller maxDataPoints.")
        }
    }

    /// The points that fit a panel.
    static func points(_ reader: ParameterReader, standard: Int) throws(QueryError) -> Int {
        // Grafana computes it from pixels; what is too much is as much as there may be.
        min(try reader.integer("maxDataPoints", in: 1...1_000_000) ?? standard, 50_000)
    }

    /// The interval asked for: `interval` in any spelling of intervals and Grafana's own (`500ms`; `15000`, which is what
    /// becomes of `${__interval_ms}`), or `intervalMs`; nil for `auto` or none.
    static func interval(_ reader: ParameterReader) throws(QueryError) -> BarInterval? {
        if let milliseconds = try reader.integer("intervalMs", in: 1...Int(Int32.max) * 100) {
            return narrowest(atLeast: Int64(milliseconds) * 1000)
        }
        guard let text = reader.text("interval"), text != "auto" else { return nil }
        if text.hasSuffix("ms"), let count = Int64(text.dropLast(2)), (1...1_000_000_000).contains(count) {
            return narrowest(atLeast: count * 1000)
        }
        if let count = Int64(text), (50...Int64(Int32.max) * 100).contains(count), !minutes.isMultiple(of: count) {
            return narrowest(atLeast: count * 1000)
        }
        return try MarketRequest.interval(text, "interval")
    }

    /// Those of a week. A number of minutes that somebody means divides them; one of milliseconds that Grafana computes,
    /// which from 50 on are multiples of 25, does not.
    private static let minutes: Int64 = 10_080

    /// The steps that charts are read in.
    static let steps: [BarInterval] = [
        "1s", "5s", "15s", "30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w",
        "1M",
        "3M", "1y", "5y",
    ].compactMap(BarInterval.init)

    /// The narrowest of ``steps`` that is not narrower than so many microseconds.
    static func narrowest(atLeast width: Int64) -> BarInterval {
        steps.first { $0.narrowestWidth >= width } ?? steps[steps.count - 1]
    }

    /// The narrowest step of which at most `count` lie in a range, those that it cuts among them.
    static func narrowest(_ range: TimeRange, now: Timestamp, count: Int) -> BarInterval {
        if range.from == nil { return BarInterval(.minute1) }
        return steps.first { fits($0, range, now: now, count: count) } ?? steps[steps.count - 1]
    }

    /// Whether at most `count` steps lie in a range, those that it cuts among them; of one without a beginning any number.
    static func fits(_ step: BarInterval, _ range: TimeRange, now: Timestamp, count: Int) -> Bool {
        guard let from = range.from else { return true }
        let to = max(from, range.to ?? now)
        let last = from < to ? Timestamp(microseconds: to.microseconds - 1) : to
        let (width, overflows) = step.start(of: last).microseconds.subtractingReportingOverflow(
            step.start(of: from).microseconds)
        return !overflows && width / step.narrowestWidth < Int64(max(1, count))
    }

    /// The step asked for, or a wider one of which no more than `count` lie in the range.
    static func atLeast(_ asked: BarInterval, _ range: TimeRange, now: Timestamp, count: Int) -> BarInterval {
        if fits(asked, range, now: now, count: count) { return asked }
        let fitting = narrowest(range, now: now, count: count)
        return asked.narrowestWidth < fitting.narrowestWidth ? fitting : asked
    }
}

extension String {
    /// Without blanks at its ends.
    fileprivate var trimmed: String {
        var text = Substring(self)
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}

extension BarInterval {
    /// The microseconds of the shortest such bar.
    var narrowestWidth: Int64 {
        let start = start(of: Timestamp(microseconds: 0))
        // February is the shortest month, and years may be ordinary ones.
        let width = self.start(after: start).microseconds - start.microseconds
        return name.hasSuffix("M") ? width / 31 * 28 : width
    }
}
