// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import TLS

@Suite(.serialized) struct TLSTests {
    let files: TestCertificates

    init() throws { files = try TestCertificates() }

    private func pair(_ name: String) -> TLSServer.KeyPair {
        .init(certificate: files.path("\(name).pem"), key: files.path("\(name).key"))
    }

    private func server(_ names: String..., configure: (inout TLSServer.Settings) -> Void = { _ in }) throws
        -> TLSServer
    {
        var settings = TLSServer.Settings(pairs: names.map { pair($0) })
        configure(&settings)
        return try TLSServer(settings)
    }

    private func client(_ authority: String = "ca") throws -> TLSClient {
        try TLSClient(authorities: files.path("\(authority).pem"))
    }

    @Test func `both sides agree on TLS 1_3 and http/1_1, and carry bytes`() throws {
        try files.leaf("a", names: ["DNS:a.test"])
        let pair = try SessionPair(server("a"), client(), host: "a.test")
        #expect(pair.shakeHands() == (nil, nil))
        #expect(pair.client.version == "TLSv1.3" && pair.server.version == "TLSv1.3")
        #expect(pair.client.applicationProtocol == "http/1.1" && pair.server.applicationProtocol == "http/1.1")
        #expect(!pair.client.isResumed && !pair.client.cipher.isEmpty)
        #expect(SessionPair.carry("hello", from: pair.client, to: pair.server) == "hello")
        #expect(SessionPair.carry("there", from: pair.server, to: pair.client) == "there")
        // A close_notify is a clean end; the socket's end without one is not.
        pair.server.endSending()
        pair.client.becameReadable()
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(buffer.withUnsafeMutableBytes { pair.client.read(into: $0) } == .ended(clean: true))
    }

    @Test func `the name that a client asks for chooses the certificate`() throws {
        try files.leaf("one", names: ["DNS:one.test"])
        try files.leaf("two", names: ["DNS:two.test", "DNS:*.two.test"])
        let server = try server("one", "two")
        for (name, subject) in [
            ("one.test", "CN=one"), ("two.test", "CN=two"), ("TWO.test", "CN=two"), ("x.two.test", "CN=two"),
        ] {
            let pair = try SessionPair(server, client(), host: name)
            #expect(pair.shakeHands() == (nil, nil), "\(name)")
            #expect(pair.client.peerCertificate?.subject == subject)
        }
        // A wildcard stands for one label, and a name that nobody has gets the first certificate.
        for name in ["x.y.two.test", "three.test"] {
            #expect(try SessionPair(server, client(), host: name).shakeHands().client?.code == .wrongHost)
        }
        #expect(server.certificates.map(\.names) == [["one.test"], ["two.test", "*.two.test"]])
    }

    @Test func `keys of two types for one name are offered together`() throws {
        try files.leaf("ec", names: ["DNS:a.test"])
        try files.leaf("rsa", names: ["DNS:a.test"], key: "rsa")
        let server = try server("ec", "rsa")
        let pair = try SessionPair(server, client(), host: "a.test")
        #expect(pair.shakeHands() == (nil, nil))
        #expect(pair.client.peerCertificate?.subject == "CN=ec")
    }

    @Test func `a client refuses what it must, and says what and why`() throws {
        try files.leaf("good", names: ["DNS:a.test", "IP:127.0.0.1"])
        try files.leaf("old", names: ["DNS:a.test"], days: -1)
        try files.leaf("self", names: ["DNS:a.test"], authority: nil)
        try files.leaf("subject", names: [], subject: "/CN=a.test")
        try files.authority("other")
        try files.leaf("foreign", names: ["DNS:a.test"], authority: "other")
        func refusal(_ name: String, _ host: String) throws -> TLSError? {
            let pair = try SessionPair(server(name), client(), host: host)
            return pair.shakeHands().client
        }
        #expect(try refusal("good", "a.test") == nil)
        #expect(try refusal("good", "127.0.0.1") == nil)
        let wrong = try refusal("good", "b.test")
        #expect(wrong?.code == .wrongHost && wrong?.message == "the certificate of b.test is for another name")
        #expect(try refusal("good", "127.0.0.2")?.code == .wrongHost)
        #expect(try refusal("subject", "a.test")?.code == .wrongHost)
        #expect(try refusal("old", "a.test")?.code == .expired)
        #expect(try refusal("old", "a.test")?.message == "the certificate of a.test has expired")
        #expect(try refusal("self", "a.test")?.code == .selfSigned)
        #expect(try refusal("self", "a.test")?.hint?.contains("--tls-ca") == true)
        #expect(try refusal("foreign", "a.test")?.code == .unknownAuthority)
        // Who names a self-signed certificate as an authority trusts it.
        #expect(try SessionPair(server("self"), client("self"), host: "a.test").shakeHands() == (nil, nil))
        // The server is told why, too.
        #expect(try SessionPair(server("foreign"), client(), host: "a.test").shakeHands().server?.code == .alert)
    }

