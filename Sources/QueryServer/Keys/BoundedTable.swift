// SPDX-License-Identifier: Apache-2.0

/// A dictionary of at most ``limit`` entries that makes room in constant time: a hand goes round over the places and takes
/// out what is idle, looking at a few of them for each newcomer. So a table that strangers fill costs each of them the
/// same, and an idle entry goes before long.
struct BoundedTable<Key: Hashable, Value> {
    /// Entries at most.
    let limit: Int
    /// Places that one insertion looks at.
    private static var steps: Int { 8 }

    private var index: [Key: Int] = [:]
    private var places: [(key: Key, value: Value)?] = []
    private var free: [Int] = []
    private var hand = 0

    init(limit: Int) { self.limit = limit }

    var count: Int { index.count }

    subscript(key: Key) -> Value? { index[key].flatMap { places[$0]?.value } }

    /// Calls `change` with the value of a key that is there, and returns what it returns; nil if the key is not there.
    mutating func change<T>(_ key: Key, _ change: (inout Value) -> T) -> T? {
        guard let place = index[key], var entry = places[place] else { return nil }
        defer { places[place] = entry }
        return change(&entry.value)
    }

    /// Sets the value of a key. Where the key is new and the table is full, an idle entry makes room.
    ///
    /// - Returns: false if no room was found; then nothing has changed.
    @discardableResult
    mutating func set(_ value: Value, for key: Key, isIdle: (Value) -> Bool) -> Bool {
        if let place = index[key] {
            places[place] = (key, value)
            return true
        }
        guard let place = room(isIdle) else { return false }
        places[place] = (key, value)
        index[key] = place
        return true
    }

    mutating func remove(_ key: Key) {
        guard let place = index.removeValue(forKey: key) else { return }
        places[place] = nil
        free.append(place)
    }

    private mutating func room(_ isIdle: (Value) -> Bool) -> Int? {
        if let place = free.popLast() { return place }
        if places.count < limit {
            places.append(nil)
            return places.count - 1
        }
        for _ in 0..<min(Self.steps, places.count) {
            let place = hand
            hand = (hand + 1) % places.count
            guard let entry = places[place], isIdle(entry.value) else { continue }
            index[entry.key] = nil
            return place
        }
        return nil
    }
}
