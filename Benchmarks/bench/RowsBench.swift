// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Glibc
import Postgres

/// The rows of a table as CSV and as NDJSON, beside `psql` with COPY of the same rows.
struct RowsBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rows", abstract: "A table as CSV and NDJSON, beside psql COPY.")

    @Option(help: "Rows of the table.") var rows = 1_000_000
    @Option(help: "Runs of each.") var runs = 5

    private static let query = "select symbol, ts, source, trade_id, price, size from market.trades"

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        try await store.fillTrades(rows)
        let server = try ServedProcess(readerURL: store.readerURL, arguments: ["--pool-size", "2"])
        defer { server.stop() }
        print("\(rows) trades; seconds")
        var ratios: (csv: [Double], ndjson: [Double]) = ([], [])
        for run in 1...runs {
            let copy = try seconds {
                _ = try output(
                    of: store.program("psql"),
                    ["-X", "-q", "-o", "/dev/null", "-c", "COPY (\(Self.query)) TO STDOUT WITH (FORMAT csv, HEADER)"],
                    environment: store.readerEnvironmentTCP)
            }
            let csv = try seconds { try read("csv", lines: rows + 1, server.port) }
            let ndjson = try seconds { try read("ndjson", lines: rows, server.port) }
            ratios.csv.append(csv / copy)
            ratios.ndjson.append(ndjson / copy)
            print(
                "run \(run)  psql COPY \(twoDigits(copy))   CSV \(twoDigits(csv)) (\(twoDigits(csv / copy)))   "
                    + "NDJSON \(twoDigits(ndjson)) (\(twoDigits(ndjson / copy)))")
        }
        print("median ratio \(twoDigits(median(ratios.csv)))  CSV  (goal 1.15)")
        print("median ratio \(twoDigits(median(ratios.ndjson)))  NDJSON  (goal 1.50)")
    }

    private func read(_ format: String, lines: Int, _ port: UInt16) throws {
        let taken = try PlainClient(port).take(
            "POST", "/api/v1/sql?format=\(format)", ["Content-Type: application/sql"], Self.query)
        if taken.lines != lines { throw SystemError(code: EIO, call: "\(format) has \(taken.lines) lines") }
    }
}

/// Ten million rows through the server: its memory, and how soon the first byte comes.
struct StreamBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stream", abstract: "Ten million rows: the server's memory, and the first byte beside psql's.")

    @Option(help: "Rows of the result.") var rows = 10_000_000

    private var query: String {
        "select g as trade_id, g * 0.25 as price, 'SYM' as symbol from generate_series(1, \(rows)) g"
    }

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        let server = try ServedProcess(readerURL: store.readerURL, arguments: ["--pool-size", "2"])
        defer { server.stop() }
        let before = server.memory
        let lag = try (0..<5).map { _ in try firstByte(server.port) - firstRow(store) }
        print("first byte \(twoDigits(median(lag))) ms after psql has the first row of the same query  (goal 50)")
        let start = MonotonicTime.now()
        let taken = try PlainClient(server.port).take(
            "POST", "/api/v1/sql?format=ndjson", ["Content-Type: application/sql"], query)
        let took = (MonotonicTime.now() - start).inSeconds
        if taken.lines != rows { throw SystemError(code: EIO, call: "NDJSON has \(taken.lines) lines") }
        print(
            "\(rows) rows in \(twoDigits(took)) s, \(taken.bytes / 1_048_576) MiB; memory of the server "
                + "\(server.memory.peak) MiB at most  (goal 64), \(before.now) MiB before")
    }

    /// Milliseconds until the first byte of a reply whose first rows are there at once.
    private func firstByte(_ port: UInt16) throws -> Double {
        let start = MonotonicTime.now()
        _ = try PlainClient(port).take(
            "POST", "/api/v1/sql?format=ndjson", ["Content-Type: application/sql"], Self.slow, firstByteOnly: true)
        return (MonotonicTime.now() - start).inSeconds * 1000
    }

    /// PostgreSQL sends 8 KiB at a time, whatever a row has: ten rows at once, and then a pause.
    private static let slow =
        "select g, repeat('x', 4000), case when g > 10 then pg_sleep(0.3) end from generate_series(1, 12) g"

    /// Milliseconds until `psql` has the first row, by a cursor's first FETCH.
    private func firstRow(_ store: BenchStore) throws -> Double {
        let said = try output(
            of: store.program("psql"),
            [
                "-X", "-q", "-At", "-c", "\\timing on", "-c", "begin", "-c",
                "declare c no scroll cursor for \(Self.slow)",
                "-c", "fetch 1 from c",
            ], environment: store.readerEnvironment)
        let times = said.split(separator: "\n").filter { $0.hasPrefix("Time: ") }
        guard let last = times.last, let time = Double(last.dropFirst(6).prefix { $0 != " " }) else {
            throw SystemError(code: EIO, call: "psql: \(said)")
        }
        return time
    }
}

/// Runs `body`; returns the seconds it took.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = MonotonicTime.now()
    try body()
    return (MonotonicTime.now() - start).inSeconds
}
