// SPDX-License-Identifier: Apache-2.0

/// Names met lately, and a number for each; the memory is bounded.
struct RecentNames: Sendable {
    private var recent: [String: UInt64] = [:]
    private var older: [String: UInt64] = [:]
    private let half: Int

    init(capacity: Int) { half = max(1, capacity / 2) }

    func contains(_ name: String) -> Bool { recent[name] != nil || older[name] != nil }

    /// Notes a number for a name; true if it has had none, or another one.
    mutating func note(_ name: String, _ number: UInt64) -> Bool {
        if recent[name] == number { return false }
        let before = recent[name] ?? older[name]
        if recent.count >= half && recent[name] == nil {
            older = recent
            recent = [:]
        }
        recent[name] = number
        return before != number
    }
}
