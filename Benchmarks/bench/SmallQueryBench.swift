// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Glibc
import Postgres

/// The latest price of a symbol and its last bars over HTTP, by SQL and by REST, beside `pgbench` with the same
/// statement, prepared, over as many connections, both over TCP on the loopback interface. Once all ask for the same
/// symbol, as those who watch one dashboard do, and once each asks for one of a hundred. What `pgbench` reaches over a
/// Unix socket is shown too: the server's own connections use one.
struct SmallQueryBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "small", abstract: "Small queries over HTTP, beside pgbench on the same statement.")

    @Option(help: "Connections of the clients, and of the server to PostgreSQL.") var connections = 16
    @Option(help: "Seconds of each measurement.") var seconds = 4.0
    @Option(help: "Runs of each.") var runs = 3

    private static let latest = """
        select symbol, ts, price, size, trade_id, source, price - previous_price as change, \
        (price - previous_price) / nullif(previous_price, 0) * 100 as change_pct from market.latest where symbol =
        """

    private static let bars = """
        select symbol, ts, open, high, low, close, volume, vwap, trade_count from market.bars where symbol = :sym \
        and timeframe = '1m' and ts >= '-infinity' and ts < 'infinity' order by ts desc limit 11
        """

    /// Who asks for what.
    private enum Spread: String, CaseIterable {
        case one = "all ask for one symbol"
        case many = "each asks for one of 100 symbols"

        var symbols: [String] { self == .one ? ["S1"] : (1...100).map { "S\($0)" } }
        /// Of pgbench's script.
        var setting: String {
            self == .one ? "" : "\\set n random(1, 100)\n"
        }
        var value: String { self == .one ? ":sym" : "('S' || :n)" }
    }

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        try await store.fillLatest()
        try await store.fillBars()
        let loops = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))
        let server = try ServedProcess(
            readerURL: store.readerURL,
            arguments: ["--loops", "\(loops)", "--pool-size", "\(max(1, connections / loops))"])
        defer { server.stop() }
        var ratios: [(name: String, goal: String, values: [Double])] = []
        func note(_ name: String, _ goal: String, _ ratio: Double) {
            if let index = ratios.firstIndex(where: { $0.name == name }) {
                ratios[index].values.append(ratio)
            } else {
                ratios.append((name, goal, [ratio]))
            }
        }
        let bare = HTTPLoad(port: server.port, get: "/live", connections: connections)
        for load in Spread.allCases.flatMap({ loads($0, server.port).map(\.load) }) + [bare] {
            _ = try load.run(seconds: 0.5)
        }
        for run in 1...runs {
            for spread in Spread.allCases {
                print("run \(run): \(spread.rawValue), \(connections) connections; requests/s")
                let latest = try pgbench(store, store.readerEnvironmentTCP, "\(Self.latest) \(spread.value)", spread)
                print("  pgbench, latest price     \(column(latest, 7))")
                let local = try pgbench(store, store.readerEnvironment, "\(Self.latest) \(spread.value)", spread)
                print("    over a Unix socket      \(column(local, 7))")
                let bars = try pgbench(
                    store, store.readerEnvironmentTCP, Self.bars.replacing(":sym", with: spread.value), spread)
                print("  pgbench, last 10 bars     \(column(bars, 7))")
                for (name, isBars, load) in loads(spread, server.port) {
                    let ratio = show(name, try load.run(seconds: seconds), isBars ? bars : latest)
                    note("\(name), \(spread.rawValue)", "  (goal 0.70)", ratio)
                }
            }
            let engine = try bare.run(seconds: seconds)
            print("  /live, from memory        \(column(engine.perSecond, 7))")
            // Asked for anew: vacuum, too, changes what is visible.
            for (name, query) in [("open", ""), ("settled", "&to=2026-01-01T12:00:00Z")] {
                let page = try unchanged(server.port, "/api/v1/bars?symbol=S1&timeframe=1m" + query)
                let ratio = show("304, a page of \(name) bars", try page.run(seconds: seconds), engine.perSecond)
                note("304 of a page of \(name) bars, beside /live", "", ratio)
            }
        }
        for (name, goal, values) in ratios { print("median ratio \(twoDigits(median(values)))  \(name)\(goal)") }
    }

    private func loads(_ spread: Spread, _ port: UInt16) -> [(name: String, isBars: Bool, load: HTTPLoad)] {
        func load(_ name: String, isBars: Bool = false, _ target: (String) -> String) -> (String, Bool, HTTPLoad) {
            (name, isBars, HTTPLoad(port: port, get: spread.symbols.map(target), connections: connections))
        }
        let parameter = percentEncoded("\(Self.latest) $1")
        return [
            load("/api/v1/latest") { "/api/v1/latest?symbol=\($0)" },
            load("/api/v1/sql, parameter") {
                "/api/v1/sql?query=\(parameter)&params=\(percentEncoded("[\"\($0)\"]"))"
            },
            load("/api/v1/sql, literal") { "/api/v1/sql?query=\(percentEncoded("\(Self.latest) '\($0)'"))" },
            load("/api/v1/bars", isBars: true) { "/api/v1/bars?symbol=\($0)&timeframe=1m&order=desc&limit=10" },
        ]
    }

    /// Prints a result; returns its ratio.
    private func show(_ name: String, _ result: HTTPLoad.Result, _ reference: Double) -> Double {
        if result.refused > 0 { print("  \(result.refused) replies had another status") }
        let ratio = result.perSecond / reference
        print(
            "  \(name.padded(26))\(column(result.perSecond, 7))   ratio \(twoDigits(ratio))   p50 "
                + "\(twoDigits(result.percentile(0.5))) ms  p99 \(twoDigits(result.percentile(0.99))) ms")
        return ratio
    }

    /// The same asked of a cache: each request has the tag of the reply that is still right.
    private func unchanged(_ port: UInt16, _ target: String) throws -> HTTPLoad {
        // A tag that comes twice is of the store's present state: the first replies may come before the server hears of it.
        var tags: [String] = []
        repeat {
            usleep(150_000)
            // One connection for each: only the head of a reply is read.
            let descriptor = try connectLoopback(port)
            defer { close(descriptor) }
            let request = Array("GET \(target) HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".utf8)
            _ = Glibc.send(descriptor, request, request.count, 0)
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            let head = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
            tags.append(
                head.split(separator: "\r\n").first { $0.hasPrefix("ETag: ") }.map { String($0.dropFirst(6)) } ?? "")
            if tags.count > 100 { throw SystemError(code: EIO, call: "GET \(target): its tag changes all the time") }
        } while tags.count < 2 || tags.last == "" || tags.last != tags.dropLast().last
        let tag = tags[tags.count - 1]
        var load = HTTPLoad(
            port: port, ["GET \(target) HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: \(tag)\r\n\r\n"],
            connections: connections)
        load.expected = 304
        return load
    }

    private func pgbench(
        _ store: BenchStore, _ environment: [String: String], _ sql: String, _ spread: Spread
    ) throws -> Double {
        let script = store.folder + "/statement.pgbench"
        let text = "\(spread.setting)\(sql);\n"
        guard let file = fopen(script, "w") else { throw SystemError(call: "fopen(\(script))") }
        fputs(text, file)
        fclose(file)
        let said = try output(
            of: store.program("pgbench"),
            [
                "-n", "-M", "prepared", "-c", "\(connections)", "-j", "2", "-T", "\(Int(max(1, seconds)))", "-D",
                "sym=S1",
                "-f", script,
            ],
            environment: environment)
        guard let line = said.split(separator: "\n").first(where: { $0.hasPrefix("tps = ") }),
            let tps = Double(line.dropFirst(6).prefix { $0 != " " })
        else { throw SystemError(code: EIO, call: "pgbench: \(said)") }
        return tps
    }
}

/// Percent-encoded for a query string.
func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
        let isPlain =
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        if isPlain {
            encoded.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            let hex = String(byte, radix: 16, uppercase: true)
            encoded += "%" + (hex.utf8.count == 1 ? "0" + hex : hex)
        }
    }
    return encoded
}

extension String {
    /// Filled with blanks to `width` characters.
    func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
