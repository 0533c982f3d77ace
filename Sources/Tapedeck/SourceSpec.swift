// SPDX-License-Identifier: Apache-2.0

import Ingest
import Market

/// What a `--source` names.
enum SourceSpec: Equatable {
    /// What may be named, for people.
    static let forms = """
        replay:FILE[?speed=1|60|max][&symbol=S][&max_pause=2s][&shift=now][&loop=N|forever], \
        simulate[?rate=N][&symbols=N][&seed=N][&volatility=X][&correlation=X][&duration=1h], \
        finnhub, finnhub-rest, yahoo, reddit
        """

    case replay(Replay.Settings)
    case simulate(SimulatedMarket.Settings)
    /// A service; what it is asked for is said by settings.
    case live(LiveService)

    /// The services that are listened to or asked.
    enum LiveService: String, CaseIterable {
        case finnhub
        case finnhubREST = "finnhub-rest"
        case yahoo
        case reddit
    }

    init(_ text: String) throws(SettingsError) {
        // A colon may end the name where nothing follows it: `simulate:` is what `simulate` is.
        let name = text.prefix { $0 != ":" && $0 != "?" }
        switch name {
        case "replay" where text.dropFirst(name.count).first == ":": self = try Self.replay(text)
        case "simulate": self = try Self.simulate(text)
        default:
            if let service = LiveService(rawValue: text) {
                self = .live(service)
                return
            }
            let services = LiveService.allCases.map(\.rawValue).joined(separator: ", ")
            throw SettingsError(
                message:
                    "source '\(text)' is not known; allowed: replay:FILE[?speed=…&symbol=…], simulate[?rate=…], \(services)"
            )
        }
    }

    private static func replay(_ text: String) throws(SettingsError) -> SourceSpec {
        let rest = text.dropFirst("replay:".count)
        let question = rest.lastIndex(of: "?")
        let path = String(question.map { rest[..<$0] } ?? rest)
        if path.isEmpty { throw SettingsError(message: "source '\(text)' names no file") }
        var settings = Replay.Settings(path: path)
        for pair in (question.map { rest[rest.index(after: $0)...] } ?? "").split(separator: "&") {
            try Self.apply(pair, to: &settings, of: text)
        }
        if settings.rounds != 1 && !settings.isAsOfNow {
            throw SettingsError(
                message: "source '\(text)': loop needs shift=now, because trades of the same times are there already")
        }
        return .replay(settings)
    }

    private static func apply(_ pair: Substring, to settings: inout Replay.Settings, of text: String)
        throws(SettingsError)
    {
        let parts = pair.split(separator: "=", maxSplits: 1)
        let value = parts.count == 2 ? String(parts[1]) : ""
        switch parts.first {
        case "speed" where value == "max": settings.speed = nil
        case "speed":
            guard let speed = Double(value), speed > 0, speed.isFinite else {
                throw SettingsError(message: "source '\(text)': speed is '\(value)'; allowed: a number above 0, or max")
            }
            settings.speed = speed
        case "symbol":
            if value.isEmpty { throw SettingsError(message: "source '\(text)': symbol has no value") }
            settings.symbol = value
        case "max_pause":
            guard let pause = Setting.duration(value) else {
                throw SettingsError(message: "source '\(text)': max_pause is '\(value)'; allowed: a time such as 500ms")
            }
            settings.longestPause = pause
        case "shift":
            if value != "now" { throw SettingsError(message: "source '\(text)': shift is '\(value)'; allowed: now") }
            settings.isAsOfNow = true
        case "loop" where value == "forever": settings.rounds = nil
        case "loop":
            guard let rounds = Int(value), rounds > 0 else {
                throw SettingsError(
                    message: "source '\(text)': loop is '\(value)'; allowed: a number of rounds from 1, or forever")
            }
            settings.rounds = rounds
        default:
            throw SettingsError(
                message:
                    "source '\(text)': parameter '\(pair)' is not known; allowed: speed, symbol, max_pause, shift, loop"
            )
        }
    }

    // MARK: simulate

    private static func simulate(_ text: String) throws(SettingsError) -> SourceSpec {
        var rest = text.dropFirst("simulate".count)
        if rest.first == ":" { rest = rest.dropFirst() }
        guard rest.isEmpty || rest.first == "?" else {
            throw SettingsError(message: "source '\(text)': '\(rest)' is not known; parameters follow a question mark")
        }
        var settings = SimulatedMarket.Settings()
        for pair in rest.dropFirst().split(separator: "&") { try apply(pair, to: &settings, of: text) }
        return .simulate(settings)
    }

    private static func apply(_ pair: Substring, to settings: inout SimulatedMarket.Settings, of text: String)
        throws(SettingsError)
    {
        let parts = pair.split(separator: "=", maxSplits: 1)
        let value = parts.count == 2 ? String(parts[1]) : ""
        func number<Number: LosslessStringConvertible & Comparable>(_ range: ClosedRange<Number>) throws(SettingsError)
            -> Number
        {
            guard let number = Number(value), range.contains(number) else {
                throw SettingsError(
                    message:
                        "source '\(text)': \(parts[0]) is '\(value)'; allowed: \(range.lowerBound) to \(range.upperBound)"
                )
            }
            return number
        }
        switch parts.first {
        case "rate": settings.rate = try number(SimulatedMarket.Settings.rates)
        case "symbols": settings.symbols = try number(SimulatedMarket.Settings.symbolCounts)
        case "seed": settings.seed = try number(0...UInt64.max)
        case "volatility": settings.volatility = try number(SimulatedMarket.Settings.volatilities)
        case "correlation": settings.correlation = try number(0...1)
        case "duration":
            guard let duration = Setting.duration(value), duration > .zero, duration <= SimulatedMarket.longestTime
            else {
                throw SettingsError(
                    message: "source '\(text)': duration is '\(value)'; allowed: a time such as 500ms or 1h")
            }
            settings.duration = duration
        default:
            throw SettingsError(
                message:
                    "source '\(text)': parameter '\(pair)' is not known; allowed: rate, symbols, seed, volatility, "
                    + "correlation, duration")
        }
    }
}
