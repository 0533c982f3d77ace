// SPDX-License-Identifier: Apache-2.0

import Foundation
import Ingest
import TestSupport
import Testing

/// A server in Python: see `Peers/http_peer.py`.
private final class Peer {
    let port: Int
    private let program: RunningProgram

    init(_ arguments: [String] = []) throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Peers/http_peer.py").path
        program = try RunningProgram("/usr/bin/env", ["python3", script] + arguments)
        port = try #require(program.line().flatMap { Int($0) })
    }

    func url(_ path: String, host: String = "127.0.0.1", scheme: String = "http") -> String {
        "\(scheme)://\(host):\(port)\(path)"
    }
}

private func client(_ change: (inout HTTPClient.Settings) -> Void = { _ in }) -> HTTPClient {
    var settings = HTTPClient.Settings(userAgent: "tests/1")
    settings.timeout = .seconds(60)
    change(&settings)
    return HTTPClient(settings)
}

private func get(_ url: String) -> HTTPClient.Request { HTTPClient.Request(url: url, name: "the test") }

private func failure(_ client: HTTPClient, _ request: HTTPClient.Request) async throws -> HTTPClientError {
    do throws(HTTPClientError) {
        let reply = try await client.send(request)
        Issue.record("it has a reply: \(reply.status)")
    } catch {
        #expect(!error.description.contains("token"), "\(error)")
        return error
    }
    throw CancellationError()
}

private func said(_ reply: HTTPClient.Response) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(reply.body)) as? [String: Any])
}

struct HTTPClientTests {
    @Test func `a request has its headers and body, a reply too, over one connection`() async throws {
        let peer = try Peer()
        let client = client()
        var request = HTTPClient.Request(
            "POST", url: peer.url("/echo?token=1"), headers: [("X-Key", "k1")], body: Array("a=b".utf8),
            name: "the test")
        let first = try await client.send(request)
        #expect(first.status == 200 && first["x-said"] == "a, b")
        let heard = try said(first)
        let headers = try #require(heard["headers"] as? [String: String])
        #expect(heard["method"] as? String == "POST" && heard["body"] as? String == "a=b")
        #expect(headers["x-key"] == "k1" && headers["user-agent"] == "tests/1" && headers["expect"] == nil)
        request.method = "GET"
        request.body = nil
        request.headers = []
        let second = try said(try await client.send(request))
        #expect(second["method"] as? String == "GET" && second["body"] as? String == "")
        #expect((second["headers"] as? [String: String])?["x-key"] == nil)
        #expect(heard["peer"] as? Int == second["peer"] as? Int, "a connection each")
        request.method = "HEAD"
        let third = try await client.send(request)
        #expect(third.status == 200 && third.body.isEmpty)
    }

    @Test func `any status is a reply`() async throws {
        let peer = try Peer()
        let reply = try await client().send(get(peer.url("/status?code=429")))
        #expect(reply.status == 429 && reply["retry-after"] == "7")
    }

    @Test func `a body is unpacked, and its length counts unpacked`() async throws {
        let peer = try Peer()
        let client = client { $0.longestBody = 100_000 }
        let reply = try await client.send(get(peer.url("/zipped?bytes=100000")))
        #expect(reply.body == [UInt8](repeating: UInt8(ascii: "x"), count: 100_000))
        #expect(try await failure(client, get(peer.url("/zipped?bytes=100001&token=1"))).kind == .tooLarge)
        #expect(try await failure(client, get(peer.url("/bytes?bytes=100001"))).kind == .tooLarge)
        #expect(try await client.send(get(peer.url("/bytes?bytes=100000"))).body.count == 100_000)
        #expect(try await failure(client, get(peer.url("/not-zipped"))).kind == .garbled)
    }

    @Test func `what is cut off or no HTTP is garbled`() async throws {
        let peer = try Peer()
        let client = client()
        let cut = try await failure(client, get(peer.url("/cut?token=1")))
        #expect(cut.kind == .garbled && cut.mayPass && cut.request == "the test")
        let garbage = try await failure(client, get(peer.url("/garbage")))
        #expect(garbage.kind == .garbled || garbage.kind == .invalid, "\(garbage)")
    }

    @Test func `slow bytes and silence are given up`() async throws {
        let peer = try Peer()
        let impatient = client { $0.slowest = (64, .seconds(2)) }
        #expect(try await failure(impatient, get(peer.url("/slow?token=1"))).kind == .tooSlow)
        let strict = client { $0.timeout = .milliseconds(300) }
        #expect(try await failure(strict, get(peer.url("/hang?token=1"))).kind == .tooSlow)
    }

