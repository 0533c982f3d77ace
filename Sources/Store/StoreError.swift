// SPDX-License-Identifier: Apache-2.0

/// The store could not be set up: what failed and what to do about it. Never holds a password.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    package var message: String
    package var hint: String?

    package init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }

    package var description: String { message + (hint.map { " (\($0))" } ?? "") }
}
