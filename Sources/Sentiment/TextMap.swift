// SPDX-License-Identifier: Apache-2.0

/// A text as the rules of VADER need it: its bytes with ASCII's letters in lower case, and bits that say what each byte
/// is. Eight bytes are judged at once in one machine word (Lamport 1975, "Multiple byte processing with full-word
/// instructions"), so that no branch depends on a single byte.
///
/// Used again for one text after the other; what it holds is true until the next.
final class TextMap {
    /// What 64 bytes are: a bit for each, from the lowest.
    struct Block {
        /// Part of a blank.
        var blank: UInt64 = 0
        /// None of ASCII's 32 punctuation marks.
        var plain: UInt64 = 0
        /// An ASCII letter in upper case, one in lower case.
        var upper: UInt64 = 0
        var lower: UInt64 = 0
        /// The apostrophe of an `n't`.
        var not: UInt64 = 0
        /// Beyond ASCII.
        var wide: UInt64 = 0
    }

    /// Memory of a larger text is given back before the next one that needs less.
    private static let keptBytes = 1 << 16

    private(set) var exclamations = 0
    private(set) var questions = 0
    private(set) var isASCII = true
    /// The bytes with ASCII's letters in lower case and 1 for 0, and at least ``WordKey/capacity`` more that may be read.
    private(set) var bytes: UnsafeMutableRawPointer
    /// What is known of 64 bytes each.
    private(set) var blocks: UnsafeMutablePointer<Block>
    private var capacity = 0

    init() {
        bytes = .allocate(byteCount: 0, alignment: 64)
        blocks = .allocate(capacity: 0)
        reserve(1)
    }

    deinit {
        bytes.deallocate()
        blocks.deallocate()
    }

    private func reserve(_ count: Int) {
        if count <= capacity && (capacity <= Self.keptBytes || count > Self.keptBytes) { return }
        bytes.deallocate()
        blocks.deallocate()
        capacity = max(count, 1024)
        // One more than the text can fill, and it may be read.
        let room = capacity / 64 + 2
        bytes = .allocate(byteCount: room * 64, alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: room * 64)
        blocks = .allocate(capacity: room)
        blocks.initialize(repeating: Block(), count: room)
    }

    // MARK: Making

    /// Maps `text`; whatever lies behind its end counts as blank.
    func map(_ text: UnsafeRawBufferPointer) {
        reserve(text.count)
        var counts = Counts()
        var wide: UInt64 = 0
        let last = text.count / 64
        for index in 0...last {
            let offset = 64 * index
            var block = Block()
            var apostrophes: UInt64 = 0
            if index < last {
                for part in 0..<8 {
                    let word = text.loadUnaligned(fromByteOffset: offset &+ 8 &* part, as: UInt64.self)
                    put(UInt64(littleEndian: word), offset, part, &block, &apostrophes, &counts)
                }
            } else {
                let parts = (text.count - offset + 7) / 8
                for part in 0..<parts {
                    put(Self.load(text, offset + 8 * part), offset, part, &block, &apostrophes, &counts)
                }
                block.blank |= UInt64.max << UInt64(8 * parts)
            }
            counts.add()
            if apostrophes != 0 { block.not = Self.nots(apostrophes, offset, text) }
            wide |= block.wide
            blocks[index] = block
        }
        exclamations = counts.exclamations
        questions = counts.questions
        isASCII = wide == 0
        blocks[last + 1] = Block(blank: .max)
    }

    /// How many marks there are.
    private struct Counts {
        var exclamations = 0
        var questions = 0
        /// Those of the block at hand, in each of eight lanes.
        var exclamationLanes: UInt64 = 0
        var questionLanes: UInt64 = 0

        @inline(__always)
        mutating func add() {
            func sum(_ lanes: UInt64) -> Int { Int(truncatingIfNeeded: (lanes &* 0x0101_0101_0101_0101) &>> 56) }
            exclamations &+= sum(exclamationLanes)
            questions &+= sum(questionLanes)
            (exclamationLanes, questionLanes) = (0, 0)
        }
    }

    private static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The top bit of each byte of `word`, which are below 0x80, that is `bound` or more.
    @inline(__always)
    private static func atLeast(_ word: UInt64, _ bound: UInt64) -> UInt64 {
        word &+ (0x80 &- bound) &* 0x0101_0101_0101_0101
    }

