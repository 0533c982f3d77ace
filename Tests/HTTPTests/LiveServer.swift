// SPDX-License-Identifier: Apache-2.0
// A server on loops of its own, and a client that is nothing but a blocking socket.

import CLinux
import EventLoop
import Glibc
import Synchronization
import Testing

@testable import HTTP

struct ClosureHandler: Handler {
    let body: @Sendable (Request, ResponseWriter) async throws -> Void

    func handle(_ request: Request, _ response: ResponseWriter) async throws { try await body(request, response) }
}

/// Keeps what it is told.
final class Recorder: ServerObserver {
    let exchanges = Mutex<[Exchange]>([])
    let refusals = Mutex<[UInt16]>([])

    func exchangeFinished(_ exchange: Exchange) { exchanges.withLock { $0.append(exchange) } }
    func requestRefused(_ refusal: Refusal) { refusals.withLock { $0.append(refusal.error.status.code) } }
    func connectionDropped() {}
    func acceptFailed(_ description: String) { Issue.record("\(description)") }
}

struct LiveServer: Sendable {
    let server: Server
    let recorder: Recorder
    let running: Task<Void, Never>

    func connect(receiveBuffer: CInt? = nil, from source: String? = nil) throws -> Client {
        try Client(server.boundAddress, receiveBuffer: receiveBuffer, from: source)
    }

    /// Runs `test` against a server, and ends it.
    static func serving(
        loops count: Int = 1, address: String = "127.0.0.1:0",
        configure: (inout Configuration) -> Void = { _ in },
        _ handler: @escaping @Sendable (Request, ResponseWriter) async throws -> Void,
        test: (LiveServer) async throws -> Void
    ) async throws {
        let loops = try (0..<count).map { try EventLoop(name: "http-\($0)") }
        for loop in loops { loop.start() }
        defer { for loop in loops { loop.stop() } }
        var configuration = Configuration(address: try SocketAddress(address))
        configuration.lingerDeadline = .milliseconds(500)
        configure(&configuration)
        let recorder = Recorder()
        let server = try Server(configuration, loops: loops, observer: recorder) { _ in ClosureHandler(body: handler) }
        // On the loop: the clients below block the threads of the global pool.
        let running = Task(executorPreference: loops[0]) { await server.run() }
        let live = LiveServer(server: server, recorder: recorder, running: running)
        do {
            try await test(live)
        } catch {
            Issue.record(error)
        }
        await server.shutdown(deadline: .zero)
        await running.value
        #expect(server.connectionCount == 0)
    }
}

/// A blocking TCP client with a receive timeout.
final class Client {
    let descriptor: CInt
    private var buffered: [UInt8] = []

    struct Response {
        var status: Int
        var head: String
        var body: [UInt8]
        /// Whether the body came to its proper end.
        var isComplete = true

        var text: String { String(decoding: body, as: UTF8.self) }
    }

    struct Timeout: Error {}

    /// - Parameter source: the address to come from, without a port; the system's choice by default.
    init(_ address: SocketAddress, receiveBuffer: CInt?, from source: String? = nil) throws {
        descriptor = socket(address.family, CInt(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<CInt>.size))
        }
        if let source, try SocketAddress("\(source):0").withSockaddr({ bind(descriptor, $0, $1) }) != 0 {
            throw SystemError(call: "bind")
        }
        if address.withSockaddr({ Glibc.connect(descriptor, $0, $1) }) != 0 { throw SystemError(call: "connect") }
    }

    deinit { _ = Glibc.close(descriptor) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count < 0 { throw SystemError(call: "send") }
            sent += count
        }
    }

    /// Makes the end of this client a reset.
    func resetOnClose() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    func endSending() { _ = shutdown(descriptor, CInt(SHUT_WR)) }

    /// More bytes; false at the end of the stream, be it orderly or a reset.
    func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count < 0 && errno == EAGAIN { throw Timeout() }
        lastErrno = count < 0 ? errno : 0
        if count <= 0 { return false }
        buffered.append(contentsOf: chunk[..<count])
        return true
    }

    private(set) var lastErrno: CInt = 0

    func take(_ count: Int) throws -> [UInt8]? {
        while buffered.count < count { if try !fill() { return nil } }
        defer { buffered.removeFirst(count) }
        return Array(buffered[..<count])
    }

    func line() throws -> String? {
        while true {
            if let end = buffered.firstIndex(of: 10) {
                defer { buffered.removeFirst(end + 1) }
                return String(decoding: buffered[..<(end - 1)], as: UTF8.self)
            }
            if try !fill() { return nil }
        }
    }

    /// Everything up to the end of the stream.
    func rest() throws -> [UInt8] {
        while try fill() {}
        defer { buffered = [] }
        return buffered
    }

    var isAtEnd: Bool { get throws { try buffered.isEmpty && !fill() } }

    /// One response; nil if the connection ended instead.
    func response(head isHead: Bool = false) throws -> Response? {
        guard let statusLine = try line() else { return nil }
        var response = Response(
            status: Int(statusLine.split(separator: " ")[1]) ?? 0, head: statusLine + "\r\n", body: [])
        var length: Int?
        var chunked = false
        while let field = try line(), !field.isEmpty {
            response.head += field + "\r\n"
            let lower = field.lowercased()
            if lower.hasPrefix("content-length: ") { length = Int(lower.dropFirst(16)) }
            if lower == "transfer-encoding: chunked" { chunked = true }
        }
        if isHead || response.status == 204 || response.status == 304 || response.status < 200 { return response }
        if chunked {
            try readChunks(&response)
        } else if let length {
            if let body = try take(length) { response.body = body } else { response.isComplete = false }
        } else {
            response.body = try rest()
            response.isComplete = lastErrno == 0
        }
        return response
    }

    private func readChunks(_ response: inout Response) throws {
        while let size = try line().flatMap({ Int($0, radix: 16) }) {
            guard let data = try take(size + 2) else { break }
            if size == 0 { return }
            response.body += data.dropLast(2)
        }
        response.isComplete = false
    }

    /// What has come and is not read yet.
    var received: String { String(decoding: buffered, as: UTF8.self) }

    func get(_ target: String) throws -> Response? {
        try send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
        return try response()
    }
}
