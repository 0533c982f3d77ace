// SPDX-License-Identifier: Apache-2.0

import Analytics
import ArgumentParser
import EventLog
import EventLoop
import Glibc
import Ingest
import Logging
import Market
import Postgres
import Processor
import Store

/// `tapedeck up`: everything in one process, on the embedded default.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Run everything in one process: PostgreSQL, the log, sources, processing, queries.",
        discussion: """
            Without a source it plays the sample tape in real time, long pauses shortened, then keeps serving. Stop it \
            with Ctrl-C or SIGTERM; started again, it goes on where it was.
            """)

    @OptionGroup var flags: SettingFlags
    @Option(help: "A source: \(SourceSpec.forms); may be given several times.")
    var source: [String] = []
    @Flag(help: "Listen on an address that other machines can reach, although requests need no key.")
    var insecure = false

    func run() async throws {
        let settings = try flags.resolve()
        try QueryService.checkReach(settings, insecure: insecure)
        // Before PostgreSQL is started for nothing.
        _ = try TLSSettings.server(settings)
        if settings.text(.databaseURL) != nil {
            // Queries of users must never run as the writer.
            _ = try settings.requiring(.readerURL)
        }
        let specs = try source.isEmpty ? [Self.sample()] : source.map { try SourceSpec($0) }
        for case .replay(let replay) in specs where replay.path != "-" && access(replay.path, R_OK) != 0 {
            throw ValidationError("\(replay.path) cannot be read: \(String(cString: strerror(errno)))")
        }
        _ = try Upkeep.configuration(settings)
        let logger = Runtime.logger(settings)
        try Sources.check(specs, settings, logger: logger)
        let folder = try DataFolder(settings.string(.dataDir))
        guard try folder.acquire() else {
            throw ValidationError(
                "another tapedeck (pid \(folder.owner)) runs on \(folder.path); stop it, or choose another --data-dir")
        }
        let home = folder.path
        let stop = StopSignal()
        // Recovering from a crash may take a while; a signal ends it all the same.
        let opening = Task { try await Runtime.open(settings, logger: logger, folder: home) }
        let interrupting = Task {
            await stop.wait()
            opening.cancel()
        }
        let opened = await opening.result
        interrupting.cancel()
        if case .failure = opened, stop.hasCome { return }
        let runtime = try opened.get()
        let result: Result<Void, any Error>
        do {
            try await serve(runtime, folder, specs, stop)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        folder.removeConnections()
        await runtime.close()
        try result.get()
    }

    /// The sample tape: beside the checkout's binary, in the working folder, or where a package puts it.
    private static func sample() throws -> SourceSpec {
        for folder in ProgramFolders.all {
            let path = "\(folder)/samples/trades.csv.gz"
            if access(path, R_OK) == 0 {
                let absolute = realpath(path, nil)
                defer { free(absolute) }
                return .replay(
                    .init(path: absolute.map { String(cString: $0) } ?? path, longestPause: .milliseconds(50)))
            }
        }
        throw ValidationError("samples/trades.csv.gz was not found; name a source with --source replay:FILE")
    }

    private func serve(
        _ runtime: Runtime, _ folder: DataFolder, _ specs: [SourceSpec], _ stop: StopSignal
    ) async throws {
        let service = try await QueryService.start(
            runtime.settings, readerURL: runtime.readerURL, writerURL: runtime.writerURL, logger: runtime.logger,
            metrics: runtime.metrics)
        try folder.writeConnections(
            databaseURL: runtime.advertised.writer, readerURL: runtime.advertised.reader, eventLog: runtime.logURL,
            listen: service.address)
        stop.onHangUp(service.onHangUp)
        Self.greet("\(service.scheme)://\(service.address)", folder, runtime)
        let processor = try runtime.processor()
        let sources = try Sources(
            specs, runtime.settings, folder: folder.path, log: runtime.log, logger: runtime.logger,
            metrics: runtime.metrics)

        let processing = Task(executorPreference: runtime.loop) { try await processor.run() }
        let ingesting = Task { try await sources.run() }
        let ticking = Task(executorPreference: runtime.loop) {
            await Dashboard(runtime: runtime, sources: sources, processor: processor).run()
        }
        let retaining = Task(executorPreference: runtime.loop) { await Upkeep(runtime).run() }
        let scheduler = try runtime.jobs()
        let scheduling = Task(executorPreference: runtime.loop) { await scheduler.run() }
        // Whichever comes first: a signal, or something that cannot go on.
        let ending = Ending()
        let watching = [
            Task {
                await stop.wait(); ending.end(nil)
            },
            Task { if case .failure(let error) = await processing.result { ending.end(error) } },
            Task { if case .failure(let error) = await ingesting.result { ending.end(error) } },
        ]
        let failure = await ending.wait()
        for task in watching { task.cancel() }
        // Said at once: the orderly end may take its time.
        if let failure { runtime.logger.critical("stopping: \(failure)") }
        Self.endAtTheLatest(runtime, folder, status: failure == nil ? 0 : 1)
        // In the order of the data, so that each stage hands over what it holds: sources, requests, processing.
        ingesting.cancel()
        ticking.cancel()
        retaining.cancel()
        scheduling.cancel()
        _ = await ingesting.result
        await ticking.value
        await service.stop()
        processing.cancel()
        _ = await processing.result
        await scheduling.value
        if let failure { throw failure }
    }

    /// Ends the process should the orderly way take too long: what is durable is in the log and in PostgreSQL's own log,
    /// and what is not yet done is done after the next start.
    private static func endAtTheLatest(_ runtime: Runtime, _ folder: DataFolder, status: CInt) {
        let connections = folder.connectionFile
        Watchdog.start(after: .milliseconds(3300) + runtime.settings.duration(.drainTimeout)) {
            runtime.logger.warning("stopping takes too long; what is under way will be done after the next start")
            unlink(connections)
            runtime.postgres?.stop(within: .milliseconds(300))
            _exit(status)
        }
    }

    private static func greet(_ url: String, _ folder: DataFolder, _ runtime: Runtime) {
        let psql = runtime.postgres.map { "postgresql://…@127.0.0.1:\($0.port)/tapedeck" } ?? "TAPEDECK_DATABASE_URL"
        print(
            """
            tapedeck \(Tapedeck.version) is up: \(url)
              SQL over HTTP   \(url)/api/v1/sql
              REST            \(url)/api/v1/bars  /trades  /latest  /symbols
              Grafana         \(url)/grafana/candles
              PostgreSQL      \(psql)  (passwords: \(folder.path)/connection.env)
            Try:
              curl '\(url)/api/v1/latest'
              curl '\(url)/api/v1/sql?format=csv' --data 'select symbol, count(*), max(price) from trades group by symbol'
              . \(folder.path)/connection.env; psql "$TAPEDECK_READER_URL" -c 'select * from bars order by ts desc limit 5'
            """)
        // What was printed is buffered where standard output is a file or a pipe.
        fflush(nil)
    }
}

