// SPDX-License-Identifier: Apache-2.0
// Exports work one after the other.

import EventLoop
import Synchronization

/// Lets no more exports work at a time than leave processors to others. Each keeps two of them busy, the one that
/// PostgreSQL's process runs on and the one of the event loop; who has to wait reads nothing, and its server process stops
/// by itself once the socket is full. So turns are long beside the time that this takes, a millisecond.
///
/// A turn is a lease: it ends by time where others wait for one, and early where its export is not heard of, since it
/// waits for PostgreSQL or for its client, or has ended. Nobody has to give it back.
final class Turns: Sendable {
    private struct Turn {
        let export: ObjectIdentifier
        /// Nil until its export has heard of it.
        var end: MonotonicTime?
        /// When the export has asked last.
        var seen: MonotonicTime
    }

    private struct State {
        var turns: [Turn] = []
        /// In the order they came.
        var queue: [(export: ObjectIdentifier, waiter: Waiter)] = []
    }

    /// How many exports work at a time.
    private let places: Int
    private let length: Duration
    /// An export that has not asked for so long is not working.
    private let lapse: Duration
    private let patience: Duration
    private let state = Mutex(State())

    /// - Parameters:
    ///   - length: of a turn, where others wait.
    ///   - patience: after which an export goes on without a turn.
    init(
        places: Int, length: Duration = .milliseconds(40), lapse: Duration = .milliseconds(10),
        patience: Duration = .seconds(1)
    ) {
        self.places = places
        self.length = length
        self.lapse = lapse
        self.patience = patience
    }

    /// Exports that wait now.
    var waiting: Int { state.withLock { $0.queue.count } }

    /// Waits until the export has a turn, if it has none; to be called before each piece of its work. A cancelled task
    /// waits no more.
    func take(for export: ObjectIdentifier, on loop: EventLoop) async {
        let deadline = MonotonicTime.now() + patience
        while let waiter = ask(for: export, until: deadline) {
            // Nobody tells of a turn that lapses.
            loop.schedule(at: min(.now() + lapse, deadline)) { waiter.resume() }
            await withTaskCancellationHandler {
                await withUnsafeContinuation { waiter.arm($0) }
            } onCancel: {
                waiter.resume()
            }
        }
    }

    /// - Returns: what is resumed when the export should ask again; nil if it may work.
    private func ask(for export: ObjectIdentifier, until deadline: MonotonicTime) -> Waiter? {
        let now = MonotonicTime.now()
        let (waiter, next) = state.withLock { state -> (Waiter?, [Waiter]) in
            let isWanted = !state.queue.isEmpty
            state.turns.removeAll { turn in
                turn.seen + lapse < now || isWanted && turn.end.map { $0 <= now } ?? false
            }
            let free = max(places - state.turns.count, 0)
            let next = state.queue.prefix(free)
            state.queue.removeFirst(next.count)
            state.turns += next.map { Turn(export: $0.export, end: nil, seen: now) }
            let others = next.filter { $0.export != export }.map(\.waiter)
            if let mine = state.turns.firstIndex(where: { $0.export == export }) {
                state.turns[mine].seen = now
                state.turns[mine].end = state.turns[mine].end ?? now + length
                return (nil, others)
            }
            let place = state.queue.firstIndex { $0.export == export }
            if state.turns.count < places {
                state.turns.append(Turn(export: export, end: now + length, seen: now))
                return (nil, others)
            }
            if now >= deadline || Task.isCancelled {
                if let place { state.queue.remove(at: place) }
                return (nil, others)
            }
            let waiter = Waiter()
            if let place {
                state.queue[place].waiter = waiter
            } else {
                state.queue.append((export, waiter))
            }
            return (waiter, others)
        }
        for other in next { other.resume() }
        return waiter
    }
}
