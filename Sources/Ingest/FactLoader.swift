// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Logging
package import Market
import Records

/// What a file holds.
package enum FileKind: String, Sendable, CaseIterable {
    case trades, posts, instruments

    /// Tells by the first line; trades where nothing says otherwise. Blocks.
    package static func of(_ path: String) throws(IngestError) -> FileKind {
        // What comes through a pipe can be read once.
        if path == "-" { return .trades }
        let reader = try LineReader(path: path)
        var kind = FileKind.trades
        _ = try reader.nextLine { (line) throws(IngestError) in kind = Self.of(line: line) }
        return kind
    }

    static func of(line: UnsafeRawBufferPointer) -> FileKind {
        var names: Set<String> = []
        if line.first(where: { $0 != 0x20 }) == UInt8(ascii: "{") {
            var scanner = JSONScanner(line)
            _ = scanner.object { scanner, key in
                names.insert(String(decoding: key, as: UTF8.self).lowercased())
                guard key.elementsEqual("data".utf8), scanner.kind() == .object else { return scanner.skipValue() }
                return scanner.object { scanner, key in
                    names.insert(String(decoding: key, as: UTF8.self).lowercased())
                    return scanner.skipValue()
                }
            }
        } else {
            names = Set((CSVFields.split(Array(line)) ?? []).map { $0.lowercased() })
        }
        if names.contains("price") || names.contains("symbol") && names.contains("size") { return .trades }
        let isText = !names.isDisjoint(with: ["body", "selftext", "text"])
        if isText && !names.isDisjoint(with: ["id", "name"]) { return .posts }
        return names.contains("symbol") && names.contains("name") ? .instruments : .trades
    }
}

/// Takes a file of facts into the log, as fast as it goes; used by one task.
package struct FactLoader {
    private static let batchLimit = 1024
    private static let byteLimit = 2 << 20

    private let log: any EventLog
    private let logger: Logger
    private let progress: IngestProgress
    private let now: @Sendable () -> Timestamp

    package init(
        log: any EventLog, logger: Logger, progress: IngestProgress, now: @escaping @Sendable () -> Timestamp
    ) {
        self.log = log
        self.logger = logger
        self.progress = progress
        self.now = now
    }

    /// Reads the file at `path` to its end.
    ///
    /// - Parameter defaultTime: the time of records that have none.
    package func load(_ kind: FileKind, _ path: String, run: Int64, defaultTime: Timestamp?) async throws {
        switch kind {
        case .posts: try await load(FactFile<PostFormat>(path: path, run: run, defaultTime: defaultTime), "posts")
        case .instruments:
            try await load(
                FactFile<InstrumentFormat>(path: path, run: run, defaultTime: defaultTime ?? now()), "instruments")
        case .trades: preconditionFailure("trades are loaded by a Replay")
        }
    }

    private func load<Format: FactFormat>(_ file: FactFile<Format>, _ topic: String) async throws {
        let staging = "\(topic).staging"
        let partitions = try await log.partitionCount(of: staging)
        var append = Append()
        var count = 0
        var bytes = 0
        while !Task.isCancelled {
            let record = try file.next()
            if var record {
                record.staging.ingestedAt = now()
                var key = record.facts.key ?? ""
                let partition = key.withUTF8 { partitionNumber(of: UnsafeRawBufferPointer($0), count: partitions) }
                append.batches[TopicPartition(staging, partition), default: RecordBatch()].append(key: key) { buffer in
                    let before = buffer.count
                    record.encode(into: &buffer)
                    bytes += buffer.count - before
                }
                count += 1
            }
            guard record == nil || count >= Self.batchLimit || bytes >= Self.byteLimit else { continue }
            if count > 0 { try await log.appendPatiently(append, logger) }
            progress.appended(count, last: nil)
            progress.read(file.progress.read, of: file.progress.total)
            append = Append()
            count = 0
            bytes = 0
            if record == nil { return }
        }
    }
}