/// The first of several ends, to wait for.
private final class Ending: Sendable {
    private let (stream, continuation) = AsyncStream.makeStream(
        of: (any Error)?.self, bufferingPolicy: .bufferingOldest(1))

    func end(_ error: (any Error)?) { continuation.yield(error) }

    func wait() async -> (any Error)? {
        for await error in stream { return error }
        return nil
    }
}

/// The line that tells how it goes.
private struct Dashboard: Sendable {
    let runtime: Runtime
    let sources: Sources
    let processor: Processor

    func run() async {
        let status = StatusLine(plainInterval: .seconds(10))
        var connection: PostgresConnection?
        var last = (count: processor.progress.settled, time: MonotonicTime.now())
        var rate = 0.0
        while !Task.isCancelled {
            try? await runtime.loop.sleep(for: .milliseconds(500))
            if Task.isCancelled { break }
            if connection?.isOpen != true {
                let settings = try? ConnectionSettings(runtime.writerURL, applicationName: "tapedeck status")
                if let settings { connection = try? await PostgresConnection.connect(settings, on: runtime.loop) }
            }
            let now = MonotonicTime.now()
            let count = processor.progress.settled
            let current = Double(count - last.count) / (now - last.time).inSeconds
            rate = rate == 0 ? current : 0.7 * rate + 0.3 * current
            last = (count, now)
            var lag = "?"
            if let connection {
                let records = try? await Processor.lag(Runtime.topics, log: runtime.log, store: connection)
                lag = records.map { grouped($0) } ?? "?"
            }
            status.show(line(rate: rate, lag: lag))
        }
        connection?.close()
        status.clear()
    }

    private func line(rate: Double, lag: String) -> String {
        var line = "events in \(grouped(sources.recordCount))  rate \(grouped(Int(rate.rounded())))/s  lag \(lag)"
        let rejected = processor.progress.rejected
        if rejected > 0 { line += "  rejected \(grouped(rejected))" }
        if sources.isFinished {
            line += "  tape at its end, serving"
        } else if let time = sources.lastEventTime {
            line += "  tape at \(time)"
        }
        return line
    }
}
