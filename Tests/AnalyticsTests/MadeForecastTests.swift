// SPDX-License-Identifier: Apache-2.0

import Analytics
import Forecast
import Market
import Testing

struct MadeForecastTests {
    private static func history(_ closes: [Double], every seconds: Int64 = 3600) -> PriceHistory {
        PriceHistory(
            bars: closes.enumerated().map { index, close in
                .init(
                    start: Timestamp(microseconds: Int64(index) * seconds * 1_000_000), close: close,
                    vwap: index == 1 ? nil : close * 2)
            })
    }

    private static let now = Timestamp(microseconds: 1_000_000_000_000)

    private static func request(_ change: (inout ForecastRequest) -> Void = { _ in }) -> ForecastRequest {
        var request = ForecastRequest(symbol: "X", seed: 5)
        request.paths = 64
        change(&request)
        return request
    }

    @Test func `it starts from the last price, at the end of its bar`() throws {
        let forecast = try MadeForecast(
            Self.request { $0.price = .close }, Self.history([100, 101, 99, 100.5]), madeAt: Self.now, threads: 1)
        #expect(forecast.spot == 100.5)
        #expect(forecast.spotTime.description == "1970-01-01T04:00:00Z")
        #expect(forecast.times.first?.description == "1970-01-01T05:00:00Z")
        #expect(forecast.times.count == 24 && forecast.returns == 3)
        #expect(forecast.result.kept.count == 20)
        // A bar that has not ended yet: the price is of now.
        let early = Timestamp(microseconds: 3 * 3_600_000_000 + 5)
        #expect(
            try MadeForecast(Self.request(), Self.history([1, 2, 3, 4]), madeAt: early, threads: 1).spotTime == early)
    }

    @Test func `what is given is not estimated`() throws {
        let given = try MadeForecast(
            Self.request { ($0.drift, $0.volatility) = (0.1, 0.2) }, Self.history([100]), madeAt: Self.now, threads: 1)
        #expect(given.drift == 0.1 && given.volatility == 0.2 && given.returns == nil)
        let half = try MadeForecast(
            Self.request { $0.volatility = 0 }, Self.history([100, 101, 102]), madeAt: Self.now, threads: 1)
        #expect(half.volatility == 0 && half.drift != 0 && half.returns == 2)
    }

    @Test func `a bar without volume counts with its close`() throws {
        let byVWAP = try MadeForecast(Self.request(), Self.history([100, 200, 100]), madeAt: Self.now, threads: 1)
        // Prices 200, 200 (the close of the bar without vwap), 200.
        #expect(byVWAP.volatility == 0 && byVWAP.drift == 0)
    }

    @Test func `trading days leave out weekends`() throws {
        let forecast = try MadeForecast(
            Self.request {
                ($0.timeframe, $0.timeBase, $0.steps) = (.day1, .trading, 6)
            }, Self.history([1, 2, 3], every: 86_400), madeAt: Self.now, threads: 1)
        // The bars are of Thursday, Friday and Saturday, 3 January 1970; the next trading days end on the 6th and so on.
        #expect(
            forecast.times.map { $0.description.prefix(10) } == [
                "1970-01-06", "1970-01-07", "1970-01-08", "1970-01-09", "1970-01-10", "1970-01-13",
            ])
    }

    @Test func `what cannot be made says why`() {
        func code(_ request: ForecastRequest, _ history: PriceHistory) -> AnalyticsError.Code? {
            do throws(AnalyticsError) {
                try request.check()
                _ = try MadeForecast(request, history, madeAt: Self.now, threads: 1)
                return nil
            } catch {
                return error.code
            }
        }
        let enough = Self.history([1, 2, 3])
        #expect(code(Self.request(), enough) == nil)
        #expect(code(Self.request(), Self.history([])) == .notFound)
        #expect(code(Self.request(), Self.history([1, 2])) == .insufficientData)
        #expect(code(Self.request { $0.timeBase = .trading }, enough) == .invalid)
        #expect(code(Self.request { $0.lookbackSeconds = 0 }, enough) == .invalid)
        #expect(code(Self.request { $0.keptPaths = 100 }, enough) == nil)
        #expect(code(Self.request { $0.keptPaths = 101 }, enough) == .invalid)
        #expect(code(Self.request { $0.seed = 1 << 63 }, enough) == .invalid)
        #expect(code(Self.request { $0.steps = 0 }, enough) == .invalid)
        #expect(code(Self.request { $0.volatility = -1 }, enough) == .invalid)
    }
}
