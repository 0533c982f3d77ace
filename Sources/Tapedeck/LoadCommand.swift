// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Glibc
import Ingest
import Logging
import Market
import Postgres
import Processor
import Synchronization

/// `tapedeck load FILE…`: files through the whole pipeline, as fast as it goes.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Take files through the pipeline into PostgreSQL, and say what became of them.",
        discussion: """
            Files are CSV with a header (ts, symbol, price, size, trade_id in any order), NDJSON of the same, or NDJSON \
            of captured Finnhub frames; gzip or not; - is standard input. A trade that is there already is not added \
            again. Posts (NDJSON as Reddit's API has them, or CSV) and instruments (CSV or NDJSON with symbol and name) \
            are told by their names. The exit status is 0 only if every record is accounted for and every file could be read to its end.
            """)

    @OptionGroup var flags: SettingFlags
    @Option(help: "The symbol of every trade, for files without a symbol column; else only trades of this symbol.")
    var symbol: String?
    @Option(help: "What the files hold: trades, posts or instruments; else told by the first line.")
    var kind: FileKind?
    @Option(help: "The time of posts and instruments that have none (RFC 3339 or a date).") var time: String?
    @Flag(help: "Print the summary as one JSON object.") var json = false
    @Argument(help: ArgumentHelp("The files.", valueName: "file")) var files: [String]

    func run() async throws {
        let settings = try flags.resolve()
        let defaultTime = try time.map { text in
            guard let time = Timestamp(parsing: text) else { throw ValidationError("--time: '\(text)' is not a time") }
            return time
        }
        let logger = Runtime.logger(settings)
        let folder = try DataFolder(settings.string(.dataDir))
        // Where a tapedeck runs on the folder already, its log takes the records and its processor processes them.
        let isOwner = try folder.acquire()
        let home = folder.path
        let runtime: Runtime
        if isOwner {
            runtime = try await Runtime.open(settings, logger: logger, folder: home)
        } else {
            runtime = try await Runtime.open(
                try Self.settings(of: folder, flags), logger: logger, folder: nil)
        }
        let stop = StopSignal()
        let load = Load(
            runtime: runtime, files: files, symbol: symbol, kind: kind, defaultTime: defaultTime, processes: isOwner)
        let work = Task { try await load.run() }
        let signal = Task {
            await stop.wait()
            work.cancel()
        }
        let result = await work.result
        signal.cancel()
        // A load may make hundreds of partitions: to write them out takes less than to recover them at the next start.
        if stop.hasCome { await runtime.close() } else { await runtime.close(within: .seconds(120)) }
        let summary = try result.get()
        print(json ? summary.json : summary.text)
        if !summary.isComplete { throw ExitCode(1) }
    }

    /// The settings that reach what runs on `folder`.
    private static func settings(of folder: DataFolder, _ flags: SettingFlags) throws -> Settings {
        guard let connections = folder.readConnections() else {
            throw ValidationError(
                "another tapedeck (pid \(folder.owner)) is starting or stopping on \(folder.path); try again")
        }
        var environment = Settings.processEnvironment
        environment.merge(connections) { _, running in running }
        return try Settings(flags: flags.given, environment: environment)
    }
}

/// One load: read the files into the log, wait until the store has accounted for every record.
private struct Load: Sendable {
    let runtime: Runtime
    let files: [String]
    let symbol: String?
    let kind: FileKind?
    let defaultTime: Timestamp?
    /// Whether to process here, because nobody else does.
    let processes: Bool

    /// How long to wait for the store while it makes no progress.
    private static let patience = Duration.seconds(120)

    /// What happened to one file.
    struct FileResult: Sendable {
        var path: String
        var run: Int64
        var read: Int64 = 0
        var frames: Int64 = 0
        var failure: String?
    }

    func run() async throws -> LoadSummary {
        // A thread of its own, because reading files blocks; it must outlive the tasks on it.
        let reading = try EventLoop(name: "ingest")
        reading.start()
        defer { reading.stop() }
        let start = ContinuousClock.now
        return try await withThrowingTaskGroup(of: LoadSummary?.self) { group in
            if processes {
                let processor = try runtime.processor()
                group.addTask(executorPreference: runtime.loop) {
                    try await processor.run()
                    return nil
                }
            }
            group.addTask(executorPreference: runtime.loop) {
                let results = await withTaskGroup(of: [FileResult].self) { files in
                    files.addTask(executorPreference: reading) { await self.readFiles() }
                    return await files.next() ?? []
                }
                var summary = try await self.settleUnlessStopped(results, since: start)
                summary.elapsed = ContinuousClock.now - start
                return summary
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let summary = result { return summary }
            }
            throw CancellationError()
        }
    }

