// SPDX-License-Identifier: Apache-2.0
// What a POST to /api/v1/forecasts asks for.

import Analytics
import Forecast
import Market

/// Reads a forecast's parameters from a JSON object; every name is known, every value checked.
struct ForecastParameters {
    var request: ForecastRequest
    /// Whether it is to be kept; nil for what the server can do.
    var store: Bool?

    static let names = [
        "symbol", "timeframe", "lookback", "price", "time_base", "steps", "horizon", "paths", "seed", "drift",
        "volatility", "antithetic", "until", "sample_paths", "store",
    ]

    /// Prices that one request may have computed: about a second of one processor.
    static let workLimit = 100_000_000

    /// - Parameters:
    ///   - body: a JSON object.
    ///   - seed: the seed if the request names none.
    init(_ body: [UInt8], seed: UInt64, now: Timestamp) throws(QueryError) {
        let value: JSONValue
        do throws(JSONSyntaxError) {
            value = try JSONReader.read(body)
        } catch {
            throw QueryError(
                400, "invalid_json", "the body is not JSON: \(error.message)", details: "At byte \(error.offset).",
                hint: "Send an object such as {\"symbol\":\"AAPL\",\"horizon\":\"7d\"}.")
        }
        guard case .object(let members) = value else {
            throw QueryError(400, "invalid_json", "the body is \(value.kind), not an object")
        }
        var fields: [String: JSONValue] = [:]
        for member in members {
            guard Self.names.contains(member.name) else {
                throw ParameterReader.unknown(member.name, known: Self.names)
            }
            // null is the same as leaving it out.
            if member.value != .null { fields[member.name] = member.value }
        }
        let reader = Fields(fields)
        guard let symbol = try reader.text("symbol") else {
            throw ParameterReader.missing("symbol", allowed: "a symbol that has traded")
        }
        try MarketRequest.check(symbol, "symbol")
        request = ForecastRequest(symbol: symbol, seed: seed)
        try readModel(reader)
        try readSize(reader)
        if let text = try reader.text("until") {
            guard let time = Timestamp(text, now: now), TimeRange.isStorable.contains(time.microseconds) else {
                throw ParameterReader.invalid("until", text, allowed: TimeRange.allowed)
            }
            request.until = time
        }
        store = try reader.bool("store")
        do throws(AnalyticsError) {
            try request.check()
        } catch {
            throw QueryError(error)
        }
        if request.steps * request.paths > Self.workLimit {
            throw QueryError(
                400, "invalid_parameter",
                "steps × paths is \(request.steps * request.paths); allowed: at most \(Self.workLimit)",
                hint: "tapedeck forecast takes more.")
        }
    }

    private mutating func readModel(_ reader: Fields) throws(QueryError) {
        if let name = try reader.choice("timeframe", Timeframe.allCases.map(\.name)),
            let timeframe = Timeframe(name: name)
        {
            request.timeframe = timeframe
        }
        if let name = try reader.choice("price", ForecastRequest.Price.allCases.map(\.rawValue)),
            let price = ForecastRequest.Price(rawValue: name)
        {
            request.price = price
        }
        if let name = try reader.choice("time_base", TimeBase.allCases.map(\.rawValue)),
            let base = TimeBase(rawValue: name)
        {
            request.timeBase = base
        }
        if let seconds = try reader.duration("lookback") { request.lookbackSeconds = seconds }
        request.drift = try reader.number("drift")
        request.volatility = try reader.number("volatility")
        if let seed = try reader.integer("seed", in: 0...Int.max) { request.seed = UInt64(seed) }
    }

    private mutating func readSize(_ reader: Fields) throws(QueryError) {
        if let paths = try reader.integer("paths", in: SimulationParameters.pathsRange) { request.paths = paths }
        if let kept = try reader.integer("sample_paths", in: ForecastRequest.keptPathsRange) {
            request.keptPaths = kept
        }
        request.isAntithetic = try reader.bool("antithetic") ?? false
        let steps = try reader.integer("steps", in: SimulationParameters.stepsRange)
        if let horizon = try reader.duration("horizon") {
            if steps != nil {
                throw QueryError(400, "invalid_parameter", "\"steps\" and \"horizon\" say the same; give one of them")
            }
            let width = request.timeframe.microseconds / 1_000_000
            guard horizon % width == 0, SimulationParameters.stepsRange.contains(Int(horizon / width)) else {
                throw ParameterReader.invalid(
                    "horizon", "\(horizon)s",
                    allowed:
                        "1 to \(SimulationParameters.stepsRange.upperBound) whole bars of \(request.timeframe.name)")
            }
            request.steps = Int(horizon / width)
        } else if let steps {
            request.steps = steps
        }
    }

    /// Members of an object by name and type.
    private struct Fields {
        private let values: [String: JSONValue]

        init(_ values: [String: JSONValue]) { self.values = values }

        func text(_ name: String) throws(QueryError) -> String? {
            switch values[name] {
            case nil: return nil
            case .string(let text): return text
            case let other?: throw ParameterReader.invalid(name, other.text, allowed: "a string")
            }
        }

        func choice(_ name: String, _ choices: [String]) throws(QueryError) -> String? {
            guard let text = try text(name) else { return nil }
            guard choices.contains(text) else {
                throw ParameterReader.invalid(name, text, allowed: "one of " + choices.joined(separator: ", "))
            }
            return text
        }

        func bool(_ name: String) throws(QueryError) -> Bool? {
            switch values[name] {
            case nil: return nil
            case .bool(let value): return value
            case let other?: throw ParameterReader.invalid(name, other.text, allowed: "true or false")
            }
        }

        func number(_ name: String) throws(QueryError) -> Double? {
            switch values[name] {
            case nil: return nil
            case .number(let text):
                if let value = Double(text), value.isFinite { return value }
                throw ParameterReader.invalid(name, text, allowed: "a number of float64")
            case let other?: throw ParameterReader.invalid(name, other.text, allowed: "a number")
            }
        }

        func integer(_ name: String, in range: ClosedRange<Int>) throws(QueryError) -> Int? {
            switch values[name] {
            case nil: return nil
            // A seed may be beyond 2^53, which many writers of JSON can only say as a string.
            case .number(let text), .string(let text):
                if let value = Int(text), range.contains(value) { return value }
                throw ParameterReader.invalid(name, text, allowed: ParameterReader.describe(range))
            case let other?: throw ParameterReader.invalid(name, other.text, allowed: ParameterReader.describe(range))
            }
        }

        /// A span of time such as 90s, 30m, 12h, 7d, 4w, in seconds.
        func duration(_ name: String) throws(QueryError) -> Int64? {
            guard let text = try text(name) else { return nil }
            let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
            guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
                (1...10_000_000).contains(count)
            else { throw ParameterReader.invalid(name, text, allowed: "a time such as 90s, 30m, 12h, 7d, 4w") }
            return count * unit
        }
    }
}

extension QueryError {
    init(_ error: AnalyticsError) {
        switch error.code {
        case .invalid: self.init(400, "invalid_parameter", error.message, hint: error.hint)
        case .notFound: self.init(404, "not_found", error.message, hint: error.hint)
        case .insufficientData: self.init(422, "insufficient_data", error.message, hint: error.hint)
        case .busy, .done: self.init(503, "busy", error.message, hint: error.hint, retryAfterSeconds: 1)
        }
    }
}