    @Test func `cancelling ends a transfer, and one that waits behind it`() async throws {
        let peer = try Peer()
        let client = client()
        let hang = get(peer.url("/hang"))
        let first = Task { try await client.send(hang) }
        let second = Task { try await client.send(hang) }
        try await Task.sleep(for: .milliseconds(100))
        first.cancel()
        second.cancel()
        for task in [first, second] {
            let outcome = await task.result
            #expect(throws: HTTPClientError.self) { try outcome.get() }
            if case .failure(let error as HTTPClientError) = outcome { #expect(error.kind == .cancelled) }
        }
        #expect(try await client.send(get(peer.url("/echo"))).status == 200)
    }

    @Test func `a redirect is followed on the same host and port, to others only if they are named`() async throws {
        let (peer, other) = (try Peer(), try Peer())
        var request = get(peer.url("/redirect?to=/echo"))
        request.headers = [("X-Key", "secret")]
        let same = try await client().send(request)
        #expect(try (said(same)["headers"] as? [String: String])?["x-key"] == "secret")
        #expect(same.url == peer.url("/echo"))
        request.url = peer.url("/redirect?to=\(other.url("/echo"))")
        let refused = try await failure(client(), request)
        #expect(refused.kind == .redirected && !refused.mayPass)
        let named = try await client { $0.redirectHosts = ["127.0.0.1"] }.send(request)
        #expect(try (said(named)["headers"] as? [String: String])?["x-key"] == nil, "the key went to another server")
        request.url = peer.url("/redirect?to=file:///etc/passwd")
        #expect(try await failure(client(), request).kind == .redirected)
        request.url = peer.url("/redirect?to=/redirect?to=/redirect")
        request.url = peer.url("/redirect?to=" + "%2Fredirect%3Fto%3D/echo")
        #expect(try await client().send(request).status == 200)
    }

    @Test func `a redirect without end ends`() async throws {
        let peer = try Peer()
        let target = "/redirect?to="
        // Each sends it to itself: the query of the query.
        var path = "/echo"
        for _ in 0..<6 {
            path = target + (path.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")
        }
        let error = try await failure(client(), get(peer.url(path)))
        #expect(error.kind == .redirected && error.message.contains("5 redirects"))
    }

    @Test func `a redirected POST becomes a GET, but for 307 and 308`() async throws {
        let peer = try Peer()
        for (code, method) in [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
            let reply = try await client().send(
                HTTPClient.Request(
                    "POST", url: peer.url("/redirect?code=\(code)&to=/echo"), body: Array("x".utf8), name: "the test"))
            #expect(try said(reply)["method"] as? String == method)
            #expect(try said(reply)["body"] as? String == (method == "POST" ? "x" : ""))
        }
    }

    @Test func `cookies are kept where that is wanted, until they are forgotten`() async throws {
        let peer = try Peer()
        func cookie(_ client: HTTPClient) async throws -> String? {
            try said(await client.send(get(peer.url("/echo"))))["headers"].flatMap {
                ($0 as? [String: String])?["cookie"]
            }
        }
        let keeper = client { $0.keepsCookies = true }
        _ = try await keeper.send(get(peer.url("/set-cookie")))
        #expect(try await cookie(keeper) == "A3=secret")
        keeper.forgetCookies()
        #expect(try await cookie(keeper) == nil)
        let other = client()
        _ = try await other.send(get(peer.url("/set-cookie")))
        #expect(try await cookie(other) == nil)
    }

    @Test func `a server is believed by its certificate alone`() async throws {
        let certificates = try TestCertificates()
        try certificates.authority("stranger")
        try certificates.leaf("good", names: ["IP:127.0.0.1"])
        try certificates.leaf("elsewhere", names: ["DNS:elsewhere.example"])
        try certificates.leaf("expired", names: ["IP:127.0.0.1"], days: -1)
        try certificates.leaf("unknown", names: ["IP:127.0.0.1"], authority: "stranger")
        let client = client { $0.authorities = certificates.path("ca.pem") }
        for (name, isGood) in [("good", true), ("elsewhere", false), ("expired", false), ("unknown", false)] {
            let peer = try Peer([certificates.path("\(name).pem"), certificates.path("\(name).key")])
            let request = get(peer.url("/echo?token=1", scheme: "https"))
            if isGood {
                #expect(try await client.send(request).status == 200)
                // Without the file, the system's authorities count.
                #expect(try await failure(HTTPClient(.init(userAgent: "t")), request).kind == .untrusted)
            } else {
                #expect(try await failure(client, request).kind == .untrusted, "\(name)")
            }
        }
        let noFile = self.noFile(certificates)
        let peer = try Peer([certificates.path("good.pem"), certificates.path("good.key")])
        #expect(try await failure(noFile, get(peer.url("/echo", scheme: "https"))).kind == .untrusted)
    }

    private func noFile(_ certificates: TestCertificates) -> HTTPClient {
        client { $0.authorities = certificates.path("missing.pem") }
    }

    @Test func `what cannot be sent is refused before it leaves`() async throws {
        let client = client()
        #expect(try await failure(client, get("ftp://127.0.0.1/?token=1")).kind == .invalid)
        #expect(try await failure(client, get("no address")).kind == .invalid)
        var request = get("http://127.0.0.1:1/")
        request.headers = [("X-Key", "a\r\nX-Other: token")]
        #expect(try await failure(client, request).kind == .invalid)
        request.headers = []
        let refused = try await failure(client, request)
        #expect(refused.kind == .unreachable && refused.mayPass)
    }
}
