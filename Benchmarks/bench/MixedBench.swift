// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CLinux
import EventLoop
import Glibc

/// Cheap reads at a steady rate, alone and beside exports that go on all the time. What is measured is when a reply has
/// arrived (``HTTPLoad/isPrompt``): whether a client of this machine, whose processors exports and their readers keep busy, has
/// its turn then is shown beside it.
struct MixedBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mixed", abstract: "The latest price and the last bars, alone and beside exports.")

    @Option(help: "Exports at a time: a million trades as CSV each, again and again.") var exports = 2
    @Option(help: "Rows of an export.") var rows = 1_000_000
    @Option(help: "Bytes a second that each export is read with; 0 for as fast as it comes.") var exportRate = 0
    @Option(help: "Connections that ask for cheap things.") var connections = 4
    @Option(help: "Requests a second of each.") var rate = 50
    @Option(help: "Seconds of each measurement.") var seconds = 4.0
    @Option(help: "Measurements, alone and beside exports by turns; what is shown is of all of them.") var rounds = 4

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        try await store.fillLatest()
        try await store.fillBars()
        try await store.fillTrades(rows)
        let server = try ServedProcess(readerURL: store.readerURL)
        defer { server.stop() }
        let targets = [
            ("latest price", "/api/v1/latest?symbol=S1"),
            ("last 10 bars", "/api/v1/bars?symbol=S1&timeframe=1m&order=desc&limit=10"),
        ]
        for (name, target) in targets {
            var load = HTTPLoad(port: server.port, get: target, connections: connections)
            load.perSecondOfEach = rate
            load.isPrompt = true
            _ = try load.run(seconds: 1)
            var (alone, together) = (HTTPLoad.Result(), HTTPLoad.Result())
            var taken = 0.0
            for _ in 0..<rounds {
                alone.add(try load.run(seconds: seconds))
                let exporters = Exporters(server.port, exports, exportRate)
                usleep(1_000_000)
                let before = exporters.taken
                together.add(try load.run(seconds: seconds))
                taken += Double(exporters.taken - before)
                exporters.stop()
            }
            show("\(name), alone", alone)
            show("\(name), beside exports", together)
            print(
                "\(Int(taken / together.seconds) / 1_048_576) MiB/s exported meanwhile; p99 "
                    + "\(twoDigits(together.percentile(0.99) / alone.percentile(0.99))) x unloaded  (goal 2.00)")
        }
    }

    private func show(_ what: String, _ result: HTTPLoad.Result) {
        print(
            "\(what.padded(30))\(column(result.perSecond, 6)) requests/s   p50 \(twoDigits(result.percentile(0.5))) ms   p99 "
                + "\(twoDigits(result.percentile(0.99))) ms   max \(twoDigits(result.percentile(1))) ms   refused \(result.refused)   p99 in the client's turn "
                + "\(twoDigits(HTTPLoad.Result.percentile(0.99, of: result.seen))) ms")
    }
}

/// Clients on threads of their own that read one export after the other.
private final class Exporters: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: what changes is read and written under the lock.
    private var lock = pthread_mutex_t()
    private var isStopped = false
    private var bytes = 0
    private var running = 0
    private let port: UInt16
    private let rate: Int

    init(_ port: UInt16, _ count: Int, _ rate: Int) {
        self.port = port
        self.rate = rate
        pthread_mutex_init(&lock, nil)
        running = count
        for _ in 0..<count {
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { context in
                    Unmanaged<Exporters>.fromOpaque(context!).takeRetainedValue().export()
                    return nil
                }, Unmanaged.passRetained(self).toOpaque())
            pthread_detach(thread)
        }
    }

    /// Bytes that have been read.
    var taken: Int { locked { bytes } }

    /// Ends the exports.
    func stop() {
        locked { isStopped = true }
        while locked({ running }) > 0 { usleep(10_000) }
    }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        return body()
    }

    private func export() {
        defer { locked { running -= 1 } }
        let request = Array(
            ("POST /api/v1/sql?format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sql\r\n"
                + "Content-Length: 27\r\n\r\nselect * from market.trades").utf8)
        var chunk = [UInt8](repeating: 0, count: 262_144)
        while !locked({ isStopped }) {
            guard let descriptor = try? connectLoopback(port) else { continue }
            defer { close(descriptor) }
            _ = send(descriptor, request, request.count, CInt(MSG_NOSIGNAL))
            var last: [UInt8] = []
            while !locked({ isStopped }) {
                let count = recv(descriptor, &chunk, chunk.count, 0)
                if count <= 0 { break }
                locked { bytes += count }
                last = Array((last + chunk[max(0, count - 7)..<count]).suffix(7))
                if last.elementsEqual("\r\n0\r\n\r\n".utf8) { break }
                if rate > 0 { usleep(useconds_t(count * 1_000_000 / rate)) }
            }
        }
    }
}
