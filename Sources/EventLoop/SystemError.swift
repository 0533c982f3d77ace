// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// A system call failed: which call, on what, with which errno.
package struct SystemError: Error, CustomStringConvertible, Sendable {
    /// The errno the call left.
    package let code: CInt
    /// The call and what it was for, as in `bind(127.0.0.1:8080)`.
    package let call: String

    package init(code: CInt, call: String) {
        self.code = code
        self.call = call
    }

    /// The error in `errno` now: make it right after the call that failed.
    package init(call: String) { self.init(code: errno, call: call) }

    package var description: String { "\(call): \(Self.message(of: code))" }

    /// What strerror_r says of `code`.
    package static func message(of code: CInt) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            // glibc's strerror_r (the GNU one) returns the message, which may or may not be in the buffer.
            String(cString: strerror_r(code, buffer.baseAddress!, buffer.count))
        }
    }
}

/// Repeats a call for as long as a signal interrupts it (EINTR is never an error).
package func retryingInterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result == -1 && errno == EINTR { continue }
        return result
    }
}
