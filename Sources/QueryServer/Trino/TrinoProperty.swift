// SPDX-License-Identifier: Apache-2.0
// Session properties: those that mean something here, and what is made of the others.

import EventLoop

/// A property of a session. Those of Trino's optimizer and engine, which scripts and drivers set, are taken and have no
/// effect: PostgreSQL plans by itself.
struct TrinoProperty {
    let name: String
    let value: String
    let standard: String
    let description: String

    /// The longest a query may run, as Trino has it for all of a query and for its execution; here they are the same.
    static let timeouts = ["query_max_run_time", "query_max_execution_time"]
    static let timeZone = "time_zone_id"

    /// The properties of a session, by name.
    static func list(_ session: TrinoSession, timeout: Duration) -> [TrinoProperty] {
        let standard = "\(timeout.inSeconds)s"
        let known = timeouts.map {
            TrinoProperty(
                name: $0, value: session.properties[$0] ?? standard, standard: standard,
                description:
                    "Longest time of a query, the sending of its rows included; no longer than the server allows"
            )
        }
        let zone = TrinoProperty(
            name: timeZone, value: session.properties[timeZone] ?? session.timeZone ?? "UTC", standard: "UTC",
            description: "Time zone of the session")
        let others = session.properties.filter { !timeouts.contains($0.key) && $0.key != timeZone }.map {
            TrinoProperty(name: $0.key, value: $0.value, standard: "", description: "Has no effect here")
        }
        return (known + [zone] + others).sorted { $0.name < $1.name }
    }

    /// Whether a value can be meant.
    static func accepts(_ name: String, _ value: String) -> Bool {
        if timeouts.contains(name) { return duration(value) != nil }
        if name == timeZone { return (try? TrinoSession.timeZone(value)) != nil }
        return true
    }

    /// `10.5s`, `5m`, `1d`; nil for what is no duration.
    static func duration(_ text: String) -> Duration? {
        let unit = text.drop { $0.isNumber || $0 == "." }.drop { $0 == " " }
        guard let count = Double(text.prefix { $0.isNumber || $0 == "." }), count >= 0 else { return nil }
        let seconds: Double
        switch unit {
        case "ns": seconds = 1e-9
        case "us": seconds = 1e-6
        case "ms": seconds = 1e-3
        case "s": seconds = 1
        case "m": seconds = 60
        case "h": seconds = 3600
        case "d": seconds = 86_400
        default: return nil
        }
        // A century is as good as any.
        return .milliseconds(Int64(min(count * seconds, 3.2e9) * 1000))
    }
}

extension TrinoSession {
    /// The zone that PostgreSQL is to work in.
    var effectiveTimeZone: String? {
        properties[TrinoProperty.timeZone].flatMap { try? Self.timeZone($0) } ?? timeZone
    }

    /// The longest the session lets a query run; nil for the server's own.
    var timeout: Duration? {
        TrinoProperty.timeouts.compactMap { properties[$0].flatMap(TrinoProperty.duration) }.min()
    }
}
