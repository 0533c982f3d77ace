// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// Reads a line of NDJSON: a trade as an object with the names of a CSV header, or a frame as Finnhub's WebSocket sends
/// it, `{"type":"trade","data":[{"s":…,"p":…,"t":…,"v":…,"c":[…]|null},…]}`.
enum JSONTrade {
    /// The trades of the line; nil if it is a frame without trades (ping, news, error). A line that is neither gives one
    /// trade whose problem says so.
    static func parse(_ line: UnsafeRawBufferPointer, _ blank: StagedTrade, symbol: String?) -> [ParsedTrade]? {
        var trade = ParsedTrade(blank)
        trade.trade.symbol = symbol
        var frame: [ParsedTrade]?
        var type: String?
        var hasFields = false
        var scanner = JSONScanner(line)
        let readable = scanner.object { scanner, key in
            if key.elementsEqual("type".utf8) && scanner.kind() == .string {
                type = scanner.string()
                return type != nil
            }
            if key.elementsEqual("data".utf8) && scanner.kind() == .array {
                var trades: [ParsedTrade] = []
                defer { frame = trades }
                return scanner.array { scanner in
                    guard let trade = frameTrade(&scanner, blank, line) else { return false }
                    trades.append(trade)
                    return true
                }
            }
            guard let field = TradeField(name: key) else { return scanner.skipValue() }
            hasFields = true
            if field == .symbol { trade.trade.symbol = nil }
            return take(field, &trade, &scanner, line)
        }
        guard readable, scanner.isAtEnd() else {
            var failed = ParsedTrade(blank)
            failed.fail(.malformedLine, line)
            return [failed]
        }
        if type == "trade", let frame { return frame }
        // Other venues have a member "type", too: what has a trade's facts is a trade, and what is not known to be a
        // frame without trades is refused rather than passed over.
        if let type, framesWithoutTrades.contains(type), !hasFields { return nil }
        if type != nil && !hasFields { trade.fail(.malformedLine, line) }
        return [trade]
    }

    /// What Finnhub's WebSocket sends beside trades.
    private static let framesWithoutTrades: Set<String> = [
        "ping", "pong", "error", "news", "press-release", "pr", "subscribe", "unsubscribe",
    ]

    private static func frameTrade(
        _ scanner: inout JSONScanner, _ blank: StagedTrade, _ line: UnsafeRawBufferPointer
    ) -> ParsedTrade? {
        var parsed = ParsedTrade(blank)
        parsed.trade.source = Tape.finnhubSource
        guard scanner.kind() == .object else {
            parsed.fail(.malformedLine, line)
            return scanner.skipValue() ? parsed : nil
        }
        let readable = scanner.object { scanner, key in
            guard key.count == 1 else { return scanner.skipValue() }
            switch key[0] {
            case UInt8(ascii: "s"): return take(.symbol, &parsed, &scanner, line)
            case UInt8(ascii: "p"): return take(.price, &parsed, &scanner, line)
            case UInt8(ascii: "t"): return take(.ts, &parsed, &scanner, line)
            case UInt8(ascii: "v"): return take(.size, &parsed, &scanner, line)
            case UInt8(ascii: "c") where scanner.kind() == .array:
                return scanner.array { scanner in
                    switch scanner.kind() {
                    case .string:
                        guard let condition = scanner.string() else { return false }
                        parsed.trade.conditions.append(condition)
                        return true
                    case .number:
                        guard let condition = scanner.number() else { return false }
                        parsed.trade.conditions.append(String(decoding: condition, as: UTF8.self))
                        return true
                    default: return scanner.skipValue()
                    }
                }
            default: return scanner.skipValue()
            }
        }
        return readable ? parsed : nil
    }

    /// Takes a field that is a number, a string (a number as text too, as some venues send it) or null.
    private static func take(
        _ field: TradeField, _ parsed: inout ParsedTrade, _ scanner: inout JSONScanner, _ line: UnsafeRawBufferPointer
    ) -> Bool {
        switch scanner.kind() {
        case .string:
            guard var text = scanner.string() else { return false }
            text.withUTF8 { parsed.take(field, UnsafeRawBufferPointer($0), of: line) }
            return true
        case .number:
            guard let text = scanner.number() else { return false }
            if field == .symbol {
                parsed.fail(.symbolSyntax, line)
            } else {
                parsed.take(field, text, of: line)
            }
            return true
        default:
            if scanner.null() { return true }
            switch field {
            case .symbol: parsed.fail(.symbolSyntax, line)
            case .ts: parsed.fail(.tsUnreadable, line)
            case .price: parsed.fail(.priceUnreadable, line)
            case .size: parsed.fail(.sizeUnreadable, line)
            case .tradeID: break
            }
            return scanner.skipValue()
        }
    }
}
