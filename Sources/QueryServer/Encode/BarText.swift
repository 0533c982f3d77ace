// SPDX-License-Identifier: Apache-2.0
// Bars in memory as JSON and CSV.

import Market

extension [UInt8] {
    /// A double as a JSON number, in the fewest digits that tell it apart; null if there is none, or none in JSON.
    mutating func appendNumber(_ value: Double?) {
        guard let value, value.isFinite else { return appendText("null") }
        appendDigits(value)
    }

    /// The digits of a finite double, without a fraction of zero.
    mutating func appendDigits(_ value: Double) {
        let text = value.description.utf8
        append(contentsOf: text.suffix(2).elementsEqual(".0".utf8) ? text.dropLast(2) : text[...])
    }

    /// A moment as RFC 3339 in quotes, or as milliseconds.
    mutating func appendMoment(_ time: Timestamp, inMilliseconds: Bool) {
        if inMilliseconds { return appendInteger(floorDivide(time.microseconds, 1000)) }
        appendText("\"\(time)\"")
    }
}

/// The rows of `shape=rows` and `shape=wide`.
struct BarText {
    let format: ReplyFormat
    let timeInMilliseconds: Bool

    static let names = ["symbol", "ts", "open", "high", "low", "close", "volume", "vwap", "trade_count"]

    /// The header line of CSV.
    func appendHeader(_ names: [String], to bytes: inout [UInt8]) {
        RowEncoder(names.map { .init(name: $0, form: .scalar(.text)) }, layout: .csv).appendCSVHeader(to: &bytes)
    }

    /// One bar, as `GET /api/v1/bars` has it.
    func append(_ bar: PriceBar, _ symbol: String, to bytes: inout [UInt8]) {
        let numbers = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap]
        if format == .csv {
            appendField(symbol, to: &bytes)
            bytes.append(UInt8(ascii: ","))
            appendTime(bar.ts, to: &bytes)
            for number in numbers { appendCell(number, to: &bytes) }
            bytes.appendText(",\(bar.tradeCount)\n")
            return
        }
        bytes.appendText("{\"symbol\":")
        bytes.appendJSONString(symbol)
        bytes.appendText(",\"ts\":")
        bytes.appendMoment(bar.ts, inMilliseconds: timeInMilliseconds)
        for (name, number) in zip(Self.names[2...], numbers) {
            bytes.appendText(",\"\(name)\":")
            bytes.appendNumber(number)
        }
        bytes.appendText(",\"trade_count\":\(bar.tradeCount)}")
    }

    /// One time, with the values of several symbols side by side.
    func append(_ ts: Timestamp, _ symbols: [String], _ values: [Double?], to bytes: inout [UInt8]) {
        if format == .csv {
            appendTime(ts, to: &bytes)
            for value in values { appendCell(value, to: &bytes) }
            bytes.append(0x0A)
            return
        }
        bytes.appendText("{\"ts\":")
        bytes.appendMoment(ts, inMilliseconds: timeInMilliseconds)
        for (symbol, value) in zip(symbols, values) {
            bytes.append(UInt8(ascii: ","))
            bytes.appendJSONString(symbol)
            bytes.append(UInt8(ascii: ":"))
            bytes.appendNumber(value)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private func appendField(_ text: String, to bytes: inout [UInt8]) {
        var text = text
        text.withUTF8 { bytes.appendCSVField(UnsafeRawBufferPointer($0)) }
    }

    private func appendTime(_ ts: Timestamp, to bytes: inout [UInt8]) {
        if timeInMilliseconds {
            bytes.appendInteger(floorDivide(ts.microseconds, 1000))
        } else {
            bytes.appendText("\(ts)")
        }
    }

    private func appendCell(_ value: Double?, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: ","))
        if let value, value.isFinite { bytes.appendDigits(value) }
    }
}

/// Bars as arrays: `{"s":"ok","t":[…],"o":[…],"h":[…],"l":[…],"c":[…],"v":[…]}` (Finnhub's candles, TradingView's UDF).
struct BarColumns {
    let bars: [PriceBar]
    /// Microseconds in a unit of `t`.
    let unit: Int64

    /// The members, without the braces around them.
    func append(to bytes: inout [UInt8]) {
        bytes.appendText(bars.isEmpty ? "\"s\":\"no_data\"" : "\"s\":\"ok\"")
        appendArray("t", to: &bytes) { $0.appendInteger(floorDivide($1.ts.microseconds, unit)) }
        appendArray("o", to: &bytes) { $0.appendNumber($1.open) }
        appendArray("h", to: &bytes) { $0.appendNumber($1.high) }
        appendArray("l", to: &bytes) { $0.appendNumber($1.low) }
        appendArray("c", to: &bytes) { $0.appendNumber($1.close) }
        appendArray("v", to: &bytes) { $0.appendNumber($1.volume) }
    }

    private func appendArray(_ name: String, to bytes: inout [UInt8], _ append: (inout [UInt8], PriceBar) -> Void) {
        bytes.appendText(",\"\(name)\":[")
        for (index, bar) in bars.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(&bytes, bar)
        }
        bytes.append(UInt8(ascii: "]"))
    }
}
