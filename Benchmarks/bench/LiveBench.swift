// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CLinux
import EventLog
import EventLoop
import Glibc
import Ingest
import Logging
import Market
import Postgres
import Processor
import Records

/// From the commit of a trade to each of many subscribers, through the real processes: trades are appended to the log at a
/// steady rate, `tapedeck process` takes them to PostgreSQL, `tapedeck serve` tells them.
struct LiveBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live", abstract: "Time from a trade's commit to its subscribers, at a steady rate.")

    @Option(help: "Subscribers, over server-sent events.") var subscribers = 1000
    @Option(help: "Trades a second.") var rate = 1000
    @Option(help: "Seconds that are measured.") var seconds = 20
    @Option(help: "Symbols. Each subscriber wants one of them; 0 for all trades to all.") var symbols = 100

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        let log = try SQLiteEventLog(directory: store.folder)
        let names = [TradeTopics.staging, TradeTopics.valid, TradeTopics.rejected]
        try await log.createTopics(names.map { TopicSettings(name: $0, partitions: 4, retention: .seconds(86_400)) })
        let processor = try ServedProcess(processing: "sqlite:\(store.folder)", writerURL: store.writerURL)
        defer { processor.stop() }
        let server = try ServedProcess(readerURL: store.readerURL)
        defer { server.stop() }
        let crowd = try Listeners(server.port, subscribers, symbols: symbols)
        let source = try EventLoop(name: "source")
        source.start()
        let (rate, seconds, symbols) = (rate, seconds, max(1, symbols))
        let before = (server.processorTime, processor.processorTime)
        let appending = Task(executorPreference: source) {
            try await Self.append(to: log, source, rate: rate, seconds: seconds + 2, symbols: symbols)
        }
        // The first two seconds make plans and partitions.
        let heard = try crowd.listen(seconds: Double(seconds) + 4)
        try await appending.value
        let used = (server.processorTime - before.0, processor.processorTime - before.1)
        let commits = try await commits(store)
        report(heard, commits, used)
        await log.close()
    }

    /// Appends every ten milliseconds, as sources do.
    private static func append(
        to log: SQLiteEventLog, _ loop: EventLoop, rate: Int, seconds: Int, symbols: Int
    ) async throws {
        let stager = try await Stager(log: log, logger: Logger(label: "bench", factory: SwiftLogNoOpLogHandler.init))
        var due = MonotonicTime.now()
        for tick in 0..<(seconds * 100) {
            for index in 0..<(rate / 100) {
                let id = Int64(tick * (rate / 100) + index)
                var trade = StagedTrade(run: 1, source: "bench", position: id, ingestedAt: .epoch)
                trade.symbol = "S\(id % Int64(symbols))"
                trade.ts = Timestamp(microseconds: 1_700_000_000_000_000 + id * 1_000_000 / Int64(rate))
                trade.price = 100 + Double(id % 100) / 100
                trade.size = 1
                trade.tradeID = id
                stager.stage(trade, at: .epoch)
            }
            try await stager.flush()
            due = due + .milliseconds(10)
            if MonotonicTime.now() < due { try await loop.sleep(for: due - .now()) }
        }
    }

    /// When the transaction that ends at each position was about to commit, in microseconds; ascending.
    private func commits(_ store: BenchStore) async throws -> [(position: Int64, time: Int64)] {
        let (url, loop) = (store.writerURL, store.loop)
        return try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            return try await connection.query(
                "select position, committed_at from ops.live_batches order by position", []
            ).map { (try $0.int64(0), try $0.timestamp(1)) }
        }.value
    }

    private func report(
        _ heard: Listeners.Heard, _ commits: [(position: Int64, time: Int64)], _ used: (Double, Double)
    ) {
        guard let first = commits.first else { return print("nothing was committed") }
        var waits: [Double] = []
        waits.reserveCapacity(heard.events.count)
        for event in heard.events {
            var (low, high) = (0, commits.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if commits[middle].position < event.position { low = middle + 1 } else { high = middle }
            }
            if commits[low].time < first.time + 2_000_000 { continue }
            waits.append(Double(event.time - commits[low].time) / 1000)
        }
        waits.sort()
        func quantile(_ part: Double) -> String {
            waits.isEmpty ? "-" : twoDigits(waits[min(waits.count - 1, Int(part * Double(waits.count)))])
        }
        let trades = Int(commits.last?.position ?? 0)
        print(
            "\(subscribers) subscribers, \(rate) trades/s, \(symbols == 0 ? "all to all" : "one of \(symbols) symbols each"), "
                + "\(seconds) s")
        print(
            "\(trades) trades in \(commits.count) transactions; \(heard.events.count) pieces heard, \(heard.bytes) bytes"
        )
        print(
            "commit to subscriber  p50 \(quantile(0.5)) ms  p90 \(quantile(0.9)) ms  p99 \(quantile(0.99)) ms  most "
                + "\(quantile(1)) ms  (goal: p99 20 ms)")
        print("processor time of the server \(twoDigits(used.0)) s, of the processor \(twoDigits(used.1)) s")
        if heard.missed > 0 { print("\(heard.missed) subscribers were told that they missed something") }
    }
}

