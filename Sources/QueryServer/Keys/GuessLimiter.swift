// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP

/// The wrong keys that addresses may try. A value; the clock comes with each call, and whoever holds it has the lock.
///
/// A try is taken before the store is asked and given back if the key was good, so that keys that are tried at the same
/// time count as if they came one after the other. Who finds no try left while others of his address are being looked up
/// waits for what becomes of them: they may be good ones.
struct GuessLimiter {
    /// Wrong keys of one address at once, and in the long run, before it is told to wait.
    static let attempts = (burst: 10.0, perSecond: 10.0 / 60)

    /// Where a try is counted.
    enum Place {
        case address(SocketAddress)
        /// With all addresses beyond those that are counted each for itself.
        case shared
    }

    enum Turn {
        /// The store may be asked; ``end(_:isWrong:_:)`` must follow.
        case may(Place)
        /// Others' questions are under way: to be tried again when the waiter is resumed.
        case wait(Waiter)
        /// None is left for so many seconds.
        case refused(Double)
    }

    private struct Tries {
        var bucket: TokenBucket
        /// Questions under way, each of which holds a try.
        var asked = 0
        var waiting: [Waiter] = []

        init(_ now: MonotonicTime) {
            let attempts = GuessLimiter.attempts
            bucket = TokenBucket(capacity: attempts.burst, perSecond: attempts.perSecond, now: now)
        }

        /// Whether it is as good as unknown: all its tries have come back.
        func isIdle(_ now: MonotonicTime) -> Bool { asked == 0 && bucket.isFull(now) }
    }

    private var addresses: BoundedTable<SocketAddress, Tries>
    private var shared: Tries?

    /// - Parameter limit: addresses whose wrong keys are counted each for itself.
    init(limit: Int) { addresses = BoundedTable(limit: limit) }

    /// Takes a try for a key that is not known to be good.
    mutating func begin(_ client: SocketAddress, _ now: MonotonicTime) -> Turn {
        let place = place(of: client, now)
        return change(place, now) { tries in
            guard let seconds = tries.bucket.take(now) else {
                tries.asked += 1
                return .may(place)
            }
            if tries.asked == 0 { return .refused(seconds) }
            let waiter = Waiter()
            tries.waiting.append(waiter)
            return .wait(waiter)
        }
    }

    /// The store has answered, or has failed. Returns who is to be resumed.
    mutating func end(_ place: Place, isWrong: Bool, _ now: MonotonicTime) -> [Waiter] {
        change(place, now) { tries in
            tries.asked -= 1
            if !isWrong { tries.bucket.giveBack() }
            if tries.asked == 0 {
                defer { tries.waiting = [] }
                return tries.waiting
            }
            return isWrong ? [] : tries.waiting.popLast().map { [$0] } ?? []
        }
    }

    /// Counts a wrong key that needed no question. Returns the seconds to wait if there was no try left for it.
    mutating func fail(_ client: SocketAddress, _ now: MonotonicTime) -> Double? {
        change(place(of: client, now), now) { $0.bucket.take(now) }
    }

    private mutating func place(of client: SocketAddress, _ now: MonotonicTime) -> Place {
        if addresses[client] != nil { return .address(client) }
        return addresses.set(Tries(now), for: client) { $0.isIdle(now) } ? .address(client) : .shared
    }

    private mutating func change<T>(_ place: Place, _ now: MonotonicTime, _ change: (inout Tries) -> T) -> T {
        if case .address(let client) = place, let result = addresses.change(client, change) { return result }
        var tries = shared ?? Tries(now)
        defer { shared = tries }
        return change(&tries)
    }
}
