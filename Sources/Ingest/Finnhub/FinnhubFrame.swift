// SPDX-License-Identifier: Apache-2.0

import Records

/// A message of Finnhub's WebSocket: trades, or one of those beside them.
enum FinnhubFrame {
    /// `{"type":"trade",…}`, and whatever is not known to hold no trades: what cannot be read says so in its problem, and
    /// validation refuses it with its bytes.
    case trades([ParsedTrade])
    case ping
    /// `{"type":"error","msg":…}`.
    case error(String)
    /// News, press releases, confirmations.
    case other

    /// - Parameter blank: what each trade begins with.
    init(_ bytes: UnsafeRawBufferPointer, _ blank: StagedTrade) {
        if let trades = JSONTrade.parse(bytes, blank, symbol: nil) {
            self = .trades(trades)
            return
        }
        var type: String?
        var message: String?
        var scanner = JSONScanner(bytes)
        _ = scanner.object { scanner, key in
            guard scanner.kind() == .string else { return scanner.skipValue() }
            let text = scanner.string()
            if key.elementsEqual("type".utf8) { type = text }
            if key.elementsEqual("msg".utf8) { message = text }
            return text != nil
        }
        switch type {
        case "ping": self = .ping
        case "error": self = .error(message ?? "an error without a message")
        default: self = .other
        }
    }

    /// What an error of the server means for the connection.
    enum Verdict {
        /// Too many connections or requests on this key: leave it alone for a while.
        case tooMany
        /// The key is not valid.
        case refused
        /// Something else, which may concern one symbol alone: the connection goes on.
        case remark
    }

    static func judge(_ message: String) -> Verdict {
        let text = message.lowercased()
        if text.contains("invalid api key") || text.contains("invalid token") || text.contains("unauthorized") {
            return .refused
        }
        // "Subscribing to too many symbols" leaves those that were subscribed before.
        if text.contains("symbol") { return .remark }
        return ["too many", "limit reached", "rate limit", "429"].contains { text.contains($0) } ? .tooMany : .remark
    }
}
