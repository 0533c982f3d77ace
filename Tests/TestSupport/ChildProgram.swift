// SPDX-License-Identifier: Apache-2.0

import Foundation

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
        let output = try stdout.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    /// The checkout's root.
    package static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// Python with the packages of `Tests/EndToEnd/requirements.txt`.
    package static var python: String { "\(root)/.build-venv/bin/python" }
}
