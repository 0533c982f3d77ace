// SPDX-License-Identifier: Apache-2.0
// The settings of live sources.

import ArgumentParser
import Ingest
import Logging
import Market

extension Setting {
    static let spoolBytes = Setting(
        name: "spool-bytes", environment: "TAPEDECK_SPOOL_BYTES", kind: .integer(1_048_576...1_099_511_627_776),
        default: "1073741824",
        summary: "Most bytes of a live source's records that wait in the data folder while the log is away.")
    static let sourceRetryPause = Setting(
        name: "source-retry-pause", environment: "TAPEDECK_SOURCE_RETRY_PAUSE",
        kind: .duration(.milliseconds(10)...(.seconds(600))), default: "1s",
        summary: "The pause after a live source's first failure; it doubles with each that follows, up to 60 times.")
    static let sourceAuthorities = Setting(
        name: "source-authorities", environment: "TAPEDECK_SOURCE_AUTHORITIES", kind: .file, default: nil,
        summary: "A PEM file of those who may sign certificates of services, instead of the system's.")
    static let credentials = Setting(
        name: "credentials", environment: "TAPEDECK_CREDENTIALS", kind: .file, default: nil,
        summary: "A file with keys of services; without it credentials.ini in the working folder, if there is one.")

    static let finnhubSymbols = Setting(
        name: "finnhub-symbols", environment: "TAPEDECK_FINNHUB_SYMBOLS",
        kind: .list(of: "SYMBOL") { SourceSettings.symbol($0) != nil }, default: nil,
        summary: "What to ask Finnhub for, as in AAPL,BINANCE:BTCUSDT; brackets and quotes around are allowed.",
        aliases: ["FINNHUB_STOCKS_TICKERS"])
    static let finnhubSymbolsFile = Setting(
        name: "finnhub-symbols-file", environment: "TAPEDECK_FINNHUB_SYMBOLS_FILE", kind: .file, default: nil,
        summary: "A CSV file with a column ticker or symbol, of more symbols to ask Finnhub for.")
    static let finnhubWSURL = Setting(
        name: "finnhub-ws-url", environment: "TAPEDECK_FINNHUB_WS_URL", kind: .text, default: "wss://ws.finnhub.io",
        summary: "Finnhub's WebSocket, or what stands in for it.", aliases: ["FINNHUB_WS_URL"])
    static let finnhubSilence = Setting(
        name: "finnhub-silence", environment: "TAPEDECK_FINNHUB_SILENCE",
        kind: .duration(.milliseconds(100)...(.seconds(86_400))), default: "180s",
        summary: "A connection to Finnhub on which nothing has come for so long, not even a ping, is opened again.")

    /// The settings above.
    static let sources = [
        spoolBytes, sourceRetryPause, sourceAuthorities, credentials, finnhubSymbols, finnhubSymbolsFile, finnhubWSURL,
        finnhubSilence,
    ]
}

/// The flags of ``Setting/sources``.
struct SourceSettingFlags: ParsableArguments {
    @Option(name: .customLong(Setting.spoolBytes.name), help: Setting.spoolBytes.help) var spoolBytes: String?
    @Option(name: .customLong(Setting.sourceRetryPause.name), help: Setting.sourceRetryPause.help)
    var sourceRetryPause: String?
    @Option(name: .customLong(Setting.sourceAuthorities.name), help: Setting.sourceAuthorities.help)
    var sourceAuthorities: String?
    @Option(name: .customLong(Setting.credentials.name), help: Setting.credentials.help) var credentials: String?
    @Option(name: .customLong(Setting.finnhubSymbols.name), help: Setting.finnhubSymbols.help)
    var finnhubSymbols: String?
    @Option(name: .customLong(Setting.finnhubSymbolsFile.name), help: Setting.finnhubSymbolsFile.help)
    var finnhubSymbolsFile: String?
    @Option(name: .customLong(Setting.finnhubWSURL.name), help: Setting.finnhubWSURL.help) var finnhubWSURL: String?
    @Option(name: .customLong(Setting.finnhubSilence.name), help: Setting.finnhubSilence.help)
    var finnhubSilence: String?

    var given: [(Setting, String?)] {
        [
            (.spoolBytes, spoolBytes), (.sourceRetryPause, sourceRetryPause),
            (.sourceAuthorities, sourceAuthorities), (.credentials, credentials), (.finnhubSymbols, finnhubSymbols),
            (.finnhubSymbolsFile, finnhubSymbolsFile), (.finnhubWSURL, finnhubWSURL),
            (.finnhubSilence, finnhubSilence),
        ]
    }
}

/// What the settings say to live sources.
enum SourceSettings {
    /// How a live source is run; its spool is in the data folder, whose absolute path is `folder`.
    static func runner(_ settings: Settings, folder: String) throws -> LiveRunner.Settings {
        let spools = try DataFolder(folder + "/spool").path
        var runner = LiveRunner.Settings(
            spoolFolder: spools, spoolBytes: settings.integer(.spoolBytes) ?? 1 << 30)
        runner.firstPause = settings.duration(.sourceRetryPause)
        runner.longestPause = runner.firstPause * 60
        return runner
    }

    static func finnhub(_ settings: Settings) throws -> FinnhubSource.Settings {
        let token = try finnhubToken(settings, for: "source finnhub")
        var finnhub = FinnhubSource.Settings(
            token: token, symbols: try finnhubSymbols(settings), url: settings.string(.finnhubWSURL),
            authorities: settings.text(.sourceAuthorities), silence: settings.duration(.finnhubSilence),
            firstPause: settings.duration(.sourceRetryPause))
        if ["on", "1"].contains(settings.string(.finnhubValidate)) {
            finnhub.search = try finnhubSearch(settings, token: token)
        }
        return finnhub
    }

    /// - Parameter user: what cannot do without it.
    static func finnhubToken(_ settings: Settings, for user: String) throws -> String {
        let token = try settings.secret("FINNHUB_API_TOKEN", entry: ("FINNHUB", "FINNHUB_TOKEN"))
        guard let token else {
            throw ValidationError(
                "\(user) needs FINNHUB_API_TOKEN in the environment or in .env, or FINNHUB_TOKEN under [FINNHUB] in credentials.ini"
            )
        }
        return token
    }

    /// What Finnhub is asked for, each once.
    static func finnhubSymbols(_ settings: Settings) throws -> [String] {
        var symbols = settings.list(.finnhubSymbols).compactMap { symbol(Substring($0)) }
        if let path = settings.text(.finnhubSymbolsFile) {
            symbols += try TickerFile.symbols(TextFile.read(path), name: path)
        }
        if symbols.isEmpty {
            throw ValidationError(
                "source finnhub has no symbols: set TAPEDECK_FINNHUB_SYMBOLS (--finnhub-symbols) or TAPEDECK_FINNHUB_SYMBOLS_FILE"
            )
        }
        var seen: Set<String> = []
        return symbols.filter { seen.insert($0).inserted }
    }

    /// A symbol in a list that may have brackets around it and quotes around its elements; nil if it is none.
    static func symbol(_ element: Substring) -> String? {
        let around: Set<Character> = ["[", "]", "\"", "'", " ", "\t"]
        var text = element.drop { around.contains($0) }
        while let last = text.last, around.contains(last) { text.removeLast() }
        var symbol = String(text)
        return symbol.withUTF8 { SymbolSyntax.isValid(UnsafeRawBufferPointer($0)) } ? symbol : nil
    }
}
