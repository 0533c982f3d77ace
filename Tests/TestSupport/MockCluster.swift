// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A Kafka cluster for tests: the program of `Tests/mock-kafka`, which ends with this process.
package final class MockCluster: @unchecked Sendable {
    // Rule: `lock` is held while a command and its answer pass.
    private let lock = NSLock()
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    /// `127.0.0.1:PORT,…`
    package let bootstraps: String

    /// One of three brokers, for all tests of a process that do not hurt it.
    package static let shared = Result { try MockCluster() }

    package init(brokers: Int = 3) throws {
        // The test runner stands beside it.
        let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        process.executableURL = folder.appending(path: "mock-kafka")
        process.arguments = ["\(brokers)"]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        bootstraps = Self.line(output)
        if bootstraps.isEmpty || bootstraps.hasPrefix("error") {
            throw Failure(description: "mock-kafka: \(bootstraps)")
        }
    }

    deinit { stop() }

    package func stop() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Runs a command of `Tests/mock-kafka/MockKafka.swift`.
    package func command(_ text: String) throws {
        try lock.withLock {
            try input.fileHandleForWriting.write(contentsOf: Data((text + "\n").utf8))
            let answer = Self.line(output)
            if answer != "ok" { throw Failure(description: "\(text): \(answer)") }
        }
    }

    private static func line(_ pipe: Pipe) -> String {
        var bytes: [UInt8] = []
        while let byte = try? pipe.fileHandleForReading.read(upToCount: 1)?.first, byte != 0x0A { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
