// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// What a program has written, at least a byte; empty at its end, nil if it cannot be read. (Foundation's own calls throw
/// when a signal interrupts them.)
private func readSome(_ pipe: Pipe) -> [UInt8]? {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(pipe.fileHandleForReading.fileDescriptor, &chunk, chunk.count)
        if count >= 0 { return Array(chunk[..<count]) }
        if errno != EINTR { return nil }
    }
}

/// Other programs that tests run to their end.
package enum ChildProgram {
    /// Runs a program; returns its exit status and what it has written to standard output and standard error, mixed.
    /// Blocks, so it is not to be called on an event loop.
    package static func run(
        _ path: String, _ arguments: [String], folder: String? = nil, input: String = ""
    ) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        if let folder { process.currentDirectoryURL = URL(filePath: folder) }
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        process.standardError = stdout
        try process.run()
        try? stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try? stdin.fileHandleForWriting.close()
        var output: [UInt8] = []
        while let more = readSome(stdout), !more.isEmpty { output += more }
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    /// The checkout's root.
    package static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// Python with the packages of `Tests/EndToEnd/requirements.txt`.
    package static var python: String { "\(root)/.build-venv/bin/python" }
}

/// A program that runs beside a test, and ends with its standard input.
package final class RunningProgram {
    private let process = Process()
    private let stdin = Pipe()
    private let stdout = Pipe()
    private var buffered: [UInt8] = []

    /// Starts it. What it writes to standard error is the test's own.
    package init(_ path: String, _ arguments: [String]) throws {
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.standardInput = stdin
        process.standardOutput = stdout
        try process.run()
    }

    deinit {
        try? stdin.fileHandleForWriting.close()
        process.terminate()
        process.waitUntilExit()
    }

    /// The next line that it prints; nil at the end. Blocks.
    package func line() -> String? {
        while true {
            if let end = buffered.firstIndex(of: 10) {
                defer { buffered.removeFirst(end + 1) }
                return String(decoding: buffered[..<end], as: UTF8.self)
            }
            guard let more = readSome(stdout), !more.isEmpty else { return nil }
            buffered += more
        }
    }
}
