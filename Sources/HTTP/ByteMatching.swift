// SPDX-License-Identifier: Apache-2.0
// Searching and comparing bytes in place: no String is made while a request is parsed.

import CLinux
import Glibc

extension String {
    /// Whether this is `lowercase`, which is in lower case, whatever the case of the ASCII letters here.
    func equalsIgnoringCase(_ lowercase: StaticString) -> Bool {
        utf8.count == lowercase.utf8CodeUnitCount && utf8.starts(withIgnoringCase: lowercase)
    }
}

extension Sequence<UInt8> {
    /// Whether the first bytes are those of `lowercase`, which is in lower case, whatever their case.
    func starts(withIgnoringCase lowercase: StaticString) -> Bool {
        var wanted = UnsafeBufferPointer(start: lowercase.utf8Start, count: lowercase.utf8CodeUnitCount)[...]
        for byte in self {
            guard let next = wanted.first else { return true }
            if Byte.lowercased(byte) != next { return false }
            wanted.removeFirst()
        }
        return wanted.isEmpty
    }
}

extension Span where Element == UInt8 {
    /// The index of the first `byte` at or after `start`.
    @inline(__always)
    func firstIndex(of byte: UInt8, from start: Int) -> Int? {
        withUnsafeBufferPointer { buffer in
            guard start < buffer.count, let base = buffer.baseAddress else { return nil }
            guard let found = memchr(base + start, CInt(byte), buffer.count - start) else { return nil }
            return UnsafeRawPointer(found) - UnsafeRawPointer(base)
        }
    }

    /// Whether the bytes in `range` are those of `text`.
    @inline(__always)
    func equal(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for offset in 0..<range.count where self[range.lowerBound + offset] != text.utf8Start[offset] { return false }
        return true
    }

    /// Whether the bytes in `range` are those of `lowercase`, which is in lower case, whatever their case.
    @inline(__always)
    func equalIgnoringCase(_ range: Range<Int>, _ lowercase: StaticString) -> Bool {
        guard range.count == lowercase.utf8CodeUnitCount else { return false }
        for offset in 0..<range.count
        where Byte.lowercased(self[range.lowerBound + offset]) != lowercase.utf8Start[offset] {
            return false
        }
        return true
    }

    /// `range` without the spaces and tabs at its ends (`OWS`, RFC 9110 §5.6.3).
    @inline(__always)
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end && Byte.isBlank(self[start]) { start += 1 }
        while end > start && Byte.isBlank(self[end - 1]) { end -= 1 }
        return start..<end
    }

    /// Calls `body` with each element of the comma-separated list in `range` (RFC 9110 §5.6.1), trimmed; elements
    /// may be empty.
    @inline(__always)
    func forEachElement<E: Error>(of range: Range<Int>, _ body: (Range<Int>) throws(E) -> Void) throws(E) {
        var start = range.lowerBound
        for index in range where self[index] == Byte.comma {
            try body(trimmed(start..<index))
            start = index + 1
        }
        try body(trimmed(start..<range.upperBound))
    }
}