    /// The top bit of each byte of `word`, which are below 0x80, that is `byte`.
    @inline(__always)
    private static func equals(_ word: UInt64, _ byte: UInt64) -> UInt64 {
        ~((word ^ byte &* 0x0101_0101_0101_0101) &+ 0x7F7F_7F7F_7F7F_7F7F)
    }

    /// The top bits of eight bytes, as eight bits.
    @inline(__always)
    private static func gather(_ tops: UInt64) -> UInt64 { (tops &>> 7 &* 0x0102_0408_1020_4080) &>> 56 }

    @inline(__always)
    private func put(
        _ word: UInt64, _ offset: Int, _ part: Int, _ block: inout Block, _ apostrophes: inout UInt64,
        _ counts: inout Counts
    ) {
        let tops = Self.tops
        let wide = word & tops
        let low = word & ~tops
        let narrow = ~wide & tops
        let alike = low | 0x2020_2020_2020_2020
        let letter = Self.atLeast(alike, 0x61) & ~Self.atLeast(alike, 0x7B) & narrow
        // Bit 5 tells the cases apart.
        let upper = letter & ~(low &<< 2)
        let blank =
            (Self.atLeast(low, 0x09) & ~Self.atLeast(low, 0x0E) | Self.atLeast(low, 0x1C) & ~Self.atLeast(low, 0x21))
            & narrow
        // What is printed and neither a letter nor a digit is punctuation.
        let digit = Self.atLeast(low, 0x30) & ~Self.atLeast(low, 0x3A)
        let control = ~Self.atLeast(low, 0x21) | Self.atLeast(low, 0x7F)
        let plain = (letter | digit | control | wide) & tops
        // A byte 0 would look like the end of a word; no list has a word with a byte 1.
        let zero = Self.equals(low, 0) & narrow
        let folded = word | upper &>> 2 | zero &>> 7
        (bytes + (offset &+ 8 &* part)).storeBytes(of: folded.littleEndian, as: UInt64.self)
        counts.exclamationLanes &+= (Self.equals(low, 0x21) & narrow) &>> 7
        counts.questionLanes &+= (Self.equals(low, 0x3F) & narrow) &>> 7
        let shift = UInt64(truncatingIfNeeded: 8 &* part)
        block.blank |= Self.gather(blank) &<< shift
        block.plain |= Self.gather(plain) &<< shift
        block.upper |= Self.gather(upper) &<< shift
        block.lower |= Self.gather(letter ^ upper) &<< shift
        block.wide |= Self.gather(wide) &<< shift
        apostrophes |= Self.gather(Self.equals(low, 0x27) & narrow) &<< shift
    }

    /// Up to eight bytes from `offset` on, and blanks behind the end.
    @inline(__always)
    private static func load(_ text: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        let count = text.count &- offset
        if count >= 8 { return UInt64(littleEndian: text.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        let bits = UInt64(truncatingIfNeeded: 8 &* count)
        let blanks: UInt64 = 0x2020_2020_2020_2020 &<< bits
        if text.count >= 8 {
            // The last eight bytes, without those before.
            let word = text.loadUnaligned(fromByteOffset: text.count &- 8, as: UInt64.self)
            return UInt64(littleEndian: word) &>> (64 &- bits) | blanks
        }
        var word = blanks
        for index in 0..<count { word |= UInt64(text[offset + index]) << UInt64(8 * index) }
        return word
    }

    /// Those of the apostrophes that stand in an `n't`.
    private static func nots(_ apostrophes: UInt64, _ offset: Int, _ text: UnsafeRawBufferPointer) -> UInt64 {
        var rest = apostrophes
        var nots: UInt64 = 0
        while rest != 0 {
            let index = offset + rest.trailingZeroBitCount
            if index > 0 && index + 1 < text.count && text[index - 1] | 0x20 == UInt8(ascii: "n")
                && text[index + 1] | 0x20 == UInt8(ascii: "t")
            {
                nots |= rest & (0 &- rest)
            }
            rest &= rest &- 1
        }
        return nots
    }

    /// Makes blanks of `count` bytes from `start` on: one beyond ASCII.
    func markBlank(_ start: Int, _ count: Int) {
        for index in start..<(start + count) { blocks[index / 64].blank |= 1 << UInt64(index % 64) }
    }
}
