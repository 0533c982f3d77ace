// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// Yahoo's quotes, ready-made bars and company facts: a month of bars at the start, then what is new, at intervals and
/// while markets trade; facts at the start and each day after the close.
package struct YahooSource: LiveSource {
    package struct Settings: Sendable {
        package var symbols: [String]
        /// Where charts, quotes and facts are asked for, and where cookies come from.
        package var url = "https://query2.finance.yahoo.com"
        package var cookieURL = "https://fc.yahoo.com"
        /// Between two questions for a symbol.
        package var interval: Duration = .seconds(60)
        /// Most requests a minute. Yahoo tells nobody its limits; those who ask more are refused sooner or later.
        package var rate = 60
        /// Width of the bars, in Yahoo's spelling.
        package var timeframe = "2m"
        /// How far back bars are fetched at the start, in Yahoo's spelling.
        package var lookBack = "1mo"
        /// The first pause after a 429; see ``ServiceDesk``.
        package var busyPause: Duration = .seconds(60)
        /// How long a reply may take.
        package var timeout: Duration = .seconds(60)
        /// See ``HTTPClient/Settings/authorities``.
        package var authorities: String?

        package init(symbols: [String]) { self.symbols = symbols }
    }

    package let name = "yahoo"
    package let topics = ["quotes.staging", "instruments.staging", "source_bars.staging"]
    private let settings: Settings

    package init(_ settings: Settings) { self.settings = settings }

    package func run(into outlet: Outlet) async throws {
        guard let interval = BarInterval(settings.timeframe) else {
            throw IngestError(source: name, message: "the width of bars '\(settings.timeframe)' is none")
        }
        var client = HTTPClient.Settings(userAgent: YahooSession.userAgent)
        client.authorities = settings.authorities
        client.timeout = settings.timeout
        client.keepsCookies = true
        let limit = RateLimit(requests: settings.rate, in: .seconds(60), burst: max(1, settings.rate / 3))
        let http = HTTPClient(client)
        let desk = ServiceDesk(
            http, outlet, limit: limit, busyPause: settings.busyPause, symbols: settings.symbols)
        if let position = try await outlet.position() { desk.resume(from: Timestamp(microseconds: position)) }
        try await YahooPoller(settings, interval, YahooSession(settings, http, desk), desk, outlet).run()
    }
}

/// Yahoo's door: a cookie that anybody gets, and the crumb that goes with it. Used by the source's task alone.
private final class YahooSession {
    /// Clients that do not call themselves a browser are refused.
    static let userAgent = "Mozilla/5.0 (X11; Linux x86_64) Tapedeck"

    private let settings: YahooSource.Settings
    private let client: HTTPClient
    private let desk: ServiceDesk
    private var crumb: String?

    init(_ settings: YahooSource.Settings, _ client: HTTPClient, _ desk: ServiceDesk) {
        self.settings = settings
        self.client = client
        self.desk = desk
    }

    /// The reply to what needs no crumb; nil where that is noted.
    func ask(_ path: String, _ name: String) async throws -> HTTPClient.Response? {
        try await desk.ask(HTTPClient.Request(url: settings.url + path, name: name))
    }

    /// The reply to what needs a crumb. One that is no longer taken is fetched again, once.
    func askWithCrumb(_ path: String, _ name: String) async throws -> HTTPClient.Response? {
        for _ in 0..<2 {
            guard let crumb = try await currentCrumb() else { return nil }
            let separator = path.contains("?") ? "&" : "?"
            guard let reply = try await ask("\(path)\(separator)crumb=\(percentEncoded(crumb))", name) else {
                return nil
            }
            if reply.status != 401 { return reply }
            self.crumb = nil
            client.forgetCookies()
        }
        try await desk.unreadable("\(name): not let in with a new cookie either (401)")
        return nil
    }

    private func currentCrumb() async throws -> String? {
        if let crumb { return crumb }
        // The page itself is none (404); its head has the cookie.
        guard try await desk.ask(HTTPClient.Request(url: settings.cookieURL, name: "Yahoo's cookie")) != nil,
            let reply = try await ask("/v1/test/getcrumb", "Yahoo's crumb")
        else { return nil }
        crumb = YahooReplies.crumb(reply)
        if crumb == nil { try await desk.unreadable("Yahoo's crumb: none was given (\(reply.status))") }
        return crumb
    }
}

/// One run of the source. Used by its task alone.
private final class YahooPoller {
    /// Symbols in one question for quotes.
    private static let batch = 50
    /// A symbol that Yahoo does not know, or refuses, is asked for again after an hour.
    private static let unknownPause: Int64 = 3_600_000_000

    private let settings: YahooSource.Settings
    private let interval: BarInterval
    private let session: YahooSession
    private let desk: ServiceDesk
    private let outlet: Outlet
    private var quotes: PollSchedule
    private var charts: PollSchedule
    private var facts: FactSchedule
    private var markets: MarketWatch
    /// What was delivered last of each symbol: what comes again unchanged is left out.
    private var lastQuote: [String: QuoteFacts] = [:]
    private var lastBars: [String: [SourceBarFacts]] = [:]
    /// From when on all bars of a symbol are here; nothing for one that has none.
    private var reach: [String: Timestamp] = [:]
    /// The time without Yahoo, from the beginning of the first outage to the end of the last, and the symbols whose bars of
    /// it have not been fetched since.
    private var outage: ServiceDesk.Outage?
    private var unfilled: Set<String> = []

    init(
        _ settings: YahooSource.Settings, _ interval: BarInterval, _ session: YahooSession, _ desk: ServiceDesk,
        _ outlet: Outlet
    ) {
        self.settings = settings
        self.interval = interval
        self.session = session
        self.desk = desk
        self.outlet = outlet
        quotes = PollSchedule(settings.symbols, interval: settings.interval.inMicroseconds)
        charts = PollSchedule(settings.symbols, interval: settings.interval.inMicroseconds)
        facts = FactSchedule(settings.symbols, pause: settings.interval.inMicroseconds)
        markets = MarketWatch(settings.symbols)
    }