/// Clients of `/api/v1/stream` on one thread, which reads what comes and notes when.
private struct Listeners {
    struct Heard {
        /// For each piece read, the position of its first event and when it was here, in microseconds since 1970.
        var events: [(position: Int64, time: Int64)] = []
        var bytes = 0
        var missed = 0
    }

    private let descriptors: [CInt]

    /// Connects, and waits until each has been told that it is ready.
    init(_ port: UInt16, _ count: Int, symbols: Int) throws {
        var descriptors: [CInt] = []
        for number in 0..<count {
            let descriptor = try connectLoopback(port)
            let wanted = symbols == 0 ? "" : "&symbol=S\(number % symbols)"
            let request = Array("GET /api/v1/stream?channels=trades\(wanted) HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".utf8)
            if send(descriptor, request, request.count, 0) != request.count { throw SystemError(call: "send") }
            descriptors.append(descriptor)
        }
        var chunk = [UInt8](repeating: 0, count: 4096)
        for descriptor in descriptors {
            var head: [UInt8] = []
            while head.firstRange(of: Array("event: ready".utf8)) == nil {
                let length = recv(descriptor, &chunk, chunk.count, 0)
                if length <= 0 { throw SystemError(call: "recv (no stream)") }
                head += chunk[..<length]
            }
        }
        self.descriptors = descriptors
    }

    func listen(seconds: Double) throws -> Heard {
        let epoll = epoll_create1(0)
        if epoll < 0 { throw SystemError(call: "epoll_create1") }
        defer { close(epoll) }
        defer { for descriptor in descriptors { close(descriptor) } }
        for descriptor in descriptors {
            var event = epoll_event()
            event.events = EPOLLIN.rawValue
            event.data.fd = descriptor
            epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
        }
        var heard = Heard()
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        var chunk = [UInt8](repeating: 0, count: 262_144)
        let end = MonotonicTime.now() + .microseconds(Int64(seconds * 1_000_000))
        while MonotonicTime.now() < end {
            let count = epoll_wait(epoll, &events, 256, 100)
            for event in events[..<Int(max(0, count))] {
                let length = recv(event.data.fd, &chunk, chunk.count, 0)
                if length <= 0 { throw SystemError(call: "recv (the server closed a stream)") }
                heard.bytes += length
                chunk.withUnsafeBytes { note(UnsafeRawBufferPointer(rebasing: $0[..<length]), &heard) }
            }
        }
        return heard
    }

    /// Takes the position of the first whole `id:` line of a piece: of the event in it that has waited the longest.
    private func note(_ piece: UnsafeRawBufferPointer, _ heard: inout Heard) {
        if memmem(piece.baseAddress!, piece.count, "event: missed", 13) != nil { heard.missed += 1 }
        guard let found = memmem(piece.baseAddress!, piece.count, "\nid: ", 5) else { return }
        let line = piece[(UnsafeRawPointer(found) - piece.baseAddress! + 1)...]
        guard let end = line.firstIndex(of: 0x0A), let dash = line[..<end].lastIndex(of: 0x2D) else { return }
        let position = line[(dash + 1)..<end].reduce(Int64(0)) { $0 * 10 + Int64($1 &- 0x30) }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        heard.events.append((position, Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000))
    }
}
