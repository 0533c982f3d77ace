// SPDX-License-Identifier: Apache-2.0
// Queries as operators see them: the list, one of them, and its page.

import EventLoop
import Market
import TrinoSQL

extension [TrinoQuery] {
    /// The queries as `/v1/query` lists them (Trino's BasicQueryInfo), or the only one of them alone.
    func json(single: Bool, _ base: TrinoBase) -> String {
        var json: [UInt8] = []
        if !single { json.appendText("[") }
        for (index, query) in enumerated() {
            if index > 0 { json.appendText(",") }
            query.appendInfo(base, to: &json)
        }
        if !single { json.appendText("]") }
        return String(decoding: json, as: UTF8.self)
    }
}

extension TrinoQueries {
    /// The schema of the views of `system.runtime`.
    static let runtimeSchema = "trino_runtime"

    /// Characters of a statement that `system.runtime.queries` shows.
    static let runtimeText = 10_000

    /// What a caller may see in `system.runtime`: rows of `queries` and `transactions` as arrays of objects, which the
    /// views in `sql/` read.
    func runtimeTables(for caller: Caller) -> [(name: StaticString, rows: String)] {
        let now = MonotonicTime.now()
        var queries: [UInt8] = []
        for query in all where caller.maySee(query.running.client) {
            queries.appendText(queries.isEmpty ? "[" : ",")
            query.appendRuntime(now, to: &queries)
        }
        queries.appendText(queries.isEmpty ? "[]" : "]")
        let transactions = openTransactions(for: caller, now).map { transaction in
            """
            {"transaction_id":"\(transaction.id)","create_time":"\(transaction.began)",\
            "idle_time_secs":\(transaction.idle.milliseconds / 1000)}
            """
        }
        return [
            ("queries", String(decoding: queries, as: UTF8.self)),
            ("transactions", "[" + transactions.joined(separator: ",") + "]"),
        ]
    }
}

extension TrinoQuery {
    /// A row of `system.runtime.queries`.
    fileprivate func appendRuntime(_ now: MonotonicTime, to json: inout [UInt8]) {
        let snapshot = snapshot(now)
        let began = running.startedAt
        func after(_ delay: Duration) -> Timestamp {
            Timestamp(microseconds: began.microseconds + delay.inNanoseconds / 1000)
        }
        json.appendText("{\"query_id\":\"\(id)\",\"state\":\"\(snapshot.stage.rawValue)\"")
        let text = sql.count > TrinoQueries.runtimeText ? sql.prefix(TrinoQueries.runtimeText) + "…" : sql[...]
        for (name, value) in [("user", session.user), ("source", session.source ?? ""), ("query", String(text))]
        where !value.isEmpty {
            json.appendText(",\"\(name)\":")
            // PostgreSQL has no texts with a zero byte.
            json.appendJSONString(value.split(separator: "\0", omittingEmptySubsequences: false).joined())
        }
        json.appendText(",\"queued_time_ms\":\(snapshot.queued.milliseconds),\"created\":\"\(began)\"")
        if snapshot.stage != .queued { json.appendText(",\"started\":\"\(after(snapshot.queued))\"") }
        json.appendText(",\"last_heartbeat\":\"\(after(now - created - snapshot.silence))\"")
        if snapshot.isEnded { json.appendText(",\"end\":\"\(after(snapshot.elapsed))\"") }
        if let code = snapshot.failure?.error.code {
            json.appendText(",\"error_type\":\"\(code.type.rawValue)\",\"error_code\":\"\(code.name)\"")
        }
        json.appendText("}")
    }

    fileprivate func appendInfo(_ base: TrinoBase, to json: inout [UInt8]) {
        let snapshot = snapshot()
        json.appendText("{\"queryId\":\"\(id)\",\"session\":{\"queryId\":\"\(id)\",\"user\":")
        json.appendJSONString(session.user)
        for (name, value) in [
            ("source", session.source), ("catalog", session.catalog), ("schema", session.schema),
            ("timeZoneKey", session.effectiveTimeZone), ("traceToken", session.traceToken),
            ("clientInfo", session.clientInfo), ("transactionId", session.transaction),
        ] where value != nil {
            json.appendText(",\"\(name)\":")
            json.appendJSONString(value)
        }
        json.appendText(",\"clientTags\":[")
        for (index, tag) in session.clientTags.enumerated() {
            if index > 0 { json.appendText(",") }
            json.appendJSONString(tag)
        }
        json.appendText("]},\"state\":\"\(snapshot.stage.rawValue)\",\"scheduled\":\(snapshot.stage != .queued)")
        json.appendText(",\"self\":\"\(base.text)/v1/query/\(id)\",\"query\":")
        json.appendJSONString(sql)
        if let type = snapshot.updateType {
            json.appendText(",\"updateType\":")
            json.appendJSONString(type)
        }
        json.appendText(",\"queryStats\":{\"createTime\":\"\(running.startedAt)\"")
        json.appendText(",\"queuedTime\":\"\(snapshot.queued.milliseconds)ms\"")
        json.appendText(",\"elapsedTime\":\"\(snapshot.elapsed.milliseconds)ms\"")
        json.appendText(",\"executionTime\":\"\((snapshot.elapsed - snapshot.queued).milliseconds)ms\"")
        json.appendText(",\"outputPositions\":\(snapshot.rows),\"outputDataSize\":\"\(snapshot.bytes)B\"}")
        if let failure = snapshot.failure {
            let code = failure.error.code
            json.appendText(",\"errorType\":\"\(code.type.rawValue)\",\"errorCode\":{\"code\":\(code.code)")
            json.appendText(
                ",\"name\":\"\(code.name)\",\"type\":\"\(code.type.rawValue)\"},\"failureInfo\":{\"message\":")
            json.appendJSONString(failure.error.message)
            json.appendText("}")
        }
        json.appendText("}")
    }

    /// The page that `infoUri` names, for people.
    var page: String {
        let snapshot = snapshot()
        var facts = [
            ("State", snapshot.stage.rawValue), ("User", session.user), ("Source", session.source ?? "–"),
            ("Catalog and schema", [session.catalog, session.schema].compactMap { $0 }.joined(separator: ".")),
            ("Began", "\(running.startedAt)"), ("Elapsed", "\(snapshot.elapsed.milliseconds) ms"),
            ("Queued", "\(snapshot.queued.milliseconds) ms"), ("Rows", "\(snapshot.rows)"),
            ("Bytes", "\(snapshot.bytes)"),
        ]
        if let failure = snapshot.failure {
            facts.append(("Error", "\(failure.error.code.name): \(failure.error.message)"))
        }
        let rows = facts.map { "<tr><th>\($0.0)</th><td>\($0.1.escapedForHTML)</td></tr>" }.joined()
        return """
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Query \(id)</title>\
            <meta name="viewport" content="width=device-width">\
            <style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
            th{text-align:left;padding-right:2rem;font-weight:500}pre{background:#8881;padding:1rem;overflow:auto}\
            :root{color-scheme:light dark}</style>\
            <h1>Query \(id)</h1><table>\(rows)</table><pre>\(sql.escapedForHTML)</pre></html>

            """
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 { inNanoseconds / 1_000_000 }
}

extension String {
    fileprivate var escapedForHTML: String {
        var text = ""
        for character in unicodeScalars {
            switch character {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
}
