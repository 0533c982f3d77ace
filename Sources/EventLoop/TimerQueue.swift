// SPDX-License-Identifier: Apache-2.0

/// A binary heap of deadlines, earliest first. A pure value: it knows no clock.
///
/// Cancelled timers are not searched for: whoever scheduled one checks on firing whether it still
/// means anything (see ``Registration``, which re-arms lazily so that a keep-alive connection costs one
/// entry, not one for every request).
struct TimerQueue {
    struct Entry {
        var deadline: MonotonicTime
        var fire: () -> Void
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
            siftDown()
        }
        return first
    }

    private mutating func siftDown() {
        var parent = 0
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
