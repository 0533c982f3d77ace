// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc

/// A blocking HTTP client for one keep-alive connection: as plain as a client can be, so that the server is measured.
final class PlainClient {
    private let descriptor: CInt
    private let port: UInt16
    private var received: [UInt8] = []
    private var chunk = [UInt8](repeating: 0, count: 256 * 1024)

    init(_ port: UInt16) throws {
        descriptor = try connectLoopback(port)
        self.port = port
    }

    deinit { close(descriptor) }

    /// Sends a request and returns the body of its reply.
    func exchange(_ method: String, _ target: String, _ headers: [String], _ body: String?) throws -> [UInt8] {
        let (head, start) = try open(method, target, headers, body)
        if let mark = head.firstRange(of: "content-length: ") {
            let length = Int(head[mark.upperBound...].prefix { $0.isNumber }) ?? 0
            received.reserveCapacity(start + length)
            while received.count < start + length { try receive() }
            return Array(received[start...])
        }
        // In chunks: the last one is empty. Rows hold no such bytes, so the end is all that is looked for.
        let last = Array("\r\n0\r\n\r\n".utf8)
        while !received.suffix(last.count).elementsEqual(last) { try receive() }
        return unchunked(received[start...])
    }

    /// Sends a request, reads its reply to the end and keeps none of it.
    struct Taken {
        /// Bytes of the body, with the framing of its chunks.
        var bytes = 0
        /// Lines of the body.
        var lines = 0
        /// From the request to the first byte of the reply.
        var firstByte = Duration.zero

        /// Rows hold no CR, the framing has one in each of its lines.
        fileprivate mutating func count(_ piece: UnsafeRawBufferPointer) {
            var (feeds, returns) = (0, 0)
            for byte in piece {
                feeds &+= byte == 10 ? 1 : 0
                returns &+= byte == 13 ? 1 : 0
            }
            bytes += piece.count
            lines += feeds - returns
        }
    }

    func take(
        _ method: String, _ target: String, _ headers: [String], _ body: String?, firstByteOnly: Bool = false
    ) throws -> Taken {
        var taken = Taken()
        let sent = MonotonicTime.now()
        let (head, start) = try open(method, target, headers, body)
        taken.firstByte = MonotonicTime.now() - sent
        if firstByteOnly { return taken }
        if !head.contains("transfer-encoding: chunked") { throw SystemError(code: EPROTO, call: "a reply in chunks") }
        let last = Array("\r\n0\r\n\r\n".utf8)
        var tail = Array(received[start...].suffix(last.count))
        received[start...].withUnsafeBytes { taken.count($0) }
        while !tail.elementsEqual(last) {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count <= 0 { throw SystemError(call: "recv") }
            chunk.withUnsafeBytes { taken.count(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            tail = Array((tail + chunk[max(0, count - last.count)..<count]).suffix(last.count))
        }
        return taken
    }

    /// Sends a request, waits for the head of its reply, whatever it is, and reads up to 16 MiB of it, slowly.
    func glimpse(_ method: String, _ target: String, _ headers: [String], _ body: String?) throws {
        _ = try open(method, target, headers, body)
        for _ in 0..<64 {
            try receive()
            received.removeAll(keepingCapacity: true)
            usleep(10_000)
        }
    }

    /// Sends a request and reads the head of its reply; the body's beginning is in `received` from the index returned.
    private func open(
        _ method: String, _ target: String, _ headers: [String], _ body: String?
    ) throws -> (head: String, start: Int) {
        var lines = ["\(method) \(target) HTTP/1.1", "Host: 127.0.0.1:\(port)"] + headers
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        let bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")).utf8)
        if send(descriptor, bytes, bytes.count, 0) != bytes.count { throw SystemError(call: "send") }
        received.removeAll(keepingCapacity: true)
        var end: Int?
        while end == nil {
            try receive()
            end = received.firstRange(of: Array("\r\n\r\n".utf8)).map(\.upperBound)
        }
        let start = end ?? 0
        let head = String(decoding: received[..<start], as: UTF8.self).lowercased()
        if !head.hasPrefix("http/1.1 200") { throw SystemError(code: EIO, call: head) }
        return (head, start)
    }

    private func unchunked(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while let line = bytes[index...].firstIndex(of: 10),
            let size = Int(String(decoding: bytes[index..<line - 1], as: UTF8.self), radix: 16), size > 0
        {
            body.append(contentsOf: bytes[(line + 1)..<(line + 1 + size)])
            index = line + 1 + size + 2
        }
        return body
    }

    private func receive() throws {
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count <= 0 { throw SystemError(call: "recv") }
        received.append(contentsOf: chunk[..<count])
    }
}
