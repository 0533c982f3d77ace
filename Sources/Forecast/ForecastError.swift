// SPDX-License-Identifier: Apache-2.0

/// A forecast cannot be made from what was given: what, and what is allowed.
package struct ForecastError: Error, Equatable, CustomStringConvertible {
    /// What happened, in lower case and without a full stop.
    package var message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
