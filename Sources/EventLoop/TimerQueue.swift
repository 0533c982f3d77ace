// SPDX-License-Identifier: Apache-2.0

/// A binary heap of deadlines, earliest first. A pure value: it knows no clock.
///
/// Cancelled timers are not searched for: whoever scheduled one checks on firing whether it still
/// means anything (see ``Registration``, which re-arms lazily so that a keep-alive connection costs one
/// entry, not one for every request). Those of registrations that are gone are removed when they are many
/// (``removeAll(where:)``), or a server of short connections would hold a minute's worth of them.
struct TimerQueue {
    enum Purpose {
        case call(() -> Void)
        /// The deadlines of the registration with this ``Registration/key``.
        case registration(UInt64)
    }

    struct Entry {
        var deadline: MonotonicTime
        var purpose: Purpose
    }

    private var heap: [Entry] = []

    var count: Int { heap.count }
    var earliest: MonotonicTime? { heap.first?.deadline }

    mutating func push(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent].deadline <= heap[child].deadline { break }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    /// Removes and returns the earliest entry if its time has come.
    mutating func pop(dueAt now: MonotonicTime) -> Entry? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(from: 0)
        }
        return first
    }

    /// Removes what nobody waits for any more; takes time in proportion to all entries.
    mutating func removeAll(where isOver: (Purpose) -> Bool) {
        heap.removeAll { isOver($0.purpose) }
        for parent in (0..<heap.count / 2).reversed() { siftDown(from: parent) }
    }

    private mutating func siftDown(from start: Int) {
        var parent = start
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child].deadline < heap[smallest].deadline {
                smallest = child
            }
            if smallest == parent { return }
            heap.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
