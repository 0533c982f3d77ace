// SPDX-License-Identifier: Apache-2.0

import CLinux
import EventLoop
import Glibc
import Testing

@testable import HTTP

struct ConditionalTests {
    static let current = Validators(entityTag: "\"v1\"", lastModified: 784_111_777)
    static let date = "Sun, 06 Nov 1994 08:49:37 GMT"
    static let earlier = "Sun, 06 Nov 1994 08:49:36 GMT"
    static let later = "Mon, 07 Nov 1994 08:49:37 GMT"

    @Test(
        arguments: [
            ("GET", "", .met),
            ("GET", "If-None-Match: \"v1\"\r\n", .notModified), ("HEAD", "If-None-Match: W/\"v1\"\r\n", .notModified),
            ("GET", "If-None-Match: \"v0\", \"v1\"\r\n", .notModified), ("GET", "If-None-Match: *\r\n", .notModified),
            ("GET", "If-None-Match: \"a,b\"\r\nIf-None-Match: \"v1\"\r\n", .notModified),
            ("GET", "If-None-Match: \"v2\"\r\n", .met), ("GET", "If-None-Match: v1\r\n", .met),
            ("GET", "If-None-Match: \"v1\r\n", .met), ("POST", "If-None-Match: \"v1\"\r\n", .failed),
            ("GET", "If-Modified-Since: \(date)\r\n", .notModified),
            ("GET", "If-Modified-Since: \(later)\r\n", .notModified),
            ("GET", "If-Modified-Since: \(earlier)\r\n", .met), ("GET", "If-Modified-Since: yesterday\r\n", .met),
            ("POST", "If-Modified-Since: \(date)\r\n", .met),
            ("GET", "If-None-Match: \"v2\"\r\nIf-Modified-Since: \(date)\r\n", .met),
            ("GET", "If-Match: \"v1\"\r\n", .met), ("GET", "If-Match: *\r\n", .met),
            ("GET", "If-Match: \"v2\"\r\n", .failed),
            ("GET", "If-Match: W/\"v1\"\r\n", .failed),
            ("GET", "If-Match: \"v1\"\r\nIf-None-Match: \"v1\"\r\n", .notModified),
            ("GET", "If-Unmodified-Since: \(date)\r\n", .met), ("GET", "If-Unmodified-Since: \(earlier)\r\n", .failed),
            ("GET", "If-Match: \"v1\"\r\nIf-Unmodified-Since: \(earlier)\r\n", .met),
        ] as [(String, String, Preconditions)])
    func `preconditions are judged in the order of the standard`(
        method: String, fields: String, expected: Preconditions
    ) throws {
        #expect(try head(fields, method: method).preconditions(Self.current) == expected)
    }

    @Test func `a weak tag never matches strongly, and nothing matches what has no tag`() throws {
        let weak = Validators(entityTag: "W/\"v1\"")
        #expect(try head("If-Match: W/\"v1\"\r\n").preconditions(weak) == .failed)
        #expect(try head("If-None-Match: \"v1\"\r\n").preconditions(weak) == .notModified)
        #expect(try head("If-None-Match: *\r\n").preconditions(Validators()) == .met)
    }

    @Test(
        arguments: [
            ("bytes=0-0", .part(0..<1)), ("bytes=0-", .part(0..<100)), ("bytes=90-200", .part(90..<100)),
            ("bytes=99-99", .part(99..<100)), ("bytes=100-", .unsatisfiable), ("bytes=100-200", .unsatisfiable),
            ("bytes=-1", .part(99..<100)), ("bytes=-100", .part(0..<100)), ("bytes=-1000", .part(0..<100)),
            ("bytes=-0", .unsatisfiable), ("Bytes= 5-6 ", .part(5..<7)), ("bytes=0-1,5-6", .whole), ("bytes=", .whole),
            ("bytes=-", .whole), ("bytes=6-5", .whole), ("bytes=a-b", .whole), ("items=0-1", .whole),
            ("bytes=+1-2", .whole),
            ("bytes=0-99999999999999999999", .whole), ("bytes=99999999999999999999-", .whole), ("bytes=1", .whole),
            ("bytes=1--2", .whole),
        ] as [(String, RangeRequest)])
    func `a range is a part, nothing of it, or not understood`(field: String, expected: RangeRequest) throws {
        #expect(try head("Range: \(field)\r\n").range(of: 100, Self.current) == expected)
        #expect(try head("Range: \(field)\r\n", method: "HEAD").range(of: 100, Self.current) == .whole)
        guard case .part = RequestHead.range(Array(field.utf8), of: 0) else { return }
        Issue.record("a part of nothing")
    }

