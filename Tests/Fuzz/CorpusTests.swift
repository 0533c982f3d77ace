// SPDX-License-Identifier: Apache-2.0
// What `make fuzz` begins with, in every test run; not part of its program.

import Foundation
import TestSupport
import Testing

struct CorpusTests {
    static let corpus = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "corpus")

    /// The seeds of a target.
    static func seeds(_ name: String) throws -> [[UInt8]] {
        try FileManager.default.contentsOfDirectory(at: corpus.appending(path: name), includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }.map { Array(try Data(contentsOf: $0)) }
    }

    @Test func `every target has seeds, and all seeds have a target`() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
        #expect(Set(folders) == Set(targets.keys))
        for name in folders { #expect(try !Self.seeds(name).isEmpty, "\(name)") }
    }

    /// A property that does not hold traps, with the file and the line.
    @Test(arguments: targets.keys.sorted())
    func `the properties hold for the seeds, cut anywhere, and with bytes changed`(name: String) throws {
        let target = try #require(targets[name])
        var random = SeededRandom()
        // Not in a message: there is none after a trap.
        print("\(name): seed \(random.seed)")
        for seed in try Self.seeds(name) {
            target(seed)
            for count in 0..<min(seed.count, 300) { target(Array(seed[..<count])) }
            for _ in 0..<100 {
                var bytes = seed
                for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                    let index = Int.random(in: bytes.indices, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: bytes[index] = .random(in: 0...255, using: &random)
                    case 1: bytes.remove(at: index)
                    default: bytes.insert(bytes[Int.random(in: bytes.indices, using: &random)], at: index)
                    }
                }
                target(bytes)
            }
        }
    }
}
