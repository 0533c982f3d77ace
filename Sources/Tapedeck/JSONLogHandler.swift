// SPDX-License-Identifier: Apache-2.0

import Logging

/// Writes each log message to standard error as one JSON object on a line: `ts` (RFC 3339), `level`, `logger`,
/// `message`, the ids of a trace where OpenTelemetry looks for them (`trace_id`, `span_id`, `trace_flags`), and the other
/// metadata under their own names in `fields`.
struct JSONLogHandler: LogHandler {
    let label: String
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    init(label: String) { self.label = label }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        writeAll(Array((line(event.level, event.message, event.metadata, at: "\(wallClock())") + "\n").utf8), to: 2)
    }

    func line(
        _ level: Logger.Level, _ message: Logger.Message, _ more: Logger.Metadata?, at time: String
    ) -> String {
        var line = "{\"ts\":\(jsonText(time)),\"level\":\"\(level)\",\"logger\":\(jsonText(label))"
        line += ",\"message\":\(jsonText(message.description))"
        var members = metadata.merging(more ?? [:]) { _, own in own }
        for name in ["trace_id", "span_id", "trace_flags"] {
            if let value = members.removeValue(forKey: name) { line += ",\"\(name)\":\(jsonText(value.description))" }
        }
        let fields = members.sorted { $0.key < $1.key }
        if !fields.isEmpty {
            let members = fields.map { "\(jsonText($0.key)):\(jsonText($0.value.description))" }
            line += ",\"fields\":{\(members.joined(separator: ","))}"
        }
        return line + "}"
    }
}
