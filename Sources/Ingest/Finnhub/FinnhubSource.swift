// SPDX-License-Identifier: Apache-2.0

import EventLoop
package import Logging
import Market
import TLS
import WebSocket

/// Trades as they happen, from Finnhub's WebSocket: one connection, subscribed to each symbol, opened again whenever it
/// is lost.
package struct FinnhubSource: LiveSource {
    package struct Settings: Sendable {
        /// The API key; secret.
        package var token: String
        package var symbols: [String]
        /// `wss://HOST[:PORT]`; plain `ws` only to this machine.
        package var url: String
        /// A PEM file of authorities instead of the system's.
        package var authorities: String?
        /// A connection on which nothing came for so long, no trade and no ping, is given up.
        package var silence: Duration
        /// The pause before a lost connection is opened again; it doubles with each failure, up to 60 times.
        package var firstPause: Duration
        /// Where symbols are looked up at the start; nil: they are not.
        package var search: FinnhubSearch.Settings?

        package init(
            token: String, symbols: [String], url: String = "wss://ws.finnhub.io", authorities: String? = nil,
            silence: Duration = .seconds(180), firstPause: Duration = .seconds(1)
        ) {
            self.token = token
            self.symbols = symbols
            self.url = url
            self.authorities = authorities
            self.silence = silence
            self.firstPause = firstPause
        }
    }

    package let name = Tape.finnhubSource
    package let topics = [TradeTopics.staging]
    private let settings: Settings
    private let logger: Logger

    package init(_ settings: Settings, logger: Logger) {
        self.settings = settings
        var logger = logger
        logger[metadataKey: "source"] = "finnhub"
        self.logger = logger
    }

    package func run(into outlet: Outlet) async throws {
        var settings = settings
        if let search = settings.search {
            var search = FinnhubSearch(search, now: outlet.now)
            settings.symbols = try await search.known(of: settings.symbols, outlet, logger: logger)
        }
        try await listen(settings, into: outlet)
    }

    private func listen(_ settings: Settings, into outlet: Outlet) async throws {
        let loop = try EventLoop(name: "finnhub")
        loop.start()
        defer { loop.stop() }
        let logger = logger
        let listening = Task(executorPreference: loop) {
            try await FinnhubListener(settings, outlet, logger: logger, loop: loop).listen()
        }
        try await withTaskCancellationHandler {
            try await listening.value
        } onCancel: {
            listening.cancel()
        }
    }

    /// Where to connect, key included: never to be printed.
    static func url(_ settings: Settings) throws(IngestError) -> WebSocketURL {
        let token = percentEncoded(settings.token)
        let parts = settings.url.split(separator: "?", maxSplits: 1)
        let query = parts.count == 2 ? "\(parts[1])&token=\(token)" : "token=\(token)"
        do throws(WebSocketError) {
            let url = try WebSocketURL("\(parts.first ?? "")?\(query)")
            let isHere = url.host == "localhost" || url.host == "::1" || url.host.hasPrefix("127.")
            if !url.isSecure && !isHere {
                throw WebSocketError(.invalidURL, "the key would go over the network in the clear", hint: "Use wss://.")
            }
            return url
        } catch {
            throw IngestError(source: "finnhub", message: error.message, hint: error.hint)
        }
    }

    /// `text` without the key, should somebody have sent it back.
    static func redact(_ text: String, _ token: String) -> String {
        token.isEmpty ? text : text.replacing(token, with: "…")
    }
}