    /// Waits for the store in a task that is not cancelled with this one, so that a load that is stopped can still say
    /// how far it came.
    private func settleUnlessStopped(
        _ results: [FileResult], since start: ContinuousClock.Instant
    ) async throws -> LoadSummary {
        let stopped = StopFlag()
        let settling = Task(executorPreference: runtime.loop) {
            try await self.settle(results, since: start, stopped)
        }
        return try await withTaskCancellationHandler {
            try await settling.value
        } onCancel: {
            stopped.isSet.store(true, ordering: .relaxed)
        }
    }

    private final class StopFlag: Sendable {
        let isSet = Atomic(false)
    }

    private func readFiles() async -> [FileResult] {
        var results: [FileResult] = []
        // Runs are numbered by the clock: nobody hands numbers out, and two never begin in one microsecond.
        let firstRun = wallClock().microseconds
        for (index, path) in files.enumerated() where !Task.isCancelled {
            let progress = IngestProgress()
            var result = FileResult(path: path, run: firstRun + Int64(index))
            let replay = Replay(
                .init(path: path, speed: nil, symbol: symbol, resumes: false), run: result.run, log: runtime.log,
                logger: runtime.logger, progress: progress, now: wallClock)
            let ticker = Task { await Self.show(progress, path, StatusLine(plainInterval: .seconds(2))) }
            do {
                let kind = try kind ?? FileKind.of(path)
                if kind == .trades {
                    try await replay.play()
                } else {
                    try await FactLoader(
                        log: runtime.log, logger: runtime.logger, progress: progress, now: wallClock
                    ).load(kind, path, run: result.run, defaultTime: defaultTime)
                }
            } catch {
                result.failure = "\(error)"
            }
            ticker.cancel()
            await ticker.value
            result.read = progress.recordCount
            result.frames = progress.otherFrameCount
            results.append(result)
        }
        return results
    }

    private static func show(_ progress: IngestProgress, _ path: String, _ status: StatusLine) async {
        let start = ContinuousClock.now
        // The file alone, so that the figures fit beside it.
        let name = path.split(separator: "/").last ?? "-"
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            if Task.isCancelled { break }
            let seconds = (ContinuousClock.now - start).inSeconds
            let rate = Int(Double(progress.recordCount) / max(seconds, 0.001))
            var bar = ""
            if let fraction = progress.fraction {
                let filled = Int(fraction * 30)
                bar = "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled) + "] "
                bar += "\(Int(fraction * 100)) %  "
            }
            status.show("\(name)  \(bar)\(grouped(progress.recordCount)) read  \(grouped(rate)) rows/s")
        }
        status.clear()
    }

    /// Waits until the store has accounted for what was read; as long as it makes progress, whoever's records those are.
    private func settle(
        _ results: [FileResult], since start: ContinuousClock.Instant, _ stopped: StopFlag
    ) async throws -> LoadSummary {
        let status = StatusLine(plainInterval: .seconds(2))
        defer { status.clear() }
        var summary = LoadSummary(
            files: results.map { .init(path: $0.path, read: $0.read, frames: $0.frames, failure: $0.failure) })
        let runs = Parameter.int64Array(results.map(\.run))
        var lastChange = ContinuousClock.now
        var progress: Int64 = -1
        var drain = LogDrain(Runtime.topics)
        while true {
            do {
                let store = try await PostgresConnection.connect(
                    ConnectionSettings(runtime.writerURL, applicationName: "tapedeck load"), on: runtime.loop)
                defer { store.close() }
                while true {
                    let now = try await summary.take(store, runs)
                    if now != progress { lastChange = .now }
                    progress = now
                    if stopped.isSet.load(ordering: .relaxed) { return summary }
                    if summary.settled >= summary.read, try await drain.isDone(runtime.log, store) {
                        // The counts as they are now that nothing more can come.
                        _ = try await summary.take(store, runs)
                        return summary
                    }
                    if ContinuousClock.now - lastChange > Self.patience {
                        runtime.logger.error(
                            "the store makes no progress; is 'tapedeck up' or 'tapedeck process' running?")
                        return summary
                    }
                    let rate = Int(Double(summary.settled) / max((ContinuousClock.now - start).inSeconds, 0.001))
                    status.show(
                        "\(grouped(summary.read)) read  \(grouped(summary.settled)) in the store  \(grouped(rate)) rows/s"
                    )
                    try await runtime.loop.sleep(for: .milliseconds(25))
                }
            } catch let error as EventLogError where error.isRetriable {
                if ContinuousClock.now - lastChange > Self.patience || stopped.isSet.load(ordering: .relaxed) {
                    throw error
                }
                try await runtime.loop.sleep(for: .milliseconds(250))
            } catch let error as PostgresError where error.isRetriable || [.connection, .timeout].contains(error.kind) {
                // PostgreSQL is started again, or fails over.
                if ContinuousClock.now - lastChange > Self.patience || stopped.isSet.load(ordering: .relaxed) {
                    throw error
                }
                try await runtime.loop.sleep(for: .milliseconds(250))
            }
        }
    }
}

