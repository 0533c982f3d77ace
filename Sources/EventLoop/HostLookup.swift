// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Looks up host names without blocking the loop: `getaddrinfo` on a thread of its own.
package enum HostLookup {
    package enum Outcome: Sendable {
        /// The numeric addresses of each host, in the order of RFC 6724: none for a name nobody knows, one empty one for
        /// what was not looked up.
        case found([[String]])
        case overloaded
        case timedOut
        case cancelled
    }

    /// Looks up `hosts`, but for those of which `skips` says so.
    package static func addresses(
        of hosts: [String], on loop: EventLoop, until deadline: MonotonicTime,
        skipping skips: @escaping @Sendable (String) -> Bool = { _ in false }
    ) async -> Outcome {
        let answer = Answer()
        let accepted = BlockingCalls.nameLookups.submit {
            answer.set(hosts.map { skips($0) ? [""] : addresses(of: $0) })
        }
        if !accepted { return .overloaded }
        loop.schedule(at: deadline) { answer.waiter.resume() }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { answer.waiter.arm($0) }
        } onCancel: {
            answer.waiter.resume()
        }
        if let addresses = answer.value { return .found(addresses) }
        return Task.isCancelled ? .cancelled : .timedOut
    }

    /// What the lookup's thread hands to the loop.
    private final class Answer: Sendable {
        private let addresses = Mutex<[[String]]?>(nil)
        let waiter = Waiter()

        var value: [[String]]? { addresses.withLock(\.self) }

        func set(_ value: [[String]]) {
            addresses.withLock { $0 = value }
            waiter.resume()
        }
    }

    /// Blocks. The numeric addresses of `host`.
    private static func addresses(of host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var entry = list
        while let info = entry {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let failed = getnameinfo(
                info.pointee.ai_addr, info.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            if failed == 0 {
                found.append(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
            }
            entry = info.pointee.ai_next
        }
        return found
    }
}
