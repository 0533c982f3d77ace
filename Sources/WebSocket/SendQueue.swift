// SPDX-License-Identifier: Apache-2.0
// Frames that wait to be sent. Pure.

/// A queue of frames: own ones, which are gathered into common buffers so that a message costs no memory of its own, and
/// shared ones, which stay what they are however many queues they stand in.
struct SendQueue {
    private struct Entry {
        var bytes: [UInt8]
        var isShared: Bool
    }

    /// Bytes of own frames that are gathered into one buffer, and of frames that are sent with one call.
    static let batchBytes = 64 * 1024

    private var entries: [Entry] = []
    private var first = 0
    /// Bytes that wait, those that are being sent included.
    private(set) var bytes = 0
    /// Shared frames that wait.
    private(set) var sharedCount = 0
    /// The payload of the pong that is owed.
    var pong: [UInt8]?
    /// The memory of a buffer that was sent, to be used again.
    private var spare: [UInt8] = []
    /// The batch that is being sent is ours alone.
    private var batchIsOwn = false

    /// Whether something waits to be taken.
    var hasNext: Bool { pong != nil || first < entries.count }

    /// Whether nothing waits and nothing is being sent.
    var isEmpty: Bool { bytes == 0 }

    mutating func appendOwn(_ head: FrameHead, _ payload: borrowing Span<UInt8>) {
        if first == entries.count || entries[entries.count - 1].isShared
            || entries[entries.count - 1].bytes.count >= Self.batchBytes
        {
            entries.append(Entry(bytes: spare, isShared: false))
            spare = []
        }
        let last = entries.count - 1
        let before = entries[last].bytes.count
        entries[last].bytes.appendFrame(head, payload)
        bytes += entries[last].bytes.count - before
    }

    mutating func appendShared(_ frame: [UInt8]) {
        entries.append(Entry(bytes: frame, isShared: true))
        bytes += frame.count
        sharedCount += 1
    }

    /// Drops the oldest shared frame that is not being sent; false if there is none.
    mutating func dropOldestShared() -> Bool {
        guard let index = entries[first...].firstIndex(where: \.isShared) else { return false }
        bytes -= entries[index].bytes.count
        entries.remove(at: index)
        sharedCount -= 1
        return true
    }

    /// What is to be sent next, with one call; nil if nothing waits. Its bytes count until ``sent(_:)``.
    ///
    /// - Parameter mask: the masking key of the pong that may be added; nil for servers.
    mutating func takeBatch(mask: () -> UInt32?) -> [UInt8]? {
        var batch: [UInt8] = []
        if let pong {
            batch.appendFrame(FrameHead(.pong, length: pong.count, mask: mask()), pong.span)
            bytes += batch.count
            self.pong = nil
        }
        batchIsOwn = true
        guard first < entries.count else { return batch.isEmpty ? nil : batch }
        if batch.isEmpty {
            batch = entries[first].bytes
            batchIsOwn = !entries[first].isShared
            noteTaken()
            if first == entries.count || batch.count + entries[first].bytes.count > Self.batchBytes { return batch }
        }
        batchIsOwn = true
        batch.reserveCapacity(min(Self.batchBytes, bytes))
        while first < entries.count, batch.count + entries[first].bytes.count <= Self.batchBytes {
            batch.append(contentsOf: entries[first].bytes)
            noteTaken()
        }
        return batch
    }

    private mutating func noteTaken() {
        if entries[first].isShared { sharedCount -= 1 }
        entries[first].bytes = []
        first += 1
        if first == entries.count {
            entries.removeAll(keepingCapacity: entries.count <= 64)
            first = 0
        } else if first >= 256 {
            entries.removeFirst(first)
            first = 0
        }
    }

    /// A batch was sent; its memory may be used again.
    mutating func sent(_ batch: consuming [UInt8]) {
        bytes -= batch.count
        guard batchIsOwn, spare.capacity == 0, batch.capacity <= Self.batchBytes else { return }
        batch.removeAll(keepingCapacity: true)
        spare = batch
    }
}
