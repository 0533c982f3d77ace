// SPDX-License-Identifier: Apache-2.0

import Market
import TestSupport
import Testing

@testable import Ingest

private func text(_ id: String) -> TradeIdentity.VenueID { .text(TradeIdentity.hash(id.utf8)) }

extension TradeIdentity {
    fileprivate mutating func id(
        _ symbol: String = "A", _ ts: Int64 = 1, _ id: VenueID = .none, _ price: Double = 1, _ size: Double = 1
    ) -> Int64 {
        assign(symbol: symbol, ts: Timestamp(microseconds: ts), id: id, price: price, size: size)
    }
}

struct TradeIdentityTests {
    @Test(arguments: [.min, -1, 0, 1, 1 << 52, 1_700_000_000_123_456_789, .max] as [Int64])
    func `a number that a venue gave is kept`(number: Int64) {
        var identity = TradeIdentity()
        #expect(identity.id("A", 1, .number(number)) == number)
        #expect(identity.id("B", 1, .number(number)) == number)
        #expect(identity.id("A", 2, .number(number)) == number)
    }

    @Test(arguments: [.min, -7, -1, 0, 1, 75, (1 << 52) - 1] as [Int64])
    func `the fills of one match are trades of their own, in order`(number: Int64) {
        var identity = TradeIdentity()
        let ids = (0..<2000).map { _ in identity.id("A", 1, .number(number)) }
        #expect(ids[0] == number)
        #expect(Set(ids).count == ids.count)
        #expect(ids == ids.sorted())
    }

    @Test(arguments: [1 << 53, 1_700_000_000_123_456_789, (1 << 62) - 1] as [Int64])
    func `fills are in order after ids of more than 52 bits, too`(number: Int64) {
        var identity = TradeIdentity()
        let ids = (0..<10).map { _ in identity.id("A", 1, .number(number)) }
        #expect(ids[0] == number)
        #expect(Set(ids).count == ids.count)
        #expect(ids == ids.sorted())
    }

    @Test(arguments: ["0", "-1", "x", ""])
    func `a column that gives every trade the same id loses none of them`(column: String) {
        let id: TradeIdentity.VenueID = column.isEmpty ? .none : Int64(column).map { .number($0) } ?? text(column)
        var identity = TradeIdentity()
        let ids = (0..<5000).map { _ in identity.id("A", 1, id) }
        #expect(Set(ids).count == ids.count)
    }

    @Test func `an id that is text becomes 52 bits of its hash, with fills above`() {
        var identity = TradeIdentity()
        let first = identity.id("A", 1, text("6fd3a3c2-0000"))
        #expect((0..<(1 << 52)).contains(first))
        #expect(first == Int64(TradeIdentity.hash("6fd3a3c2-0000".utf8) & ((1 << 52) - 1)))
        let second = identity.id("A", 1, text("6fd3a3c2-0000"))
        #expect(second == first | 1 << 52)
        #expect(identity.id("A", 1, text("6fd3a3c2-0001")) != first)
    }

    @Test func `without an id trades of one time are numbered as they come`() {
        var identity = TradeIdentity()
        let ids = (0..<1000).map { _ in identity.id() }
        #expect(Set(ids).count == ids.count && ids == ids.sorted())
        #expect(ids.map { $0 >> 32 } == Array(0..<1000))
        // Same symbol and time, other price or size: the number goes on, the hash differs.
        let other = identity.id("A", 1, .none, 2, 1)
        #expect(other >> 32 == 1000)
        #expect(other & 0xFFFF_FFFF != ids[0] & 0xFFFF_FFFF)
        // Another time or symbol begins anew.
        #expect(identity.id("A", 2) >> 32 == 0)
        #expect(identity.id("B", 1) >> 32 == 0)
    }

    @Test func `the same tape gives the same ids, and the ids do not depend on the process`() {
        func ids() -> [Int64] {
            var identity = TradeIdentity()
            var random = SeededRandom(seed: 7)
            return (0..<5000).map { _ in
                let id: TradeIdentity.VenueID =
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: .number(Int64.random(in: 0..<50, using: &random))
                    case 1: text("t\(Int.random(in: 0..<50, using: &random))")
                    default: .none
                    }
                return identity.id(
                    "S\(Int.random(in: 0..<3, using: &random))", Int64.random(in: 0..<10, using: &random), id,
                    Double(Int.random(in: 1..<9, using: &random)), 1)
            }
        }
        #expect(ids() == ids())
        // Fixed for ever: a replay by a later version must not duplicate what an earlier one stored.
        var identity = TradeIdentity()
        #expect(identity.id("BITSTAMP:BTCUSD", 1_315_922_016_000_000, .none, 5.8, 1) == Self.pinned[0])
        #expect(identity.id("BITSTAMP:BTCUSD", 1_315_922_016_000_000, .none, 5.8, 1) == Self.pinned[1])
        #expect(identity.id("A", 1, text("abc")) == Self.pinned[2])
    }

    static let pinned: [Int64] = [1_123_760_824, 1 << 32 | 1_123_760_824, 892_824_585_215_024]

    @Test func `any mixture of ids of one symbol and time stays distinct`() {
        var random = SeededRandom()
        var identity = TradeIdentity()
        var seen: Set<[Int64]> = []
        for _ in 0..<200_000 {
            let ts = Int64.random(in: 0..<500, using: &random)
            let id: TradeIdentity.VenueID =
                switch Int.random(in: 0..<3, using: &random) {
                case 0: .number(Int64.random(in: 1_000_000..<1_000_300, using: &random))
                case 1: text("t\(Int.random(in: 0..<300, using: &random))")
                default: .none
                }
            let assigned = identity.id("A", ts, id, Double(Int.random(in: 1..<100, using: &random)), 1)
            #expect(seen.insert([ts, assigned]).inserted, "ts \(ts) id \(assigned), seed \(random.seed)")
        }
    }

    @Test func `what is within the capacity is remembered, what is far back may be forgotten`() {
        var identity = TradeIdentity(capacity: 100)
        #expect(identity.id("A", 0, .number(5)) == 5)
        for ts in 1..<50 { _ = identity.id("A", Int64(ts), .number(5)) }
        // 50 distinct since: it stands in the older half now, and counts on from there.
        for ts in 50..<60 { _ = identity.id("A", Int64(ts), .number(5)) }
        #expect(identity.id("A", 0, .number(5)) == 5 | 1 << 52)
        #expect(identity.id("A", 0, .number(5)) == 5 | 2 << 52)
        for ts in 1000..<1200 { _ = identity.id("A", Int64(ts), .number(5)) }
        #expect(identity.id("A", 0, .number(5)) == 5)
        var least = TradeIdentity(capacity: 0)
        #expect(least.id("A", 0, .number(5)) == 5 && least.id("A", 0, .number(5)) == 5 | 1 << 52)
    }
}
