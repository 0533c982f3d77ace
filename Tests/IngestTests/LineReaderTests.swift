// SPDX-License-Identifier: Apache-2.0

import Glibc
import TestSupport
import Testing

@testable import Ingest

private func lines(_ file: TapeFile) -> (lines: [[UInt8]], error: IngestError?) {
    withExtendedLifetime(file) { lines(file.path) }
}

/// The lines of a file and the error that ended it.
private func lines(_ path: String) -> (lines: [[UInt8]], error: IngestError?) {
    var lines: [[UInt8]] = []
    do throws(IngestError) {
        let reader = try LineReader(path: path)
        while try reader.nextLine({ (line) throws(IngestError) in lines.append(Array(line)) }) {}
        #expect(reader.lineNumber == lines.count)
        if let total = reader.byteCount { #expect(reader.bytesRead == total) }
        return (lines, nil)
    } catch {
        return (lines, error)
    }
}

private func text(_ lines: [[UInt8]]) -> [String] { lines.map { String(decoding: $0, as: UTF8.self) } }

/// Lines of many lengths, more than two of the reader's chunks.
private let long: [String] = (0..<9000).map { "\($0)," + String(repeating: "x", count: $0 % 131) }

struct LineReaderTests {
    static let texts: [(String, [String])] = [
        ("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\nb", ["a", "b"]), ("a\r\nb\r\n", ["a", "b"]),
        ("a\r\n\r\nb", ["a", "", "b"]), ("\r", [""]), ("a\rb\n", ["a\rb"]), ("a\r\r\n", ["a\r"]), ("\n\n", ["", ""]),
    ]

    @Test(arguments: texts)
    func `lines end with a line feed, before which a carriage return is cut`(content: String, expected: [String]) throws
    {
        #expect(text(lines(try TapeFile(content)).lines) == expected)
        #expect(text(lines(try TapeFile(try gzip(content))).lines) == expected)
    }

    @Test func `lines are whole across the reader's chunks`() throws {
        let content = long.joined(separator: "\n")
        #expect(text(lines(try TapeFile(content)).lines) == long)
        #expect(text(lines(try TapeFile(try gzip(content))).lines) == long)
    }

    @Test func `several gzip members in a row are one file`() throws {
        let parts = [Array(long[..<3000]), Array(long[3000..<3001]), [], Array(long[3001...])]
        let bytes = try parts.flatMap { try gzip($0.map { $0 + "\n" }.joined()) }
        #expect(text(lines(try TapeFile(bytes)).lines) == long)
    }

    @Test func `a line may begin in one gzip member and end in the next`() throws {
        #expect(text(lines(try TapeFile(try gzip("a\nb") + gzip("c\nd"))).lines) == ["a", "bc", "d"])
    }

    @Test func `a gzip file that is cut off gives its whole lines and then says so`() throws {
        let whole = try gzip(long.joined(separator: "\n"))
        for length in [
            3, 9, 10, 11, 100, whole.count / 3, whole.count / 2, whole.count - 9, whole.count - 8, whole.count - 1,
        ] {
            let file = try TapeFile(Array(whole[..<length]))
            let read = lines(file)
            #expect(text(read.lines) == Array(long.prefix(read.lines.count)), "cut to \(length)")
            #expect(read.lines.count < long.count, "cut to \(length)")
            #expect(
                read.error?.description == """
                    \(file.path):\(read.lines.count + 1): the gzip file is cut off \
                    (what stood before this line was read; get a whole copy)
                    """, "cut to \(length)")
        }
    }

    @Test func `a gzip file that is damaged anywhere gives only lines that were there, and says so`() throws {
        let whole = try gzip(long.joined(separator: "\n"))
        var random = SeededRandom()
        for _ in 0..<12 {
            var damaged = whole
            let at = Int.random(in: 10..<whole.count, using: &random)
            damaged[at] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
            let file = try TapeFile(damaged)
            let read = lines(file)
            let error = try #require(read.error, "byte \(at), seed \(random.seed)")
            #expect(error.line == read.lines.count + 1)
            let isKnown =
                error.message.hasPrefix("the gzip data is corrupt: ") || error.message == "the gzip file is cut off"
            #expect(isKnown, "\(error), byte \(at), seed \(random.seed)")
        }
    }

    @Test func `a wrong checksum at the end of a gzip file is told`() throws {
        var bytes = try gzip("a\nb\n")
        bytes[bytes.count - 6] ^= 1
        let read = lines(try TapeFile(bytes))
        #expect(read.error?.message == "the gzip data is corrupt: incorrect data check")
    }

    @Test func `what follows a gzip member and is none is told`() throws {
        let read = lines(try TapeFile(try gzip("a\nb\n") + Array("garbage after it".utf8)))
        #expect(text(read.lines) == ["a", "b"])
        #expect(read.error?.message == "the gzip data is corrupt: incorrect header check")
    }

    @Test func `what cannot be opened is told by name`() throws {
        let missing = lines("/no/such/file.csv")
        #expect(missing.error?.description == "/no/such/file.csv: cannot be opened: No such file or directory")
        let folder = lines("/tmp")
        #expect(folder.error?.description == "/tmp: is a folder (name the files in it)")
    }

    @Test func `a line of the greatest length is read, and one far longer refused`() throws {
        let limit = LineReader.maximumLineLength
        let longest = Array(repeating: UInt8(ascii: "x"), count: limit)
        let read = lines(try TapeFile(Array("a\n".utf8) + longest + Array("\nb\n".utf8)))
        #expect(read.error == nil)
        #expect(read.lines.map(\.count) == [1, limit, 1])
        for end in ["", "\n"] {
            let file = try TapeFile(Array("a\n".utf8) + longest + longest + Array(end.utf8))
            let refused = lines(file)
            #expect(refused.lines.map(\.count) == [1])
            #expect(
                refused.error?.description == """
                    \(file.path):2: the line is longer than 4194304 bytes (is this a text file with one record a line?)
                    """)
        }
    }

    @Test func `an error of who takes the lines ends the reading and comes out`() throws {
        let file = try TapeFile("a\nb\nc\n")
        let reader = try LineReader(path: file.path)
        let stop = IngestError(source: "s", line: 1, message: "stop")
        var seen = 0
        #expect(throws: IngestError.self) {
            while try reader.nextLine({ (_) throws(IngestError) in
                seen += 1
                if seen == 2 { throw stop }
            }) {}
        }
        #expect(seen == 2 && reader.lineNumber == 2)
    }

    @Test func `a file that grows is read on to where it ends then`() throws {
        let file = try TapeFile("a\n")
        let reader = try LineReader(path: file.path)
        var seen: [String] = []
        let take = { (line: UnsafeRawBufferPointer) throws(IngestError) in
            seen.append(String(decoding: line, as: UTF8.self))
        }
        #expect(try reader.nextLine(take))
        let more = fopen(file.path, "a")
        fputs("b\n", more)
        fclose(more)
        #expect(try reader.nextLine(take))
        #expect(try !reader.nextLine(take))
        #expect(seen == ["a", "b"])
    }
}
