// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Memory that several threads write, each its own part.
final class SharedBuffer: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: the parts that ``Parallel`` hands to its threads do not overlap.

    let pointer: UnsafeMutablePointer<Double>
    let count: Int

    init(count: Int) {
        self.count = count
        pointer = .allocate(capacity: count)
        pointer.initialize(repeating: 0, count: count)
    }

    deinit { pointer.deallocate() }
}

enum Parallel {
    /// Calls `body` with 0 ..< `count`, on up to `threads` threads; returns when all are done.
    static func perform(_ count: Int, _ threads: Int, _ body: @Sendable (Int) -> Void) {
        if threads == 1 || count < 2 {
            for index in 0..<count { body(index) }
            return
        }
        let workers = min(threads, count)
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            for index in stride(from: worker, to: count, by: workers) { body(index) }
        }
    }

    /// What `body` makes of 0 ..< `count`, in order.
    static func map<Value: Sendable>(_ count: Int, _ threads: Int, _ body: @Sendable (Int) -> Value) -> [Value] {
        let results = Results<Value>(count)
        perform(count, threads) { results.values[$0] = body($0) }
        return (0..<count).compactMap { results.values[$0] }
    }

    private final class Results<Value>: @unchecked Sendable {
        // Rule for `@unchecked Sendable`: each index is written by one thread, and read after all have ended.
        let values: UnsafeMutableBufferPointer<Value?>

        init(_ count: Int) {
            values = .allocate(capacity: count)
            values.initialize(repeating: nil)
        }

        deinit {
            values.deinitialize()
            values.deallocate()
        }
    }
}