/// What a load did, for people and for programs.
private struct LoadSummary: Sendable {
    struct File: Sendable {
        var path: String
        var read: Int64
        /// Frames that hold no trade: pings, news.
        var frames: Int64
        var failure: String?
    }

    var files: [File]
    var accepted: Int64 = 0
    var alreadyThere: Int64 = 0
    var rejected: Int64 = 0
    var barsTouched: Int64 = 0
    var reasons: [(reason: String, count: Int64)] = []
    var elapsed = Duration.zero

    var read: Int64 { files.reduce(0) { $0 + $1.read } }
    var settled: Int64 { accepted + alreadyThere + rejected }
    /// Every record is accounted for and every file was read to its end.
    var isComplete: Bool { settled == read && files.allSatisfy { $0.failure == nil } }

    /// Takes the counts of the runs from the store; returns how far the store has come, these records and others.
    mutating func take(_ store: PostgresConnection, _ runs: Parameter) async throws -> Int64 {
        let counts = try await store.query(
            """
            SELECT coalesce(sum(accepted), 0)::bigint, coalesce(sum(already_there), 0)::bigint,
                coalesce(sum(rejected), 0)::bigint, coalesce(sum(bars_touched), 0)::bigint,
                (SELECT coalesce(sum(next_offset), 0)::bigint FROM ops.log_offsets)
            FROM ops.ingest_runs WHERE run_id = ANY ($1)
            """, [runs])
        let byReason = try await store.query(
            """
            SELECT reason, sum(count)::bigint FROM ops.ingest_run_rejects WHERE run_id = ANY ($1)
            GROUP BY reason ORDER BY 2 DESC, 1
            """, [runs])
        accepted = try counts[0].int64(0)
        rejected = try counts[0].int64(2)
        // A record that a log without transactions holds twice is there already when it comes again, and was read once.
        alreadyThere = min(try counts[0].int64(1), max(0, read - accepted - rejected))
        barsTouched = try counts[0].int64(3)
        reasons = try byReason.map { (try $0.string(0), try $0.int64(1)) }
        return try counts[0].int64(4)
    }

    private var rate: Int64 { Int64(Double(read) / max(elapsed.inSeconds, 0.000_001)) }

    var text: String {
        var lines: [String] = []
        for file in files {
            let frames = file.frames > 0 ? ", \(grouped(file.frames)) frames without trades" : ""
            lines.append("\(file.path): \(grouped(file.read)) read\(frames)")
            if let failure = file.failure { lines.append("  failed: \(failure)") }
        }
        func line(_ name: String, _ count: Int64) {
            let number = grouped(count)
            lines.append("  " + name + String(repeating: " ", count: max(1, 26 - name.count - number.count)) + number)
        }
        line("read", read)
        line("accepted", accepted)
        line("already there", alreadyThere)
        line("rejected", rejected)
        for (reason, count) in reasons { line("  \(reason)", count) }
        line("bars touched", barsTouched)
        line("rows/s", rate)
        let milliseconds = Int64(elapsed.inSeconds * 1000)
        lines.append("  in \(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst()) s")
        if settled != read { lines.append("  NOT ACCOUNTED FOR: \(grouped(read - settled))") }
        return lines.joined(separator: "\n")
    }

    var json: String {
        let rejects = reasons.map { "\(jsonText($0.reason)):\($0.count)" }.joined(separator: ",")
        let files = files.map { file in
            "{\"file\":\(jsonText(file.path)),\"read\":\(file.read),\"frames_without_trades\":\(file.frames),\"error\":\(file.failure.map(jsonText) ?? "null")}"
        }
        return """
            {"read":\(read),"accepted":\(accepted),"already_there":\(alreadyThere),"rejected":\(rejected),\
            "rejected_by_reason":{\(rejects)},"bars_touched":\(barsTouched),"rows_per_second":\(rate),\
            "elapsed_ms":\(Int64(elapsed.inSeconds * 1000)),"complete":\(isComplete),"files":[\(files.joined(separator: ","))]}
            """
    }
}

/// `text` as a JSON string (RFC 8259 §7).
func jsonText(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": quoted += "\\\""
        case "\\": quoted += "\\\\"
        case "\n": quoted += "\\n"
        default:
            if scalar.value < 0x20 {
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            } else {
                quoted.unicodeScalars.append(scalar)
            }
        }
    }
    return quoted + "\""
}

extension FileKind: ExpressibleByArgument {}
