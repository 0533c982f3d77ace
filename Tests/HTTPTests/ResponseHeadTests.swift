// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTP

struct ResponseHeadTests {
    static func head(
        _ status: Status, _ headers: Headers = .none, version: Version = .http11, keepAlive: Bool = true,
        framing: ResponseFraming = .length(0)
    ) -> String {
        var bytes: [UInt8] = []
        bytes.beginHead(status, serverName: "s", date: Array("Date: d\r\n".utf8))
        bytes.continueHead(version, keepAlive: keepAlive, headers)
        bytes.endHead(framing)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `a head has its lines in order`() {
        #expect(
            Self.head(.ok, ["A": "b", "C": "d"])
                == "HTTP/1.1 200 OK\r\nServer: s\r\nDate: d\r\nA: b\r\nC: d\r\nContent-Length: 0\r\n\r\n")
        #expect(
            Self.head(.noContent, version: .http10, keepAlive: true, framing: .bodyless)
                == "HTTP/1.1 204 No Content\r\nServer: s\r\nDate: d\r\nConnection: keep-alive\r\n\r\n")
        #expect(
            Self.head(.ok, keepAlive: false, framing: .chunked).contains(
                "Connection: close\r\nTransfer-Encoding: chunked\r\n"))
    }

    @Test func `whoever says Upgrade says so in Connection, beside what else that says`() {
        let upgrade: Headers = ["upgrade": "websocket"]
        for (version, keepAlive, options) in [
            (Version.http11, true, "Upgrade"), (.http11, false, "close, Upgrade"),
            (.http10, true, "keep-alive, Upgrade"),
            (.http10, false, "close, Upgrade"),
        ] {
            #expect(
                Self.head(Status(426), upgrade, version: version, keepAlive: keepAlive).contains(
                    "\r\nConnection: \(options)\r\nupgrade: websocket\r\n"))
        }
    }

    @Test func `values cannot split a response, and framing fields are the server's own`() {
        let head = Self.head(
            .ok, ["A": "b\r\nSet-Cookie: c\r\n\r\n\0", "content-length": "5", "TRANSFER-ENCODING": "x"])
        #expect(head.contains("A: b  Set-Cookie: c     \r\n"))
        #expect(!head.contains("5"))
        #expect(!head.contains("x\r\n"))
    }

    @Test(arguments: [
        ("a\r\nB: c", "a  B: c"), ("caf\u{e9}", "caf  "), ("", ""),
        (String(repeating: "x", count: 121), String(repeating: "x", count: 120)),
    ])
    func `a reason phrase is printable and bounded`(reason: String, sent: String) {
        #expect(Self.head(Status(400, reason: reason)).hasPrefix("HTTP/1.1 400 \(sent)\r\n"))
    }

    @Test func `the first lines tell the second of each answer, whatever was answered before`() {
        var beginning = HeadBeginning()
        func lines(_ status: Status, _ second: Int) -> String {
            var head: [UInt8] = []
            beginning.append(status, at: second, serverName: "s", to: &head)
            return String(decoding: head, as: UTF8.self)
        }
        let other = Status(404, reason: "nothing here")
        // The same again, another status, another second, both, a reason of its own between, and the clock set back.
        for (status, line, second) in [
            (Status.ok, "200 OK", 0), (.ok, "200 OK", 0), (.notFound, "404 Not Found", 0), (.ok, "200 OK", 1),
            (.notFound, "404 Not Found", 2), (other, "404 nothing here", 2), (.notFound, "404 Not Found", 2),
            (other, "404 nothing here", 3), (.ok, "200 OK", 3), (.ok, "200 OK", 1),
        ] {
            #expect(
                lines(status, second)
                    == "HTTP/1.1 \(line)\r\nServer: s\r\nDate: Thu, 01 Jan 1970 00:00:0\(second) GMT\r\n")
        }
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ])
    func `dates are those of the calendar`(seconds: Int, text: String) { #expect(httpDate(seconds) == text) }

    @Test(arguments: [
        (0, "0", "0"), (7, "7", "7"), (255, "255", "ff"), (65_536, "65536", "10000"),
        (Int.max, "9223372036854775807", "7fffffffffffffff"),
    ])
    func `numbers are written in both bases`(value: Int, decimal: String, hex: String) {
        var bytes: [UInt8] = []
        bytes.append(value)
        bytes.append(UInt8(ascii: " "))
        bytes.append(value, base: 16)
        #expect(String(decoding: bytes, as: UTF8.self) == "\(decimal) \(hex)")
    }

    @Test func `the JSON of an error is escaped`() {
        let error = HTTPError(.badRequest, code: "c", message: "say \"\\\n\u{1f}", details: nil, hint: "h\u{e9}")
        #expect(
            String(decoding: error.jsonBody, as: UTF8.self)
                == #"{"code":"c","message":"say \"\\\u000a\u001f","details":null,"hint":"h\#u{e9}","#
                + #""position":null,"query_id":null}"#
                + "\n")
    }
}
