// SPDX-License-Identifier: Apache-2.0

import Synchronization
import TLS
import TestSupport
import Testing

@testable import HTTP

// The clients block the threads that the tests themselves run on.
@Suite(.serialized) struct SecureServerTests {
    /// What `openssl s_client` is answered, with the certificate of that name or without one.
    private func ask(
        _ live: LiveServer, _ files: TestCertificates, as name: String?, from source: String = "127.0.0.1"
    ) throws -> String {
        let identity = name.map { ["-cert", files.path("\($0).pem"), "-key", files.path("\($0).key")] } ?? []
        return try ChildProgram.run(
            "/usr/bin/openssl",
            [
                "s_client", "-quiet", "-connect", "\(live.server.boundAddress)", "-bind", "\(source):0", "-CAfile",
                files.path("ca.pem"),
            ] + identity,
            input: "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ).output
    }

    @Test func `a handler is told which certificate its client has shown, where clients may show one`() async throws {
        let files = try TestCertificates()
        try files.leaf("local", names: ["DNS:localhost"])
        try files.leaf("alice", names: ["DNS:alice.test"], subject: "/CN=alice")
        try files.authority("stranger")
        try files.leaf("mallory", names: ["DNS:mallory.test"], subject: "/CN=mallory", authority: "stranger")
        var settings = TLSServer.Settings(pairs: [
            .init(certificate: files.path("local.pem"), key: files.path("local.key"))
        ])
        settings.clientCertificates = .optional
        settings.clientAuthorities = files.path("ca.pem")
        let tls = try TLSServer(settings)
        try await LiveServer.serving(configure: { $0.tls = tls }) { request, response in
            let shown = request.clientCertificate
            try await response.respond(
                .ok,
                text: "secure \(request.isSecure), subject \(shown?.subject ?? "none"), names \(shown?.names ?? [])")
        } test: { live in
            let alice = try ask(live, files, as: "alice")
            #expect(alice.contains(#"secure true, subject CN=alice, names ["alice.test"]"#))
            let nobody = try ask(live, files, as: nil)
            #expect(nobody.contains("secure true, subject none, names []"))
            // One that nobody trusted has signed is none, and worse than none.
            let mallory = try ask(live, files, as: "mallory")
            #expect(!mallory.contains("secure"))
            #expect(live.recorder.exchanges.withLock { $0.count } == 2)
        }
    }

    @Test func `a client that is refused and makes no handshake takes no place away from others`() async throws {
        let files = try TestCertificates()
        try files.leaf("local", names: ["DNS:localhost"])
        let tls = try TLSServer(
            .init(pairs: [.init(certificate: files.path("local.pem"), key: files.path("local.key"))]))
        try await LiveServer.serving(configure: {
            $0.tls = tls
            $0.connectionLimit = 20
            $0.connectionLimitPerAddress = 5
            $0.handshakeDeadline = .seconds(60)
            $0.lingerDeadline = .seconds(60)
        }) { request, response in
            try await response.respond(.ok, text: "hello \(request.peer.hostDescription)")
        } test: { live in
            let flood = try (0..<100).map { _ in try live.connect(from: "127.0.0.1") }
            #expect(try ask(live, files, as: nil, from: "127.0.0.2").contains("hello 127.0.0.2"))
            withExtendedLifetime(flood) {}
        }
    }
}
