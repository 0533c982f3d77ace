// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTP

@Suite struct TraceContextTests {
    private func parse(_ text: String) -> Bool { TraceContext.parse(Array(text.utf8)[...]) != nil }

    private func context(_ field: String?, number: UInt64 = 1) throws -> TraceContext {
        var parser = RequestParser(limits: .init())
        let text = "GET / HTTP/1.1\r\nHost: a\r\n" + (field.map { "traceparent: \($0)\r\n" } ?? "") + "\r\n"
        _ = try parser.parse(Array(text.utf8).span)
        return TraceContext(parser.head, number: number)
    }

    @Test func `what a client sends is gone on with, under a span of its own`() throws {
        let field = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let trace = try context(field)
        #expect(trace.traceText == "4bf92f3577b34da6a3ce929d0e0e4736" && trace.isContinued && trace.flags == 1)
        #expect(trace.spanText != "00f067aa0ba902b7" && trace.spanText != "0000000000000000")
        #expect(trace.responseField == "00-4bf92f3577b34da6a3ce929d0e0e4736-\(trace.spanText)-01")
        #expect(try context(field, number: 2).spanID != trace.spanID)
    }

    @Test func `without one, each request has a trace of its own`() throws {
        let contexts = try (0..<100).map { try context(nil, number: $0) }
        #expect(Set(contexts.map(\.traceText)).count == 100 && Set(contexts.map(\.spanText)).count == 100)
        #expect(
            contexts.allSatisfy { !$0.isContinued && $0.traceText.utf8.count == 32 && $0.spanText.utf8.count == 16 })
    }

    @Test(arguments: [
        "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ]) func `what is none begins a new one`(field: String) throws {
        #expect(!parse(field))
        #expect(try !context(field).isContinued)
    }

    @Test func `a later version may say more`() {
        #expect(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"))
    }
}