    @Test(arguments: [
        ("\"v1\"", true), ("W/\"v1\"", false), ("\"v2\"", false), (date, true), (later, false), (earlier, false),
        ("x", false),
    ])
    func `a range holds only for what the client has a part of`(condition: String, holds: Bool) throws {
        let request = try head("Range: bytes=0-1\r\nIf-Range: \(condition)\r\n")
        #expect((request.range(of: 100, Self.current) == .part(0..<2)) == holds)
    }

    @Test(
        arguments: [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199), ("Fri, 01-Jan-69 00:00:00 GMT", 3_124_224_000),
            ("Sun, 06 Nov 1994 08:49:37 UTC", nil), ("Sun, 06 Nov 1994 24:00:00 GMT", nil), ("", nil),
            ("Sun, 32 Nov 1994 08:49:37 GMT", nil), ("Sun, 06 Non 1994 08:49:37 GMT", nil), ("06 Nov 1994", nil),
            ("Sun, 06 Nov 1900 08:49:37 GMT", nil), ("Sun, 06 Nov 1994 08:49 GMT", nil),
        ] as [(String, Int?)])
    func `dates are read in the three forms`(text: String, seconds: Int?) {
        #expect(httpDate(text) == seconds)
    }

    @Test func `a date that is written is read back`() {
        for day in stride(from: 0, to: 40_000, by: 13) {
            let seconds = day * 86_400 + day % 86_400
            #expect(httpDate(httpDate(seconds)) == seconds)
        }
    }
}

@Suite(.serialized) struct StaticFilesTests {
    static let page = Array(String(repeating: "<p>text</p>", count: 500).utf8)
    static let image = (0..<200).map { UInt8($0) }

    private static func serving(_ files: StaticFiles, _ test: (LiveServer) async throws -> Void) async throws {
        try await LiveServer.serving { request, response in
            let path = String(try request.head.path().dropFirst())
            if try await !files.respond(to: request, path, response) {
                throw HTTPError(.notFound, code: "not_found", message: "no such file")
            }
        } test: {
            try await test($0)
        }
    }

