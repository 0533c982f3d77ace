// SPDX-License-Identifier: Apache-2.0

/// Text made from a source by copying parts of it and writing others, which remembers where each part came from.
struct SourceMappedText: Sendable, Equatable {
    private struct Segment: Sendable, Equatable {
        /// Where it begins in the text, in bytes.
        var start: Int
        /// Where it came from, in bytes; what was written anew stands for the place it was written at.
        var source: Int
        var isCopy: Bool
    }

    private(set) var bytes: [UInt8] = []
    private var segments: [Segment] = []

    init(capacity: Int) { bytes.reserveCapacity(capacity) }

    /// Copies a part of `source`.
    mutating func copy(_ range: Range<Int>, of source: [UInt8]) {
        if range.isEmpty { return }
        // What follows its own beginning needs no segment of its own: a statement that nobody changed has one.
        let continues =
            segments.last.map { $0.isCopy && bytes.count - $0.start == range.lowerBound - $0.source } ?? false
        if !continues { segments.append(Segment(start: bytes.count, source: range.lowerBound, isCopy: true)) }
        bytes.append(contentsOf: source[range])
    }

    /// Writes `text`, which stands for what is at `source`.
    mutating func write(_ text: String, for source: Int) {
        if text.isEmpty { return }
        segments.append(Segment(start: bytes.count, source: source, isCopy: false))
        bytes.append(contentsOf: text.utf8)
    }

    /// The byte of the source from which the byte at `offset` came.
    func source(ofByte offset: Int) -> Int {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].start <= offset { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return 0 }
        let segment = segments[low - 1]
        return segment.isCopy ? segment.source + offset - segment.start : segment.source
    }

    /// The byte at which character `position` (from 1, as PostgreSQL counts) begins.
    func byte(ofCharacter position: Int) -> Int {
        var left = position
        for (index, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 {
            left -= 1
            if left == 0 { return index }
        }
        return bytes.count
    }
}
