// SPDX-License-Identifier: Apache-2.0

/// Whether `condition` comes to hold: asked every 5 ms, for half a minute at least.
package func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<6000 {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(5))
    }
    return false
}
