// SPDX-License-Identifier: Apache-2.0

import EventLoop
import TestSupport
import Testing

@testable import QueryServer

@Suite struct TrinoSessionTests {
    @Test(arguments: [
        ("UTC", "UTC"), ("Europe/Paris", "Europe/Paris"), ("Etc/GMT+5", "Etc/GMT+5"), ("+05:30", "<+05:30>-05:30"),
        ("-03", "<-03:00>+03:00"), ("UTC+05:30", "<+05:30>-05:30"), ("GMT-8", "<-08:00>+08:00"),
    ])
    func `a zone is written as PostgreSQL takes it`(_ text: String, _ expected: String) throws {
        #expect(try TrinoSession.timeZone(text) == expected)
    }

    @Test(arguments: ["", "'; drop", "+15", "+5:60", "+1:2:3", "+x", "UTC+", String(repeating: "a", count: 65)])
    func `what is no zone is refused`(_ text: String) {
        #expect(throws: TrinoRefusal.self) { try TrinoSession.timeZone(text) }
    }

    @Test func `values in headers survive`() {
        var random = SeededRandom()
        for text in ["", "a b+c%=,", "é😀\n\"", "SELECT '?' -- x"]
            + (0..<50).map({ _ in
                String(decoding: (0..<20).map { _ in UInt8.random(in: 1...127, using: &random) }, as: UTF8.self)
            })
        {
            let encoded = PercentText.encode(text)
            #expect(PercentText.decode(encoded) == text, "seed \(random.seed)")
            #expect(!encoded.contains(",") && !encoded.contains("="))
        }
        #expect(
            PercentText.decode("a+b") == "a b" && PercentText.decode("%4") == nil && PercentText.decode("%FF") == nil)
    }

    @Test func `the user of Basic credentials`() {
        #expect(BasicUser.name("Basic YWxpY2U6c2VjcmV0") == "alice" && BasicUser.name("basic YTo=") == "a")
        #expect(BasicUser.name("Basic OnNlY3JldA==") == nil && BasicUser.name("Bearer YWxpY2U6") == nil)
        #expect(BasicUser.name("Basic !") == nil)
    }

    @Test func `durations and sizes have units`() {
        #expect(TrinoProperty.duration("1.5s") == .milliseconds(1500) && TrinoProperty.duration("2 m") == .seconds(120))
        #expect(
            TrinoProperty.duration("100ms") == .milliseconds(100) && TrinoProperty.duration("1d") == .seconds(86_400))
        for text in ["", "5", "s", "-1s", "1w"] { #expect(TrinoProperty.duration(text) == nil) }
        #expect(TrinoPageSize.bytes("16MB") == 16_777_216 && TrinoPageSize.bytes("1kB") == 1024)
        #expect(TrinoPageSize.bytes("2GB") == 134_217_728 && TrinoPageSize.bytes("x") == nil)
    }

    @Test func `properties bound the time, others have no effect`() {
        var session = TrinoSession(flavour: .trino, user: "a")
        #expect(session.timeout == nil && session.isUTC)
        session.properties = [
            "query_max_run_time": "5m", "query_max_execution_time": "10s", "join_distribution_type": "X",
        ]
        #expect(session.timeout == .seconds(10))
        session.properties["time_zone_id"] = "Europe/Paris"
        #expect(session.effectiveTimeZone == "Europe/Paris" && !session.isUTC)
        let listed = TrinoProperty.list(session, timeout: .seconds(60))
        #expect(listed.map(\.name).contains("join_distribution_type"))
        #expect(TrinoProperty.accepts("anything", "x") && !TrinoProperty.accepts("query_max_run_time", "soon"))
    }
}
