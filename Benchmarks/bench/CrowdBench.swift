// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Glibc
import Postgres

/// Lookups while fifty clients run the worst they can find.
struct CrowdBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crowd", abstract: "The latest price, alone and beside fifty clients with the worst of queries.")

    @Option(help: "Clients that mean ill.") var crowd = 50
    @Option(help: "Connections that ask for the latest price.") var connections = 4
    @Option(help: "Seconds of each measurement.") var seconds = 5.0
    @Option(help: "Lookups a second of each connection; 0 for as many as it can.") var rate = 50

    @Option(help: "Connections to PostgreSQL of each loop and pool; the server's own choice unless given.")
    var poolSize: Int?

    /// Processors, memory, temporary files, rows without end, and sleep.
    private static let worst = [
        "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b",
        "select count(*) from (select g, repeat(md5(g::text), 20) as t from generate_series(1, 5000000) g order by 2) x",
        "select repeat('x', 1000), g from generate_series(1, 1000000000) g",
        "with recursive r(n) as (select 1 union all select n + 1 from r) select sum(n) from r",
        "select pg_sleep(60)",
    ]

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        try await store.fillLatest()
        let server = try ServedProcess(
            readerURL: store.readerURL, arguments: poolSize.map { ["--pool-size", "\($0)"] } ?? [])
        defer { server.stop() }
        var load = HTTPLoad(port: server.port, get: "/api/v1/latest?symbol=S1", connections: connections)
        load.perSecondOfEach = rate
        _ = try load.run(seconds: 1)
        let alone = try load.run(seconds: seconds)
        show("alone", alone)
        let attackers = Attackers(server.port, crowd, Self.worst)
        defer { attackers.stop() }
        usleep(2_000_000)
        let together = try load.run(seconds: seconds * 2)
        show("with the crowd", together)
        print("\(attackers.answered) queries of the crowd were answered or refused meanwhile")
        print("p99 \(twoDigits(together.percentile(0.99) / alone.percentile(0.99))) x unloaded  (goal 5.00)")
    }

    private func show(_ what: String, _ result: HTTPLoad.Result) {
        print(
            "\(what.padded(16))\(column(result.perSecond, 6)) requests/s   p50 \(twoDigits(result.percentile(0.5))) ms   p99 "
                + "\(twoDigits(result.percentile(0.99))) ms   max \(twoDigits(result.percentile(1))) ms   refused \(result.refused)"
        )
    }
}

/// Clients on threads of their own, each with one bad query after the other.
private final class Attackers: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: the flag and the count are written and read under the lock.
    private var lock = pthread_mutex_t()
    private var isStopped = false
    private var count = 0
    private let port: UInt16
    private let queries: [String]

    init(_ port: UInt16, _ clients: Int, _ queries: [String]) {
        self.port = port
        self.queries = queries
        pthread_mutex_init(&lock, nil)
        for number in 0..<clients {
            var thread = pthread_t()
            let context = Unmanaged.passRetained(Box(self, number)).toOpaque()
            pthread_create(
                &thread, nil,
                { context in
                    let box = Unmanaged<Box>.fromOpaque(context!).takeRetainedValue()
                    box.attackers.attack(box.number)
                    return nil
                }, context)
            pthread_detach(thread)
        }
    }

    private final class Box {
        let attackers: Attackers
        let number: Int
        init(_ attackers: Attackers, _ number: Int) {
            self.attackers = attackers
            self.number = number
        }
    }

    var answered: Int { locked { count } }

    func stop() { locked { isStopped = true } }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        return body()
    }

    private func attack(_ number: Int) {
        var turn = number
        while !locked({ isStopped }) {
            let query = queries[turn % queries.count]
            turn += 1
            if let client = try? PlainClient(port) {
                // Half of a reply without end, and then away; or a refusal.
                try? client.glimpse(
                    "POST", "/api/v1/sql?format=csv&timeout_ms=5000", ["Content-Type: application/sql"], query)
            }
            locked { count += 1 }
            // A refused client comes again soon.
            usleep(20_000)
        }
    }
}
