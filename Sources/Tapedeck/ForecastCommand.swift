// SPDX-License-Identifier: Apache-2.0

import Analytics
import ArgumentParser
import Forecast
import Glibc
import Market

/// `tapedeck forecast`: simulates where prices may go, and keeps the result.
struct ForecastCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forecast",
        abstract: "Forecast prices by Monte Carlo simulation, and store the result.",
        discussion: """
            Geometric Brownian motion, with drift and volatility from the log returns of stored bars. The same seed and \
            prices give the same numbers. Without --symbol it takes the symbols that traded most in the last day.
            """)

    @OptionGroup var flags: SettingFlags
    @Option(help: "A symbol; may be given several times.") var symbol: [String] = []
    @Option(help: "The bars prices come from, and the length of a step: 1s 5s 15s 1m 5m 15m 1h 1d.")
    var timeframe = "1h"
    @Option(help: "How far before the last bar prices are taken, e.g. 30d.") var lookback = "30d"
    @Option(help: "Which price of a bar: vwap or close.") var price = "vwap"
    @Option(help: "calendar (365 days a year) or trading (252; daily bars only).") var timeBase = "calendar"
    @Option(help: "Steps ahead, 1 to 10000.") var steps = 24
    @Option(help: "Simulated paths, 2 to 1000000.") var paths = 10_000
    @Option(help: "Seed of the random numbers; else drawn.") var seed: UInt64?
    @Option(help: "Drift a year, instead of the estimate.") var drift: Double?
    @Option(help: "Volatility a year, instead of the estimate.") var volatility: Double?
    @Flag(help: "Mirror half of the paths.") var antithetic = false
    @Option(help: "Know only bars that begin before this time (RFC 3339 or a date).") var until: String?
    @Flag(help: "Compute and print, and store nothing.") var dryRun = false

    func run() async throws {
        let access = try StoreAccess(flags, application: "tapedeck forecast")
        var template = ForecastRequest(symbol: "", seed: seed ?? .random(in: 0...UInt64(Int64.max)))
        template.timeframe = try Self.named(timeframe, "--timeframe") { Timeframe(name: $0) }
        template.price = try Self.named(price, "--price") { ForecastRequest.Price(rawValue: $0) }
        template.timeBase = try Self.named(timeBase, "--time-base") { TimeBase(rawValue: $0) }
        template.lookbackSeconds = try Self.named(lookback, "--lookback") {
            Setting.duration($0)?.components.seconds
        }
        template.until = try until.map { text in try Self.named(text, "--until") { Timestamp(parsing: $0) } }
        (template.steps, template.paths) = (steps, paths)
        (template.drift, template.volatility, template.isAntithetic) = (drift, volatility, antithetic)
        do {
            try template.check()
        } catch {
            throw ValidationError("\(error)")
        }
        let (request, given, dryRun) = (template, symbol, dryRun)
        let threads = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))
        let lines = try await access.run { connection in
            let store = ForecastStore(connection)
            let now = wallClock()
            var symbols = given
            if symbols.isEmpty {
                symbols = try await store.activeSymbols(
                    limit: 50, since: Timestamp(microseconds: now.microseconds - Timestamp.microsecondsPerDay))
                if symbols.isEmpty { throw ValidationError("nothing has traded in the last day; name a --symbol") }
            }
            var lines: [String] = []
            for symbol in symbols {
                var request = request
                request.symbol = symbol
                let forecast = try MadeForecast(
                    request, try await store.history(request), madeAt: now, threads: threads)
                let id = dryRun ? nil : try await store.write(forecast, madeBy: "command")
                lines.append(Self.line(forecast, id))
            }
            return lines
        }
        for line in lines { print(line) }
    }

    private static func named<T>(_ text: String, _ option: String, _ read: (String) -> T?) throws -> T {
        guard let value = read(text) else { throw ValidationError("\(option): '\(text)' is not known") }
        return value
    }

    /// The symbol, where it stands, and the fan at the last step.
    private static func line(_ forecast: MadeForecast, _ id: Int64?) -> String {
        let last = forecast.result.fan[forecast.result.fan.count - 1]
        let number = id.map { "forecast \($0)" } ?? "not stored"
        let fan = zip(["p05", "p25", "p50", "p75", "p95"], last.quantiles).map { "\($0) \(rounded($1))" }
        return "\(forecast.request.symbol)  \(number)  spot \(rounded(forecast.spot)) at \(forecast.spotTime)  "
            + "drift \(rounded(forecast.drift))  volatility \(rounded(forecast.volatility))  "
            + "seed \(forecast.request.seed)\n  at \(forecast.times[forecast.times.count - 1])  mean \(rounded(last.mean))  "
            + fan.joined(separator: "  ")
    }

    /// Six significant digits.
    private static func rounded(_ value: Double) -> String {
        if value == 0 || !value.isFinite { return "\(value)" }
        let scale = pow(10, 5 - log10(value.magnitude).rounded(.down))
        return "\((value * scale).rounded() / scale)"
    }
}
