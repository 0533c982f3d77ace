// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// Finnhub's quotes at intervals while markets trade, and its profiles of companies at the start and each day after the
/// close.
package struct FinnhubRESTSource: LiveSource {
    package struct Settings: Sendable {
        package var symbols: [String]
        /// Goes in a header and nowhere else.
        package var token: String
        package var url = "https://finnhub.io/api/v1"
        /// Between two questions for a symbol, where the limit of requests leaves room.
        package var interval: Duration = .seconds(15)
        /// Most requests a minute; what replies say of it counts, too.
        package var rate = 60
        /// The first pause after a 429; see ``ServiceDesk``.
        package var busyPause: Duration = .seconds(60)
        /// How long a reply may take.
        package var timeout: Duration = .seconds(60)
        /// See ``HTTPClient/Settings/authorities``.
        package var authorities: String?

        package init(symbols: [String], token: String) {
            self.symbols = symbols
            self.token = token
        }
    }

    package let name = "finnhub-rest"
    package let topics = ["quotes.staging", "instruments.staging"]
    private let settings: Settings

    package init(_ settings: Settings) { self.settings = settings }

    package func run(into outlet: Outlet) async throws {
        var client = HTTPClient.Settings(userAgent: "Tapedeck")
        client.authorities = settings.authorities
        client.timeout = settings.timeout
        // No account may ask more often than thirty times in a second.
        let limit = RateLimit(requests: settings.rate, in: .seconds(60), burst: min(30, max(1, settings.rate / 2)))
        let desk = ServiceDesk(
            HTTPClient(client), outlet, limit: limit, busyPause: settings.busyPause, symbols: settings.symbols)
        if let position = try await outlet.position() { desk.resume(from: Timestamp(microseconds: position)) }
        try await FinnhubPoller(settings, desk, outlet).run()
    }
}

/// One run of the source. Used by its task alone.
private final class FinnhubPoller {
    /// A symbol that Finnhub does not know, or not for this account, is asked for again after an hour.
    private static let unknownPause: Int64 = 3_600_000_000

    private let settings: FinnhubRESTSource.Settings
    private let desk: ServiceDesk
    private let outlet: Outlet
    private var quotes: PollSchedule
    private var profiles: FactSchedule
    private var markets: MarketWatch
    private var lastQuote: [String: QuoteFacts] = [:]

    init(_ settings: FinnhubRESTSource.Settings, _ desk: ServiceDesk, _ outlet: Outlet) {
        self.settings = settings
        self.desk = desk
        self.outlet = outlet
        quotes = PollSchedule(settings.symbols, interval: settings.interval.inMicroseconds)
        // Pairs of currencies are no companies.
        profiles = FactSchedule(
            settings.symbols.filter { !$0.contains(":") }, pause: settings.interval.inMicroseconds)
        markets = MarketWatch(settings.symbols)
    }

    func run() async throws {
        while !Task.isCancelled {
            try await outlet.note(markets.changes(at: outlet.now()))
            for symbol in quotes.symbols(dueAt: outlet.now()) { try await pollQuote(symbol) }
            for symbol in profiles.symbols(dueAt: outlet.now()) where try await !fetchProfile(symbol) {
                profiles.failed(at: outlet.now())
                break
            }
            _ = desk.takeOutage()
            let pause = (quotes.next ?? .epoch).microseconds - outlet.now().microseconds
            // Clocks are set, profiles fall due in between: no sleep is long.
            try await Task.sleep(for: .microseconds(min(max(pause, 50_000), 30_000_000)))
        }
    }

    private func pollQuote(_ symbol: String) async throws {
        let name = "Finnhub's quote of \(symbol)"
        let reply = try await ask("/quote?symbol=\(percentEncoded(symbol))", name, symbol)
        quotes.asked(symbol, at: outlet.now())
        guard let reply else { return }
        var isRefused = false
        let found = try await desk.read(
            reply, name, symbols: [symbol], refused: { isRefused = true },
            { body throws(ReplyProblem) in try FinnhubReplies.quote(body, symbol: symbol) })
        if let quote = found.flatMap({ $0 }) {
            try await desk.deliver(lastQuote[symbol] == quote ? [] : [quote], topic: "quotes.staging")
            lastQuote[symbol] = quote
        } else if found != nil || isRefused {
            quotes.postpone(
                symbol, until: Timestamp(microseconds: outlet.now().microseconds + Self.unknownPause))
            if found != nil { try await desk.complain("\(name): Finnhub has none", symbols: [symbol]) }
        }
    }

    /// - Returns: whether anybody answered.
    private func fetchProfile(_ symbol: String) async throws -> Bool {
        let name = "Finnhub's profile of \(symbol)"
        let reply = try await ask("/stock/profile2?symbol=\(percentEncoded(symbol))", name, symbol)
        guard let reply else { return false }
        let now = outlet.now()
        let found = try await desk.read(
            reply, name, symbols: [symbol],
            { body throws(ReplyProblem) in try FinnhubReplies.profile(body, symbol: symbol, now: now) })
        profiles.fetched(symbol, at: now)
        if let facts = found.flatMap({ $0 }) {
            try await desk.deliver([facts], topic: "instruments.staging")
        } else if found != nil {
            try await desk.complain("\(name): Finnhub has none", symbols: [symbol])
        }
        return true
    }

    private func ask(_ path: String, _ name: String, _ symbol: String) async throws -> HTTPClient.Response? {
        let reply = try await desk.ask(
            HTTPClient.Request(
                url: settings.url + path, headers: [("X-Finnhub-Token", settings.token)], name: name))
        if reply?.status == 401 {
            throw IngestError(
                source: "finnhub-rest", message: "Finnhub does not take the token (401)",
                hint: "set FINNHUB_API_TOKEN to that of your account")
        }
        return reply
    }
}
