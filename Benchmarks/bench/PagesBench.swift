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
