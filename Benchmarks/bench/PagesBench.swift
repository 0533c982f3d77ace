// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Glibc
import Postgres

/// A large result through the pages of the Trino protocol, beside the same rows as CSV of ours and as `psql` COPY.
struct PagesBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pages", abstract: "A large result in pages of the Trino protocol, beside CSV and COPY.")

    @Option(help: "Rows of the result.") var rows = 1_000_000
    @Option(help: "Runs of each.") var runs = 3

    private var query: String {
        """
        SELECT 'SYM' || g % 100 AS symbol, TIMESTAMP '2024-01-01 00:00:00' + g * INTERVAL '1' SECOND AS ts, g AS trade_id, \
        100 + g * 0.25e0 AS price, g % 1000 AS size FROM generate_series(1, \(rows)) AS t(g)
        """
    }

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        let server = try ServedProcess(readerURL: store.readerURL, arguments: ["--pool-size", "2"])
        defer { server.stop() }
        print("\(rows) rows; seconds")
        var ratios: (csv: [Double], copy: [Double]) = ([], [])
        for run in 1...runs {
            let copy = try seconds { _ = try copied(store) }
            let csv = try seconds { try readCSV(server.port) }
            var pages = 0
            let trino = try seconds { pages = try readPages(server.port) }
            ratios.csv.append(trino / csv)
            ratios.copy.append(trino / copy)
            print(
                "run \(run)  psql COPY \(twoDigits(copy))   CSV \(twoDigits(csv))   Trino \(twoDigits(trino)) in \(pages) pages, "
                    + "\(Int(Double(rows) / trino)) rows/s")
        }
        print("median ratio to CSV \(twoDigits(median(ratios.csv)))  (goal 2.00)")
        print("median ratio to COPY \(twoDigits(median(ratios.copy)))")
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = MonotonicTime.now()
        try body()
        return (MonotonicTime.now() - start).inSeconds
    }

    private func copied(_ store: BenchStore) throws -> String {
        try output(
            of: store.program("psql"),
            ["-X", "-q", "-o", "/dev/null", "-c", "COPY (\(query)) TO STDOUT"], environment: store.readerEnvironment)
    }

    private func readCSV(_ port: UInt16) throws {
        let client = try PlainClient(port)
        let lines = try client.exchange("POST", "/api/v1/sql?format=csv", ["Content-Type: application/sql"], query)
            .reduce(0) { $1 == 10 ? $0 + 1 : $0 }
        if lines != rows + 1 { throw SystemError(code: EIO, call: "CSV has \(lines) lines") }
    }

    /// Follows `nextUri` to the end over one connection; returns the number of pages.
    private func readPages(_ port: UInt16) throws -> Int {
        let client = try PlainClient(port)
        var page = try client.exchange("POST", "/v1/statement", ["X-Trino-User: bench"], query)
        var pages = 0
        while let next = Self.next(page) {
            page = try client.exchange("GET", next, [], nil)
            pages += 1
        }
        // The last page tells how many rows there were.
        let told = "\"processedRows\":\(rows),"
        if !String(decoding: page.suffix(800), as: UTF8.self).contains(told) {
            throw SystemError(code: EIO, call: "the last page is \(String(decoding: page.suffix(800), as: UTF8.self))")
        }
        return pages
    }

    /// The path of `nextUri`, which stands at the beginning of a page.
    private static func next(_ page: [UInt8]) -> String? {
        let head = String(decoding: page.prefix(600), as: UTF8.self)
        guard let mark = head.firstRange(of: "\"nextUri\":\"http://127.0.0.1:") else { return nil }
        return String(head[mark.upperBound...].drop { $0 != "/" }.prefix { $0 != "\"" })
    }
}

/// A blocking HTTP client for one keep-alive connection: as plain as a client can be, so that the server is measured.
private final class PlainClient {
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