    @Test(arguments: [TLSServer.ClientCertificates.none, .optional, .required])
    func `clients show certificates as the server demands`(demand: TLSServer.ClientCertificates) throws {
        try files.leaf("a", names: ["DNS:a.test"])
        let server = try server("a") {
            $0.clientCertificates = demand
            $0.clientAuthorities = files.path("ca.pem")
        }
        let pair = try SessionPair(server, client(), host: "a.test")
        let failures = pair.shakeHands()
        #expect(failures.server?.code == (demand == .required ? .noCertificate : nil))
        #expect(pair.server.peerCertificate == nil)
        #expect(throws: TLSError.self) { try self.server("a") { $0.clientCertificates = .required } }
    }

    @Test func `files that are wrong are named, and what is wrong with them`() throws {
        try files.leaf("a", names: ["DNS:a.test"])
        try files.leaf("b", names: ["DNS:b.test"])
        try files.leaf("r", names: ["DNS:b.test"], key: "rsa")
        try files.openssl("ec", "-in", "a.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
        try "nonsense".write(toFile: files.path("nonsense"), atomically: true, encoding: .utf8)
        func failure(_ certificate: String, _ key: String) -> TLSError? {
            let settings = TLSServer.Settings(
                pairs: [.init(certificate: files.path(certificate), key: files.path(key))])
            do throws(TLSError) {
                _ = try TLSServer(settings)
                return nil
            } catch {
                return error
            }
        }
        #expect(failure("a.pem", "a.key") == nil)
        for (certificate, key, code, word) in [
            ("no.pem", "a.key", TLSError.Code.file, "no.pem cannot be read: No such file"),
            ("a.pem", "no.key", .file, "no.key cannot be read"),
            ("nonsense", "a.key", .file, "holds no usable certificate"),
            ("a.pem", "nonsense", .file, "holds no usable private key"),
            ("a.pem", "locked.key", .file, "holds no usable private key"),
            ("a.pem", "b.key", .keyMismatch, "does not belong"), ("a.pem", "r.key", .keyMismatch, "does not belong"),
        ] {
            let error = failure(certificate, key)
            #expect(error?.code == code && error?.message.contains(word) == true, "\(String(describing: error))")
        }
    }

    @Test func `a reload serves the new files, keeps open connections, and changes nothing if a file is broken`() throws
    {
        try files.leaf("a", names: ["DNS:a.test"], subject: "/CN=first")
        let server = try server("a")
        let open = try SessionPair(server, client(), host: "a.test")
        #expect(open.shakeHands() == (nil, nil))
        // A handshake under way goes on with what it began with.
        let half = try SessionPair(server, client(), host: "a.test")
        #expect(half.client.handshake() == .wantsRead)
        try files.leaf("a", names: ["DNS:a.test"], subject: "/CN=second")
        try server.reload()
        #expect(half.shakeHands() == (nil, nil))
        #expect(half.client.peerCertificate?.subject == "CN=first")
        let fresh = try SessionPair(server, client(), host: "a.test")
        #expect(fresh.shakeHands() == (nil, nil))
        #expect(fresh.client.peerCertificate?.subject == "CN=second")
        #expect(SessionPair.carry("still", from: open.server, to: open.client) == "still")
        try "broken".write(toFile: files.path("a.pem"), atomically: true, encoding: .utf8)
        #expect(throws: TLSError.self) { try server.reload() }
        let kept = try SessionPair(server, client(), host: "a.test")
        #expect(kept.shakeHands() == (nil, nil))
        #expect(kept.client.peerCertificate?.subject == "CN=second")
    }

    @Test func `digests are those of the standard`() {
        func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
        #expect(hex(Digest.sha1(Array("abc".utf8))) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(
            hex(Digest.sha256([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }
}
