// SPDX-License-Identifier: Apache-2.0
// The contract of the simpod JSON data source.

import HTTP
import Market
import Postgres

/// What the data source asks.
enum SimpodCall {
    case test, metrics, metricPayloadOptions, query, variable, tagKeys, tagValues, search, annotations
}

extension QueryHandler {
    /// `GET /simpod`, which is asked when the data source is saved, and `POST /simpod/…`.
    func answerSimpod(
        _ call: SimpodCall, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        let body = try SimpodBody(
            call == .test ? [] : try await request.collectJSON(upTo: configuration.bodyLimit, isRequired: false))
        var json: [UInt8] = []
        switch call {
        case .test: json.appendText("{\"status\":\"ok\"}")
        case .metrics: json.appendMetrics()
        case .tagKeys:
            json.appendList(SimpodFilter.keys) { $0.appendText("{\"type\":\"string\",\"text\":\"\($1)\"}") }
        case .search:
            let wanted = body.text("target") ?? ""
            json.appendList(SimpodMetric.names.filter { wanted.isEmpty || $0.contains(wanted) }) {
                $0.appendJSONString($1)
            }
        case .query: return try await answerQuery(body, request, response, id)
        case .annotations: return try await answerAnnotations(body, request, response, id)
        case .metricPayloadOptions:
            // Options that are no symbols stand in the list of metrics.
            guard ["symbol", "symbols"].contains(body.text("name")) else {
                json.appendText("[]")
                break
            }
            return try await answerValues(.symbols, "", request, response, id) { bytes, text, value in
                bytes.appendText("{\"label\":")
                bytes.appendJSONString(text)
                bytes.appendText(",\"value\":")
                bytes.appendJSONString(value)
                bytes.appendText("}")
            }
        case .variable:
            let payload = try body.object("payload")
            // A variable without a query is sent with an empty one.
            let target = payload.text("target") ?? ""
            let values = try SimpodValues(target.isEmpty ? "symbols" : target)
            return try await answerValues(values, payload.text("search") ?? "", request, response, id) {
                bytes, text, value in
                bytes.appendText("{\"__text\":")
                bytes.appendJSONString(text)
                bytes.appendText(",\"__value\":")
                bytes.appendJSONString(value)
                bytes.appendText("}")
            }
        case .tagValues:
            let key = body.text("key") ?? ""
            guard SimpodFilter.keys.contains(key) else {
                throw ParameterReader.invalid(
                    "key", key, allowed: "one of " + SimpodFilter.keys.joined(separator: ", "))
            }
            return try await answerValues(try SimpodValues(key), "", request, response, id) { bytes, _, value in
                bytes.appendText("{\"text\":")
                bytes.appendJSONString(value)
                bytes.appendText("}")
            }
        }
        json.append(0x0A)
        try await response.respond(
            .ok, ["Content-Type": ReplyFormat.json.contentType, "Cache-Control": "no-store"], json)
    }

