// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Asks loops to end after what they are doing, rather than in the middle of it.
final class StopRequest: Sendable {
    private let flag = Atomic(false)

    /// Whether to take up nothing new: asked to stop, or cancelled.
    var isSet: Bool { Task.isCancelled || flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}
