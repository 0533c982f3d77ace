// SPDX-License-Identifier: Apache-2.0
// One WebSocket that speaks Finnhub's frames (https://finnhub.io/docs/api/websocket-trades).

import EventLoop
import Market
import WebSocket

/// A client that subscribes to symbols and is told their trades. Loop thread only.
///
/// | from the client | |
/// |---|---|
/// | `{"type":"subscribe","symbol":"AAPL"}` | trades of the symbol from now on; `*` for all symbols |
/// | `{"type":"unsubscribe","symbol":"AAPL"}` | no more of them |
///
/// | to the client | |
/// |---|---|
/// | `{"data":[{"c":["1"],"p":7296.89,"s":"AAPL","t":1575526691134,"v":0.011467}],"type":"trade"}` | trades, one or more |
/// | `{"type":"ping"}` | there was nothing to tell for a while |
/// | `{"msg":"…","type":"error"}` | what was not understood, or what was missed |
final class LiveSocket: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used by its two tasks, on the loop's thread only.

    /// Stands for all symbols.
    private static let everything = "*"

    private let socket: WebSocketConnection
    private let desk: LiveDesk
    private let symbolLimit: Int
    private let roomBytes: Int
    private let heartbeat: Duration
    private let subscriber: LiveSubscriber
    private var symbols: Set<String> = []
    private var wantsEverything = false

    init(_ socket: WebSocketConnection, _ desk: LiveDesk, _ configuration: QueryServer.Configuration) {
        self.socket = socket
        self.desk = desk
        symbolLimit = configuration.symbolLimit
        roomBytes = configuration.live.socketBytes
        heartbeat = configuration.live.heartbeat
        subscriber = desk.subscribe(LiveFilter(symbols: [])).0
    }

    /// Serves the client until it or the server closes.
    ///
    /// - Parameter isWelcome: whether it may still be served; asked every ``LiveLimits/heartbeat``, and else closed with
    ///   1008.
    func run(isWelcome: () async -> Bool) async throws {
        defer { desk.unsubscribe(subscriber) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.obeyClient() }
            defer { socket.close() }
            try await tell(isWelcome: isWelcome)
        }
    }

    /// Takes the client's messages until there will be no more.
    private func obeyClient() async {
        defer { subscriber.end() }
        do {
            while try await socket.receive() != nil {
                do {
                    try obey(socket.payload)
                } catch let error as QueryError {
                    var bytes: [UInt8] = []
                    bytes.appendFinnhubError(error.message)
                    try await socket.send(.text, bytes)
                }
            }
        } catch {
            // Lost, or told why by the WebSocket itself.
        }
    }

    // MARK: What the client wants

    /// Whether its frame was of text or of bytes: libraries send JSON as either.
    private func obey(_ payload: [UInt8]) throws {
        guard let message = try? JSONReader.read(payload), case .object(let members) = message else {
            throw Self.refusal("not a JSON object")
        }
        func text(_ name: String) -> String? {
            if case .string(let text)? = members.first(where: { $0.name == name })?.value { return text }
            return nil
        }
        let type = text("type")
        guard type == "subscribe" || type == "unsubscribe" else {
            throw Self.refusal("unknown type; send {\"type\":\"subscribe\",\"symbol\":\"…\"}")
        }
        guard let symbol = text("symbol") else { throw Self.refusal("symbol is missing") }
        if type == "subscribe" { try subscribe(symbol) } else { unsubscribe(symbol) }
        desk.change(subscriber, LiveFilter(symbols: wantsEverything ? nil : symbols))
    }

    private func subscribe(_ symbol: String) throws {
        if symbol == Self.everything {
            wantsEverything = true
            return
        }
        do {
            try MarketRequest.check(symbol, "symbol")
        } catch {
            throw Self.refusal("invalid symbol")
        }
        if symbols.count >= symbolLimit && !symbols.contains(symbol) {
            throw Self.refusal("subscribing to too many symbols: \(symbolLimit) at most")
        }
        symbols.insert(symbol)
    }

    private func unsubscribe(_ symbol: String) {
        if symbol == Self.everything { wantsEverything = false } else { symbols.remove(symbol) }
    }

    private static func refusal(_ message: String) -> QueryError { QueryError(400, "bad_message", message) }

    // MARK: What it is told

    private static let ping = Array("{\"type\":\"ping\"}".utf8)

    /// Tells what is new, as fast as the client takes it. What it does not take in time is dropped by the tape, not
    /// kept for it.
    private func tell(isWelcome: () async -> Bool) async throws {
        var nextCheck = desk.loop.now + heartbeat
        do {
            while true {
                if nextCheck <= desk.loop.now {
                    guard await isWelcome() else { return socket.close(.policyViolation, "the API key is not valid") }
                    nextCheck = desk.loop.now + heartbeat
                }
                switch await subscriber.wait() {
                case .ended: return
                case .heartbeat: try await socket.send(.text, Self.ping)
                case .news:
                    try await socket.waitForRoom(below: roomBytes)
                    if let news = desk.next(subscriber, limit: .max) { try await tell(news) }
                }
            }
        } catch is WebSocketError {
            // Closed or lost: nobody is left to tell.
        }
    }

    private func tell(_ news: LiveDesk.News) async throws {
        switch news {
        case .whole(let entry, let number): socket.offer(desk.frame(entry, number, of: nil))
        case .trades(let entry, let number, let indices):
            let met = entry.bySymbol.filter { wantsEverything || symbols.contains($0.key) }
            if met.values.reduce(0, { $0 + $1.count }) == indices.count {
                for symbol in met.keys { socket.offer(desk.frame(entry, number, of: symbol)) }
            } else if case .trades(let batch) = entry.content {
                var bytes: [UInt8] = []
                bytes.appendFinnhubFrame(batch, indices, BatchNames(batch))
                try await socket.send(.text, bytes)
            }
        case .bars: break
        case .missed(let gap, _, _):
            var bytes: [UInt8] = []
            bytes.appendFinnhubError(Self.describe(gap))
            try await socket.send(.text, bytes)
        }
    }

    private static func describe(_ gap: LiveGap) -> String {
        let trades = gap.trades.map { "\($0) trades" } ?? "trades"
        let reason =
            switch gap.reason {
            case .slow: "you read more slowly than they came"
            case .bulk: "one transaction brought more than can be told"
            case .expired: "the server was away from its store for too long"
            case .otherTape: "the store was replaced"
            }
        return "\(trades) were not sent: \(reason)"
    }
}