    /// `/query`: an array with the answers of all targets.
    private func answerQuery(
        _ body: SimpodBody, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        let targets = try SimpodTarget.read(
            body, now: Self.now(), configuration, most: Self.limits(of: request).rows)
        let filters = try SimpodFilter.read(body)
        // What tells lines of one symbol apart.
        let namesFields = Set(targets.flatMap(\.fields)).count > 1
        try await answer(targets.map(\.panel), request, response, id) { bytes, frames in
            var isFirst = true
            bytes.append(UInt8(ascii: "["))
            for (target, frames) in zip(targets, frames) {
                for frame in frames.compactMap({ $0.filtered(filters) }) {
                    if !isFirst { bytes.append(UInt8(ascii: ",")) }
                    isFirst = false
                    if case .series = target.panel {
                        bytes.appendDataPoints(frame, refID: target.refID, namesFields: namesFields)
                    } else {
                        bytes.appendTable(frame, refID: target.refID)
                    }
                }
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }

    /// `/annotations`, of versions up to 0.2.6: the query of an annotation is the kind that is wanted.
    private func answerAnnotations(
        _ body: SimpodBody, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        let range = try body.object("range")
        var pairs: [QueryParameters.Pair] = []
        for (name, value) in [
            ("from", range.text("from")), ("to", range.text("to")),
            ("kind", try body.object("annotation").text("query")),
        ] {
            if let value, !value.isEmpty { pairs.append(.init(name: name, value: value)) }
        }
        let panel = try Panel(.annotations, pairs, now: Self.now(), configuration)
        try await answer([panel], request, response, id) { bytes, frames in
            bytes.append(UInt8(ascii: "["))
            for frame in frames[0] {
                for row in 0..<frame.count {
                    if row > 0 { bytes.append(UInt8(ascii: ",")) }
                    bytes.appendAnnotation(frame, row)
                }
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }

    /// The distinct values of a list, each with what is shown for it.
    private func answerValues(
        _ values: SimpodValues, _ search: String, _ request: Request, _ response: ResponseWriter, _ id: QueryID,
        _ append: @escaping (inout [UInt8], String, String) -> Void
    ) async throws {
        let pairs = values == .symbols && !search.isEmpty ? [QueryParameters.Pair(name: "search", value: search)] : []
        let panel = try Panel(
            values.panel, values.name.map { [.init(name: "name", value: $0)] } ?? pairs, now: Self.now(), configuration)
        try await answer([panel], request, response, id) { bytes, frames in
            var seen: Set<String> = []
            var isFirst = true
            bytes.append(UInt8(ascii: "["))
            for frame in frames[0] {
                for row in 0..<frame.count {
                    guard let value = frame.text(values.column, row), seen.insert(value).inserted else { continue }
                    if !isFirst { bytes.append(UInt8(ascii: ",")) }
                    isFirst = false
                    append(&bytes, values == .symbols ? frame.text("__text", row) ?? value : value, value)
                }
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }

    /// Runs panels one after the other on one connection, and sends what `write` makes of their frames.
    private func answer(
        _ panels: [Panel], _ request: Request, _ response: ResponseWriter, _ id: QueryID,
        _ write: (inout [UInt8], [[Frame]]) -> Void
    ) async throws {
        let lane: Admission.Lane = panels.allSatisfy { $0.isLookup(configuration) } ? .lookups : .queries
        let lease = lease(request, lane, .rest, request.head.target, id)
        let body = RowBody(response, contentType: ReplyFormat.json.contentType, query: lease.query)
        body.add(nil)
        try await lease.run(body) { connection in
            var answers: [[Frame]] = []
            var size = 0
            for panel in panels {
                try lease.checkGoing()
                let frames = try await panel.frames(connection, lease)
                size += frames.reduce(0) { $0 + $1.size }
                try GrafanaParameters.check(size: size)
                answers.append(frames)
                body.rows += frames.reduce(0) { $0 + $1.count }
            }
            write(&body.bytes, answers)
            body.bytes.append(0x0A)
        }
        try await body.finish()
    }
}

extension Route {
    /// Whether it is of the simpod data source, which reads errors its own way.
    var isSimpod: Bool {
        switch self {
        case .simpod, .simpodMetrics, .simpodOptions, .simpodQuery, .simpodVariable, .simpodTagKeys, .simpodTagValues,
            .simpodSearch, .simpodAnnotations:
            true
        default: false
        }
    }
}

extension QueryError {
    /// Our own body, and the member of it that the data source shows.
    func simpodBody(_ id: QueryID) -> [UInt8] {
        var json = jsonBody(id).dropLast("}\n".utf8.count)[...]
        var error: [UInt8] = []
        error.appendText(",\"error\":{\"code\":")
        error.appendJSONString(code)
        error.appendText(",\"message\":")
        error.appendJSONString([message, hint].compactMap(\.self).joined(separator: ". "))
        error.appendText("}}\n")
        json += error
        return Array(json)
    }
}

/// The lists that variables and filters choose from.
enum SimpodValues: String, CaseIterable {
    case symbols, subreddits, sources, reasons, kinds, topics

    /// By its name, or the name of one of it.
    init(_ name: String) throws(QueryError) {
        guard let values = Self.allCases.first(where: { $0.rawValue == name || $0.rawValue == name + "s" }) else {
            throw ParameterReader.invalid(
                "target", name, allowed: "one of " + Self.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self = values
    }

    var panel: PanelKind { self == .symbols ? .symbols : .table }

    /// The table that has them.
    var name: String? {
        switch self {
        case .symbols: nil
        case .subreddits: "sentiment_by_subreddit"
        case .sources: "sources"
        case .reasons, .topics: "rejected_by_reason"
        case .kinds: "alerts"
        }
    }

    var column: String { self == .symbols ? "__value" : String(rawValue.dropLast()) }
}

extension Frame {
    /// A text by its column's name; nil if it is null, or there is no such column.
    func text(_ name: String, _ row: Int) -> String? {
        guard case .texts(let texts) = fields.first(where: { $0.name == name })?.values else { return nil }
        return texts[row]
    }

    /// A moment by its column's name.
    func time(_ name: String, _ row: Int) -> Int64? {
        guard case .times(let times) = fields.first(where: { $0.name == name })?.values else { return nil }
        return times[row]
    }
}

extension [UInt8] {
    /// Values in brackets.
    mutating func appendList<T>(_ values: [T], _ append: (inout [UInt8], T) -> Void) {
        self.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { self.append(UInt8(ascii: ",")) }
            append(&self, value)
        }
        self.append(UInt8(ascii: "]"))
    }

    /// What there is to choose from in the editor.
    fileprivate mutating func appendMetrics() {
        appendList(SimpodMetric.names) { bytes, name in
            bytes.appendText("{\"label\":\"\(name)\",\"value\":\"\(name)\",\"payloads\":")
            bytes.appendList((try? SimpodMetric(name))?.payloads ?? []) { bytes, payload in
                let type = payload.isMany ? "multi-select" : "select"
                bytes.appendText("{\"label\":\"\(payload.name)\",\"name\":\"\(payload.name)\",\"type\":\"\(type)\"")
                if !payload.options.isEmpty {
                    bytes.appendText(",\"options\":")
                    bytes.appendList(payload.options) { $0.appendText("{\"label\":\"\($1)\",\"value\":\"\($1)\"}") }
                }
                bytes.appendText("}")
            }
            bytes.appendText("}")
        }
    }

    /// One field of one symbol: `{"target":…,"datapoints":[[value,ms],…]}`.
    ///
    /// - Parameter namesFields: whether the name has the field beside the symbol.
    fileprivate mutating func appendDataPoints(_ frame: Frame, refID: String, namesFields: Bool) {
        let times = frame.times
        for place in 1..<Swift.max(2, frame.fields.count) where place < frame.fields.count {
            if place > 1 { append(UInt8(ascii: ",")) }
            appendText("{\"target\":")
            appendJSONString(namesFields ? "\(frame.name) \(frame.fields[place].name)" : frame.name)
            appendText(",\"refId\":")
            appendJSONString(refID)
            appendText(",\"datapoints\":[")
            for (row, value) in frame.numbers(place).enumerated() {
                appendText(row == 0 ? "[" : ",[")
                appendNumber(value)
                append(UInt8(ascii: ","))
                appendInteger(times[row])
                append(UInt8(ascii: "]"))
            }
            appendText("]}")
        }
    }

    /// Rows of mixed types: `{"type":"table","columns":[{"text","type"}],"rows":[[…]]}`.
    fileprivate mutating func appendTable(_ frame: Frame, refID: String) {
        appendText("{\"type\":\"table\",\"refId\":")
        appendJSONString(refID)
        appendText(",\"columns\":")
        appendList(frame.fields) { bytes, field in
            bytes.appendText("{\"text\":")
            bytes.appendJSONString(field.name)
            bytes.appendText(",\"type\":\"\(field.values.type)\"}")
        }
        appendText(",\"rows\":[")
        for row in 0..<frame.count {
            appendText(row == 0 ? "[" : ",[")
            for (place, field) in frame.fields.enumerated() {
                if place > 0 { append(UInt8(ascii: ",")) }
                appendValue(field.values, row)
            }
            append(UInt8(ascii: "]"))
        }
        appendText("]}")
    }

    /// `{"text","title","time","timeEnd","isRegion","tags":[…]}`.
    fileprivate mutating func appendAnnotation(_ frame: Frame, _ row: Int) {
        appendText("{\"text\":")
        appendJSONString(frame.text("text", row))
        appendText(",\"title\":")
        appendJSONString(frame.text("title", row))
        appendText(",\"time\":\(frame.time("time", row) ?? 0)")
        if let end = frame.time("timeEnd", row) { appendText(",\"timeEnd\":\(end),\"isRegion\":true") }
        appendText(",\"tags\":")
        appendList((frame.text("tags", row) ?? "").split(separator: ",").map(String.init)) { $0.appendJSONString($1) }
        appendText("}")
    }
}
