// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import Testing

@testable import Processor

extension StagedTrade {
    /// A trade that nothing is wrong with.
    static let good: StagedTrade = {
        var trade = StagedTrade(run: 5, source: "file", position: 3, ingestedAt: Timestamp(microseconds: 77))
        trade.symbol = "BINANCE:BTCUSDT"
        trade.ts = noon
        trade.price = 100.5
        trade.size = 2
        trade.tradeID = 9
        trade.conditions = ["1", "24"]
        return trade
    }()

    func with(_ change: (inout StagedTrade) -> Void) -> StagedTrade {
        var trade = self
        change(&trade)
        return trade
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        encode(into: &bytes)
        return bytes
    }
}

/// The clock of these tests.
let noon = Timestamp(microseconds: 1_700_000_000_000_000)

private func reason(
    _ trade: StagedTrade, rules: TradeRules = TradeRules(), now: Timestamp = noon
) throws -> RejectionReason? {
    try trade.encoded.withUnsafeBytes { rules.reason(toReject: try #require(StagedTradeView(decoding: $0)), now: now) }
}

struct TradeRulesTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var expected: RejectionReason?
        var trade: StagedTrade

        init(_ name: String, _ expected: RejectionReason?, _ change: (inout StagedTrade) -> Void = { _ in }) {
            testDescription = name
            self.expected = expected
            trade = StagedTrade.good.with(change)
        }
    }

    static let cases =
        [
            Case("a good one", nil),
            Case("size 0, a price update", nil) { $0.size = 0 },
            Case("size -0", nil) { $0.size = -0.0 },
            Case("smallest price and size", nil) {
                $0.price = 1e-100
                $0.size = 1e-100
            },
            Case("largest price and size", nil) {
                $0.price = 1e100
                $0.size = 1e100
            },
            Case("at the epoch", nil) { $0.ts = .epoch },
            Case("as far ahead as allowed", nil) { $0.ts = Timestamp(microseconds: noon.microseconds + 60_000_000) },
            Case("negative id", nil) { $0.tradeID = -1 },
            Case("no conditions", nil) { $0.conditions = [] },
            Case("conditions of any text", nil) { $0.conditions = ["", "é", "a b", "😀"] },
            Case("what is kept does not matter", nil) { $0.original = [1] },

            Case("no symbol", .symbolMissing) { $0.symbol = nil },
            Case("empty symbol", .symbolMissing) { $0.symbol = "" },
            Case("symbol with a blank in front", .symbolSyntax) { $0.symbol = " A" },
            Case("symbol that is not ASCII", .symbolSyntax) { $0.symbol = "Ä" },
            Case("symbol with a zero byte", .symbolSyntax) { $0.symbol = "A\0" },
            Case("long symbol", .symbolSyntax) { $0.symbol = String(repeating: "A", count: 65) },
            Case("longest symbol", nil) { $0.symbol = String(repeating: "A", count: 64) },
            Case("no time", .tsMissing) { $0.ts = nil },
            Case("before 1970", .tsBeforeEpoch) { $0.ts = Timestamp(microseconds: -1) },
            Case("long before 1970", .tsBeforeEpoch) { $0.ts = Timestamp(microseconds: .min) },
            Case("too far ahead", .tsInFuture) { $0.ts = Timestamp(microseconds: noon.microseconds + 60_000_001) },
            Case("at the end of time", .tsInFuture) { $0.ts = Timestamp(microseconds: .max) },
            Case("no price", .priceMissing) { $0.price = nil },
            Case("price NaN", .priceNotFinite) { $0.price = .nan },
            Case("price infinite", .priceNotFinite) { $0.price = .infinity },
            Case("price -infinite", .priceNotFinite) { $0.price = -.infinity },
            Case("price 0", .priceNotPositive) { $0.price = 0 },
            Case("price -0", .priceNotPositive) { $0.price = -0.0 },
            Case("price negative", .priceNotPositive) { $0.price = -.leastNonzeroMagnitude },
            Case("no size", .sizeMissing) { $0.size = nil },
            Case("size NaN", .sizeNotFinite) { $0.size = .nan },
            Case("size infinite", .sizeNotFinite) { $0.size = .infinity },
            Case("size negative", .sizeNegative) { $0.size = -.leastNonzeroMagnitude },
            Case("price too small", .priceOutOfRange) { $0.price = 1e-100.nextDown },
            Case("price too large", .priceOutOfRange) { $0.price = 1e100.nextUp },
            Case("size too small", .sizeOutOfRange) { $0.size = .leastNonzeroMagnitude },
            Case("size too large", .sizeOutOfRange) { $0.size = 1e100.nextUp },
            Case("no id", .tradeIDMissing) { $0.tradeID = nil },
            Case("no source", .sourceSyntax) { $0.source = "" },
            Case("source that is no name", .sourceSyntax) { $0.source = "a\"b" },
            Case("condition with a zero byte", .conditionSyntax) { $0.conditions = ["1", "a\0"] },

            // The first thing that is wrong is the one that is told.
            Case("everything missing", .symbolMissing) {
                $0 = StagedTrade(run: 1, source: "", position: 1, ingestedAt: .epoch)
            },
            Case("time and price", .tsMissing) {
                $0.ts = nil
                $0.price = nil
            },
            Case("price and size", .priceNotPositive) {
                $0.price = 0
                $0.size = -1
            },
            Case("size and id", .sizeNegative) {
                $0.size = -1
                $0.tradeID = nil
            },
        ]
        + RejectionReason.allCases.map { problem in
            Case("ingest's \(problem.rawValue)", problem) {
                $0.problem = problem.rawValue
                $0.symbol = nil
            }
        } + [
            Case("a problem that we do not know", .malformedLine) { $0.problem = "from a later version" },
            Case("an empty problem", .malformedLine) { $0.problem = "" },
        ]

    @Test(arguments: cases)
    func `a trade is refused for the first thing that is wrong with it`(test: Case) throws {
        #expect(try reason(test.trade) == test.expected)
    }

    @Test func `every reason that validation itself can find is in the table`() {
        let found = Set(Self.cases.filter { $0.trade.problem == nil }.compactMap(\.expected))
        // What ingest tells, and what the decoder tells.
        let others: Set<RejectionReason> = [
            .undecodable, .malformedLine, .tsUnreadable, .priceUnreadable, .sizeUnreadable,
        ]
        let ofOtherKinds: Set<RejectionReason> = [
            .unknownSchema, .factNotFinite, .factNegative, .factsMissing, .textSyntax, .postIDMissing, .postIDSyntax,
            .postKindUnknown, .eventSequenceMissing, .eventKindUnknown, .eventPeriod, .timeframeSyntax, .barRange,
            // Told by the sink.
            .tsBeforeRetention,
        ]
        #expect(found.union(others) == Set(RejectionReason.allCases).subtracting(ofOtherKinds))
        #expect(found.isDisjoint(with: others))
    }

    @Test func `a condition that is not UTF-8 is refused`() throws {
        // A String cannot hold it, so it is put into the encoded bytes.
        let trade = StagedTrade.good.with { $0.conditions = ["1", "zz"] }
        var bytes = trade.encoded
        let at = try #require(bytes.indices.last { bytes[$0] == UInt8(ascii: "z") })
        bytes[at] = 0xFF
        let reason = try bytes.withUnsafeBytes {
            TradeRules().reason(toReject: try #require(StagedTradeView(decoding: $0)), now: noon)
        }
        #expect(reason == .conditionSyntax)
    }

    @Test(arguments: [
        (Duration.zero, Int64(0)), (.milliseconds(500), 500_000), (.milliseconds(1500), 1_500_000),
        (.seconds(60), 60_000_000),
        (.seconds(86_400 * 365), 31_536_000_000_000),
    ])
    func `a trade may lie ahead of the clock by the longest lead and no more`(lead: Duration, microseconds: Int64)
        throws
    {
        let rules = TradeRules(longestLead: lead)
        let edge = StagedTrade.good.with { $0.ts = Timestamp(microseconds: noon.microseconds + microseconds) }
        let beyond = StagedTrade.good.with { $0.ts = Timestamp(microseconds: noon.microseconds + microseconds + 1) }
        #expect(try reason(edge, rules: rules) == nil)
        #expect(try reason(beyond, rules: rules) == .tsInFuture)
    }
}