    private static func ask(_ live: LiveServer, _ target: String, _ fields: String = "", method: String = "GET") throws
        -> Client.Response
    {
        let client = try live.connect()
        try client.send("\(method) \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        return try #require(try client.response(head: method == "HEAD"))
    }

    @Test func `files are served whole, in part, compressed, or not at all when they are known`() async throws {
        let files = StaticFiles([("index.html", Self.page), ("img/a.png", Self.image)])
        try await Self.serving(files) { live in
            let page = try Self.ask(live, "/")
            #expect(page.body == Self.page)
            #expect(page.head.contains("Content-Type: text/html; charset=utf-8\r\n"))
            #expect(page.head.contains("X-Content-Type-Options: nosniff\r\n"))
            let tag = try #require(page.head.split(separator: "\r\n").first { $0.hasPrefix("ETag: ") }?.dropFirst(6))
            let known = try Self.ask(live, "/index.html", "If-None-Match: \(tag)\r\n")
            #expect(known.status == 304 && known.body.isEmpty && known.head.contains("ETag: \(tag)\r\n"))
            let compressed = try Self.ask(live, "/", "Accept-Encoding: gzip\r\n")
            #expect(gunzip(compressed.body) == (Self.page, true))
            #expect(compressed.head.contains("ETag: W/\(tag)\r\n"))
            // What is said in place of a 200 is what that said: a cache finds its copy by the tag.
            for (field, expected) in [
                ("If-None-Match: W/\(tag)\r\nAccept-Encoding: gzip", "W/\(tag)"),
                ("If-None-Match: W/\(tag)", "W/\(tag)"), ("If-None-Match: \(tag)", String(tag)),
                ("If-None-Match: \(tag)\r\nAccept-Encoding: gzip", String(tag)),
                ("If-None-Match: \(tag), W/\(tag)\r\nAccept-Encoding: gzip", "W/\(tag)"),
                ("If-None-Match: *\r\nAccept-Encoding: gzip", "W/\(tag)"), ("If-None-Match: *", String(tag)),
            ] {
                let known = try Self.ask(live, "/", field + "\r\n")
                #expect(known.status == 304 && known.head.contains("ETag: \(expected)\r\n"), "\(field)")
                #expect(known.head.contains("Vary: Accept-Encoding\r\n"), "\(field)")
                #expect(!known.head.contains("\r\nContent-Type:"), "\(field)")
            }
            let image = try Self.ask(live, "/img/a.png", "If-None-Match: *\r\nAccept-Encoding: gzip\r\n")
            #expect(image.status == 304 && !image.head.contains("W/") && !image.head.contains("Vary"))
            let part = try Self.ask(live, "/img/a.png", "Range: bytes=10-19\r\n")
            #expect(part.status == 206 && part.body == Array(Self.image[10..<20]))
            #expect(
                part.head.contains("Content-Range: bytes 10-19/200\r\n") && part.head.contains("Accept-Ranges: bytes"))
            let beyond = try Self.ask(live, "/img/a.png", "Range: bytes=200-\r\n")
            #expect(beyond.status == 416 && beyond.head.contains("Content-Range: bytes */200\r\n"))
            #expect(try Self.ask(live, "/img/a.png", "If-Match: \"x\"\r\n").status == 412)
            let head = try Self.ask(live, "/img/a.png", method: "HEAD")
            #expect(head.status == 200 && head.head.contains("Content-Length: 200\r\n"))
        }
    }

    @Test func `a folder is served, and nothing outside of it`() async throws {
        var template = Array("/tmp/tapedeck-files-XXXXXX".utf8CString)
        let root = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer {
            for name in ["www/sub/b.css", "www/a.txt", "www/.hidden", "www/link", "secret", "www/sub", "www", ""] {
                remove("\(root)/\(name)")
            }
        }
        mkdir("\(root)/www", 0o700)
        mkdir("\(root)/www/sub", 0o700)
        for (name, text) in [("www/a.txt", "aaa"), ("www/sub/b.css", "bbb"), ("www/.hidden", "x"), ("secret", "x")] {
            let file = try #require(fopen("\(root)/\(name)", "w"))
            fputs(text, file)
            fclose(file)
        }
        symlink("\(root)/secret", "\(root)/www/link")
        let files = try StaticFiles(folder: "\(root)/www")
        #expect(files.count == 2)
        try await Self.serving(files) { live in
            let text = try Self.ask(live, "/a.txt")
            #expect(text.text == "aaa" && text.head.contains("Last-Modified: "))
            #expect(try Self.ask(live, "/sub/b.css").head.contains("Content-Type: text/css; charset=utf-8\r\n"))
            for path in [
                "/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub/..%2f..%2fsecret",
                "//secret",
                "/.hidden", "/link", "/sub", "/sub/", "/a.txt/", "/a.txt%00", "/\(root)/secret", "/./a.txt", "/..",
            ] {
                #expect(try Self.ask(live, path).status == 404, "\(path)")
            }
        }
        #expect(throws: SystemError.self) { try StaticFiles(folder: "\(root)/none") }
    }
}
