// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The lines of a file or of standard input, gzip or not, in a bounded buffer.
///
/// Reads block: use it on a thread that may.
final class LineReader {
    /// Longest line, in bytes.
    static let maximumLineLength = 4 << 20
    private static let chunk = 256 << 10

    /// The name for messages: the path, or `-`.
    let name: String
    /// The number of the line returned last, from 1.
    private(set) var lineNumber = 0
    /// Bytes read from the file so far, before decompression.
    private(set) var bytesRead: Int64 = 0
    /// The file's size; nil for a pipe.
    let byteCount: Int64?
    /// Changes when the file is replaced by another or written to: its size and time of change; nil for a pipe.
    let version: String?

    private let descriptor: CInt
    private var gunzip: Gunzip?
    private var sawFirstBytes = false
    private var compressed: [UInt8] = []
    private var compressedStart = 0
    private var buffer: [UInt8] = []
    private var start = 0
    private var scanned = 0
    private var atEnd = false

    init(path: String) throws(IngestError) {
        name = path
        descriptor = path == "-" ? dup(0) : open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            throw IngestError(source: path, message: "cannot be opened: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        fstat(descriptor, &status)
        let isFile = status.st_mode & S_IFMT == S_IFREG
        byteCount = isFile ? Int64(status.st_size) : nil
        version = isFile ? "\(status.st_size)-\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)" : nil
        if status.st_mode & S_IFMT == S_IFDIR {
            _ = Glibc.close(descriptor)
            throw IngestError(source: path, message: "is a folder", hint: "name the files in it")
        }
        buffer.reserveCapacity(2 * Self.chunk)
    }

    deinit { _ = Glibc.close(descriptor) }

    /// How long to wait for a pipe that has nothing to say.
    private static let pipePatience: CInt = 50
    /// Whether the last ``nextLine(_:)`` returned false because a pipe had no whole line yet, and not at the end.
    private(set) var isWaiting = false

    /// Calls `body` with the next line, without its line end; false at the end of the file, and when a pipe has had
    /// nothing for 50 ms (``isWaiting``). The bytes do not outlive the call.
    func nextLine(_ body: (UnsafeRawBufferPointer) throws(IngestError) -> Void) throws(IngestError) -> Bool {
        isWaiting = false
        while true {
            if let end = lineEnd() {
                try deliver(start..<end, body)
                start = end + 1
                scanned = start
                return true
            }
            if atEnd {
                if start == buffer.count { return false }
                let end = buffer.count
                try deliver(start..<end, body)
                start = end
                scanned = end
                return true
            }
            if buffer.count - start > Self.maximumLineLength {
                throw IngestError(
                    source: name, line: lineNumber + 1,
                    message: "the line is longer than \(Self.maximumLineLength) bytes",
                    hint: "is this a text file with one record a line?")
            }
            if byteCount == nil && mustWait {
                isWaiting = true
                return false
            }
            try fill()
        }
    }

    /// Whether a read would block for longer than a moment.
    private var mustWait: Bool {
        if compressedStart < compressed.count { return false }
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&watched, 1, Self.pipePatience) == 0
    }

    private func lineEnd() -> Int? {
        let found = buffer.withUnsafeBytes { bytes -> Int? in
            guard scanned < bytes.count else { return nil }
            guard let hit = memchr(bytes.baseAddress! + scanned, 0x0A, bytes.count - scanned) else { return nil }
            return bytes.baseAddress!.distance(to: UnsafeRawPointer(hit))
        }
        if found == nil { scanned = buffer.count }
        return found
    }

    private func deliver(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(IngestError) -> Void
    ) throws(IngestError) {
        lineNumber += 1
        var failure: IngestError?
        buffer.withUnsafeBytes { bytes in
            var line = UnsafeRawBufferPointer(rebasing: bytes[range])
            if line.last == 0x0D { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
            // A byte order mark, which spreadsheets write.
            if lineNumber == 1 && line.starts(with: [0xEF, 0xBB, 0xBF]) {
                line = UnsafeRawBufferPointer(rebasing: line.dropFirst(3))
            }
            do throws(IngestError) {
                try body(line)
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Reads one more chunk, decompressed if need be, after moving what is left to the front of the buffer.
    private func fill() throws(IngestError) {
        if start > 0 {
            buffer.removeSubrange(0..<start)
            scanned -= start
            start = 0
        }
        if !sawFirstBytes {
            try readCompressed()
            sawFirstBytes = true
            if compressed.starts(with: [0x1F, 0x8B]) {
                gunzip = Gunzip()
            } else {
                buffer.append(contentsOf: compressed)
                atEnd = compressed.isEmpty
                compressed = []
                return
            }
        }
        if gunzip != nil { try inflate() } else { try readPlain() }
    }

    private func readPlain() throws(IngestError) {
        let count = try read(into: &buffer)
        if count == 0 { atEnd = true }
    }

    private func readCompressed() throws(IngestError) {
        compressed.removeAll(keepingCapacity: true)
        compressedStart = 0
        _ = try read(into: &compressed)
    }

    private func inflate() throws(IngestError) {
        if compressedStart == compressed.count {
            try readCompressed()
            if compressed.isEmpty {
                if gunzip!.isBetweenMembers {
                    atEnd = true
                    return
                }
                throw IngestError(
                    source: name, line: lineNumber + 1, message: "the gzip file is cut off",
                    hint: "what stood before this line was read; get a whole copy")
            }
        }
        let old = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: Self.chunk))
        var used = (consumed: 0, produced: 0)
        var failure: Gunzip.Failure?
        buffer.withUnsafeMutableBytes { output in
            compressed.withUnsafeBytes { input in
                do throws(Gunzip.Failure) {
                    used = try gunzip!.decode(
                        UnsafeRawBufferPointer(rebasing: input[compressedStart...]),
                        into: UnsafeMutableRawBufferPointer(rebasing: output[old...]))
                } catch { failure = error }
            }
        }
        buffer.removeSubrange((old + used.produced)...)
        compressedStart += used.consumed
        if case .corrupt(let reason) = failure {
            throw IngestError(
                source: name, line: lineNumber + 1, message: "the gzip data is corrupt: \(reason)",
                hint: "what stood before this line was read; get a whole copy")
        }
    }

    private func read(into bytes: inout [UInt8]) throws(IngestError) -> Int {
        let old = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: Self.chunk))
        var count = 0
        repeat {
            count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + old, Self.chunk) }
        } while count < 0 && errno == EINTR
        let code = errno
        bytes.removeSubrange((old + max(0, count))...)
        if count < 0 {
            throw IngestError(
                source: name, line: lineNumber + 1, message: "cannot be read: \(String(cString: strerror(code)))")
        }
        bytesRead += Int64(count)
        return count
    }
}
