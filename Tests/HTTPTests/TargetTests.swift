// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTP

struct TargetTests {
    static func head(_ target: String) throws -> RequestHead {
        var parser = RequestParser()
        let bytes = Array("GET \(target) HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, GZip\r\n\r\n".utf8)
        _ = try parser.parse(bytes.span)
        return parser.head
    }

    @Test(
        arguments: [
            ("/", []), ("/a", ["a"]), ("/a/b%2Fc/%C3%A9", ["a", "b/c", "\u{e9}"]), ("/a/", ["a", ""]),
            ("//a", ["", "a"]),
            ("/a+b?c", ["a+b"]), ("http://h/x", ["x"]), ("http://h", []), ("http://h?q", []),
        ] as [(String, [String])])
    func `path segments are decoded one by one`(target: String, segments: [String]) throws {
        #expect(try Self.head(target).pathSegments() == segments)
    }

    @Test func `a path is decoded as a whole and compared as bytes`() throws {
        #expect(try Self.head("/a%20b?c").path() == "/a b")
        #expect(try Self.head("http://h").path() == "/")
        #expect(try Self.head("http://h").pathIs("/"))
        #expect(try Self.head("/live?x").pathIs("/live"))
        #expect(try !Self.head("/livee").pathIs("/live"))
        #expect(try Self.head("/").lists("accept-encoding", "gzip"))
        #expect(try !Self.head("/").lists("accept-encoding", "zip"))
    }

    @Test(arguments: [
        ("/%6cive", "/live"), ("/%6Cive?%6c", "/live"), ("/a%2Fb%7e%2E%5F", "/a%2Fb~._"), ("/%25%36c", "/%256c"),
        ("/%c3%a9%2b", "/%c3%a9%2b"), ("http://h/%61", "/a"), ("http://h", "/"), ("/", "/"),
    ])
    func `paths that mean the same become the same`(target: String, path: String) throws {
        var head = try Self.head(target)
        let before = (try head.path(), head.target, head["host"])
        try head.normalizePath()
        #expect(String(decoding: head.rawPath, as: UTF8.self) == path)
        #expect((try head.path(), head.target, head["host"]) == before)
        for bad in ["/%", "/%4", "/%zz", "/%ff"] {
            var head = try Self.head(bad)
            #expect(throws: HTTPError.self) { try head.normalizePath() }
        }
    }

    @Test(arguments: [
        ("/q?token=a%20b", "a b", "/q"), ("/q?token", "", "/q"), ("/q?a=1&token=x&b=%20", "x", "/q?a=1&b=%20"),
        ("/q?&tok%65n=1&a=+&&token=2", "1", "/q?a=+"), ("http://h/q?token=1&a", "1", "http://h/q?a"),
        ("/q?Token=1&tokens=2", nil, "/q?Token=1&tokens=2"), ("/%71?", nil, "/%71?"), ("/token=1", nil, "/token=1"),
    ])
    func `a parameter is taken out of the target`(target: String, value: String?, rest: String) throws {
        var head = try Self.head(target)
        try head.normalizePath()
        let before = (try head.path(), head["host"])
        #expect(try head.takeParameter("token") == value && head.target == rest)
        let query = rest.firstIndex(of: "?").map { String(rest[rest.index(after: $0)...]) }
        #expect(head.rawQuery.map { String(decoding: $0, as: UTF8.self) } == query)
        #expect(try head.query()["token"] == nil)
        #expect((try head.path(), head["host"]) == before)
    }

    @Test(arguments: ["/%", "/%4", "/%4g", "/%ff", "/%c3%28", "/%ed%a0%80", "/?a=%", "/?a=%ff", "/?%zz"])
    func `invalid encodings are 400`(target: String) throws {
        let head = try Self.head(target)
        #expect {
            _ = try head.pathSegments()
            _ = try head.query()
        } throws: { ($0 as? HTTPError)?.status == .badRequest }
    }

    @Test(
        arguments: [
            ("", []), ("a=1&b=2&a=3", ["a|1", "b|2", "a|3"]), ("a", ["a|"]), ("=v", ["|v"]), ("&&a=1&", ["a|1"]),
            ("=", []), ("=&a=1&=&==", ["a|1", "|="]),
            ("a=b=c", ["a|b=c"]), ("a+b=c+d%2B", ["a b|c d+"]), ("%61%3D=%26", ["a=|&"]),
            ("s=%E2%82%AC", ["s|\u{20ac}"]),
            ("price=gt.10&or=(a.eq.1,b.is.null)", ["price|gt.10", "or|(a.eq.1,b.is.null)"]),
        ] as [(String, [String])])
    func `query pairs keep their order and repeat`(query: String, pairs: [String]) throws {
        let parameters = try QueryParameters(Array(query.utf8)[...])
        #expect(parameters.map { "\($0.name)|\($0.value)" } == pairs)
    }

    @Test func `query pairs are found by name and counted`() throws {
        let parameters = try QueryParameters(Array("a=1&b=2&a=3".utf8)[...], limit: 3)
        #expect(parameters["a"] == "1")
        #expect(parameters["c"] == nil)
        #expect(parameters.all("a") == ["1", "3"])
        #expect(throws: HTTPError.self) { try QueryParameters(Array("a=1&b=2&a=3".utf8)[...], limit: 2) }
    }

    @Test(arguments: [
        ("127.0.0.1:8080", "127.0.0.1:8080", true), ("[::1]:0", "[::1]:0", true),
        ("0.0.0.0:65535", "0.0.0.0:65535", false),
        ("*:80", "0.0.0.0:80", false), ("[::]:80", "[::]:80", false),
        ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true),
        ("10.1.2.3:1", "10.1.2.3:1", false),
    ])
    func `addresses are read and written`(text: String, description: String, loopback: Bool) throws {
        let address = try SocketAddress(text)
        #expect(address.description == description)
        #expect(address.isLoopback == loopback)
    }

    @Test(arguments: [
        "", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1]", "[a]:1",
        "[127.0.0.1]:1",
    ])
    func `invalid addresses are refused`(text: String) {
        #expect(throws: (any Error).self) { try SocketAddress(text) }
    }
}
