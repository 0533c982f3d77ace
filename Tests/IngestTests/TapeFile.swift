// SPDX-License-Identifier: Apache-2.0

import Foundation
import Market
import Records
import Testing

@testable import Ingest

/// A tape that goes with the test.
final class TapeFile: Sendable {
    let path: String

    init(_ bytes: [UInt8], name: String = "tape") throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-tape-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: name)
        try Data(bytes).write(to: file)
        path = file.path
    }

    convenience init(_ text: String) throws { try self.init(Array(text.utf8)) }

    deinit { try? FileManager.default.removeItem(at: URL(filePath: path).deletingLastPathComponent()) }
}

/// `bytes` as `gzip` compresses them.
func gzip(_ bytes: [UInt8]) throws -> [UInt8] {
    let plain = try TapeFile(bytes)
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["gzip", "-c", "-n", plain.path]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let compressed = try #require(try output.fileHandleForReading.readToEnd())
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return Array(compressed)
}

func gzip(_ text: String) throws -> [UInt8] { try gzip(Array(text.utf8)) }

/// The trades of a tape, and the error that ended it.
func read(_ path: String, symbol: String? = nil) -> (trades: [StagedTrade], error: IngestError?, otherFrames: Int) {
    var trades: [StagedTrade] = []
    do throws(IngestError) {
        let tape = try Tape(path: path, run: 7, options: .init(symbol: symbol))
        do throws(IngestError) {
            while let trade = try tape.next() { trades.append(trade) }
            return (trades, nil, tape.otherFrames)
        } catch { return (trades, error, tape.otherFrames) }
    } catch { return (trades, error, 0) }
}

/// The facts of a trade, to compare: what is not given is nil.
struct Facts: Equatable, Sendable, CustomStringConvertible {
    var ts: Int64?
    var symbol: String?
    var price: Double?
    var size: Double?
    var problem: String?

    init(_ ts: Int64?, _ symbol: String?, _ price: Double?, _ size: Double?, problem: String? = nil) {
        self.ts = ts
        self.symbol = symbol
        self.price = price
        self.size = size
        self.problem = problem
    }

    init(_ trade: StagedTrade) {
        self.init(trade.ts?.microseconds, trade.symbol, trade.price, trade.size, problem: trade.problem)
    }

    var description: String {
        "\(ts.map { "\($0)" } ?? "-") \(symbol ?? "-") \(price.map { "\($0)" } ?? "-") \(size.map { "\($0)" } ?? "-") \(problem ?? "")"
    }
}
