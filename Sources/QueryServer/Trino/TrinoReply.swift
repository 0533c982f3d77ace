// SPDX-License-Identifier: Apache-2.0
// A page of a query as the JSON that clients read (trino.io, "Client protocol"; QueryResults).

import EventLoop
import HTTP
import Postgres

/// Where the server is, as its client sees it: `https://host:port`.
struct TrinoBase: Sendable, Equatable {
    let text: String

    /// From the headers of proxies, else from Host.
    ///
    /// - Throws: 400 if what they name is no host.
    init(_ request: Request) throws(TrinoRefusal) { try self.init(request.head, isSecure: request.isSecure) }

    init(_ head: RequestHead, isSecure: Bool) throws(TrinoRefusal) {
        func first(_ name: StaticString) -> String? {
            head[name]?.split(separator: ",").first.map { String($0.filter { $0 != " " }) }
                .flatMap { $0.isEmpty ? nil : $0 }
        }
        let scheme = first("x-forwarded-proto")?.lowercased() ?? (isSecure ? "https" : "http")
        var host = first("x-forwarded-host") ?? first("host") ?? "localhost"
        if let port = first("x-forwarded-port"), !host.drop(while: { $0 != "]" }).contains(":"),
            host.hasPrefix("[") || !host.contains(":")
        {
            guard let number = UInt16(port) else { throw TrinoRefusal(400, "X-Forwarded-Port is not a port") }
            if number != (scheme == "https" ? 443 : 80) { host += ":\(number)" }
        }
        let isHost = host.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || "-._~:[]%".utf8.contains($0)
        }
        guard isHost, scheme == "http" || scheme == "https" else {
            throw TrinoRefusal(400, "Host or X-Forwarded-Proto is not one")
        }
        text = "\(scheme)://\(host)"
    }
}

/// Writes pages.
struct TrinoReply {
    let query: TrinoQuery
    let base: TrinoBase

    /// The answer to the POST: nothing but where to go on. Clients that never ask again (presto-python-client) would
    /// have no columns, so there is always a page to be fetched.
    func accepted() -> [UInt8] {
        var json: [UInt8] = []
        appendHead(next: 1, isFirst: true, &json)
        append(.queued, rows: 0, bytes: 0, elapsed: .zero, queued: .zero, to: &json)
        json.appendText(",\"warnings\":[]}\n")
        return json
    }

    /// The pieces of a page's body, in order. Rows are not copied.
    func pieces(_ page: TrinoMailbox.Page) -> [[UInt8]] {
        var json: [UInt8] = []
        appendHead(next: page.isLast ? nil : page.token + 1, isFirst: false, &json)
        if let columns = page.columns {
            json.appendText("\"columns\":")
            json.append(contentsOf: columns)
            json.appendText(",")
        }
        var pieces: [[UInt8]] = []
        if !page.chunks.isEmpty {
            json.appendText("\"data\":[")
            for (index, chunk) in page.chunks.enumerated() {
                if index > 0 { json.appendText(",") }
                pieces.append(json)
                pieces.append(chunk)
                json = []
            }
            json.appendText("],")
        }
        append(
            page.stage, rows: page.rows, bytes: page.bytes, elapsed: page.elapsed, queued: page.queued, to: &json)
        if let failure = page.failure {
            json.appendText(",")
            failure.append(to: &json)
        }
        if let type = page.effect.updateType {
            json.appendText(",\"updateType\":")
            json.appendJSONString(type)
        }
        json.appendText(",\"warnings\":[]}\n")
        pieces.append(json)
        return pieces
    }

    /// The headers of a page: what the client is to remember.
    func headers(_ page: TrinoMailbox.Page) -> Headers {
        var headers = Self.headers
        for header in page.effect.headers { headers.add("\(query.session.flavour.prefix)\(header.name)", header.value) }
        return headers
    }

    static let headers: Headers = ["Content-Type": "application/json", "Cache-Control": "no-store"]

    private func appendHead(next: Int?, isFirst: Bool, _ json: inout [UInt8]) {
        json.appendText("{\"id\":\"")
        json.appendText(query.id)
        json.appendText("\",\"infoUri\":\"")
        json.appendText(base.text)
        json.appendText("/ui/query.html?")
        json.appendText(query.id)
        json.appendText("\",")
        if let next {
            json.appendText("\"nextUri\":\"")
            json.appendText(base.text)
            json.appendText(isFirst ? "/v1/statement/queued/" : "/v1/statement/executing/")
            json.appendText("\(query.id)/\(query.slug)/\(next)\",")
        }
    }

    /// The member `stats`. PostgreSQL has no splits: a query counts as two, the first of which is done once it runs,
    /// since Superset looks whether it was stopped only while some are done.
    private func append(
        _ stage: TrinoMailbox.Stage, rows: Int, bytes: Int, elapsed: Duration, queued: Duration, to json: inout [UInt8]
    ) {
        let (completed, running) =
            switch stage {
            case .queued: (0, 0)
            case .running: (1, 1)
            case .finished, .failed: (2, 0)
            }
        func milliseconds(_ duration: Duration) -> Int64 { duration.inNanoseconds / 1_000_000 }
        json.appendText("\"stats\":{\"state\":\"")
        json.appendText(stage.rawValue)
        json.appendText("\",\"queued\":\(stage == .queued),\"scheduled\":\(stage != .queued),\"nodes\":1")
        json.appendText(",\"totalSplits\":2,\"queuedSplits\":\(2 - completed - running)")
        json.appendText(",\"runningSplits\":\(running),\"completedSplits\":\(completed)")
        json.appendText(",\"cpuTimeMillis\":0,\"wallTimeMillis\":\(milliseconds(elapsed - queued))")
        json.appendText(",\"queuedTimeMillis\":\(milliseconds(queued)),\"elapsedTimeMillis\":\(milliseconds(elapsed))")
        json.appendText(",\"processedRows\":\(rows),\"processedBytes\":\(bytes)")
        json.appendText(",\"physicalInputBytes\":0,\"peakMemoryBytes\":0,\"spilledBytes\":0")
        if stage == .finished { json.appendText(",\"progressPercentage\":100.0") }
        json.appendText("}")
    }
}
