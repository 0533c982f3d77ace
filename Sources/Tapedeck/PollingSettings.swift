// SPDX-License-Identifier: Apache-2.0
// The settings of sources that ask: Finnhub's REST interface and Yahoo.

import ArgumentParser
import Ingest
import Market

extension Setting {
    static let sourceBusyPause = Setting(
        name: "source-busy-pause", environment: "TAPEDECK_SOURCE_BUSY_PAUSE",
        kind: .duration(.milliseconds(10)...(.seconds(3600))), default: "60s",
        summary:
            "The pause after Yahoo or Finnhub has said that it is asked too often (429); it doubles up to an hour.")
    static let sourceTimeout = Setting(
        name: "source-timeout", environment: "TAPEDECK_SOURCE_TIMEOUT",
        kind: .duration(.milliseconds(100)...(.seconds(600))), default: "60s",
        summary: "How long a reply of Yahoo's or Finnhub's REST interface may take.")
    static let finnhubURL = Setting(
        name: "finnhub-url", environment: "TAPEDECK_FINNHUB_URL", kind: .text, default: "https://finnhub.io/api/v1",
        summary: "Finnhub's REST interface, or what stands in for it.")
    static let finnhubValidate = Setting(
        name: "finnhub-validate", environment: "TAPEDECK_FINNHUB_VALIDATE", kind: .choice(["on", "off", "1", "0"]),
        default: "off",
        summary: "Whether source finnhub looks up its symbols at the start, and leaves out those that are none.",
        aliases: ["FINNHUB_VALIDATE_TICKERS"])
    static let finnhubInterval = Setting(
        name: "finnhub-interval", environment: "TAPEDECK_FINNHUB_INTERVAL",
        kind: .duration(.milliseconds(100)...(.seconds(86_400))), default: "15s",
        summary: "How often Finnhub is asked for each quote while its market trades, where its limits leave room.")
    static let finnhubRate = Setting(
        name: "finnhub-rate", environment: "TAPEDECK_FINNHUB_RATE", kind: .integer(1...100_000), default: "60",
        summary: "Most requests a minute that Finnhub's REST interface gets; what your plan allows.")
    static let yahooSymbols = Setting(
        name: "yahoo-symbols", environment: "TAPEDECK_YAHOO_SYMBOLS",
        kind: .list(of: "SYMBOL") { SourceSettings.symbol($0) != nil }, default: "AMZN,AAPL,MSFT,GOOGL",
        summary: "What to ask Yahoo for, in its spelling: AAPL, BTC-USD, EURUSD=X, ^GSPC.", aliases: ["STOCKS"])
    static let yahooURL = Setting(
        name: "yahoo-url", environment: "TAPEDECK_YAHOO_URL", kind: .text,
        default: "https://query2.finance.yahoo.com", summary: "Yahoo's quote service, or what stands in for it.")
    static let yahooCookieURL = Setting(
        name: "yahoo-cookie-url", environment: "TAPEDECK_YAHOO_COOKIE_URL", kind: .text,
        default: "https://fc.yahoo.com", summary: "Where Yahoo's cookie comes from.")
    static let yahooInterval = Setting(
        name: "yahoo-interval", environment: "TAPEDECK_YAHOO_INTERVAL",
        kind: .duration(.milliseconds(100)...(.seconds(86_400))), default: "60s",
        summary: "How often Yahoo is asked for quotes and new bars while markets trade.")
    static let yahooRate = Setting(
        name: "yahoo-rate", environment: "TAPEDECK_YAHOO_RATE", kind: .integer(1...100_000), default: "60",
        summary: "Most requests a minute that Yahoo gets.")
    static let yahooTimeframe = Setting(
        name: "yahoo-timeframe", environment: "TAPEDECK_YAHOO_TIMEFRAME",
        kind: .choice(["1m", "2m", "5m", "15m", "30m", "60m", "90m", "1d"]), default: "2m",
        summary: "Width of Yahoo's bars.")
    static let yahooLookBack = Setting(
        name: "yahoo-look-back", environment: "TAPEDECK_YAHOO_LOOK_BACK",
        kind: .choice(["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "max"]), default: "1mo",
        summary:
            "How far back Yahoo's bars are fetched at the start; it has 1m for 7 days, 60m for two years, others below 1d for 60 days."
    )

    /// The settings above.
    static let polling = [
        sourceBusyPause, sourceTimeout, finnhubURL, finnhubValidate, finnhubInterval, finnhubRate, yahooSymbols,
        yahooURL,
        yahooCookieURL, yahooInterval, yahooRate, yahooTimeframe, yahooLookBack,
    ]
}

/// The flags of ``Setting/polling``.
struct PollingSettingFlags: ParsableArguments {
    @Option(name: .customLong(Setting.sourceBusyPause.name), help: Setting.sourceBusyPause.help)
    var sourceBusyPause: String?
    @Option(name: .customLong(Setting.sourceTimeout.name), help: Setting.sourceTimeout.help) var sourceTimeout: String?
    @Option(name: .customLong(Setting.finnhubURL.name), help: Setting.finnhubURL.help) var finnhubURL: String?
    @Option(name: .customLong(Setting.finnhubValidate.name), help: Setting.finnhubValidate.help)
    var finnhubValidate: String?
    @Option(name: .customLong(Setting.finnhubInterval.name), help: Setting.finnhubInterval.help)
    var finnhubInterval: String?
    @Option(name: .customLong(Setting.finnhubRate.name), help: Setting.finnhubRate.help) var finnhubRate: String?
    @Option(name: .customLong(Setting.yahooSymbols.name), help: Setting.yahooSymbols.help) var yahooSymbols: String?
    @Option(name: .customLong(Setting.yahooURL.name), help: Setting.yahooURL.help) var yahooURL: String?
    @Option(name: .customLong(Setting.yahooCookieURL.name), help: Setting.yahooCookieURL.help)
    var yahooCookieURL: String?
    @Option(name: .customLong(Setting.yahooInterval.name), help: Setting.yahooInterval.help)
    var yahooInterval: String?
    @Option(name: .customLong(Setting.yahooRate.name), help: Setting.yahooRate.help) var yahooRate: String?
    @Option(name: .customLong(Setting.yahooTimeframe.name), help: Setting.yahooTimeframe.help)
    var yahooTimeframe: String?
    @Option(name: .customLong(Setting.yahooLookBack.name), help: Setting.yahooLookBack.help)
    var yahooLookBack: String?

    var given: [(Setting, String?)] {
        [
            (.sourceBusyPause, sourceBusyPause), (.sourceTimeout, sourceTimeout), (.finnhubURL, finnhubURL),
            (.finnhubValidate, finnhubValidate), (.finnhubInterval, finnhubInterval), (.finnhubRate, finnhubRate),
            (.yahooSymbols, yahooSymbols),
            (.yahooURL, yahooURL), (.yahooCookieURL, yahooCookieURL), (.yahooInterval, yahooInterval),
            (.yahooRate, yahooRate),
            (.yahooTimeframe, yahooTimeframe), (.yahooLookBack, yahooLookBack),
        ]
    }
}

extension SourceSettings {
    static func yahoo(_ settings: Settings) throws -> YahooSource.Settings {
        let symbols = settings.list(.yahooSymbols).compactMap { symbol(Substring($0)) }
        if symbols.isEmpty { throw ValidationError("source yahoo has no symbols: set TAPEDECK_YAHOO_SYMBOLS") }
        var seen: Set<String> = []
        var yahoo = YahooSource.Settings(symbols: symbols.filter { seen.insert($0).inserted })
        yahoo.url = try serviceURL(settings, .yahooURL)
        yahoo.cookieURL = try serviceURL(settings, .yahooCookieURL)
        yahoo.interval = settings.duration(.yahooInterval)
        yahoo.rate = settings.integer(.yahooRate) ?? yahoo.rate
        yahoo.timeframe = settings.string(.yahooTimeframe)
        yahoo.lookBack = settings.string(.yahooLookBack)
        let reach = lookBacks(of: yahoo.timeframe)
        guard reach.contains(yahoo.lookBack) else {
            throw ValidationError(
                "TAPEDECK_YAHOO_LOOK_BACK (--yahoo-look-back) is \(yahoo.lookBack), for which Yahoo has no bars of \(yahoo.timeframe); allowed: \(reach.joined(separator: ", "))"
            )
        }
        yahoo.busyPause = settings.duration(.sourceBusyPause)
        yahoo.timeout = settings.duration(.sourceTimeout)
        yahoo.authorities = settings.text(.sourceAuthorities)
        return yahoo
    }

    /// How far back Yahoo has bars: a minute's for 7 days, an hour's for two years, others of less than a day for 60 days.
    private static func lookBacks(of timeframe: String) -> [String] {
        guard case .choice(let all) = Setting.yahooLookBack.kind else { return [] }
        let last =
            switch timeframe {
            case "1m": "5d"
            case "60m": "2y"
            case "1d": "max"
            default: "1mo"
            }
        return Array(all.prefix { $0 != last }) + [last]
    }

    static func finnhubREST(_ settings: Settings) throws -> FinnhubRESTSource.Settings {
        var finnhub = FinnhubRESTSource.Settings(
            symbols: try finnhubSymbols(settings), token: try finnhubToken(settings, for: "source finnhub-rest"))
        finnhub.url = try serviceURL(settings, .finnhubURL)
        finnhub.interval = settings.duration(.finnhubInterval)
        finnhub.rate = settings.integer(.finnhubRate) ?? finnhub.rate
        finnhub.busyPause = settings.duration(.sourceBusyPause)
        finnhub.timeout = settings.duration(.sourceTimeout)
        finnhub.authorities = settings.text(.sourceAuthorities)
        return finnhub
    }

    /// Where symbols are looked up.
    static func finnhubSearch(_ settings: Settings, token: String) throws -> FinnhubSearch.Settings {
        var search = FinnhubSearch.Settings(token: token, url: try serviceURL(settings, .finnhubURL))
        search.rate = settings.integer(.finnhubRate) ?? search.rate
        search.timeout = min(search.timeout, settings.duration(.sourceTimeout))
        search.authorities = settings.text(.sourceAuthorities)
        return search
    }

    /// The address of a service, without a slash at its end. Nothing of what is asked, keys least of all, goes over a
    /// network in the clear.
    static func serviceURL(_ settings: Settings, _ setting: Setting) throws -> String {
        var url = settings.string(setting)
        while url.last == "/" { url.removeLast() }
        let plain = ["http://localhost", "http://127.0.0.1", "http://[::1]"]
        let isHere = plain.contains { url == $0 || url.hasPrefix($0 + ":") || url.hasPrefix($0 + "/") }
        guard url.hasPrefix("https://") || isHere else {
            throw ValidationError(
                "\(setting.environment) is '\(url)'; allowed: https://HOST[:PORT][/PATH], and http:// to this machine")
        }
        return url
    }
}
