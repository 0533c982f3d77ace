// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc

@testable import HTTP

extension StreamSocket {
    /// Two ends of one connection.
    static func pair(on loop: EventLoop) throws -> (StreamSocket, StreamSocket) {
        var ends: [CInt] = [-1, -1]
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        if socketpair(AF_UNIX, type, 0, &ends) != 0 { throw SystemError(call: "socketpair") }
        let pace = Pace(limit: .seconds(20), bytesPerSecond: 1)
        return (
            try StreamSocket(descriptor: ends[0], loop: loop, pace: pace),
            try StreamSocket(descriptor: ends[1], loop: loop, pace: pace)
        )
    }
}