    func run() async throws {
        while !Task.isCancelled {
            try await outlet.note(markets.changes(at: outlet.now()))
            try await pollQuotes()
            for symbol in charts.symbols(dueAt: outlet.now()) { try await pollChart(symbol) }
            for symbol in facts.symbols(dueAt: outlet.now()) where try await !fetchFacts(symbol) {
                facts.failed(at: outlet.now())
                break
            }
            if let new = desk.takeOutage() {
                outage = ServiceDesk.Outage(from: min(outage?.from ?? new.from, new.from), to: new.to)
                unfilled = Set(settings.symbols)
                charts.hurry()
                continue
            }
            let next = min(quotes.next ?? .epoch, charts.next ?? .epoch)
            let pause = next.microseconds - outlet.now().microseconds
            // Clocks are set, facts fall due in between: no sleep is long.
            try await Task.sleep(for: .microseconds(min(max(pause, 50_000), 30_000_000)))
        }
    }

    private func pollQuotes() async throws {
        var due = quotes.symbols(dueAt: outlet.now())[...]
        while !due.isEmpty {
            let symbols = Array(due.prefix(Self.batch))
            due = due.dropFirst(Self.batch)
            let list = symbols.map { percentEncoded($0) }.joined(separator: ",")
            let reply = try await session.askWithCrumb("/v7/finance/quote?symbols=\(list)", "Yahoo's quotes")
            for symbol in symbols { quotes.asked(symbol, at: outlet.now()) }
            guard let reply,
                let (found, problems) = try await desk.read(
                    reply, "Yahoo's quotes", { body throws(ReplyProblem) in try YahooReplies.quotes(body) })
            else { continue }
            for problem in problems { try await desk.complain("Yahoo's quotes: \(problem)") }
            try await desk.deliver(found.filter { lastQuote[$0.symbol ?? ""] != $0 }, topic: "quotes.staging")
            for quote in found { lastQuote[quote.symbol ?? ""] = quote }
            let known = Set(found.compactMap(\.symbol))
            for symbol in symbols where !known.contains(symbol) && problems.isEmpty {
                quotes.postpone(symbol, until: later(Self.unknownPause))
                try await desk.complain("Yahoo has no quote of \(symbol)", symbols: [symbol])
            }
        }
    }

    private func pollChart(_ symbol: String) async throws {
        // From the bar that was not over yet.
        let from = lastBars[symbol]?.last?.ts
        let range =
            if let from {
                "period1=\(from.seconds)&period2=\(outlet.now().seconds + 60)"
            } else {
                "range=\(percentEncoded(settings.lookBack))"
            }
        let name = "Yahoo's chart of \(symbol)"
        let reply = try await session.ask(
            "/v8/finance/chart/\(percentEncoded(symbol))?\(range)&interval=\(settings.timeframe)&includePrePost=false",
            name)
        charts.asked(symbol, at: outlet.now())
        guard let reply else { return }
        var isRefused = false
        let bars = try await desk.read(
            reply, name, symbols: [symbol], refused: { isRefused = true },
            { body throws(ReplyProblem) in try YahooReplies.bars(body, symbol: symbol, interval: interval) })
        if let bars {
            try await desk.deliver(bars.filter { lastBars[symbol]?.contains($0) != true }, topic: "source_bars.staging")
            if from == nil { reach[symbol] = bars.first?.ts }
            if !bars.isEmpty { lastBars[symbol] = Array(bars.suffix(3)) }
            unfilled.remove(symbol)
            try await noteFilled()
        } else if isRefused && from != nil {
            // Yahoo gives narrow bars of some days only: after a longer pause, what the look-back reaches.
            lastBars[symbol] = nil
            charts.postpone(symbol, until: outlet.now())
        } else if isRefused {
            charts.postpone(symbol, until: later(Self.unknownPause))
            reach[symbol] = nil
            unfilled.remove(symbol)
            try await noteFilled()
        }
    }

    /// - Returns: whether anybody answered.
    private func fetchFacts(_ symbol: String) async throws -> Bool {
        let name = "Yahoo's facts of \(symbol)"
        let reply = try await session.askWithCrumb(
            "/v10/finance/quoteSummary/\(percentEncoded(symbol))?formatted=false&modules="
                + percentEncoded(YahooReplies.modules), name)
        guard let reply else { return false }
        let now = outlet.now()
        let found = try await desk.read(
            reply, name, symbols: [symbol],
            { body throws(ReplyProblem) in try YahooReplies.facts(body, symbol: symbol, now: now) })
        facts.fetched(symbol, at: now)
        guard let found else { return true }
        for problem in found.problems { try await desk.complain("\(name): \(problem)", symbols: [symbol]) }
        try await desk.deliver([found.facts], topic: "instruments.staging")
        return true
    }

    /// When the bars of all symbols are here, so is what the outage had kept from us, and what an earlier process had not
    /// come to fetch; but for what the look-back does not reach.
    private func noteFilled() async throws {
        guard let outage, unfilled.isEmpty else { return }
        self.outage = nil
        let from = reach.values.max() ?? outage.from
        if from > outage.from { return }
        try await outlet.journal.note(.gapFilled, from: from, to: outage.to, message: "its bars were fetched since")
    }

    private func later(_ pause: Int64) -> Timestamp { Timestamp(microseconds: outlet.now().microseconds + pause) }
}

extension Timestamp {
    /// Whole seconds.
    fileprivate var seconds: Int64 { microseconds / 1_000_000 }
}
